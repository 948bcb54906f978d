//! A register of 512 bits made of two of 256, for tests: what is written for AVX-512 also
//! runs on a CPU without it, all but the instructions themselves.

use core::arch::x86_64::{__m128i, _mm_xor_si128};

use super::wide256 as half;

#[derive(Clone, Copy)]
pub(super) struct V(half::V, half::V);

/// Blocks in a register.
pub(super) const LANES: usize = 4;
/// Bytes in a register.
pub(super) const BYTES: usize = 64;

/// The halves of an array.
fn halves(bytes: &[u8; 64]) -> [&[u8; 32]; 2] {
    let (low, high) = bytes.split_at(32);
    [low.try_into().unwrap(), high.try_into().unwrap()]
}

/// How many of `len` bytes are in each half.
fn lens(len: usize) -> [usize; 2] {
    [len.min(32), len.saturating_sub(32)]
}

macro_rules! ops {
    ($($(#[$doc:meta])* fn $name:ident $(<const $c:ident: $ct:ty>)? ($($arg:ident: $ty:ty),*) -> $out:ty $body:block)*) => {
        $($(#[$doc])*
        #[inline]
        #[target_feature(enable = "aes,pclmulqdq,avx2,vaes,vpclmulqdq")]
        pub(super) fn $name $(<const $c: $ct>)? ($($arg: $ty),*) -> $out $body)*
    };
}

ops! {
    fn load(from: &[u8; 64]) -> V {
        let [low, high] = halves(from);
        V(half::load(low), half::load(high))
    }
    fn store(to: &mut [u8; 64], v: V) -> () {
        let (low, high) = to.split_at_mut(32);
        half::store(low.try_into().unwrap(), v.0);
        half::store(high.try_into().unwrap(), v.1);
    }
    fn load_partial(from: &[u8]) -> V {
        let [low, high] = lens(from.len());
        V(half::load_partial(&from[..low]), half::load_partial(&from[low..low + high]))
    }
    fn store_partial(to: &mut [u8], v: V) -> () {
        let [low, high] = lens(to.len());
        half::store_partial(&mut to[..low], v.0);
        half::store_partial(&mut to[low..low + high], v.1);
    }
    fn keep(v: V, len: usize) -> V {
        let [low, high] = lens(len);
        V(half::keep(v.0, low), half::keep(v.1, high))
    }
    fn broadcast(from: &[u8; 16]) -> V { V(half::broadcast(from), half::broadcast(from)) }
    fn splat(block: __m128i) -> V { V(half::splat(block), half::splat(block)) }
    fn low(v: V) -> __m128i { half::low(v.0) }
    fn from_block(block: __m128i) -> V { V(half::from_block(block), half::zero()) }
    fn fold(v: V) -> __m128i { _mm_xor_si128(half::fold(v.0), half::fold(v.1)) }
    fn xor(a: V, b: V) -> V { V(half::xor(a.0, b.0), half::xor(a.1, b.1)) }
    fn xor3(a: V, b: V, c: V) -> V { xor(a, xor(b, c)) }
    fn zero() -> V { V(half::zero(), half::zero()) }
    fn aesenc(v: V, key: V) -> V { V(half::aesenc(v.0, key.0), half::aesenc(v.1, key.1)) }
    fn aesenclast(v: V, key: V) -> V {
        V(half::aesenclast(v.0, key.0), half::aesenclast(v.1, key.1))
    }
    fn reverse(v: V) -> V { V(half::reverse(v.0), half::reverse(v.1)) }
    fn swap_halves(v: V) -> V { V(half::swap_halves(v.0), half::swap_halves(v.1)) }
    fn clmul<const HALVES: i32>(a: V, b: V) -> V {
        V(half::clmul::<HALVES>(a.0, b.0), half::clmul::<HALVES>(a.1, b.1))
    }
    fn count_up(v: V) -> V {
        V(half::count_up(v.0), half::count_up(half::add_counter(v.1, 2)))
    }
    fn add_counter(v: V, n: i32) -> V { V(half::add_counter(v.0, n), half::add_counter(v.1, n)) }
    fn low_half(n: i64) -> V { V(half::low_half(n), half::low_half(n)) }
    fn low_halves(a: V, b: V) -> V {
        V(half::low_halves(a.0, b.0), half::low_halves(a.1, b.1))
    }
}
