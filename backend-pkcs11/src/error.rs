//! Why a key could not be opened, or could not sign.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crypto_api::SignatureScheme;

use crate::code::{Class, Failure, Profile};
use crate::pin::PinError;
use crate::uri::{ObjectType, UriError};

/// Why a key could not be opened. Says which key, by its URI without the PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    uri: String,
    reason: Reason,
}

impl OpenError {
    pub(crate) fn new(uri: impl fmt::Display, reason: Reason) -> Self {
        let uri = uri.to_string();
        Self { uri, reason }
    }

    /// The URI, without its PIN.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// What happened.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.uri, self.reason)
    }
}

impl std::error::Error for OpenError {}

/// What happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The URI cannot be read.
    Uri(UriError),
    /// Neither the URI nor the builder names a module.
    NoModule,
    /// The module cannot be loaded.
    Load {
        /// The file.
        module: PathBuf,
        /// The loader's words.
        detail: String,
    },
    /// The URI's `library-...` attributes do not fit the module.
    OtherLibrary {
        /// What the module says it is.
        found: String,
    },
    /// A PKCS#11 function failed.
    Call(Failure),
    /// No token fits the URI.
    NoToken {
        /// The tokens that are there, as URIs.
        present: Vec<String>,
    },
    /// Several tokens fit the URI.
    ManyTokens(Vec<String>),
    /// The login failed.
    Pin(PinError),
    /// No object fits the URI.
    NoObject {
        /// What was looked for.
        what: &'static str,
        /// The objects of that kind that are there, as URIs.
        present: Vec<String>,
    },
    /// Several objects fit the URI.
    ManyObjects {
        /// What was looked for.
        what: &'static str,
        /// The ones that fit, as URIs.
        found: Vec<String>,
    },
    /// The URI's `type` is that of another kind of object.
    WrongType {
        /// What is looked for.
        what: &'static str,
        /// What the URI says.
        found: ObjectType,
    },
    /// The key's CKA_SIGN is false.
    NotForSigning,
    /// A kind of key that TLS does not sign with, or one that is not supported.
    KeyType(String),
    /// The token shows no public half of the key.
    NoPublicKey,
    /// The certificate's public key is not the key's.
    CertificateMismatch {
        /// Which certificate: its URI, or that it was given by the program.
        certificate: String,
    },
    /// The key passed the start-up signature with no scheme.
    NoScheme(Vec<(SignatureScheme, String)>),
    /// A key that must be the same as the first one is another: one in a second token, the
    /// fallback, or the one found after the token came back.
    OtherKey,
    /// A signature that does not verify with the public key.
    WrongSignature,
    /// Calls into the module hang, so it cannot be initialised again.
    Hanging(usize),
    /// The module was initialised by somebody else in this process, who alone may do it
    /// again.
    NotOurs,
    /// The module has just been initialised again, or that was tried: it is not done so often.
    TooSoon,
    /// Code that this crate calls has panicked: a PIN callback, or an algorithm that verifies.
    Panicked,
    /// The process has forked since the key was opened: open it again in the child.
    Forked,
    /// It took longer than the builder's `open_timeout`.
    TimedOut(Duration),
    /// The system gave no thread.
    Thread(String),
    /// A number of the builder's that makes no sense; the text says which and why.
    Setting(&'static str),
}

impl Reason {
    /// What is to be done about it.
    pub(crate) fn class(&self, profile: &Profile) -> Class {
        match self {
            Self::Call(failure) => profile.class(failure.code),
            // The token is away, or is not what it was before it went.
            Self::NoToken { .. } | Self::NoObject { .. } | Self::OtherKey => Class::Module,
            Self::TooSoon => Class::Module,
            Self::WrongSignature | Self::Panicked => Class::Session,
            Self::Hanging(_) => Class::Busy,
            _ => Class::Caller,
        }
    }
}

/// Up to eight of a list, in one line.
fn list(f: &mut fmt::Formatter<'_>, all: &[String]) -> fmt::Result {
    for (at, each) in all.iter().take(8).enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        write!(f, "{separator}{each}")?;
    }
    match all.len().checked_sub(8) {
        Some(more @ 1..) => write!(f, " and {more} more"),
        _ => Ok(()),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(error) => error.fmt(f),
            Self::NoModule => f.write_str(
                "no module is named: add module-path to the URI, or call Builder::module",
            ),
            Self::Load { module, detail } => {
                write!(f, "cannot load the module {}: {detail}", module.display())
            }
            Self::OtherLibrary { found } => {
                write!(f, "the module does not fit the URI: it is {found}")
            }
            Self::Call(failure) => failure.fmt(f),
            Self::NoToken { present } if present.is_empty() => {
                f.write_str("no token fits; the module shows none at all")
            }
            Self::NoToken { present } => {
                f.write_str("no token fits; there are ")?;
                list(f, present)
            }
            Self::ManyTokens(found) => {
                f.write_str("several tokens fit, add serial or slot-id: ")?;
                list(f, found)
            }
            Self::Pin(error) => error.fmt(f),
            Self::NoObject { what, present } if present.is_empty() => {
                write!(f, "no {what} fits; the token shows none at all")
            }
            Self::NoObject { what, present } => {
                write!(f, "no {what} fits; there are ")?;
                list(f, present)
            }
            Self::ManyObjects { what, found } => {
                write!(f, "several objects fit as the {what}, add id or object: ")?;
                list(f, found)
            }
            Self::WrongType { what, found } => {
                write!(f, "the URI's type={found} is not that of a {what}")
            }
            Self::NotForSigning => {
                f.write_str("the key may not sign: its attribute CKA_SIGN is false")
            }
            Self::KeyType(kind) => write!(f, "a key of this kind cannot sign for TLS: {kind}"),
            Self::NoPublicKey => f.write_str(
                "the key's public half is nowhere in the token: import the public key or the \
                 certificate under the same CKA_ID, or pass Builder::certificates",
            ),
            Self::CertificateMismatch { certificate } => write!(
                f,
                "the certificate ({certificate}) belongs to another key: its public key differs"
            ),
            Self::NoScheme(tried) => {
                f.write_str("the key signs with no scheme of TLS")?;
                for (at, (scheme, why)) in tried.iter().enumerate() {
                    let separator = if at == 0 { ':' } else { ';' };
                    write!(f, "{separator} {scheme}: {why}")?;
                }
                Ok(())
            }
            Self::OtherKey => {
                f.write_str("it holds another key: the public keys differ where they must not")
            }
            Self::WrongSignature => {
                f.write_str("the token's signature does not verify with the public key")
            }
            Self::Hanging(calls) => write!(
                f,
                "{calls} calls hang inside the module, which cannot be initialised again so"
            ),
            Self::NotOurs => f.write_str(
                "the module was initialised elsewhere in this process, and only there can it be \
                 initialised again",
            ),
            Self::TooSoon => f.write_str(
                "the token does not answer, and it is too soon to initialise its module again",
            ),
            Self::Panicked => {
                f.write_str("a PIN callback or a verification algorithm has panicked: see stderr")
            }
            Self::Forked => f.write_str(
                "the process has forked since the key was opened: open it again in the child",
            ),
            Self::TimedOut(limit) => write!(
                f,
                "the token did not answer within {} s",
                limit.as_secs_f64()
            ),
            Self::Thread(why) => write!(f, "the system gives no thread: {why}"),
            Self::Setting(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Reason {}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        Self::Call(failure)
    }
}

impl From<PinError> for Reason {
    fn from(error: PinError) -> Self {
        Self::Pin(error)
    }
}
