//! What ChaCha20-Poly1305 cannot do without on registers of 512 bits: the rounds of sixteen
//! states, and as many products modulo 2^130 - 5 as their ciphertext takes, in the integer units
//! and as two sums; nothing else. No text, no transposition, no start and no end.

use core::arch::asm;
use core::arch::x86_64::*;
use std::hint::black_box;

/// Bytes that one pass encrypts and authenticates.
pub(crate) const PASS: usize = 1024;

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

/// Two sums and what they are multiplied with.
struct Sums {
    sums: [[u64; 3]; 2],
    r: [u64; 2],
}

impl Sums {
    #[inline(always)]
    fn block(&mut self, which: usize) {
        let wide = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let [r0, r1] = self.r;
        let s1 = r1 + (r1 >> 2);
        let [h0, h1, h2] = self.sums[which];
        let low = wide(h0, r0) + wide(h1, s1);
        let carry = h2 * s1 + (low >> 64) as u64;
        let high = wide(h0, r1) + wide(h1, r0) + u128::from(carry);
        let top = h2 * r0 + (high >> 64) as u64;
        let sum = u128::from(low as u64) | high << 64;
        let (sum, above) = sum.overflowing_add(u128::from(s1));
        let (sum, carry) = sum.overflowing_add(u128::from((top >> 2) * 5));
        let top = (top & 3) + 1 + u64::from(above) + u64::from(carry);
        self.sums[which] = [sum as u64, (sum >> 64) as u64, top];
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
    let r = black_box([0x0123_4567_0123_4567, 0x0123_4567_0123_4564]);
    let mut sums = Sums {
        sums: [[1, 2, 3]; 2],
        r,
    };
    // A quarter of four quarter rounds; `z` is turned by `by` places against `x`, and `y` by
    // `to`: diagonals take none of anything else.
    macro_rules! quarter {
        ($rotate:literal, $x:ident += $y:ident by $by:literal, $z:ident by $to:literal) => {
            if ROUNDS {
                for n in 0..4 {
                    $x[n] = _mm512_add_epi32($x[n], $y[(n + $by) % 4]);
                }
                for n in 0..4 {
                    let at = (n + $to) % 4;
                    $z[at] = _mm512_rol_epi32::<$rotate>(_mm512_xor_si512($z[at], $x[n]));
                }
                hold(&mut $z);
            }
        };
    }
    macro_rules! block {
        ($which:literal) => {
            if PRODUCTS {
                sums.block($which);
            }
        };
    }
    for _ in 0..passes {
        for _ in 0..10 {
            quarter!(16, a += b by 0, d by 0);
            block!(0);
            quarter!(12, c += d by 0, b by 0);
            block!(1);
            quarter!(8, a += b by 0, d by 0);
            block!(0);
            quarter!(7, c += d by 0, b by 0);
            quarter!(16, a += b by 1, d by 3);
            block!(1);
            quarter!(12, c += d by 1, b by 3);
            block!(0);
            quarter!(8, a += b by 1, d by 3);
            block!(1);
            quarter!(7, c += d by 1, b by 3);
        }
        block!(0);
        block!(1);
        block!(0);
        block!(1);
    }
    black_box((a, b, c, d, sums.sums));
}
