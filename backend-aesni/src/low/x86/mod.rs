//! Kernels for x86-64.

mod chacha20_poly1305;
