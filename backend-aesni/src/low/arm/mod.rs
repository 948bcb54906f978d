//! Kernels for ARMv8.
//!
//! [`neon`] has the vocabulary of x86-64's registers, as far as the two share a text.

mod aes;
pub(crate) mod ccm;
mod chacha20_poly1305;
pub(crate) mod gcm;
mod neon;
