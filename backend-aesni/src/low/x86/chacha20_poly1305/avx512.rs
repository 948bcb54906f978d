//! On 512-bit registers.

use core::arch::asm;
use core::arch::x86_64::*;
use core::arch::x86_64::{
    __m512i as V, _mm512_add_epi32 as add, _mm512_shuffle_epi32 as shuffle_words,
    _mm512_shuffle_i32x4 as shuffle_lanes, _mm512_unpackhi_epi32 as high_words,
    _mm512_unpackhi_epi64 as high_pairs, _mm512_unpacklo_epi32 as low_words,
    _mm512_unpacklo_epi64 as low_pairs, _mm512_xor_si512 as xor,
};

use crate::low::cpu::Avx512F;

super::sixteen::engine! {
    features: "avx2,bmi2,avx512f,avx512bw,avx512vl", token: Avx512F, detail: "AVX-512"
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> V {
    // SAFETY: 64 bytes are readable there.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(bytes: &mut [u8; 64], v: V) {
    // SAFETY: 64 bytes are writable there.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), v) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_16(v: V) -> V {
    _mm512_rol_epi32::<16>(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_12(v: V) -> V {
    _mm512_rol_epi32::<12>(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_8(v: V) -> V {
    _mm512_rol_epi32::<8>(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_7(v: V) -> V {
    _mm512_rol_epi32::<7>(v)
}

/// Keeps what comes before in front of what comes behind: the compiler would put all of the
/// integer units' work behind all of the vector units', out of the CPU's sight.
#[inline]
#[target_feature(enable = "avx512f")]
fn hold([a, b, c, d]: &mut [V; 4]) {
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

/// Four words of a state from `AT` on, each in all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn row<const AT: usize>(words: &[u32; 16]) -> [V; 4] {
    const { assert!(AT + 4 <= 16) };
    let (a, b, c, d);
    // The compiler would keep what it has loaded once on the stack, sixteen times as long.
    // SAFETY: reads 16 bytes that the reference is valid for.
    unsafe {
        asm!(
            "vpbroadcastd {a}, dword ptr [{words} + {at}]",
            "vpbroadcastd {b}, dword ptr [{words} + {at} + 4]",
            "vpbroadcastd {c}, dword ptr [{words} + {at} + 8]",
            "vpbroadcastd {d}, dword ptr [{words} + {at} + 12]",
            a = out(zmm_reg) a,
            b = out(zmm_reg) b,
            c = out(zmm_reg) c,
            d = out(zmm_reg) d,
            words = in(reg) words,
            at = const 4 * AT,
            options(readonly, nostack, preserves_flags),
        );
    }
    [a, b, c, d]
}

/// Sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
fn words_of(words: &[u32; 16]) -> V {
    // SAFETY: as many words are readable there.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// Four words, in each lane of 128 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn four_times(words: [u32; 4]) -> V {
    let [a, b, c, d] = words.map(u32::cast_signed);
    _mm512_broadcast_i32x4(_mm_setr_epi32(a, b, c, d))
}

/// A word in front of each lane of 128 bits, and zeros behind it.
#[inline]
#[target_feature(enable = "avx512f")]
fn fronts(words: [u32; 4]) -> V {
    let [a, b, c, d] = words.map(u32::cast_signed);
    _mm512_setr_epi32(a, 0, 0, 0, b, 0, 0, 0, c, 0, 0, 0, d, 0, 0, 0)
}
