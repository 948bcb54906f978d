//! Poly1305 in 52-bit multiply-adds: eight blocks side by side.
//!
//! Numbers are three limbs of 44, 44 and 42 bits, a register for each limb. Each of eight lanes
//! has every eighth block of the text, so all are multiplied by `r^8`, and in the end by the
//! powers of `r` that their places still lack.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use crate::low::chacha20_poly1305::Poly1305;

/// Eight blocks.
pub(super) const GROUP: usize = 128;

/// Eight numbers, as limbs.
type Limbs = [__m512i; 3];

/// A Poly1305 sum that goes over to lanes with its first group.
pub(crate) struct Sum {
    plain: Poly1305,
    lanes: Option<Lanes>,
}

impl From<Poly1305> for Sum {
    fn from(plain: Poly1305) -> Self {
        Self { plain, lanes: None }
    }
}

/// The sums of the lanes, and what they are multiplied with.
#[derive(Clone, Copy)]
struct Lanes {
    /// `r^8` did not touch yet what was added last.
    sums: Limbs,
    /// `r^8` in every lane.
    step: Factor,
    /// What the lanes lack in the end.
    powers: Limbs,
}

impl Drop for Sum {
    fn drop(&mut self) {
        if let Some(lanes) = &mut self.lanes {
            lanes.sums.zeroize();
            lanes.step.limbs.zeroize();
            lanes.step.folded.zeroize();
            lanes.powers.zeroize();
        }
    }
}

/// Eight numbers to multiply with.
#[derive(Clone, Copy)]
struct Factor {
    limbs: Limbs,
    /// 20 times the two upper limbs: what their products are worth past 2^132, which is
    /// 4 times 2^130.
    folded: [__m512i; 2],
}

impl Factor {
    #[inline]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
    fn new(limbs: Limbs) -> Self {
        let [_, a, b] = limbs;
        let folded = [a, b].map(|limb| {
            let four = _mm512_slli_epi64::<2>(limb);
            _mm512_add_epi64(_mm512_slli_epi64::<2>(four), four)
        });
        Self { limbs, folded }
    }
}

const MASK_44: u64 = (1 << 44) - 1;
const MASK_42: u64 = (1 << 42) - 1;

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn all(word: u64) -> __m512i {
    _mm512_set1_epi64(word.cast_signed())
}

/// Limbs of a number of 130 bits and a little more.
fn split([low, high, top]: [u64; 3]) -> [u64; 3] {
    [
        low & MASK_44,
        (low >> 44 | high << 20) & MASK_44,
        high >> 24 | top << 40,
    ]
}

/// The blocks of a group as numbers. Their order is 0, 4, 1, 5, 2, 6, 3, 7.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn blocks(group: &[u8; GROUP]) -> Limbs {
    let ([a, b], []) = group.as_chunks::<64>() else {
        unreachable!("two halves");
    };
    let (a, b) = (super::avx512::load(a), super::avx512::load(b));
    let (low, high) = (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    // In the table of three operands, 0xe0 is the first and one of the others.
    let middle = _mm512_ternarylogic_epi64::<0xe0>(
        all(MASK_44),
        _mm512_srli_epi64::<44>(low),
        _mm512_slli_epi64::<20>(high),
    );
    [
        _mm512_and_si512(low, all(MASK_44)),
        middle,
        // Every block has a bit above its 128.
        _mm512_or_si512(_mm512_srli_epi64::<24>(high), all(1 << 40)),
    ]
}

/// Products modulo 2^130 - 5, whose middle limb may have a bit more than its 44.
///
/// The limbs of `n` have 47 bits at the most, those of `factor` 45.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn multiply([a, b, c]: Limbs, factor: &Factor) -> Limbs {
    let Factor {
        limbs: [x, y, z],
        folded: [y20, z20],
    } = *factor;
    // Columns: a register for the lower 52 bits of its products, and one for the upper.
    let zero = _mm512_setzero_si512();
    let column = |p: __m512i, q: __m512i, r: __m512i| {
        let low = _mm512_madd52lo_epu64(zero, a, p);
        let low = _mm512_madd52lo_epu64(low, b, q);
        let low = _mm512_madd52lo_epu64(low, c, r);
        let high = _mm512_madd52hi_epu64(zero, a, p);
        let high = _mm512_madd52hi_epu64(high, b, q);
        let high = _mm512_madd52hi_epu64(high, c, r);
        (low, high)
    };
    let (low0, high0) = column(x, z20, y20);
    let (low1, high1) = column(y, x, z20);
    let (low2, high2) = column(z, y, x);

    // What stands above 52 bits is worth 2^8 in the next limb, and 5 times 2^10 past the last.
    let n1 = _mm512_add_epi64(low1, _mm512_slli_epi64::<8>(high0));
    let n2 = _mm512_add_epi64(low2, _mm512_slli_epi64::<8>(high1));
    let above = _mm512_slli_epi64::<10>(high2);

    let n1 = _mm512_add_epi64(n1, _mm512_srli_epi64::<44>(low0));
    let n0 = _mm512_and_si512(low0, all(MASK_44));
    let n2 = _mm512_add_epi64(n2, _mm512_srli_epi64::<44>(n1));
    let n1 = _mm512_and_si512(n1, all(MASK_44));
    let above = _mm512_add_epi64(above, _mm512_srli_epi64::<42>(n2));
    let n2 = _mm512_and_si512(n2, all(MASK_42));
    let above = _mm512_add_epi64(above, _mm512_slli_epi64::<2>(above));
    let n0 = _mm512_add_epi64(n0, above);
    let n1 = _mm512_add_epi64(n1, _mm512_srli_epi64::<44>(n0));
    let n0 = _mm512_and_si512(n0, all(MASK_44));
    [n0, n1, n2]
}

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn plus([a, b, c]: Limbs, [x, y, z]: Limbs) -> Limbs {
    [
        _mm512_add_epi64(a, x),
        _mm512_add_epi64(b, y),
        _mm512_add_epi64(c, z),
    ]
}

/// Lanes of `a` where `mask` has a one, of `b` elsewhere.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn blend(mask: u8, [a, b, c]: Limbs, [x, y, z]: Limbs) -> Limbs {
    [
        _mm512_mask_blend_epi64(mask, x, a),
        _mm512_mask_blend_epi64(mask, y, b),
        _mm512_mask_blend_epi64(mask, z, c),
    ]
}

/// The number of the first lane in all.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn first(limbs: Limbs) -> Limbs {
    limbs.map(|limb| _mm512_broadcastq_epi64(_mm512_castsi512_si128(limb)))
}

impl Lanes {
    /// Goes on with `plain`, which counts as added before the first block.
    #[inline(never)]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
    fn start(plain: &Poly1305, group: &[u8; GROUP]) -> Self {
        let [low, high] = plain.r();
        let one = [1, 0, 0].map(|limb| all(limb));
        let r = split([low, high, 0]).map(|limb| all(limb));
        let r2 = multiply(r, &Factor::new(r));
        // Exponents 4, 4, 3, 3, 2, 2, 1, 1: two and two, two and one, two and none, one.
        let a = blend(0b0011_1111, r2, r);
        let b = blend(0b0000_0011, r2, blend(0b0000_1100, r, one));
        let low = multiply(a, &Factor::new(b));
        // Exponents 8, 4, 7, 3, 6, 2, 5, 1: what blocks 0, 4, 1, 5, 2, 6, 3, 7 lack.
        let r4 = first(low);
        let powers = multiply(low, &Factor::new(blend(0b0101_0101, r4, one)));
        let before = split(plain.h()).map(|limb| _mm512_maskz_set1_epi64(1, limb.cast_signed()));
        Self {
            sums: plus(blocks(group), before),
            step: Factor::new(first(powers)),
            powers,
        }
    }
}

/// Groups that are added one by one.
pub(super) struct Groups<'a> {
    sums: Limbs,
    step: Factor,
    groups: core::slice::Iter<'a, [u8; GROUP]>,
}

impl<'a> Groups<'a> {
    /// The groups of `bytes`, for `sum`. If lanes start with the first, it is added now.
    #[inline]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
    pub(super) fn new(sum: &mut Sum, bytes: &'a [u8]) -> Self {
        let mut groups = bytes.as_chunks::<GROUP>().0.iter();
        let lanes = match &sum.lanes {
            Some(lanes) => *lanes,
            None => match groups.next() {
                Some(group) => *sum.lanes.insert(Lanes::start(&sum.plain, group)),
                None => return Self::none(),
            },
        };
        Self {
            sums: lanes.sums,
            step: lanes.step,
            groups,
        }
    }

    /// No group at all.
    #[inline]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
    pub(super) fn none() -> Self {
        let zero = _mm512_setzero_si512();
        Self {
            sums: [zero; 3],
            step: Factor {
                limbs: [zero; 3],
                folded: [zero; 2],
            },
            groups: [].iter(),
        }
    }

    /// Adds one more group if there is one.
    #[inline]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
    pub(super) fn one(&mut self) {
        if let Some(group) = self.groups.next() {
            self.sums = plus(multiply(self.sums, &self.step), blocks(group));
        }
    }

    /// Adds those that are left, and gives `sum` what it is now.
    #[inline]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
    pub(super) fn finish(mut self, sum: &mut Sum) {
        while !self.groups.as_slice().is_empty() {
            self.one();
        }
        if let Some(lanes) = &mut sum.lanes {
            lanes.sums = self.sums;
        }
    }
}

/// The sum of all lanes, in its plain form.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
pub(super) fn finish(sum: &Sum) -> Poly1305 {
    let mut plain = sum.plain.clone();
    if let Some(lanes) = &sum.lanes {
        let limbs = multiply(lanes.sums, &Factor::new(lanes.powers));
        let [a, b, c] = limbs.map(|limb| _mm512_reduce_add_epi64(limb).cast_unsigned());
        // Eight lanes: 48 bits at the most.
        let top = c >> 40;
        let c = u128::from(c & ((1 << 40) - 1)) << 88;
        // What stands above 2^130 is worth five times as much below.
        let low = u128::from(a) + (u128::from(b) << 44) + u128::from((top >> 2) * 5);
        let (low, carry) = low.overflowing_add(c);
        plain.set_h([low as u64, (low >> 64) as u64, (top & 3) + u64::from(carry)]);
    }
    plain
}
