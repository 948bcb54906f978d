//! Private keys that sign, and the algorithms that verify.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rustls_pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};

use crate::{Error, Implementation, Op, SecureRandom, SignatureScheme};

/// A private key that signs: in memory, or a handle to one that never leaves its token.
pub trait SigningKey: Send + Sync + fmt::Debug {
    /// The public half, so that a key can be matched with its certificate. `None` if the
    /// key's holder does not tell.
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>>;

    /// The schemes that this key can sign with, the preferred one first.
    fn schemes(&self) -> &[SignatureScheme];

    /// Signs `message` (not its digest). The signature is encoded as TLS carries it: DER
    /// for ECDSA.
    ///
    /// The operation owns what it needs: `message` is not borrowed after the return. A
    /// backend that has its own source of randomness may leave `random` unused.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a scheme that is not among [`schemes`](Self::schemes),
    /// [`Error::Backend`] or [`Error::Unavailable`] when the key's holder fails.
    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Op<Vec<u8>>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}

/// Makes signing keys of encoded private keys.
pub trait KeyLoader: Send + Sync + fmt::Debug {
    /// Loads a PKCS#8, SEC1 or PKCS#1 key.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a kind of key that this loader does not know, so that
    /// another one can be asked; [`Error::BadKey`] for one that it knows and that is
    /// damaged or unfit.
    fn load(&self, key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, Error>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}

/// A signature algorithm that can be verified.
#[derive(Clone, Copy, Debug)]
pub struct Verification {
    /// The scheme under which TLS knows it. `None` for combinations that only certificates
    /// use, such as ECDSA on P-256 with SHA-384.
    pub scheme: Option<SignatureScheme>,
    /// The algorithm: which public keys and signatures it is for, and how to verify.
    pub algorithm: &'static dyn SignatureVerificationAlgorithm,
    /// Who computes this, for the capability table.
    pub implementation: Implementation,
}
