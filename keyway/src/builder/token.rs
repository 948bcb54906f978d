//! A private key in an HSM, and its certificate chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_pkcs11::{Pkcs11Key, Uri};
use crypto_api::CryptoProvider;
use tls_core::config::CertifiedKey;

use crate::SetupError;

/// Where the key is.
pub(super) enum TokenKey {
    /// At a URI, to be opened; the chain is in a file or, without one, in the token.
    At { uri: String, chain: Option<PathBuf> },
    /// It has been opened.
    Opened(Pkcs11Key),
}

impl TokenKey {
    pub(super) fn at(uri: String, chain: Option<PathBuf>) -> Self {
        Self::At { uri, chain }
    }

    /// Opens the key and takes the chain that belongs to it.
    pub(super) fn load(
        &self,
        option: &str,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, SetupError> {
        let key = match self {
            Self::Opened(key) => key.clone(),
            Self::At { uri, chain } => {
                let mut builder = Pkcs11Key::builder(uri, provider);
                if let Some(path) = chain {
                    // Before the token is asked: it may take its time.
                    let chain = pki::load_certificates(path).map_err(|reason| SetupError::Pki {
                        option: option.into(),
                        reason,
                    })?;
                    builder = builder.certificates(chain);
                }
                builder.open().map_err(|reason| SetupError::Pkcs11 {
                    option: option.into(),
                    chain: chain.clone(),
                    reason,
                })?
            }
        };
        certified(option, key)
    }

    /// Where chain and key are, the PIN left out.
    pub(super) fn names(&self) -> (String, String) {
        match self {
            Self::Opened(key) => ("token".into(), key.uri().into()),
            Self::At { uri, chain } => {
                let chain = chain.as_deref().map(|path| path.display().to_string());
                // One that cannot be read may have a PIN anywhere.
                let uri = uri.parse::<Uri>();
                let uri = uri.map_or_else(|_| "pkcs11:".into(), |uri| uri.to_string());
                (chain.unwrap_or_else(|| "token".into()), uri)
            }
        }
    }
}

/// An open key with the chain that came with it.
pub(super) fn certified(option: &str, key: Pkcs11Key) -> Result<Arc<CertifiedKey>, SetupError> {
    let chain = key.certificate_chain().to_vec();
    if chain.is_empty() {
        return Err(SetupError::NoCertificateInToken {
            option: option.into(),
            uri: key.uri().into(),
        });
    }
    let origin = |name: &str| pki::Origin::from(Path::new(name));
    let (certificates, name) = (origin("certificate chain"), origin(key.uri()));
    match pki::certified_key(chain, Arc::new(key)) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(reason) => Err(SetupError::Pki {
            option: option.into(),
            reason: pki::Error::Pair {
                certificates,
                key: name,
                reason: Box::new(reason),
            },
        }),
    }
}
