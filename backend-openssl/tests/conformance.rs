//! What every backend must hold to, from `crypto-api`'s kit, on everything that the
//! libcrypto found at run time supplies.

use crypto_api::{CipherSuite, NamedGroup, SignatureScheme, conformance, wycheproof};

/// ML-KEM came with OpenSSL 3.5.
fn has_ml_kem() -> bool {
    openssl::version::number() >= 0x3050_0000
}

#[test]
fn everything_is_there() {
    let provider = backend_openssl::provider();
    provider.check().unwrap();
    for suite in [
        CipherSuite::TLS_AES_128_GCM_SHA256,
        CipherSuite::TLS_AES_256_GCM_SHA384,
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_AES_128_CCM_SHA256,
        CipherSuite::TLS_AES_128_CCM_8_SHA256,
    ] {
        assert!(provider.suite(suite).is_some(), "{suite}");
    }
    for group in [
        NamedGroup::X25519,
        NamedGroup::SECP256R1,
        NamedGroup::SECP384R1,
    ] {
        assert!(provider.group(group).is_some(), "{group}");
    }
    let hybrid = provider.group(NamedGroup::X25519MLKEM768).is_some();
    assert_eq!(hybrid, has_ml_kem(), "{}", openssl::version::version());
    let rows = provider.table().rows;
    for row in rows {
        let with = row.implementation.detail;
        assert_eq!(row.implementation.backend, "openssl");
        assert!(openssl::version::version().starts_with(with), "{with}");
        assert_eq!(with.split(' ').count(), 2, "{with}");
    }
}

#[test]
fn conforms() {
    let signed = conformance::run(&backend_openssl::provider());
    for scheme in [
        SignatureScheme::ECDSA_SECP256R1_SHA256,
        SignatureScheme::ECDSA_SECP384R1_SHA384,
        SignatureScheme::ED25519,
        SignatureScheme::RSA_PSS_RSAE_SHA256,
        SignatureScheme::RSA_PSS_RSAE_SHA384,
        SignatureScheme::RSA_PSS_RSAE_SHA512,
    ] {
        assert!(signed.contains(&scheme), "{scheme}");
    }
    assert_eq!(openssl::error::ErrorStack::get().errors().len(), 0);
}

#[test]
fn passes_wycheproof() {
    let provider = backend_openssl::provider();
    let report = wycheproof::run(&provider);
    println!("{report}");
    for row in provider.table().rows {
        let expected = matches!(row.kind, "record" | "key exchange" | "verify");
        assert!(
            !expected || report.count(&row.algorithm) > 0,
            "{}",
            row.algorithm
        );
    }
    // Every private key comes from the randomness that is passed in.
    for group in &provider.groups {
        let group = group.id();
        assert!(report.private_keys().contains(&group), "{group}");
    }
    assert_eq!(openssl::error::ErrorStack::get().errors().len(), 0);
}
