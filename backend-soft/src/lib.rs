//! Every algorithm that a Keyway provider needs, portable, from RustCrypto.
//!
//! [`provider`] is all of it as one value; the modules hold its parts, so that a mix can
//! take one algorithm from here and the next from another backend.
//!
//! | module | holds |
//! |---|---|
//! | [`aead`] | AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305, AES-128-CCM and CCM_8 |
//! | [`kx`] | X25519MLKEM768, X25519, secp256r1, secp384r1 |
//! | [`hash`] | SHA-256 and SHA-384, HMAC and HKDF over them |
//! | [`signature`] | ECDSA, Ed25519, RSA-PSS; PKCS#1 v1.5 for certificates |
//! | [`random`] | the operating system's randomness |
//!
//! There is no unsafe code here; the crates below use AES, SHA and vector instructions where
//! the CPU has them, which [`CryptoProvider::table`](crypto_api::CryptoProvider::table)
//! shows. All operations are ready at once, so a signature occupies its thread.
//!
//! # Example
//!
//! A record is sealed and opened again.
//!
//! ```
//! use crypto_api::{CipherSuite, Payload, SealRecord, Trailer};
//!
//! let provider = backend_soft::provider();
//! provider.check()?;
//! println!("{}", provider.table());
//!
//! let suite = provider.suite(CipherSuite::TLS_AES_128_GCM_SHA256).unwrap();
//! let (key, iv) = ([7; 16], [9; 12]);
//! let header = [23, 3, 3, 0, 22];
//! let mut record = [0; 5 + 1 + 16];
//! suite.aead.sealer(&key, &iv)?.seal(&mut SealRecord {
//!     sequence: 0,
//!     aad: &header,
//!     payload: Payload::from(&b"hello"[..]),
//!     trailer: Trailer::content_type(23),
//!     out: &mut record,
//! })?;
//!
//! let len = suite.aead.opener(&key, &iv)?.open(0, &header, &mut record)?;
//! assert_eq!(&record[..len], b"hello\x17");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod aead;
mod cpu;
pub mod hash;
pub mod kx;
pub mod random;
pub mod signature;
mod wipe;

use std::sync::Arc;

use crypto_api::{CipherSuite, CryptoProvider, HashFunctions, KeyExchangeGroup, RecordAead, Suite};

/// This backend's name in capability tables and errors.
const BACKEND: &str = "soft";

/// Everything this backend has, the preferred algorithms first.
///
/// Tickets are left out: whoever runs a server decides where their keys live.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        suites: suites(),
        groups: groups(),
        hashes: hashes(),
        verification: signature::verification(),
        key_loaders: vec![Arc::new(signature::PrivateKeys)],
        random: Arc::new(random::OsRandom),
        tickets: None,
    }
}

/// The cipher suites, the preferred one first.
///
/// CCM stands last: it takes AES twice as often as GCM and one block after the other, and is
/// here for peers that have nothing else.
pub fn suites() -> Vec<Suite> {
    let rows: [(CipherSuite, Arc<dyn RecordAead>); 5] = [
        (
            CipherSuite::TLS_AES_128_GCM_SHA256,
            Arc::new(aead::Aes128Gcm),
        ),
        (
            CipherSuite::TLS_AES_256_GCM_SHA384,
            Arc::new(aead::Aes256Gcm),
        ),
        (
            CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
            Arc::new(aead::ChaCha20Poly1305),
        ),
        (
            CipherSuite::TLS_AES_128_CCM_SHA256,
            Arc::new(aead::Aes128Ccm),
        ),
        (
            CipherSuite::TLS_AES_128_CCM_8_SHA256,
            Arc::new(aead::Aes128Ccm8),
        ),
    ];
    // None is refused: the lengths are constants, and a test counts the rows.
    rows.into_iter()
        .filter_map(|(id, aead)| Suite::new(id, aead).ok())
        .collect()
}

/// The groups for key exchange, the preferred one first.
pub fn groups() -> Vec<Arc<dyn KeyExchangeGroup>> {
    vec![
        Arc::new(kx::X25519MlKem768),
        Arc::new(kx::X25519),
        Arc::new(kx::Secp256r1),
        Arc::new(kx::Secp384r1),
    ]
}

/// The hash functions of the suites.
pub fn hashes() -> Vec<HashFunctions> {
    vec![hash::sha256(), hash::sha384()]
}
