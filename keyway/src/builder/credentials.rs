//! A certificate chain with its private key, from wherever they are.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crypto_api::{CryptoProvider, SigningKey};
use pki::Origin;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tls_core::config::CertifiedKey;
use zeroize::Zeroizing;

#[cfg(feature = "pkcs11")]
use super::token::TokenKey;
use crate::SetupError;

/// What one side shows to prove who it is: a certificate chain, the end entity's certificate
/// first, and the private key that belongs to it.
///
/// Files are read when the configuration is built.
pub struct Credentials(Source);

enum Source {
    Certified(Arc<CertifiedKey>),
    Parts {
        chain: Chain,
        key: Key,
    },
    #[cfg(feature = "pkcs11")]
    Token(TokenKey),
}

enum Chain {
    File(PathBuf),
    Pem(Vec<u8>),
    Der(Vec<CertificateDer<'static>>),
}

enum Key {
    File(PathBuf),
    Pem(Zeroizing<Vec<u8>>),
    Der(Zeroizing<PrivateKeyDer<'static>>),
    Loaded(Arc<dyn SigningKey>),
}

impl Credentials {
    /// PEM files; both may be the same.
    pub fn files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::parts(Chain::File(chain.into()), Key::File(key.into()))
    }

    /// PEM texts; both may be the same. The copy of the key is wiped after use.
    pub fn pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        Self::parts(
            Chain::Pem(chain.as_ref().to_vec()),
            Key::Pem(Zeroizing::new(key.as_ref().to_vec())),
        )
    }

    /// DER encodings. The key is wiped after use.
    pub fn der(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self::parts(Chain::Der(chain), Key::Der(Zeroizing::new(key)))
    }

    /// A chain in a PEM file, and a key that somebody else holds: an HSM, say.
    pub fn file_with_key(chain: impl Into<PathBuf>, key: Arc<dyn SigningKey>) -> Self {
        Self::parts(Chain::File(chain.into()), Key::Loaded(key))
    }

    /// A chain in DER, and a key that somebody else holds: an HSM, say.
    pub fn der_with_key(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Self {
        Self::parts(Chain::Der(chain), Key::Loaded(key))
    }

    /// A key in an HSM, by its URI (RFC 7512), with the certificate chain that the token holds
    /// for it: `pkcs11:token=web;object=www?module-path=/usr/lib/hsm.so&pin-source=/etc/hsm.pin`.
    ///
    /// The key is opened when the configuration is built, which waits for the token, with the
    /// defaults of [`Builder`](backend_pkcs11::Builder); what it signs is verified with the
    /// provider's algorithms. For other settings, or to wait without blocking, open a
    /// [`Pkcs11Key`](backend_pkcs11::Pkcs11Key), of which credentials can be made by `from`.
    #[cfg(feature = "pkcs11")]
    pub fn pkcs11(uri: impl Into<String>) -> Self {
        Self(Source::Token(TokenKey::at(uri.into(), None)))
    }

    /// A chain in a PEM file, and a key in an HSM as in [`pkcs11`](Self::pkcs11).
    #[cfg(feature = "pkcs11")]
    pub fn file_with_pkcs11(chain: impl Into<PathBuf>, uri: impl Into<String>) -> Self {
        Self(Source::Token(TokenKey::at(uri.into(), Some(chain.into()))))
    }

    fn parts(chain: Chain, key: Key) -> Self {
        Self(Source::Parts { chain, key })
    }

    /// Reads files, loads the key, and checks that the two belong together.
    pub(super) fn load(
        &self,
        option: &str,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, SetupError> {
        let failed = |reason| SetupError::Pki {
            option: option.into(),
            reason,
        };
        let (chain, key) = match &self.0 {
            Source::Certified(certified) => return Ok(certified.clone()),
            Source::Parts { chain, key } => (chain, key),
            #[cfg(feature = "pkcs11")]
            Source::Token(key) => return key.load(option, provider),
        };
        let (certificates, from) = match chain {
            Chain::File(path) => (pki::load_certificates(path), Origin::from(path.as_path())),
            Chain::Pem(pem) => (pki::parse_certificates(pem), Origin::Memory),
            Chain::Der(chain) => (Ok(chain.clone()), Origin::Memory),
        };
        let certificates = certificates.map_err(failed)?;
        let (key, key_from) = match key {
            Key::File(path) => (
                pki::load_private_key(path, provider),
                Origin::from(path.as_path()),
            ),
            Key::Pem(pem) => (pki::parse_private_key(pem, provider), Origin::Memory),
            Key::Der(der) => {
                let origin = Origin::Memory;
                let key = provider
                    .load_key(der)
                    .map_err(|reason| pki::Error::Key { origin, reason });
                (key, Origin::Memory)
            }
            Key::Loaded(key) => (Ok(key.clone()), Origin::Memory),
        };
        let key = key.map_err(failed)?;
        match pki::certified_key(certificates, key) {
            Ok(certified) => Ok(Arc::new(certified)),
            Err(reason) => Err(failed(pki::Error::Pair {
                certificates: from,
                key: key_from,
                reason: Box::new(reason),
            })),
        }
    }
}

impl From<CertifiedKey> for Credentials {
    fn from(certified: CertifiedKey) -> Self {
        Self(Source::Certified(Arc::new(certified)))
    }
}

impl From<Arc<CertifiedKey>> for Credentials {
    fn from(certified: Arc<CertifiedKey>) -> Self {
        Self(Source::Certified(certified))
    }
}

/// With the certificate chain that came with the key.
#[cfg(feature = "pkcs11")]
impl From<backend_pkcs11::Pkcs11Key> for Credentials {
    fn from(key: backend_pkcs11::Pkcs11Key) -> Self {
        Self(Source::Token(TokenKey::Opened(key)))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Where the two come from, never the key.
        let name = |what: &PathBuf| what.display().to_string();
        let (chain, key) = match &self.0 {
            Source::Certified(_) => ("certified key".into(), String::new()),
            #[cfg(feature = "pkcs11")]
            Source::Token(key) => key.names(),
            Source::Parts { chain, key } => (
                match chain {
                    Chain::File(path) => name(path),
                    Chain::Pem(_) => "PEM".into(),
                    Chain::Der(_) => "DER".into(),
                },
                match key {
                    Key::File(path) => name(path),
                    Key::Pem(_) => "PEM".into(),
                    Key::Der(_) => "DER".into(),
                    Key::Loaded(key) => key.implementation().to_string(),
                },
            ),
        };
        f.debug_tuple("Credentials")
            .field(&chain)
            .field(&key)
            .finish()
    }
}
