//! What can go wrong when a configuration is built, and how TLS errors become I/O errors.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crypto_api::SignatureScheme;
use tls_core::{ConfigError, Error};

/// Why a provider or a configuration could not be made. Displays as one line that names the
/// option and, where one is concerned, the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// No backend is linked that supplies everything.
    NoBackend,
    /// A backend that is not linked, or that does not exist.
    UnknownBackend {
        /// What was asked for.
        asked: String,
        /// The backends that are linked.
        linked: Vec<&'static str>,
    },
    /// A backend that supplies records, asked for something else.
    RecordsOnly {
        /// The backend.
        backend: String,
    },
    /// An operation that cannot be chosen for.
    UnknownOperation {
        /// What was asked for.
        asked: String,
    },
    /// The text that describes a mix of backends says two things at once, or nothing.
    BadMix {
        /// The text.
        spec: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An algorithm whose name says nothing to us.
    UnknownAlgorithm {
        /// The option.
        option: &'static str,
        /// What was asked for.
        asked: String,
        /// The names that the provider supplies.
        supplied: Vec<String>,
    },
    /// A signature scheme that is for certificates alone (RFC 9846, section 4.3.3).
    NotInHandshakes {
        /// The option.
        option: &'static str,
        /// The scheme.
        scheme: SignatureScheme,
    },
    /// A list that must have something in it has nothing.
    Empty {
        /// The option.
        option: &'static str,
    },
    /// An option that cannot be done without.
    Missing {
        /// The option.
        option: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// Two options of which only one can be.
    Conflict {
        /// The two.
        options: [&'static str; 2],
    },
    /// A name that is not a host name.
    BadName {
        /// The option.
        option: &'static str,
        /// The name.
        name: String,
    },
    /// The key log cannot be opened.
    KeyLog {
        /// Its file.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// Certificates, keys, trust anchors or revocation lists that cannot be used.
    Pki {
        /// The option; with the host name, if it is for one.
        option: String,
        /// What is wrong, naming the file.
        reason: pki::Error,
    },
    /// A key in an HSM that cannot be opened.
    #[cfg(feature = "pkcs11")]
    Pkcs11 {
        /// The option; with the host name, if it is for one.
        option: String,
        /// The file of the certificate chain, if it is not to come from the token.
        chain: Option<PathBuf>,
        /// What is wrong, naming the key by its URI without the PIN.
        reason: backend_pkcs11::OpenError,
    },
    /// A key in an HSM that holds no certificate for it, and none was given.
    #[cfg(feature = "pkcs11")]
    NoCertificateInToken {
        /// The option; with the host name, if it is for one.
        option: String,
        /// The key, as a URI without the PIN.
        uri: String,
    },
    /// What the protocol core says to the whole.
    Config(ConfigError),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackend => f.write_str(
                "provider: no backend is linked that supplies everything; \
                 enable a cargo feature of keyway: soft, openssl",
            ),
            Self::UnknownBackend { asked, linked } if linked.is_empty() => write!(
                f,
                "provider: backend {asked:?} is not linked, nor is any other; \
                 enable a cargo feature of keyway: soft, openssl"
            ),
            Self::UnknownBackend { asked, linked } => write!(
                f,
                "provider: backend {asked:?} is not linked; linked are: {}",
                linked.join(", ")
            ),
            Self::RecordsOnly { backend } => write!(
                f,
                "provider: backend {backend:?} supplies records only: records={backend}"
            ),
            Self::UnknownOperation { asked } => write!(
                f,
                "provider: unknown operation {asked:?}; there are: {}, rest",
                crate::provider::Operation::names().join(", ")
            ),
            Self::BadMix { spec, reason } => write!(f, "provider: in {spec:?}: {reason}"),
            Self::UnknownAlgorithm {
                option,
                asked,
                supplied,
            } => write!(
                f,
                "{option}: unknown name {asked:?}; the provider supplies: {}",
                supplied.join(", ")
            ),
            Self::NotInHandshakes { option, scheme } => {
                write!(f, "{option}: TLS 1.3 signs no handshake with {scheme}")
            }
            Self::Empty { option } => write!(f, "{option}: the list is empty"),
            Self::Missing { option, reason } => write!(f, "{option}: missing; {reason}"),
            Self::Conflict {
                options: [one, other],
            } => write!(f, "{one} and {other}: only one of the two can be given"),
            Self::BadName { option, name } => write!(f, "{option}: {name:?} is not a host name"),
            Self::KeyLog { path, reason } => {
                write!(f, "key_log: {}: cannot be opened: {reason}", path.display())
            }
            Self::Pki { option, reason } => write!(f, "{option}: {reason}"),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11 {
                option,
                chain,
                reason,
            } => match chain {
                Some(path) => write!(f, "{option}: {} with {reason}", path.display()),
                None => write!(f, "{option}: {reason}"),
            },
            #[cfg(feature = "pkcs11")]
            Self::NoCertificateInToken { option, uri } => write!(
                f,
                "{option}: {uri}: the token holds no certificate for the key: store it there \
                 under the key's CKA_ID, or give the chain in a file"
            ),
            Self::Config(error) => write!(f, "configuration: {error}"),
        }
    }
}

/// Without a source: the text has the reason in it, and programs that print a chain of causes
/// would say it twice.
impl std::error::Error for SetupError {}

impl From<ConfigError> for SetupError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// The I/O error that carries `error`.
pub(crate) fn io_error(error: Error) -> io::Error {
    let kind = match &error {
        Error::Truncated => io::ErrorKind::UnexpectedEof,
        Error::AlertReceived(_) => io::ErrorKind::ConnectionAborted,
        Error::Usage(_) | Error::Config(_) => io::ErrorKind::InvalidInput,
        // A backend that fails is nobody's bad data.
        Error::Crypto(
            crypto_api::Error::Backend { .. }
            | crypto_api::Error::Unavailable { .. }
            | crypto_api::Error::WrongLength { .. }
            | crypto_api::Error::Unsupported(_)
            | crypto_api::Error::BadKey(_),
        ) => io::ErrorKind::Other,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}
