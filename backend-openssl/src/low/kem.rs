//! ML-KEM-768 (FIPS 203), where libcrypto has it: from 3.5 on.
//!
//! Everything here links against libcrypto 3.0; whether the algorithm is there shows at run
//! time, so a program built with older headers offers it with a newer library.

use std::ffi::CStr;
use std::ptr;

use foreign_types::ForeignType;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, PKeyRef, Private, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl_sys as ffi;

use super::check;
use super::pkey::{end, octets};

/// Length of the seed that a key pair is made of (d and z), in bytes.
pub(crate) const SEED_LEN: usize = 64;
/// Length of an encapsulation key in bytes.
pub(crate) const ENCAPSULATION_KEY_LEN: usize = 1184;
/// Length of a ciphertext in bytes.
pub(crate) const CIPHERTEXT_LEN: usize = 1088;
/// Length of the shared secret in bytes.
pub(crate) const SECRET_LEN: usize = 32;
/// Length of the randomness of an encapsulation (m) in bytes.
pub(crate) const ENTROPY_LEN: usize = 32;

const NAME: &CStr = c"ML-KEM-768";
/// Provider parameters, `<openssl/core_names.h>`.
const PARAM_SEED: &CStr = c"seed";
const PARAM_ENTROPY: &CStr = c"ikme";

/// Whether the libcrypto at hand has it.
pub(crate) fn available() -> bool {
    key_pair(&mut [0; SEED_LEN]).is_ok()
}

/// A key pair (FIPS 203, algorithm 16).
///
/// The seed goes in as a parameter of key generation: importing a key from its seed gives
/// the same one, but libcrypto then tries it out, which takes three times as long.
pub(crate) fn key_pair(seed: &mut [u8; SEED_LEN]) -> Result<PKey<Private>, ErrorStack> {
    openssl::init();
    // SAFETY: the name is a C string; null means the default library context and no
    // property query.
    let ctx =
        unsafe { ffi::EVP_PKEY_CTX_new_from_name(ptr::null_mut(), NAME.as_ptr(), ptr::null()) };
    if ctx.is_null() {
        return Err(ErrorStack::get());
    }
    // SAFETY: `ctx` is not null and ours alone; the new owner frees it.
    let mut ctx = unsafe { PkeyCtx::<Private>::from_ptr(ctx) };
    ctx.keygen_init()?;
    let params = [octets(PARAM_SEED, seed), end()];
    // SAFETY: a live, initialised context; `params` is ended as it must be, and the seed
    // that it points to is copied before the call returns.
    check(unsafe { ffi::EVP_PKEY_CTX_set_params(ctx.as_ptr(), params.as_ptr()) })?;
    ctx.keygen()
}

/// Takes a peer's encapsulation key, checked as FIPS 203, section 7.2 demands.
pub(crate) fn encapsulation_key(bytes: &[u8]) -> Result<PKey<Public>, ErrorStack> {
    // SAFETY: the name is a C string; `bytes` is readable for its length; null as above.
    let key = unsafe {
        ffi::EVP_PKEY_new_raw_public_key_ex(
            ptr::null_mut(),
            NAME.as_ptr(),
            ptr::null(),
            bytes.as_ptr(),
            bytes.len(),
        )
    };
    if key.is_null() {
        return Err(ErrorStack::get());
    }
    // SAFETY: `key` is not null, new and ours to free.
    Ok(unsafe { PKey::from_ptr(key) })
}

/// Encapsulates to `key` (FIPS 203, algorithm 20) with the randomness `entropy`.
pub(crate) fn encapsulate(
    key: &PKeyRef<Public>,
    entropy: &mut [u8; ENTROPY_LEN],
    ciphertext: &mut [u8; CIPHERTEXT_LEN],
    secret: &mut [u8; SECRET_LEN],
) -> Result<(), ErrorStack> {
    let ctx = PkeyCtx::new(key)?;
    let params = [octets(PARAM_ENTROPY, entropy), end()];
    // SAFETY: a live context; `params` is ended as it must be, and what it points to is
    // copied before the call returns.
    check(unsafe { ffi::EVP_PKEY_encapsulate_init(ctx.as_ptr(), params.as_ptr()) })?;
    let (mut ciphertext_len, mut secret_len) = (ciphertext.len(), secret.len());
    // SAFETY: an initialised context; both outputs are writable for the lengths passed,
    // which libcrypto compares with what it would write.
    check(unsafe {
        ffi::EVP_PKEY_encapsulate(
            ctx.as_ptr(),
            ciphertext.as_mut_ptr(),
            &mut ciphertext_len,
            secret.as_mut_ptr(),
            &mut secret_len,
        )
    })
}

/// Decapsulates (FIPS 203, algorithm 21). A ciphertext that was not made for this key gives
/// a secret that nobody knows, and no error.
pub(crate) fn decapsulate(
    key: &PKeyRef<Private>,
    ciphertext: &[u8],
    secret: &mut [u8; SECRET_LEN],
) -> Result<(), ErrorStack> {
    let ctx = PkeyCtx::new(key)?;
    // SAFETY: a live context; no parameters.
    check(unsafe { ffi::EVP_PKEY_decapsulate_init(ctx.as_ptr(), ptr::null()) })?;
    let mut secret_len = secret.len();
    // SAFETY: an initialised context; `secret` is writable and `ciphertext` readable for
    // the lengths passed, which libcrypto compares with what the algorithm demands.
    check(unsafe {
        ffi::EVP_PKEY_decapsulate(
            ctx.as_ptr(),
            secret.as_mut_ptr(),
            &mut secret_len,
            ciphertext.as_ptr(),
            ciphertext.len(),
        )
    })
}
