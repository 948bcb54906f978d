//! A certificate whose key is in an HSM, exchanged while the server runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use backend_pkcs11::{Builder, Pkcs11Key};
use crypto_api::Op;
use tls_core::config::{CertificateSelector, CertifiedKey, ClientHelloInfo};
use tls_core::{Error, Parameter};

use super::token::certified;
use crate::SetupError;

/// A key in an HSM with its certificate chain, which can be opened again while a server uses
/// it: after a new certificate or key has been put into the token, or with another URI or PIN.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use keyway::pkcs11::Pkcs11Key;
/// use keyway::{RotatingCertificate, ServerBuilder, provider};
///
/// let provider = provider::fastest()?;
/// let key = Pkcs11Key::builder("pkcs11:token=web;object=www", &provider).module("/usr/lib/hsm.so");
/// let certificate = Arc::new(RotatingCertificate::open(key)?);
/// let server = ServerBuilder::new().certificate_selector(certificate.clone()).build()?;
/// // Later, when somebody asks for it, on a thread that may wait:
/// certificate.reload()?;
/// # Ok(())
/// # }
/// ```
pub struct RotatingCertificate {
    /// How it is opened again. Held while that is done: one at a time.
    builder: Mutex<Builder>,
    current: RwLock<(Pkcs11Key, Arc<CertifiedKey>)>,
}

const OPTION: &str = "certificate_selector";

fn open(builder: Builder) -> Result<(Pkcs11Key, Arc<CertifiedKey>), SetupError> {
    let key = builder.open().map_err(|reason| SetupError::Pkcs11 {
        option: OPTION.into(),
        chain: None,
        reason,
    })?;
    let certified = certified(OPTION, key.clone())?;
    Ok((key, certified))
}

impl RotatingCertificate {
    /// Opens the key, and waits for the token.
    ///
    /// # Errors
    /// What is wrong, naming the key by its URI without the PIN.
    pub fn open(builder: Builder) -> Result<Self, SetupError> {
        let current = open(builder.clone())?;
        Ok(Self {
            builder: Mutex::new(builder),
            current: RwLock::new(current),
        })
    }

    /// The key that new connections get: for its counters and its load.
    pub fn key(&self) -> Pkcs11Key {
        self.current().0
    }

    /// Opens the key again as before: looks for it anew, and reads its certificates anew.
    /// Waits for the token. Connections keep the key that they began with.
    ///
    /// # Errors
    /// What is wrong; the key in use stays.
    pub fn reload(&self) -> Result<(), SetupError> {
        let builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        self.exchange(open(builder.clone())?);
        Ok(())
    }

    /// As [`reload`](Self::reload), with other settings, which are kept.
    ///
    /// # Errors
    /// What is wrong; the key in use and the settings stay.
    pub fn replace(&self, builder: Builder) -> Result<(), SetupError> {
        let mut kept = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        self.exchange(open(builder.clone())?);
        *kept = builder;
        Ok(())
    }

    fn exchange(&self, new: (Pkcs11Key, Arc<CertifiedKey>)) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, new);
        drop(current);
        // Without the lock: it may be the last of its handles.
        drop(old);
    }

    fn current(&self) -> (Pkcs11Key, Arc<CertifiedKey>) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl CertificateSelector for RotatingCertificate {
    fn select(&self, hello: &ClientHelloInfo<'_>) -> Op<Arc<CertifiedKey>, Error> {
        let (_, certified) = self.current();
        match certified.scheme_for(hello.signature_schemes) {
            Some(_) => Op::ok(certified),
            None => Op::err(Error::NoCommon(Parameter::SignatureScheme)),
        }
    }
}

impl fmt::Debug for RotatingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RotatingCertificate")
            .field(&self.key())
            .finish()
    }
}
