//! The verifier for X.509: path validation with a provider's signature verification.

use std::fmt;

use crypto_api::{CryptoProvider, Op};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, Der, ServerName, SignatureVerificationAlgorithm,
    TrustAnchor, UnixTime,
};
use tls_core::verify::{CertificateChain, ClientVerifier, ServerVerifier, VerifiedPeer};
use tls_core::{CertificateError, CertificateProblem};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::refusal::Refusal;
use crate::{Error, Origin, TrustAnchors, describe};

/// Verifies X.509 certificate chains: those of servers for a client, and those of clients
/// for a server.
///
/// A chain is accepted if a path of valid signatures, dates, constraints and purposes leads
/// from its first certificate over others in it to a trust anchor (RFC 5280, section 6),
/// and, for a server, if the certificate is for its name (RFC 9525). A certificate with an
/// extended key usage must list serverAuth, or clientAuth for a client; one without serves
/// both.
///
/// With [`with_revocation`](Self::with_revocation) no certificate may be revoked.
/// The signatures are verified by the provider, with all that it has, whichever schemes
/// are enabled in the handshake.
///
/// Share it in an `Arc`; verification takes no locks.
pub struct PathValidator {
    anchors: TrustAnchors,
    algorithms: Vec<&'static dyn SignatureVerificationAlgorithm>,
    revocation: Option<Revocation>,
    authorities: Vec<Der<'static>>,
}

/// Revocation lists, and what to do where they say nothing.
struct Revocation {
    crls: Vec<CertRevocationList<'static>>,
    policy: RevocationPolicy,
}

/// How strict the check for revoked certificates is. By default, as strict as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationPolicy {
    /// Which certificates of a path are checked: all but the anchor, or the end entity's.
    pub depth: RevocationCheckDepth,
    /// Whether a certificate without a revocation list of its issuer is refused.
    pub unknown_status: UnknownStatusPolicy,
    /// Whether a list past its nextUpdate is refused, and with it the certificates that it
    /// is about: an attacker who can hold back lists must not gain by it. An application
    /// that enforces this has to bring new lists in time.
    pub expired_list: ExpirationPolicy,
}

impl Default for RevocationPolicy {
    fn default() -> Self {
        Self {
            depth: RevocationCheckDepth::Chain,
            unknown_status: UnknownStatusPolicy::Deny,
            expired_list: ExpirationPolicy::Enforce,
        }
    }
}

impl PathValidator {
    /// Trusts `anchors`, and verifies signatures with `provider`.
    ///
    /// # Errors
    /// [`Error::NoAnchors`] or [`Error::NoVerification`]: with either of them missing, every
    /// peer would be refused.
    pub fn new(anchors: TrustAnchors, provider: &CryptoProvider) -> Result<Self, Error> {
        if anchors.is_empty() {
            return Err(Error::NoAnchors);
        }
        if provider.verification.is_empty() {
            return Err(Error::NoVerification);
        }
        let authorities = authorities(&anchors);
        Ok(Self {
            algorithms: provider.verification.iter().map(|v| v.algorithm).collect(),
            anchors,
            revocation: None,
            authorities,
        })
    }

    /// Checks for revoked certificates in these lists (DER), whose signatures are verified
    /// whenever they are used. Replaces earlier ones.
    ///
    /// # Errors
    /// [`Error::NothingFound`] if there is no list, [`Error::BadItem`] with the position of
    /// the first that cannot be parsed: delta and indirect lists are not supported.
    pub fn with_revocation(
        mut self,
        crls: &[CertificateRevocationListDer<'_>],
        policy: RevocationPolicy,
    ) -> Result<Self, Error> {
        if crls.is_empty() {
            return Err(Error::NothingFound {
                origin: Origin::Memory,
                wanted: "revocation list",
                found: "revocation is to be checked".into(),
            });
        }
        let parse = |(position, der): (usize, &CertificateRevocationListDer<'_>)| {
            OwnedCertRevocationList::from_der(der)
                .map(CertRevocationList::Owned)
                .map_err(|error| Error::BadItem {
                    origin: Origin::Memory,
                    item: "revocation list",
                    position,
                    reason: error.to_string(),
                })
        };
        self.revocation = Some(Revocation {
            crls: crls
                .iter()
                .enumerate()
                .map(parse)
                .collect::<Result<_, _>>()?,
            policy,
        });
        Ok(self)
    }

    /// Tells clients nothing about the anchors when they are asked for a certificate.
    ///
    /// Their names help a client with several certificates to choose; they also tell
    /// everyone who connects whom this server trusts.
    #[must_use]
    pub fn without_authorities(mut self) -> Self {
        self.authorities.clear();
        self
    }

    /// Verifies for a purpose, and for a name if the peer is a server.
    fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        usage: KeyUsage,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<VerifiedPeer, CertificateError> {
        let Some((first, intermediates)) = chain.split_first() else {
            return Err(CertificateError {
                problem: CertificateProblem::Missing,
                detail: "the peer sent an empty certificate chain".into(),
            });
        };
        let refuse = |error| Refusal {
            validator: self,
            chain,
            usage,
            now,
            error,
        };
        let end_entity =
            EndEntityCert::try_from(first).map_err(|e| refuse(e).explain_end_entity())?;
        self.validate(
            &self.algorithms,
            &end_entity,
            self.anchors.as_slice(),
            intermediates,
            usage,
            now,
        )
        .map_err(|error| refuse(error).explain())?;
        if let Some(name) = name {
            end_entity
                .verify_is_valid_for_subject_name(name)
                .map_err(|error| refuse(error).explain_end_entity())?;
        }
        Ok(VerifiedPeer {
            public_key: end_entity.subject_public_key_info(),
        })
    }

    /// Looks for a valid path to one of `anchors`, whose signatures `algorithms` verify.
    pub(crate) fn validate(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        end_entity: &EndEntityCert<'_>,
        anchors: &[TrustAnchor<'_>],
        intermediates: &[CertificateDer<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let lists: Vec<&CertRevocationList<'_>> = self
            .revocation
            .iter()
            .flat_map(|revocation| &revocation.crls)
            .collect();
        let options = match &self.revocation {
            None => None,
            Some(revocation) => Some(
                RevocationOptionsBuilder::new(&lists)
                    // Without a list nothing is known: never to be taken for "not revoked".
                    .map_err(|_| webpki::Error::UnknownRevocationStatus)?
                    .with_depth(revocation.policy.depth)
                    .with_status_policy(revocation.policy.unknown_status)
                    .with_expiration_policy(revocation.policy.expired_list)
                    .build(),
            ),
        };
        end_entity
            .verify_for_usage(
                algorithms,
                anchors,
                intermediates,
                now,
                usage,
                options,
                None,
            )
            .map(|_| ())
    }

    pub(crate) fn algorithms(&self) -> &[&'static dyn SignatureVerificationAlgorithm] {
        &self.algorithms
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        self.anchors.as_slice()
    }
}

/// The distinguished names of the anchors. None at all if they do not fit into the 16-bit
/// list of the extension (RFC 9846, section 4.3.4): part of them would mislead the client.
fn authorities(anchors: &TrustAnchors) -> Vec<Der<'static>> {
    const ROOM: usize = 0xff00;
    let names: Vec<Der<'static>> = anchors
        .as_slice()
        .iter()
        .filter_map(|anchor| describe::sequence(&anchor.subject))
        .map(Der::from)
        .collect();
    // Each name has two bytes of length.
    if names.iter().map(|name| name.len() + 2).sum::<usize>() > ROOM {
        return Vec::new();
    }
    names
}

impl ServerVerifier for PathValidator {
    fn verify_server(
        &self,
        chain: &CertificateChain,
        name: &ServerName<'static>,
        now: UnixTime,
    ) -> Op<VerifiedPeer, tls_core::Error> {
        let outcome = self.verify(chain, KeyUsage::server_auth(), Some(name), now);
        Op::Ready(outcome.map_err(Into::into))
    }
}

impl ClientVerifier for PathValidator {
    fn verify_client(
        &self,
        chain: &CertificateChain,
        now: UnixTime,
    ) -> Op<VerifiedPeer, tls_core::Error> {
        let outcome = self.verify(chain, KeyUsage::client_auth(), None, now);
        Op::Ready(outcome.map_err(Into::into))
    }

    fn authorities(&self) -> &[Der<'static>] {
        &self.authorities
    }
}

impl fmt::Debug for PathValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PathValidator");
        out.field("anchors", &self.anchors);
        if let Some(revocation) = &self.revocation {
            out.field("crls", &revocation.crls.len())
                .field("policy", &revocation.policy);
        }
        out.finish_non_exhaustive()
    }
}
