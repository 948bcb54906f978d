//! Contexts of operations with keys.

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::pkey_ctx::{PkeyCtx, PkeyCtxRef};
use openssl_sys as ffi;

unsafe extern "C" {
    /// In `<openssl/evp.h>`; its parameter is `const` from 3.0 on.
    fn EVP_PKEY_CTX_dup(ctx: *const ffi::EVP_PKEY_CTX) -> *mut ffi::EVP_PKEY_CTX;
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
