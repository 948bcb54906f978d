//! What only a server decides.

use std::sync::Arc;

use crypto_api::CryptoProvider;
use rustls_pki_types::DnsName;
use tls_core::config::{
    CertificateSelector, CertificatesByName, ClientAuth, ServerConfig, ServerSettings,
};
use tls_core::verify::ClientVerifier;

use super::{Builder, Credentials, Trust};
use crate::SetupError;

/// The part of a [`Builder`] that is a server's.
#[derive(Debug, Default)]
pub struct ServerRole {
    default: Vec<Credentials>,
    by_name: Vec<(String, Credentials)>,
    selector: Option<Arc<dyn CertificateSelector>>,
    /// How clients are asked for certificates, each option once: there must be one at most.
    clients: Vec<(&'static str, Clients)>,
}

/// How clients are asked for certificates.
#[derive(Debug)]
enum Clients {
    Required(Trust),
    Requested(Trust),
    Custom(ClientAuth),
}

impl Clients {
    fn load(&self, option: &str, provider: &CryptoProvider) -> Result<ClientAuth, SetupError> {
        let load = |trust: &Trust| trust.load(option, provider).map(Arc::new);
        Ok(match self {
            Self::Required(trust) => ClientAuth::Required(load(trust)?),
            Self::Requested(trust) => ClientAuth::Optional(load(trust)?),
            Self::Custom(auth) => auth.clone(),
        })
    }
}

impl Builder<ServerRole> {
    /// Adds a certificate for clients that ask for no name or for one that has none of its
    /// own. With several (ECDSA and RSA, say), the first that a client can verify is taken.
    #[must_use]
    pub fn certificate(mut self, credentials: impl Into<Credentials>) -> Self {
        self.role.default.push(credentials.into());
        self
    }

    /// Adds a certificate for clients that ask for `name`: a host name, or `*.` and a domain
    /// for all hosts directly below it.
    #[must_use]
    pub fn certificate_for(mut self, name: &str, credentials: impl Into<Credentials>) -> Self {
        self.role.by_name.push((name.into(), credentials.into()));
        self
    }

    /// Chooses certificates by code, which may take its time.
    #[must_use]
    pub fn certificate_selector(mut self, selector: Arc<dyn CertificateSelector>) -> Self {
        self.role.selector = Some(selector);
        self
    }

    /// Refuses clients that show no certificate that `trust` accepts.
    #[must_use]
    pub fn require_client_certificate(self, trust: impl Into<Trust>) -> Self {
        self.ask(
            "require_client_certificate",
            Clients::Required(trust.into()),
        )
    }

    /// Asks clients for a certificate; whoever shows one must be accepted by `trust`.
    #[must_use]
    pub fn request_client_certificate(self, trust: impl Into<Trust>) -> Self {
        self.ask(
            "request_client_certificate",
            Clients::Requested(trust.into()),
        )
    }

    /// Requires certificates of clients and verifies them by code. Whether anybody is kept
    /// out is up to that code alone.
    #[must_use]
    pub fn dangerous_client_verifier(self, verifier: Arc<dyn ClientVerifier>) -> Self {
        self.ask(
            "dangerous_client_verifier",
            Clients::Custom(ClientAuth::Required(verifier)),
        )
    }

    /// Asks clients for a certificate; whoever shows one is verified by code, and whoever shows
    /// none is let in.
    #[must_use]
    pub fn dangerous_optional_client_verifier(self, verifier: Arc<dyn ClientVerifier>) -> Self {
        self.ask(
            "dangerous_optional_client_verifier",
            Clients::Custom(ClientAuth::Optional(verifier)),
        )
    }

    fn ask(mut self, option: &'static str, how: Clients) -> Self {
        self.role.clients.retain(|(known, _)| *known != option);
        self.role.clients.push((option, how));
        self
    }

    /// Reads files and checks everything.
    ///
    /// # Errors
    /// What is wrong, the first found, in one line.
    pub fn build(self) -> Result<Arc<ServerConfig>, SetupError> {
        let provider = self.build_provider()?;
        let certificates: Arc<dyn CertificateSelector> = match &self.role.selector {
            Some(_) if !(self.role.default.is_empty() && self.role.by_name.is_empty()) => {
                return Err(SetupError::Conflict {
                    options: ["certificate", "certificate_selector"],
                });
            }
            Some(selector) => selector.clone(),
            None => self.role.certificates(&provider)?,
        };
        let mut settings = ServerSettings::new(provider, certificates);
        settings.client_auth = match self.role.clients.as_slice() {
            [] => ClientAuth::None,
            [(option, how)] => how.load(option, &settings.provider)?,
            // Which of them should hold is not for us to guess: one lets in more than another.
            [(one, _), (other, _), ..] => {
                return Err(SetupError::Conflict {
                    options: [one, other],
                });
            }
        };
        if let Some(schemes) = self.build_signature_schemes(&settings.provider)? {
            settings.signature_schemes = schemes;
        }
        settings.key_log = self.build_key_log()?;
        settings.alpn = self.alpn;
        settings.limits = self.limits;
        Ok(Arc::new(ServerConfig::new(settings)?))
    }
}

impl ServerRole {
    fn certificates(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Arc<dyn CertificateSelector>, SetupError> {
        if self.default.is_empty() && self.by_name.is_empty() {
            return Err(SetupError::Missing {
                option: "certificate",
                reason: "a server has to show one",
            });
        }
        let mut certificates = CertificatesByName::new();
        for credentials in &self.default {
            certificates = certificates.with_default(credentials.load("certificate", provider)?);
        }
        for (name, credentials) in &self.by_name {
            let host = name.strip_prefix("*.").unwrap_or(name);
            if DnsName::try_from(host).is_err() {
                return Err(SetupError::BadName {
                    option: "certificate_for",
                    name: name.clone(),
                });
            }
            let option = format!("certificate_for {name}");
            certificates = certificates.with(name, credentials.load(&option, provider)?);
        }
        Ok(Arc::new(certificates))
    }
}
