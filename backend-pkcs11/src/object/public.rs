//! The public half of a key, from whichever attributes a token shows.

use crypto_api::PublicKey;
use cryptoki_sys as sys;
use rustls_pki_types::{AlgorithmIdentifier, SubjectPublicKeyInfoDer, alg_id};
use sys::CK_OBJECT_HANDLE;

use super::{Look, Wanted};
use crate::der;
use crate::error::Reason;

/// The kinds of keys that TLS signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// RSA, with the modulus's length in bits.
    Rsa(usize),
    P256,
    P384,
    P521,
    Ed25519,
    Ed448,
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicHalf {
    pub(crate) spki: SubjectPublicKeyInfoDer<'static>,
    pub(crate) kind: Kind,
}

/// The kinds that an AlgorithmIdentifier tells by itself, with the length of the key.
const KINDS: [(AlgorithmIdentifier, Kind, usize); 8] = [
    (alg_id::ECDSA_P256, Kind::P256, 65),
    (alg_id::ECDSA_P384, Kind::P384, 97),
    (alg_id::ECDSA_P521, Kind::P521, 133),
    (alg_id::ED25519, Kind::Ed25519, 32),
    (alg_id::ED448, Kind::Ed448, 57),
    (alg_id::ML_DSA_44, Kind::MlDsa44, 1312),
    (alg_id::ML_DSA_65, Kind::MlDsa65, 1952),
    (alg_id::ML_DSA_87, Kind::MlDsa87, 2592),
];

/// The DER of object identifiers, as CKA_EC_PARAMS holds them.
const SECP256R1: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const SECP384R1: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
const SECP521R1: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x23];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
const ED448: &[u8] = &[6, 3, 0x2b, 0x65, 0x71];
/// The identifier that Ed25519 had before RFC 8410 (draft-josefsson-pkix-newcurves).
const ED25519_OLD: &[u8] = &[6, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];

impl PublicHalf {
    /// A SubjectPublicKeyInfo of a kind that is known.
    pub(crate) fn from_spki(der: &[u8]) -> Option<Self> {
        let spki = SubjectPublicKeyInfoDer::from(der.to_vec());
        let parts = PublicKey::from_spki(&spki)?;
        let kind = if parts.algorithm == alg_id::RSA_ENCRYPTION.as_ref() {
            Kind::Rsa(bits(der::rsa_modulus(parts.key)?))
        } else {
            let found = KINDS.iter().find(|(algorithm, _, len)| {
                algorithm.as_ref() == parts.algorithm && *len == parts.key.len()
            });
            found?.1
        };
        Some(Self { spki, kind })
    }

    fn new(kind: Kind, key: &[u8]) -> Option<Self> {
        let (algorithm, _, _) = KINDS
            .iter()
            .find(|(_, each, len)| *each == kind && *len == key.len())?;
        Self::from_spki(&der::public_key(algorithm.as_ref(), key))
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let key = der::rsa_public_key(modulus, exponent);
        Self::from_spki(&der::public_key(alg_id::RSA_ENCRYPTION.as_ref(), &key))
    }

    /// From CKA_EC_PARAMS and CKA_EC_POINT (PKCS#11 3.1, section 6.3.3). The first is an
    /// identifier or, for Edwards curves, a name; the second ought to be wrapped in an octet
    /// string and often is not, or in a bit string.
    fn elliptic(params: &[u8], point: &[u8]) -> Option<Self> {
        const PRINTABLE_STRING: u8 = 0x13;
        const BIT_STRING: u8 = 3;
        let (kind, len) = match params {
            SECP256R1 => (Kind::P256, 65),
            SECP384R1 => (Kind::P384, 97),
            SECP521R1 => (Kind::P521, 133),
            ED25519 | ED25519_OLD => (Kind::Ed25519, 32),
            ED448 => (Kind::Ed448, 57),
            _ => match der::only(PRINTABLE_STRING, params)? {
                b"edwards25519" => (Kind::Ed25519, 32),
                b"edwards448" => (Kind::Ed448, 57),
                b"secp256r1" | b"prime256v1" => (Kind::P256, 65),
                b"secp384r1" => (Kind::P384, 97),
                b"secp521r1" => (Kind::P521, 133),
                _ => return None,
            },
        };
        // By length: an uncompressed point begins with the tag of an octet string.
        let key = if point.len() == len {
            point
        } else if let Some(content) = der::only(der::OCTET_STRING, point) {
            content
        } else {
            der::only(BIT_STRING, point)?.strip_prefix(&[0])?
        };
        Self::new(kind, key)
    }
}

/// The length in bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let zeros = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len() * 8 - zeros as usize
}

/// The public half of the private or public key `object`: from itself, else from the public
/// key with the same CKA_ID, else from a certificate with it.
pub(super) fn of_object(
    look: &Look<'_>,
    object: CK_OBJECT_HANDLE,
) -> Result<Option<PublicHalf>, Reason> {
    let key_type = look.number(object, sys::CKA_KEY_TYPE)?;
    let mut public = match key_type {
        Some(sys::CKK_RSA) => {
            let modulus = look.filled(object, sys::CKA_MODULUS)?;
            let exponent = look.filled(object, sys::CKA_PUBLIC_EXPONENT)?;
            match (modulus, exponent) {
                (Some(modulus), Some(exponent)) => PublicHalf::rsa(&modulus, &exponent),
                _ => None,
            }
        }
        Some(sys::CKK_EC | sys::CKK_EC_EDWARDS) => {
            let params = look.filled(object, sys::CKA_EC_PARAMS)?;
            let point = look.filled(object, sys::CKA_EC_POINT)?;
            match (params, point) {
                (Some(params), Some(point)) => {
                    let public = PublicHalf::elliptic(&params, &point);
                    if public.is_none() {
                        let text = "an elliptic curve that TLS does not sign with";
                        return Err(Reason::KeyType(text.into()));
                    }
                    public
                }
                _ => None,
            }
        }
        Some(sys::CKK_ML_DSA) => {
            let set = look.number(object, sys::CKA_PARAMETER_SET)?;
            let kind = match set {
                Some(sys::CKP_ML_DSA_44) => Some(Kind::MlDsa44),
                Some(sys::CKP_ML_DSA_65) => Some(Kind::MlDsa65),
                Some(sys::CKP_ML_DSA_87) => Some(Kind::MlDsa87),
                _ => None,
            };
            let class = look.number(object, sys::CKA_CLASS)?;
            // A private key's CKA_VALUE is the secret itself, and not asked for.
            match kind {
                Some(kind) if class == Some(sys::CKO_PUBLIC_KEY) => look
                    .filled(object, sys::CKA_VALUE)?
                    .and_then(|key| PublicHalf::new(kind, &key)),
                _ => None,
            }
        }
        other => {
            let number = other.map_or("unknown".into(), |number| format!("{number:#x}"));
            return Err(Reason::KeyType(format!("CKA_KEY_TYPE is {number}")));
        }
    };
    if public.is_none() {
        let info = look.filled(object, sys::CKA_PUBLIC_KEY_INFO)?;
        public = info.and_then(|der| PublicHalf::from_spki(&der));
    }
    Ok(public)
}

/// The public half of a key, from wherever the token has it.
pub(crate) fn public_half(look: &Look<'_>, object: CK_OBJECT_HANDLE) -> Result<PublicHalf, Reason> {
    if let Some(public) = of_object(look, object)? {
        return Ok(public);
    }
    let Some(id) = look.filled(object, sys::CKA_ID)? else {
        return Err(Reason::NoPublicKey);
    };
    let wanted = Wanted {
        label: None,
        id: Some(&id),
    };
    for companion in look.find(sys::CKO_PUBLIC_KEY, wanted)? {
        if companion != object
            && let Some(public) = of_object(look, companion)?
        {
            return Ok(public);
        }
    }
    for certificate in look.find(sys::CKO_CERTIFICATE, wanted)? {
        let value = look.filled(certificate, sys::CKA_VALUE)?;
        let parsed = value.as_deref().and_then(der::Certificate::parse);
        if let Some(public) = parsed.and_then(|parsed| PublicHalf::from_spki(parsed.public_key)) {
            return Ok(public);
        }
    }
    Err(Reason::NoPublicKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    #[test]
    fn edwards_keys_in_every_encoding() {
        for (kind, oid, name, len) in [
            (Kind::Ed25519, ED25519, &b"edwards25519"[..], 32),
            (Kind::Ed448, ED448, b"edwards448", 57),
        ] {
            let key = vec![9; len];
            let expected = PublicHalf::new(kind, &key).unwrap();
            assert_eq!(expected.kind, kind);
            for params in [oid.to_vec(), wrapped(0x13, name)] {
                for point in [
                    key.clone(),
                    wrapped(4, &key),
                    wrapped(3, &[&[0], &key[..]].concat()),
                ] {
                    let public = PublicHalf::elliptic(&params, &point).unwrap();
                    assert_eq!(public, expected);
                }
                assert_eq!(PublicHalf::elliptic(&params, &key[1..]), None);
            }
        }
        let old = PublicHalf::elliptic(ED25519_OLD, &[9; 32]).unwrap();
        assert_eq!(old.kind, Kind::Ed25519);
    }

    #[test]
    fn points_wrapped_and_bare() {
        for (params, len) in [(SECP256R1, 65), (SECP384R1, 97), (SECP521R1, 133)] {
            let mut point = vec![0; len];
            point[0] = 4;
            // Looks like an octet string of this length by itself.
            point[1] = (len - 2) as u8;
            let bare = PublicHalf::elliptic(params, &point).unwrap();
            let mut head = vec![4];
            if len > 127 {
                head.push(0x81);
            }
            head.push(len as u8);
            let wrapped = [&head[..], &point].concat();
            assert_eq!(PublicHalf::elliptic(params, &wrapped).unwrap(), bare);
            assert_eq!(PublicHalf::elliptic(params, &wrapped[1..]), None);
        }
        // Explicit parameters and curves that TLS has no scheme for.
        assert_eq!(PublicHalf::elliptic(&[0x30, 0], &[4; 65]), None);
        assert_eq!(
            PublicHalf::elliptic(&[6, 5, 0x2b, 0x81, 4, 0, 10], &[4; 65]),
            None
        );
    }

    #[test]
    fn rsa_keys_know_their_length() {
        let kind = |first: u8, len: usize| {
            let mut modulus = vec![1; len];
            modulus[0] = first;
            PublicHalf::rsa(&modulus, &[1, 0, 1]).unwrap().kind
        };
        assert_eq!(kind(0x80, 256), Kind::Rsa(2048));
        assert_eq!(kind(0x01, 256), Kind::Rsa(2041));
        assert_eq!(kind(0x00, 257), Kind::Rsa(2041));
        assert_eq!(PublicHalf::rsa(&[], &[3]), None);
    }
}
