//! What is peculiar to CCM: lengths are part of what is authenticated.

use crypto_api::{CipherSuite, Error, Payload, SealRecord, Suite, Trailer};

use crate::{Numbers, Secrets, soft};

fn kernels() -> impl Iterator<Item = Suite> {
    let ids = [
        CipherSuite::TLS_AES_128_CCM_SHA256,
        CipherSuite::TLS_AES_128_CCM_8_SHA256,
    ];
    let all = backend_aesni::kernels_unchecked().into_iter();
    all.filter(move |kernel| ids.contains(&kernel.id))
}

/// Additional data whose length takes two, and six, bytes.
#[test]
fn additional_data_of_any_length() {
    for kernel in kernels() {
        let mut numbers = Numbers(21);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let secrets = Secrets::new(&mut numbers, ours);
        let text = numbers.bytes(100);
        for len in (0..70).chain([0xfeff, 0xff00, 0xff01, 70_000]) {
            let aad = numbers.bytes(len);
            let seal = |aead| secrets.seal(aead, 3, &aad, text[..].into(), Trailer::default());
            assert!(
                seal(ours) == seal(theirs),
                "{}: {len} bytes",
                ours.implementation()
            );
        }
    }
}

/// The length of a text takes three bytes. A longer one is refused, alone and in a batch, and
/// is not sealed under the length that is left of its own.
#[test]
fn the_longest_text() {
    const MAX: usize = (1 << 24) - 1;
    for kernel in kernels() {
        let aead = &*kernel.aead;
        let secrets = Secrets::new(&mut Numbers(22), aead);
        let text = vec![7; MAX + 1];
        let longest = Payload::from(&text[..MAX]);
        let sealed = secrets.seal(aead, 1, &[], longest, Trailer::default());
        assert!(secrets.open(aead, 1, &[], &sealed).unwrap() == text[..MAX]);

        let mut out = vec![0; MAX + 1 + aead.tag_len()];
        for batch in [false, true] {
            let mut record = [SealRecord {
                sequence: 1,
                aad: &[],
                payload: text[..].into(),
                trailer: Trailer::default(),
                out: &mut out,
            }];
            let mut sealer = aead.sealer(&secrets.key, &secrets.iv).unwrap();
            let refused = if batch {
                sealer.seal_batch(&mut record)
            } else {
                sealer.seal(&mut record[0])
            };
            assert!(matches!(
                refused,
                Err(Error::WrongLength {
                    expected: MAX,
                    got, ..
                }) if got == MAX + 1
            ));
        }
        assert_eq!(secrets.open(aead, 1, &[], &out), Err(Error::BadTag));
    }
}
