//! Whole strides, in which AES of one overlaps with GHASH of another.
//!
//! What limits CPUs with 512-bit registers is how many instructions there are besides the
//! rounds of AES and the products, since on some of them all compete for the same units.
//! Counters take one addition, without being put into the order of bytes; round keys stay in
//! registers; pairs of vectors share what Karatsuba's method adds; several strides share a
//! reduction. What was just written is not read again: such reads wait for the writes where
//! both are as wide as a line of the cache.

macro_rules! strides {
    ($features:literal) => {
        /// A key at hand, for any number of records.
        struct Held<'a, const R: usize> {
            /// Each in all lanes: to spread one takes as long as something of the hash.
            round_keys: [V; R],
            powers: &'a [Block; POWERS],
            sums: &'a [Block; SUMS],
            more: &'a [Powers],
        }

        impl<'a, const R: usize> Held<'a, R> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(key: &'a Key<R>) -> Self {
                let table = &key.table;
                Self {
                    round_keys: core::array::from_fn(|round| {
                        hold(broadcast(&table.round_keys[round]))
                    }),
                    powers: &table.powers,
                    sums: &table.sums,
                    more: key.more(),
                }
            }

            /// The powers for a stride, and their folded halves, when `left` strides of a group
            /// are left.
            #[inline(always)]
            fn powers(&self, left: usize) -> (&[u8; STRIDE], &[u8; FOLDED]) {
                if let Some(Powers { powers, sums }) = left.checked_sub(2).and_then(|at| self.more.get(at)) {
                    return (powers, sums);
                }
                const { assert!(VECTORS * LANES < POWERS) };
                let powers = self.powers.as_flattened()[16 * (POWERS - VECTORS * LANES)..].first_chunk();
                let sums = self.sums.as_flattened().first_chunk();
                (powers.expect("as many"), sums.expect("as many"))
            }
        }

        impl Counter {
            /// From the first block of text on, whose number is 2: 1 is for the tag.
            #[inline]
            #[target_feature(enable = $features)]
            fn new(nonce: u128) -> Self {
                let first = splat(wide128::from_u128(nonce | 2 << 120));
                Self { next: count_up_last(first), number: 2 }
            }
        }

        /// A round, with its place among other things that are held. Otherwise the compiler would
        /// put all products before all rounds, which is further than CPUs look ahead.
        #[inline]
        #[target_feature(enable = $features)]
        fn encrypt<const N: usize>(blocks: &mut [V; N], key: V) {
            for block in blocks {
                *block = hold(aesenc(*block, key));
            }
        }

        /// The last round, and the exclusive or with the text: gives what it has written.
        #[inline]
        #[target_feature(enable = $features)]
        fn apply(mut blocks: [V; VECTORS], key: V, chunk: &mut Chunk<'_, STRIDE>) -> [V; VECTORS] {
            for (at, block) in blocks.iter_mut().enumerate() {
                *block = xor(load(chunk.read(at * BYTES)), aesenclast(*block, key));
                store(chunk.write(at * BYTES), *block);
            }
            blocks
        }

        /// Adds the products of a pair of vectors, in the order of numbers, with a stride's
        /// `pair` of vectors of powers. The middle part is that of the halves' sums, which takes
        /// one product instead of two (Karatsuba): see [`separate`].
        #[inline]
        #[target_feature(enable = $features)]
        fn add_pair(
            sum: Product,
            [a, b]: [V; 2],
            pair: usize,
            (powers, sums): (&[u8; STRIDE], &[u8; FOLDED]),
        ) -> Product {
            let powers = powers.as_chunks().0;
            let (of_a, of_b) = (load(&powers[2 * pair]), load(&powers[2 * pair + 1]));
            let (halves, sums) = (folded([a, b]), load(&sums.as_chunks().0[pair]));
            Product {
                low: xor3(sum.low, clmul::<0x00>(a, of_a), clmul::<0x00>(b, of_b)),
                mid: xor3(sum.mid, clmul::<0x00>(halves, sums), clmul::<0x11>(halves, sums)),
                high: xor3(sum.high, clmul::<0x11>(a, of_a), clmul::<0x11>(b, of_b)),
            }
        }

        /// Takes the low and the high part out of the middle part.
        #[inline]
        #[target_feature(enable = $features)]
        fn separate(sum: Product) -> Product {
            Product { mid: xor3(sum.mid, sum.low, sum.high), ..sum }
        }

        /// A record on its way.
        struct Run<'a, const R: usize> {
            key: &'a Held<'a, R>,
            nonce: u128,
            /// The hash so far, for the first vector of a group, and the products since.
            hash: V,
            sum: Product,
            /// How many strides of a group are left.
            left: usize,
            /// Whether a stride's products are in the sum, and what follows them is to be done.
            is_due: bool,
        }

        /// After which round what follows a stride is done: once AES of the next is on its way,
        /// because this is a chain of operations that wait for one another.
        const DUE: usize = 2;

        impl<'a, const R: usize> Run<'a, R> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(key: &'a Held<'a, R>, nonce: u128, aad: &[u8], strides: usize) -> Self {
                let h = wide128::load(&key.powers[POWERS - 1]);
                let mut hash = _mm_setzero_si128();
                for block in aad.chunks(16) {
                    let block = wide128::reverse(low(load_partial(block)));
                    hash = multiply(_mm_xor_si128(hash, block), h);
                }
                let group = 1 + key.more.len();
                let left = match strides % group {
                    0 => group,
                    some => some,
                };
                Self { key, nonce, hash: from_block(hash), sum: nothing(), left, is_due: false }
            }

            /// A pair of a stride's vectors into the hash.
            #[inline]
            #[target_feature(enable = $features)]
            fn add(&mut self, pair: usize, text: [V; 2]) {
                let [mut a, b] = [reverse(text[0]), reverse(text[1])];
                if pair == 0 {
                    a = xor(a, self.hash);
                }
                self.sum = add_pair(self.sum, [a, b], pair, self.key.powers(self.left));
                self.is_due |= pair == 0;
            }

            /// After a stride: at the end of a group its products are reduced.
            #[inline]
            #[target_feature(enable = $features)]
            fn next(&mut self) {
                if !core::mem::take(&mut self.is_due) {
                    return;
                }
                if self.left > 1 {
                    self.hash = zero();
                    self.left -= 1;
                } else {
                    self.hash = from_block(fold(reduce(separate(self.sum))));
                    self.sum = nothing();
                    self.left = 1 + self.key.more.len();
                }
            }

            /// So many strides from the front of `data`. When sealing, what is hashed beside a
            /// stride is the one before, since its own ciphertext is not there yet: the last one
            /// is left to be hashed, and is given.
            #[inline]
            #[target_feature(enable = $features)]
            fn strides<const SEAL: bool>(&mut self, data: &mut InOut<'_>, strides: usize) -> [V; VECTORS] {
                let keys = &self.key.round_keys;
                let mut before = [zero(); VECTORS];
                if strides == 0 {
                    return before;
                }
                let mut counter = Counter::new(self.nonce);
                let mut strides = strides;
                if SEAL && let Some(mut chunk) = data.take::<STRIDE>() {
                    let mut blocks = counter.stride(keys[0]);
                    each_round!(R, round => {
                        encrypt(&mut blocks, keys[round]);
                    });
                    before = apply(blocks, keys[R - 1], &mut chunk);
                    strides -= 1;
                }
                while strides > 0 && let Some(mut chunk) = data.take::<STRIDE>() {
                    let mut blocks = counter.stride(keys[0]);
                    each_round!(R, round => {
                        encrypt(&mut blocks, keys[round]);
                        if round == DUE {
                            self.next();
                        }
                        // Spread over the rounds; the first pair, which waits for the hash of
                        // the stride before, comes last.
                        let step = (round - 1) * PAIRS / (R - 2);
                        if step != round * PAIRS / (R - 2) {
                            let pair = (step + 1) % PAIRS;
                            let text = [2 * pair, 2 * pair + 1].map(|at| match SEAL {
                                true => before[at],
                                false => hold(load(chunk.read(at * BYTES))),
                            });
                            self.add(pair, text);
                        }
                    });
                    before = apply(blocks, keys[R - 1], &mut chunk);
                    strides -= 1;
                }
                before
            }
        }
    };
}
