//! Randomness.

use core::fmt;

use crate::{Error, Implementation};

/// A source of cryptographically secure random bytes.
///
/// Everything random in a handshake comes from here, or from a backend that says that it
/// has its own, so a test can replay a handshake byte for byte.
pub trait SecureRandom: Send + Sync + fmt::Debug {
    /// Fills all of `out`.
    ///
    /// # Errors
    /// [`Error::Backend`] when there is no randomness to be had; `out` must not be used then.
    fn fill(&self, out: &mut [u8]) -> Result<(), Error>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}
