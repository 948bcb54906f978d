//! Whom to trust.

use std::fmt;
use std::path::Path;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::{Error, Origin, pem};

/// The authorities that are trusted (RFC 5280, section 6.1.1 (d)).
///
/// An anchor is a name and a public key, and possibly constraints on the names below it.
/// The certificate that it is taken from is not itself checked: whoever adds it vouches for
/// it, past its expiry too.
#[derive(Clone, Default)]
pub struct TrustAnchors {
    anchors: Vec<TrustAnchor<'static>>,
}

impl TrustAnchors {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every certificate of a PEM file.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::NothingFound`], [`Error::BadPem`] or
    /// [`Error::BadItem`], naming the file.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::collect(&pem::load_certificates(path)?, &path.into())
    }

    /// Every certificate of a PEM text.
    ///
    /// # Errors
    /// [`Error::NothingFound`], [`Error::BadPem`] or [`Error::BadItem`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        Self::collect(&pem::parse_certificates(pem)?, &Origin::Memory)
    }

    /// These certificates (DER).
    ///
    /// # Errors
    /// [`Error::BadItem`] with the position of the first that cannot be parsed.
    pub fn from_certificates(certificates: &[CertificateDer<'_>]) -> Result<Self, Error> {
        Self::collect(certificates, &Origin::Memory)
    }

    /// What the operating system trusts.
    ///
    /// Where `SSL_CERT_FILE` or `SSL_CERT_DIR` is set, that instead. This reads files, a
    /// few hundred kilobytes: do it once.
    ///
    /// # Errors
    /// [`Error::NoSystemAnchors`] if there is not one that can be used.
    pub fn system() -> Result<SystemAnchors, Error> {
        let native = rustls_native_certs::load_native_certs();
        let mut skipped: Vec<Error> = native
            .errors
            .iter()
            .map(|error| Error::Unreadable {
                origin: Origin::System,
                reason: error.to_string(),
            })
            .collect();
        let mut anchors = Self::new();
        for (position, certificate) in native.certs.iter().enumerate() {
            if let Err(error) = anchors.take(certificate, position, &Origin::System) {
                skipped.push(error);
            }
        }
        if anchors.is_empty() {
            return Err(Error::NoSystemAnchors(match skipped.first() {
                Some(error) => error.to_string(),
                None => "the store is empty".into(),
            }));
        }
        Ok(SystemAnchors { anchors, skipped })
    }

    /// Adds a certificate (DER).
    ///
    /// # Errors
    /// [`Error::BadItem`] if it cannot be parsed.
    pub fn add(&mut self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        self.take(certificate, self.len(), &Origin::Memory)
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.anchors.extend(other.anchors);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The anchors themselves.
    pub fn as_slice(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    fn collect(certificates: &[CertificateDer<'_>], origin: &Origin) -> Result<Self, Error> {
        let mut anchors = Self::new();
        for (position, certificate) in certificates.iter().enumerate() {
            anchors.take(certificate, position, origin)?;
        }
        Ok(anchors)
    }

    fn take(
        &mut self,
        certificate: &CertificateDer<'_>,
        position: usize,
        origin: &Origin,
    ) -> Result<(), Error> {
        let anchor =
            webpki::anchor_from_trusted_cert(certificate).map_err(|error| Error::BadItem {
                origin: origin.clone(),
                item: "certificate",
                position,
                reason: format!("not an X.509 certificate ({error})"),
            })?;
        self.anchors.push(anchor.to_owned());
        Ok(())
    }
}

/// The number of anchors only: the whole is long and of no use in a log.
impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustAnchors({})", self.anchors.len())
    }
}

/// What [`TrustAnchors::system`] found.
#[derive(Clone, Debug)]
pub struct SystemAnchors {
    /// Those that can be used; at least one.
    pub anchors: TrustAnchors,
    /// Files and certificates that cannot. Stores often hold a few, and that harms only
    /// connections to whom they would vouch for.
    pub skipped: Vec<Error>,
}
