//! The kernels: everything that is written in instructions. All `unsafe` of this crate is
//! here; what it exports is safe.
//!
//! Two rules keep the `unsafe` small. A kernel's functions are compiled for CPU features, and
//! only a token of [`cpu`] lets one call them, so an instruction that the CPU lacks is never
//! reached. And memory is touched through [`inout`], whose pieces know their length.

pub(crate) mod ccm;
pub(crate) mod chacha20_poly1305;
pub(crate) mod cpu;
pub(crate) mod depth;
pub(crate) mod inout;
#[cfg(target_arch = "x86_64")]
pub(crate) mod memcheck;
mod partial;
mod verify;
pub(crate) mod wipe;

/// The longest text in bytes that the 32-bit counter of AES-GCM is enough for (NIST SP
/// 800-38D, section 5.2.1.1): no limit where memory ends before.
pub(crate) const GCM_TEXT_MAX: usize = if usize::BITS > 36 {
    (1 << 36) - 32
} else {
    usize::MAX
};

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

#[cfg(target_arch = "aarch64")]
pub(crate) mod arm;
