//! No branch and no address depends on a secret: the instructions that run are followed by
//! valgrind's memcheck, to which keys, IVs and plaintexts are uninitialised memory.
//!
//! `cargo xtask test --only constant-time` runs this.

use std::hint::black_box;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crypto_api::{
    CipherSuite, OpenRecord, Payload, RecordOpener, RecordSealer, SealRecord, Suite, Trailer,
};

use crate::kernels_unchecked;
use crate::low::ccm::{Ccm, Cipher};
use crate::low::chacha20_poly1305::ChaCha20Poly1305;
use crate::low::cpu;
use crate::low::memcheck::{errors, is_running, make_public, make_secret};
use crate::low::x86::{ccm, chacha20_poly1305, gcm};
use crate::record::{Aead, Kernel};
use crate::trial::Measured;

/// Every length around the borders of strides, passes and groups, and TLS's common ones.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=600).chain([1023, 1024, 1025, 1400, 2500, 16_384])
}

/// Lengths of additional data: none, a header's, TLS 1.2's, and some blocks.
const AAD: [usize; 5] = [5, 0, 13, 16, 45];

/// Kernels in registers that valgrind does not know, compiled from their own source for
/// registers that it knows.
fn models() -> Vec<Suite> {
    fn model<K: Kernel>(id: CipherSuite, token: K::Token) -> Suite {
        let aead = Arc::new(Aead::<K>(token));
        aead.measure().expect("it opens what it seals");
        Suite::new(id, aead).expect("the lengths of its suite")
    }
    let mut models = Vec::new();
    if let Some(cpu) = cpu::Avx2::detect() {
        let chacha20_poly1305 = CipherSuite::TLS_CHACHA20_POLY1305_SHA256;
        let token = chacha20_poly1305::model::Model(cpu);
        models.push(model::<ChaCha20Poly1305<_>>(chacha20_poly1305, token));
    }
    let Some(cpu) = cpu::AesNi::detect() else {
        return models;
    };
    let gcm_128 = CipherSuite::TLS_AES_128_GCM_SHA256;
    let gcm_256 = CipherSuite::TLS_AES_256_GCM_SHA384;
    let ccm_128 = CipherSuite::TLS_AES_128_CCM_SHA256;
    models.extend([
        model::<gcm::models::model256::Aes128Gcm>(gcm_128, cpu),
        model::<gcm::models::model256::Aes256Gcm>(gcm_256, cpu),
        model::<gcm::models::model512::Aes128Gcm>(gcm_128, cpu),
        model::<gcm::models::model512::Aes256Gcm>(gcm_256, cpu),
        model::<Ccm<ccm::Model256, 16>>(ccm_128, cpu),
        model::<Ccm<ccm::Model512, 16>>(ccm_128, cpu),
    ]);
    models
}

#[test]
#[ignore = "asks valgrind"]
fn no_branch_and_no_address_depends_on_a_secret() {
    assert!(
        is_running(),
        "run by `cargo xtask test --only constant-time`"
    );
    println!("What follows was asked for where it names `what_depends_on_a_secret_is_seen`,");
    println!("`constant_time::branch`, or RustCrypto's `decrypt` and its caller.");
    what_depends_on_a_secret_is_seen();
    let known = kernels_unchecked();
    for suite in known.iter().cloned().chain(models()) {
        Subject {
            suite,
            outcomes: 0..=0,
        }
        .check();
    }
    for suite in backend_soft::provider().suites {
        if known.iter().any(|own| own.id == suite.id) {
            // It does not say where it has compared the tag, but then nothing branches on a
            // secret but itself and its caller, once each, on the outcome.
            Subject {
                suite,
                outcomes: 1..=2,
            }
            .check();
        }
    }
    let details: Vec<_> = known
        .iter()
        .map(|suite| suite.aead.implementation().detail)
        .collect();
    for unknown in [
        gcm::vaes::Aes128Gcm::DETAIL,
        gcm::avx512::Aes128Gcm::DETAIL,
        ccm::Vaes::DETAIL,
        ccm::Avx512::DETAIL,
        ChaCha20Poly1305::<cpu::Avx512F>::DETAIL,
    ] {
        if !details.contains(&unknown) {
            println!("valgrind does not know {unknown}: a model was run");
        }
    }
}

/// How many errors `work` makes.
fn errors_of(work: impl FnOnce()) -> usize {
    let before = errors();
    work();
    errors() - before
}

fn secret(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at * 7 + 1) as u8).collect();
    make_secret(&mut bytes);
    bytes
}

/// A branch on the byte, whatever the compiler thinks of it.
#[inline(never)]
fn branch(byte: u8) {
    if black_box(byte) & 1 == 1 {
        black_box(());
    }
}

/// The check itself can fail: the usual leaks are reported.
fn what_depends_on_a_secret_is_seen() {
    let mut bytes = secret(32);
    let other = bytes.clone();
    assert_eq!(errors_of(|| branch(bytes[0])), 1, "a branch");
    let table = [0_u8; 256];
    let look_up = || {
        black_box(black_box(&table)[usize::from(bytes[1])]);
    };
    assert_eq!(errors_of(look_up), 1, "an index");
    let compare = || {
        black_box(black_box(&bytes) == black_box(&other));
    };
    assert!(errors_of(compare) > 0, "a comparison that ends early");
    let sum = black_box(bytes[2] ^ 1).wrapping_mul(3);
    assert_eq!(
        errors_of(|| branch(sum)),
        1,
        "a branch on what was computed"
    );
    make_public(&mut bytes);
    assert_eq!(errors_of(|| branch(bytes[3])), 0, "no secret any more");
    assert_eq!(errors_of(|| branch(other[3])), 1, "a copy of a secret");
}

struct Subject {
    suite: Suite,
    /// How many branches on a secret an opening may have: those on the outcome, where that is
    /// not declared to be public.
    outcomes: RangeInclusive<usize>,
}

impl Subject {
    fn check(&self) {
        let name = format!("{}, {}", self.suite.id, self.suite.aead.implementation());
        let mut keys = None;
        let errors = errors_of(|| keys = Some(self.keys()));
        assert_eq!(errors, 0, "{name}: setting a key up");
        let Some((mut sealer, mut opener)) = keys else {
            return;
        };
        let mut records = 0;
        for len in lengths() {
            self.record(&name, &mut *sealer, &mut *opener, len);
            records += 1;
        }
        let batches: [&[usize]; 6] = [
            &[0; 3],
            &[64; 16],
            &[200; 5],
            &[1400; 19],
            &[1, 5000, 16, 33, 0, 700],
            &[16_384, 100],
        ];
        for lens in batches {
            self.batch(&name, &mut *sealer, &mut *opener, lens);
            records += lens.len();
        }
        let errors = errors_of(|| drop((sealer, opener)));
        assert_eq!(errors, 0, "{name}: wiping a key");
        println!("{name}: {records} records");
    }

    fn keys(&self) -> (Box<dyn RecordSealer>, Box<dyn RecordOpener>) {
        let aead = &self.suite.aead;
        let key = secret(aead.key_len());
        let iv: [u8; 12] = secret(12).try_into().unwrap();
        let (sealer, opener) = (aead.sealer(&key, &iv), aead.opener(&key, &iv));
        (sealer.unwrap(), opener.unwrap())
    }

    /// Seals a record, and opens it as it is and forged.
    fn record(
        &self,
        name: &str,
        sealer: &mut dyn RecordSealer,
        opener: &mut dyn RecordOpener,
        len: usize,
    ) {
        let aad = vec![1; AAD[len % AAD.len()]];
        let mut text = secret(len);
        let content_type = secret(1)[0];
        // Either in one piece or in two, and padded or not.
        let (front, back) = text.split_at(len / 3);
        let payload: &[&[u8]] = if len % 4 == 1 {
            &[front, back]
        } else {
            &[&text]
        };
        let trailer = Trailer {
            padding: [0, 0, 20][len % 3],
            ..Trailer::content_type(content_type)
        };
        let mut out = vec![0; len + trailer.len() + self.suite.aead.tag_len()];
        let mut record = SealRecord {
            sequence: len as u64,
            aad: &aad,
            payload: Payload::from_slices(payload),
            trailer,
            out: &mut out,
        };
        let errors = errors_of(|| sealer.seal(&mut record).unwrap());
        assert_eq!(errors, 0, "{name}: sealing {len} bytes");

        if len == 16 {
            // Every register on the way has kept the secret: its end is still known as one.
            for byte in [out[0], out[out.len() - 1]] {
                assert_eq!(errors_of(|| branch(byte)), 1, "{name}: on purpose");
            }
        }

        make_public(&mut out);
        let mut forged = out.clone();
        forged[len / 2] ^= 4;
        let mut result = Ok(0);
        let errors = errors_of(|| result = opener.open(len as u64, &aad, &mut forged));
        assert!(
            self.outcomes.contains(&errors),
            "{name}: {errors} in a forgery of {len} bytes"
        );
        assert!(result.is_err());

        let errors = errors_of(|| result = opener.open(len as u64, &aad, &mut out));
        assert!(
            self.outcomes.contains(&errors),
            "{name}: {errors} in opening {len} bytes"
        );
        assert_eq!(result, Ok(len + trailer.len()));
        make_public(&mut out);
        make_public(&mut text);
        assert!(out[..len] == text, "{name}: {len}");
    }

    fn batch(
        &self,
        name: &str,
        sealer: &mut dyn RecordSealer,
        opener: &mut dyn RecordOpener,
        lens: &[usize],
    ) {
        let tag_len = self.suite.aead.tag_len();
        let texts: Vec<_> = lens.iter().map(|len| secret(*len)).collect();
        let mut outs: Vec<_> = lens.iter().map(|len| vec![0; len + 1 + tag_len]).collect();
        let mut records: Vec<_> = (0..)
            .zip(&texts)
            .zip(&mut outs)
            .map(|((sequence, text), out)| SealRecord {
                sequence,
                aad: &[23, 3, 3, 0, 0],
                payload: text[..].into(),
                trailer: Trailer::content_type(23),
                out,
            })
            .collect();
        let errors = errors_of(|| sealer.seal_batch(&mut records).unwrap());
        assert_eq!(errors, 0, "{name}: a batch of {lens:?} bytes");

        for out in &mut outs {
            make_public(out);
        }
        // A forgery amid them: what is behind it is put back.
        if let Some(byte) = outs.get_mut(2).and_then(|out| out.last_mut()) {
            *byte ^= 1;
        }
        let mut records: Vec<_> = (0..)
            .zip(&mut outs)
            .map(|(sequence, in_out)| OpenRecord {
                sequence,
                aad: &[23, 3, 3, 0, 0],
                in_out,
                plaintext_len: 0,
            })
            .collect();
        let mut opened = Ok(0);
        let errors = errors_of(|| opened = opener.open_batch(&mut records));
        assert!(
            self.outcomes.contains(&errors),
            "{name}: {errors} in opening a batch of {lens:?} bytes"
        );
        assert!(matches!(opened, Ok(1 | 2)), "{name}: {opened:?}");
    }
}
