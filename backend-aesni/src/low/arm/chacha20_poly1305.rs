//! ChaCha20-Poly1305 on NEON: four blocks side by side, with Poly1305 in the integer units.

use core::arch::aarch64::*;
use core::arch::aarch64::{vaddq_u32 as add, veorq_u32 as xor};

use crate::low::chacha20_poly1305::{
    BLOCK, Blocks, Ciphertext, Engine, FEW, KEYSTREAM, Keystream, Lanes, Poly1305, State, few,
    quarter_rounds,
};
use crate::low::cpu::Neon;
use crate::low::depth::Depths;
use crate::low::inout::InOut;

/// Bytes of four blocks.
const PASS: usize = 4 * BLOCK;

impl Engine for Neon {
    const DETAIL: &'static str = "NEON";
    const PASS: usize = PASS;
    const BESIDE: usize = 20 * 16;
    type Sum = Poly1305;

    fn few<const SEAL: bool>(self, state: &State, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        // SAFETY: the token proves the features.
        unsafe { seal_or_open_few::<SEAL>(state, aad, text) }
    }

    fn keystream(
        self,
        state: &State,
        _: usize,
        keystream: &mut [u8; KEYSTREAM],
        sum: &mut Poly1305,
        behind: &[u8],
    ) {
        // SAFETY: the token proves the features.
        unsafe { make_keystream(state, keystream, sum, behind) }
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
        crate::low::chacha20_poly1305::xor(text, keystream);
    }

    fn add(self, sum: &mut Poly1305, bytes: &[u8]) {
        sum.padded(bytes);
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
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: 16 bytes are readable there.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(bytes: &mut [u8; 16], v: uint8x16_t) {
    // SAFETY: 16 bytes are writable there.
    unsafe { vst1q_u8(bytes.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "neon")]
fn words(words: &[u32; 4]) -> uint32x4_t {
    // SAFETY: four words are readable there.
    unsafe { vld1q_u32(words.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn rotate_16(v: uint32x4_t) -> uint32x4_t {
    vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(v)))
}

#[inline]
#[target_feature(enable = "neon")]
fn rotate_12(v: uint32x4_t) -> uint32x4_t {
    vsriq_n_u32::<20>(vshlq_n_u32::<12>(v), v)
}

#[inline]
#[target_feature(enable = "neon")]
fn rotate_8(v: uint32x4_t) -> uint32x4_t {
    let order = load(&[3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14]);
    vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(v), order))
}

#[inline]
#[target_feature(enable = "neon")]
fn rotate_7(v: uint32x4_t) -> uint32x4_t {
    vsriq_n_u32::<25>(vshlq_n_u32::<7>(v), v)
}

/// Four blocks, each as its four rows: those of `lanes`, or those that follow the state. In a
/// register for each word of the state until they are done, with a lane for each block.
///
/// Every double round adds two of `blocks`.
#[inline]
#[target_feature(enable = "neon")]
fn four_blocks(
    State(state): &State,
    lanes: Option<&Lanes>,
    blocks: &mut Blocks<'_>,
) -> [[uint8x16_t; 4]; 4] {
    let mut start = [vdupq_n_u32(0); 16];
    for (register, word) in start.iter_mut().zip(state) {
        *register = vdupq_n_u32(*word);
    }
    if let Some(Lanes(lanes)) = lanes {
        for (register, [a, b, c, d, ..]) in start[12..].iter_mut().zip(lanes) {
            *register = words(&[*a, *b, *c, *d]);
        }
    } else {
        start[12] = add(start[12], words(&[0, 1, 2, 3]));
    }

    let mut v = start;
    for _ in 0..10 {
        quarter_rounds!(
            [v[0], v[4], v[8], v[12]],
            [v[1], v[5], v[9], v[13]],
            [v[2], v[6], v[10], v[14]],
            [v[3], v[7], v[11], v[15]]
        );
        blocks.one();
        quarter_rounds!(
            [v[0], v[5], v[10], v[15]],
            [v[1], v[6], v[11], v[12]],
            [v[2], v[7], v[8], v[13]],
            [v[3], v[4], v[9], v[14]]
        );
        blocks.one();
    }
    for (register, start) in v.iter_mut().zip(start) {
        *register = add(*register, start);
    }

    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = v;
    let rows = [
        transpose([a, b, c, d]),
        transpose([e, f, g, h]),
        transpose([i, j, k, l]),
        transpose([m, n, o, p]),
    ];
    [0, 1, 2, 3].map(|n| [rows[0][n], rows[1][n], rows[2][n], rows[3][n]])
}

/// From a register for each of four words to a register for each of four blocks.
#[inline]
#[target_feature(enable = "neon")]
fn transpose([a, b, c, d]: [uint32x4_t; 4]) -> [uint8x16_t; 4] {
    // Words of blocks 0 and 2, and of 1 and 3.
    let ab = vreinterpretq_u64_u32(vtrn1q_u32(a, b));
    let ab2 = vreinterpretq_u64_u32(vtrn2q_u32(a, b));
    let cd = vreinterpretq_u64_u32(vtrn1q_u32(c, d));
    let cd2 = vreinterpretq_u64_u32(vtrn2q_u32(c, d));
    [
        vreinterpretq_u8_u64(vtrn1q_u64(ab, cd)),
        vreinterpretq_u8_u64(vtrn1q_u64(ab2, cd2)),
        vreinterpretq_u8_u64(vtrn2q_u64(ab, cd)),
        vreinterpretq_u8_u64(vtrn2q_u64(ab2, cd2)),
    ]
}

#[target_feature(enable = "neon")]
fn passes<'a>(
    state: &mut State,
    mut text: InOut<'a>,
    sum: &mut Poly1305,
    mut ciphertext: Ciphertext<'a>,
) {
    while let Some(mut chunk) = text.take::<PASS>() {
        let mut blocks = Blocks::new(sum, ciphertext.of(&chunk));
        let keystream = four_blocks(state, None, &mut blocks);
        blocks.finish(sum);
        for (n, rows) in keystream.into_iter().enumerate() {
            for (row, key) in rows.into_iter().enumerate() {
                let at = n * BLOCK + row * 16;
                let bytes = veorq_u8(load(chunk.read(at)), key);
                store(chunk.write(at), bytes);
            }
        }
        ciphertext = ciphertext.behind(chunk);
        state.skip(PASS);
    }
}

/// Writes four blocks of keystream, or as many as there is room for.
#[inline]
#[target_feature(enable = "neon")]
fn write(keystream: &mut [u8], four: [[uint8x16_t; 4]; 4]) {
    let (chunks, _) = keystream.as_chunks_mut::<16>();
    for (chunk, row) in chunks.iter_mut().zip(four.as_flattened()) {
        store(chunk, *row);
    }
}

#[target_feature(enable = "neon")]
fn make_keystream(
    state: &State,
    keystream: &mut [u8; KEYSTREAM],
    sum: &mut Poly1305,
    behind: &[u8],
) {
    let mut blocks = Blocks::new(sum, behind);
    write(keystream, four_blocks(state, None, &mut blocks));
    blocks.finish(sum);
}

#[target_feature(enable = "neon")]
fn blocks_of_lanes(
    state: &State,
    lanes: &Lanes,
    keystream: &mut [u8],
    sum: &mut Poly1305,
    behind: &[u8],
) {
    let mut blocks = Blocks::new(sum, behind);
    write(keystream, four_blocks(state, Some(lanes), &mut blocks));
    blocks.finish(sum);
}

#[target_feature(enable = "neon")]
fn seal_or_open_few<const SEAL: bool>(state: &State, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
    let mut keystream = Keystream([0; BLOCK + FEW]);
    let (head, tail) = keystream.0.split_at_mut(PASS);
    write(head, four_blocks(state, None, &mut Blocks::none()));
    if text.len() > PASS - BLOCK {
        let mut state = state.clone();
        state.skip(PASS);
        write(tail, four_blocks(&state, None, &mut Blocks::none()));
    }
    few::<SEAL>(&keystream.0, aad, text)
}
