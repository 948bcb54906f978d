//! Checks that any backend can run on itself, in one line of its tests.
//!
//! [`run`] takes a whole provider; there is a function for each part as well, for backends
//! that supply no more than that part. All of them return when everything holds, and panic
//! with the name of the algorithm and what was wrong when something does not.
//!
//! What is checked is what the documentation of the traits promises: that bytes do not
//! depend on how they are cut into slices, pieces and batches, that whatever a peer can
//! forge is refused and leaves nothing behind, that lengths are checked, that nothing
//! panics. Whether an algorithm is computed rightly is for known answers
//! ([`CryptoProvider::self_test`](crate::CryptoProvider::self_test), which [`run`]
//! includes, and the `wycheproof` module) and for [`agree`] to tell, which compares two
//! providers.
//!
//! ```no_run
//! # fn provider() -> crypto_api::CryptoProvider { unimplemented!() }
//! # fn another() -> crypto_api::CryptoProvider { unimplemented!() }
//! use crypto_api::{SignatureScheme, conformance};
//!
//! // In a test of the backend:
//! let signed = conformance::run(&provider());
//! assert!(signed.contains(&SignatureScheme::ED25519));
//!
//! // In a test of whoever has two backends:
//! let compared = conformance::agree(&provider(), &another());
//! assert!(compared.contains(&"TLS_AES_128_GCM_SHA256".to_string()));
//! ```
//!
//! Inputs are the same in every run, so a failure repeats.

mod agreement;
mod groups;
mod hashes;
mod opening;
mod records;
mod signing;
mod test_keys;
mod verifying;

use alloc::vec::Vec;
use core::time::Duration;

use rustls_pki_types::UnixTime;

use crate::{
    CryptoProvider, Error, Implementation, SecureRandom, SignatureScheme, TicketProtector,
};

pub use agreement::agree;
pub use groups::group;
pub use hashes::hash_functions;
pub use records::suite;
pub use signing::key_loader;
pub use verifying::verification;

/// Runs every check of this module on every entry of `provider`, and its self-test.
///
/// Returns the schemes under which its key loaders signed with the test keys, so that the
/// caller can tell whether the keys that it means to support were among them.
///
/// # Panics
/// When a check fails.
pub fn run(provider: &CryptoProvider) -> Vec<SignatureScheme> {
    if let Err(fault) = provider.self_test() {
        panic!("{fault}");
    }
    provider.suites.iter().for_each(suite);
    provider.hashes.iter().for_each(hash_functions);
    for entry in &provider.groups {
        group(&**entry, &*provider.random);
    }
    provider.verification.iter().for_each(verification);
    randomness(&*provider.random);
    if let Some(protector) = &provider.tickets {
        tickets(&**protector);
    }
    let mut schemes = Vec::new();
    for loader in &provider.key_loaders {
        schemes.extend(key_loader(&**loader, provider));
    }
    schemes
}

/// Checks a source of randomness: it fills all of any buffer and does not repeat itself.
///
/// # Panics
/// When a check fails.
pub fn randomness(random: &dyn SecureRandom) {
    let name = random.implementation();
    let mut previous = Vec::new();
    for len in (0..=300).chain([4096, 65_536, 1_000_003]) {
        let mut draw = alloc::vec![0; len];
        random
            .fill(&mut draw)
            .unwrap_or_else(|error| panic!("randomness from {name}: {len} bytes: {error}"));
        if len >= 16 {
            assert!(
                draw.windows(16).next() != previous.windows(16).next(),
                "randomness from {name}: repeats itself"
            );
            // The chance that honest randomness fails here is 2^-64.
            assert!(
                draw.iter().rev().take(8).any(|byte| *byte != 0),
                "randomness from {name}: leaves the end of {len} bytes as it was"
            );
        }
        if len >= 65_536 {
            for value in 0..=u8::MAX {
                assert!(
                    draw.contains(&value),
                    "randomness from {name}: {len} bytes without {value:#04x}"
                );
            }
        }
        previous = draw;
    }
}

/// Checks the protection of tickets: they open to what was protected, while they are
/// valid and unforged, and no two are the same.
///
/// # Panics
/// When a check fails.
pub fn tickets(protector: &dyn TicketProtector) {
    let name = protector.implementation();
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let born = 1_800_000_000;
    let lifetime = protector.lifetime();
    assert!(
        lifetime <= 7 * 24 * 60 * 60,
        "tickets from {name}: a lifetime of more than seven days"
    );
    let open = |ticket: &[u8], now| {
        protector
            .unprotect(ticket, at(now))
            .spin()
            .unwrap_or_else(|error| panic!("tickets from {name}: unprotect: {error}"))
    };
    for len in [0, 1, 15, 16, 17, 100, 1000, 20_000] {
        let state = pattern(len as u64, len);
        let protect = || {
            protector
                .protect(&state, at(born))
                .spin()
                .unwrap_or_else(|error| panic!("tickets from {name}: protect: {error}"))
        };
        let ticket = protect();
        assert!(ticket != protect(), "tickets from {name}: two are the same");
        assert!(
            !has_plaintext(&ticket, &state),
            "tickets from {name}: shows the session state"
        );
        for age in [0, 1, u64::from(lifetime / 2)] {
            let opened = open(&ticket, born + age);
            assert!(
                opened.is_some_and(|opened| *opened == state),
                "tickets from {name}: a ticket of {age} seconds does not open to its state"
            );
        }
        let late = born + u64::from(lifetime) + 1;
        assert!(
            open(&ticket, late).is_none(),
            "tickets from {name}: opens one that is too old"
        );
        for at in (0..ticket.len()).step_by(1 + len / 100) {
            let mut forged = ticket.clone();
            forged[at] ^= 1 << (at % 8);
            assert!(
                open(&forged, born).is_none(),
                "tickets from {name}: opens one with byte {at} changed"
            );
            assert!(
                open(&ticket[..at], born).is_none(),
                "tickets from {name}: opens the first {at} bytes of one"
            );
        }
    }
}

/// Bytes that look random and are the same in every run (SplitMix64).
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed ^ 0x6b65_7977_6179;
    let words = core::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    });
    words.flatten().take(len).collect()
}

/// Whether `buffer` holds eight bytes of `plaintext` in their place, or all of a shorter
/// one; chance makes that of fewer than four.
fn has_plaintext(buffer: &[u8], plaintext: &[u8]) -> bool {
    let size = plaintext.len().min(8);
    size >= 4
        && plaintext
            .windows(size)
            .zip(buffer.windows(size))
            .any(|(a, b)| a == b)
}

/// Cuts `bytes` into pieces of these lengths, in turn and over again.
fn cut<'a>(bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for len in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*len).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// A source of randomness that is out of order.
#[derive(Debug)]
struct NoRandom;

impl SecureRandom for NoRandom {
    fn fill(&self, _out: &mut [u8]) -> Result<(), Error> {
        Err(Error::Backend {
            backend: "conformance",
            operation: "draw randomness",
            detail: "out of order, for a test".into(),
        })
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: "conformance",
            detail: "out of order",
        }
    }
}
