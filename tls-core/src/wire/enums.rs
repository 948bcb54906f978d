//! Numbers with names (RFC 9846, appendix B).

use core::fmt;

/// legacy_record_version of an initial ClientHello (RFC 9846, section 5.1).
pub(crate) const TLS10: u16 = 0x0301;
/// `legacy_version` of hellos and records (RFC 9846, sections 4.2.2 and 5.1).
pub(crate) const TLS12: u16 = 0x0303;
/// TLS 1.3 in supported_versions.
pub(crate) const TLS13: u16 = 0x0304;

/// Type of a record (RFC 9846, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentType(pub(crate) u8);

impl ContentType {
    pub(crate) const CHANGE_CIPHER_SPEC: Self = Self(20);
    pub(crate) const ALERT: Self = Self(21);
    pub(crate) const HANDSHAKE: Self = Self(22);
    pub(crate) const APPLICATION_DATA: Self = Self(23);
}

/// Type of a handshake message (RFC 9846, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeType(pub(crate) u8);

impl HandshakeType {
    pub(crate) const CLIENT_HELLO: Self = Self(1);
    pub(crate) const SERVER_HELLO: Self = Self(2);
    pub(crate) const NEW_SESSION_TICKET: Self = Self(4);
    pub(crate) const ENCRYPTED_EXTENSIONS: Self = Self(8);
    pub(crate) const CERTIFICATE: Self = Self(11);
    pub(crate) const CERTIFICATE_REQUEST: Self = Self(13);
    pub(crate) const CERTIFICATE_VERIFY: Self = Self(15);
    pub(crate) const FINISHED: Self = Self(20);
    pub(crate) const KEY_UPDATE: Self = Self(24);
    /// Stands for the first ClientHello in the transcript after a HelloRetryRequest.
    pub(crate) const MESSAGE_HASH: Self = Self(254);
}

/// Type of an extension (RFC 9846, section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtensionType(pub(crate) u16);

impl ExtensionType {
    pub(crate) const SERVER_NAME: Self = Self(0);
    pub(crate) const MAX_FRAGMENT_LENGTH: Self = Self(1);
    pub(crate) const SUPPORTED_GROUPS: Self = Self(10);
    pub(crate) const SIGNATURE_ALGORITHMS: Self = Self(13);
    pub(crate) const USE_SRTP: Self = Self(14);
    pub(crate) const HEARTBEAT: Self = Self(15);
    pub(crate) const ALPN: Self = Self(16);
    pub(crate) const CLIENT_CERTIFICATE_TYPE: Self = Self(19);
    pub(crate) const SERVER_CERTIFICATE_TYPE: Self = Self(20);
    pub(crate) const RECORD_SIZE_LIMIT: Self = Self(28);
    pub(crate) const PRE_SHARED_KEY: Self = Self(41);
    pub(crate) const EARLY_DATA: Self = Self(42);
    pub(crate) const SUPPORTED_VERSIONS: Self = Self(43);
    pub(crate) const COOKIE: Self = Self(44);
    pub(crate) const PSK_KEY_EXCHANGE_MODES: Self = Self(45);
    pub(crate) const CERTIFICATE_AUTHORITIES: Self = Self(47);
    pub(crate) const SIGNATURE_ALGORITHMS_CERT: Self = Self(50);
    pub(crate) const KEY_SHARE: Self = Self(51);
}

/// What an alert says (RFC 9846, section 6).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlertDescription(pub u8);

macro_rules! alerts {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl AlertDescription {
            $(#[doc = concat!("`", $text, "`, alert ", stringify!($number), ".")]
            pub const $name: Self = Self($number);)*

            /// The name that the RFC gives it.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

alerts! {
    CLOSE_NOTIFY = 0, "close_notify";
    UNEXPECTED_MESSAGE = 10, "unexpected_message";
    BAD_RECORD_MAC = 20, "bad_record_mac";
    RECORD_OVERFLOW = 22, "record_overflow";
    HANDSHAKE_FAILURE = 40, "handshake_failure";
    BAD_CERTIFICATE = 42, "bad_certificate";
    UNSUPPORTED_CERTIFICATE = 43, "unsupported_certificate";
    CERTIFICATE_REVOKED = 44, "certificate_revoked";
    CERTIFICATE_EXPIRED = 45, "certificate_expired";
    CERTIFICATE_UNKNOWN = 46, "certificate_unknown";
    ILLEGAL_PARAMETER = 47, "illegal_parameter";
    UNKNOWN_CA = 48, "unknown_ca";
    ACCESS_DENIED = 49, "access_denied";
    DECODE_ERROR = 50, "decode_error";
    DECRYPT_ERROR = 51, "decrypt_error";
    PROTOCOL_VERSION = 70, "protocol_version";
    INSUFFICIENT_SECURITY = 71, "insufficient_security";
    INTERNAL_ERROR = 80, "internal_error";
    INAPPROPRIATE_FALLBACK = 86, "inappropriate_fallback";
    USER_CANCELED = 90, "user_canceled";
    MISSING_EXTENSION = 109, "missing_extension";
    UNSUPPORTED_EXTENSION = 110, "unsupported_extension";
    UNRECOGNIZED_NAME = 112, "unrecognized_name";
    BAD_CERTIFICATE_STATUS_RESPONSE = 113, "bad_certificate_status_response";
    UNKNOWN_PSK_IDENTITY = 115, "unknown_psk_identity";
    CERTIFICATE_REQUIRED = 116, "certificate_required";
    GENERAL_ERROR = 117, "general_error";
    NO_APPLICATION_PROTOCOL = 120, "no_application_protocol";
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
