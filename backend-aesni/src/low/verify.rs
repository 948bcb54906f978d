//! Comparing tags: the one place where something secret becomes public.

use subtle::ConstantTimeEq;

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{__m128i, _mm_testz_si128, _mm_xor_si128};

use super::wipe;

/// Whether `tag` is the first `LEN` bytes of the one that was expected, and nothing else. How
/// many bytes of it are right shows in nothing. What was expected is wiped: for a forger it
/// would be worth something. Some of it stays on the stack until that is wiped, too.
#[inline(always)]
pub(super) fn tag<const LEN: usize>(expected: &mut [u8; 16], tag: &[u8]) -> bool {
    // As one number: a comparison byte by byte takes longer than a short record.
    let number = |bytes: &[u8]| {
        let mut front = [0; 16];
        front[..LEN].copy_from_slice(&bytes[..LEN]);
        u128::from_le_bytes(front)
    };
    #[allow(unused_mut)]
    let mut equal = match tag.len() {
        len if len == LEN => [number(expected).ct_eq(&number(tag)).unwrap_u8()],
        _ => [0],
    };
    wipe::bytes(expected);
    // Whether a record is taken is for everyone to see. The check of constant time has to be
    // told, and is told about this bit alone.
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
    super::memcheck::make_public(&mut equal);
    equal == [1]
}

/// Whether a tag is the one that was expected, for kernels that have it in a register: it stays
/// there.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn block(expected: __m128i, tag: __m128i) -> bool {
    let difference = _mm_xor_si128(expected, tag);
    #[allow(unused_mut)]
    let mut equal = [_mm_testz_si128(difference, difference) as u8];
    #[cfg(all(test, target_os = "linux"))]
    super::memcheck::make_public(&mut equal);
    equal == [1]
}
