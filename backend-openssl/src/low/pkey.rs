//! Contexts of operations with keys.

use std::ffi::{CStr, c_int, c_uchar};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::pkey::{PKeyRef, Public};
use openssl::pkey_ctx::{PkeyCtx, PkeyCtxRef};
use openssl_sys as ffi;

use super::check;

unsafe extern "C" {
    /// In `<openssl/evp.h>`; its parameter is `const` from 3.0 on.
    fn EVP_PKEY_CTX_dup(ctx: *const ffi::EVP_PKEY_CTX) -> *mut ffi::EVP_PKEY_CTX;
    /// In `<openssl/evp.h>` from 3.0 on.
    fn EVP_PKEY_set1_encoded_public_key(
        key: *mut ffi::EVP_PKEY,
        public: *const c_uchar,
        public_len: usize,
    ) -> c_int;
}

/// A context that is set to what `ctx` is set to. It shares the key and the algorithms with
/// it, which is what makes this much cheaper than setting up another one.
pub(crate) fn duplicate<T>(ctx: &PkeyCtxRef<T>) -> Result<PkeyCtx<T>, ErrorStack> {
    // SAFETY: the context is live. It is read only, which several threads may do at a time
    // (openssl-threads(7)): what both contexts share is counted atomically.
    let duplicate = unsafe { EVP_PKEY_CTX_dup(ctx.as_ptr()) };
    if duplicate.is_null() {
        return Err(ErrorStack::get());
    }
    // SAFETY: `duplicate` is not null, new and ours to free.
    Ok(unsafe { PkeyCtx::from_ptr(duplicate) })
}

/// Has `ctx` derive with `peer`, a public key for the same algorithm; whether it is a sound
/// one is not checked.
pub(crate) fn set_peer<T>(
    ctx: &mut PkeyCtxRef<T>,
    peer: &PKeyRef<Public>,
) -> Result<(), ErrorStack> {
    // SAFETY: both are live; the context takes a reference of its own to the key.
    check(unsafe { ffi::EVP_PKEY_derive_set_peer_ex(ctx.as_ptr(), peer.as_ptr(), 0) })
}

/// Has `key` be the public key that `public` encodes.
pub(crate) fn set_public_key(key: &mut PKeyRef<Public>, public: &[u8]) -> Result<(), ErrorStack> {
    // SAFETY: the key is live; `public` is readable for its length and copied.
    check(unsafe { EVP_PKEY_set1_encoded_public_key(key.as_ptr(), public.as_ptr(), public.len()) })
}

/// A provider parameter that lends `bytes`.
pub(crate) fn octets(name: &'static CStr, bytes: &mut [u8]) -> ffi::OSSL_PARAM {
    let len = bytes.len();
    // SAFETY: the function only stores the pointers that it is given.
    unsafe { ffi::OSSL_PARAM_construct_octet_string(name.as_ptr(), bytes.as_mut_ptr().cast(), len) }
}

/// The parameter that ends a list.
pub(crate) fn end() -> ffi::OSSL_PARAM {
    // SAFETY: the function has no arguments and returns a plain struct.
    unsafe { ffi::OSSL_PARAM_construct_end() }
}
