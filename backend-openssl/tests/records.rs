//! Record protection: what is sealed opens, and nothing else does.

use crypto_api::{
    CipherSuite, CryptoProvider, Error, NONCE_LEN, OpenRecord, Payload, SealRecord, Suite, Trailer,
};

const IV: [u8; NONCE_LEN] = [9; NONCE_LEN];
const AAD: &[u8] = &[23, 3, 3, 0, 0];

fn suites() -> Vec<Suite> {
    let suites = backend_openssl::suites();
    assert!(suites.len() >= 2);
    suites
}

fn key(suite: &Suite) -> Vec<u8> {
    (0..).take(suite.aead.key_len()).collect()
}

fn seal(suite: &Suite, sequence: u64, payload: Payload<'_>, trailer: Trailer) -> Vec<u8> {
    let mut sealer = suite.aead.sealer(&key(suite), &IV).unwrap();
    let mut out = vec![0xee; payload.len() + trailer.len() + suite.aead.tag_len()];
    sealer
        .seal(&mut SealRecord {
            sequence,
            aad: AAD,
            payload,
            trailer,
            out: &mut out,
        })
        .unwrap();
    out
}

#[test]
fn any_cut_of_the_payload_gives_the_same_record() {
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for suite in suites() {
        for len in [0, 1, 15, 16, 17, 63, 64, 65, 255, 1000] {
            let payload = &bytes[..len];
            let trailer = Trailer {
                content_type: Some(22),
                padding: len % 7,
            };
            let whole = seal(&suite, 5, Payload::from(payload), trailer);
            for at in [0, 1, len / 3, len / 2, len] {
                let at = at.min(len);
                let (a, b) = payload.split_at(at);
                let (b, c) = b.split_at(b.len() / 2);
                let slices = [a, b, c];
                let pieces = seal(&suite, 5, Payload::from_slices(&slices), trailer);
                assert_eq!(whole, pieces, "{} {len} {at}", suite.id);
            }
            let mut opener = suite.aead.opener(&key(&suite), &IV).unwrap();
            let mut in_out = whole.clone();
            let opened = opener.open(5, AAD, &mut in_out).unwrap();
            let mut expected = payload.to_vec();
            expected.push(22);
            expected.resize(len + trailer.len(), 0);
            assert_eq!(in_out[..opened], expected);
        }
    }
}

#[test]
fn a_changed_record_does_not_open_and_leaves_nothing() {
    for suite in suites() {
        let plaintext = [0x5a; 40];
        let sealed = seal(&suite, 7, Payload::from(&plaintext[..]), Trailer::default());
        let mut opener = suite.aead.opener(&key(&suite), &IV).unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(opener.open(7, AAD, &mut bad), Err(Error::BadTag));
            assert!(bad[..plaintext.len()].iter().all(|byte| *byte == 0));
        }
        assert_eq!(opener.open(6, AAD, &mut sealed.clone()), Err(Error::BadTag));
        assert_eq!(
            opener.open(7, &AAD[1..], &mut sealed.clone()),
            Err(Error::BadTag)
        );
        assert_eq!(opener.open(7, &[], &mut sealed.clone()), Err(Error::BadTag));
        for cut in 0..sealed.len() {
            let mut short = sealed[..cut].to_vec();
            assert_eq!(opener.open(7, AAD, &mut short), Err(Error::BadTag));
        }
        // The key is as good as before.
        let mut good = sealed.clone();
        assert_eq!(opener.open(7, AAD, &mut good), Ok(plaintext.len()));
        assert_eq!(good[..plaintext.len()], plaintext);
    }
}

#[test]
fn keys_go_on_from_record_to_record() {
    for suite in suites() {
        let mut sealer = suite.aead.sealer(&key(&suite), &IV).unwrap();
        let mut opener = suite.aead.opener(&key(&suite), &IV).unwrap();
        for sequence in (0..50).chain([u64::from(u32::MAX), u64::MAX - 1]) {
            let payload = vec![sequence as u8; (sequence % 300) as usize];
            let mut out = vec![0; payload.len() + 1 + suite.aead.tag_len()];
            sealer
                .seal_batch(&mut [SealRecord {
                    sequence,
                    aad: AAD,
                    payload: Payload::from(&payload[..]),
                    trailer: Trailer::content_type(23),
                    out: &mut out,
                }])
                .unwrap();
            // A fresh key makes the same record: nothing of the last one is left.
            let fresh = seal(
                &suite,
                sequence,
                Payload::from(&payload[..]),
                Trailer::content_type(23),
            );
            assert_eq!(out, fresh);
            let mut record = [OpenRecord {
                sequence,
                aad: AAD,
                in_out: &mut out,
                plaintext_len: 0,
            }];
            assert_eq!(opener.open_batch(&mut record), Ok(1));
            let [
                OpenRecord {
                    in_out,
                    plaintext_len,
                    ..
                },
            ] = record;
            assert_eq!(in_out[..plaintext_len - 1], payload);
            assert_eq!(in_out[plaintext_len - 1], 23);
        }
    }
}

#[test]
fn wrong_lengths_are_the_callers_mistake() {
    for suite in suites() {
        let len = suite.aead.key_len();
        for wrong in [0, len - 1, len + 1] {
            assert!(matches!(
                suite.aead.sealer(&vec![0; wrong], &IV),
                Err(Error::WrongLength { .. })
            ));
            assert!(matches!(
                suite.aead.opener(&vec![0; wrong], &IV),
                Err(Error::WrongLength { .. })
            ));
        }
        let mut sealer = suite.aead.sealer(&key(&suite), &IV).unwrap();
        let right = 3 + 1 + suite.aead.tag_len();
        for wrong in [0, right - 1, right + 1] {
            let mut out = vec![0; wrong];
            let outcome = sealer.seal(&mut SealRecord {
                sequence: 0,
                aad: AAD,
                payload: Payload::from(&[1, 2, 3][..]),
                trailer: Trailer::content_type(23),
                out: &mut out,
            });
            assert!(matches!(
                outcome,
                Err(Error::WrongLength { expected, .. }) if expected == right
            ));
        }
    }
}

/// The first record that the server of RFC 8448, section 3, sends under its application
/// keys.
#[test]
fn rfc_8448_record() {
    let provider: CryptoProvider = backend_openssl::provider();
    let suite = provider.suite(CipherSuite::TLS_AES_128_GCM_SHA256).unwrap();
    let key = hex("9f02283b6c9c07efc26bb9f2ac92e356");
    let iv = hex("cf782b88dd83549aadf1e984").try_into().unwrap();
    let payload: Vec<u8> = (0..50).collect();
    let mut out = [0; 67];
    suite
        .aead
        .sealer(&key, &iv)
        .unwrap()
        .seal(&mut SealRecord {
            sequence: 1,
            aad: &[0x17, 0x03, 0x03, 0x00, 0x43],
            payload: Payload::from(&payload[..]),
            trailer: Trailer::content_type(23),
            out: &mut out,
        })
        .unwrap();
    // The ticket before it has the sequence number 0.
    assert_eq!(
        out[..],
        hex(
            "2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb50
             1a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d"
        )
    );
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}
