//! Signature verification.

use std::sync::OnceLock;

use crypto_api::{HashAlgorithm, SignatureScheme, Verification};
use openssl::bn::BigNum;
use openssl::ec::EcKey;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

use crate::curve::{Curve, P256, P384};
use crate::der::Reader;
use crate::error::clear_queue;
use crate::hash::digest;
use crate::low;

/// Lengths in bits of the RSA moduli that are accepted.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<i32> = 2048..=8192;

/// The most bits of an RSA public exponent. It is the peer who chooses it, and each bit costs
/// this side a squaring. No key in use comes near; the other backends and other stacks draw the
/// line here too.
const RSA_EXPONENT_BITS: i32 = 33;

/// The signature algorithms that libcrypto has, the preferred one first. Ed25519 is not
/// among them where only approved algorithms are loaded and it is not one.
pub fn verification() -> Vec<Verification> {
    let implementation = crate::implementation();
    let ed25519 = PKey::private_key_from_raw_bytes(&[1; 32], Id::ED25519).is_ok();
    ALGORITHMS
        .iter()
        .filter(|(scheme, _)| ed25519 || *scheme != Some(SignatureScheme::ED25519))
        .map(|&(scheme, algorithm)| Verification {
            scheme,
            algorithm,
            implementation,
        })
        .collect()
}

type Entry = (
    Option<SignatureScheme>,
    &'static dyn SignatureVerificationAlgorithm,
);

static ALGORITHMS: &[Entry] = &[
    (
        Some(SignatureScheme::ECDSA_SECP256R1_SHA256),
        &Ecdsa {
            curve: &P256,
            hash: HashAlgorithm::Sha256,
            key: alg_id::ECDSA_P256,
            signature: alg_id::ECDSA_SHA256,
        },
    ),
    (
        Some(SignatureScheme::ECDSA_SECP384R1_SHA384),
        &Ecdsa {
            curve: &P384,
            hash: HashAlgorithm::Sha384,
            key: alg_id::ECDSA_P384,
            signature: alg_id::ECDSA_SHA384,
        },
    ),
    (Some(SignatureScheme::ED25519), &Ed25519),
    (
        Some(SignatureScheme::RSA_PSS_RSAE_SHA256),
        &RsaSignature {
            padding: Padding::Pss,
            hash: HashAlgorithm::Sha256,
            signature: alg_id::RSA_PSS_SHA256,
        },
    ),
    (
        Some(SignatureScheme::RSA_PSS_RSAE_SHA384),
        &RsaSignature {
            padding: Padding::Pss,
            hash: HashAlgorithm::Sha384,
            signature: alg_id::RSA_PSS_SHA384,
        },
    ),
    (
        Some(SignatureScheme::RSA_PSS_RSAE_SHA512),
        &RsaSignature {
            padding: Padding::Pss,
            hash: HashAlgorithm::Sha512,
            signature: alg_id::RSA_PSS_SHA512,
        },
    ),
    (
        Some(SignatureScheme::RSA_PKCS1_SHA256),
        &RsaSignature {
            padding: Padding::Pkcs1,
            hash: HashAlgorithm::Sha256,
            signature: alg_id::RSA_PKCS1_SHA256,
        },
    ),
    (
        Some(SignatureScheme::RSA_PKCS1_SHA384),
        &RsaSignature {
            padding: Padding::Pkcs1,
            hash: HashAlgorithm::Sha384,
            signature: alg_id::RSA_PKCS1_SHA384,
        },
    ),
    (
        Some(SignatureScheme::RSA_PKCS1_SHA512),
        &RsaSignature {
            padding: Padding::Pkcs1,
            hash: HashAlgorithm::Sha512,
            signature: alg_id::RSA_PKCS1_SHA512,
        },
    ),
    // Only certificates pair a curve with another hash than its own.
    (
        None,
        &Ecdsa {
            curve: &P256,
            hash: HashAlgorithm::Sha384,
            key: alg_id::ECDSA_P256,
            signature: alg_id::ECDSA_SHA384,
        },
    ),
    (
        None,
        &Ecdsa {
            curve: &P384,
            hash: HashAlgorithm::Sha256,
            key: alg_id::ECDSA_P384,
            signature: alg_id::ECDSA_SHA256,
        },
    ),
];

/// Runs a verification and leaves nothing on the error queue, whatever it says: why a
/// signature does not verify is told to nobody, and libcrypto also queues errors in calls
/// that then succeed.
fn verdict(verify: impl FnOnce() -> Option<()>) -> Result<(), InvalidSignature> {
    let outcome = verify();
    clear_queue();
    outcome.ok_or(InvalidSignature)
}

/// ECDSA (FIPS 186-5, section 6.4.2) with signatures in DER (RFC 3279, section 2.2.3).
#[derive(Debug)]
struct Ecdsa {
    curve: &'static Curve,
    hash: HashAlgorithm,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        verdict(|| {
            let setup = self.curve.setup().ok()?;
            let point = self.curve.point(public_key, setup)?;
            let key = EcKey::from_public_key(&setup.group, &point).ok()?;
            let parsed = EcdsaSig::from_der(signature).ok()?;
            // Libcrypto reads more than DER; a signature has one encoding.
            if parsed.to_der().ok()? != signature {
                return None;
            }
            let digest = digest(self.hash, message).ok()?;
            parsed.verify(&digest, &key).ok()?.then_some(())
        })
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// Ed25519 (RFC 8032, section 5.1.7).
#[derive(Debug)]
struct Ed25519;

impl SignatureVerificationAlgorithm for Ed25519 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        verdict(|| {
            let key = PKey::public_key_from_raw_bytes(public_key, Id::ED25519).ok()?;
            let mut verifier = Verifier::new_without_digest(&key).ok()?;
            let valid = verifier.verify_oneshot(signature, message).ok()?;
            valid.then_some(())
        })
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

#[derive(Clone, Copy, Debug)]
enum Padding {
    /// RSASSA-PSS with a salt as long as the hash and MGF1 over it.
    Pss,
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
}

/// RSA (RFC 8017, section 8) with keys marked rsaEncryption.
#[derive(Debug)]
struct RsaSignature {
    padding: Padding,
    hash: HashAlgorithm,
    signature: AlgorithmIdentifier,
}

impl RsaSignature {
    /// The hash function as libcrypto's RSA wants it: fetched once.
    fn md(&self) -> Option<(&'static Md, Nid)> {
        static SHA256: OnceLock<Option<Md>> = OnceLock::new();
        static SHA384: OnceLock<Option<Md>> = OnceLock::new();
        static SHA512: OnceLock<Option<Md>> = OnceLock::new();
        let (cell, name, nid) = match self.hash {
            HashAlgorithm::Sha256 => (&SHA256, "SHA256", Nid::SHA256),
            HashAlgorithm::Sha384 => (&SHA384, "SHA384", Nid::SHA384),
            _ => (&SHA512, "SHA512", Nid::SHA512),
        };
        let md = cell.get_or_init(|| Md::fetch(None, name, None).ok());
        md.as_ref().map(|md| (md, nid))
    }
}

/// Reads an RSAPublicKey (RFC 8017, appendix A.1.1).
fn rsa_key(der: &[u8]) -> Option<Rsa<Public>> {
    let mut whole = Reader::new(der);
    let mut numbers = whole.sequence()?;
    let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
    if !numbers.is_empty() || !whole.is_empty() {
        return None;
    }
    let make = || -> Result<_, ErrorStack> {
        let (modulus, exponent) = (BigNum::from_slice(modulus)?, BigNum::from_slice(exponent)?);
        // With the exponent 1 a signature is its own message: anyone could make it.
        let sound = exponent.is_odd() && (2..=RSA_EXPONENT_BITS).contains(&exponent.num_bits());
        let fits = RSA_BITS.contains(&modulus.num_bits()) && modulus.is_odd() && sound;
        Ok((fits, Rsa::from_public_components(modulus, exponent)?))
    };
    let (fits, key) = make().ok()?;
    fits.then_some(key)
}

impl SignatureVerificationAlgorithm for RsaSignature {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        verdict(|| {
            let key = rsa_key(public_key)?;
            // RFC 8017, sections 8.1.2 and 8.2.2, step 1.
            if signature.len() != key.size() as usize {
                return None;
            }
            let digest = digest(self.hash, message).ok()?;
            let (md, nid) = self.md()?;
            match self.padding {
                Padding::Pss => low::rsa::verify_pss(&key, md, &digest, signature).ok(),
                Padding::Pkcs1 => low::rsa::verify_pkcs1(&key, nid, &digest, signature).ok(),
            }
        })
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a key with this exponent is taken.
    fn takes(exponent: &[u8]) -> bool {
        let modulus = [&[2, 0x82, 1, 1, 0][..], &[0xff; 256]].concat();
        let len = u8::try_from(exponent.len()).unwrap();
        let exponent = [&[2, len], exponent].concat();
        let whole = u8::try_from(modulus.len() + exponent.len() - 256).unwrap();
        let der = [&[0x30, 0x82, 1, whole][..], &modulus, &exponent].concat();
        rsa_key(&der).is_some()
    }

    #[test]
    fn exponents_that_protect_nothing_are_refused() {
        assert!(takes(&[3]) && takes(&[17]));
        assert!(!takes(&[0]) && !takes(&[1]) && !takes(&[2]));
    }

    #[test]
    fn exponents_that_cost_much_are_refused() {
        assert!(takes(&[1, 0, 1]) && takes(&[1, 0xff, 0xff, 0xff, 0xff]));
        assert!(!takes(&[2, 0, 0, 0, 1]) && !takes(&[1, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert!(!takes(&[0x7f; 100]));
    }

    /// RFC 5480, section 2.2: the uncompressed form must be supported, and is the only one that
    /// certificates use; `backend-soft` takes no other either.
    #[test]
    fn points_are_uncompressed() {
        use openssl::bn::BigNumContext;
        use openssl::ec::PointConversionForm as Form;

        for (curve, algorithm) in [(&P256, ALGORITHMS[0].1), (&P384, ALGORITHMS[1].1)] {
            let group = &curve.setup().unwrap().group;
            let key = EcKey::generate(group).unwrap();
            let hash = match algorithm.signature_alg_id() == alg_id::ECDSA_SHA256 {
                true => HashAlgorithm::Sha256,
                false => HashAlgorithm::Sha384,
            };
            let digest = digest(hash, b"message").unwrap();
            let signature = EcdsaSig::sign(&digest, &key).unwrap().to_der().unwrap();
            let mut ctx = BigNumContext::new().unwrap();
            let mut verifies = |form| {
                let point = key.public_key().to_bytes(group, form, &mut ctx).unwrap();
                let verdict = algorithm.verify_signature(&point, b"message", &signature);
                verdict.is_ok()
            };
            assert!(verifies(Form::UNCOMPRESSED));
            assert!(!verifies(Form::COMPRESSED) && !verifies(Form::HYBRID));
        }
    }
}
