//! Code points of the algorithms that TLS names, as registered with IANA.
//!
//! They are open sets: a peer may send any value, so each is a wrapped number with named
//! constants and not an enum. Values without a name print as hexadecimal.

use core::fmt;

macro_rules! code_points {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $value:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u16);

        impl $name {
            $($(#[$vdoc])* #[doc = concat!("Code point ", stringify!($number), ".")] pub const $value: Self = Self($number);)*

            /// The registered name, if this crate knows one.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$value => Some(stringify!($value)),)*
                    _ => None,
                }
            }

            /// The code point whose registered name is `name`, if this crate knows it.
            /// The case of letters does not matter.
            pub fn from_name(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case(stringify!($value)) { return Some(Self::$value); })*
                None
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "{:#06x}", self.0),
                }
            }
        }

        impl From<u16> for $name {
            fn from(value: u16) -> Self {
                Self(value)
            }
        }
    };
}

code_points! {
    /// A cipher suite (RFC 9846, appendix B.4).
    CipherSuite {
        TLS_AES_128_GCM_SHA256 = 0x1301,
        TLS_AES_256_GCM_SHA384 = 0x1302,
        TLS_CHACHA20_POLY1305_SHA256 = 0x1303,
        TLS_AES_128_CCM_SHA256 = 0x1304,
        TLS_AES_128_CCM_8_SHA256 = 0x1305,
    }
}

code_points! {
    /// A group for key exchange (RFC 9846, section 4.3.7), hybrid ones included
    /// (draft-ietf-tls-ecdhe-mlkem).
    NamedGroup {
        SECP256R1 = 0x0017,
        SECP384R1 = 0x0018,
        SECP521R1 = 0x0019,
        X25519 = 0x001d,
        X448 = 0x001e,
        FFDHE2048 = 0x0100,
        FFDHE3072 = 0x0101,
        FFDHE4096 = 0x0102,
        FFDHE6144 = 0x0103,
        FFDHE8192 = 0x0104,
        SECP256R1MLKEM768 = 0x11eb,
        X25519MLKEM768 = 0x11ec,
        SECP384R1MLKEM1024 = 0x11ed,
    }
}

code_points! {
    /// A signature algorithm with its hash and, for ECDSA, its curve
    /// (RFC 9846, section 4.3.3).
    SignatureScheme {
        RSA_PKCS1_SHA256 = 0x0401,
        RSA_PKCS1_SHA384 = 0x0501,
        RSA_PKCS1_SHA512 = 0x0601,
        ECDSA_SECP256R1_SHA256 = 0x0403,
        ECDSA_SECP384R1_SHA384 = 0x0503,
        ECDSA_SECP521R1_SHA512 = 0x0603,
        RSA_PSS_RSAE_SHA256 = 0x0804,
        RSA_PSS_RSAE_SHA384 = 0x0805,
        RSA_PSS_RSAE_SHA512 = 0x0806,
        ED25519 = 0x0807,
        ED448 = 0x0808,
        RSA_PSS_PSS_SHA256 = 0x0809,
        RSA_PSS_PSS_SHA384 = 0x080a,
        RSA_PSS_PSS_SHA512 = 0x080b,
        MLDSA44 = 0x0904,
        MLDSA65 = 0x0905,
        MLDSA87 = 0x0906,
    }
}

impl SignatureScheme {
    /// Whether TLS 1.3 lets a CertificateVerify use this scheme. PKCS#1 v1.5, DSA, and all
    /// over SHA-1, SHA-224 or MD5 are not (RFC 9846, section 4.3.3).
    pub fn allowed_in_handshake(self) -> bool {
        // Up to SHA-512 the code points are pairs of TLS 1.2: hash, and then RSA, DSA, ECDSA.
        let [hash, signature] = self.0.to_be_bytes();
        match hash {
            0..=3 => false,
            4..=6 => signature > 2,
            _ => true,
        }
    }
}

/// A hash function that a cipher suite's key schedule runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-384 (FIPS 180-4).
    Sha384,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl HashAlgorithm {
    /// Length of the output in bytes.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Length in bytes of the blocks that the function works on; HMAC pads its key to it.
    pub const fn block_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_go_both_ways() {
        assert_eq!(
            CipherSuite::from_name("tls_aes_128_gcm_sha256"),
            Some(CipherSuite::TLS_AES_128_GCM_SHA256)
        );
        assert_eq!(NamedGroup::from_name("x25519"), Some(NamedGroup(0x1d)));
        assert_eq!(NamedGroup::from_name("curve9000"), None);
        assert_eq!(format!("{}", SignatureScheme::ED25519), "ED25519");
        assert_eq!(format!("{:?}", NamedGroup(0x0a0a)), "0x0a0a");
    }

    #[test]
    fn old_signatures_are_for_certificates_only() {
        assert!(!SignatureScheme::RSA_PKCS1_SHA256.allowed_in_handshake());
        assert!(!SignatureScheme(0x0203).allowed_in_handshake());
        assert!(!SignatureScheme(0x0402).allowed_in_handshake());
        assert!(SignatureScheme::ECDSA_SECP256R1_SHA256.allowed_in_handshake());
        assert!(SignatureScheme::RSA_PSS_RSAE_SHA256.allowed_in_handshake());
    }
}
