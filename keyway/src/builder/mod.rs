//! Configurations put together option by option, and checked as a whole.
//!
//! Options only note what is wanted; files are read and everything is checked in `build`,
//! so that there is one place where it can fail, and no handshake fails for a reason that
//! was known before.

mod algorithm;
mod client;
mod credentials;
#[cfg(feature = "pkcs11")]
mod rotating;
mod server;
#[cfg(feature = "pkcs11")]
mod token;
mod trust;

pub use algorithm::Algorithm;
pub use client::ClientRole;
pub use credentials::Credentials;
#[cfg(feature = "pkcs11")]
pub use rotating::RotatingCertificate;
pub use server::ServerRole;
pub use trust::Trust;

use std::path::PathBuf;
use std::sync::Arc;

use crypto_api::{CipherSuite, CryptoProvider, NamedGroup, SignatureScheme};
use tls_core::config::{KeyLog, Limits};

use crate::{KeyLogFile, SetupError, provider};

/// Builds a configuration; what is the same for both sides. See [`ServerBuilder`] and
/// [`ClientBuilder`] for what is not.
#[derive(Debug)]
pub struct Builder<R> {
    provider: Option<Arc<CryptoProvider>>,
    suites: Option<Vec<Algorithm<CipherSuite>>>,
    groups: Option<Vec<Algorithm<NamedGroup>>>,
    signature_schemes: Option<Vec<Algorithm<SignatureScheme>>>,
    alpn: Vec<Vec<u8>>,
    key_log: KeyLogging,
    limits: Limits,
    role: R,
}

/// Builds a server's configuration.
pub type ServerBuilder = Builder<ServerRole>;

/// Builds a client's configuration.
pub type ClientBuilder = Builder<ClientRole>;

/// Where secrets go.
#[derive(Debug)]
enum KeyLogging {
    Off,
    To(Arc<dyn KeyLog>),
    File(PathBuf),
    Environment,
}

impl<R: Default> Default for Builder<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Default> Builder<R> {
    /// Nothing is chosen yet.
    pub fn new() -> Self {
        Self {
            provider: None,
            suites: None,
            groups: None,
            signature_schemes: None,
            alpn: Vec::new(),
            key_log: KeyLogging::Off,
            limits: Limits::default(),
            role: R::default(),
        }
    }
}

impl<R> Builder<R> {
    /// The cryptography. By default [`provider::fastest`].
    #[must_use]
    pub fn provider(mut self, provider: impl Into<Arc<CryptoProvider>>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// The cipher suites, by name or code point, the preferred one first. By default all
    /// that the provider supplies, in its order, but for `TLS_AES_128_CCM_8_SHA256`: its
    /// tags of 8 bytes are not recommended for general use (RFC 8447, section 8), so it is
    /// used only where it is named here or nothing else is supplied.
    #[must_use]
    pub fn suites<A>(mut self, suites: impl IntoIterator<Item = A>) -> Self
    where
        A: Into<Algorithm<CipherSuite>>,
    {
        self.suites = Some(suites.into_iter().map(Into::into).collect());
        self
    }

    /// The groups for key exchange, by name or code point, the preferred one first. By
    /// default all that the provider supplies, in its order.
    #[must_use]
    pub fn groups<A>(mut self, groups: impl IntoIterator<Item = A>) -> Self
    where
        A: Into<Algorithm<NamedGroup>>,
    {
        self.groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// The schemes that the peer may sign its handshake with, by name or code point, the
    /// preferred one first. By default all that the provider verifies and TLS 1.3 allows, in
    /// its order. The certificates above the peer's own may be signed with others, and what
    /// this side signs with is up to its key and the peer.
    #[must_use]
    pub fn signature_schemes<A>(mut self, schemes: impl IntoIterator<Item = A>) -> Self
    where
        A: Into<Algorithm<SignatureScheme>>,
    {
        self.signature_schemes = Some(schemes.into_iter().map(Into::into).collect());
        self
    }

    /// The application protocols (ALPN), the preferred one first: `["h2", "http/1.1"]`. By
    /// default none. A server with some refuses clients that offer only others.
    #[must_use]
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Gives the secrets of all connections to `log`, for debugging alone.
    #[must_use]
    pub fn key_log(mut self, log: Arc<dyn KeyLog>) -> Self {
        self.key_log = KeyLogging::To(log);
        self
    }

    /// Appends the secrets of all connections to a file, for debugging alone; see
    /// [`KeyLogFile`].
    #[must_use]
    pub fn key_log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_log = KeyLogging::File(path.into());
        self
    }

    /// As [`key_log_file`](Self::key_log_file) with the path in the environment variable
    /// `SSLKEYLOGFILE`, if it is set and not empty. Unless this is called the variable does
    /// nothing: whoever sets a process's environment would else read its traffic.
    #[must_use]
    pub fn key_log_from_env(mut self) -> Self {
        self.key_log = KeyLogging::Environment;
        self
    }

    /// Bounds on sizes.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The provider with the suites and groups that were chosen.
    fn build_provider(&self) -> Result<Arc<CryptoProvider>, SetupError> {
        let provider = match &self.provider {
            Some(provider) => provider.clone(),
            None => Arc::new(provider::fastest()?),
        };
        let mut chosen = (*provider).clone();
        match &self.suites {
            Some(suites) => {
                let ids = algorithm::resolve("suites", suites, &chosen)?;
                chosen = chosen
                    .only_suites(&ids)
                    .map_err(tls_core::ConfigError::from)?;
            }
            None if chosen.suites.len() > 1 => chosen
                .suites
                .retain(|suite| suite.id != CipherSuite::TLS_AES_128_CCM_8_SHA256),
            None => {}
        }
        if let Some(groups) = &self.groups {
            let ids = algorithm::resolve("groups", groups, &chosen)?;
            chosen = chosen
                .only_groups(&ids)
                .map_err(tls_core::ConfigError::from)?;
        }
        Ok(Arc::new(chosen))
    }

    /// The signature schemes, if they were chosen.
    fn build_signature_schemes(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Option<Vec<SignatureScheme>>, SetupError> {
        let option = "signature_schemes";
        let Some(schemes) = &self.signature_schemes else {
            return Ok(None);
        };
        let ids = algorithm::resolve(option, schemes, provider)?;
        match ids.iter().find(|scheme| !scheme.allowed_in_handshake()) {
            Some(&scheme) => Err(SetupError::NotInHandshakes { option, scheme }),
            None => Ok(Some(ids)),
        }
    }

    fn build_key_log(&self) -> Result<Option<Arc<dyn KeyLog>>, SetupError> {
        let path = match &self.key_log {
            KeyLogging::Off => return Ok(None),
            KeyLogging::To(log) => return Ok(Some(log.clone())),
            KeyLogging::File(path) => path.clone(),
            KeyLogging::Environment => {
                match std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()) {
                    Some(path) => path.into(),
                    None => return Ok(None),
                }
            }
        };
        match KeyLogFile::open(&path) {
            Ok(log) => Ok(Some(Arc::new(log))),
            Err(reason) => Err(SetupError::KeyLog { path, reason }),
        }
    }
}
