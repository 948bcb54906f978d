//! Mechanisms and their names.

use std::fmt;

use cryptoki_sys as ck;

/// A mechanism of PKCS#11, `CK_MECHANISM_TYPE`; shown by its name where it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mechanism(pub(crate) ck::CK_MECHANISM_TYPE);

macro_rules! names {
    ($($name:ident)*) => {
        const NAMES: &[(ck::CK_MECHANISM_TYPE, &str)] =
            &[$((ck::$name, stringify!($name)),)*];
    };
}

// Those that sign, those that make keys for them, and a few that programs look for.
names! {
    CKM_RSA_PKCS_KEY_PAIR_GEN CKM_RSA_PKCS CKM_RSA_X_509 CKM_SHA1_RSA_PKCS CKM_SHA224_RSA_PKCS
    CKM_SHA256_RSA_PKCS CKM_SHA384_RSA_PKCS CKM_SHA512_RSA_PKCS CKM_RSA_PKCS_PSS
    CKM_SHA1_RSA_PKCS_PSS CKM_SHA224_RSA_PKCS_PSS CKM_SHA256_RSA_PKCS_PSS
    CKM_SHA384_RSA_PKCS_PSS CKM_SHA512_RSA_PKCS_PSS CKM_RSA_PKCS_OAEP
    CKM_EC_KEY_PAIR_GEN CKM_ECDSA CKM_ECDSA_SHA1 CKM_ECDSA_SHA224 CKM_ECDSA_SHA256
    CKM_ECDSA_SHA384 CKM_ECDSA_SHA512 CKM_ECDH1_DERIVE CKM_EC_EDWARDS_KEY_PAIR_GEN CKM_EDDSA
    CKM_ML_DSA_KEY_PAIR_GEN CKM_ML_DSA
    CKM_GENERIC_SECRET_KEY_GEN CKM_SHA_1_HMAC CKM_SHA224_HMAC CKM_SHA256_HMAC CKM_SHA384_HMAC
    CKM_SHA512_HMAC CKM_AES_KEY_GEN CKM_AES_CBC CKM_AES_CBC_PAD CKM_AES_GCM CKM_SHA256
    CKM_SHA384 CKM_SHA512
}

impl Mechanism {
    /// Reads a name as in `CKM_ECDSA`, or a number as in `0x1041` or `4161`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(&(value, _)) = NAMES.iter().find(|&&(_, name)| name == text) {
            return Some(Self(value));
        }
        let value = match text.strip_prefix("0x") {
            Some(digits) => ck::CK_MECHANISM_TYPE::from_str_radix(digits, 16),
            None => text.parse(),
        };
        value.ok().map(Self)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|&&(value, _)| value == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for value in [ck::CKM_ECDSA, ck::CKM_RSA_X_509, 0x8000_0001] {
            let mechanism = Mechanism(value);
            assert_eq!(Mechanism::parse(&mechanism.to_string()), Some(mechanism));
        }
        assert_eq!(Mechanism(ck::CKM_ECDSA).to_string(), "CKM_ECDSA");
        assert_eq!(Mechanism::parse("CKM_NONSENSE"), None);
    }
}
