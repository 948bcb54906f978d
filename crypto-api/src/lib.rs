//! What a TLS stack asks of its cryptography.
//!
//! The protocol knows no algorithm. It holds a [`CryptoProvider`], a plain value with a
//! list for each kind of operation, and asks it for everything:
//!
//! | operation | trait |
//! |---|---|
//! | record protection | [`RecordAead`] makes a [`RecordSealer`] and a [`RecordOpener`] |
//! | transcript and key schedule | [`Hash`], [`Hmac`], [`Hkdf`] |
//! | key exchange | [`KeyExchangeGroup`] makes an [`ActiveKeyExchange`] |
//! | signatures | [`KeyLoader`] makes a [`SigningKey`]; [`Verification`] |
//! | randomness | [`SecureRandom`] |
//! | session tickets | [`TicketProtector`] |
//!
//! Backends implement these traits, and know nothing of each other. Mixing them is building
//! a provider from parts of others. What may take time returns an [`Op`]: ready at once, or
//! pending.
//!
//! # Example
//!
//! A backend that brings only randomness, laid over another provider. (This source is for
//! a test that wants to be repeated; it is not secure.)
//!
//! ```
//! use crypto_api::{CryptoProvider, Error, Implementation, SecureRandom};
//! use std::sync::Arc;
//!
//! #[derive(Debug)]
//! struct Counting;
//!
//! impl SecureRandom for Counting {
//!     fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
//!         out.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
//!         Ok(())
//!     }
//!
//!     fn implementation(&self) -> Implementation {
//!         Implementation { backend: "test", detail: "counter" }
//!     }
//! }
//!
//! fn repeatable(provider: CryptoProvider) -> CryptoProvider {
//!     CryptoProvider { random: Arc::new(Counting), ..provider }
//! }
//! ```
//!
//! # Checking a backend
//!
//! [`CryptoProvider::self_test`] computes a published answer with every entry, in a few
//! milliseconds, when a program starts. For tests there are two features, which need std:
//! `conformance` has checks of all that the traits promise and that any backend runs on
//! itself in one line, and compares two backends; `wycheproof` adds the vectors of Project
//! Wycheproof.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "conformance"))]
extern crate std;

mod aead;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod hash;
mod hex;
mod ids;
mod kx;
mod op;
mod provider;
mod random;
mod secret;
mod self_test;
mod sign;
mod spki;
mod ticket;
#[cfg(feature = "wycheproof")]
pub mod wycheproof;

pub use aead::{
    NONCE_LEN, OpenRecord, Payload, RecordAead, RecordOpener, RecordSealer, SealRecord, Suite,
    Trailer,
};
pub use error::{Error, check_len};
pub use hash::{Hash, HashContext, HashFunctions, Hkdf, HkdfOverHmac, Hmac};
pub use ids::{CipherSuite, HashAlgorithm, NamedGroup, SignatureScheme};
pub use kx::{ActiveKeyExchange, KeyExchangeGroup, KeyExchangeResponse, refuse_all_zero};
pub use op::{Op, PendingOp};
pub use provider::{Capability, CapabilityTable, CryptoProvider, Implementation, ProviderFault};
pub use random::SecureRandom;
pub use secret::{Digest, MAX_HASH_LEN, Secret, SharedSecret};
pub use sign::{KeyLoader, SigningKey, Verification};
pub use spki::PublicKey;
pub use ticket::TicketProtector;
