//! A client's configuration.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crypto_api::{CryptoProvider, NamedGroup, Op, SignatureScheme};

use super::{CertifiedKey, KeyLog, Limits, any_usable, check_common};
use crate::verify::ServerVerifier;
use crate::{ConfigError, Error};

/// What a client decides, to be filled in and made a [`ClientConfig`].
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The cryptography; its order of suites and groups is the client's preference.
    pub provider: Arc<CryptoProvider>,
    /// Decides which servers to trust.
    pub verifier: Arc<dyn ServerVerifier>,
    /// Chooses a certificate when a server asks for one. `None`: the client has none.
    pub certificates: Option<Arc<dyn ClientCertificateSelector>>,
    /// The groups to send key shares in; they go out in the provider's order. A share that the server
    /// can use saves a round trip; each costs a key pair and its bytes. By default the
    /// provider's first group, and its first classical one if that is another. Empty is
    /// allowed: the server then asks for one (RFC 9846, section 4.3.8).
    pub key_shares: Vec<NamedGroup>,
    /// Schemes accepted in the server's CertificateVerify. By default all that the provider
    /// verifies and TLS 1.3 allows there.
    pub signature_schemes: Vec<SignatureScheme>,
    /// Application protocols (ALPN), the preferred one first. Empty: none is offered.
    pub alpn: Vec<Vec<u8>>,
    /// Whether the server is told the host name that is asked for (RFC 6066, section 3).
    pub send_server_name: bool,
    /// Whether the handshake looks like a TLS 1.2 resumption to boxes in between that would
    /// not let it pass otherwise (RFC 9846, appendix E.4).
    pub middlebox_compatibility: bool,
    /// Where secrets go, for debugging only.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// Bounds.
    pub limits: Limits,
}

impl ClientSettings {
    /// Settings with defaults for everything but the two that have none.
    pub fn new(provider: Arc<CryptoProvider>, verifier: Arc<dyn ServerVerifier>) -> Self {
        let mut signature_schemes = provider.verification_schemes();
        signature_schemes.retain(|scheme| scheme.allowed_in_handshake());
        let groups: Vec<_> = provider.groups.iter().map(|group| group.id()).collect();
        let mut key_shares: Vec<_> = groups.first().copied().into_iter().collect();
        // Servers without the hybrids of 2025 still answer at once.
        if key_shares.first().is_some_and(|group| is_hybrid(*group)) {
            key_shares.extend(groups.iter().copied().find(|group| !is_hybrid(*group)));
        }
        Self {
            provider,
            verifier,
            certificates: None,
            key_shares,
            signature_schemes,
            alpn: Vec::new(),
            send_server_name: true,
            middlebox_compatibility: true,
            key_log: None,
            limits: Limits::default(),
        }
    }
}

fn is_hybrid(group: NamedGroup) -> bool {
    matches!(
        group,
        NamedGroup::X25519MLKEM768 | NamedGroup::SECP256R1MLKEM768 | NamedGroup::SECP384R1MLKEM1024
    )
}

/// A client's configuration, checked, shared by its connections.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    settings: ClientSettings,
}

impl ClientConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// What is wrong with them, the first found.
    pub fn new(mut settings: ClientSettings) -> Result<Self, ConfigError> {
        check_common(
            &settings.provider,
            &settings.signature_schemes,
            &settings.alpn,
            &settings.limits,
        )?;
        if !any_usable(&settings.signature_schemes) {
            return Err(ConfigError::Limit(
                "signature_schemes: a client must accept at least one that TLS 1.3 allows in a \
                 handshake",
            ));
        }
        for (at, group) in settings.key_shares.iter().enumerate() {
            if settings.provider.group(*group).is_none() {
                return Err(ConfigError::KeyShareWithoutGroup(*group));
            }
            if settings.key_shares.iter().skip(at + 1).any(|g| g == group) {
                return Err(ConfigError::KeyShareTwice(*group));
            }
        }
        // In the order of supported_groups (RFC 9846, section 4.3.8).
        let groups = &settings.provider.groups;
        let place = |id: &NamedGroup| groups.iter().position(|group| group.id() == *id);
        let mut key_shares = core::mem::take(&mut settings.key_shares);
        key_shares.sort_by_key(place);
        settings.key_shares = key_shares;
        Ok(Self { settings })
    }

    /// What it was made of.
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }
}

/// What a CertificateRequest says that bears on the choice of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateRequestInfo<'a> {
    /// Schemes that the server accepts in CertificateVerify.
    pub signature_schemes: &'a [SignatureScheme],
    /// Schemes that the server accepts inside certificates, if it says so separately.
    pub certificate_schemes: Option<&'a [SignatureScheme]>,
    /// Distinguished names (DER) of authorities that the server trusts; empty if it does
    /// not say.
    pub authorities: &'a [Vec<u8>],
}

/// Chooses a client's certificate.
pub trait ClientCertificateSelector: Send + Sync + fmt::Debug {
    /// Chooses, now or later; `None` is to go on without one.
    ///
    /// # Errors
    /// Any error ends the handshake.
    fn select(&self, request: &CertificateRequestInfo<'_>) -> Op<Option<Arc<CertifiedKey>>, Error>;
}

/// One certificate for all servers whose schemes it fits.
impl ClientCertificateSelector for Arc<CertifiedKey> {
    fn select(&self, request: &CertificateRequestInfo<'_>) -> Op<Option<Self>, Error> {
        let fits = self.scheme_for(request.signature_schemes).is_some();
        Op::ok(fits.then(|| self.clone()))
    }
}
