//! What AES-GCM cannot do without: rounds of AES and carry-less products, on registers that do
//! not wait for one another, and nothing else. No data, no counters, no reduction.

use core::arch::x86_64::*;
use std::hint::black_box;

/// Rounds and products for so many strides.
type Work = fn(rounds: usize, products: usize, strides: usize);

/// The bare core in registers of one width. Only detection makes one.
#[derive(Clone, Copy)]
pub(crate) struct Core {
    /// Bits of a register.
    pub(crate) width: usize,
    work: Work,
}

/// Registers in AES at a time: enough to hide its latency.
const VECTORS: usize = 10;
/// Registers in multiplication at a time; with a key these are the sixteen of AVX2.
const SUMS: usize = 5;

impl Core {
    /// The widths that this CPU has, the narrowest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        if is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("avx")
        {
            all.push(Self {
                width: 128,
                // SAFETY: the features were detected.
                work: |rounds, products, strides| unsafe { xmm::work(rounds, products, strides) },
            });
        }
        if is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx2")
        {
            all.push(Self {
                width: 256,
                // SAFETY: the features were detected.
                work: |rounds, products, strides| unsafe { ymm::work(rounds, products, strides) },
            });
            if is_x86_feature_detected!("avx512f") {
                all.push(Self {
                    width: 512,
                    // SAFETY: the features were detected.
                    work: |rounds, products, strides| unsafe {
                        zmm::work(rounds, products, strides);
                    },
                });
            }
        }
        all
    }

    /// Does what `strides` times [`stride`](Self::stride) bytes take: for each register's
    /// worth of them `rounds` rounds, 10 or 14, and 3 or 4 products.
    pub(crate) fn run(&self, rounds: usize, products: usize, strides: usize) {
        (self.work)(rounds, products, strides);
    }

    /// Bytes that are worked on at a time.
    pub(crate) fn stride(&self) -> usize {
        VECTORS * self.width / 8
    }
}

macro_rules! core {
    ($name:ident, $features:literal, $set:ident, $aesenc:ident, $clmul:ident) => {
        mod $name {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) fn work(rounds: usize, products: usize, strides: usize) {
                match (rounds, products) {
                    (10, 3) => strides_of::<10, 3>(strides),
                    (10, 4) => strides_of::<10, 4>(strides),
                    (14, 3) => strides_of::<14, 3>(strides),
                    (14, 4) => strides_of::<14, 4>(strides),
                    _ => unreachable!("no cipher has {rounds} rounds"),
                }
            }

            #[target_feature(enable = $features)]
            fn strides_of<const ROUNDS: usize, const PRODUCTS: usize>(strides: usize) {
                let key = $set(black_box(0x0123_4567_89ab_cdef));
                let mut blocks = [key; VECTORS];
                let mut sums = [key; SUMS];
                for _ in 0..strides {
                    // Written out, so that every register has a name; the products are spread
                    // over the rounds.
                    macro_rules! round {
                        ($at:literal) => {
                            if $at < ROUNDS {
                                for block in &mut blocks {
                                    *block = $aesenc(*block, key);
                                }
                                let all = VECTORS * PRODUCTS;
                                for product in all * $at / ROUNDS..all * ($at + 1) / ROUNDS {
                                    let sum = &mut sums[product % SUMS];
                                    *sum = $clmul::<0x01>(*sum, key);
                                }
                            }
                        };
                    }
                    round!(0);
                    round!(1);
                    round!(2);
                    round!(3);
                    round!(4);
                    round!(5);
                    round!(6);
                    round!(7);
                    round!(8);
                    round!(9);
                    round!(10);
                    round!(11);
                    round!(12);
                    round!(13);
                }
                black_box((blocks, sums));
            }
        }
    };
}

core!(
    xmm,
    "aes,pclmulqdq,avx",
    _mm_set1_epi64x,
    _mm_aesenc_si128,
    _mm_clmulepi64_si128
);
core!(
    ymm,
    "vaes,vpclmulqdq,avx2",
    _mm256_set1_epi64x,
    _mm256_aesenc_epi128,
    _mm256_clmulepi64_epi128
);
core!(
    zmm,
    "vaes,vpclmulqdq,avx512f",
    _mm512_set1_epi64,
    _mm512_aesenc_epi128,
    _mm512_clmulepi64_epi128
);
