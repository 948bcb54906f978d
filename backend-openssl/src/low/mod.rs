//! The calls into libcrypto that the `openssl` crate does not wrap, or wraps with checks
//! that cost more than the call. All `unsafe` of this crate is here; everything it exports
//! is safe.

pub(crate) mod cipher;
pub(crate) mod ec;
pub(crate) mod kem;
pub(crate) mod pkey;
pub(crate) mod rsa;
pub(crate) mod sha;
pub(crate) mod x25519;

use openssl::error::ErrorStack;

/// Libcrypto's convention: positive is success, all else has left errors on the queue.
fn check(outcome: std::ffi::c_int) -> Result<(), ErrorStack> {
    if outcome > 0 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}
