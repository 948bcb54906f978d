//! Whom to trust, from wherever that is written.

use std::path::PathBuf;

use crypto_api::CryptoProvider;
use pki::{PathValidator, RevocationPolicy, TrustAnchors};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::SetupError;

/// The authorities whose certificates are accepted, and their revocation lists.
///
/// ```
/// use keyway::Trust;
///
/// let partners = Trust::file("partners.pem").and(Trust::file("staff.pem"));
/// let checked = partners.crl_file("revoked.pem");
/// ```
///
/// Files are read when the configuration is built. With any revocation list every
/// certificate of a chain must be covered by one, unless [`revocation`](Self::revocation)
/// says otherwise.
#[derive(Debug)]
pub struct Trust {
    anchors: Vec<Anchors>,
    lists: Vec<Lists>,
    policy: Option<RevocationPolicy>,
}

#[derive(Debug)]
enum Anchors {
    System,
    File(PathBuf),
    Pem(Vec<u8>),
    Der(Vec<CertificateDer<'static>>),
    Loaded(TrustAnchors),
}

#[derive(Debug)]
enum Lists {
    File(PathBuf),
    Pem(Vec<u8>),
    Der(Vec<CertificateRevocationListDer<'static>>),
}

impl Trust {
    /// What the operating system trusts.
    pub fn system() -> Self {
        Self::new(Anchors::System)
    }

    /// All certificates of a PEM file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Anchors::File(path.into()))
    }

    /// All certificates of a PEM text.
    pub fn pem(pem: impl Into<Vec<u8>>) -> Self {
        Self::new(Anchors::Pem(pem.into()))
    }

    /// Certificates in DER.
    pub fn certificates(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        Self::new(Anchors::Der(certificates.into_iter().collect()))
    }

    fn new(anchors: Anchors) -> Self {
        Self {
            anchors: vec![anchors],
            lists: Vec::new(),
            policy: None,
        }
    }

    /// All that either trusts; the revocation lists of both are checked.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.anchors.extend(other.anchors);
        self.lists.extend(other.lists);
        self.policy = self.policy.or(other.policy);
        self
    }

    /// Refuses what the revocation lists of a PEM file revoke.
    #[must_use]
    pub fn crl_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.lists.push(Lists::File(path.into()));
        self
    }

    /// Refuses what the revocation lists of a PEM text revoke.
    #[must_use]
    pub fn crl_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.lists.push(Lists::Pem(pem.into()));
        self
    }

    /// Refuses what these revocation lists (DER) revoke.
    #[must_use]
    pub fn crls(
        mut self,
        lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
    ) -> Self {
        self.lists.push(Lists::Der(lists.into_iter().collect()));
        self
    }

    /// How strict the check for revoked certificates is: by default, as strict as can be.
    #[must_use]
    pub fn revocation(mut self, policy: RevocationPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Reads all of it.
    pub(super) fn load(
        &self,
        option: &str,
        provider: &CryptoProvider,
    ) -> Result<PathValidator, SetupError> {
        self.validator(provider).map_err(|reason| SetupError::Pki {
            option: option.into(),
            reason,
        })
    }

    fn validator(&self, provider: &CryptoProvider) -> Result<PathValidator, pki::Error> {
        let mut anchors = TrustAnchors::new();
        for source in &self.anchors {
            anchors.extend(match source {
                Anchors::System => TrustAnchors::system()?.anchors,
                Anchors::File(path) => TrustAnchors::from_pem_file(path)?,
                Anchors::Pem(pem) => TrustAnchors::from_pem(pem)?,
                Anchors::Der(certificates) => TrustAnchors::from_certificates(certificates)?,
                Anchors::Loaded(anchors) => anchors.clone(),
            });
        }
        let validator = PathValidator::new(anchors, provider)?;
        if self.lists.is_empty() && self.policy.is_none() {
            return Ok(validator);
        }
        let mut lists = Vec::new();
        for source in &self.lists {
            lists.extend(match source {
                Lists::File(path) => pki::load_crls(path)?,
                Lists::Pem(pem) => pki::parse_crls(pem)?,
                Lists::Der(lists) => lists.clone(),
            });
        }
        validator.with_revocation(&lists, self.policy.unwrap_or_default())
    }
}

impl From<TrustAnchors> for Trust {
    fn from(anchors: TrustAnchors) -> Self {
        Self::new(Anchors::Loaded(anchors))
    }
}
