//! The provider as a whole.

use crypto_api::{CipherSuite, NamedGroup, SignatureScheme};

#[test]
fn is_complete_and_in_order() {
    let provider = backend_soft::provider();
    provider.check().unwrap();
    let suites: Vec<_> = provider.suites.iter().map(|suite| suite.id).collect();
    assert_eq!(
        suites,
        [
            CipherSuite::TLS_AES_128_GCM_SHA256,
            CipherSuite::TLS_AES_256_GCM_SHA384,
            CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS_AES_128_CCM_SHA256,
            CipherSuite::TLS_AES_128_CCM_8_SHA256,
        ]
    );
    let groups: Vec<_> = provider.groups.iter().map(|group| group.id()).collect();
    assert_eq!(
        groups,
        [
            NamedGroup::X25519MLKEM768,
            NamedGroup::X25519,
            NamedGroup::SECP256R1,
            NamedGroup::SECP384R1,
        ]
    );
    assert_eq!(
        provider.verification_schemes(),
        [
            SignatureScheme::ECDSA_SECP256R1_SHA256,
            SignatureScheme::ECDSA_SECP384R1_SHA384,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_RSAE_SHA256,
            SignatureScheme::RSA_PSS_RSAE_SHA384,
            SignatureScheme::RSA_PSS_RSAE_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
        ]
    );
}

#[test]
fn passes_the_known_answers() {
    backend_soft::provider().self_test().unwrap();
}

#[test]
fn every_row_of_the_table_is_of_this_backend() {
    let table = backend_soft::provider().table();
    assert!(!table.rows.is_empty());
    for row in table.rows {
        assert_eq!(row.implementation.backend, "soft", "{}", row.algorithm);
        assert!(!row.implementation.detail.is_empty(), "{}", row.algorithm);
    }
}
