//! Four blocks in a register of 512 bits: VAES and VPCLMULQDQ with AVX-512.

use core::arch::asm;
use core::arch::x86_64::*;

use super::wide128;

pub(super) type V = __m512i;

/// Blocks in a register.
pub(super) const LANES: usize = 4;
/// Bytes in a register.
pub(super) const BYTES: usize = 64;

macro_rules! ops {
    ($($(#[$doc:meta])* fn $name:ident $(<const $c:ident: $ct:ty>)? ($($arg:ident: $ty:ty),*) -> $out:ty $body:block)*) => {
        $($(#[$doc])*
        #[inline]
        #[target_feature(enable = "aes,pclmulqdq,avx2,bmi2,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl")]
        pub(super) fn $name $(<const $c: $ct>)? ($($arg: $ty),*) -> $out $body)*
    };
}

/// Ones for the first `len` bytes, at most 64.
#[inline]
#[target_feature(enable = "bmi2")]
fn mask(len: usize) -> __mmask64 {
    _bzhi_u64(u64::MAX, len.min(64) as u32)
}

ops! {
    fn load(from: &[u8; 64]) -> V {
        // SAFETY: 64 bytes are readable, and this load needs no alignment.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    fn store(to: &mut [u8; 64], v: V) -> () {
        // SAFETY: 64 bytes are writable, and this store needs no alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), v) }
    }

    /// The bytes, at most 64; zeros behind them.
    fn load_partial(from: &[u8]) -> V {
        let mask = mask(from.len());
        // SAFETY: bytes that the mask leaves out are not accessed, and it has at most as many
        // ones as `from` has bytes.
        unsafe { _mm512_maskz_loadu_epi8(mask, from.as_ptr().cast()) }
    }

    /// The first bytes of `v`, as many as `to` has, at most 64.
    fn store_partial(to: &mut [u8], v: V) -> () {
        let mask = mask(to.len());
        // SAFETY: bytes that the mask leaves out are not accessed, and it has at most as many
        // ones as `to` has bytes.
        unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), mask, v) }
    }

    /// The blocks moved up by so many lanes, zeros below.
    fn up(v: V, lanes: usize) -> V {
        _mm512_maskz_expand_epi64(0xff << (2 * (lanes % LANES)), v)
    }

    /// Bytes of `v` from that lane on, as many as `to` has and there are.
    fn store_from(lane: usize, to: &mut [u8], v: V) -> () {
        let before = 16 * (lane % LANES);
        let (lane_0, mask) = (to.as_mut_ptr().wrapping_sub(before), mask(to.len()) << before);
        // SAFETY: bytes that the mask leaves out are not accessed. It has no ones for the bytes
        // before `to`, and behind them at most as many as `to` has bytes.
        unsafe { _mm512_mask_storeu_epi8(lane_0.cast(), mask, v) }
    }

    /// So many bytes of `v` from that lane on, zeros around them.
    fn keep_from(lane: usize, v: V, len: usize) -> V {
        _mm512_maskz_mov_epi8(mask(len) << (16 * (lane % LANES)), v)
    }

    /// A block in one lane; zeros around it.
    fn in_lane(block: __m128i, lane: usize) -> V {
        _mm512_maskz_broadcast_i32x4(0xf << (4 * (lane % LANES)), block)
    }

    /// `v` with another block in the last lane.
    fn with_last_lane(v: V, block: __m128i) -> V { _mm512_inserti32x4::<3>(v, block) }

    /// The block in the last lane.
    fn last_lane(v: V) -> __m128i { _mm512_extracti32x4_epi32::<3>(v) }

    /// Reversed counter blocks, the last of which gets the number 1.
    fn last_number(v: V) -> V {
        _mm512_mask_mov_epi32(v, 1 << 12, _mm512_set1_epi32(1))
    }

    /// The value, computed before what is held next: without it the compiler may put one
    /// chain of rounds behind the other instead of side by side.
    fn hold(v: V) -> V {
        let mut v = v;
        // SAFETY: no instruction at all.
        unsafe { asm!("/* {0} */", inout(zmm_reg) v, options(nomem, nostack, preserves_flags)) };
        v
    }
    /// A block from each of several places.
    fn gather(from: [&[u8; 16]; LANES]) -> V {
        let half = |a, b| {
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(wide128::load(a)), wide128::load(b))
        };
        let [a, b, c, d] = from;
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(a, b)), half(c, d))
    }
    /// The blocks.
    fn split(v: V) -> [__m128i; LANES] {
        [
            low(v),
            _mm512_extracti32x4_epi32::<1>(v),
            _mm512_extracti32x4_epi32::<2>(v),
            _mm512_extracti32x4_epi32::<3>(v),
        ]
    }
    fn broadcast(from: &[u8; 16]) -> V { splat(wide128::load(from)) }
    fn splat(block: __m128i) -> V { _mm512_broadcast_i32x4(block) }
    fn low(v: V) -> __m128i { _mm512_castsi512_si128(v) }
    /// The block in front of zeros.
    fn from_block(block: __m128i) -> V { _mm512_zextsi128_si512(block) }
    /// The exclusive or of all blocks.
    fn fold(v: V) -> __m128i {
        let half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64::<1>(v));
        _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
    }
    fn xor(a: V, b: V) -> V { _mm512_xor_si512(a, b) }
    fn xor3(a: V, b: V, c: V) -> V { _mm512_ternarylogic_epi32::<0x96>(a, b, c) }
    fn zero() -> V { _mm512_setzero_si512() }
    fn aesenc(v: V, key: V) -> V { _mm512_aesenc_epi128(v, key) }
    fn aesenclast(v: V, key: V) -> V { _mm512_aesenclast_epi128(v, key) }
    /// The bytes of each block in reverse order.
    fn reverse(v: V) -> V {
        _mm512_shuffle_epi8(v, splat(_mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f)))
    }
    /// The halves of each block exchanged.
    fn swap_halves(v: V) -> V { _mm512_shuffle_epi32::<0x4e>(v) }
    /// The carry-less product of one half of each block, by the instruction's selector.
    fn clmul<const HALVES: i32>(a: V, b: V) -> V { _mm512_clmulepi64_epi128::<HALVES>(a, b) }
    /// Adds 0, 1, ... to the 32-bit counters of the blocks.
    fn count_up(v: V) -> V {
        _mm512_add_epi32(v, _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0))
    }
    /// The same for counters in the order of bytes: adds to the last; nothing may carry.
    fn count_up_last(v: V) -> V {
        _mm512_add_epi32(v, _mm512_set_epi32(3 << 24, 0, 0, 0, 2 << 24, 0, 0, 0, 1 << 24, 0, 0, 0, 0, 0, 0, 0))
    }
    /// Adds to the 32-bit counter of each block.
    fn add_counter(v: V, n: i32) -> V { _mm512_add_epi32(v, splat(_mm_set_epi32(0, 0, 0, n))) }
    /// Adds to the last byte of each block; nothing may carry.
    fn add_last(v: V, n: i32) -> V { _mm512_add_epi32(v, splat(_mm_set_epi32(n << 24, 0, 0, 0))) }
    /// The byte at that place, zeros elsewhere.
    fn byte_at(byte: u8, at: usize) -> V { _mm512_maskz_set1_epi8(1 << at, byte as i8) }
    /// The high halves of the blocks of `a` and of `b`, as low and high halves.
    fn high_halves(a: V, b: V) -> V { _mm512_unpackhi_epi64(a, b) }
    /// A constant 64-bit number in the low half of each block.
    fn low_half(n: i64) -> V { splat(_mm_set_epi64x(0, n)) }
    /// The low halves of the blocks of `a` and of `b`, as low and high halves.
    fn low_halves(a: V, b: V) -> V { _mm512_unpacklo_epi64(a, b) }
}
