//! SHA-2 contexts that live inline and wipe themselves.
//!
//! Libcrypto's `EVP` digests allocate a context and, unless a fetched algorithm is handed
//! in, look one up for each computation. A key schedule is some hundred hashes of two
//! blocks, where that costs more than the hashing. The plain contexts do neither and run
//! the same code underneath; `openssl::sha` wraps them too, but leaves the state behind,
//! which in HMAC stands for the key.

use std::mem::MaybeUninit;

use crypto_api::HashAlgorithm;
use openssl_sys as ffi;

/// A hash computation.
pub(crate) trait Sha: Clone + Send + Sync + 'static {
    /// Which hash function.
    const ALGORITHM: HashAlgorithm;

    /// A computation of nothing so far.
    fn new() -> Self;

    /// Appends `data`.
    fn update(&mut self, data: &[u8]);

    /// Writes the hash to the front of `out` and starts anew.
    ///
    /// # Panics
    /// If `out` is shorter than the hash.
    fn finish(&mut self, out: &mut [u8]);
}

macro_rules! sha {
    ($(#[$doc:meta])* $name:ident, $ctx:ident, $algorithm:ident, $init:ident, $update:ident, $final:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub(crate) struct $name(ffi::$ctx);

        impl Sha for $name {
            const ALGORITHM: HashAlgorithm = HashAlgorithm::$algorithm;

            fn new() -> Self {
                // SAFETY: the context is a C struct of integers, for which zeros are valid.
                let mut ctx: ffi::$ctx = unsafe { MaybeUninit::zeroed().assume_init() };
                // SAFETY: `ctx` is writable. The function cannot fail.
                unsafe { ffi::$init(&mut ctx) };
                Self(ctx)
            }

            fn update(&mut self, data: &[u8]) {
                // SAFETY: the context was initialised in `new`; `data` is readable for its
                // length. The function cannot fail.
                unsafe { ffi::$update(&mut self.0, data.as_ptr().cast(), data.len()) };
            }

            fn finish(&mut self, out: &mut [u8]) {
                assert!(out.len() >= Self::ALGORITHM.output_len());
                // SAFETY: the context was initialised in `new`; `out` has room for the hash.
                // The function cannot fail.
                unsafe { ffi::$final(out.as_mut_ptr(), &mut self.0) };
                // SAFETY: as in `new`.
                unsafe { ffi::$init(&mut self.0) };
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the context is a C struct of integers without padding that
                // matters, and zeros are a valid value of it.
                unsafe { zeroize::zeroize_flat_type(&mut self.0) };
            }
        }
    };
}

sha!(
    /// SHA-256.
    Sha256, SHA256_CTX, Sha256, SHA256_Init, SHA256_Update, SHA256_Final
);
sha!(
    /// SHA-384.
    Sha384, SHA512_CTX, Sha384, SHA384_Init, SHA384_Update, SHA384_Final
);
sha!(
    /// SHA-512.
    Sha512, SHA512_CTX, Sha512, SHA512_Init, SHA512_Update, SHA512_Final
);
