//! Private keys in every encoding, what they sign, and what is refused.

use crypto_api::{Error, PublicKey, SignatureScheme, SigningKey};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPublicKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use std::sync::Arc;

fn pkcs1(der: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    load(&PrivatePkcs1KeyDer::from(der).into())
}

fn pkcs8(der: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    load(&PrivatePkcs8KeyDer::from(der).into())
}

fn sec1(der: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    load(&PrivateSec1KeyDer::from(der).into())
}

fn load(key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, Error> {
    backend_soft::provider().load_key(key)
}

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("keys/", $name, ".der")).as_slice()
    };
}

const RSA_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_RSAE_SHA256,
    SignatureScheme::RSA_PSS_RSAE_SHA384,
    SignatureScheme::RSA_PSS_RSAE_SHA512,
];

/// Checks the public half against the one that OpenSSL computed, and signs with each scheme.
fn check(key: &dyn SigningKey, spki: &[u8], schemes: &[SignatureScheme]) {
    let provider = backend_soft::provider();
    assert_eq!(key.schemes(), schemes);
    assert_eq!(key.public_key().unwrap().as_ref(), spki);
    let spki = spki.into();
    let public = PublicKey::from_spki(&spki).unwrap();
    for &scheme in schemes {
        let signature = key
            .sign(scheme, b"to be signed", &*provider.random)
            .spin()
            .unwrap();
        let algorithm = provider.verification(scheme, public.algorithm).unwrap();
        algorithm
            .verify_signature(public.key, b"to be signed", &signature)
            .unwrap();
        assert!(
            algorithm
                .verify_signature(public.key, b"to be forged", &signature)
                .is_err()
        );
    }
    // A scheme of another kind of key, and PKCS#1 v1.5, with which TLS 1.3 does not sign.
    for scheme in [SignatureScheme::MLDSA65, SignatureScheme::RSA_PKCS1_SHA256] {
        assert!(matches!(
            key.sign(scheme, b"", &*provider.random).spin(),
            Err(Error::Unsupported(_))
        ));
    }
}

#[test]
fn rsa() {
    for key in [
        pkcs1(file!("rsa-2048.pkcs1")),
        pkcs8(file!("rsa-2048.pkcs8")),
    ] {
        check(&*key.unwrap(), file!("rsa-2048.spki"), RSA_SCHEMES);
    }
}

#[test]
fn p256() {
    for key in [sec1(file!("p256.sec1")), pkcs8(file!("p256.pkcs8"))] {
        check(
            &*key.unwrap(),
            file!("p256.spki"),
            &[SignatureScheme::ECDSA_SECP256R1_SHA256],
        );
    }
}

#[test]
fn p384() {
    for key in [sec1(file!("p384.sec1")), pkcs8(file!("p384.pkcs8"))] {
        check(
            &*key.unwrap(),
            file!("p384.spki"),
            &[SignatureScheme::ECDSA_SECP384R1_SHA384],
        );
    }
}

#[test]
fn ed25519() {
    check(
        &*pkcs8(file!("ed25519.pkcs8")).unwrap(),
        file!("ed25519.spki"),
        &[SignatureScheme::ED25519],
    );
    // RFC 8410, section 10.1, is the public half of section 10.3.
    let spki = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0x19, 0xbf, 0x44,
        0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b, 0x96, 0xc8, 0x50,
        0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31, 0x66, 0xe1,
    ];
    check(
        &*pkcs8(file!("ed25519-rfc8410.pkcs8v2")).unwrap(),
        &spki,
        &[SignatureScheme::ED25519],
    );
}

#[test]
fn another_kind_is_left_to_another_loader() {
    for key in [
        sec1(file!("p521.sec1")),
        pkcs8(file!("p521.pkcs8")),
        pkcs8(file!("p256-explicit.pkcs8")),
        pkcs8(file!("ed448.pkcs8")),
        pkcs8(file!("rsa-pss-2048.pkcs8")),
        pkcs1(file!("rsa-2048-three-primes.pkcs1")),
    ] {
        assert!(matches!(key, Err(Error::Unsupported(_))), "{key:?}");
    }
}

#[test]
fn rsa_keys_of_unfit_size_are_refused_by_name() {
    assert_eq!(
        pkcs1(file!("rsa-1024.pkcs1")).unwrap_err(),
        Error::BadKey("RSA modulus has fewer than 2048 bits")
    );
    assert_eq!(
        pkcs1(file!("rsa-8208.pkcs1")).unwrap_err(),
        Error::BadKey("RSA modulus has more than 8192 bits")
    );
}

#[test]
fn a_key_in_the_wrong_encoding_is_damaged() {
    for key in [
        pkcs1(file!("rsa-2048.pkcs8")),
        pkcs8(file!("rsa-2048.pkcs1")),
        pkcs8(file!("p256.sec1")),
        sec1(file!("p256.pkcs8")),
        pkcs8(&[]),
        sec1(&[]),
        pkcs1(&[]),
    ] {
        assert!(matches!(key, Err(Error::BadKey(_))), "{key:?}");
    }
}

#[test]
fn every_cut_is_refused() {
    type Load = fn(&[u8]) -> Result<Arc<dyn SigningKey>, Error>;
    let files: [(Load, &[u8]); 7] = [
        (pkcs1, file!("rsa-2048.pkcs1")),
        (pkcs8, file!("rsa-2048.pkcs8")),
        (sec1, file!("p256.sec1")),
        (pkcs8, file!("p256.pkcs8")),
        (pkcs8, file!("p384.pkcs8")),
        (pkcs8, file!("ed25519.pkcs8")),
        (pkcs8, file!("ed25519-rfc8410.pkcs8v2")),
    ];
    for (load, der) in files {
        load(der).unwrap();
        for len in 0..der.len() {
            let key = load(&der[..len]);
            assert!(matches!(key, Err(Error::BadKey(_))), "{len}: {key:?}");
        }
        let longer = [der, &[0]].concat();
        assert!(matches!(load(&longer), Err(Error::BadKey(_))));
    }
}

/// A signature made with a private key that does not match the public half would give the
/// key away, or at best fail in every handshake.
#[test]
fn a_changed_number_is_refused() {
    // The private halves: their places in the files, by asn1parse.
    let secret = |name: &str, der: &[u8], range: std::ops::Range<usize>| {
        pkcs8(der).unwrap();
        for at in range {
            let mut der = der.to_vec();
            der[at] ^= 1;
            let key = pkcs8(&der);
            assert!(
                matches!(key, Err(Error::BadKey(_))),
                "{name}, byte {at}: {key:?}"
            );
        }
    };
    secret("P-256", file!("p256.pkcs8"), 36..68);
    secret("P-384", file!("p384.pkcs8"), 35..83);
    secret("Ed25519", file!("ed25519-rfc8410.pkcs8v2"), 16..48);

    // The modulus begins at 11; every eighth byte from there to the end of the primes.
    let der = file!("rsa-2048.pkcs1");
    pkcs1(der).unwrap();
    for at in (11..800).step_by(8) {
        let mut der = der.to_vec();
        der[at] ^= 1;
        let key = pkcs1(&der);
        assert!(
            matches!(key, Err(Error::BadKey(_))),
            "RSA, byte {at}: {key:?}"
        );
    }
}

#[test]
fn a_key_does_not_print_itself() {
    for (key, name) in [
        (pkcs1(file!("rsa-2048.pkcs1")), "Rsa { .. }"),
        (pkcs8(file!("p256.pkcs8")), "P256 { .. }"),
        (pkcs8(file!("p384.pkcs8")), "P384 { .. }"),
        (pkcs8(file!("ed25519.pkcs8")), "Ed25519 { .. }"),
    ] {
        assert_eq!(format!("{:?}", key.unwrap()), name);
    }
}

/// A correct signature of a weak key, made by the library below, does not verify.
#[test]
fn rsa_verification_refuses_short_keys() {
    let verifies = |der: &[u8]| {
        let key = rsa::PrivateKey::from_pkcs1_der(der).unwrap();
        let signature = key.pkcs1v15_sign::<sha2::Sha256>(b"message").unwrap();
        let public = AsRef::<rsa::PublicKey>::as_ref(&key)
            .to_pkcs1_der()
            .unwrap();
        backend_soft::signature::RSA_PKCS1_SHA256
            .verify_signature(public.as_bytes(), b"message", &signature)
            .is_ok()
    };
    assert!(verifies(file!("rsa-2048.pkcs1")));
    assert!(!verifies(file!("rsa-1024.pkcs1")));
}

/// With the exponent 1 each message that has the form of a signature is one.
#[test]
fn rsa_verification_refuses_long_moduli_and_odd_exponents() {
    let verdict = |modulus_len: usize, exponent: &[u8]| {
        let modulus = vec![0xff; modulus_len];
        let public = rsa::pkcs1::RsaPublicKey {
            modulus: rsa::pkcs1::UintRef::new(&modulus).unwrap(),
            public_exponent: rsa::pkcs1::UintRef::new(exponent).unwrap(),
        };
        let public = rsa::pkcs8::der::Encode::to_der(&public).unwrap();
        // EMSA-PKCS1-v1_5 (RFC 8017, section 9.2) of "message".
        let digest = <sha2::Sha256 as sha2::Digest>::digest(b"message");
        let mut signature = vec![0xff; modulus_len - 52];
        (signature[0], signature[1]) = (0, 1);
        signature.extend_from_slice(&[
            0, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ]);
        signature.extend_from_slice(&digest);
        assert_eq!(signature.len(), modulus_len);
        backend_soft::signature::RSA_PKCS1_SHA256
            .verify_signature(&public, b"message", &signature)
            .is_ok()
    };
    for modulus_len in [256, 1024, 1025, 8192] {
        for exponent in [&[1][..], &[2], &[3], &[1, 0, 1], &[1; 9], &[1; 200]] {
            assert!(!verdict(modulus_len, exponent));
        }
    }
}

/// RFC 5480, section 2.2: the uncompressed form must be supported, and is the only one that
/// certificates use; `backend-openssl` takes no other either.
#[test]
fn points_are_uncompressed() {
    let provider = backend_soft::provider();
    for (key, spki) in [
        (file!("p256.pkcs8"), file!("p256.spki")),
        (file!("p384.pkcs8"), file!("p384.spki")),
    ] {
        let key = pkcs8(key).unwrap();
        let scheme = key.schemes()[0];
        let spki = spki.into();
        let public = PublicKey::from_spki(&spki).unwrap();
        let signature = key.sign(scheme, b"message", &*provider.random);
        let signature = signature.spin().unwrap();
        let algorithm = provider.verification(scheme, public.algorithm).unwrap();
        let verifies = |point: &[u8]| {
            let verdict = algorithm.verify_signature(point, b"message", &signature);
            verdict.is_ok()
        };
        let (x, y) = public.key[1..].split_at((public.key.len() - 1) / 2);
        let odd = y[y.len() - 1] & 1;
        assert!(verifies(public.key));
        assert!(!verifies(&[&[2 + odd], x].concat()));
        assert!(!verifies(&[&[6 + odd], x, y].concat()));
    }
}
