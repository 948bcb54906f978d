//! On 512-bit registers: sixteen blocks side by side, with Poly1305 in 52-bit multiply-adds.

use core::arch::x86_64::*;
use core::arch::x86_64::{_mm512_add_epi32 as add, _mm512_xor_si512 as xor};

use super::ifma::{self, GROUP, Groups, Sum};
use crate::low::chacha20_poly1305::{
    BLOCK, Ciphertext, Direction, Engine, FEW, KEYSTREAM, Keystream, Lanes, Poly1305, State, few,
    quarter_rounds,
};
use crate::low::cpu::Ifma;
use crate::low::inout::InOut;

/// Bytes of sixteen blocks.
const PASS: usize = 16 * BLOCK;

/// How deep the frames of one record go, in bytes; of few bytes; and of a batch. More without
/// optimisation, where registers are handed on in memory.
const SPILLS: usize = if cfg!(debug_assertions) { 12288 } else { 9216 };
const SPILLS_FEW: usize = 4096;
const SPILLS_BATCH: usize = if cfg!(debug_assertions) { 16384 } else { 14336 };

impl Engine for Ifma {
    const DETAIL: &'static str = "AVX-512, IFMA";
    const PASS: usize = PASS;
    const GROUP: usize = GROUP;
    const BESIDE: usize = 10 * GROUP;
    type Sum = Sum;

    fn few(self, state: &State, aad: &[u8], text: &mut [u8], direction: Direction) -> [u8; 16] {
        // SAFETY: the token proves the features.
        unsafe { seal_or_open_few(state, aad, text, direction) }
    }

    fn keystream(
        self,
        state: &State,
        len: usize,
        keystream: &mut [u8; KEYSTREAM],
        sum: &mut Sum,
        behind: &[u8],
    ) {
        // SAFETY: the token proves the features.
        unsafe { make_keystream(state, len, keystream, sum, behind) }
    }

    fn pass(self, state: &State, text: InOut<'_>, sum: &mut Sum, ciphertext: &Ciphertext<'_>) {
        // SAFETY: the token proves the features.
        unsafe { pass(state, text, sum, ciphertext) }
    }

    fn blocks(
        self,
        state: &State,
        lanes: &Lanes,
        keystream: &mut [u8],
        sum: &mut Sum,
        behind: &[u8],
    ) {
        // SAFETY: the token proves the features.
        unsafe { blocks_of_lanes(state, lanes, keystream, sum, behind) }
    }

    fn xor(self, text: &mut [u8], keystream: &[u8]) {
        // SAFETY: the token proves the features.
        unsafe { encrypt(text, keystream) }
    }

    fn add(self, sum: &mut Sum, bytes: &[u8]) {
        // SAFETY: the token proves the features.
        unsafe { authenticate(sum, bytes) }
    }

    fn finish(self, sum: Sum) -> Poly1305 {
        // SAFETY: the token proves the features.
        unsafe { ifma::finish(&sum) }
    }

    fn wipe(self) {
        crate::low::wipe::traces::<SPILLS>();
    }

    fn wipe_batch(self) {
        crate::low::wipe::traces::<SPILLS_BATCH>();
    }

    fn wipe_few(self) {
        crate::low::wipe::traces::<SPILLS_FEW>();
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are readable there.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(bytes: &mut [u8; 64], v: __m512i) {
    // SAFETY: 64 bytes are writable there.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), v) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_16(v: __m512i) -> __m512i {
    _mm512_rol_epi32::<16>(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_12(v: __m512i) -> __m512i {
    _mm512_rol_epi32::<12>(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_8(v: __m512i) -> __m512i {
    _mm512_rol_epi32::<8>(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_7(v: __m512i) -> __m512i {
    _mm512_rol_epi32::<7>(v)
}

/// A register for each word of the state, a lane for each of sixteen blocks: of `lanes`, or
/// those that follow the state.
///
/// Every double round adds one of `groups`.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn sixteen_blocks(
    State(words): &State,
    lanes: Option<&Lanes>,
    groups: &mut Groups<'_>,
) -> [__m512i; 16] {
    let mut start = [_mm512_setzero_si512(); 16];
    for (register, word) in start.iter_mut().zip(words) {
        *register = _mm512_set1_epi32(word.cast_signed());
    }
    if let Some(Lanes(lanes)) = lanes {
        for (register, lanes) in start[12..].iter_mut().zip(lanes) {
            // SAFETY: as many words are readable there.
            *register = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
        }
    } else {
        let counters = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        start[12] = add(start[12], counters);
    }

    let mut v = start;
    for _ in 0..10 {
        quarter_rounds!(
            [v[0], v[4], v[8], v[12]],
            [v[1], v[5], v[9], v[13]],
            [v[2], v[6], v[10], v[14]],
            [v[3], v[7], v[11], v[15]]
        );
        groups.one();
        quarter_rounds!(
            [v[0], v[5], v[10], v[15]],
            [v[1], v[6], v[11], v[12]],
            [v[2], v[7], v[8], v[13]],
            [v[3], v[4], v[9], v[14]]
        );
    }
    for (register, start) in v.iter_mut().zip(start) {
        *register = add(*register, start);
    }
    v
}

/// From four rows of four states to four whole states: lanes of 128 bits change places.
#[inline]
#[target_feature(enable = "avx512f")]
fn lanes([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let ab = _mm512_shuffle_i32x4::<0x44>(a, b);
    let cd = _mm512_shuffle_i32x4::<0x44>(c, d);
    let ab2 = _mm512_shuffle_i32x4::<0xee>(a, b);
    let cd2 = _mm512_shuffle_i32x4::<0xee>(c, d);
    [
        _mm512_shuffle_i32x4::<0x88>(ab, cd),
        _mm512_shuffle_i32x4::<0xdd>(ab, cd),
        _mm512_shuffle_i32x4::<0x88>(ab2, cd2),
        _mm512_shuffle_i32x4::<0xdd>(ab2, cd2),
    ]
}

/// Four words of sixteen blocks: in register n, what blocks n, n + 4, n + 8 and n + 12 have.
#[inline]
#[target_feature(enable = "avx512f")]
fn words([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, ab2) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (cd, cd2) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab2, cd2),
        _mm512_unpackhi_epi64(ab2, cd2),
    ]
}

/// From a register for each word to a register for each block. Their order is 0, 4, 8, 12,
/// 1, 5 and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(v: [__m512i; 16]) -> [[__m512i; 4]; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = v;
    let rows = [
        words([a, b, c, d]),
        words([e, f, g, h]),
        words([i, j, k, l]),
        words([m, n, o, p]),
    ];
    [
        lanes([rows[0][0], rows[1][0], rows[2][0], rows[3][0]]),
        lanes([rows[0][1], rows[1][1], rows[2][1], rows[3][1]]),
        lanes([rows[0][2], rows[1][2], rows[2][2], rows[3][2]]),
        lanes([rows[0][3], rows[1][3], rows[2][3], rows[3][3]]),
    ]
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn pass(state: &State, mut text: InOut<'_>, sum: &mut Sum, ciphertext: &Ciphertext<'_>) {
    let mut groups = Groups::new(sum, ciphertext.of(text.input()));
    let keystream = transpose(sixteen_blocks(state, None, &mut groups));
    groups.finish(sum);
    let mut text = text.take::<PASS>().expect("a pass");
    for (n, blocks) in keystream.into_iter().enumerate() {
        for (quarter, key) in blocks.into_iter().enumerate() {
            let at = (n + 4 * quarter) * BLOCK;
            let bytes = xor(load(text.read(at)), key);
            store(text.write(at), bytes);
        }
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn make_keystream(
    state: &State,
    len: usize,
    keystream: &mut [u8; KEYSTREAM],
    sum: &mut Sum,
    behind: &[u8],
) {
    let blocks = len.div_ceil(BLOCK);
    if blocks > 8 {
        return blocks_of_lanes(state, &Lanes::following(state), keystream, sum, behind);
    }
    let mut groups = Groups::new(sum, behind);
    match blocks {
        0..=4 => quads::<1>(state, keystream, &mut groups),
        _ => quads::<2>(state, keystream, &mut groups),
    }
    groups.finish(sum);
}

// Called wherever no text is at hand, so that it is compiled once, in place.
#[inline(never)]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn blocks_of_lanes(
    state: &State,
    lanes: &Lanes,
    keystream: &mut [u8],
    sum: &mut Sum,
    behind: &[u8],
) {
    let mut groups = Groups::new(sum, behind);
    let blocks = transpose(sixteen_blocks(state, Some(lanes), &mut groups));
    groups.finish(sum);
    let (chunks, _) = keystream.as_chunks_mut::<BLOCK>();
    for (n, blocks) in blocks.into_iter().enumerate() {
        for (chunk, block) in chunks.iter_mut().skip(n).step_by(4).zip(blocks) {
            store(chunk, block);
        }
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn encrypt(text: &mut [u8], keystream: &[u8]) {
    // Else plaintext would stay.
    assert!(text.len() <= keystream.len());
    let (blocks, rest) = text.as_chunks_mut::<BLOCK>();
    let mut keys = keystream.as_chunks::<BLOCK>().0.iter();
    for (block, key) in blocks.iter_mut().zip(&mut keys) {
        store(block, xor(load(block), load(key)));
    }
    if let Some(key) = keys.next() {
        crate::low::chacha20_poly1305::xor(rest, key);
    }
}

/// Keystream of `N` times four blocks: a register for each row of four states, which takes
/// fewer instructions than sixteen blocks.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn quads<const N: usize>(state: &State, keystream: &mut [u8], groups: &mut Groups<'_>) {
    let row = |n: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|word| state.0[4 * n + word].cast_signed());
        _mm512_broadcast_i32x4(_mm_setr_epi32(a, b, c, d))
    };
    let mut start = [[row(0), row(1), row(2), row(3)]; N];
    for (n, [.., row]) in (0..).step_by(4).zip(&mut start) {
        let counters =
            _mm512_setr_epi32(n, 0, 0, 0, n + 1, 0, 0, 0, n + 2, 0, 0, 0, n + 3, 0, 0, 0);
        *row = add(*row, counters);
    }

    let mut v = start;
    for _ in 0..10 {
        for [a, b, c, d] in &mut v {
            quarter_rounds!([*a, *b, *c, *d]);
            // Diagonals become columns. The second row is the last to be ready, so it stays.
            *a = _mm512_shuffle_epi32::<0x93>(*a);
            *c = _mm512_shuffle_epi32::<0x39>(*c);
            *d = _mm512_shuffle_epi32::<0x4e>(*d);
        }
        groups.one();
        for [a, b, c, d] in &mut v {
            quarter_rounds!([*a, *b, *c, *d]);
            *a = _mm512_shuffle_epi32::<0x39>(*a);
            *c = _mm512_shuffle_epi32::<0x93>(*c);
            *d = _mm512_shuffle_epi32::<0x4e>(*d);
        }
    }

    let mut chunks = keystream.as_chunks_mut::<BLOCK>().0.iter_mut();
    for (v, start) in v.into_iter().zip(start) {
        let states = lanes([0, 1, 2, 3].map(|row| add(v[row], start[row])));
        // In this order: a state that is missing must not take a chunk away.
        for (state, chunk) in states.into_iter().zip(chunks.by_ref()) {
            store(chunk, state);
        }
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn seal_or_open_few(state: &State, aad: &[u8], text: &mut [u8], direction: Direction) -> [u8; 16] {
    let mut keystream = Keystream([0; BLOCK + FEW]);
    if text.len() <= 3 * BLOCK {
        quads::<1>(state, &mut keystream.0, &mut Groups::none());
    } else {
        quads::<2>(state, &mut keystream.0, &mut Groups::none());
    }
    few(&keystream, aad, text, direction)
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512ifma")]
fn authenticate(sum: &mut Sum, bytes: &[u8]) {
    Groups::new(sum, bytes).finish(sum);
}
