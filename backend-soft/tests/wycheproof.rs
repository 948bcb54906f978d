//! Project Wycheproof's vectors on everything that this backend supplies.

use backend_soft::provider;
use crypto_api::{NamedGroup, wycheproof};

#[test]
fn wycheproof() {
    let report = wycheproof::run(&provider());
    println!("{report}");
    for algorithm in [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
        "HMAC-SHA256",
        "HMAC-SHA384",
        "HKDF-SHA256",
        "HKDF-SHA384",
        "X25519",
        "SECP256R1",
        "SECP384R1",
        "X25519MLKEM768",
        "ECDSA_SECP256R1_SHA256",
        "ECDSA_SECP384R1_SHA384",
        "P-384 with SHA256",
        "ED25519",
        "RSA_PSS_RSAE_SHA256",
        "RSA_PSS_RSAE_SHA384",
        "RSA_PSS_RSAE_SHA512",
        "RSA_PKCS1_SHA256",
        "RSA_PKCS1_SHA384",
        "RSA_PKCS1_SHA512",
    ] {
        assert!(report.count(algorithm) > 0, "{algorithm}");
    }
    // Private keys come from the randomness that is passed in, so secrets were compared.
    assert_eq!(
        report.private_keys(),
        [
            NamedGroup::X25519MLKEM768,
            NamedGroup::X25519,
            NamedGroup::SECP256R1,
            NamedGroup::SECP384R1,
        ]
    );
}
