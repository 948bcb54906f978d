//! A server's configuration.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crypto_api::{CipherSuite, CryptoProvider, NamedGroup, Op, SignatureScheme};

use super::{CertifiedKey, KeyLog, Limits, any_usable, check_common};
use crate::verify::ClientVerifier;
use crate::{ConfigError, Error, Misbehaviour, Parameter};

/// What a server decides, to be filled in and made a [`ServerConfig`].
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The cryptography; its order of suites and groups is the server's preference.
    pub provider: Arc<CryptoProvider>,
    /// Chooses the certificate by what the client says.
    pub certificates: Arc<dyn CertificateSelector>,
    /// Whether clients must, may or need not show a certificate.
    pub client_auth: ClientAuth,
    /// Schemes accepted in a client's CertificateVerify. By default all that the provider
    /// verifies and TLS 1.3 allows there.
    pub signature_schemes: Vec<SignatureScheme>,
    /// Application protocols (ALPN), the preferred one first. Empty: the client's offer is
    /// ignored. Otherwise a client that offers only others is refused (RFC 7301, 3.2).
    pub alpn: Vec<Vec<u8>>,
    /// Where secrets go, for debugging only.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// Bounds.
    pub limits: Limits,
}

impl ServerSettings {
    /// Settings with defaults for everything but the two that have none.
    pub fn new(provider: Arc<CryptoProvider>, certificates: Arc<dyn CertificateSelector>) -> Self {
        let mut signature_schemes = provider.verification_schemes();
        signature_schemes.retain(|scheme| scheme.allowed_in_handshake());
        Self {
            provider,
            certificates,
            client_auth: ClientAuth::None,
            signature_schemes,
            alpn: Vec::new(),
            key_log: None,
            limits: Limits::default(),
        }
    }
}

/// A server's configuration, checked, shared by its connections.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    settings: ServerSettings,
}

impl ServerConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// What is wrong with them, the first found.
    pub fn new(settings: ServerSettings) -> Result<Self, ConfigError> {
        check_common(
            &settings.provider,
            &settings.signature_schemes,
            &settings.alpn,
            &settings.limits,
        )?;
        if settings.client_auth.verifier().is_some() && !any_usable(&settings.signature_schemes) {
            return Err(ConfigError::Limit(
                "signature_schemes: a server that asks for certificates must accept at least one \
                 that TLS 1.3 allows in a handshake",
            ));
        }
        Ok(Self { settings })
    }

    /// What it was made of.
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }
}

/// Whether a server asks its clients for a certificate.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// It does not.
    None,
    /// It does, and a client may have none.
    Optional(Arc<dyn ClientVerifier>),
    /// It does, and refuses a client without one.
    Required(Arc<dyn ClientVerifier>),
}

impl ClientAuth {
    /// The verifier, if the server asks.
    pub fn verifier(&self) -> Option<&Arc<dyn ClientVerifier>> {
        match self {
            Self::None => None,
            Self::Optional(verifier) | Self::Required(verifier) => Some(verifier),
        }
    }
}

/// What a ClientHello says that bears on the choice of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct ClientHelloInfo<'a> {
    /// The host name that the client asks for (RFC 6066, section 3), in lower case.
    pub server_name: Option<&'a str>,
    /// Schemes that the client accepts in CertificateVerify.
    pub signature_schemes: &'a [SignatureScheme],
    /// Schemes that the client accepts inside certificates, if it says so separately.
    pub certificate_schemes: Option<&'a [SignatureScheme]>,
    /// Application protocols that the client offers.
    pub alpn: &'a [Vec<u8>],
    /// Cipher suites that the client offers.
    pub cipher_suites: &'a [CipherSuite],
    /// Groups that the client supports.
    pub groups: &'a [NamedGroup],
}

/// Chooses a server's certificate.
pub trait CertificateSelector: Send + Sync + fmt::Debug {
    /// Chooses, now or later.
    ///
    /// # Errors
    /// [`Error::NoCommon`] with [`Parameter::ServerName`] if there is none for the name, or
    /// with [`Parameter::SignatureScheme`] if there is none for the client's schemes;
    /// [`Misbehaviour::MissingExtension`] if a name is needed and there is none (RFC 9846,
    /// section 9.2).
    fn select(&self, hello: &ClientHelloInfo<'_>) -> Op<Arc<CertifiedKey>, Error>;
}

/// One certificate for all, without a copy per handshake.
impl CertificateSelector for Arc<CertifiedKey> {
    fn select(&self, _: &ClientHelloInfo<'_>) -> Op<Arc<CertifiedKey>, Error> {
        Op::ok(self.clone())
    }
}

/// Certificates by host name, each in several kinds (ECDSA and RSA, say): the first that
/// fits the client's signature schemes is taken.
#[derive(Clone, Debug, Default)]
pub struct CertificatesByName {
    names: BTreeMap<String, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
}

impl CertificatesByName {
    /// No certificate for any name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a certificate for `name`: a host name, or `*.` and a domain for all hosts
    /// directly below it. Letters' case does not matter.
    #[must_use]
    pub fn with(mut self, name: &str, certified: Arc<CertifiedKey>) -> Self {
        self.names
            .entry(name.to_ascii_lowercase())
            .or_default()
            .push(certified);
        self
    }

    /// Adds a certificate for clients that name no host or an unknown one. Without any,
    /// those are refused.
    #[must_use]
    pub fn with_default(mut self, certified: Arc<CertifiedKey>) -> Self {
        self.default.push(certified);
        self
    }

    fn candidates(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let exact = || self.names.get(name?);
        let wildcard = || {
            let (_, domain) = name?.split_once('.')?;
            let mut pattern = String::with_capacity(domain.len() + 2);
            pattern.push_str("*.");
            pattern.push_str(domain);
            self.names.get(&pattern)
        };
        exact().or_else(wildcard).unwrap_or(&self.default)
    }
}

impl CertificateSelector for CertificatesByName {
    fn select(&self, hello: &ClientHelloInfo<'_>) -> Op<Arc<CertifiedKey>, Error> {
        let candidates = self.candidates(hello.server_name);
        let chosen = candidates
            .iter()
            .find(|certified| certified.scheme_for(hello.signature_schemes).is_some());
        Op::Ready(match chosen {
            Some(certified) => Ok(certified.clone()),
            None if candidates.is_empty() => Err(match hello.server_name {
                Some(_) => Error::NoCommon(Parameter::ServerName),
                None => Misbehaviour::MissingExtension("server_name").into(),
            }),
            None => Err(Error::NoCommon(Parameter::SignatureScheme)),
        })
    }
}
