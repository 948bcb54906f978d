//! Every scheme, on SoftHSM: signed by the token, verified by somebody else.

use backend_pkcs11::{Load, Pkcs11Key, Sessions};
use crypto_api::{Error, Op, PublicKey, SignatureScheme, SigningKey};
use test_tokens::{Key, Kind, Token, isolated};

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
