//! On 256-bit registers: eight blocks side by side, with Poly1305 in the integer units.

use core::arch::x86_64::*;

use crate::low::chacha20_poly1305::{
    BLOCK, Ciphertext, Direction, Engine, FEW, KEYSTREAM, Keystream, Poly1305, State, few,
};
use crate::low::cpu::Avx2;
use crate::low::inout::InOut;

/// Bytes of eight blocks.
const PASS: usize = 8 * BLOCK;

impl Engine for Avx2 {
    const DETAIL: &'static str = "AVX2";
    const PASS: usize = PASS;
    type Sum = Poly1305;

    fn few(self, state: &State, aad: &[u8], text: &mut [u8], direction: Direction) -> [u8; 16] {
        // SAFETY: the token proves the features.
        unsafe { seal_or_open_few(state, aad, text, direction) }
    }

    fn keystream(
        self,
        state: &State,
        len: usize,
        keystream: &mut [u8; KEYSTREAM],
        sum: &mut Poly1305,
        behind: &[u8],
    ) {
        // SAFETY: the token proves the features.
        unsafe { make_keystream(state, len, keystream, sum, behind) }
    }

    fn pass(self, state: &State, text: InOut<'_>, sum: &mut Poly1305, ciphertext: &Ciphertext<'_>) {
        // SAFETY: the token proves the features.
        unsafe { pass(state, text, sum, ciphertext) }
    }

    fn add(self, sum: &mut Poly1305, bytes: &[u8]) {
        // SAFETY: the token proves the features.
        unsafe { add(sum, bytes) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes are readable there.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8; 32], v: __m256i) {
    // SAFETY: 32 bytes are writable there.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), v) }
}

/// Rotates every word left by `N` bits; `M` is 32 less `N`.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const N: i32, const M: i32>(v: __m256i) -> __m256i {
    match N {
        16 => {
            let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
            ));
            _mm256_shuffle_epi8(v, order)
        }
        8 => {
            let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14,
            ));
            _mm256_shuffle_epi8(v, order)
        }
        _ => _mm256_or_si256(_mm256_slli_epi32::<N>(v), _mm256_srli_epi32::<M>(v)),
    }
}

/// Quarter rounds (RFC 8439, section 2.1) on `N` sets of four registers.
#[inline]
#[target_feature(enable = "avx2")]
fn quarter_rounds<const W: usize, const N: usize>(v: &mut [__m256i; W], sets: [[usize; 4]; N]) {
    for [a, b, _, d] in sets {
        v[a] = _mm256_add_epi32(v[a], v[b]);
        v[d] = rotate::<16, 16>(_mm256_xor_si256(v[d], v[a]));
    }
    for [_, b, c, d] in sets {
        v[c] = _mm256_add_epi32(v[c], v[d]);
        v[b] = rotate::<12, 20>(_mm256_xor_si256(v[b], v[c]));
    }
    for [a, b, _, d] in sets {
        v[a] = _mm256_add_epi32(v[a], v[b]);
        v[d] = rotate::<8, 24>(_mm256_xor_si256(v[d], v[a]));
    }
    for [_, b, c, d] in sets {
        v[c] = _mm256_add_epi32(v[c], v[d]);
        v[b] = rotate::<7, 25>(_mm256_xor_si256(v[b], v[c]));
    }
}

/// A register for each word of the state, a lane for each of eight blocks.
///
/// Every double round takes some blocks of `behind` along.
#[inline]
#[target_feature(enable = "avx2")]
fn eight_blocks(state: &State, sum: &mut Poly1305, behind: &[u8]) -> [__m256i; 16] {
    let State(words) = state;
    let mut start = [_mm256_setzero_si256(); 16];
    for (register, word) in start.iter_mut().zip(words) {
        *register = _mm256_set1_epi32(word.cast_signed());
    }
    start[12] = _mm256_add_epi32(start[12], _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));

    let mut v = start;
    let mut h = sum.clone();
    let (blocks, _) = behind.as_chunks::<16>();
    let mut blocks = blocks.iter();
    for _ in 0..10 {
        quarter_rounds(
            &mut v,
            [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]],
        );
        for block in blocks.by_ref().take(2) {
            h.block(block);
        }
        quarter_rounds(
            &mut v,
            [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]],
        );
        for block in blocks.by_ref().take(1) {
            h.block(block);
        }
    }
    for block in blocks {
        h.block(block);
    }
    *sum = h;
    for (register, start) in v.iter_mut().zip(start) {
        *register = _mm256_add_epi32(*register, start);
    }
    v
}

/// From a register for each of eight words to a register for each of eight blocks.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(v: [__m256i; 8]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = v;
    let (ab, ab2) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd, cd2) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    let (ef, ef2) = (_mm256_unpacklo_epi32(e, f), _mm256_unpackhi_epi32(e, f));
    let (gh, gh2) = (_mm256_unpacklo_epi32(g, h), _mm256_unpackhi_epi32(g, h));
    // Words 0 to 3 and 4 to 7 of blocks n and n + 4.
    let low = [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab2, cd2),
        _mm256_unpackhi_epi64(ab2, cd2),
    ];
    let high = [
        _mm256_unpacklo_epi64(ef, gh),
        _mm256_unpackhi_epi64(ef, gh),
        _mm256_unpacklo_epi64(ef2, gh2),
        _mm256_unpackhi_epi64(ef2, gh2),
    ];
    let mut out = v;
    for n in 0..4 {
        out[n] = _mm256_permute2x128_si256::<0x20>(low[n], high[n]);
        out[n + 4] = _mm256_permute2x128_si256::<0x31>(low[n], high[n]);
    }
    out
}

/// The halves of eight blocks.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(v: [__m256i; 16]) -> [[__m256i; 8]; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = v;
    [
        transpose([a, b, c, d, e, f, g, h]),
        transpose([i, j, k, l, m, n, o, p]),
    ]
}

#[target_feature(enable = "avx2")]
fn pass(state: &State, mut text: InOut<'_>, sum: &mut Poly1305, ciphertext: &Ciphertext<'_>) {
    let keystream = halves(eight_blocks(state, sum, ciphertext.of(text.input())));
    let Some(mut text) = text.take::<PASS>() else {
        return;
    };
    for (half, blocks) in keystream.into_iter().enumerate() {
        for (n, key) in blocks.into_iter().enumerate() {
            let at = n * BLOCK + half * 32;
            let bytes = _mm256_xor_si256(load(text.read(at)), key);
            store(text.write(at), bytes);
        }
    }
}

#[target_feature(enable = "avx2")]
fn make_keystream(
    state: &State,
    len: usize,
    keystream: &mut [u8; KEYSTREAM],
    sum: &mut Poly1305,
    behind: &[u8],
) {
    match len.div_ceil(BLOCK) {
        0..=2 => pairs::<1>(state, keystream, sum, behind),
        3..=4 => pairs::<2>(state, keystream, sum, behind),
        5..=6 => pairs::<3>(state, keystream, sum, behind),
        _ => {
            let [low, high] = halves(eight_blocks(state, sum, behind));
            let (chunks, _) = keystream.as_chunks_mut::<32>();
            let (chunks, _) = chunks.as_chunks_mut::<2>();
            for ((block, low), high) in chunks.iter_mut().zip(low).zip(high) {
                store(&mut block[0], low);
                store(&mut block[1], high);
            }
        }
    }
}

/// Keystream of `N` pairs of blocks: a register for each row of a pair's two states, which
/// takes fewer instructions than eight blocks, and no less time than six.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs<const N: usize>(state: &State, keystream: &mut [u8], sum: &mut Poly1305, behind: &[u8]) {
    let (rows, _) = state.0.as_chunks::<4>();
    let mut start = [[_mm256_setzero_si256(); N]; 4];
    for (registers, row) in start.iter_mut().zip(rows) {
        let [a, b, c, d] = row.map(u32::cast_signed);
        *registers = [_mm256_setr_epi32(a, b, c, d, a, b, c, d); N];
    }
    for (n, register) in start[3].iter_mut().enumerate() {
        let n = 2 * n as i32;
        let counters = _mm256_setr_epi32(n, 0, 0, 0, n + 1, 0, 0, 0);
        *register = _mm256_add_epi32(*register, counters);
    }

    let mut v = start;
    let mut h = sum.clone();
    let (blocks, _) = behind.as_chunks::<16>();
    let mut blocks = blocks.iter();
    for _ in 0..10 {
        rows_round(&mut v);
        for n in 0..N {
            // Diagonals become columns. The second row is the last to be ready, so it stays.
            v[0][n] = _mm256_shuffle_epi32::<0x93>(v[0][n]);
            v[2][n] = _mm256_shuffle_epi32::<0x39>(v[2][n]);
            v[3][n] = _mm256_shuffle_epi32::<0x4e>(v[3][n]);
        }
        for block in blocks.by_ref().take(2) {
            h.block(block);
        }
        rows_round(&mut v);
        for n in 0..N {
            v[0][n] = _mm256_shuffle_epi32::<0x39>(v[0][n]);
            v[2][n] = _mm256_shuffle_epi32::<0x93>(v[2][n]);
            v[3][n] = _mm256_shuffle_epi32::<0x4e>(v[3][n]);
        }
        for block in blocks.by_ref().take(1) {
            h.block(block);
        }
    }
    for block in blocks {
        h.block(block);
    }
    *sum = h;

    let (chunks, _) = keystream.as_chunks_mut::<32>();
    let (chunks, _) = chunks.as_chunks_mut::<4>();
    for (n, pair) in chunks.iter_mut().take(N).enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| _mm256_add_epi32(v[row][n], start[row][n]));
        store(&mut pair[0], _mm256_permute2x128_si256::<0x20>(a, b));
        store(&mut pair[1], _mm256_permute2x128_si256::<0x20>(c, d));
        store(&mut pair[2], _mm256_permute2x128_si256::<0x31>(a, b));
        store(&mut pair[3], _mm256_permute2x128_si256::<0x31>(c, d));
    }
}

/// A round on the columns of `N` pairs of states.
#[inline]
#[target_feature(enable = "avx2")]
fn rows_round<const N: usize>(v: &mut [[__m256i; N]; 4]) {
    let [a, b, c, d] = v;
    for n in 0..N {
        a[n] = _mm256_add_epi32(a[n], b[n]);
        d[n] = rotate::<16, 16>(_mm256_xor_si256(d[n], a[n]));
    }
    for n in 0..N {
        c[n] = _mm256_add_epi32(c[n], d[n]);
        b[n] = rotate::<12, 20>(_mm256_xor_si256(b[n], c[n]));
    }
    for n in 0..N {
        a[n] = _mm256_add_epi32(a[n], b[n]);
        d[n] = rotate::<8, 24>(_mm256_xor_si256(d[n], a[n]));
    }
    for n in 0..N {
        c[n] = _mm256_add_epi32(c[n], d[n]);
        b[n] = rotate::<7, 25>(_mm256_xor_si256(b[n], c[n]));
    }
}

#[target_feature(enable = "avx2")]
fn seal_or_open_few(state: &State, aad: &[u8], text: &mut [u8], direction: Direction) -> [u8; 16] {
    let mut keystream = Keystream([0; BLOCK + FEW]);
    let mut nothing = Poly1305::new(&[0; 32]);
    match text.len().div_ceil(BLOCK) {
        0..=1 => pairs::<1>(state, &mut keystream.0, &mut nothing, &[]),
        2..=3 => pairs::<2>(state, &mut keystream.0, &mut nothing, &[]),
        _ => pairs::<3>(state, &mut keystream.0, &mut nothing, &[]),
    }
    few(&keystream, aad, text, direction)
}

#[target_feature(enable = "avx2")]
fn add(sum: &mut Poly1305, bytes: &[u8]) {
    sum.padded(bytes);
}
