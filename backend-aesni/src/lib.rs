//! TLS record protection in CPU instructions.
//!
//! AES-GCM, ChaCha20-Poly1305 and AES-CCM as kernels of intrinsics, each in several widths;
//! the widest that this CPU has is chosen when a key is made. There are records only: key
//! exchange, hashes and signatures come from other backends, and so do suites that this CPU
//! has no kernel for. On x86-64 that are all suites where there is no AVX: the narrowest kernels
//! take its three-operand instructions.
//!
//! | module | what it does |
//! |---|---|
//! | `kernels` | which kernels this CPU can run, and which of them is the best |
//! | `trial` | a kernel is tried before it is used: known answers, forgeries, the stack that it needs |
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
//! The environment variable `KEYWAY_AESNI_OFF`, read once, is a list of what is not to be used,
//! such as `avx512,vaes`. Each name rules out what builds on it, too:
//!
//! | name | rules out | what is left for AES, for ChaCha20 |
//! |---|---|---|
//! | `avx512f` | ChaCha20-Poly1305 on AVX-512 | all, AVX2 |
//! | `avx512` | everything on registers of 512 bits | VAES on AVX2, AVX2 |
//! | `vaes` | AES on more than one block to a register | AES-NI, all |
//! | `avx2` | everything on registers of more than 128 bits | AES-NI, none |
//! | `aesni` | AES on x86-64 | none, all |
//! | `eor3` | AES-GCM with the exclusive or of three | ARMv8 AES, all |
//! | `armaes` | AES on ARM | none, all |
//! | `neon` | everything on ARM | none, none |
//!
//! Another backend takes over where none is left. A word that is none of these rules out every
//! kernel, which the capability table shows, so that a typing mistake does not go unnoticed.
//!
//! # Measuring
//!
//! `cargo bench -p bench-records --bench records` compares the kernels with other libraries;
//! `cargo bench -p backend-aesni --bench core` compares AES-GCM, and ChaCha20-Poly1305 on
//! AVX-512, with what the CPU can do at all: rounds and products alone.

#![deny(unsafe_code)]

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod constant_time;
mod kernels;
#[allow(unsafe_code)]
mod low;
mod record;
mod trial;

#[doc(hidden)]
pub use kernels::kernels_unchecked;
pub use kernels::{kernels, suites};

/// This backend's name in the capability table.
pub const BACKEND: &str = "aesni";
