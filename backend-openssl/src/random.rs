//! Randomness from libcrypto's generator (`RAND_bytes`).

use crypto_api::{Error, Implementation, SecureRandom};

use crate::error::failed;

/// Libcrypto's random generator.
pub fn random() -> impl SecureRandom + Clone + use<> {
    Random
}

#[derive(Clone, Copy, Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        // `RAND_bytes` counts in `int`.
        out.chunks_mut(1 << 20)
            .try_for_each(openssl::rand::rand_bytes)
            .map_err(failed("draw random bytes"))
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}
