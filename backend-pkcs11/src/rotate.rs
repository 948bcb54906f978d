//! Keys that are exchanged without a restart.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use crate::builder::Builder;
use crate::error::OpenError;
use crate::key::Pkcs11Key;

/// A key that can be opened again while it is in use: after a new certificate or a new key
/// was put into the token under the same URI, or with another URI or PIN.
///
/// Connections take the [`current`](Self::current) key with its certificate chain at their
/// beginning, and keep it to their end.
pub struct RotatingKey {
    builder: RwLock<Builder>,
    current: RwLock<Pkcs11Key>,
}

impl RotatingKey {
    /// Opens the key.
    ///
    /// # Errors
    /// What is wrong, the first found.
    pub fn open(builder: Builder) -> Result<Self, OpenError> {
        let key = builder.clone().open()?;
        Ok(Self {
            builder: RwLock::new(builder),
            current: RwLock::new(key),
        })
    }

    /// The key, with its certificate chain.
    pub fn current(&self) -> Pkcs11Key {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Opens the key again as it was opened before: looks for it anew, reads its certificates
    /// anew, and asks for the PIN if a login is needed. Waits; call it from a thread that may.
    ///
    /// # Errors
    /// What is wrong; the current key stays then.
    pub fn reload(&self) -> Result<(), OpenError> {
        let builder = self.builder.read().unwrap_or_else(PoisonError::into_inner);
        self.exchange(builder.clone())
    }

    /// As [`reload`](Self::reload), with other settings, which are kept for the next time.
    ///
    /// # Errors
    /// What is wrong; the current key and settings stay then.
    pub fn replace(&self, builder: Builder) -> Result<(), OpenError> {
        self.exchange(builder.clone())?;
        *self.builder.write().unwrap_or_else(PoisonError::into_inner) = builder;
        Ok(())
    }

    fn exchange(&self, builder: Builder) -> Result<(), OpenError> {
        let key = builder.open()?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, key);
        drop(current);
        drop(old);
        Ok(())
    }
}

impl fmt::Debug for RotatingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RotatingKey").field(&self.current()).finish()
    }
}
