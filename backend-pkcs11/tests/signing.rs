//! Every scheme, on SoftHSM: signed by the token, verified by somebody else.

mod common;

use backend_pkcs11::{Load, Pkcs11Key, Reason, Sessions};
use common::bench;
use crypto_api::{Error, Op, PublicKey, SignatureScheme, SigningKey};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use test_tokens::{Key, Kind, Token, isolated};

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;

/// Signs with each scheme and verifies with the provider.
fn signs(token: &Token, key: Key, expected: &[SignatureScheme]) {
    let provider = backend_soft::provider();
    let opened = Pkcs11Key::builder(token.uri(key), &provider)
        .open()
        .unwrap();
    assert_eq!(opened.schemes(), expected, "{key:?}");
    assert_eq!(opened.load(), Load::Normal { queued: 0 });
    let spki = opened.public_key().unwrap().into_owned();
    let public = PublicKey::from_spki(&spki).unwrap();
    let blocking = opened.blocking();
    for scheme in expected {
        for len in [0, 1, 130, 5000] {
            let message = vec![len as u8; len];
            let signature = blocking.sign(*scheme, &message, &*provider.random);
            let signature = signature.spin().unwrap();
            let Some(algorithm) = provider.verification(*scheme, public.algorithm) else {
                continue;
            };
            algorithm
                .verify_signature(public.key, &message, &signature)
                .unwrap();
            let mut other = message.clone();
            other.push(1);
            assert!(
                algorithm
                    .verify_signature(public.key, &other, &signature)
                    .is_err()
            );
        }
    }
    // The chain: the end entity and its issuer, without the root.
    assert_eq!(opened.certificate_chain().len(), 2, "{key:?}");
    let unknown = opened.sign(SignatureScheme(0x0203), b"", &*provider.random);
    assert!(matches!(unknown, Op::Ready(Err(Error::Unsupported(_)))));
    let stats = opened.stats();
    let place = &stats.places[0];
    assert_eq!(place.done, 4 * expected.len() as u64, "{stats}");
    assert!(place.codes.is_empty() && place.retried == 0, "{stats}");
    println!("{key:?}: {stats}");
    opened.clone().close();
    drop(blocking);
    opened.close();
}

#[test]
fn every_scheme() {
    isolated("every_scheme", Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &Key::ALL) else {
            return;
        };
        use SignatureScheme as S;
        signs(&token, Key::P256, &[S::ECDSA_SECP256R1_SHA256]);
        signs(&token, Key::P384, &[S::ECDSA_SECP384R1_SHA384]);
        signs(&token, Key::P521, &[S::ECDSA_SECP521R1_SHA512]);
        signs(&token, Key::Ed25519, &[S::ED25519]);
        signs(&token, Key::Ed448, &[S::ED448]);
        signs(
            &token,
            Key::Rsa2048,
            &[
                S::RSA_PSS_RSAE_SHA256,
                S::RSA_PSS_RSAE_SHA384,
                S::RSA_PSS_RSAE_SHA512,
                S::RSA_PKCS1_SHA256,
                S::RSA_PKCS1_SHA384,
                S::RSA_PKCS1_SHA512,
            ],
        );
    });
}

#[test]
fn many_at_once_without_a_thread_each() {
    isolated("many_at_once_without_a_thread_each", Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &[Key::P256]) else {
            return;
        };
        let provider = backend_soft::provider();
        let key = Pkcs11Key::builder(token.uri(Key::P256), &provider)
            .sessions(Sessions::Fixed(3))
            .open()
            .unwrap();
        let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
        let pending: Vec<_> = (0..500u32)
            .map(|n| key.sign(scheme, &n.to_be_bytes(), &*provider.random))
            .collect();
        assert!(pending.iter().all(|op| matches!(op, Op::Pending(_))));
        let spki = key.public_key().unwrap().into_owned();
        let public = PublicKey::from_spki(&spki).unwrap();
        let algorithm = provider.verification(scheme, public.algorithm).unwrap();
        for (n, op) in (0..500u32).zip(pending) {
            let signature = op.spin().unwrap();
            algorithm
                .verify_signature(public.key, &n.to_be_bytes(), &signature)
                .unwrap();
        }
        let stats = key.stats();
        assert_eq!(stats.requests, 500);
        assert_eq!(stats.places[0].done, 500);
        assert!(stats.places[0].threads <= 3, "{stats}");
    });
}

/// A token that stumbles while a key is tried does not take a mechanism away from it.
#[test]
fn what_passes_is_not_taken_for_a_missing_mechanism() {
    let test = "what_passes_is_not_taken_for_a_missing_mechanism";
    bench(test, &[Key::P256, Key::Rsa2048], "", |bench| {
        // It keeps the module in use, and its control socket at hand.
        let first = bench.builder(Key::P256).open().unwrap();
        let mut faults = bench.control();
        let all = bench.builder(Key::Rsa2048).open().unwrap();
        let rule = |code: &str, when: &str| {
            format!("rule {{name='sick', functions=['C_Sign'], codes=['{code}'], when={when}}}")
        };
        for code in [
            "CKR_FUNCTION_FAILED",
            "CKR_DEVICE_ERROR",
            "CKR_HOST_MEMORY",
            "CKR_USER_NOT_LOGGED_IN",
        ] {
            // P-256 has one mechanism, and of RSA's schemes the second fails.
            faults.say(&rule(code, "{times=1}"));
            let key = bench.builder(Key::P256).open().unwrap();
            bench.sign(&key, ECDSA).unwrap();
            key.close();
            faults.say(&rule(code, "{after=1, times=1}"));
            let key = bench.builder(Key::Rsa2048).open().unwrap();
            assert_eq!(key.schemes(), all.schemes(), "{code}");
            key.close();
        }
        // If it does not pass, it is what the program is told.
        faults.say(&rule("CKR_DEVICE_ERROR", "{}"));
        for key in [Key::P256, Key::Rsa2048] {
            let error = bench.builder(key).open().unwrap_err();
            assert!(matches!(error.reason(), Reason::Call(_)), "{error}");
            let text = error.to_string();
            assert!(text.contains("C_Sign returned CKR_DEVICE_ERROR"), "{text}");
        }
        // What the mechanism is to blame for still is.
        faults.say(&rule("CKR_MECHANISM_INVALID", "{}"));
        let error = bench.builder(Key::P256).open().unwrap_err();
        assert!(matches!(error.reason(), Reason::NoScheme(_)), "{error}");
        faults.say("clear");
        bench.sign(&first, ECDSA).unwrap();
        first.close();
        all.close();
    });
}

/// Raw PSS, else with the token hashing, else with the padding made here: whatever a token
/// lacks, the signatures are good.
#[test]
fn what_a_token_lacks_is_made_up_for() {
    use SignatureScheme as S;
    const PSS: [(S, &str); 3] = [
        (S::RSA_PSS_RSAE_SHA256, "CKM_SHA256_RSA_PKCS_PSS"),
        (S::RSA_PSS_RSAE_SHA384, "CKM_SHA384_RSA_PKCS_PSS"),
        (S::RSA_PSS_RSAE_SHA512, "CKM_SHA512_RSA_PKCS_PSS"),
    ];
    const PKCS1: [(S, &str); 3] = [
        (S::RSA_PKCS1_SHA256, "CKM_SHA256_RSA_PKCS"),
        (S::RSA_PKCS1_SHA384, "CKM_SHA384_RSA_PKCS"),
        (S::RSA_PKCS1_SHA512, "CKM_SHA512_RSA_PKCS"),
    ];
    let test = "what_a_token_lacks_is_made_up_for";
    bench(test, &[Key::Rsa2048], "", |bench| {
        let first = bench.builder(Key::Rsa2048).open().unwrap();
        let mut faults = bench.control();
        let all = PSS.map(|(_, combined)| combined);
        for lacking in [
            &[][..],
            &["CKM_RSA_PKCS_PSS", "CKM_RSA_PKCS"],
            &["CKM_RSA_PKCS_PSS", all[0], all[1], all[2]],
            &["CKM_RSA_PKCS_PSS", all[1]],
        ] {
            faults.say(&format!("set without={lacking:?}"));
            let key = bench.builder(Key::Rsa2048).open().unwrap();
            assert_eq!(key.schemes(), first.schemes(), "{lacking:?}");
            let lacks = |name: &&str| lacking.contains(name);
            for (schemes, raw) in [(PSS, "CKM_RSA_PKCS_PSS"), (PKCS1, "CKM_RSA_PKCS")] {
                for (scheme, combined) in schemes {
                    let ways = [raw, combined, "CKM_RSA_X_509"];
                    let expected = ways.iter().find(|way| !lacks(way)).unwrap();
                    faults.say("reset");
                    for _ in 0..20 {
                        bench.sign(&key, scheme).unwrap();
                    }
                    let stats = faults.stats();
                    let used = ways.map(|way| stats.get(&format!("mechanism {way}")));
                    let wanted = ways.map(|way| if way == *expected { 20 } else { 0 });
                    assert_eq!(used, wanted, "{scheme} without {lacking:?}");
                }
            }
            key.close();
        }
        // With none of them the scheme is not offered, and others are.
        let lacking = [&all[..], &["CKM_RSA_PKCS_PSS", "CKM_RSA_X_509"]].concat();
        faults.say(&format!("set without={lacking:?}"));
        let key = bench.builder(Key::Rsa2048).open().unwrap();
        assert_eq!(key.schemes(), PKCS1.map(|(scheme, _)| scheme));
        key.close();
        first.close();
    });
}

/// The handle of a key may be another one's after a token's fresh start.
#[test]
fn after_a_wrong_signature_the_key_is_looked_for_again() {
    let test = "after_a_wrong_signature_the_key_is_looked_for_again";
    bench(test, &[Key::P256], "", |bench| {
        let sessions = Sessions::Fixed(1);
        let key = bench.builder(Key::P256).sessions(sessions).open().unwrap();
        bench.sign(&key, ECDSA).unwrap();
        let mut faults = bench.control();
        let lookups = faults.count("calls C_FindObjectsInit");
        faults.say(
            "rule {name='other', functions=['C_Sign'], signature='other-key', when={times=1}}",
        );
        bench.sign(&key, ECDSA).unwrap();
        assert_eq!(key.stats().places[0].wrong, 1);
        assert!(faults.count("calls C_FindObjectsInit") > lookups);
        key.close();
    });
}

/// Whoever has initialised a module keeps it, and none of our sessions.
#[test]
fn somebody_elses_module_gets_its_sessions_back() {
    let test = "somebody_elses_module_gets_its_sessions_back";
    bench(test, &[Key::P256], "", |bench| {
        let theirs = Pkcs11::new(&bench.module).unwrap();
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        theirs.initialize(locking).unwrap();
        let mut faults = bench.control();
        for _ in 0..3 {
            let key = bench.builder(Key::P256).open().unwrap();
            bench.sign(&key, ECDSA).unwrap();
            key.close();
            assert_eq!(faults.count("sessions open"), 0);
        }
        let error = bench.builder(Key::Rsa2048).open().unwrap_err();
        assert!(matches!(error.reason(), Reason::NoObject { .. }), "{error}");
        assert_eq!(faults.count("sessions open"), 0);
        theirs.get_slots_with_token().unwrap();
        assert_eq!(faults.count("calls C_Finalize"), 0);
    });
}
