//! What can go wrong in a cryptographic operation, by who is to blame.

use alloc::string::String;
use core::fmt;

/// Why an operation of a backend did not succeed.
///
/// The variants keep apart what TLS has to answer differently: the peer's bytes were wrong
/// ([`BadTag`](Error::BadTag), [`BadSignature`](Error::BadSignature),
/// [`BadPeerShare`](Error::BadPeerShare)), the configuration was
/// ([`BadKey`](Error::BadKey), [`Unsupported`](Error::Unsupported)), the calling code was
/// ([`WrongLength`](Error::WrongLength), [`Misused`](Error::Misused)), or the backend itself failed
/// ([`Backend`](Error::Backend), [`Unavailable`](Error::Unavailable)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The authentication tag of a record or ticket does not match.
    BadTag,
    /// A signature does not verify.
    BadSignature,
    /// The peer's key share is not a valid public value of its group: wrong length, not on
    /// the curve, or one that would make the shared secret all zero (RFC 9846, 7.4.2).
    BadPeerShare,
    /// A private key cannot be used; the text says why and never quotes the key.
    BadKey(&'static str),
    /// The backend does not have what was asked for; the text names it.
    Unsupported(&'static str),
    /// The caller passed a slice of the wrong length.
    WrongLength {
        /// Which argument.
        what: &'static str,
        /// The length it must have, in bytes.
        expected: usize,
        /// The length it had, in bytes.
        got: usize,
    },
    /// The caller did what a trait excludes; the text says what.
    Misused(&'static str),
    /// The backend failed: an accelerator, a library or a token reported an error that is
    /// neither the peer's fault nor the caller's.
    Backend {
        /// The backend's name, as in the capability table.
        backend: &'static str,
        /// The operation that failed.
        operation: &'static str,
        /// The backend's own words; never secret.
        detail: String,
    },
    /// The backend cannot take the operation now: its queue is full, a deadline passed, or
    /// its device is away. A later attempt may succeed.
    Unavailable {
        /// The backend's name, as in the capability table.
        backend: &'static str,
        /// What is missing and, if known, until when.
        detail: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadTag => f.write_str("authentication tag does not match"),
            Self::BadSignature => f.write_str("signature does not verify"),
            Self::BadPeerShare => f.write_str("peer's key share is not valid for its group"),
            Self::BadKey(why) => write!(f, "private key cannot be used: {why}"),
            Self::Unsupported(what) => write!(f, "not supported by this backend: {what}"),
            Self::WrongLength {
                what,
                expected,
                got,
            } => write!(f, "{what} must have {expected} bytes, not {got}"),
            Self::Misused(what) => write!(f, "called wrongly: {what}"),
            Self::Backend {
                backend,
                operation,
                detail,
            } => write!(f, "backend {backend} failed to {operation}: {detail}"),
            Self::Unavailable { backend, detail } => {
                write!(f, "backend {backend} is not available: {detail}")
            }
        }
    }
}

impl core::error::Error for Error {}

/// Returns [`Error::WrongLength`] unless `got == expected`.
///
/// For backends: the check that stands before anything touches the bytes.
pub fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if got == expected {
        Ok(())
    } else {
        Err(Error::WrongLength {
            what,
            expected,
            got,
        })
    }
}
