//! Tokens: values that prove what this CPU can do.
//!
//! A token has no public constructor but [`detect`](Vaes::detect), so whoever holds one may
//! call what is compiled for its features. Each can be taken away by the environment variable
//! `KEYWAY_AESNI_OFF`, a list of names such as `avx512,vaes`, read once: tests run every
//! kernel on a CPU that has them all, and a user can rule out a kernel that misbehaves. A name
//! takes with it what builds on it.

use std::sync::OnceLock;

/// The variable that takes tokens away.
const OFF: &str = "KEYWAY_AESNI_OFF";

/// All that it may name, of any architecture.
const NAMES: [&str; 8] = [
    "avx512", "vaes", "aesni", "avx512f", "avx2", "eor3", "armaes", "neon",
];

/// Whether the environment rules out one of these names.
///
/// A word that is no name rules out all of them. Whoever wrote it wants some kernel gone, which
/// must not go on unnoticed for a typing mistake.
fn is_off(names: &[&str]) -> bool {
    static LIST: OnceLock<String> = OnceLock::new();
    let list = LIST.get_or_init(|| {
        let value = std::env::var_os(OFF).unwrap_or_default();
        value.to_string_lossy().to_ascii_lowercase()
    });
    let mut words = list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words.any(|word| names.contains(&word) || !NAMES.contains(&word))
}

/// One token type: the names in the environment variable that rule it out, its own and those of
/// what it builds on, and the features that it proves.
///
/// `std` also asks the operating system whether it keeps the wide registers: `avx2` implies
/// the state of ymm, `avx512f` that of zmm. `vaes` alone implies neither, so it never stands
/// alone here.
macro_rules! token {
    ($(#[$doc:meta])* $token:ident, [$($name:literal),+], $has:ident, [$($feature:tt),+]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $token(());

        impl $token {
            /// The token, if this CPU has the features and they are not ruled out.
            pub(crate) fn detect() -> Option<Self> {
                static FOUND: OnceLock<bool> = OnceLock::new();
                FOUND
                    .get_or_init(|| $(std::arch::$has!($feature))&&+ && !is_off(&[$($name),+]))
                    .then_some(Self(()))
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;

    token! {
        /// AES-NI and PCLMULQDQ on 128-bit registers, in AVX's encoding: its third operand
        /// saves a move in most places.
        AesNi, ["aesni"], is_x86_feature_detected,
        ["aes", "pclmulqdq", "ssse3", "sse4.1", "avx"]
    }

    token! {
        /// VAES and VPCLMULQDQ on 256-bit registers.
        Vaes, ["vaes", "aesni", "avx2"], is_x86_feature_detected,
        ["aes", "pclmulqdq", "avx2", "vaes", "vpclmulqdq"]
    }

    token! {
        /// VAES and VPCLMULQDQ on 512-bit registers.
        Avx512, ["avx512", "vaes", "aesni", "avx2"], is_x86_feature_detected,
        [
            "aes", "pclmulqdq", "avx2", "bmi2", "vaes", "vpclmulqdq", "avx512f", "avx512bw",
            "avx512vl"
        ]
    }

    token! {
        /// Integers in 256-bit registers, and products of 64-bit integers that leave flags alone.
        Avx2, ["avx2"], is_x86_feature_detected,
        ["avx2", "bmi2"]
    }

    token! {
        /// Integers in 512-bit registers, and products of 64-bit integers that leave flags alone.
        Avx512F, ["avx512f", "avx512", "avx2"], is_x86_feature_detected,
        ["avx2", "bmi2", "avx512f", "avx512bw", "avx512vl"]
    }
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::*;

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::*;

    token! {
        /// ARMv8 AES and PMULL.
        ArmAes, ["armaes", "neon"], is_aarch64_feature_detected,
        ["neon", "aes", "pmull"]
    }

    token! {
        /// The same with the three-way exclusive or of SHA-3's extension.
        ArmEor3, ["eor3", "armaes", "neon"], is_aarch64_feature_detected,
        ["neon", "aes", "pmull", "sha3"]
    }

    token! {
        /// Integers in 128-bit registers.
        Neon, ["neon"], is_aarch64_feature_detected,
        ["neon"]
    }
}
#[cfg(target_arch = "aarch64")]
pub(crate) use arm::*;
