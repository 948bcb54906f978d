//! Why a chain was refused, in words: which certificate, what is wrong, what to do.

use rustls_pki_types::{CertificateDer, UnixTime};
use tls_core::{CertificateError, CertificateProblem};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::PathValidator;
use crate::describe;
use crate::frugal::Frugal;

/// The deepest path that is looked through: no valid one is longer. With [`Frugal`] it bounds
/// the work that a peer can cause with a bad chain.
const DEEPEST: usize = 8;

/// A chain that was refused, and what the validation said.
pub(crate) struct Refusal<'a> {
    pub(crate) validator: &'a PathValidator,
    pub(crate) chain: &'a [CertificateDer<'a>],
    pub(crate) usage: KeyUsage,
    pub(crate) now: UnixTime,
    pub(crate) error: Error,
}

impl Refusal<'_> {
    /// Explains an error that is about the end entity's certificate.
    pub(crate) fn explain_end_entity(&self) -> CertificateError {
        self.describe(0, &self.error)
    }

    /// Finds the certificate that is to blame and explains.
    pub(crate) fn explain(&self) -> CertificateError {
        if let Some((position, error)) = self.unreadable() {
            return self.describe(position, &error);
        }
        let path = self.path();
        let frugal = Frugal::new();
        let found = self.first_bad_link(&path, &frugal);
        if frugal.is_spent() {
            return self.describe(0, &Error::MaximumSignatureChecksExceeded);
        }
        match found {
            Some((position, error)) => self.describe(position, &error),
            // Below the top all is well: the last certificate does not reach an anchor.
            None => self.describe(path.last().copied().unwrap_or(0), &self.error),
        }
    }

    /// The first certificate that cannot be parsed, if that is what the error says: the
    /// validation may also have found a way around it and failed elsewhere.
    fn unreadable(&self) -> Option<(usize, Error)> {
        self.chain.iter().enumerate().find_map(|(position, der)| {
            let error = EndEntityCert::try_from(der).err()?;
            (error == self.error).then_some((position, error))
        })
    }

    /// The positions from the end entity's certificate upwards, each the issuer of the one
    /// before by name, up to one whose issuer is an anchor or is not in the chain.
    fn path(&self) -> Vec<usize> {
        let mut path = vec![0];
        while path.len() < DEEPEST {
            let issuer = path
                .last()
                .and_then(|at| self.chain.get(*at))
                .and_then(|der| EndEntityCert::try_from(der).ok())
                .map(|cert| cert.issuer().to_vec());
            let Some(issuer) = issuer else { break };
            if self.is_anchor(&issuer) {
                break;
            }
            let next = self.chain.iter().enumerate().find(|(position, der)| {
                !path.contains(position)
                    && EndEntityCert::try_from(*der).is_ok_and(|cert| cert.subject() == issuer)
            });
            let Some((position, _)) = next else { break };
            path.push(position);
        }
        path
    }

    fn is_anchor(&self, subject: &[u8]) -> bool {
        let mut anchors = self.validator.anchors().iter();
        anchors.any(|anchor| anchor.subject.as_ref() == subject)
    }

    /// Validates longer and longer parts of the path, each as if the certificate above it
    /// were an anchor. What fails first fails because of the topmost certificate in it.
    fn first_bad_link(&self, path: &[usize], frugal: &Frugal) -> Option<(usize, Error)> {
        let end_entity = EndEntityCert::try_from(self.chain.first()?).ok()?;
        let algorithms = frugal.algorithms(self.validator.algorithms());
        let algorithms: Vec<_> = algorithms.iter().map(|one| one as _).collect();
        let mut intermediates = Vec::new();
        for pair in path.windows(2) {
            let &[below, above] = pair else { break };
            if below != 0 {
                intermediates.push(CertificateDer::from(self.chain.get(below)?.as_ref()));
            }
            let anchor = webpki::anchor_from_trusted_cert(self.chain.get(above)?).ok()?;
            if let Err(error) = self.validator.validate(
                &algorithms,
                &end_entity,
                &[anchor],
                &intermediates,
                self.usage,
                self.now,
            ) {
                return Some((below, error));
            }
        }
        None
    }

    fn describe(&self, position: usize, error: &Error) -> CertificateError {
        let (problem, what) = self.words(position, error);
        let certificate = match self.chain.get(position) {
            Some(der) => describe::certificate(der, position),
            None => "certificate".into(),
        };
        CertificateError {
            problem,
            detail: format!("{certificate} {what}"),
        }
    }

    /// What is wrong, as the rest of a sentence that begins with the certificate.
    #[allow(deprecated)] // Variants without context that are still in the enum.
    fn words(&self, position: usize, error: &Error) -> (CertificateProblem, String) {
        use CertificateProblem as P;
        let issuer = || self.issuer(position);
        match error {
            Error::CertExpired { time, not_after } => (
                P::Expired,
                format!(
                    "expired on {}, and it is {} now: it has to be renewed, \
                     unless the clock is wrong",
                    describe::time(*not_after),
                    describe::time(*time)
                ),
            ),
            Error::CertNotValidYet { time, not_before } => (
                P::NotYetValid,
                format!(
                    "is valid from {} on, and it is {} now: is the clock right?",
                    describe::time(*not_before),
                    describe::time(*time)
                ),
            ),
            Error::CertNotValidForName(context) => (
                P::WrongName,
                match context.presented.is_empty() {
                    true => format!(
                        "is not for {}: it names no host, \
                         and its subject does not count (subjectAltName is needed)",
                        context.expected.to_str()
                    ),
                    false => format!(
                        "is not for {}, but for {}",
                        context.expected.to_str(),
                        describe::list(context.presented.iter().map(|name| describe::san(name)))
                    ),
                },
            ),
            Error::UnsupportedNameType => {
                (P::WrongName, "cannot be for a name of this kind".into())
            }
            Error::CertRevoked => (P::Revoked, format!("was revoked by {}", issuer())),
            Error::UnknownRevocationStatus => (
                P::RevocationUnknown,
                format!(
                    "may have been revoked: there is no revocation list of {}; \
                     add it, or allow certificates of unknown status",
                    issuer()
                ),
            ),
            Error::CrlExpired { next_update, .. } => (
                P::RevocationUnknown,
                format!(
                    "may have been revoked: the revocation list of {} was to be replaced by \
                     {}; load the new one",
                    issuer(),
                    describe::time(*next_update)
                ),
            ),
            Error::InvalidCrlSignatureForPublicKey
            | Error::IssuerNotCrlSigner
            | Error::UnsupportedCrlSignatureAlgorithm
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKey
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => (
                P::RevocationUnknown,
                format!(
                    "may have been revoked: the revocation list of {} cannot be trusted, {}",
                    issuer(),
                    match error {
                        Error::InvalidCrlSignatureForPublicKey => "its signature does not verify",
                        Error::IssuerNotCrlSigner => "its issuer may not sign lists",
                        _ => "no backend verifies its signature algorithm",
                    }
                ),
            ),
            Error::UnknownIssuer => (P::UnknownIssuer, self.no_issuer(position)),
            Error::InvalidSignatureForPublicKey => (
                P::BadSignature,
                format!(
                    "carries a signature that does not verify with the key of {}: it was \
                     altered, or another authority of that name issued it",
                    issuer()
                ),
            ),
            Error::UnsupportedSignatureAlgorithmContext(context) => (
                P::Unsupported,
                format!(
                    "is signed with {}, which no backend verifies",
                    describe::algorithm(&context.signature_algorithm_id)
                ),
            ),
            Error::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => (
                P::Unsupported,
                format!(
                    "is signed with {} by a key of kind {}, which no backend verifies",
                    describe::algorithm(&context.signature_algorithm_id),
                    describe::algorithm(&context.public_key_algorithm_id)
                ),
            ),
            Error::UnsupportedSignatureAlgorithm
            | Error::UnsupportedSignatureAlgorithmForPublicKey => (
                P::Unsupported,
                "is signed with an algorithm that no backend verifies".into(),
            ),
            Error::UnsupportedCertVersion => (P::Unsupported, "is not of X.509 version 3".into()),
            Error::UnsupportedCriticalExtension => (
                P::Unsupported,
                "has a critical extension that is not known".into(),
            ),
            Error::CaUsedAsEndEntity => (
                P::WrongPurpose,
                "is an authority's (CA:TRUE), not an end entity's: issue one without, \
                 basicConstraints=critical,CA:FALSE"
                    .into(),
            ),
            Error::EndEntityUsedAsCa => (
                P::WrongPurpose,
                "is not an authority's (CA:TRUE is missing), and issued another".into(),
            ),
            Error::RequiredEkuNotFoundContext(context) => {
                let present = context.present.iter().map(|oid| describe::purpose(oid));
                let peer = match self.usage == KeyUsage::server_auth() {
                    true => "servers (serverAuth)",
                    false => "clients (clientAuth)",
                };
                (
                    P::WrongPurpose,
                    format!(
                        "is not for {peer}: its extended key usage lists {}",
                        describe::list(present)
                    ),
                )
            }
            Error::RequiredEkuNotFound | Error::EmptyEkuExtension => (
                P::WrongPurpose,
                "has no extended key usage that allows this".into(),
            ),
            Error::NameConstraintViolation => (
                P::Other,
                "has a name that an authority above it may not certify (name constraints)".into(),
            ),
            Error::PathLenConstraintViolated => (
                P::Other,
                "stands above more authorities than it allows (path length constraint)".into(),
            ),
            Error::CertDistrusted => (P::Other, "has a key that is known to be abused".into()),
            Error::MaximumNameConstraintComparisonsExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumPathDepthExceeded
            | Error::MaximumSignatureChecksExceeded => (
                P::Other,
                format!("needs too much work to find a path to a trust anchor ({error})"),
            ),
            // All that is left is about the form.
            other => (
                P::BadEncoding,
                format!("does not have the form of an X.509 certificate ({other})"),
            ),
        }
    }

    fn issuer(&self, position: usize) -> String {
        self.chain
            .get(position)
            .and_then(|der| EndEntityCert::try_from(der).ok())
            .map_or_else(|| "its issuer".into(), |cert| describe::name(cert.issuer()))
    }

    fn no_issuer(&self, position: usize) -> String {
        let self_issued = self
            .chain
            .get(position)
            .and_then(|der| EndEntityCert::try_from(der).ok())
            .is_some_and(|cert| cert.subject() == cert.issuer());
        match self_issued {
            true => "issued itself and is not a trust anchor: add it if it is to be trusted".into(),
            false => format!(
                "was issued by {}, which is neither a trust anchor nor in the chain: add it to \
                 the anchors, or have the peer send its intermediate certificates",
                self.issuer(position)
            ),
        }
    }
}
