//! Randomness: the operating system's, and a caller's in the shapes that algorithms want.

use std::fmt::Display;

use crypto_api::{Error, Implementation, SecureRandom};
use rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use crate::BACKEND;

/// The operating system's source of randomness: `getrandom(2)` on Linux.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl SecureRandom for OsRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(out).map_err(|error| failed("get randomness from the system", error))
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: BACKEND,
            detail: "operating system, through getrandom",
        }
    }
}

/// A failure of this backend itself.
pub(crate) fn failed(operation: &'static str, detail: impl Display) -> Error {
    Error::Backend {
        backend: BACKEND,
        operation,
        detail: detail.to_string(),
    }
}

/// `N` bytes of `source`, for a private key or a seed.
pub(crate) fn draw<const N: usize>(source: &dyn SecureRandom) -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    source.fill(bytes.as_mut())?;
    Ok(bytes)
}

/// A caller's source under the trait that RustCrypto asks for.
///
/// Its algorithms replace the source's error by one of their own, so it is kept here. Some
/// draw until a number fits; a source that is stuck must not hold them forever.
pub(crate) struct Rng<'a> {
    source: &'a dyn SecureRandom,
    failure: Option<Error>,
    draws_left: u32,
}

/// How often one operation may draw. RSA draws most: about eight times, and half as often
/// again for every number out of range.
const MAX_DRAWS: u32 = 256;

impl<'a> Rng<'a> {
    pub(crate) fn new(source: &'a dyn SecureRandom) -> Self {
        Self {
            source,
            failure: None,
            draws_left: MAX_DRAWS,
        }
    }

    /// The outcome of an algorithm that was given this source: if the source failed, that
    /// is the reason.
    pub(crate) fn explain<T>(
        self,
        operation: &'static str,
        outcome: Result<T, impl Display>,
    ) -> Result<T, Error> {
        outcome.map_err(|error| self.failure.unwrap_or_else(|| failed(operation, error)))
    }
}

impl TryRng for Rng<'_> {
    type Error = Error;

    fn try_next_u32(&mut self) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let outcome = match self.draws_left.checked_sub(1) {
            Some(left) => {
                self.draws_left = left;
                self.source.fill(out)
            }
            None => Err(failed(
                "draw a random number",
                "the source of randomness is stuck: no number of it was in range",
            )),
        };
        outcome.inspect_err(|error| self.failure = Some(error.clone()))
    }
}

impl TryCryptoRng for Rng<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_gives_other_bytes_each_time() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        OsRandom.fill(&mut a).unwrap();
        OsRandom.fill(&mut b).unwrap();
        assert_ne!(a, [0; 32]);
        assert_ne!(a, b);
    }
}
