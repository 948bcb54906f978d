//! The bulk of a record: whole strides, in which AES of one overlaps with GHASH of another.
//!
//! What limits CPUs with 512-bit registers is how many instructions there are besides the
//! rounds of AES and the products, since on some of them all compete for the same units.
//! Counters take one addition, without being put into the order of bytes; round keys stay in
//! registers; pairs of vectors share what Karatsuba's method adds; several strides share a
//! reduction. What was just written is not read again there: such reads wait for the writes
//! where both are as wide as a line of the cache.

macro_rules! bulk {
    ($features:literal) => {
        /// Counters of whole strides, in the order of bytes that AES takes.
        struct Counter {
            /// Those of the next vector's lanes.
            next: V,
            /// The last byte of the first.
            number: u8,
        }

        impl Counter {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(reversed: V) -> Self {
                Self {
                    next: reverse(reversed),
                    number: _mm_cvtsi128_si32(low(reversed)) as u8,
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn reversed(&self) -> V {
                reverse(self.next)
            }

            /// A stride's, after the first round key. Only where one, or a lane of the next
            /// vector, carries beyond its last byte are they put into the order of numbers and
            /// back.
            #[inline]
            #[target_feature(enable = $features)]
            fn stride(&mut self, key: V) -> [V; VECTORS] {
                let mut blocks = [key; VECTORS];
                const BLOCKS: usize = VECTORS * LANES;
                if usize::from(self.number) + BLOCKS + LANES <= 256 {
                    for (at, block) in blocks.iter_mut().enumerate() {
                        *block = xor(key, add_last(self.next, (at * LANES) as i32));
                    }
                    self.next = add_last(self.next, BLOCKS as i32);
                } else {
                    let mut number = reverse(self.next);
                    for block in &mut blocks {
                        *block = xor(key, reverse(number));
                        number = add_counter(number, LANES as i32);
                    }
                    self.next = reverse(number);
                }
                self.number = self.number.wrapping_add(BLOCKS as u8);
                blocks
            }
        }

        /// A round, with its place among other things that are held. Otherwise the compiler would
        /// put all products before all rounds, which is further than CPUs look ahead.
        #[inline]
        #[target_feature(enable = $features)]
        fn encrypt(blocks: &mut [V; VECTORS], key: V) {
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

        /// The stride that was sealed last. Where there are as many registers it is there;
        /// elsewhere it is read again.
        struct Before<'a> {
            vectors: [V; VECTORS],
            chunk: Option<Chunk<'a, STRIDE>>,
        }

        impl<'a> Before<'a> {
            #[inline]
            #[target_feature(enable = $features)]
            fn nothing() -> Self {
                Self { vectors: [zero(); VECTORS], chunk: None }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn new(vectors: [V; VECTORS], chunk: Chunk<'a, STRIDE>) -> Self {
                Self { vectors, chunk: Some(chunk) }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn vector(&self, at: usize) -> V {
                match &self.chunk {
                    Some(chunk) if LANES < 4 => load(chunk.written(at * BYTES)),
                    _ => self.vectors[at],
                }
            }
        }

        /// Adds the products of a stride's pair of vectors. The middle part is that of the
        /// halves' sums, which takes one product instead of two (Karatsuba).
        #[inline]
        #[target_feature(enable = $features)]
        fn add_pair(
            sum: Product,
            text: [V; 2],
            pair: usize,
            hash: V,
            powers: &[u8; STRIDE],
            sums: &[u8; FOLDED],
        ) -> Product {
            let [mut a, b] = [reverse(text[0]), reverse(text[1])];
            if pair == 0 {
                a = xor(a, hash);
            }
            let powers = powers.as_chunks().0;
            let (of_a, of_b) = (load(&powers[2 * pair]), load(&powers[2 * pair + 1]));
            let (halves, sums) = (folded([a, b]), load(&sums.as_chunks().0[pair]));
            Product {
                low: xor3(sum.low, clmul::<0x00>(a, of_a), clmul::<0x00>(b, of_b)),
                mid: xor3(sum.mid, clmul::<0x00>(halves, sums), clmul::<0x11>(halves, sums)),
                high: xor3(sum.high, clmul::<0x11>(a, of_a), clmul::<0x11>(b, of_b)),
            }
        }

        /// After a stride's products: the sum, the hash and what is left of the group for the
        /// next. At the end of a group its products are reduced.
        #[inline]
        #[target_feature(enable = $features)]
        fn next(sum: Product, left: usize, group: usize) -> (Product, V, usize) {
            if left > 1 {
                return (sum, zero(), left - 1);
            }
            let mid = xor3(sum.mid, sum.low, sum.high);
            let hash = fold(reduce(Product { mid, ..sum }));
            (nothing(), from_block(hash), group)
        }

        impl<const R: usize> State<'_, R> {
            /// Whole strides, from the front of `data`.
            #[inline]
            #[target_feature(enable = $features)]
            fn bulk<const SEAL: bool>(&mut self, data: &mut InOut<'_>) {
                let strides = data.len() / STRIDE;
                if strides == 0 {
                    return;
                }
                if LANES < 4 {
                    // There is no room for what follows.
                    return self.sixteen::<SEAL>(data);
                }
                // At hand, where there are as many registers: to spread a round key over the
                // widest takes as long as something of the hash.
                let held: [V; R] = core::array::from_fn(|round| {
                    hold(self.key(round))
                });
                let key = |round: usize| match LANES {
                    4 => held[round],
                    _ => self.key(round),
                };
                let mut counter = Counter::new(self.counter);
                // The hash so far, for the first vector of a group, and the products since.
                let mut hash = from_block(self.hash);
                let mut sum = nothing();
                // How many strides of a group are left, this one included.
                let group = 1 + self.more.len();
                let mut left = match strides % group {
                    0 => group,
                    some => some,
                };
                // When sealing, what is hashed is the stride before: this one's ciphertext is
                // not there yet.
                let mut before = Before::nothing();
                if SEAL && let Some(mut chunk) = data.take::<STRIDE>() {
                    let mut blocks = counter.stride(key(0));
                    each_round!(R, round => {
                        encrypt(&mut blocks, key(round));
                    });
                    before = Before::new(apply(blocks, key(R - 1), &mut chunk), chunk);
                }
                while let Some(mut chunk) = data.take::<STRIDE>() {
                    let mut blocks = counter.stride(key(0));
                    let (powers, sums) = self.powers(left);
                    each_round!(R, round => {
                        encrypt(&mut blocks, key(round));
                        // Spread over the rounds; the first pair, which waits for the hash of
                        // the stride before, comes last.
                        let step = (round - 1) * PAIRS / (R - 2);
                        if step != round * PAIRS / (R - 2) {
                            let pair = (step + 1) % PAIRS;
                            let text = [2 * pair, 2 * pair + 1].map(|at| match SEAL {
                                true => before.vector(at),
                                false => hold(load(chunk.read(at * BYTES))),
                            });
                            sum = add_pair(sum, text, pair, hash, powers, sums);
                        }
                    });
                    (sum, hash, left) = next(sum, left, group);
                    before = Before::new(apply(blocks, key(R - 1), &mut chunk), chunk);
                }
                if SEAL {
                    let (powers, sums) = self.powers(left);
                    for pair in 0..PAIRS {
                        let text = [2 * pair, 2 * pair + 1].map(|at| before.vector(at));
                        sum = add_pair(sum, text, pair, hash, powers, sums);
                    }
                    (_, hash, _) = next(sum, left, group);
                }
                self.hash = low(hash);
                self.counter = counter.reversed();
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
    };
}
