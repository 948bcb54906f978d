//! How the core asks whom to trust.
//!
//! The core checks that a peer holds the private key of a public key; whose public key it
//! is, a verifier says. The `pki` crate has verifiers for X.509.

use alloc::sync::Arc;
use core::fmt;

use crypto_api::Op;
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};

use crate::Error;

/// A certificate chain, the end entity's first.
pub type CertificateChain = Arc<[CertificateDer<'static>]>;

/// The public key of a peer that a verifier has accepted.
///
/// Making one is the statement that the chain was verified: the core goes on to trust
/// whoever holds the private key.
#[derive(Clone, Debug)]
pub struct VerifiedPeer {
    /// The end entity's public key.
    pub public_key: SubjectPublicKeyInfoDer<'static>,
}

/// Decides whether a client trusts a server's certificate.
pub trait ServerVerifier: Send + Sync + fmt::Debug {
    /// Verifies `chain` for the server `name` at the time `now`.
    ///
    /// # Errors
    /// [`Error::Certificate`] if it is refused.
    fn verify_server(
        &self,
        chain: &CertificateChain,
        name: &ServerName<'static>,
        now: UnixTime,
    ) -> Op<VerifiedPeer, Error>;
}

/// Decides whether a server trusts a client's certificate.
pub trait ClientVerifier: Send + Sync + fmt::Debug {
    /// Verifies `chain` at the time `now`.
    ///
    /// # Errors
    /// [`Error::Certificate`] if it is refused.
    fn verify_client(&self, chain: &CertificateChain, now: UnixTime) -> Op<VerifiedPeer, Error>;

    /// The distinguished names (DER) of the authorities that the client may choose a
    /// certificate by (RFC 9846, section 4.3.4). Empty: the client is told nothing.
    fn authorities(&self) -> &[rustls_pki_types::Der<'static>] {
        &[]
    }
}
