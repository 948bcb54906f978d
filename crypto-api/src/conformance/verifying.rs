//! Signature verification: what must not verify.

use alloc::format;
use alloc::vec::Vec;

use super::pattern;
use super::test_keys::{
    WEAK_RSA_KEY, WEAK_RSA_MESSAGE, WEAK_RSA_PKCS1_SHA256, WEAK_RSA_PSS_SHA256,
};
use crate::Verification;
use crate::self_test::answers;
use rustls_pki_types::alg_id;

/// Checks that a verification accepts a published signature, and neither that signature
/// nor its key after any damage.
///
/// # Panics
/// When a check fails.
pub fn verification(entry: &Verification) {
    let scheme = entry
        .scheme
        .map_or_else(|| "for certificates".into(), |scheme| format!("{scheme}"));
    let name = format!("verification {scheme} from {}", entry.implementation);
    let accepts = |key: &[u8], message: &[u8], signature: &[u8]| {
        entry
            .algorithm
            .verify_signature(key, message, signature)
            .is_ok()
    };
    for len in 0..=600 {
        let garbage = pattern(50, len);
        assert!(
            !accepts(&garbage, b"message", &garbage),
            "{name}: accepts {len} bytes of garbage as key and signature"
        );
    }
    let signature_algorithm = entry.algorithm.signature_alg_id();
    for (algorithm, signature) in [
        (alg_id::RSA_PKCS1_SHA256, WEAK_RSA_PKCS1_SHA256),
        (alg_id::RSA_PSS_SHA256, WEAK_RSA_PSS_SHA256),
    ] {
        assert!(
            algorithm != signature_algorithm || !accepts(WEAK_RSA_KEY, WEAK_RSA_MESSAGE, signature),
            "{name}: accepts the signature of an RSA key of 1024 bits"
        );
    }

    let Some(answer) = answers::of_signature(entry.algorithm) else {
        return;
    };
    let (key, message, signature) = (answer.public_key, answer.message, answer.signature);
    assert!(
        accepts(key, message, signature),
        "{name}: refuses a published signature"
    );
    // All bits where there are few, else some of them.
    let bits = |bytes: &[u8]| {
        let step = if bytes.len() > 80 { 5 } else { 1 };
        (0..bytes.len() * 8).step_by(step)
    };
    let flipped = |bytes: &[u8], bit: usize| -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in bits(signature) {
        assert!(
            !accepts(key, message, &flipped(signature, bit)),
            "{name}: accepts the signature with bit {} of byte {} changed",
            bit % 8,
            bit / 8
        );
    }
    for bit in bits(message) {
        assert!(
            !accepts(key, &flipped(message, bit), signature),
            "{name}: accepts the signature of another message"
        );
    }
    for bit in bits(key) {
        assert!(
            !accepts(&flipped(key, bit), message, signature),
            "{name}: accepts the key with bit {} of byte {} changed",
            bit % 8,
            bit / 8
        );
    }
    for len in 0..signature.len() {
        assert!(
            !accepts(key, message, &signature[..len]),
            "{name}: accepts the first {len} bytes of the signature"
        );
    }
    for len in 0..key.len() {
        assert!(
            !accepts(&key[..len], message, signature),
            "{name}: accepts the first {len} bytes of the key"
        );
    }
    for (key, signature, what) in [
        (with_zero(key), signature.to_vec(), "key"),
        (key.to_vec(), with_zero(signature), "signature"),
    ] {
        assert!(
            !accepts(&key, message, &signature),
            "{name}: accepts the {what} with a byte behind"
        );
    }
}

fn with_zero(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.push(0);
    bytes
}
