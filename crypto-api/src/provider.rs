//! The provider: everything cryptographic that a TLS stack uses, as one plain value.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rustls_pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};

use crate::{
    CipherSuite, Error, HashAlgorithm, HashFunctions, KeyExchangeGroup, KeyLoader, NamedGroup,
    SecureRandom, SignatureScheme, SigningKey, Suite, TicketProtector, Verification,
};

/// The longest key of an AEAD, in bytes. No suite of TLS has a longer one.
const MAX_KEY_LEN: usize = 32;

/// The longest tag of an AEAD, in bytes: with the content type, protection makes a record at
/// most 256 bytes longer (RFC 9846, section 5.2).
const MAX_TAG_LEN: usize = 255;

/// Who computes an algorithm, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Implementation {
    /// The backend: `soft`, `openssl`, ...
    pub backend: &'static str,
    /// The CPU feature, library version or device in use: `AES-NI`, `OpenSSL 3.6.3`, ...
    pub detail: &'static str,
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.backend, self.detail)
    }
}

/// Everything cryptographic that a TLS stack uses.
///
/// A plain value: lists in order of preference, and shared objects. Mixing backends is
/// building such a value from parts of others:
///
/// ```
/// # use crypto_api::CryptoProvider;
/// fn records_from(fast: CryptoProvider, rest: CryptoProvider) -> CryptoProvider {
///     CryptoProvider { suites: fast.suites, ..rest }
/// }
///
/// /// As `base`, but what `extra` has in suites and groups comes from there.
/// fn overlay(base: CryptoProvider, extra: &CryptoProvider) -> CryptoProvider {
///     base.with_suites_from(extra).with_groups_from(extra)
/// }
/// ```
///
/// A provider is checked by [`check`](CryptoProvider::check), which configurations call,
/// and shown by [`table`](CryptoProvider::table).
#[derive(Clone, Debug)]
pub struct CryptoProvider {
    /// Cipher suites, the preferred one first.
    pub suites: Vec<Suite>,
    /// Groups for key exchange, the preferred one first.
    pub groups: Vec<Arc<dyn KeyExchangeGroup>>,
    /// Hash functions; every suite's must be among them.
    pub hashes: Vec<HashFunctions>,
    /// Signature algorithms that can be verified, the preferred one first.
    pub verification: Vec<Verification>,
    /// Loaders for private keys, asked in this order.
    pub key_loaders: Vec<Arc<dyn KeyLoader>>,
    /// Randomness.
    pub random: Arc<dyn SecureRandom>,
    /// Protection of session tickets. Not used yet: servers issue none, whatever is here.
    pub tickets: Option<Arc<dyn TicketProtector>>,
}

impl CryptoProvider {
    /// The suite with this code point.
    pub fn suite(&self, id: CipherSuite) -> Option<&Suite> {
        self.suites.iter().find(|suite| suite.id == id)
    }

    /// The group with this code point.
    pub fn group(&self, id: NamedGroup) -> Option<&Arc<dyn KeyExchangeGroup>> {
        self.groups.iter().find(|group| group.id() == id)
    }

    /// The hash function of this name.
    pub fn hash(&self, algorithm: HashAlgorithm) -> Option<&HashFunctions> {
        self.hashes
            .iter()
            .find(|functions| functions.algorithm() == algorithm)
    }

    /// The algorithm that verifies `scheme` with public keys of the kind `key_algorithm`
    /// (the content of an AlgorithmIdentifier; see [`PublicKey`](crate::PublicKey)).
    pub fn verification(
        &self,
        scheme: SignatureScheme,
        key_algorithm: &[u8],
    ) -> Option<&'static dyn SignatureVerificationAlgorithm> {
        self.verification
            .iter()
            .find(|entry| {
                entry.scheme == Some(scheme)
                    && entry.algorithm.public_key_alg_id().as_ref() == key_algorithm
            })
            .map(|entry| entry.algorithm)
    }

    /// The schemes that can be verified, in order of preference, each once.
    pub fn verification_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = Vec::new();
        for scheme in self.verification.iter().filter_map(|entry| entry.scheme) {
            if !schemes.contains(&scheme) {
                schemes.push(scheme);
            }
        }
        schemes
    }

    /// Loads a private key with the first loader that knows its kind.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if no loader knows its kind, [`Error::BadKey`] if the one
    /// that does refuses it.
    pub fn load_key(&self, key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, Error> {
        let mut outcome = Err(Error::Unsupported("no backend loads private keys"));
        for loader in &self.key_loaders {
            outcome = loader.load(key);
            if !matches!(outcome, Err(Error::Unsupported(_))) {
                break;
            }
        }
        outcome
    }

    /// Takes the suites of `other`, in their order and before those of its own that
    /// `other` does not have; also the hash functions that only `other` has.
    #[must_use]
    pub fn with_suites_from(self, other: &Self) -> Self {
        let mut mixed = self.with_suites(other.suites.clone());
        for functions in &other.hashes {
            if mixed.hash(functions.algorithm()).is_none() {
                mixed.hashes.push(functions.clone());
            }
        }
        mixed
    }

    /// Takes `suites`, in their order and before those of its own that are not among them:
    /// those of a backend that supplies records and nothing else.
    #[must_use]
    pub fn with_suites(mut self, suites: Vec<Suite>) -> Self {
        let own = core::mem::replace(&mut self.suites, suites);
        for suite in own {
            if self.suite(suite.id).is_none() {
                self.suites.push(suite);
            }
        }
        self
    }

    /// Takes the groups of `other`, in their order and before those of its own that `other`
    /// does not have.
    #[must_use]
    pub fn with_groups_from(mut self, other: &Self) -> Self {
        let own = core::mem::replace(&mut self.groups, other.groups.clone());
        for group in own {
            if self.group(group.id()).is_none() {
                self.groups.push(group);
            }
        }
        self
    }

    /// Takes the hash functions of `other` before its own.
    #[must_use]
    pub fn with_hashes_from(mut self, other: &Self) -> Self {
        let own = core::mem::replace(&mut self.hashes, other.hashes.clone());
        for functions in own {
            if self.hash(functions.algorithm()).is_none() {
                self.hashes.push(functions);
            }
        }
        self
    }

    /// Takes signatures from `other`: its loaders are asked first, and what it verifies it
    /// verifies here.
    #[must_use]
    pub fn with_signatures_from(mut self, other: &Self) -> Self {
        let mut loaders = other.key_loaders.clone();
        loaders.append(&mut self.key_loaders);
        self.key_loaders = loaders;
        let own = core::mem::replace(&mut self.verification, other.verification.clone());
        for entry in own {
            let known = self.verification.iter().any(|known| same(known, &entry));
            if !known {
                self.verification.push(entry);
            }
        }
        self
    }

    /// Takes randomness from `other`.
    #[must_use]
    pub fn with_random_from(mut self, other: &Self) -> Self {
        self.random = other.random.clone();
        self
    }

    /// Puts the suite `ids` first and in this order, and drops all others.
    ///
    /// # Errors
    /// [`ProviderFault::NoSuchSuite`] for one that no backend here supplies.
    pub fn only_suites(mut self, ids: &[CipherSuite]) -> Result<Self, ProviderFault> {
        self.suites = ids
            .iter()
            .map(|id| {
                self.suite(*id)
                    .cloned()
                    .ok_or(ProviderFault::NoSuchSuite(*id))
            })
            .collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Puts the groups `ids` first and in this order, and drops all others.
    ///
    /// # Errors
    /// [`ProviderFault::NoSuchGroup`] for one that no backend here supplies.
    pub fn only_groups(mut self, ids: &[NamedGroup]) -> Result<Self, ProviderFault> {
        self.groups = ids
            .iter()
            .map(|id| {
                self.group(*id)
                    .cloned()
                    .ok_or(ProviderFault::NoSuchGroup(*id))
            })
            .collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Checks that the parts fit: something of each kind, no code point twice, each suite's
    /// hash present and its AEAD of a size that TLS can use, constructions over the hash that
    /// they are listed with.
    ///
    /// This computes nothing; [`self_test`](CryptoProvider::self_test) does.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), ProviderFault> {
        if self.suites.is_empty() {
            return Err(ProviderFault::Empty("cipher suites"));
        }
        if self.groups.is_empty() {
            return Err(ProviderFault::Empty("key exchange groups"));
        }
        if self.verification.is_empty() {
            return Err(ProviderFault::Empty("signature verification algorithms"));
        }
        for (at, functions) in self.hashes.iter().enumerate() {
            let algorithm = functions.algorithm();
            if functions.hmac.algorithm() != algorithm || functions.hkdf.algorithm() != algorithm {
                return Err(ProviderFault::HashMismatch(algorithm));
            }
            if self
                .hashes
                .iter()
                .skip(at + 1)
                .any(|h| h.algorithm() == algorithm)
            {
                return Err(ProviderFault::Duplicate(algorithm.to_string()));
            }
        }
        for (at, suite) in self.suites.iter().enumerate() {
            if self.hash(suite.hash).is_none() {
                return Err(ProviderFault::SuiteWithoutHash(suite.id, suite.hash));
            }
            if suite.seal_limit < 2 {
                return Err(ProviderFault::SealLimit(suite.id));
            }
            if suite.aead.key_len() > MAX_KEY_LEN || suite.aead.tag_len() > MAX_TAG_LEN {
                return Err(ProviderFault::AeadSize(suite.id));
            }
            if self.suites.iter().skip(at + 1).any(|s| s.id == suite.id) {
                return Err(ProviderFault::Duplicate(suite.id.to_string()));
            }
        }
        for (at, group) in self.groups.iter().enumerate() {
            if self
                .groups
                .iter()
                .skip(at + 1)
                .any(|g| g.id() == group.id())
            {
                return Err(ProviderFault::Duplicate(group.id().to_string()));
            }
        }
        for (at, entry) in self.verification.iter().enumerate() {
            if self
                .verification
                .iter()
                .skip(at + 1)
                .any(|e| same(e, entry))
            {
                let name = entry.scheme.map_or_else(
                    || "a signature verification algorithm".to_string(),
                    |scheme| scheme.to_string(),
                );
                return Err(ProviderFault::Duplicate(name));
            }
        }
        Ok(())
    }

    /// What this provider can do and who does it, to be printed.
    pub fn table(&self) -> CapabilityTable {
        let mut rows = Vec::new();
        let mut row = |kind, algorithm: String, implementation: Implementation| {
            rows.push(Capability {
                kind,
                algorithm,
                implementation,
            });
        };
        for suite in &self.suites {
            row("record", suite.id.to_string(), suite.aead.implementation());
        }
        for group in &self.groups {
            row(
                "key exchange",
                group.id().to_string(),
                group.implementation(),
            );
        }
        for functions in &self.hashes {
            row(
                "hash",
                functions.algorithm().to_string(),
                functions.hash.implementation(),
            );
            row(
                "HKDF",
                functions.algorithm().to_string(),
                functions.hkdf.implementation(),
            );
        }
        for entry in &self.verification {
            if let Some(scheme) = entry.scheme {
                row("verify", scheme.to_string(), entry.implementation);
            }
        }
        for loader in &self.key_loaders {
            row(
                "private keys",
                "PKCS#8, SEC1, PKCS#1".into(),
                loader.implementation(),
            );
        }
        row("randomness", "-".into(), self.random.implementation());
        if let Some(tickets) = &self.tickets {
            row("tickets", "-".into(), tickets.implementation());
        }
        CapabilityTable { rows }
    }
}

/// Whether two entries verify the same signatures of the same keys.
fn same(a: &Verification, b: &Verification) -> bool {
    a.scheme == b.scheme
        && a.algorithm.public_key_alg_id() == b.algorithm.public_key_alg_id()
        && a.algorithm.signature_alg_id() == b.algorithm.signature_alg_id()
}

/// What is wrong with a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFault {
    /// Nothing of a kind that every handshake needs.
    Empty(&'static str),
    /// A suite that was asked for and that no backend supplies.
    NoSuchSuite(CipherSuite),
    /// A group that was asked for and that no backend supplies.
    NoSuchGroup(NamedGroup),
    /// A suite whose hash function is missing.
    SuiteWithoutHash(CipherSuite, HashAlgorithm),
    /// A suite whose keys may not seal even a KeyUpdate and one record more.
    SealLimit(CipherSuite),
    /// A suite whose AEAD has a key of over 32 bytes or a tag of over 255.
    AeadSize(CipherSuite),
    /// HMAC or HKDF listed with a hash that they are not over.
    HashMismatch(HashAlgorithm),
    /// An algorithm that is listed twice.
    Duplicate(String),
    /// A known answer that came out wrong, or an operation that failed.
    SelfTest {
        /// The algorithm.
        algorithm: String,
        /// Who computed it.
        implementation: Implementation,
        /// What went wrong.
        detail: String,
    },
}

impl fmt::Display for ProviderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(kind) => write!(f, "provider has no {kind}"),
            Self::NoSuchSuite(id) => write!(f, "no linked backend supplies cipher suite {id}"),
            Self::NoSuchGroup(id) => write!(f, "no linked backend supplies group {id}"),
            Self::SuiteWithoutHash(id, hash) => {
                write!(f, "provider has cipher suite {id} but not its hash {hash}")
            }
            Self::SealLimit(id) => {
                write!(
                    f,
                    "a key of cipher suite {id} may seal less than two records"
                )
            }
            Self::AeadSize(id) => {
                write!(
                    f,
                    "key or tag of cipher suite {id} is longer than TLS can use (32 and 255 bytes)"
                )
            }
            Self::HashMismatch(hash) => {
                write!(
                    f,
                    "provider lists HMAC or HKDF over another hash with {hash}"
                )
            }
            Self::Duplicate(name) => write!(f, "provider lists {name} twice"),
            Self::SelfTest {
                algorithm,
                implementation,
                detail,
            } => write!(
                f,
                "self-test of {algorithm} from {implementation} failed: {detail}"
            ),
        }
    }
}

impl core::error::Error for ProviderFault {}

/// One row of a [`CapabilityTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it is for: `record`, `key exchange`, ...
    pub kind: &'static str,
    /// The algorithm's registered name.
    pub algorithm: String,
    /// Who computes it.
    pub implementation: Implementation,
}

/// What a provider can do and who does it. Displays as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilityTable {
    /// In the provider's order of preference within each kind.
    pub rows: Vec<Capability>,
}

impl fmt::Display for CapabilityTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |of: fn(&Capability) -> usize, title: usize| {
            self.rows.iter().map(of).max().unwrap_or(0).max(title)
        };
        let kind = widest(|row| row.kind.len(), "operation".len());
        let name = widest(|row| row.algorithm.len(), "algorithm".len());
        let backend = widest(|row| row.implementation.backend.len(), "backend".len());
        writeln!(
            f,
            "{:kind$}  {:name$}  {:backend$}  with",
            "operation", "algorithm", "backend"
        )?;
        for row in &self.rows {
            let Implementation {
                backend: by,
                detail,
            } = row.implementation;
            writeln!(
                f,
                "{:kind$}  {:name$}  {by:backend$}  {detail}",
                row.kind, row.algorithm
            )?;
        }
        Ok(())
    }
}
