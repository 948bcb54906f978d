//! On 256-bit registers: eight blocks side by side, with Poly1305 in the integer units.

use core::arch::asm;
use core::arch::x86_64::*;
use core::arch::x86_64::{_mm256_add_epi32 as add, _mm256_xor_si256 as xor};

use crate::low::chacha20_poly1305::{
    BLOCK, Blocks, Ciphertext, Engine, FEW, KEYSTREAM, Keystream, Lanes, Poly1305, State, few,
    quarter_rounds,
};
use crate::low::cpu::Avx2;
use crate::low::depth::Depths;
use crate::low::inout::InOut;

/// Bytes of eight blocks.
const PASS: usize = 8 * BLOCK;

impl Engine for Avx2 {
    const DETAIL: &'static str = "AVX2";
    const PASS: usize = PASS;
    const AHEAD: usize = PASS / 2;
    const BESIDE: usize = 30 * 16;
    type Sum = Poly1305;

    fn few<const SEAL: bool>(self, state: &State, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        // SAFETY: the token proves the features.
        unsafe { seal_or_open_few::<SEAL>(state, aad, text) }
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

    fn passes(
        self,
        state: &mut State,
        text: InOut<'_>,
        sum: &mut Poly1305,
        ciphertext: Ciphertext<'_>,
    ) {
        // SAFETY: the token proves the features.
        unsafe { passes(state, text, sum, ciphertext) }
    }

    fn blocks(
        self,
        state: &State,
        lanes: &Lanes,
        keystream: &mut [u8],
        sum: &mut Poly1305,
        behind: &[u8],
    ) {
        // SAFETY: the token proves the features.
        unsafe { blocks_of_lanes(state, lanes, keystream, sum, behind) }
    }

    fn xor(self, text: &mut [u8], keystream: &[u8]) {
        // SAFETY: the token proves the features.
        unsafe { encrypt(text, keystream) }
    }

    fn add(self, sum: &mut Poly1305, bytes: &[u8]) {
        // SAFETY: the token proves the features.
        unsafe { authenticate(sum, bytes) }
    }

    fn finish(self, sum: Poly1305) -> Poly1305 {
        sum
    }

    fn depths() -> &'static Depths {
        static DEPTHS: Depths = Depths::unknown();
        &DEPTHS
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

/// The orders of bytes that rotate words left by 16 and by 8 bits.
#[repr(C, align(32))]
struct Orders([[u8; 16]; 4]);

static ORDERS: Orders = {
    let by_16 = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13];
    let by_8 = [3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14];
    Orders([by_16, by_16, by_8, by_8])
};

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_16(mut v: __m256i) -> __m256i {
    // Were the order known, the compiler would make two shuffles of this one.
    // SAFETY: reads 32 bytes of a static that are aligned to as many.
    unsafe {
        asm!(
            "vpshufb {v}, {v}, ymmword ptr [{orders}]",
            v = inout(ymm_reg) v,
            orders = in(reg) &raw const ORDERS,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    v
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_12(v: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<12>(v), _mm256_srli_epi32::<20>(v))
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_8(mut v: __m256i) -> __m256i {
    // Here it would rotate both operands of the exclusive or, and not their sum.
    // SAFETY: reads 32 bytes of a static that are aligned to as many.
    unsafe {
        asm!(
            "vpshufb {v}, {v}, ymmword ptr [{orders} + 32]",
            v = inout(ymm_reg) v,
            orders = in(reg) &raw const ORDERS,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    v
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_7(v: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<7>(v), _mm256_srli_epi32::<25>(v))
}

/// A register for each word of the state, a lane for each of eight blocks: of `lanes`, or those
/// that follow the state.
///
/// Every double round adds three of `blocks`.
#[inline]
#[target_feature(enable = "avx2")]
fn eight_blocks(
    State(words): &State,
    lanes: Option<&Lanes>,
    blocks: &mut Blocks<'_>,
) -> [__m256i; 16] {
    let mut start = [_mm256_setzero_si256(); 16];
    for (register, word) in start.iter_mut().zip(words) {
        *register = _mm256_set1_epi32(word.cast_signed());
    }
    if let Some(Lanes(lanes)) = lanes {
        for (register, lanes) in start[12..].iter_mut().zip(lanes) {
            // SAFETY: more words than that are readable there.
            *register = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
        }
    } else {
        start[12] = add(start[12], _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }

    let mut v = start;
    for _ in 0..10 {
        quarter_rounds!([v[0], v[4], v[8], v[12]], [v[1], v[5], v[9], v[13]]);
        quarter_rounds!([v[2], v[6], v[10], v[14]], [v[3], v[7], v[11], v[15]]);
        blocks.one();
        blocks.one();
        quarter_rounds!([v[0], v[5], v[10], v[15]], [v[1], v[6], v[11], v[12]]);
        quarter_rounds!([v[2], v[7], v[8], v[13]], [v[3], v[4], v[9], v[14]]);
        blocks.one();
    }
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
fn passes<'a>(
    state: &mut State,
    mut text: InOut<'a>,
    sum: &mut Poly1305,
    mut ciphertext: Ciphertext<'a>,
) {
    while let Some(mut chunk) = text.take::<PASS>() {
        let mut blocks = Blocks::new(sum, ciphertext.of(&chunk));
        let keystream = halves(eight_blocks(state, None, &mut blocks));
        blocks.finish(sum);
        for (half, blocks) in keystream.into_iter().enumerate() {
            for (n, key) in blocks.into_iter().enumerate() {
                let at = n * BLOCK + half * 32;
                let bytes = _mm256_xor_si256(load(chunk.read(at)), key);
                store(chunk.write(at), bytes);
            }
        }
        ciphertext = ciphertext.behind(chunk);
        state.skip(PASS);
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
    let count = len.div_ceil(BLOCK);
    if count > 6 {
        return blocks_of_lanes(state, &Lanes::following(state), keystream, sum, behind);
    }
    let mut blocks = Blocks::new(sum, behind);
    match count {
        0..=2 => pairs::<1>(state, keystream, &mut blocks),
        3..=4 => pairs::<2>(state, keystream, &mut blocks),
        _ => pairs::<3>(state, keystream, &mut blocks),
    }
    blocks.finish(sum);
}

// Called wherever no text is at hand, so that it is compiled once, in place.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn blocks_of_lanes(
    state: &State,
    lanes: &Lanes,
    keystream: &mut [u8],
    sum: &mut Poly1305,
    behind: &[u8],
) {
    let mut blocks = Blocks::new(sum, behind);
    let [low, high] = halves(eight_blocks(state, Some(lanes), &mut blocks));
    blocks.finish(sum);
    let (chunks, _) = keystream.as_chunks_mut::<32>();
    let (chunks, _) = chunks.as_chunks_mut::<2>();
    for ((block, low), high) in chunks.iter_mut().zip(low).zip(high) {
        store(&mut block[0], low);
        store(&mut block[1], high);
    }
}

#[target_feature(enable = "avx2")]
fn encrypt(text: &mut [u8], keystream: &[u8]) {
    let (blocks, rest) = text.as_chunks_mut::<32>();
    let (keys, behind) = keystream.split_at(blocks.len() * 32);
    for (block, key) in blocks.iter_mut().zip(keys.as_chunks().0) {
        store(block, xor(load(block), load(key)));
    }
    crate::low::chacha20_poly1305::xor(rest, behind);
}

/// Keystream of `N` pairs of blocks: a register for each row of a pair's two states, which
/// takes fewer instructions than eight blocks, and no less time than six.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs<const N: usize>(state: &State, keystream: &mut [u8], blocks: &mut Blocks<'_>) {
    let row = |n: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|word| state.0[4 * n + word].cast_signed());
        _mm256_setr_epi32(a, b, c, d, a, b, c, d)
    };
    let mut start = [[row(0), row(1), row(2), row(3)]; N];
    for (n, [.., row]) in (0..).step_by(2).zip(&mut start) {
        *row = add(*row, _mm256_setr_epi32(n, 0, 0, 0, n + 1, 0, 0, 0));
    }

    let mut v = start;
    for _ in 0..10 {
        for [a, b, c, d] in &mut v {
            quarter_rounds!([*a, *b, *c, *d]);
            // Diagonals become columns. The second row is the last to be ready, so it stays.
            *a = _mm256_shuffle_epi32::<0x93>(*a);
            *c = _mm256_shuffle_epi32::<0x39>(*c);
            *d = _mm256_shuffle_epi32::<0x4e>(*d);
        }
        blocks.one();
        blocks.one();
        for [a, b, c, d] in &mut v {
            quarter_rounds!([*a, *b, *c, *d]);
            *a = _mm256_shuffle_epi32::<0x39>(*a);
            *c = _mm256_shuffle_epi32::<0x93>(*c);
            *d = _mm256_shuffle_epi32::<0x4e>(*d);
        }
        blocks.one();
    }

    let (chunks, _) = keystream.as_chunks_mut::<32>();
    let (chunks, _) = chunks.as_chunks_mut::<4>();
    for ((pair, v), start) in chunks.iter_mut().zip(v).zip(start) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| add(v[row], start[row]));
        store(&mut pair[0], _mm256_permute2x128_si256::<0x20>(a, b));
        store(&mut pair[1], _mm256_permute2x128_si256::<0x20>(c, d));
        store(&mut pair[2], _mm256_permute2x128_si256::<0x31>(a, b));
        store(&mut pair[3], _mm256_permute2x128_si256::<0x31>(c, d));
    }
}

#[target_feature(enable = "avx2")]
fn seal_or_open_few<const SEAL: bool>(state: &State, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
    let mut keystream = Keystream([0; BLOCK + FEW]);
    match text.len().div_ceil(BLOCK) {
        0..=1 => pairs::<1>(state, &mut keystream.0, &mut Blocks::none()),
        2..=3 => pairs::<2>(state, &mut keystream.0, &mut Blocks::none()),
        _ => pairs::<3>(state, &mut keystream.0, &mut Blocks::none()),
    }
    few::<SEAL>(&keystream.0, aad, text)
}

#[target_feature(enable = "avx2")]
fn authenticate(sum: &mut Poly1305, bytes: &[u8]) {
    sum.padded(bytes);
}
