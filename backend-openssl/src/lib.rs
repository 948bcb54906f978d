//! OpenSSL's libcrypto as a cryptography backend.
//!
//! Every algorithm of TLS 1.3 that Keyway knows, from libcrypto 3.0 or newer: the system's,
//! or with the feature `vendored` one that is built from source and linked statically.
//! What the libcrypto that is found at run time does not have is not in the provider:
//! X25519MLKEM768 before 3.5, or ChaCha20-Poly1305 where only approved algorithms are loaded.
//!
//! | module | what it does |
//! |---|---|
//! | `aead` | record protection: one cipher context per key, only the nonce set per record |
//! | `hash` | hash and HMAC over libcrypto's plain hash contexts |
//! | `kx` | key exchange |
//! | `sign` | private keys that sign, and how they are loaded |
//! | `verify` | signature verification |
//! | `low` | the calls that the `openssl` crate does not wrap; all `unsafe` is there |
//!
//! # Example
//!
//! ```
//! use crypto_api::{HashAlgorithm, NamedGroup};
//!
//! let provider = backend_openssl::provider();
//! provider.check()?;
//! println!("{}", provider.table());
//!
//! // A key exchange with itself.
//! let group = provider.group(NamedGroup::X25519).unwrap();
//! let client = group.start(&*provider.random).spin()?;
//! let server = group.respond(client.share(), &*provider.random).spin()?;
//! let secret = client.complete(&server.share).spin()?;
//! assert_eq!(secret, server.secret);
//!
//! // A hash.
//! let sha256 = provider.hash(HashAlgorithm::Sha256).unwrap();
//! assert_eq!(sha256.hash.hash(&[b"key", b"way"])?, sha256.hash.hash(&[b"keyway"])?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Randomness
//!
//! Key exchange takes its private keys from the `random` argument, so it can be replayed;
//! signatures draw their nonces and salts from libcrypto's own generator.
//!
//! # FIPS mode
//!
//! Ciphers, X25519, ML-KEM, Ed25519, RSA signing and random numbers come from whichever of
//! libcrypto's providers is loaded. Hashes, HMAC, ECDH, ECDSA and RSA verification do not:
//! they call libcrypto itself, for speed. With a validated provider loaded they still work,
//! but outside the validated module.

#![deny(unsafe_code)]

mod aead;
mod curve;
mod der;
mod error;
mod hash;
mod kx;
#[allow(unsafe_code)]
mod low;
mod random;
mod sign;
mod verify;

use std::sync::Arc;

use crypto_api::{CryptoProvider, Implementation};

pub use aead::suites;
pub use hash::hashes;
pub use kx::groups;
pub use random::random;
pub use sign::key_loader;
pub use verify::verification;

/// The backend's name in tables and errors.
const NAME: &str = "openssl";

/// Everything that the linked libcrypto supplies. It has no protection of session tickets.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        suites: suites(),
        groups: groups(),
        hashes: hashes(),
        verification: verification(),
        key_loaders: vec![Arc::new(key_loader())],
        random: Arc::new(random()),
        tickets: None,
    }
}

/// Who computes everything here: the version of libcrypto found at run time.
fn implementation() -> Implementation {
    // `OpenSSL 3.0.19 27 Jan 2026`: name and version without the date.
    let version = openssl::version::version();
    let end = version.match_indices(' ').nth(1).map(|(at, _)| at);
    Implementation {
        backend: NAME,
        detail: end.and_then(|at| version.get(..at)).unwrap_or(version),
    }
}
