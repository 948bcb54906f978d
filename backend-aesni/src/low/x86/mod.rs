//! Kernels for x86-64.
//!
//! [`wide128`], [`wide256`] and [`wide512`] give the registers of each width the same
//! vocabulary, so that an algorithm is written once and compiled for each of them.

mod aes;
pub(crate) mod ccm;
pub(crate) mod chacha20_poly1305;
pub(crate) mod gcm;
#[cfg(test)]
mod model;
mod wide128;
mod wide256;
mod wide512;
