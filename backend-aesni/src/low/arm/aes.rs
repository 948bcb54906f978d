//! The AES key schedule (FIPS 197, section 5.2), in constant time.

use core::arch::aarch64::{vaeseq_u8, vdupq_n_u8, vdupq_n_u32, vgetq_lane_u32};
use core::arch::aarch64::{vreinterpretq_u8_u32, vreinterpretq_u32_u8};

/// A block of 16 bytes.
pub(super) type Block = [u8; 16];

/// Substitutes the bytes of a word: a round without a key whose columns are all the same, so
/// that the rotation of its rows changes nothing.
#[inline]
#[target_feature(enable = "neon,aes")]
fn substituted(word: u32) -> u32 {
    let columns = vreinterpretq_u8_u32(vdupq_n_u32(word));
    vgetq_lane_u32::<0>(vreinterpretq_u32_u8(vaeseq_u8(columns, vdupq_n_u8(0))))
}

/// The round keys of a key: 11 for one of 16 bytes, 15 for one of 32.
#[target_feature(enable = "neon,aes")]
pub(super) fn expand(key: &[u8], out: &mut [Block]) {
    let key_words = key.len() / 4;
    let words = out.as_flattened_mut();
    if key_words == 0 || words.len() < key.len() {
        return;
    }
    words[..key.len()].copy_from_slice(key);
    let mut constant = 1;
    for at in key_words..words.len() / 4 {
        let word = |at: usize| match words.get(4 * at..).and_then(|bytes| bytes.first_chunk()) {
            Some(bytes) => u32::from_le_bytes(*bytes),
            None => 0,
        };
        let mut last = word(at - 1);
        if at % key_words == 0 {
            last = substituted(last.rotate_right(8)) ^ constant;
            // Doubled in the field; the constants are public.
            constant = if constant < 0x80 { constant << 1 } else { 0x1b };
        } else if key_words > 6 && at % key_words == 4 {
            last = substituted(last);
        }
        let next = word(at - key_words) ^ last;
        words[4 * at..4 * at + 4].copy_from_slice(&next.to_le_bytes());
    }
}
