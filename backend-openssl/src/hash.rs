//! Hash and HMAC.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crypto_api::{
    Digest, Error, Hash, HashAlgorithm, HashContext, HashFunctions, Hmac, Implementation, Secret,
};
use zeroize::Zeroizing;

use crate::low::sha::{Sha, Sha256, Sha384, Sha512};

/// SHA-256 and SHA-384 with their HMAC and HKDF.
pub fn hashes() -> Vec<HashFunctions> {
    vec![functions::<Sha256>(), functions::<Sha384>()]
}

fn functions<S: Sha>() -> HashFunctions {
    let entry = Arc::new(Over::<S>(PhantomData));
    HashFunctions::new(entry.clone(), entry)
}

/// The hash of `message`, for signatures.
pub(crate) fn digest(algorithm: HashAlgorithm, message: &[u8]) -> Result<Digest, Error> {
    match algorithm {
        HashAlgorithm::Sha256 => Ok(finish(&mut started::<Sha256>(&[message]))),
        HashAlgorithm::Sha384 => Ok(finish(&mut started::<Sha384>(&[message]))),
        HashAlgorithm::Sha512 => Ok(finish(&mut started::<Sha512>(&[message]))),
        _ => Err(Error::Unsupported("hash function")),
    }
}

fn started<S: Sha>(parts: &[&[u8]]) -> S {
    let mut sha = S::new();
    parts.iter().for_each(|part| sha.update(part));
    sha
}

fn finish<S: Sha>(sha: &mut S) -> Digest {
    let mut out = [0; crypto_api::MAX_HASH_LEN];
    sha.finish(&mut out);
    let (hash, _) = out.split_at(S::ALGORITHM.output_len());
    Digest::new(hash)
}

/// Hash and HMAC over one hash function.
struct Over<S>(PhantomData<fn() -> S>);

impl<S: Sha> fmt::Debug for Over<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", S::ALGORITHM)
    }
}

impl<S: Sha> Hash for Over<S> {
    fn algorithm(&self) -> HashAlgorithm {
        S::ALGORITHM
    }

    fn start(&self) -> Result<Box<dyn HashContext>, Error> {
        Ok(Box::new(Context(S::new())))
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, Error> {
        Ok(finish(&mut started::<S>(parts)))
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}

struct Context<S>(S);

impl<S: Sha> HashContext for Context<S> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn digest(&self) -> Result<Digest, Error> {
        Ok(finish(&mut self.0.clone()))
    }
}

/// The longest block of the hash functions here, in bytes.
const MAX_BLOCK_LEN: usize = 128;

impl<S: Sha> Hmac for Over<S> {
    fn algorithm(&self) -> HashAlgorithm {
        S::ALGORITHM
    }

    /// RFC 2104, section 2. Written here because libcrypto's own looks its algorithm up and
    /// allocates for each of the key schedule's short computations.
    fn mac(&self, key: &[u8], parts: &[&[u8]]) -> Result<Secret, Error> {
        let mut sha = S::new();
        let mut pad = Zeroizing::new([0; MAX_BLOCK_LEN]);
        let (block, _) = pad.split_at_mut(S::ALGORITHM.block_len());
        match block.get_mut(..key.len()) {
            Some(front) => front.copy_from_slice(key),
            None => {
                sha.update(key);
                sha.finish(block);
            }
        }
        let mut mac = Secret::zeroed(S::ALGORITHM.output_len());
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        sha.update(block);
        parts.iter().for_each(|part| sha.update(part));
        sha.finish(mac.as_bytes_mut());
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
        sha.update(block);
        sha.update(mac.as_bytes());
        sha.finish(mac.as_bytes_mut());
        Ok(mac)
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}
