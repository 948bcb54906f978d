//! Wide registers made of narrow ones, for tests: what is written for VAES and AVX-512 also
//! runs on a CPU, or an emulator, without them; all but the instructions themselves.

macro_rules! ops {
    ($(fn $name:ident $(<const $c:ident: $ct:ty>)? ($($arg:ident: $ty:ty),*) -> $out:ty $body:block)*) => {
        // The wider model uses some of these, the kernels others.
        $(#[allow(dead_code)]
        #[inline]
        #[target_feature(enable = "aes,pclmulqdq,avx")]
        pub(in super::super) fn $name $(<const $c: $ct>)? ($($arg: $ty),*) -> $out $body)*
    };
}

/// A module with the vocabulary of a register of two halves.
macro_rules! pair {
    ($(#[$doc:meta])* $name:ident of $($half:ident)::+) => {
        $(#[$doc])*
        pub(super) mod $name {
            use core::arch::x86_64::{__m128i, _mm_setzero_si128, _mm_xor_si128};

            use super::super::wide128;
            use $($half)::+ as half;

            #[derive(Clone, Copy)]
            pub(in super::super) struct V(half::V, half::V);

            /// Blocks in a register.
            pub(in super::super) const LANES: usize = 2 * half::LANES;
            /// Bytes in a register.
            pub(in super::super) const BYTES: usize = 2 * half::BYTES;

            /// How many of `len` bytes are in each half.
            fn lens(len: usize) -> [usize; 2] {
                [len.min(half::BYTES), len.saturating_sub(half::BYTES)]
            }

            ops! {
                fn load(from: &[u8; BYTES]) -> V {
                    let (low, high) = from.split_at(half::BYTES);
                    V(half::load(low.try_into().unwrap()), half::load(high.try_into().unwrap()))
                }
                fn store(to: &mut [u8; BYTES], v: V) -> () {
                    let (low, high) = to.split_at_mut(half::BYTES);
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
                fn up(v: V, lanes: usize) -> V {
                    match lanes.checked_sub(half::LANES) {
                        None => {
                            let carried = half::down(v.0, half::LANES - lanes);
                            V(half::up(v.0, lanes), half::xor(half::up(v.1, lanes), carried))
                        }
                        Some(lanes) => V(half::zero(), half::up(v.0, lanes)),
                    }
                }
                fn down(v: V, lanes: usize) -> V {
                    match lanes.checked_sub(half::LANES) {
                        None => {
                            let carried = half::up(v.1, half::LANES - lanes);
                            V(half::xor(half::down(v.0, lanes), carried), half::down(v.1, lanes))
                        }
                        Some(lanes) => V(half::down(v.1, lanes), half::zero()),
                    }
                }
                fn store_from(lane: usize, to: &mut [u8], v: V) -> () {
                    match lane.checked_sub(half::LANES) {
                        Some(lane) => half::store_from(lane, to, v.1),
                        None => {
                            let here = to.len().min(half::BYTES - 16 * lane);
                            let (low, high) = to.split_at_mut(here);
                            half::store_from(lane, low, v.0);
                            half::store_from(0, high, v.1);
                        }
                    }
                }
                fn keep_from(lane: usize, v: V, len: usize) -> V {
                    match lane.checked_sub(half::LANES) {
                        Some(lane) => V(half::zero(), half::keep_from(lane, v.1, len)),
                        None => {
                            let here = len.min(half::BYTES - 16 * lane);
                            V(half::keep_from(lane, v.0, here), half::keep_from(0, v.1, len - here))
                        }
                    }
                }
                fn in_lane(block: __m128i, lane: usize) -> V {
                    match lane.checked_sub(half::LANES) {
                        None => V(half::in_lane(block, lane), half::zero()),
                        Some(lane) => V(half::zero(), half::in_lane(block, lane)),
                    }
                }
                fn with_last_lane(v: V, block: __m128i) -> V { V(v.0, half::with_last_lane(v.1, block)) }
                fn last_lane(v: V) -> __m128i { half::last_lane(v.1) }
                fn last_number(v: V) -> V { V(v.0, half::last_number(v.1)) }
                fn hold(v: V) -> V { V(half::hold(v.0), half::hold(v.1)) }
                fn gather(from: [&[u8; 16]; LANES]) -> V {
                    let (low, high) = from.split_at(half::LANES);
                    V(half::gather(low.try_into().unwrap()), half::gather(high.try_into().unwrap()))
                }
                fn split(v: V) -> [__m128i; LANES] {
                    let mut blocks = [_mm_setzero_si128(); LANES];
                    blocks[..half::LANES].copy_from_slice(&half::split(v.0));
                    blocks[half::LANES..].copy_from_slice(&half::split(v.1));
                    blocks
                }
                fn broadcast(from: &[u8; 16]) -> V { splat(wide128::load(from)) }
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
                    let high = half::add_counter(v.1, half::LANES as i32);
                    V(half::count_up(v.0), half::count_up(high))
                }
                fn count_up_last(v: V) -> V {
                    let high = half::add_last(v.1, half::LANES as i32);
                    V(half::count_up_last(v.0), half::count_up_last(high))
                }
                fn add_counter(v: V, n: i32) -> V {
                    V(half::add_counter(v.0, n), half::add_counter(v.1, n))
                }
                fn add_last(v: V, n: i32) -> V { V(half::add_last(v.0, n), half::add_last(v.1, n)) }
                fn byte_at(byte: u8, at: usize) -> V {
                    match at.checked_sub(half::BYTES) {
                        None => V(half::byte_at(byte, at), half::zero()),
                        Some(at) => V(half::zero(), half::byte_at(byte, at)),
                    }
                }
                fn high_halves(a: V, b: V) -> V {
                    V(half::high_halves(a.0, b.0), half::high_halves(a.1, b.1))
                }
                fn low_half(n: i64) -> V { V(half::low_half(n), half::low_half(n)) }
                fn low_halves(a: V, b: V) -> V {
                    V(half::low_halves(a.0, b.0), half::low_halves(a.1, b.1))
                }
            }
        }
    };
}

pair! {
    /// In place of [`wide256`](super::wide256).
    model256 of crate::low::x86::wide128
}

pair! {
    /// In place of [`wide512`](super::wide512).
    model512 of crate::low::x86::model::model256
}
