//! What only a client decides.

use std::sync::Arc;

use crypto_api::NamedGroup;
use tls_core::config::{ClientCertificateSelector, ClientConfig, ClientSettings};
use tls_core::verify::ServerVerifier;

use super::{Algorithm, Builder, Credentials, Trust, algorithm};
use crate::SetupError;

/// The part of a [`Builder`] that is a client's.
#[derive(Debug)]
pub struct ClientRole {
    trust: Option<Trust>,
    verifier: Option<Arc<dyn ServerVerifier>>,
    credentials: Option<Credentials>,
    selector: Option<Arc<dyn ClientCertificateSelector>>,
    key_shares: Option<Vec<Algorithm<NamedGroup>>>,
    send_server_name: bool,
    middlebox_compatibility: bool,
}

impl Default for ClientRole {
    fn default() -> Self {
        Self {
            trust: None,
            verifier: None,
            credentials: None,
            selector: None,
            key_shares: None,
            send_server_name: true,
            middlebox_compatibility: true,
        }
    }
}

impl Builder<ClientRole> {
    /// Accepts servers whose certificates `trust` accepts. Given twice, either will do.
    #[must_use]
    pub fn trust(mut self, trust: impl Into<Trust>) -> Self {
        let trust = trust.into();
        self.role.trust = Some(match self.role.trust.take() {
            Some(before) => before.and(trust),
            None => trust,
        });
        self
    }

    /// Verifies servers by code. Whether the connection is safe is up to that code alone.
    #[must_use]
    pub fn dangerous_verifier(mut self, verifier: Arc<dyn ServerVerifier>) -> Self {
        self.role.verifier = Some(verifier);
        self
    }

    /// What to show to servers that ask for a certificate.
    #[must_use]
    pub fn certificate(mut self, credentials: impl Into<Credentials>) -> Self {
        self.role.credentials = Some(credentials.into());
        self
    }

    /// Chooses a certificate by code, which may take its time.
    #[must_use]
    pub fn certificate_selector(mut self, selector: Arc<dyn ClientCertificateSelector>) -> Self {
        self.role.selector = Some(selector);
        self
    }

    /// The groups to send key shares in, by name or code point. A share that the server can
    /// use saves a round trip, each costs a key pair and its bytes. By default the preferred
    /// group, and the first classical one if that is a hybrid.
    #[must_use]
    pub fn key_shares<A>(mut self, groups: impl IntoIterator<Item = A>) -> Self
    where
        A: Into<Algorithm<NamedGroup>>,
    {
        self.role.key_shares = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// Whether servers are told which host name is asked for (RFC 6066, section 3). They
    /// are by default.
    #[must_use]
    pub fn send_server_name(mut self, send: bool) -> Self {
        self.role.send_server_name = send;
        self
    }

    /// Whether the handshake looks to boxes in between like one that they know (RFC 9846,
    /// appendix E.4). It does by default.
    #[must_use]
    pub fn middlebox_compatibility(mut self, compatible: bool) -> Self {
        self.role.middlebox_compatibility = compatible;
        self
    }

    /// Reads files and checks everything.
    ///
    /// # Errors
    /// What is wrong, the first found, in one line.
    pub fn build(self) -> Result<Arc<ClientConfig>, SetupError> {
        let provider = self.build_provider()?;
        let role = &self.role;
        let verifier: Arc<dyn ServerVerifier> = match (&role.trust, &role.verifier) {
            (Some(trust), None) => Arc::new(trust.load("trust", &provider)?),
            (None, Some(verifier)) => verifier.clone(),
            (Some(_), Some(_)) => {
                return Err(SetupError::Conflict {
                    options: ["trust", "dangerous_verifier"],
                });
            }
            (None, None) => {
                return Err(SetupError::Missing {
                    option: "trust",
                    reason: "a client must know which authorities to trust: \
                             Trust::system(), or Trust::file with those of your own",
                });
            }
        };
        let mut settings = ClientSettings::new(provider, verifier);
        settings.certificates = match (&role.credentials, &role.selector) {
            (None, None) => None,
            (Some(credentials), None) => {
                let certified = credentials.load("certificate", &settings.provider)?;
                Some(Arc::new(certified))
            }
            (None, Some(selector)) => Some(selector.clone()),
            (Some(_), Some(_)) => {
                return Err(SetupError::Conflict {
                    options: ["certificate", "certificate_selector"],
                });
            }
        };
        if let Some(groups) = &role.key_shares {
            settings.key_shares = algorithm::resolve("key_shares", groups, &settings.provider)?;
        }
        if let Some(schemes) = self.build_signature_schemes(&settings.provider)? {
            settings.signature_schemes = schemes;
        }
        settings.send_server_name = role.send_server_name;
        settings.middlebox_compatibility = role.middlebox_compatibility;
        settings.key_log = self.build_key_log()?;
        settings.alpn = self.alpn;
        settings.limits = self.limits;
        Ok(Arc::new(ClientConfig::new(settings)?))
    }
}
