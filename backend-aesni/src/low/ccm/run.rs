//! The loop over blocks, written once and compiled for every kind of register.
//!
//! In a register of several blocks each lane belongs to another record. The exclusive or that
//! stands between two encryptions of a CBC-MAC is done with the last round key, before that
//! is needed, so a chain takes what ten rounds take and not more.

/// A function `run`: as many blocks of each of `side` records.
///
/// `wide` is the module with the vocabulary of the registers to be used, `narrow` the one of
/// registers of one block.
macro_rules! run {
    (
        features: $features:literal,
        wide: $($wide:ident)::+, narrow: $($narrow:ident)::+,
        side: $side:expr
    ) => {
        use $($narrow)::+ as narrow;
        use $($wide)::+::*;
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
                            narrow::store(chunks[vector * LANES + lane].write(at), block);
                        }
                    }
                    let keys = &self.keys;
                    // As many at once as there are registers for.
                    for first in (0..VECTORS).step_by(GROUP) {
                        let (mut pending, mut stream) = ([zero(); GROUP], [zero(); GROUP]);
                        for at in 0..GROUP {
                            let counter = self.counter[first + at];
                            pending[at] = self.pending[first + at];
                            stream[at] = xor(keys[0], reverse(counter));
                            self.counter[first + at] = add_counter(counter, 1);
                        }
                        // Written out, so that the states stay in registers.
                        macro_rules! round {
                            ($round:literal) => {
                                let key = keys[$round];
                                for at in 0..GROUP {
                                    pending[at] = hold(aesenc(pending[at], key));
                                    stream[at] = hold(aesenc(stream[at], key));
                                }
                            };
                        }
                        round!(1);
                        round!(2);
                        round!(3);
                        round!(4);
                        round!(5);
                        round!(6);
                        round!(7);
                        round!(8);
                        round!(9);
                        for at in 0..GROUP {
                            let key = xor(self.turn, text[first + at]);
                            self.pending[first + at] = aesenclast(pending[at], key);
                            self.stream[first + at] = aesenclast(stream[at], keys[10]);
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
                    narrow::store(&mut chain.pending, pending[lane]);
                    narrow::store(&mut chain.stream, stream[lane]);
                    narrow::store(&mut chain.counter, counter[lane]);
                }
            }
        }
    };
}
pub(in crate::low) use run;
