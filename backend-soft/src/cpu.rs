//! What the algorithms run on here: the CPU features that the crates below detect.
//!
//! They choose at run time and do not tell all of their choice, so this asks the CPU the
//! same questions.

use crypto_api::Implementation;

use crate::BACKEND;

/// Plain Rust whose speed depends on no detected feature.
pub(crate) const PORTABLE: &str = "RustCrypto, portable";

pub(crate) fn implementation(detail: &'static str) -> Implementation {
    Implementation {
        backend: BACKEND,
        detail,
    }
}

/// AES from `aes`, GHASH from `polyval`.
pub(crate) fn aes_gcm() -> &'static str {
    if !aes_gcm::aes::hardware_accelerated() {
        return PORTABLE;
    }
    match (vector_aes(), carryless_multiplication()) {
        (VectorAes::Bits512, true) => "RustCrypto, VAES on AVX-512, PCLMULQDQ",
        (VectorAes::Bits256, true) => "RustCrypto, VAES on AVX2, PCLMULQDQ",
        (VectorAes::No, true) if cfg!(target_arch = "aarch64") => "RustCrypto, ARMv8 AES, PMULL",
        (VectorAes::No, true) => "RustCrypto, AES-NI, PCLMULQDQ",
        (_, false) => "RustCrypto, AES instructions, portable GHASH",
    }
}

enum VectorAes {
    No,
    // Only x86 has these.
    #[cfg_attr(
        not(any(target_arch = "x86", target_arch = "x86_64")),
        expect(dead_code)
    )]
    Bits256,
    #[cfg_attr(
        not(any(target_arch = "x86", target_arch = "x86_64")),
        expect(dead_code)
    )]
    Bits512,
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn vector_aes() -> VectorAes {
    use std::arch::is_x86_feature_detected;
    match (
        is_x86_feature_detected!("vaes"),
        is_x86_feature_detected!("avx512f"),
    ) {
        (true, true) => VectorAes::Bits512,
        (true, false) => VectorAes::Bits256,
        (false, _) => VectorAes::No,
    }
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn vector_aes() -> VectorAes {
    VectorAes::No
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn carryless_multiplication() -> bool {
    std::arch::is_x86_feature_detected!("pclmulqdq") && std::arch::is_x86_feature_detected!("avx")
}

// On ARMv8 the multiplication comes with AES, one feature to detection.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn carryless_multiplication() -> bool {
    cfg!(target_arch = "aarch64")
}

/// ChaCha20 from `chacha20`, Poly1305 from `poly1305`.
pub(crate) fn chacha20_poly1305() -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        if std::arch::is_x86_feature_detected!("avx2") {
            "RustCrypto, AVX2"
        } else if std::arch::is_x86_feature_detected!("sse2") {
            "RustCrypto, SSE2"
        } else {
            PORTABLE
        }
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    if cfg!(all(target_arch = "aarch64", target_feature = "neon")) {
        "RustCrypto, NEON, portable Poly1305"
    } else {
        PORTABLE
    }
}

/// SHA-256 from `sha2`.
pub(crate) fn sha256() -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if std::arch::is_x86_feature_detected!("sha") && std::arch::is_x86_feature_detected!("sse4.1") {
        return "RustCrypto, SHA-NI";
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("sha2") {
        return "RustCrypto, ARMv8 SHA2";
    }
    PORTABLE
}

/// SHA-384 from `sha2`.
pub(crate) fn sha384() -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "RustCrypto, AVX2";
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("sha3") {
        return "RustCrypto, ARMv8 SHA512";
    }
    PORTABLE
}

/// X25519 and Ed25519 from `curve25519-dalek`.
pub(crate) const CURVE25519: &str = "curve25519-dalek";
