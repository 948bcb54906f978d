//! Hash, HMAC and HKDF: what a key schedule and a transcript are made of.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::{Digest, Error, HashAlgorithm, Implementation, Secret};

/// A hash function.
pub trait Hash: Send + Sync + fmt::Debug {
    /// Which one.
    fn algorithm(&self) -> HashAlgorithm;

    /// Starts a computation that is fed piece by piece, as a transcript is.
    ///
    /// # Errors
    /// [`Error::Backend`] when the backend fails.
    fn start(&self) -> Result<Box<dyn HashContext>, Error>;

    /// The hash of the concatenation of `parts`.
    ///
    /// # Errors
    /// [`Error::Backend`] when the backend fails.
    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, Error>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}

/// A hash computation under way.
pub trait HashContext: Send + Sync {
    /// Appends `data`. A failure shows at the next digest.
    fn update(&mut self, data: &[u8]);

    /// The hash of everything so far; the computation can go on.
    ///
    /// # Errors
    /// [`Error::Backend`] when the backend fails.
    fn digest(&self) -> Result<Digest, Error>;
}

/// HMAC (RFC 2104) over one hash function.
pub trait Hmac: Send + Sync + fmt::Debug {
    /// The hash function.
    fn algorithm(&self) -> HashAlgorithm;

    /// The MAC of the concatenation of `parts` under a key of any length.
    ///
    /// # Errors
    /// [`Error::Backend`] when the backend fails.
    fn mac(&self, key: &[u8], parts: &[&[u8]]) -> Result<Secret, Error>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}

/// HKDF (RFC 5869) over one hash function.
///
/// [`HkdfOverHmac`] makes one of any HMAC; a backend with something better, or whose
/// certificate demands its own, replaces it.
pub trait Hkdf: Send + Sync + fmt::Debug {
    /// The hash function.
    fn algorithm(&self) -> HashAlgorithm;

    /// HKDF-Extract (RFC 5869, section 2.2). An empty salt stands for one of zeros.
    ///
    /// # Errors
    /// [`Error::Backend`] when the backend fails.
    fn extract(&self, salt: &[u8], ikm: &[u8]) -> Result<Secret, Error>;

    /// HKDF-Expand (RFC 5869, section 2.3) into all of `out`; the info is the concatenation
    /// of `info`.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if `out` is longer than 255 hash outputs, [`Error::Backend`]
    /// when the backend fails.
    fn expand(&self, prk: &Secret, info: &[&[u8]], out: &mut [u8]) -> Result<(), Error>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}

/// How many slices of `info` [`HkdfOverHmac::expand`] takes.
const MAX_INFO_PARTS: usize = 8;

/// HKDF as RFC 5869 builds it from HMAC.
#[derive(Clone, Debug)]
pub struct HkdfOverHmac(pub Arc<dyn Hmac>);

impl Hkdf for HkdfOverHmac {
    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn extract(&self, salt: &[u8], ikm: &[u8]) -> Result<Secret, Error> {
        // HMAC pads its key with zeros, so an empty salt already is one of zeros.
        self.0.mac(salt, &[ikm])
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], out: &mut [u8]) -> Result<(), Error> {
        let hash_len = self.algorithm().output_len();
        if out.len() > 255 * hash_len {
            return Err(Error::WrongLength {
                what: "output of HKDF-Expand, at most",
                expected: 255 * hash_len,
                got: out.len(),
            });
        }
        // T(n) = HMAC(PRK, T(n-1) || info || n), with T(0) empty.
        let mut parts: [&[u8]; MAX_INFO_PARTS + 2] = [&[]; MAX_INFO_PARTS + 2];
        let Some(places) = parts
            .get_mut(1..=info.len())
            .filter(|p| p.len() <= MAX_INFO_PARTS)
        else {
            return Err(Error::WrongLength {
                what: "number of info slices, at most",
                expected: MAX_INFO_PARTS,
                got: info.len(),
            });
        };
        places.copy_from_slice(info);
        let mut previous = Secret::zeroed(0);
        for (n, chunk) in (1u8..=255).zip(out.chunks_mut(hash_len)) {
            let counter = [n];
            let mut parts = parts;
            if let [first, .., last] = parts.get_mut(..info.len() + 2).unwrap_or_default() {
                *first = previous.as_bytes();
                *last = &counter;
            }
            let used = parts.get(..info.len() + 2).unwrap_or_default();
            let block = self.0.mac(prk.as_bytes(), used)?;
            for (to, from) in chunk.iter_mut().zip(block.as_bytes()) {
                *to = *from;
            }
            previous = block;
        }
        Ok(())
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation()
    }
}

/// A hash function with the constructions over it: one row of a provider.
#[derive(Clone, Debug)]
pub struct HashFunctions {
    /// The plain hash.
    pub hash: Arc<dyn Hash>,
    /// HMAC over it.
    pub hmac: Arc<dyn Hmac>,
    /// HKDF over it.
    pub hkdf: Arc<dyn Hkdf>,
}

impl HashFunctions {
    /// A hash and its HMAC, with the standard HKDF over that.
    pub fn new(hash: Arc<dyn Hash>, hmac: Arc<dyn Hmac>) -> Self {
        let hkdf = Arc::new(HkdfOverHmac(hmac.clone()));
        Self { hash, hmac, hkdf }
    }

    /// Which hash function.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.hash.algorithm()
    }
}
