//! X25519 keys (RFC 7748) whose public halves are given, not computed.

use std::ffi::CStr;
use std::ptr;

use foreign_types::ForeignType;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl_sys as ffi;

use super::check;
use super::pkey::{end, octets};

/// Length of either half of a key in bytes.
pub(crate) const LEN: usize = 32;

const NAME: &CStr = c"X25519";
/// Provider parameters, `<openssl/core_names.h>`.
const PARAM_PRIVATE: &CStr = c"priv";
const PARAM_PUBLIC: &CStr = c"pub";

/// A key of these two halves. Given the private one alone, libcrypto would compute the
/// other; whether they belong together it does not ask.
pub(crate) fn key(
    private: &mut [u8; LEN],
    public: &mut [u8; LEN],
) -> Result<PKey<Private>, ErrorStack> {
    // SAFETY: the name is a C string; null means the default library context and no
    // property query.
    let ctx =
        unsafe { ffi::EVP_PKEY_CTX_new_from_name(ptr::null_mut(), NAME.as_ptr(), ptr::null()) };
    if ctx.is_null() {
        return Err(ErrorStack::get());
    }
    // SAFETY: `ctx` is not null and ours alone; the new owner frees it.
    let ctx = unsafe { PkeyCtx::<Private>::from_ptr(ctx) };
    let mut params = [
        octets(PARAM_PRIVATE, private),
        octets(PARAM_PUBLIC, public),
        end(),
    ];
    let mut key = ptr::null_mut();
    // SAFETY: a live context.
    check(unsafe { ffi::EVP_PKEY_fromdata_init(ctx.as_ptr()) })?;
    // SAFETY: an initialised context; `params` is ended as it must be, and what it points to
    // is copied before the call returns; `key` is writable.
    check(unsafe {
        let params = params.as_mut_ptr();
        ffi::EVP_PKEY_fromdata(ctx.as_ptr(), &mut key, ffi::EVP_PKEY_KEYPAIR, params)
    })?;
    // SAFETY: after success `key` is not null, new and ours to free.
    Ok(unsafe { PKey::from_ptr(key) })
}
