//! A certificate chain with its private key.

use std::path::Path;
use std::sync::Arc;

use crypto_api::{CryptoProvider, SigningKey};
use rustls_pki_types::CertificateDer;
use tls_core::ConfigError;
use tls_core::config::CertifiedKey;
use webpki::EndEntityCert;

use crate::{Error, describe, load_certificates, load_private_key};

/// Puts a chain (the end entity's certificate first) and a private key together, and checks
/// that they belong together.
///
/// A key whose holder does not tell the public half is taken at its word.
///
/// # Errors
/// [`ConfigError::EmptyChain`], [`ConfigError::KeyMismatch`], [`ConfigError::UselessKey`],
/// or [`ConfigError::Other`] for a certificate that cannot be parsed, with its position.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<CertifiedKey, ConfigError> {
    for (position, der) in chain.iter().enumerate() {
        let certificate = EndEntityCert::try_from(der).map_err(|error| {
            ConfigError::Other(format!(
                "{} cannot be parsed ({error})",
                describe::certificate(der, position)
            ))
        })?;
        if position == 0
            && let Some(public_key) = key.public_key()
            && public_key != certificate.subject_public_key_info()
        {
            return Err(ConfigError::KeyMismatch);
        }
    }
    CertifiedKey::new(chain.into(), key)
}

/// Loads a chain and its private key from PEM files; both may be in the same.
///
/// # Errors
/// Those of [`load_certificates`] and [`load_private_key`], and [`Error::Pair`] with that of
/// [`certified_key`].
pub fn load_certified_key(
    certificates: impl AsRef<Path>,
    key: impl AsRef<Path>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let chain = load_certificates(certificates.as_ref())?;
    let private = load_private_key(key.as_ref(), provider)?;
    certified_key(chain, private).map_err(|reason| Error::Pair {
        certificates: certificates.as_ref().into(),
        key: key.as_ref().into(),
        reason: Box::new(reason),
    })
}
