//! ECDSA on P-256 and P-384 (FIPS 186-5; DER as in RFC 3279, section 2.2.3).

use crypto_api::{Error, Implementation, Op, SecureRandom, SignatureScheme, SigningKey};
use p256::ecdsa::signature::RandomizedSigner;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
    alg_id,
};
use sha2::{Digest, Sha256, Sha384};

use crate::{cpu, random::Rng};

/// ECDSA on P-256 with SHA-256.
pub static ECDSA_P256_SHA256: &dyn SignatureVerificationAlgorithm = &EcdsaVerification {
    curve: Curve::P256,
    hash: Hash::Sha256,
};
/// ECDSA on P-256 with SHA-384: for certificates.
pub static ECDSA_P256_SHA384: &dyn SignatureVerificationAlgorithm = &EcdsaVerification {
    curve: Curve::P256,
    hash: Hash::Sha384,
};
/// ECDSA on P-384 with SHA-256: for certificates.
pub static ECDSA_P384_SHA256: &dyn SignatureVerificationAlgorithm = &EcdsaVerification {
    curve: Curve::P384,
    hash: Hash::Sha256,
};
/// ECDSA on P-384 with SHA-384.
pub static ECDSA_P384_SHA384: &dyn SignatureVerificationAlgorithm = &EcdsaVerification {
    curve: Curve::P384,
    hash: Hash::Sha384,
};

/// ECDSA on one curve with one hash function.
#[derive(Clone, Copy, Debug)]
pub struct EcdsaVerification {
    curve: Curve,
    hash: Hash,
}

#[derive(Clone, Copy, Debug)]
enum Curve {
    P256,
    P384,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
}

impl SignatureVerificationAlgorithm for EcdsaVerification {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        match self.hash {
            Hash::Sha256 => verify(self.curve, public_key, &Sha256::digest(message), signature),
            Hash::Sha384 => verify(self.curve, public_key, &Sha384::digest(message), signature),
        }
        .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.curve {
            Curve::P256 => alg_id::ECDSA_P256,
            Curve::P384 => alg_id::ECDSA_P384,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.hash {
            Hash::Sha256 => alg_id::ECDSA_SHA256,
            Hash::Sha384 => alg_id::ECDSA_SHA384,
        }
    }
}

fn verify(
    curve: Curve,
    public_key: &[u8],
    digest: &[u8],
    signature: &[u8],
) -> Result<(), p256::ecdsa::Error> {
    // The decoder knows more forms of a point. The uncompressed one is that which every
    // implementation has (RFC 5480, section 2.2), and the only one that certificates use.
    if public_key.first() != Some(&4) {
        return Err(p256::ecdsa::Error::new());
    }
    match curve {
        Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key)?
            .verify_prehash(digest, &p256::ecdsa::Signature::from_der(signature)?),
        Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(public_key)?
            .verify_prehash(digest, &p384::ecdsa::Signature::from_der(signature)?),
    }
}

/// A private key on P-256.
pub(super) struct P256 {
    key: p256::ecdsa::SigningKey,
    spki: Vec<u8>,
}

/// A private key on P-384.
pub(super) struct P384 {
    key: p384::ecdsa::SigningKey,
    spki: Vec<u8>,
}

macro_rules! signing_key {
    ($name:ident, $curve:ident, $scheme:ident) => {
        impl $name {
            pub(super) fn new(key: &$curve::SecretKey) -> Result<Self, Error> {
                Ok(Self {
                    spki: super::loader::spki(&key.public_key())?,
                    key: key.into(),
                })
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        impl SigningKey for $name {
            fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
                Some(self.spki.as_slice().into())
            }

            fn schemes(&self) -> &[SignatureScheme] {
                &[SignatureScheme::$scheme]
            }

            // Hedged: RFC 6979's nonce with randomness mixed in (section 3.6), so neither a
            // bad source nor an induced fault alone gives the key away.
            fn sign(
                &self,
                scheme: SignatureScheme,
                message: &[u8],
                random: &dyn SecureRandom,
            ) -> Op<Vec<u8>> {
                if !self.schemes().contains(&scheme) {
                    return Op::err(super::loader::wrong_scheme());
                }
                let mut rng = Rng::new(random);
                let signature: Result<$curve::ecdsa::Signature, _> =
                    self.key.try_sign_with_rng(&mut rng, message);
                rng.explain("sign with ECDSA", signature)
                    .map(|signature| signature.to_der().as_bytes().to_vec())
                    .into()
            }

            fn implementation(&self) -> Implementation {
                cpu::implementation(cpu::PORTABLE)
            }
        }
    };
}

signing_key!(P256, p256, ECDSA_SECP256R1_SHA256);
signing_key!(P384, p384, ECDSA_SECP384R1_SHA384);
