//! From libcrypto's error stack to `crypto_api::Error`.
//!
//! Whoever gets an [`ErrorStack`] has taken the errors off the thread's queue, so nothing
//! of them is left for an unrelated call to find.

use crypto_api::Error;
use openssl::error::ErrorStack;

/// Maps a failure of libcrypto itself in `operation`.
pub(crate) fn failed(operation: &'static str) -> impl Fn(ErrorStack) -> Error {
    move |stack| Error::Backend {
        backend: crate::NAME,
        operation,
        detail: match stack.errors() {
            [] => "libcrypto gave no reason".into(),
            _ => stack.to_string(),
        },
    }
}

/// Empties the thread's error queue after a call that may have left something there though
/// it did not return an [`ErrorStack`].
pub(crate) fn clear_queue() {
    drop(ErrorStack::get());
}
