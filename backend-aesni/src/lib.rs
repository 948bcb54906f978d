//! TLS record protection in CPU instructions.
//!
//! AES-GCM, ChaCha20-Poly1305 and AES-CCM as kernels of intrinsics, each in several widths;
//! the widest that this CPU has is chosen when a key is made. There are records only: key
//! exchange, hashes and signatures come from other backends, and so do suites that this CPU
//! has no kernel for.
//!
//! | module | what it does |
//! |---|---|
//! | `kernels` | which kernels this CPU can run, and which of them is the best |
//! | `record` | a kernel as the record layer sees it: lengths, nonces, errors |
//! | `low` | the kernels; all `unsafe` is there |
//!
//! # Example
//!
//! ```
//! use crypto_api::{SealRecord, Trailer};
//!
//! // Nothing on a CPU without the instructions.
//! for suite in backend_aesni::suites() {
//!     println!("{}: {}", suite.id, suite.aead.implementation());
//!
//!     let key = vec![7; suite.aead.key_len()];
//!     let (text, header) = (b"GET / HTTP/1.1", [23, 3, 3, 0, 31]);
//!     let mut record = vec![0; text.len() + 1 + suite.aead.tag_len()];
//!     suite.aead.sealer(&key, &[1; 12])?.seal(&mut SealRecord {
//!         sequence: 0,
//!         aad: &header,
//!         payload: text[..].into(),
//!         trailer: Trailer::content_type(23),
//!         out: &mut record,
//!     })?;
//!
//!     let len = suite.aead.opener(&key, &[1; 12])?.open(0, &header, &mut record)?;
//!     assert_eq!(record[..len], *b"GET / HTTP/1.1\x17");
//! }
//! # Ok::<(), crypto_api::Error>(())
//! ```
//!
//! # Ruling kernels out
//!
//! The environment variable `KEYWAY_AESNI_OFF`, read once, lists sets of features that are
//! not to be used: `avx512`, `vaes`, `aesni`, `ifma`, `avx2` on x86-64; `eor3`, `armaes`,
//! `neon` on ARM. The next narrower kernel takes over, or another backend.
//!
//! # Measuring
//!
//! `cargo bench -p backend-aesni --bench records` compares the kernels with other libraries;
//! `cargo bench -p backend-aesni --bench core` compares AES-GCM with what the CPU can do at all,
//! the rounds of AES and carry-less products alone.

#![deny(unsafe_code)]

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod constant_time;
mod kernels;
#[allow(unsafe_code)]
mod low;
mod record;

pub use kernels::{kernels, suites};

/// This backend's name in the capability table.
pub const BACKEND: &str = "aesni";
