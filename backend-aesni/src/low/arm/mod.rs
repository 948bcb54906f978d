//! Kernels for ARMv8.
