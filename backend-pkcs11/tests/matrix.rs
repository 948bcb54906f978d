//! Every scheme on every token. What a token can't do is printed.

mod common;

use backend_pkcs11::Pkcs11Key;
use common::Judge;
use crypto_api::{SignatureScheme as S, SigningKey};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::object::{Attribute, ObjectClass};
use pkcs11_fault::{Control, Script};
use test_tokens::{Key, Kind, Token, fault_module, isolated};

const RSA: &[S] = &[
    S::RSA_PSS_RSAE_SHA256,
    S::RSA_PSS_RSAE_SHA384,
    S::RSA_PSS_RSAE_SHA512,
    S::RSA_PKCS1_SHA256,
    S::RSA_PKCS1_SHA384,
    S::RSA_PKCS1_SHA512,
];

/// The schemes of a key.
fn schemes(key: Key) -> &'static [S] {
    match key {
        Key::Rsa2048 | Key::AlwaysRsa2048 => RSA,
        Key::P256 | Key::AlwaysP256 => &[S::ECDSA_SECP256R1_SHA256],
        Key::P384 => &[S::ECDSA_SECP384R1_SHA384],
        Key::P521 => &[S::ECDSA_SECP521R1_SHA512],
        Key::Ed25519 => &[S::ED25519],
        Key::Ed448 => &[S::ED448],
        Key::MlDsa44 => &[S::MLDSA44],
        Key::MlDsa65 => &[S::MLDSA65],
        Key::MlDsa87 => &[S::MLDSA87],
    }
}

/// Signs with every scheme of every key that the token holds, except those in `hidden`,
/// which the token has and does not let through.
fn signs_all(test: &str, kind: Kind, hidden: &[Key]) {
    isolated(test, kind, |dir| {
        let Some(token) = Token::make_or_skip(kind, dir, &Key::ALL) else {
            return;
        };
        let provider = backend_soft::provider();
        for &key in &token.keys {
            let mut builder = Pkcs11Key::builder(token.uri(key), &provider);
            if let Some(arguments) = &token.reserved {
                builder = builder.module_arguments(arguments);
            }
            let opened = builder.open();
            if hidden.contains(&key) {
                println!(
                    "skipped: {} {}: {}",
                    kind.name(),
                    key.label(),
                    opened.unwrap_err()
                );
                continue;
            }
            let opened = opened.unwrap();
            assert_eq!(opened.schemes(), schemes(key), "{key:?}");
            let judge = Judge::of(&opened);
            let blocking = opened.blocking();
            for &scheme in opened.schemes() {
                for len in [0, 1, 64, 130, 5000] {
                    let message = vec![len as u8; len];
                    judge.sign(&blocking, scheme, &message, &provider).unwrap();
                }
                println!("{} {}: {scheme}", kind.name(), key.label());
            }
            // The leaf and its issuer; the root is not in the token.
            assert_eq!(opened.certificate_chain().len(), 2, "{key:?}");
            assert_ne!(opened.certificate_chain()[1].as_ref(), token.root);
            let stats = opened.stats();
            assert!(stats.places.iter().all(|place| place.wrong == 0), "{stats}");
            drop(blocking);
            opened.close();
        }
    });
}

#[test]
fn soft_hsm() {
    signs_all("soft_hsm", Kind::SoftHsm, &[]);
}

#[test]
fn nss() {
    signs_all("nss", Kind::Nss, &[]);
}

#[test]
fn remote() {
    // p11-kit 0.24 knows no mechanism for Edwards curves and hides it.
    signs_all("remote", Kind::Remote, &[Key::Ed25519, Key::Ed448]);
}

#[test]
fn opencryptoki() {
    signs_all("opencryptoki", Kind::OpenCryptoki, &[]);
}

/// ECDSA with the token hashing: for those that have no raw one. SoftHSM has nothing else.
fn without_raw_ecdsa(test: &str, kind: Kind) {
    isolated(test, kind, |dir| {
        let keys = [Key::P256, Key::P384, Key::P521];
        let Some(token) = Token::make_or_skip(kind, dir, &keys) else {
            return;
        };
        let mut script = Script::parse("without = ['CKM_ECDSA']").unwrap();
        script.module = Some(token.module.clone());
        script.reserved = token.reserved.clone();
        script.socket = Some(dir.join("fault.sock"));
        std::fs::write(dir.join("fault.toml"), script.to_toml()).unwrap();
        let provider = backend_soft::provider();
        for &key in &token.keys {
            let uri = token.uri_through(key, &fault_module());
            let opened = Pkcs11Key::builder(uri, &provider).open().unwrap();
            let (judge, blocking) = (Judge::of(&opened), opened.blocking());
            for message in [&b""[..], b"message", &[7; 5000]] {
                let [scheme] = schemes(key) else {
                    panic!("one scheme is for a curve");
                };
                judge.sign(&blocking, *scheme, message, &provider).unwrap();
            }
            drop(blocking);
            opened.close();
        }
        let mut control = Control::connect(&dir.join("fault.sock")).unwrap();
        let stats = control.stats().unwrap();
        assert_eq!(stats.get("mechanism CKM_ECDSA"), 0);
        for hash in ["SHA256", "SHA384", "SHA512"] {
            let signed = stats.get(&format!("mechanism CKM_ECDSA_{hash}"));
            assert!(signed >= 4, "{hash} {signed}");
        }
    });
}

#[test]
fn nss_without_raw_ecdsa() {
    without_raw_ecdsa("nss_without_raw_ecdsa", Kind::Nss);
}

#[test]
fn kryoptic_without_raw_ecdsa() {
    without_raw_ecdsa("kryoptic_without_raw_ecdsa", Kind::Kryoptic);
}

#[test]
fn kryoptic() {
    signs_all("kryoptic", Kind::Kryoptic, &[]);
}

/// No software here verifies ML-DSA, so the token does: each signature before it leaves, and
/// here once more, with a message that is another one too.
#[test]
fn kryoptic_ml_dsa() {
    isolated("kryoptic_ml_dsa", Kind::Kryoptic, |dir| {
        let Some(token) = Token::make_or_skip(Kind::Kryoptic, dir, &Key::ML_DSA) else {
            return;
        };
        let provider = backend_soft::provider();
        for &key in &token.keys {
            let opened = Pkcs11Key::builder(token.uri(key), &provider)
                .open()
                .unwrap();
            assert_eq!(opened.schemes(), schemes(key), "{key:?}");
            let context = Pkcs11::new(&token.module).unwrap();
            let slot = context.get_slots_with_initialized_token().unwrap()[0];
            let session = context.open_ro_session(slot).unwrap();
            let named = [
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::Label(key.label().into()),
            ];
            let public = session.find_objects(&named).unwrap()[0];
            let pure = Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, None));
            for len in [0, 130, 5000] {
                let message = vec![len as u8; len];
                let blocking = opened.blocking();
                let signed = blocking.sign(opened.schemes()[0], &message, &*provider.random);
                let signature = signed.spin().unwrap();
                session.verify(&pure, public, &message, &signature).unwrap();
                let other = [&message[..], b"x"].concat();
                let refused = session.verify(&pure, public, &other, &signature);
                assert!(refused.is_err(), "{key:?}");
            }
            println!(
                "{} {}: {}",
                token.kind.name(),
                key.label(),
                opened.schemes()[0]
            );
            session.close().unwrap();
            opened.close();
        }
    });
}
