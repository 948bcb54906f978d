//! Ed25519 (RFC 8032).

use std::fmt;
use std::sync::Arc;

use crypto_api::{Error, Implementation, Op, SecureRandom, SignatureScheme, SigningKey};
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::error::failed;

const SCHEMES: &[SignatureScheme] = &[SignatureScheme::ED25519];

struct Key {
    key: PKey<Private>,
    public: SubjectPublicKeyInfoDer<'static>,
}

/// Loads the private key `seed`; `public` is its public key if the encoding has it.
pub(super) fn load(seed: &[u8], public: Option<&[u8]>) -> Result<Arc<dyn SigningKey>, Error> {
    if seed.len() != 32 {
        return Err(Error::BadKey("it has not the 32 bytes of an Ed25519 key"));
    }
    let load = || {
        let key = PKey::private_key_from_raw_bytes(seed, Id::ED25519)?;
        let public = key.raw_public_key()?;
        Ok((key, public))
    };
    let (key, computed) = load().map_err(failed("load an Ed25519 key"))?;
    if public.is_some_and(|public| public != computed) {
        return Err(Error::BadKey("its public half is that of another key"));
    }
    let public = super::public_half(&key)?;
    Ok(Arc::new(Key { key, public }))
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::debug(f, SCHEMES)
    }
}

impl SigningKey for Key {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.clone())
    }

    fn schemes(&self) -> &[SignatureScheme] {
        SCHEMES
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        _random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        if scheme != SignatureScheme::ED25519 {
            return Op::err(Error::Unsupported("signature scheme of an Ed25519 key"));
        }
        let sign = || Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(message);
        Op::Ready(sign().map_err(failed("sign with Ed25519")))
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}
