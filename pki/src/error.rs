//! What can go wrong before a connection: files, keys, anchors.

use std::fmt;
use std::path::{Path, PathBuf};

use tls_core::ConfigError;

/// Where certificates or keys were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// Bytes that the caller handed in.
    Memory,
    /// The operating system's certificate store.
    System,
}

impl From<&Path> for Origin {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("given bytes"),
            Self::System => f.write_str("system certificate store"),
        }
    }
}

/// Why certificates, keys or revocation lists could not be taken in.
///
/// Displays as one line that begins with the file.
///
/// What a *peer's* certificate is refused for is a [`tls_core::CertificateError`] instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        origin: Origin,
        /// The operating system's reason.
        reason: String,
    },
    /// What was looked for is not there.
    NothingFound {
        /// Where.
        origin: Origin,
        /// What was looked for.
        wanted: &'static str,
        /// What is there instead.
        found: String,
    },
    /// A PEM section is damaged.
    BadPem {
        /// Where.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate or revocation list cannot be parsed.
    BadItem {
        /// Where.
        origin: Origin,
        /// What it should be.
        item: &'static str,
        /// Which one, the first being 0.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key is encrypted under a passphrase.
    EncryptedKey {
        /// Where.
        origin: Origin,
    },
    /// More than one private key, and no way to tell which is meant.
    SeveralKeys {
        /// Where.
        origin: Origin,
        /// How many.
        count: usize,
    },
    /// No backend can use the private key.
    Key {
        /// Where.
        origin: Origin,
        /// What the backend says.
        reason: crypto_api::Error,
    },
    /// A certificate and a private key that do not go together.
    Pair {
        /// The certificate chain's file.
        certificates: Origin,
        /// The private key's file.
        key: Origin,
        /// What is wrong.
        reason: Box<ConfigError>,
    },
    /// The operating system has no certificate that can be trusted; the text says what went
    /// wrong, if anything did.
    NoSystemAnchors(String),
    /// Nobody is trusted: every peer would be refused.
    NoAnchors,
    /// The provider verifies no signatures: every peer would be refused.
    NoVerification,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { origin, reason } => write!(f, "{origin}: cannot be read: {reason}"),
            Self::NothingFound {
                origin,
                wanted,
                found,
            } => write!(f, "{origin}: holds no {wanted}, but {found}"),
            Self::BadPem { origin, reason } => write!(f, "{origin}: damaged PEM: {reason}"),
            Self::BadItem {
                origin,
                item,
                position,
                reason,
            } => write!(
                f,
                "{origin}: {item} {} cannot be used: {reason}",
                // People count from one.
                position.saturating_add(1)
            ),
            Self::EncryptedKey { origin } => write!(
                f,
                "{origin}: private key is encrypted; decrypt it first: \
                 openssl pkcs8 -topk8 -nocrypt -in ENCRYPTED -out KEY"
            ),
            Self::SeveralKeys { origin, count } => write!(
                f,
                "{origin}: holds {count} private keys; keep the one that is meant"
            ),
            Self::Key { origin, reason } => write!(f, "{origin}: {reason}"),
            Self::Pair {
                certificates,
                key,
                reason,
            } => write!(f, "{certificates} with {key}: {reason}"),
            Self::NoSystemAnchors(reason) => write!(
                f,
                "system certificate store: no usable certificate ({reason}); \
                 install the ca-certificates package, or name a file in SSL_CERT_FILE"
            ),
            Self::NoAnchors => f.write_str("no trust anchor is given: every peer would be refused"),
            Self::NoVerification => {
                f.write_str("provider verifies no signatures: every peer would be refused")
            }
        }
    }
}

/// Without a source: the text has the reason in it, and programs that print a chain of causes
/// would say it twice.
impl std::error::Error for Error {}

/// The reason of a [`Pair`](Error::Pair) stays what it is; all others keep their words.
impl From<Error> for ConfigError {
    fn from(error: Error) -> Self {
        match error {
            Error::Pair { reason, .. } => *reason,
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<Error> for tls_core::Error {
    fn from(error: Error) -> Self {
        Self::Config(error.into())
    }
}
