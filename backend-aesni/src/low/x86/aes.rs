//! The AES key schedule (FIPS 197, section 5.2), in constant time.

use core::arch::x86_64::{
    __m128i, _mm_aesenclast_si128, _mm_set1_epi32, _mm_setzero_si128, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_slli_si128, _mm_xor_si128,
};

use super::wide128::{load, store};

/// A block of 16 bytes.
pub(super) type Block = [u8; 16];

/// One step of the schedule: the round key `before`, and what the last word of the one before
/// it became.
#[inline]
#[target_feature(enable = "sse2")]
fn next(mut before: __m128i, word: __m128i) -> __m128i {
    // Each word is the exclusive or of all words up to it.
    before = _mm_xor_si128(before, _mm_slli_si128::<4>(before));
    before = _mm_xor_si128(before, _mm_slli_si128::<8>(before));
    _mm_xor_si128(before, word)
}

/// The last word rotated, substituted and mixed with the round's constant, in all lanes.
///
/// AESKEYGENASSIST does this too, but CPUs take several steps for it. In four equal columns
/// there is nothing to shift (ShiftRows), which leaves SubBytes and the addition of a key.
#[inline]
#[target_feature(enable = "aes,ssse3")]
fn rotated<const CONSTANT: i32>(key: __m128i) -> __m128i {
    let word = _mm_shuffle_epi8(key, _mm_set1_epi32(0x0c0f_0e0d));
    _mm_aesenclast_si128(word, _mm_set1_epi32(CONSTANT))
}

/// The last word substituted, in all lanes: the middle step of a 256-bit key.
#[inline]
#[target_feature(enable = "aes,ssse3")]
fn substituted(key: __m128i) -> __m128i {
    let word = _mm_shuffle_epi32::<0xff>(key);
    _mm_aesenclast_si128(word, _mm_setzero_si128())
}

/// The eleven round keys of a 128-bit key.
// Not into a caller's frame, below which traces are wiped.
#[inline(never)]
#[target_feature(enable = "aes,ssse3")]
pub(super) fn expand128(key: &[u8; 16], out: &mut [Block; 11]) {
    let mut k = load(key);
    store(&mut out[0], k);
    macro_rules! round {
        ($at:literal, $constant:literal) => {
            k = next(k, rotated::<$constant>(k));
            store(&mut out[$at], k);
        };
    }
    round!(1, 0x01);
    round!(2, 0x02);
    round!(3, 0x04);
    round!(4, 0x08);
    round!(5, 0x10);
    round!(6, 0x20);
    round!(7, 0x40);
    round!(8, 0x80);
    round!(9, 0x1b);
    round!(10, 0x36);
}

/// The fifteen round keys of a 256-bit key.
// Not into a caller's frame, below which traces are wiped.
#[inline(never)]
#[target_feature(enable = "aes,ssse3")]
pub(super) fn expand256(key: &[u8; 32], out: &mut [Block; 15]) {
    let ([low, high], []) = key.as_chunks() else {
        unreachable!("two halves");
    };
    let (mut even, mut odd) = (load(low), load(high));
    store(&mut out[0], even);
    store(&mut out[1], odd);
    macro_rules! round {
        ($at:literal, $constant:literal) => {
            even = next(even, rotated::<$constant>(odd));
            store(&mut out[$at], even);
            if $at < 14 {
                odd = next(odd, substituted(even));
                store(&mut out[$at + 1], odd);
            }
        };
    }
    round!(2, 0x01);
    round!(4, 0x02);
    round!(6, 0x04);
    round!(8, 0x08);
    round!(10, 0x10);
    round!(12, 0x20);
    even = next(even, rotated::<0x40>(odd));
    store(&mut out[14], even);
}
