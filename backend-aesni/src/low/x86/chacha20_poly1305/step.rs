//! One step of Poly1305 (RFC 8439, section 2.5) between the instructions of ChaCha20's rounds.
//!
//! It needs nothing else of this crate, so that the probe of the bare core (`benches/core`) has
//! it, too.

use core::arch::asm;

/// Bytes that are added beside the rounds of sixteen blocks, one half to one sum and the other
/// to another, which have their turns.
pub(crate) const PAIRS: usize = 1024;

/// Where the block of a step lies: in the first half and in the second by turns.
const fn offset(step: usize) -> usize {
    step / 2 * 16 + step % 2 * (PAIRS / 2)
}

/// A sum times `r`, and the 16 bytes that are added in `STEP` of those from `AT` on, with 2^128
/// above them. `key` is the halves of `r` and 5/4 of the upper one; for the arithmetic see
/// `Multiplier`, which has the same in Rust.
///
/// In as few instructions as can be, for the compiler takes a third more: beside rounds on 512-bit
/// registers there is hardly time for these. What they cannot do without is the multiplier, which
/// is busy for ten cycles on Zen 4: two for each whole product, and one for each short one.
#[inline(always)]
pub(crate) fn step<const AT: usize, const STEP: usize, const N: usize>(
    [h0, h1, h2]: &mut [u64; 3],
    key: &[u64; 3],
    bytes: &[u8; N],
) {
    const { assert!(AT + offset(STEP) + 16 <= N) };
    // SAFETY: reads 24 bytes of the key and 16 of `bytes`, which the references are valid for.
    // Every CPU that gets here has BMI2: the tokens of its callers prove it.
    unsafe {
        asm!(
            // d0 = h0 r0 + h1 s1, d1 = h0 r1 + h1 r0
            "mov rdx, {h0}",
            "mulx {d0_high}, {d0}, [{key}]",
            "mulx {d1_high}, {d1}, [{key} + 8]",
            "mov rdx, {h1}",
            "mulx {h1}, {h0}, [{key} + 16]",
            "add {d0}, {h0}",
            "adc {d0_high}, {h1}",
            "mulx {h1}, {h0}, [{key}]",
            "mov rdx, {h2}",
            // d1 += h2 s1 + d0_high, d2 = h2 r0 + d1_high
            "imul rdx, [{key} + 16]",
            "imul {h2}, [{key}]",
            "add {d0_high}, rdx",
            "add {d1}, {h0}",
            "adc {h2}, {h1}",
            "add {d1}, {d0_high}",
            "adc {h2}, {d1_high}",
            // What stands above 2^130 is worth five times as much below.
            "mov rdx, {h2}",
            "shr rdx, 2",
            "and {h2:e}, 3",
            "add {d0}, [{bytes} + {at}]",
            "lea rdx, [rdx + 4 * rdx]",
            "adc {d1}, [{bytes} + {at} + 8]",
            "adc {h2:e}, 1",
            "add {d0}, rdx",
            "adc {d1}, 0",
            "adc {h2:e}, 0",
            h0 = inout(reg) *h0 => _,
            h1 = inout(reg) *h1 => _,
            h2 = inout(reg) *h2,
            d0 = out(reg) *h0,
            d0_high = out(reg) _,
            d1 = out(reg) *h1,
            d1_high = out(reg) _,
            key = in(reg) key,
            bytes = in(reg) bytes,
            at = const AT + offset(STEP),
            out("rdx") _,
            options(readonly, nostack),
        );
    }
}
