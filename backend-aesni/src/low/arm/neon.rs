//! One block in a register of 128 bits.

use core::arch::aarch64::*;

use crate::low::partial;

pub(super) type V = uint8x16_t;

/// Blocks in a register.
pub(super) const LANES: usize = 1;

macro_rules! ops {
    ($($(#[$doc:meta])* fn $name:ident ($($arg:ident: $ty:ty),*) -> $out:ty $body:block)*) => {
        $($(#[$doc])*
        #[inline]
        #[target_feature(enable = "neon,aes")]
        pub(super) fn $name($($arg: $ty),*) -> $out $body)*
    };
}

ops! {
    fn load(from: &[u8; 16]) -> V {
        // SAFETY: 16 bytes are readable, and this load needs no alignment.
        unsafe { vld1q_u8(from.as_ptr()) }
    }

    fn store(to: &mut [u8; 16], v: V) -> () {
        // SAFETY: 16 bytes are writable, and this store needs no alignment.
        unsafe { vst1q_u8(to.as_mut_ptr(), v) }
    }

    /// As a little-endian number.
    fn from_u128(value: u128) -> V { vreinterpretq_u8_p128(value) }
    fn to_u128(v: V) -> u128 { vreinterpretq_p128_u8(v) }

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
    fn keep(v: V, len: usize) -> V { vandq_u8(v, from_u128(partial::mask(len))) }

    /// A block from each of several places.
    fn gather(from: [&[u8; 16]; LANES]) -> V { load(from[0]) }
    /// The blocks.
    fn split(v: V) -> [V; LANES] { [v] }
    fn broadcast(from: &[u8; 16]) -> V { load(from) }
    fn xor(a: V, b: V) -> V { veorq_u8(a, b) }
    fn zero() -> V { vdupq_n_u8(0) }

    /// A round as ARM counts them: the key is in front.
    fn round(v: V, key: V) -> V { vaesmcq_u8(vaeseq_u8(v, key)) }
    /// The last round, with a key in front and one behind.
    fn last_round(v: V, key: V, last: V) -> V { xor(vaeseq_u8(v, key), last) }

    /// A round as x86-64 counts them: the key is behind. Where rounds are written out one
    /// after the other, the compiler puts it in front of the next.
    fn aesenc(v: V, key: V) -> V { xor(vaesmcq_u8(vaeseq_u8(v, zero())), key) }
    /// The last round in the same way.
    fn aesenclast(v: V, key: V) -> V { xor(vaeseq_u8(v, zero()), key) }

    /// The bytes in reverse order.
    fn reverse(v: V) -> V {
        let halves = vrev64q_u8(v);
        vextq_u8::<8>(halves, halves)
    }

    /// Adds to the 32-bit counter of a reversed block.
    fn add_counter(v: V, n: i32) -> V {
        let n = vsetq_lane_u32::<0>(n as u32, vdupq_n_u32(0));
        vreinterpretq_u8_u32(vaddq_u32(vreinterpretq_u32_u8(v), n))
    }

    /// On x86-64 this keeps chains of rounds side by side. Here it would come between a round
    /// and the exclusive or that belongs into the next one.
    fn hold(v: V) -> V { v }
}
