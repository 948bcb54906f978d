//! Two blocks in a register of 256 bits: VAES and VPCLMULQDQ.

use core::arch::asm;
use core::arch::x86_64::*;

use super::wide128;
use crate::low::partial;

pub(super) type V = __m256i;

/// Blocks in a register.
pub(super) const LANES: usize = 2;
/// Bytes in a register.
pub(super) const BYTES: usize = 32;

macro_rules! ops {
    ($($(#[$doc:meta])* fn $name:ident $(<const $c:ident: $ct:ty>)? ($($arg:ident: $ty:ty),*) -> $out:ty $body:block)*) => {
        $($(#[$doc])*
        #[inline]
        #[target_feature(enable = "aes,pclmulqdq,avx2,vaes,vpclmulqdq")]
        pub(super) fn $name $(<const $c: $ct>)? ($($arg: $ty),*) -> $out $body)*
    };
}

ops! {
    fn load(from: &[u8; 32]) -> V {
        // SAFETY: 32 bytes are readable, and this load needs no alignment.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    fn store(to: &mut [u8; 32], v: V) -> () {
        // SAFETY: 32 bytes are writable, and this store needs no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), v) }
    }

    /// The bytes, at most 32; zeros behind them.
    fn load_partial(from: &[u8]) -> V {
        if let Some(all) = from.first_chunk() {
            load(all)
        } else if let Some((first, rest)) = from.split_first_chunk() {
            _mm256_set_m128i(wide128::from_u128(partial::load(rest)), wide128::load(first))
        } else {
            from_block(wide128::from_u128(partial::load(from)))
        }
    }

    /// The first bytes of `v`, as many as `to` has, at most 32.
    fn store_partial(to: &mut [u8], v: V) -> () {
        if let Some(all) = to.first_chunk_mut() {
            store(all, v);
        } else if let Some((first, rest)) = to.split_first_chunk_mut() {
            wide128::store(first, low(v));
            partial::store(rest, wide128::to_u128(_mm256_extracti128_si256::<1>(v)));
        } else {
            partial::store(to, wide128::to_u128(low(v)));
        }
    }

    /// `v` with zeros from byte `len` on.
    fn keep(v: V, len: usize) -> V {
        let low = wide128::from_u128(partial::mask(len));
        let high = wide128::from_u128(partial::mask(len.saturating_sub(16)));
        _mm256_and_si256(v, _mm256_set_m128i(high, low))
    }

    /// The value, computed before what is held next: without it the compiler may put one
    /// chain of rounds behind the other instead of side by side.
    fn hold(v: V) -> V {
        let mut v = v;
        // SAFETY: no instruction at all.
        unsafe { asm!("/* {0} */", inout(ymm_reg) v, options(nomem, nostack, preserves_flags)) };
        v
    }
    /// A block from each of several places.
    fn gather(from: [&[u8; 16]; LANES]) -> V {
        _mm256_inserti128_si256::<1>(from_block(wide128::load(from[0])), wide128::load(from[1]))
    }
    /// The blocks.
    fn split(v: V) -> [__m128i; LANES] { [low(v), _mm256_extracti128_si256::<1>(v)] }
    fn broadcast(from: &[u8; 16]) -> V { splat(wide128::load(from)) }
    fn splat(block: __m128i) -> V { _mm256_broadcastsi128_si256(block) }
    fn low(v: V) -> __m128i { _mm256_castsi256_si128(v) }
    /// The block in front of zeros.
    fn from_block(block: __m128i) -> V { _mm256_zextsi128_si256(block) }
    /// The exclusive or of all blocks.
    fn fold(v: V) -> __m128i { _mm_xor_si128(low(v), _mm256_extracti128_si256::<1>(v)) }
    fn xor(a: V, b: V) -> V { _mm256_xor_si256(a, b) }
    fn xor3(a: V, b: V, c: V) -> V { _mm256_xor_si256(a, _mm256_xor_si256(b, c)) }
    fn zero() -> V { _mm256_setzero_si256() }
    fn aesenc(v: V, key: V) -> V { _mm256_aesenc_epi128(v, key) }
    fn aesenclast(v: V, key: V) -> V { _mm256_aesenclast_epi128(v, key) }
    /// The bytes of each block in reverse order.
    fn reverse(v: V) -> V {
        _mm256_shuffle_epi8(v, splat(_mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f)))
    }
    /// The halves of each block exchanged.
    fn swap_halves(v: V) -> V { _mm256_shuffle_epi32::<0x4e>(v) }
    /// The carry-less product of one half of each block, by the instruction's selector.
    fn clmul<const HALVES: i32>(a: V, b: V) -> V { _mm256_clmulepi64_epi128::<HALVES>(a, b) }
    /// Adds 0, 1, ... to the 32-bit counters of the blocks.
    fn count_up(v: V) -> V { _mm256_add_epi32(v, _mm256_set_epi32(0, 0, 0, 1, 0, 0, 0, 0)) }
    /// Adds to the 32-bit counter of each block.
    fn add_counter(v: V, n: i32) -> V { _mm256_add_epi32(v, splat(_mm_set_epi32(0, 0, 0, n))) }
    /// Adds to the last byte of each block; nothing may carry.
    fn add_last(v: V, n: i32) -> V { _mm256_add_epi32(v, splat(_mm_set_epi32(n << 24, 0, 0, 0))) }
    /// The byte at that place, zeros elsewhere.
    fn byte_at(byte: u8, at: usize) -> V {
        let high = _mm256_set_m128i(_mm_set1_epi8(16), _mm_setzero_si128());
        let places = _mm256_add_epi8(splat(wide128::places()), high);
        let here = _mm256_cmpeq_epi8(places, _mm256_set1_epi8(at as i8));
        _mm256_and_si256(here, _mm256_set1_epi8(byte as i8))
    }
    /// The high halves of the blocks of `a` and of `b`, as low and high halves.
    fn high_halves(a: V, b: V) -> V { _mm256_unpackhi_epi64(a, b) }
    /// A constant 64-bit number in the low half of each block.
    fn low_half(n: i64) -> V { splat(_mm_set_epi64x(0, n)) }
    /// The low halves of the blocks of `a` and of `b`, as low and high halves.
    fn low_halves(a: V, b: V) -> V { _mm256_unpacklo_epi64(a, b) }
}
