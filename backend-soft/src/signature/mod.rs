//! Signatures: private keys that sign, and the algorithms that verify.

mod ecdsa;
mod ed25519;
mod loader;
mod rsa;

use crypto_api::{SignatureScheme, Verification};
use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::cpu;

pub use ecdsa::{
    ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, EcdsaVerification,
};
pub use ed25519::{ED25519, Ed25519Verification};
pub use loader::PrivateKeys;
pub use rsa::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaVerification,
};

/// Every algorithm that verifies, the preferred one first.
pub fn verification() -> Vec<Verification> {
    let entry =
        |scheme, algorithm: &'static dyn SignatureVerificationAlgorithm, detail| Verification {
            scheme,
            algorithm,
            implementation: cpu::implementation(detail),
        };
    let portable = cpu::PORTABLE;
    vec![
        entry(
            Some(SignatureScheme::ECDSA_SECP256R1_SHA256),
            ECDSA_P256_SHA256,
            portable,
        ),
        entry(
            Some(SignatureScheme::ECDSA_SECP384R1_SHA384),
            ECDSA_P384_SHA384,
            portable,
        ),
        entry(Some(SignatureScheme::ED25519), ED25519, cpu::CURVE25519),
        entry(
            Some(SignatureScheme::RSA_PSS_RSAE_SHA256),
            RSA_PSS_SHA256,
            portable,
        ),
        entry(
            Some(SignatureScheme::RSA_PSS_RSAE_SHA384),
            RSA_PSS_SHA384,
            portable,
        ),
        entry(
            Some(SignatureScheme::RSA_PSS_RSAE_SHA512),
            RSA_PSS_SHA512,
            portable,
        ),
        entry(
            Some(SignatureScheme::RSA_PKCS1_SHA256),
            RSA_PKCS1_SHA256,
            portable,
        ),
        entry(
            Some(SignatureScheme::RSA_PKCS1_SHA384),
            RSA_PKCS1_SHA384,
            portable,
        ),
        entry(
            Some(SignatureScheme::RSA_PKCS1_SHA512),
            RSA_PKCS1_SHA512,
            portable,
        ),
        // TLS 1.3 binds the hash to the curve; certificates do not.
        entry(None, ECDSA_P256_SHA384, portable),
        entry(None, ECDSA_P384_SHA256, portable),
    ]
}
