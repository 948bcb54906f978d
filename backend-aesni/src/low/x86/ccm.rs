//! AES-128 for [CCM](crate::low::ccm): one record on AES-NI, several in registers of any width.
//!
//! In a register of several blocks each lane belongs to another record. The exclusive or that
//! stands between two encryptions of a CBC-MAC is done with the last round key, before that
//! is needed, so a chain takes what ten rounds take and not more.

use zeroize::Zeroize;

use super::{aes, wipe};
use crate::low::ccm::{Block, Chain, Cipher, SIDE};
use crate::low::cpu;

/// The round keys of an AES-128 key.
#[repr(C, align(64))]
struct Keys([Block; 11]);

impl Drop for Keys {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// `run`: as many blocks of each of `$side` records.
macro_rules! run {
    (features: $features:literal, wide: $wide:ident, side: $side:expr, registers: $registers:ident) => {
        use super::super::{wide128, wipe, $wide::*};
        use crate::low::ccm::{BLOCK, Block, Chain};
        use crate::low::inout::Chunk;

        /// How many records there are.
        const RECORDS: usize = $side;
        /// Registers that a block of each of them fills.
        const VECTORS: usize = RECORDS / LANES;
        /// How many of them are worked on at once: with what goes into the CBC-MACs' gaps
        /// they leave a register for a round key.
        const GROUP: usize = if VECTORS < 4 { VECTORS } else { 4 };
        /// Bytes of a record that are taken at once.
        const STRIP: usize = 4 * BLOCK;

        const NOTHING: &Block = &[0; BLOCK];

        struct Lanes {
            keys: [V; 11],
            /// The last round key and the first one of the next encryption.
            turn: V,
            /// Of the CBC-MACs, what goes into the first round.
            pending: [V; VECTORS],
            stream: [V; VECTORS],
            /// Byte-reversed.
            counter: [V; VECTORS],
        }

        impl Lanes {
            /// The next `BYTES` bytes of each record that has them: for each block a step of
            /// the CBC-MAC, and the keystream of the next block in its gaps.
            #[inline]
            #[target_feature(enable = $features)]
            fn strip<const SEAL: bool, const BYTES: usize>(
                &mut self,
                chains: &mut [Chain<'_>; RECORDS],
                nothing: &mut [[u8; BYTES]; RECORDS],
            ) {
                let mut chunks = nothing.each_mut().map(Chunk::in_place);
                for (chunk, chain) in chunks.iter_mut().zip(chains) {
                    if let Some(own) = chain.data.take() {
                        *chunk = own;
                    }
                }
                for at in (0..BYTES).step_by(BLOCK) {
                    let mut text = [zero(); VECTORS];
                    for (vector, text) in text.iter_mut().enumerate() {
                        let mut blocks = [NOTHING; LANES];
                        for (lane, block) in blocks.iter_mut().enumerate() {
                            *block = chunks[vector * LANES + lane].read(at);
                        }
                        let input = gather(blocks);
                        let output = xor(input, self.stream[vector]);
                        *text = if SEAL { input } else { output };
                        for (lane, block) in split(output).into_iter().enumerate() {
                            wide128::store(chunks[vector * LANES + lane].write(at), block);
                        }
                    }
                    // As many at once as there are registers for.
                    let keys = &self.keys;
                    let groups = (self
                        .pending
                        .chunks_mut(GROUP)
                        .zip(self.stream.chunks_mut(GROUP)))
                    .zip(self.counter.chunks_mut(GROUP).zip(text.chunks(GROUP)));
                    for ((pending, stream), (counter, text)) in groups {
                        for (stream, counter) in stream.iter_mut().zip(counter) {
                            *stream = xor(keys[0], reverse(*counter));
                            *counter = add_counter(*counter, 1);
                        }
                        for key in &keys[1..10] {
                            for (pending, stream) in pending.iter_mut().zip(&mut *stream) {
                                *pending = hold(aesenc(*pending, *key));
                                *stream = hold(aesenc(*stream, *key));
                            }
                        }
                        for ((pending, stream), text) in pending.iter_mut().zip(stream).zip(text) {
                            *pending = aesenclast(*pending, xor(self.turn, *text));
                            *stream = aesenclast(*stream, keys[10]);
                        }
                    }
                }
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn run<const SEAL: bool>(
            round_keys: &[Block; 11],
            chains: &mut [Chain<'_>; RECORDS],
            blocks: usize,
        ) {
            let mut keys = [zero(); 11];
            for (key, block) in keys.iter_mut().zip(round_keys) {
                *key = broadcast(block);
            }
            let mut lanes = Lanes {
                turn: xor(keys[0], keys[10]),
                keys,
                pending: [zero(); VECTORS],
                stream: [zero(); VECTORS],
                counter: [zero(); VECTORS],
            };
            for at in 0..VECTORS {
                let (mut pending, mut stream, mut counter) =
                    ([NOTHING; LANES], [NOTHING; LANES], [NOTHING; LANES]);
                for lane in 0..LANES {
                    let chain = &chains[at * LANES + lane];
                    pending[lane] = &chain.pending;
                    stream[lane] = &chain.stream;
                    counter[lane] = &chain.counter;
                }
                lanes.pending[at] = xor(gather(pending), keys[0]);
                lanes.stream[at] = gather(stream);
                lanes.counter[at] = reverse(gather(counter));
            }
            let mut active = [false; RECORDS];
            for (active, chain) in active.iter_mut().zip(&*chains) {
                *active = chain.data.len() > 0;
            }
            // What lanes without data read and write.
            let mut nothing = [[0; STRIP]; RECORDS];
            let mut left = blocks;
            while left >= STRIP / BLOCK {
                lanes.strip::<SEAL, STRIP>(chains, &mut nothing);
                left -= STRIP / BLOCK;
            }
            let mut nothing = [[0; BLOCK]; RECORDS];
            for _ in 0..left {
                lanes.strip::<SEAL, BLOCK>(chains, &mut nothing);
            }
            for at in 0..VECTORS {
                let pending = split(xor(lanes.pending[at], keys[0]));
                let stream = split(lanes.stream[at]);
                let counter = split(reverse(lanes.counter[at]));
                // Lanes without data went on for nothing.
                for lane in (0..LANES).filter(|lane| active[at * LANES + lane]) {
                    let chain = &mut chains[at * LANES + lane];
                    wide128::store(&mut chain.pending, pending[lane]);
                    wide128::store(&mut chain.stream, stream[lane]);
                    wide128::store(&mut chain.counter, counter[lane]);
                }
            }
            wipe::$registers();
        }
    };
}

mod one {
    //! One record.
    run! { features: "aes,pclmulqdq,ssse3,sse4.1,avx", wide: wide128, side: 1, registers: registers256 }
}

mod aesni {
    //! One record in a register.
    run! {
        features: "aes,pclmulqdq,ssse3,sse4.1,avx",
        wide: wide128, side: crate::low::ccm::SIDE, registers: registers256
    }
}

mod vaes {
    //! Two records in a register.
    run! {
        features: "aes,pclmulqdq,avx2,vaes,vpclmulqdq",
        wide: wide256, side: crate::low::ccm::SIDE, registers: registers256
    }
}

mod avx512 {
    //! Four records in a register.
    run! {
        features: "aes,pclmulqdq,avx2,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl",
        wide: wide512, side: crate::low::ccm::SIDE, registers: registers512
    }
}

/// Encrypts blocks that do not depend on each other.
#[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1,avx")]
fn encrypt<const N: usize>(round_keys: &[Block; 11], blocks: &mut [Block; N]) {
    use super::wide128::{aesenc, aesenclast, load, store, xor, zero};

    let mut states = [zero(); N];
    for (state, block) in states.iter_mut().zip(&*blocks) {
        *state = xor(load(block), load(&round_keys[0]));
    }
    for key in &round_keys[1..10] {
        for state in &mut states {
            *state = aesenc(*state, load(key));
        }
    }
    for (state, block) in states.into_iter().zip(blocks) {
        store(block, aesenclast(state, load(&round_keys[10])));
    }
    wipe::registers256();
}

macro_rules! cipher {
    ($(#[$doc:meta])* $name:ident, $token:ident, $module:ident, $detail:literal) => {
        $(#[$doc])*
        pub(crate) struct $name(Keys, cpu::$token);

        impl Cipher for $name {
            const DETAIL: &'static str = $detail;
            type Token = cpu::$token;

            fn new(token: Self::Token, key: &[u8; 16]) -> Self {
                let mut keys = Keys([[0; 16]; 11]);
                // SAFETY: the token proves the features.
                unsafe { aes::expand128(key, &mut keys.0) };
                Self(keys, token)
            }

            fn encrypt<const N: usize>(&self, blocks: &mut [Block; N]) {
                // SAFETY: the token proves these features and more.
                unsafe { encrypt(&self.0.0, blocks) };
            }

            fn run<const SEAL: bool>(&self, chain: &mut Chain<'_>) {
                let blocks = chain.data.len() / 16;
                // SAFETY: the token proves these features and more.
                unsafe { one::run::<SEAL>(&self.0.0, core::array::from_mut(chain), blocks) };
            }

            fn run_side_by_side<const SEAL: bool>(&self, chains: &mut [Chain<'_>; SIDE], blocks: usize) {
                // SAFETY: the token proves the features.
                unsafe { $module::run::<SEAL>(&self.0.0, chains, blocks) };
            }
        }
    };
}

cipher! {
    /// Several records in registers of 128 bits.
    AesNi, AesNi, aesni, "AES-NI"
}

cipher! {
    /// Several records in registers of 256 bits.
    Vaes, Vaes, vaes, "AES-NI, batches with VAES on AVX2"
}

cipher! {
    /// Several records in registers of 512 bits.
    Avx512, Avx512, avx512, "AES-NI, batches with VAES on AVX-512"
}
