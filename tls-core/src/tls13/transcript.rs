//! The hash of all handshake messages so far (RFC 9846, section 4.5).

use alloc::boxed::Box;

use crypto_api::{Digest, HashContext, HashFunctions};

use crate::Error;
use crate::wire::HandshakeType;

/// A transcript under way.
pub(crate) struct Transcript {
    hash: HashFunctions,
    context: Box<dyn HashContext>,
}

impl Transcript {
    pub(crate) fn new(hash: &HashFunctions) -> Result<Self, Error> {
        Ok(Self {
            hash: hash.clone(),
            context: hash.hash.start()?,
        })
    }

    /// Adds a message, or several.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub(crate) fn digest(&self) -> Result<Digest, Error> {
        Ok(self.context.digest()?)
    }

    /// Replaces the first ClientHello, all that was added so far, by its hash, as a
    /// HelloRetryRequest demands (section 4.5.1).
    pub(crate) fn into_retry(self) -> Result<Self, Error> {
        let first = self.digest()?;
        let mut after = Self::new(&self.hash)?;
        // A hash is at most 64 bytes long.
        let [.., len] = first.len().to_be_bytes();
        after.add(&[HandshakeType::MESSAGE_HASH.0, 0, 0, len]);
        after.add(&first);
        Ok(after)
    }
}
