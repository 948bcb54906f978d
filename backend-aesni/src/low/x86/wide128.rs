//! One block in a register of 128 bits: AES-NI and PCLMULQDQ.

use core::arch::asm;
use core::arch::x86_64::*;

use crate::low::partial;

pub(super) type V = __m128i;

/// Blocks in a register.
pub(super) const LANES: usize = 1;
/// Bytes in a register.
pub(super) const BYTES: usize = 16;

macro_rules! ops {
    ($($(#[$doc:meta])* fn $name:ident $(<const $c:ident: $ct:ty>)? ($($arg:ident: $ty:ty),*) -> $out:ty $body:block)*) => {
        $($(#[$doc])*
        #[inline]
        #[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
        pub(super) fn $name $(<const $c: $ct>)? ($($arg: $ty),*) -> $out $body)*
    };
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load(from: &[u8; 16]) -> V {
    // SAFETY: 16 bytes are readable, and this load needs no alignment.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn store(to: &mut [u8; 16], v: V) {
    // SAFETY: 16 bytes are writable, and this store needs no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), v) }
}

/// As a little-endian number.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn from_u128(value: u128) -> V {
    _mm_set_epi64x((value >> 64) as i64, value as i64)
}

ops! {
    fn to_u128(v: V) -> u128 {
        let high = _mm_extract_epi64::<1>(v) as u64;
        u128::from(_mm_cvtsi128_si64(v) as u64) | u128::from(high) << 64
    }

    /// The bytes, at most 16; zeros behind them.
    fn load_partial(from: &[u8]) -> V {
        match from.first_chunk() {
            Some(all) => load(all),
            None => from_u128(partial::load(from)),
        }
    }

    /// The first bytes of `v`, as many as `to` has, at most 16.
    fn store_partial(to: &mut [u8], v: V) -> () {
        match to.first_chunk_mut() {
            Some(all) => store(all, v),
            None => partial::store(to, to_u128(v)),
        }
    }

    /// `v` with zeros from byte `len` on.
    fn keep(v: V, len: usize) -> V {
        _mm_and_si128(v, from_u128(partial::mask(len)))
    }

    /// The block moved up by so many lanes: out of sight, if any. This and what follows is what
    /// wider registers are modelled with.
    #[cfg(test)]
    fn up(v: V, lanes: usize) -> V { if lanes == 0 { v } else { zero() } }
    #[cfg(test)]
    fn down(v: V, lanes: usize) -> V { up(v, lanes) }
    #[cfg(test)]
    fn store_from(_lane: usize, to: &mut [u8], v: V) -> () {
        let len = to.len().min(16);
        store_partial(&mut to[..len], v);
    }
    #[cfg(test)]
    fn keep_from(_lane: usize, v: V, len: usize) -> V { keep(v, len) }
    #[cfg(test)]
    fn in_lane(block: __m128i, _lane: usize) -> V { block }
    #[cfg(test)]
    fn with_last_lane(_v: V, block: __m128i) -> V { block }
    #[cfg(test)]
    fn last_lane(v: V) -> __m128i { v }
    #[cfg(test)]
    fn last_number(v: V) -> V {
        _mm_blend_epi16::<3>(v, _mm_set1_epi32(1))
    }
    #[cfg(test)]
    fn count_up_last(v: V) -> V { v }

    /// The value, computed before what is held next: without it the compiler may put one
    /// chain of rounds behind the other instead of side by side.
    fn hold(v: V) -> V {
        let mut v = v;
        // SAFETY: no instruction at all.
        unsafe { asm!("/* {0} */", inout(xmm_reg) v, options(nomem, nostack, preserves_flags)) };
        v
    }
    /// A block from each of several places.
    fn gather(from: [&[u8; 16]; LANES]) -> V { load(from[0]) }
    /// The blocks.
    fn split(v: V) -> [__m128i; LANES] { [v] }
    fn broadcast(from: &[u8; 16]) -> V { load(from) }
    fn splat(block: __m128i) -> V { block }
    fn low(v: V) -> __m128i { v }
    fn from_block(block: __m128i) -> V { block }
    /// The exclusive or of all blocks.
    fn fold(v: V) -> __m128i { v }
    fn xor(a: V, b: V) -> V { _mm_xor_si128(a, b) }
    fn xor3(a: V, b: V, c: V) -> V { _mm_xor_si128(a, _mm_xor_si128(b, c)) }
    fn zero() -> V { _mm_setzero_si128() }
    fn aesenc(v: V, key: V) -> V { _mm_aesenc_si128(v, key) }
    fn aesenclast(v: V, key: V) -> V { _mm_aesenclast_si128(v, key) }
    /// The bytes of each block in reverse order.
    fn reverse(v: V) -> V { _mm_shuffle_epi8(v, _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f)) }
    /// The halves of each block exchanged.
    fn swap_halves(v: V) -> V { _mm_shuffle_epi32::<0x4e>(v) }
    /// The carry-less product of one half of each block, by the instruction's selector.
    fn clmul<const HALVES: i32>(a: V, b: V) -> V { _mm_clmulepi64_si128::<HALVES>(a, b) }
    /// Adds 0, 1, ... to the 32-bit counters of the blocks.
    fn count_up(v: V) -> V { v }
    /// Adds to the 32-bit counter of each block.
    fn add_counter(v: V, n: i32) -> V { _mm_add_epi32(v, _mm_set_epi32(0, 0, 0, n)) }
    /// Adds to the last byte of the block; nothing may carry.
    fn add_last(v: V, n: i32) -> V { _mm_add_epi32(v, _mm_set_epi32(n << 24, 0, 0, 0)) }
    /// Each byte's place.
    fn places() -> V { _mm_set_epi64x(0x0f0e_0d0c_0b0a_0908, 0x0706_0504_0302_0100) }
    /// The byte at that place, zeros elsewhere.
    fn byte_at(byte: u8, at: usize) -> V {
        let here = _mm_cmpeq_epi8(places(), _mm_set1_epi8(at as i8));
        _mm_and_si128(here, _mm_set1_epi8(byte as i8))
    }
    /// The high halves of `a` and of `b`, as low and high halves.
    fn high_halves(a: V, b: V) -> V { _mm_unpackhi_epi64(a, b) }
    /// A constant 64-bit number in the low half of each block.
    fn low_half(n: i64) -> V { _mm_set_epi64x(0, n) }
    /// The low halves of the blocks of `a` and of `b`, as low and high halves.
    fn low_halves(a: V, b: V) -> V { _mm_unpacklo_epi64(a, b) }
}
