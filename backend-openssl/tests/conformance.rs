//! The checks that every backend runs, on everything that the linked libcrypto supplies.

use crypto_api::{CipherSuite, NamedGroup};

#[test]
fn known_answers() {
    let provider = backend_openssl::provider();
    provider.check().unwrap();
    provider.self_test().unwrap();
    println!("{}", provider.table());
}

#[test]
fn everything_is_there() {
    let provider = backend_openssl::provider();
    for suite in [
        CipherSuite::TLS_AES_128_GCM_SHA256,
        CipherSuite::TLS_AES_256_GCM_SHA384,
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
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
    // ML-KEM came with OpenSSL 3.5.
    let version = openssl::version::number();
    let hybrid = provider.group(NamedGroup::X25519MLKEM768);
    assert_eq!(hybrid.is_some(), version >= 0x3050_0000, "{version:#x}");
}
