//! RSA (RFC 8017): PSS signs and verifies, PKCS#1 v1.5 verifies certificates.

use crypto_api::{Error, Implementation, Op, SecureRandom, SignatureScheme, SigningKey};
use rsa::pkcs8::der::Decode;
use rsa::{BoxedUint, PrivateKey, PublicKey, pkcs1};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
    alg_id,
};
use sha2::{Sha256, Sha384, Sha512};

use crate::{cpu, random::Rng};

/// RSA-PSS with SHA-256, a salt of 32 bytes.
pub static RSA_PSS_SHA256: &dyn SignatureVerificationAlgorithm =
    &RsaVerification(Algorithm::PssSha256);
/// RSA-PSS with SHA-384, a salt of 48 bytes.
pub static RSA_PSS_SHA384: &dyn SignatureVerificationAlgorithm =
    &RsaVerification(Algorithm::PssSha384);
/// RSA-PSS with SHA-512, a salt of 64 bytes.
pub static RSA_PSS_SHA512: &dyn SignatureVerificationAlgorithm =
    &RsaVerification(Algorithm::PssSha512);
/// RSA PKCS#1 v1.5 with SHA-256: for certificates.
pub static RSA_PKCS1_SHA256: &dyn SignatureVerificationAlgorithm =
    &RsaVerification(Algorithm::Pkcs1Sha256);
/// RSA PKCS#1 v1.5 with SHA-384: for certificates.
pub static RSA_PKCS1_SHA384: &dyn SignatureVerificationAlgorithm =
    &RsaVerification(Algorithm::Pkcs1Sha384);
/// RSA PKCS#1 v1.5 with SHA-512: for certificates.
pub static RSA_PKCS1_SHA512: &dyn SignatureVerificationAlgorithm =
    &RsaVerification(Algorithm::Pkcs1Sha512);

/// Sizes of the moduli that are used, in bits. Smaller ones are weak (NIST SP 800-131A),
/// larger ones let a peer's certificate occupy this side.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// RSA with one padding and one hash function, for keys of 2048 to 8192 bits.
#[derive(Clone, Copy, Debug)]
pub struct RsaVerification(Algorithm);

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    PssSha256,
    PssSha384,
    PssSha512,
    Pkcs1Sha256,
    Pkcs1Sha384,
    Pkcs1Sha512,
}

impl SignatureVerificationAlgorithm for RsaVerification {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = public(public_key).ok_or(InvalidSignature)?;
        match self.0 {
            Algorithm::PssSha256 => key.pss_verify::<Sha256>(message, signature),
            Algorithm::PssSha384 => key.pss_verify::<Sha384>(message, signature),
            Algorithm::PssSha512 => key.pss_verify::<Sha512>(message, signature),
            Algorithm::Pkcs1Sha256 => key.pkcs1v15_verify::<Sha256>(message, signature),
            Algorithm::Pkcs1Sha384 => key.pkcs1v15_verify::<Sha384>(message, signature),
            Algorithm::Pkcs1Sha512 => key.pkcs1v15_verify::<Sha512>(message, signature),
        }
        .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.0 {
            Algorithm::PssSha256 => alg_id::RSA_PSS_SHA256,
            Algorithm::PssSha384 => alg_id::RSA_PSS_SHA384,
            Algorithm::PssSha512 => alg_id::RSA_PSS_SHA512,
            Algorithm::Pkcs1Sha256 => alg_id::RSA_PKCS1_SHA256,
            Algorithm::Pkcs1Sha384 => alg_id::RSA_PKCS1_SHA384,
            Algorithm::Pkcs1Sha512 => alg_id::RSA_PKCS1_SHA512,
        }
    }
}

/// Decodes a peer's RSAPublicKey. Lengths are checked before anything is computed; the library
/// then refuses exponents of more than 33 bits.
fn public(der: &[u8]) -> Option<PublicKey> {
    const MAX_EXPONENT_LEN: usize = 8;
    let key = pkcs1::RsaPublicKeyRef::from_der(der).ok()?;
    let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    if n.len() > MODULUS_BITS.end() / 8 || e.len() > MAX_EXPONENT_LEN {
        return None;
    }
    PublicKey::new_with_size_limits(integer(n)?, integer(e)?, MODULUS_BITS).ok()
}

/// Length in bits of an integer in the shortest big-endian form, as DER has it.
fn bit_len(bytes: &[u8]) -> usize {
    let unused = bytes.first().map_or(0, |first| first.leading_zeros());
    8 * bytes.len() - unused as usize
}

fn integer(bytes: &[u8]) -> Option<BoxedUint> {
    let bits = u32::try_from(bytes.len()).ok()?.checked_mul(8)?;
    BoxedUint::from_be_slice(bytes, bits).ok()
}

/// A private key.
pub(super) struct Rsa {
    key: PrivateKey,
    spki: Vec<u8>,
}

impl Rsa {
    /// Takes an RSAPrivateKey (RFC 8017, appendix A.1.2).
    pub(super) fn from_pkcs1(der: &[u8]) -> Result<Self, Error> {
        let parts = pkcs1::RsaPrivateKeyRef::from_der(der)
            .map_err(|_| Error::BadKey("RSA key is not a PKCS#1 RSAPrivateKey in DER"))?;
        if parts.version() != pkcs1::Version::TwoPrime {
            return Err(Error::Unsupported("RSA keys of more than two primes"));
        }
        // Before the checks whose cost grows with the size.
        let bits = bit_len(parts.modulus.as_bytes());
        if bits < *MODULUS_BITS.start() {
            return Err(Error::BadKey("RSA modulus has fewer than 2048 bits"));
        }
        if bits > *MODULUS_BITS.end() {
            return Err(Error::BadKey("RSA modulus has more than 8192 bits"));
        }
        let key = PrivateKey::try_from(parts)
            .map_err(|_| Error::BadKey("the numbers of the RSA key do not belong together"))?;
        let spki = super::loader::spki(AsRef::<PublicKey>::as_ref(&key))?;
        Ok(Self { key, spki })
    }
}

impl std::fmt::Debug for Rsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rsa").finish_non_exhaustive()
    }
}

impl SigningKey for Rsa {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki.as_slice().into())
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &[
            SignatureScheme::RSA_PSS_RSAE_SHA256,
            SignatureScheme::RSA_PSS_RSAE_SHA384,
            SignatureScheme::RSA_PSS_RSAE_SHA512,
        ]
    }

    // The salt is as long as the hash (RFC 9846, section 4.3.3). Randomness also blinds the
    // private operation, and the result is checked against the public key.
    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        let mut rng = Rng::new(random);
        let signature = match scheme {
            SignatureScheme::RSA_PSS_RSAE_SHA256 => {
                self.key.pss_sign_with_rng::<Sha256, _>(&mut rng, message)
            }
            SignatureScheme::RSA_PSS_RSAE_SHA384 => {
                self.key.pss_sign_with_rng::<Sha384, _>(&mut rng, message)
            }
            SignatureScheme::RSA_PSS_RSAE_SHA512 => {
                self.key.pss_sign_with_rng::<Sha512, _>(&mut rng, message)
            }
            _ => return Op::err(super::loader::wrong_scheme()),
        };
        rng.explain("sign with RSA-PSS", signature).into()
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::PORTABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::pkcs8::der::Encode;

    /// The same line as in `backend-openssl`.
    #[test]
    fn exponents_that_cost_much_are_refused() {
        let takes = |exponent: &[u8]| {
            let key = pkcs1::RsaPublicKey {
                modulus: pkcs1::UintRef::new(&[0xff; 256]).unwrap(),
                public_exponent: pkcs1::UintRef::new(exponent).unwrap(),
            };
            public(&key.to_der().unwrap()).is_some()
        };
        assert!(takes(&[1, 0, 1]) && takes(&[1, 0xff, 0xff, 0xff, 0xff]));
        assert!(!takes(&[2, 0, 0, 0, 1]) && !takes(&[1, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert!(!takes(&[0x7f; 100]));
    }
}
