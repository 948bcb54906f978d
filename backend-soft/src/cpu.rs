//! What the algorithms run on here: the CPU features that the crates below detect.
//!
//! They choose at run time and do not tell all of their choice, so this asks the CPU the
//! same questions.

use crypto_api::Implementation;

use crate::BACKEND;

pub(crate) use features::{aes, aes_gcm, chacha20_poly1305, sha256, sha384};

/// Plain Rust whose speed depends on no detected feature.
pub(crate) const PORTABLE: &str = "RustCrypto, portable";

/// X25519 and Ed25519.
pub(crate) const CURVE25519: &str = "curve25519-dalek";

pub(crate) fn implementation(detail: &'static str) -> Implementation {
    Implementation {
        backend: BACKEND,
        detail,
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod features {
    use super::PORTABLE;
    use std::arch::is_x86_feature_detected as has;

    /// CCM decrypts in counter mode and authenticates one block after the other, which gains
    /// nothing from wide registers.
    pub(crate) fn aes() -> &'static str {
        if aes_gcm::aes::hardware_accelerated() {
            "RustCrypto, AES-NI"
        } else {
            PORTABLE
        }
    }

    /// AES from `aes`, GHASH from `polyval`.
    pub(crate) fn aes_gcm() -> &'static str {
        if !aes_gcm::aes::hardware_accelerated() {
            return PORTABLE;
        }
        if !(has!("pclmulqdq") && has!("avx")) {
            return "RustCrypto, AES-NI, portable GHASH";
        }
        match (has!("vaes"), has!("avx512f")) {
            (true, true) => "RustCrypto, VAES on AVX-512, PCLMULQDQ",
            (true, false) => "RustCrypto, VAES on AVX2, PCLMULQDQ",
            (false, _) => "RustCrypto, AES-NI, PCLMULQDQ",
        }
    }

    pub(crate) fn chacha20_poly1305() -> &'static str {
        if has!("avx2") {
            "RustCrypto, AVX2"
        } else if has!("sse2") {
            "RustCrypto, SSE2, portable Poly1305"
        } else {
            PORTABLE
        }
    }

    pub(crate) fn sha256() -> &'static str {
        if has!("sha") && has!("sse4.1") {
            "RustCrypto, SHA-NI"
        } else {
            PORTABLE
        }
    }

    pub(crate) fn sha384() -> &'static str {
        if has!("avx2") {
            "RustCrypto, AVX2"
        } else {
            PORTABLE
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod features {
    use super::PORTABLE;
    use std::arch::is_aarch64_feature_detected as has;

    /// What CCM needs.
    pub(crate) fn aes() -> &'static str {
        if aes_gcm::aes::hardware_accelerated() {
            "RustCrypto, ARMv8 AES"
        } else {
            PORTABLE
        }
    }

    /// ARM has the multiplication that GHASH needs wherever it has AES.
    pub(crate) fn aes_gcm() -> &'static str {
        if aes_gcm::aes::hardware_accelerated() {
            "RustCrypto, ARMv8 AES, PMULL"
        } else {
            PORTABLE
        }
    }

    pub(crate) fn chacha20_poly1305() -> &'static str {
        if cfg!(target_feature = "neon") {
            "RustCrypto, NEON, portable Poly1305"
        } else {
            PORTABLE
        }
    }

    pub(crate) fn sha256() -> &'static str {
        if has!("sha2") {
            "RustCrypto, ARMv8 SHA-256"
        } else {
            PORTABLE
        }
    }

    /// The instructions for SHA-512 count among those of SHA-3.
    pub(crate) fn sha384() -> &'static str {
        if has!("sha3") {
            "RustCrypto, ARMv8 SHA-512"
        } else {
            PORTABLE
        }
    }
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
mod features {
    use super::PORTABLE;

    pub(crate) fn aes() -> &'static str {
        PORTABLE
    }

    pub(crate) fn aes_gcm() -> &'static str {
        PORTABLE
    }

    pub(crate) fn chacha20_poly1305() -> &'static str {
        PORTABLE
    }

    pub(crate) fn sha256() -> &'static str {
        PORTABLE
    }

    pub(crate) fn sha384() -> &'static str {
        PORTABLE
    }
}
