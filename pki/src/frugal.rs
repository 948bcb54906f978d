//! Verification of signatures for words' sake: each once, and only a few.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

/// The most signatures that are verified to explain one refusal. The chain and the keys in it
/// are the choice of a peer that nobody has vouched for. It is enough for the links of the
/// deepest path that is looked through, or for a usual one with its revocation lists.
const MOST: usize = 8;

/// What was verified so far.
pub(crate) struct Frugal {
    hasher: RandomState,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    /// Verdicts by a keyed hash of what they are about: no peer can make two of them
    /// collide, and at worst an explanation would be wrong.
    verdicts: HashMap<u64, Result<(), InvalidSignature>>,
    spent: bool,
}

impl Frugal {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            done: Mutex::default(),
        }
    }

    /// Whether more had to be verified than may be. What was said since is worth nothing.
    pub(crate) fn is_spent(&self) -> bool {
        self.done().spent
    }

    /// The algorithms, bounded together.
    pub(crate) fn algorithms<'a>(
        &'a self,
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
    ) -> Vec<Bounded<'a>> {
        let bounded = algorithms.iter().map(|algorithm| Bounded {
            algorithm: *algorithm,
            by: self,
        });
        bounded.collect()
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An algorithm that is asked only as often as [`Frugal`] allows.
pub(crate) struct Bounded<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    by: &'a Frugal,
}

impl fmt::Debug for Bounded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.algorithm.fmt(f)
    }
}

impl SignatureVerificationAlgorithm for Bounded<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let (key, algorithm) = (self.public_key_alg_id(), self.signature_alg_id());
        let parts = [&*key, &*algorithm, public_key, message, signature];
        let about = self.by.hasher.hash_one(parts);
        let mut done = self.by.done();
        if let Some(verdict) = done.verdicts.get(&about) {
            return *verdict;
        }
        if done.verdicts.len() == MOST {
            done.spent = true;
            return Err(InvalidSignature);
        }
        let verdict = self
            .algorithm
            .verify_signature(public_key, message, signature);
        done.verdicts.insert(about, verdict);
        verdict
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.algorithm.fips()
    }
}
