//! What an application decides about its connections.
//!
//! Settings are plain structs to be filled in; making a configuration of them checks
//! everything once, so that no handshake fails for a reason that was known before.

mod client;
mod server;

pub use client::{CertificateRequestInfo, ClientCertificateSelector, ClientConfig, ClientSettings};
pub use server::{
    CertificateSelector, CertificatesByName, ClientAuth, ClientHelloInfo, ServerConfig,
    ServerSettings,
};

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crypto_api::{CryptoProvider, SignatureScheme, SigningKey};

use crate::verify::CertificateChain;
use crate::{ConfigError, Error};

/// A certificate chain with the private key of its first certificate.
#[derive(Clone, Debug)]
pub struct CertifiedKey {
    chain: CertificateChain,
    key: Arc<dyn SigningKey>,
}

impl CertifiedKey {
    /// Puts a chain and a key together without looking into the certificate: the core
    /// parses no X.509. `pki::certified_key` also checks that they belong together.
    ///
    /// # Errors
    /// [`ConfigError::EmptyChain`], or [`ConfigError::UselessKey`] if the key has no scheme
    /// of TLS 1.3.
    pub fn new(chain: CertificateChain, key: Arc<dyn SigningKey>) -> Result<Self, ConfigError> {
        if chain.is_empty() {
            return Err(ConfigError::EmptyChain);
        }
        if !key
            .schemes()
            .iter()
            .any(|scheme| scheme.allowed_in_handshake())
        {
            return Err(ConfigError::UselessKey);
        }
        Ok(Self { chain, key })
    }

    /// The chain, the end entity's certificate first.
    pub fn chain(&self) -> &CertificateChain {
        &self.chain
    }

    /// The private key.
    pub fn key(&self) -> &Arc<dyn SigningKey> {
        &self.key
    }

    /// The scheme to sign with for a peer that accepts `offered`: the key's most preferred.
    pub fn scheme_for(&self, offered: &[SignatureScheme]) -> Option<SignatureScheme> {
        self.key
            .schemes()
            .iter()
            .copied()
            .find(|scheme| scheme.allowed_in_handshake() && offered.contains(scheme))
    }
}

/// Receives a connection's secrets, for a developer who wants to decrypt captured traffic.
///
/// Whoever has them reads everything: never enable this for real users.
pub trait KeyLog: Send + Sync + fmt::Debug {
    /// Takes a secret under its label in the `SSLKEYLOGFILE` format, with the ClientHello's
    /// random by which the connection is known (RFC 9850).
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]);
}

/// Bounds that an application may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest handshake message taken from a peer, in bytes. It bounds the memory that
    /// a peer can claim. At least 4,096; by default 65,536.
    pub handshake_message: usize,
    /// The most that is put into one record, in bytes: 64 to 16,384 (the default). It holds
    /// for handshake messages, too. Small records let a receiver start on the data sooner.
    pub record_payload: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_message: 65_536,
            record_payload: crate::record::MAX_PLAINTEXT,
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        if !(4096..=0xff_ffff).contains(&self.handshake_message) {
            return Err(ConfigError::Limit(
                "handshake_message: 4096 to 16777215 bytes",
            ));
        }
        if !(64..=crate::record::MAX_PLAINTEXT).contains(&self.record_payload) {
            return Err(ConfigError::Limit("record_payload: 64 to 16384 bytes"));
        }
        Ok(())
    }
}

/// The checks that both sides' settings share.
fn check_common(
    provider: &CryptoProvider,
    schemes: &[SignatureScheme],
    alpn: &[Vec<u8>],
    limits: &Limits,
) -> Result<(), ConfigError> {
    provider.check()?;
    if crate::tls13::suites(provider).next().is_none() {
        return Err(ConfigError::NoCipherSuite);
    }
    let verifiable = provider.verification_schemes();
    if let Some(scheme) = schemes.iter().find(|scheme| !verifiable.contains(scheme)) {
        return Err(ConfigError::NoSuchScheme(*scheme));
    }
    if alpn.iter().any(|name| name.is_empty() || name.len() > 255) {
        return Err(ConfigError::ApplicationProtocol);
    }
    // A list of names with one byte of length each. A quarter of what the extensions of a
    // ClientHello hold, so that the others always fit beside it.
    if alpn.iter().map(|name| name.len() + 1).sum::<usize>() > 0x4000 {
        return Err(ConfigError::TooManyApplicationProtocols);
    }
    limits.check()
}

/// Whether a handshake can be signed under any of these schemes.
fn any_usable(schemes: &[SignatureScheme]) -> bool {
    schemes.iter().any(|scheme| scheme.allowed_in_handshake())
}

/// Chooses a scheme for `certified`, or says that there is none.
pub(crate) fn choose_scheme(
    certified: &CertifiedKey,
    offered: &[SignatureScheme],
) -> Result<SignatureScheme, Error> {
    certified
        .scheme_for(offered)
        .ok_or(Error::NoCommon(crate::Parameter::SignatureScheme))
}
