//! Verifiers that do not verify. For tests and measurements.
//!
//! # A verifier of one's own
//!
//! Whoever implements [`ServerVerifier`] or [`ClientVerifier`] decides whom the connection
//! trusts; the core checks only that the peer holds the private key of the public key that
//! the verifier returns. The safe way is to ask more than X.509 does, not less:
//!
//! ```
//! use crypto_api::Op;
//! use pki::PathValidator;
//! use rustls_pki_types::{ServerName, SubjectPublicKeyInfoDer, UnixTime};
//! use tls_core::verify::{CertificateChain, ServerVerifier, VerifiedPeer};
//! use tls_core::{CertificateError, CertificateProblem, Error};
//!
//! /// Accepts a valid certificate, and of those only the ones for a known key.
//! #[derive(Debug)]
//! struct Pinned {
//!     validator: PathValidator,
//!     key: SubjectPublicKeyInfoDer<'static>,
//! }
//!
//! impl ServerVerifier for Pinned {
//!     fn verify_server(
//!         &self,
//!         chain: &CertificateChain,
//!         name: &ServerName<'static>,
//!         now: UnixTime,
//!     ) -> Op<VerifiedPeer, Error> {
//!         let key = self.key.clone();
//!         self.validator
//!             .verify_server(chain, name, now)
//!             .then(move |verified| match verified {
//!                 Ok(peer) if peer.public_key != key => Err(Error::Certificate(CertificateError {
//!                     problem: CertificateProblem::Other,
//!                     detail: "the server's key is not the pinned one".into(),
//!                 })),
//!                 outcome => outcome,
//!             })
//!     }
//! }
//! ```

use crypto_api::Op;
use rustls_pki_types::{ServerName, UnixTime};
use tls_core::verify::{CertificateChain, ClientVerifier, ServerVerifier, VerifiedPeer};
use tls_core::{CertificateError, CertificateProblem, Error};
use webpki::EndEntityCert;

use crate::describe;

/// Accepts every certificate: anybody may be at the other end of the connection and read
/// and change all of it.
///
/// The peer still has to prove that it holds the private key of what it shows.
#[derive(Clone, Copy, Debug)]
pub struct AcceptAny(());

impl AcceptAny {
    /// Gives up authentication.
    pub fn dangerous_without_authentication() -> Self {
        Self(())
    }

    fn accept(chain: &CertificateChain) -> Result<VerifiedPeer, Error> {
        let first = chain.first().ok_or_else(|| CertificateError {
            problem: CertificateProblem::Missing,
            detail: "the peer sent an empty certificate chain".into(),
        })?;
        let end_entity = EndEntityCert::try_from(first).map_err(|error| CertificateError {
            problem: CertificateProblem::BadEncoding,
            detail: format!(
                "{} does not have the form of an X.509 certificate ({error})",
                describe::certificate(first, 0)
            ),
        })?;
        Ok(VerifiedPeer {
            public_key: end_entity.subject_public_key_info(),
        })
    }
}

impl ServerVerifier for AcceptAny {
    fn verify_server(
        &self,
        chain: &CertificateChain,
        _: &ServerName<'static>,
        _: UnixTime,
    ) -> Op<VerifiedPeer, Error> {
        Op::Ready(Self::accept(chain))
    }
}

impl ClientVerifier for AcceptAny {
    fn verify_client(&self, chain: &CertificateChain, _: UnixTime) -> Op<VerifiedPeer, Error> {
        Op::Ready(Self::accept(chain))
    }
}
