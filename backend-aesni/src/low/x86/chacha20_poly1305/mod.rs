//! ChaCha20-Poly1305.

mod avx2;
mod avx512;
