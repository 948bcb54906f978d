//! RSA signature verification from bare numbers.
//!
//! Through `EVP` a public key that is used once is exported to a provider, and algorithms
//! are fetched, for each signature. The functions here work on the numbers at once.

use std::ffi::{c_int, c_uchar};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::md::MdRef;
use openssl::nid::Nid;
use openssl::pkey::Public;
use openssl::rsa::{Padding, RsaRef};
use openssl_sys as ffi;

unsafe extern "C" {
    /// In `<openssl/rsa.h>` from 1.0.0 on.
    fn RSA_verify_PKCS1_PSS_mgf1(
        rsa: *mut ffi::RSA,
        hash_of_message: *const c_uchar,
        hash: *const ffi::EVP_MD,
        mgf1_hash: *const ffi::EVP_MD,
        encoded_message: *const c_uchar,
        salt_len: c_int,
    ) -> c_int;
}

/// Verifies RSASSA-PSS (RFC 8017, section 8.1.2) with MGF1 over the same hash and a salt as
/// long as the hash, as TLS wants it (RFC 9846, section 4.3.3).
///
/// # Panics
/// If `digest` is not as long as the hash's output.
pub(crate) fn verify_pss(
    key: &RsaRef<Public>,
    hash: &MdRef,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), ErrorStack> {
    assert_eq!(digest.len(), hash.size());
    let mut encoded = vec![0; key.size() as usize];
    let len = key.public_decrypt(signature, &mut encoded, Padding::NONE)?;
    assert_eq!(len, encoded.len());
    let salt_len = c_int::try_from(hash.size()).unwrap_or(c_int::MAX);
    // SAFETY: the key and the hash are live for the call; `digest` has the hash's length
    // and `encoded` the modulus's, which are the lengths that the function reads.
    super::check(unsafe {
        RSA_verify_PKCS1_PSS_mgf1(
            key.as_ptr(),
            digest.as_ptr(),
            hash.as_ptr(),
            hash.as_ptr(),
            encoded.as_ptr(),
            salt_len,
        )
    })
}

/// Verifies RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2.2).
pub(crate) fn verify_pkcs1(
    key: &RsaRef<Public>,
    hash: Nid,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), ErrorStack> {
    let length = |bytes: &[u8]| bytes.len().try_into().unwrap_or(0);
    let (digest_len, signature_len) = (length(digest), length(signature));
    // SAFETY: the key is live for the call and not changed by it; both slices are readable
    // for the lengths that are passed.
    super::check(unsafe {
        ffi::RSA_verify(
            hash.as_raw(),
            digest.as_ptr(),
            digest_len,
            signature.as_ptr(),
            signature_len,
            key.as_ptr(),
        )
    })
}
