//! SHA-256 and SHA-384 (FIPS 180-4), and HMAC over them (RFC 2104).

use std::sync::Arc;

use crypto_api::{
    Digest, Error, Hash, HashAlgorithm, HashContext, HashFunctions, Implementation, Secret,
};
use hmac::{KeyInit, Mac};
use sha2::Digest as _;
use zeroize::Zeroize;

use crate::{cpu, random::failed};

/// SHA-256.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sha256;

/// SHA-384.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sha384;

/// HMAC over SHA-256.
#[derive(Clone, Copy, Debug, Default)]
pub struct HmacSha256;

/// HMAC over SHA-384.
#[derive(Clone, Copy, Debug, Default)]
pub struct HmacSha384;

/// SHA-256 with HMAC and HKDF over it.
pub fn sha256() -> HashFunctions {
    HashFunctions::new(Arc::new(Sha256), Arc::new(HmacSha256))
}

/// SHA-384 with HMAC and HKDF over it.
pub fn sha384() -> HashFunctions {
    HashFunctions::new(Arc::new(Sha384), Arc::new(HmacSha384))
}

macro_rules! hash {
    ($hash:ident, $hmac:ident, $detail:expr) => {
        impl Hash for $hash {
            fn algorithm(&self) -> HashAlgorithm {
                HashAlgorithm::$hash
            }

            fn start(&self) -> Result<Box<dyn HashContext>, Error> {
                Ok(Box::new(Context(sha2::$hash::new())))
            }

            fn hash(&self, parts: &[&[u8]]) -> Result<Digest, Error> {
                let mut hash = sha2::$hash::new();
                parts.iter().for_each(|part| hash.update(part));
                Ok(Digest::new(&hash.finalize()))
            }

            fn implementation(&self) -> Implementation {
                cpu::implementation($detail)
            }
        }

        impl crypto_api::Hmac for $hmac {
            fn algorithm(&self) -> HashAlgorithm {
                HashAlgorithm::$hash
            }

            fn mac(&self, key: &[u8], parts: &[&[u8]]) -> Result<Secret, Error> {
                let mut mac = hmac::Hmac::<sha2::$hash>::new_from_slice(key)
                    .map_err(|error| failed("set an HMAC key", error))?;
                parts.iter().for_each(|part| mac.update(part));
                let mut bytes = mac.finalize().into_bytes();
                let secret = Secret::new(&bytes);
                bytes.as_mut_slice().zeroize();
                Ok(secret)
            }

            fn implementation(&self) -> Implementation {
                cpu::implementation($detail)
            }
        }
    };
}

hash!(Sha256, HmacSha256, cpu::sha256());
hash!(Sha384, HmacSha384, cpu::sha384());

struct Context<D>(D);

impl<D: sha2::Digest + Clone + Send + Sync + 'static> HashContext for Context<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn digest(&self) -> Result<Digest, Error> {
        Ok(Digest::new(&self.0.clone().finalize()))
    }
}
