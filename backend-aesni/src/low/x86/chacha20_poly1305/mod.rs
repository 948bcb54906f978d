//! ChaCha20-Poly1305.

mod avx2;
mod avx512;
#[cfg(test)]
pub(crate) mod model;
mod sixteen;
mod step;
mod twofold;
