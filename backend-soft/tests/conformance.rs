//! What every backend must hold to, from `crypto-api`'s kit.

use backend_soft::provider;
use crypto_api::{SignatureScheme, conformance};

#[test]
fn knows_the_published_answers() {
    provider().self_test().unwrap();
}

#[test]
fn records() {
    provider().suites.iter().for_each(conformance::suite);
}

#[test]
fn hash_functions() {
    provider()
        .hashes
        .iter()
        .for_each(conformance::hash_functions);
}

#[test]
fn key_exchange() {
    let provider = provider();
    for group in &provider.groups {
        conformance::group(&**group, &*provider.random);
    }
}

#[test]
fn verification() {
    provider()
        .verification
        .iter()
        .for_each(conformance::verification);
}

#[test]
fn randomness() {
    conformance::randomness(&*provider().random);
}

#[test]
fn private_keys() {
    let provider = provider();
    let mut schemes = Vec::new();
    for loader in &provider.key_loaders {
        schemes.extend(conformance::key_loader(&**loader, &provider));
    }
    for scheme in [
        SignatureScheme::ECDSA_SECP256R1_SHA256,
        SignatureScheme::ECDSA_SECP384R1_SHA384,
        SignatureScheme::ED25519,
        SignatureScheme::RSA_PSS_RSAE_SHA256,
        SignatureScheme::RSA_PSS_RSAE_SHA384,
        SignatureScheme::RSA_PSS_RSAE_SHA512,
    ] {
        assert!(schemes.contains(&scheme), "{scheme}");
    }
}
