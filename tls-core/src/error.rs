//! What can go wrong with a connection, by who is to blame, and the alert that says so.

use alloc::string::{String, ToString};
use core::fmt;

use crypto_api::{NamedGroup, ProviderFault, SignatureScheme};

use crate::wire::AlertDescription;

/// Why a connection, or the making of one, failed.
///
/// | variants | who is to blame |
/// |---|---|
/// | [`NotTls`](Error::NotTls), [`Decode`](Error::Decode), [`Misbehaved`](Error::Misbehaved) | the peer, hostile or broken |
/// | [`NoCommon`](Error::NoCommon) | nobody: the two sides have nothing in common |
/// | [`Certificate`](Error::Certificate) | the peer's certificate, or the trust put in it |
/// | [`AlertReceived`](Error::AlertReceived), [`Truncated`](Error::Truncated) | the peer or the network ended it |
/// | [`Crypto`](Error::Crypto) | a backend failed, unless it is the peer's bytes that did not verify |
/// | [`Config`](Error::Config) | the configuration |
/// | [`Usage`](Error::Usage) | the calling code |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes cannot be a TLS record: the peer speaks another protocol.
    NotTls([u8; 5]),
    /// A message does not have the form that it must have; the text names the part.
    Decode(&'static str),
    /// A message is well formed, and the protocol forbids it here.
    Misbehaved(Misbehaviour),
    /// The two sides have nothing in common.
    NoCommon(Parameter),
    /// The peer's certificate was refused.
    Certificate(CertificateError),
    /// The peer sent a fatal alert.
    AlertReceived(AlertDescription),
    /// The transport ended without a close_notify: the last bytes may be missing, cut off
    /// by an attacker (RFC 9846, section 6.1).
    Truncated,
    /// A cryptographic operation failed.
    Crypto(crypto_api::Error),
    /// The configuration cannot work.
    Config(ConfigError),
    /// The caller did what the connection's state does not allow; the text says what.
    Usage(&'static str),
}

/// What a peer did that the protocol forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A message or record type that is not expected in this state.
    UnexpectedMessage {
        /// What was waited for.
        expected: &'static str,
        /// The content type or handshake type that came.
        got: u8,
    },
    /// A change_cipher_spec where it is not allowed, or with a content other than 1.
    ChangeCipherSpec,
    /// A record that is longer than the protocol allows.
    RecordOverflow,
    /// Handshake data before or after a key change in the same record, or other records
    /// between the parts of one message (RFC 9846, section 5.1).
    KeyChangeInMessage,
    /// A handshake message that is longer than the configured limit.
    MessageTooLong,
    /// A protected record that holds no content type at all.
    NoContentType,
    /// Too many records or messages that carry nothing.
    Flood(&'static str),
    /// A list with more entries than this side takes; the text names them.
    TooMany(&'static str),
    /// A hello of TLS 1.3 whose legacy_version is not that of TLS 1.2.
    LegacyVersion(u16),
    /// A ClientHello of an older version that says that it was refused with a newer one,
    /// which is not so: someone in between is forcing it (RFC 7507).
    InappropriateFallback,
    /// A value that is not among those allowed; the text names the field.
    IllegalParameter(&'static str),
    /// An extension that this message must carry is missing.
    MissingExtension(&'static str),
    /// An extension that was not asked for, or that this message must not carry.
    UnsupportedExtension(u16),
    /// The same extension twice in one message.
    DuplicateExtension(u16),
    /// A HelloRetryRequest that changes nothing.
    PointlessRetry,
    /// A ClientHello that changed after HelloRetryRequest what it must not change.
    ChangedRetry(&'static str),
    /// A Finished that does not match the transcript.
    WrongFinished,
    /// The server's random says that someone in between forced an older version.
    Downgrade,
    /// A CertificateVerify under a scheme that was not offered or does not fit the key.
    WrongScheme(SignatureScheme),
}

/// What the two sides could not agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parameter {
    /// A protocol version.
    Version,
    /// A cipher suite.
    CipherSuite,
    /// A group for key exchange.
    Group,
    /// A signature scheme that the certificate's key can use.
    SignatureScheme,
    /// An application protocol (ALPN).
    ApplicationProtocol,
    /// A certificate for the name that the client asked for.
    ServerName,
}

/// Why a peer's certificate was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError {
    /// What is wrong.
    pub problem: CertificateProblem,
    /// Which certificate and why, for a person to read.
    pub detail: String,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The peer sent none and one is required.
    Missing,
    /// It cannot be parsed.
    BadEncoding,
    /// It, or one above it, has expired.
    Expired,
    /// It, or one above it, is not valid yet.
    NotYetValid,
    /// It, or one above it, was revoked.
    Revoked,
    /// Whether it was revoked is not known, and has to be.
    RevocationUnknown,
    /// No path leads to a trust anchor.
    UnknownIssuer,
    /// It is for other names.
    WrongName,
    /// It is for another purpose.
    WrongPurpose,
    /// A signature in the chain does not verify.
    BadSignature,
    /// Its key or signature algorithm is not supported.
    Unsupported,
    /// It is valid, and whom it names is not let in.
    AccessDenied,
    /// Something else, said in the detail.
    Other,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The provider is not whole, or lacks what was asked of it.
    Provider(ProviderFault),
    /// The provider has no cipher suite of TLS 1.3.
    NoCipherSuite,
    /// A key share is asked for in a group that the provider does not supply.
    KeyShareWithoutGroup(NamedGroup),
    /// A key share is asked for twice in the same group.
    KeyShareTwice(NamedGroup),
    /// A scheme that the provider cannot verify.
    NoSuchScheme(SignatureScheme),
    /// An application protocol with an empty name, or one of over 255 bytes.
    ApplicationProtocol,
    /// The names of the application protocols are too long together for one extension.
    TooManyApplicationProtocols,
    /// A certificate chain without a certificate.
    EmptyChain,
    /// A private key that is not the one of its certificate.
    KeyMismatch,
    /// A private key that can sign nothing that TLS 1.3 knows.
    UselessKey,
    /// A limit out of range; the text says which and what is allowed.
    Limit(&'static str),
    /// Something else, said for a person to read.
    Other(String),
}

impl Error {
    /// The alert that tells the peer, or `None` if it is to be told nothing: it said so
    /// itself, has gone, or did nothing.
    ///
    /// This is the one place where errors become alerts (RFC 9846, section 6.2). Of the
    /// RFC's table these are never sent: insufficient_security, since what a server does not
    /// allow it does not have, and so cannot know to be too weak;
    /// bad_certificate_status_response, since no status is asked for; unknown_psk_identity,
    /// since no pre-shared key is taken; general_error, since all errors have a better one.
    /// close_notify and user_canceled are not errors:
    /// [`Connection::close`](crate::Connection::close) sends them.
    pub fn alert(&self) -> Option<AlertDescription> {
        use AlertDescription as A;
        Some(match self {
            Self::AlertReceived(_) | Self::Truncated => return None,
            // In a handshake: an application's selector or verifier came to grief.
            Self::Usage(_) | Self::Config(_) => A::INTERNAL_ERROR,
            Self::NotTls(_) => A::PROTOCOL_VERSION,
            Self::Decode(_) => A::DECODE_ERROR,
            Self::Misbehaved(what) => match what {
                Misbehaviour::UnexpectedMessage { .. }
                | Misbehaviour::ChangeCipherSpec
                | Misbehaviour::KeyChangeInMessage
                | Misbehaviour::NoContentType
                | Misbehaviour::Flood(_) => A::UNEXPECTED_MESSAGE,
                Misbehaviour::RecordOverflow => A::RECORD_OVERFLOW,
                Misbehaviour::LegacyVersion(_) => A::PROTOCOL_VERSION,
                Misbehaviour::InappropriateFallback => A::INAPPROPRIATE_FALLBACK,
                Misbehaviour::MessageTooLong
                | Misbehaviour::TooMany(_)
                | Misbehaviour::IllegalParameter(_)
                | Misbehaviour::DuplicateExtension(_)
                | Misbehaviour::ChangedRetry(_)
                | Misbehaviour::Downgrade
                | Misbehaviour::WrongScheme(_) => A::ILLEGAL_PARAMETER,
                // Section 4.2.4 names this alert; a second one is an unexpected message.
                Misbehaviour::PointlessRetry => A::ILLEGAL_PARAMETER,
                Misbehaviour::MissingExtension(_) => A::MISSING_EXTENSION,
                Misbehaviour::UnsupportedExtension(_) => A::UNSUPPORTED_EXTENSION,
                Misbehaviour::WrongFinished => A::DECRYPT_ERROR,
            },
            Self::NoCommon(what) => match what {
                Parameter::Version => A::PROTOCOL_VERSION,
                Parameter::ApplicationProtocol => A::NO_APPLICATION_PROTOCOL,
                Parameter::ServerName => A::UNRECOGNIZED_NAME,
                Parameter::CipherSuite | Parameter::Group | Parameter::SignatureScheme => {
                    A::HANDSHAKE_FAILURE
                }
            },
            Self::Certificate(error) => match error.problem {
                CertificateProblem::Missing => A::CERTIFICATE_REQUIRED,
                CertificateProblem::Expired | CertificateProblem::NotYetValid => {
                    A::CERTIFICATE_EXPIRED
                }
                CertificateProblem::Revoked => A::CERTIFICATE_REVOKED,
                CertificateProblem::UnknownIssuer => A::UNKNOWN_CA,
                CertificateProblem::AccessDenied => A::ACCESS_DENIED,
                CertificateProblem::Unsupported | CertificateProblem::WrongPurpose => {
                    A::UNSUPPORTED_CERTIFICATE
                }
                CertificateProblem::BadEncoding | CertificateProblem::BadSignature => {
                    A::BAD_CERTIFICATE
                }
                CertificateProblem::WrongName
                | CertificateProblem::RevocationUnknown
                | CertificateProblem::Other => A::CERTIFICATE_UNKNOWN,
            },
            Self::Crypto(error) => match error {
                crypto_api::Error::BadTag => A::BAD_RECORD_MAC,
                crypto_api::Error::BadSignature => A::DECRYPT_ERROR,
                crypto_api::Error::BadPeerShare => A::ILLEGAL_PARAMETER,
                _ => A::INTERNAL_ERROR,
            },
        })
    }
}

impl From<crypto_api::Error> for Error {
    fn from(error: crypto_api::Error) -> Self {
        Self::Crypto(error)
    }
}

impl From<Misbehaviour> for Error {
    fn from(what: Misbehaviour) -> Self {
        Self::Misbehaved(what)
    }
}

impl From<CertificateError> for Error {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<ProviderFault> for ConfigError {
    fn from(fault: ProviderFault) -> Self {
        Self::Provider(fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls(bytes) => write!(
                f,
                "peer does not speak TLS: its first bytes are {:?}",
                bytes.escape_ascii().to_string()
            ),
            Self::Decode(part) => write!(f, "peer sent a malformed message: {part}"),
            Self::Misbehaved(what) => write!(f, "peer broke the protocol: {what}"),
            Self::NoCommon(what) => write!(f, "nothing in common with the peer: {what}"),
            Self::Certificate(error) => write!(f, "peer's certificate refused: {error}"),
            Self::AlertReceived(alert) => write!(f, "peer ended the connection: alert {alert}"),
            Self::Truncated => {
                f.write_str("connection ended without close_notify: data may have been cut off")
            }
            Self::Crypto(error) => fmt::Display::fmt(error, f),
            Self::Config(error) => write!(f, "configuration: {error}"),
            Self::Usage(what) => write!(f, "connection used wrongly: {what}"),
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedMessage { expected, got } => {
                write!(f, "message of type {got} while waiting for {expected}")
            }
            Self::ChangeCipherSpec => f.write_str("change_cipher_spec where none is allowed"),
            Self::RecordOverflow => f.write_str("record longer than the protocol allows"),
            Self::KeyChangeInMessage => {
                f.write_str("handshake message runs across a key change or another record")
            }
            Self::MessageTooLong => f.write_str("handshake message longer than the limit"),
            Self::NoContentType => f.write_str("protected record without content type"),
            Self::Flood(what) | Self::TooMany(what) => write!(f, "too many {what}"),
            Self::LegacyVersion(version) => {
                write!(f, "legacy_version {version:#06x} in a hello of TLS 1.3")
            }
            Self::InappropriateFallback => {
                f.write_str("ClientHello of an older version as if TLS 1.3 had been refused")
            }
            Self::IllegalParameter(field) => write!(f, "illegal value in {field}"),
            Self::MissingExtension(name) => write!(f, "extension {name} is missing"),
            Self::UnsupportedExtension(id) => {
                write!(f, "extension {id} was not asked for or is not allowed here")
            }
            Self::DuplicateExtension(id) => write!(f, "extension {id} twice"),
            Self::PointlessRetry => f.write_str("HelloRetryRequest that changes nothing"),
            Self::ChangedRetry(field) => {
                write!(f, "second ClientHello changed {field}")
            }
            Self::WrongFinished => f.write_str("Finished does not match the transcript"),
            Self::Downgrade => f.write_str("server's random tells of a forced downgrade"),
            Self::WrongScheme(scheme) => {
                write!(
                    f,
                    "CertificateVerify under {scheme}, not offered or not for this key"
                )
            }
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "no protocol version (TLS 1.3 is required)",
            Self::CipherSuite => "no cipher suite",
            Self::Group => "no key exchange group",
            Self::SignatureScheme => "no signature scheme that the certificate's key can use",
            Self::ApplicationProtocol => "no application protocol (ALPN)",
            Self::ServerName => "no certificate for the requested server name",
        })
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.detail)
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::BadEncoding => "malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not valid yet",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation status unknown",
            Self::UnknownIssuer => "unknown issuer",
            Self::WrongName => "wrong name",
            Self::WrongPurpose => "wrong purpose",
            Self::BadSignature => "bad signature",
            Self::Unsupported => "unsupported algorithm",
            Self::AccessDenied => "access denied",
            Self::Other => "not acceptable",
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(fault) => fmt::Display::fmt(fault, f),
            Self::NoCipherSuite => f.write_str("provider has no cipher suite of TLS 1.3"),
            Self::KeyShareWithoutGroup(group) => {
                write!(
                    f,
                    "key share asked for in {group}, which no backend supplies"
                )
            }
            Self::KeyShareTwice(group) => write!(f, "key share in {group} asked for twice"),
            Self::NoSuchScheme(scheme) => write!(f, "no backend verifies {scheme}"),
            Self::ApplicationProtocol => {
                f.write_str("application protocol names must have 1 to 255 bytes")
            }
            Self::TooManyApplicationProtocols => {
                f.write_str("application protocol names are too long together")
            }
            Self::EmptyChain => f.write_str("certificate chain is empty"),
            Self::KeyMismatch => f.write_str("private key does not belong to the certificate"),
            Self::UselessKey => f.write_str("private key has no signature scheme of TLS 1.3"),
            Self::Limit(what) => write!(f, "limit out of range: {what}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for Error {}
impl core::error::Error for CertificateError {}
impl core::error::Error for ConfigError {}
