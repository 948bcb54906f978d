//! Known answers at start-up: one for each entry of a provider.

use crate::{CryptoProvider, ProviderFault};

impl CryptoProvider {
    /// Computes a known answer with each entry.
    ///
    /// # Errors
    /// [`ProviderFault::SelfTest`] for the first entry that fails.
    pub fn self_test(&self) -> Result<(), ProviderFault> {
        self.check()
    }
}
