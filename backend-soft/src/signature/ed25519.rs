//! Ed25519 (RFC 8032; RFC 8410).

use crypto_api::{Error, Implementation, Op, SecureRandom, SignatureScheme};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
    alg_id,
};

use crate::{cpu, random::failed};

/// Ed25519.
pub static ED25519: &dyn SignatureVerificationAlgorithm = &Ed25519Verification(());

/// Ed25519, with public keys and commitments of small order refused: under such a key one
/// signature is valid for many messages.
#[derive(Clone, Copy, Debug)]
pub struct Ed25519Verification(());

impl SignatureVerificationAlgorithm for Ed25519Verification {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let verify = || {
            VerifyingKey::try_from(public_key)?
                .verify_strict(message, &Signature::from_slice(signature)?)
        };
        verify().map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

/// A private key.
pub(super) struct Ed25519 {
    key: SigningKey,
    spki: Vec<u8>,
}

impl Ed25519 {
    pub(super) fn new(key: SigningKey) -> Result<Self, Error> {
        let spki = super::loader::spki(&key.verifying_key())?;
        Ok(Self { key, spki })
    }
}

impl std::fmt::Debug for Ed25519 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ed25519").finish_non_exhaustive()
    }
}

impl crypto_api::SigningKey for Ed25519 {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki.as_slice().into())
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &[SignatureScheme::ED25519]
    }

    // Deterministic by definition, so `random` is not used.
    fn sign(&self, scheme: SignatureScheme, message: &[u8], _: &dyn SecureRandom) -> Op<Vec<u8>> {
        if !self.schemes().contains(&scheme) {
            return Op::err(super::loader::wrong_scheme());
        }
        self.key
            .try_sign(message)
            .map(|signature| signature.to_vec())
            .map_err(|error| failed("sign with Ed25519", error))
            .into()
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::CURVE25519)
    }
}
