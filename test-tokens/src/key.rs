//! The keys that a token is filled with.

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, KeyType, MlDsaParameterSetType},
};

use crate::{Kind, Skipped};

/// A key of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// RSA of 2048 bits.
    Rsa2048,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
    /// RSA of 2048 bits that wants the PIN for each signature (CKA_ALWAYS_AUTHENTICATE).
    AlwaysRsa2048,
    /// ECDSA on P-256, likewise.
    AlwaysP256,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
}

impl Key {
    /// Those of ML-DSA, which get no certificate: OpenSSL knows them since 3.5.
    pub const ML_DSA: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// The kinds of key that most tokens have.
    pub const ALL: [Self; 6] = [
        Self::Rsa2048,
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
        Self::Ed448,
    ];

    /// Its label in the token.
    pub fn label(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Ed25519 => "ed25519",
            Self::Ed448 => "ed448",
            Self::AlwaysRsa2048 => "always-rsa2048",
            Self::AlwaysP256 => "always-p256",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Its `CKA_ID` in the token, one byte; NSS chooses its own.
    pub fn id(self) -> u8 {
        self as u8 + 1
    }

    pub(crate) fn skipped(self, kind: Kind, why: &str) -> Skipped {
        Skipped {
            what: format!("{} {}", kind.name(), self.label()),
            why: why.to_owned(),
        }
    }

    pub(crate) fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::Rsa2048 | Self::AlwaysRsa2048 => Mechanism::RsaPkcsKeyPairGen,
            Self::P256 | Self::P384 | Self::P521 | Self::AlwaysP256 => Mechanism::EccKeyPairGen,
            Self::Ed25519 | Self::Ed448 => Mechanism::EccEdwardsKeyPairGen,
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => Mechanism::MlDsaKeyPairGen,
        }
    }

    pub(crate) fn key_type(self) -> KeyType {
        match self {
            Self::Rsa2048 | Self::AlwaysRsa2048 => KeyType::RSA,
            Self::P256 | Self::P384 | Self::P521 | Self::AlwaysP256 => KeyType::EC,
            Self::Ed25519 | Self::Ed448 => KeyType::EC_EDWARDS,
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => KeyType::ML_DSA,
        }
    }

    /// What key generation is told besides the mechanism.
    pub(crate) fn parameters(self) -> Vec<Attribute> {
        let set = |set: MlDsaParameterSetType| vec![Attribute::ParameterSet(set.into())];
        match (self, self.curve()) {
            (_, Some(oid)) => vec![Attribute::EcParams(oid.to_vec())],
            (Self::MlDsa44, _) => set(MlDsaParameterSetType::ML_DSA_44),
            (Self::MlDsa65, _) => set(MlDsaParameterSetType::ML_DSA_65),
            (Self::MlDsa87, _) => set(MlDsaParameterSetType::ML_DSA_87),
            (_, None) => vec![
                Attribute::ModulusBits(2048.into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
            ],
        }
    }

    /// Whether it wants the PIN for each signature.
    pub(crate) fn always_authenticates(self) -> bool {
        matches!(self, Self::AlwaysRsa2048 | Self::AlwaysP256)
    }

    /// The curve's object identifier, in DER.
    pub(crate) fn curve(self) -> Option<&'static [u8]> {
        match self {
            Self::Rsa2048 | Self::AlwaysRsa2048 => None,
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => None,
            // RFC 5480, section 2.1.1.1.
            Self::P256 | Self::AlwaysP256 => Some(&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
            Self::P384 => Some(&[6, 5, 0x2b, 0x81, 4, 0, 0x22]),
            Self::P521 => Some(&[6, 5, 0x2b, 0x81, 4, 0, 0x23]),
            // RFC 8410, section 3.
            Self::Ed25519 => Some(&[6, 3, 0x2b, 0x65, 0x70]),
            Self::Ed448 => Some(&[6, 3, 0x2b, 0x65, 0x71]),
        }
    }
}
