//! What ChaCha20-Poly1305 cannot do without on registers of 512 bits: the rounds of sixteen
//! states, and as many products modulo 2^130 - 5 as their ciphertext takes, in the integer units
//! and as two sums; nothing else. No text, no transposition, no start and no end.

use core::arch::asm;
use core::arch::x86_64::*;
use std::hint::black_box;

use step::step;

#[path = "../../src/low/x86/chacha20_poly1305/step.rs"]
mod step;

/// Bytes that one pass encrypts and authenticates.
pub(crate) const PASS: usize = step::PAIRS;

/// Proof that this CPU has the features.
#[derive(Clone, Copy)]
pub(crate) struct Core(());

impl Core {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("bmi2"))
            .then_some(Self(()))
    }

    /// The rounds of so many passes.
    pub(crate) fn rounds(self, passes: usize) {
        // SAFETY: the features were detected.
        unsafe { work::<true, false>(passes) }
    }

    /// The products of so many passes.
    pub(crate) fn products(self, passes: usize) {
        // SAFETY: the features were detected.
        unsafe { work::<false, true>(passes) }
    }

    /// Both, side by side.
    pub(crate) fn both(self, passes: usize) {
        // SAFETY: the features were detected.
        unsafe { work::<true, true>(passes) }
    }
}

/// Keeps what comes before in front of what comes behind, as the kernel does: else the compiler
/// would not put the two kinds side by side.
#[inline]
#[target_feature(enable = "avx512f")]
fn hold([a, b, c, d]: &mut [__m512i; 4]) {
    // SAFETY: no instruction at all.
    unsafe {
        asm!(
            "/* {0} {1} {2} {3} */",
            inout(zmm_reg) * a,
            inout(zmm_reg) * b,
            inout(zmm_reg) * c,
            inout(zmm_reg) * d,
            options(nomem, nostack, preserves_flags),
        );
    }
}

#[target_feature(enable = "avx512f,bmi2")]
fn work<const ROUNDS: bool, const PRODUCTS: bool>(passes: usize) {
    let start = |n: i32| [_mm512_set1_epi32(black_box(n)); 4];
    let [mut a, mut b, mut c, mut d] = [start(1), start(2), start(3), start(4)];
    let key = black_box([
        0x0123_4567_0123_4567,
        0x0123_4567_0123_4564,
        0x016c_16c0_c16c_16bd,
    ]);
    let bytes = black_box([1; PASS]);
    let mut sums = [[1, 2, 3]; 2];
    // A quarter of four quarter rounds; `z` is turned by `by` places against `x`, and `y` by
    // `to`: diagonals take none of anything else.
    macro_rules! quarter {
        ($rotate:literal, $x:ident += $y:ident by $by:literal, $z:ident by $to:literal) => {
            if ROUNDS {
                for n in 0..4 {
                    let at = (n + $to) % 4;
                    $x[n] = _mm512_add_epi32($x[n], $y[(n + $by) % 4]);
                    $z[at] = _mm512_rol_epi32::<$rotate>(_mm512_xor_si512($z[at], $x[n]));
                }
                hold(&mut $z);
            }
        };
    }
    macro_rules! block {
        ($step:literal) => {
            if PRODUCTS {
                step::<0, $step, _>(&mut sums[$step % 2], &key, &bytes);
            }
        };
    }
    macro_rules! double_round {
        ($s0:literal $s1:literal $s2:literal $s3:literal $s4:literal $s5:literal) => {
            quarter!(16, a += b by 0, d by 0);
            block!($s0);
            quarter!(12, c += d by 0, b by 0);
            block!($s1);
            quarter!(8, a += b by 0, d by 0);
            block!($s2);
            quarter!(7, c += d by 0, b by 0);
            quarter!(16, a += b by 1, d by 3);
            block!($s3);
            quarter!(12, c += d by 1, b by 3);
            block!($s4);
            quarter!(8, a += b by 1, d by 3);
            block!($s5);
            quarter!(7, c += d by 1, b by 3);
        };
    }
    for _ in 0..passes {
        for _ in 0..5 {
            double_round!(0 1 2 3 4 5);
            double_round!(6 7 8 9 10 11);
        }
        block!(0);
        block!(1);
        block!(2);
        block!(3);
    }
    black_box((a, b, c, d, sums));
}
