//! Kernels for ARMv8.

mod chacha20_poly1305;
