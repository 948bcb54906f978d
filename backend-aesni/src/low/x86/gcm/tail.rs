//! The tail of a record, and its tag.

macro_rules! tail {
    ($features:literal) => {
        /// What is left of a text behind its whole strides, and what its tag takes besides.
        struct Tail<'a> {
            data: InOut<'a>,
            /// What follows the text, if `data` has room for it.
            content_type: u8,
            /// How many blocks of text there were.
            first: u32,
            /// The block that ends the hash.
            lengths: __m128i,
        }

        /// The last block that is hashed, in the order of numbers.
        #[inline]
        #[target_feature(enable = $features)]
        fn lengths(aad_len: usize, text_len: usize) -> __m128i {
            _mm_set_epi64x(aad_len as i64 * 8, text_len as i64 * 8)
        }

        impl Tail<'_> {
            /// The lane of the first of `N` vectors in which the text begins.
            #[inline(always)]
            fn lane<const N: usize>(&self) -> usize {
                (N * LANES - 1).wrapping_sub(self.data.room().div_ceil(16)) % LANES
            }

            /// Where the text of a vector begins in memory.
            #[inline(always)]
            fn start<const N: usize>(&self, at: usize) -> usize {
                (at * BYTES).saturating_sub(16 * self.lane::<N>())
            }

            /// A vector of text. The first is moved to its lanes in a register: were they loaded
            /// as they stand, they would be read with what is before them, which may just have
            /// been written.
            #[inline]
            #[target_feature(enable = $features)]
            fn input<const N: usize>(&self, at: usize) -> V {
                let here = &self.data.input()[self.start::<N>(at)..];
                let whole = at > 0 && at < N - 1;
                let mut vector = match here.first_chunk() {
                    Some(all) if whole => load(all),
                    _ => load_partial(here),
                };
                if at == N - 1 && self.data.room() > self.data.len() {
                    vector = xor(vector, byte_at(self.content_type, here.len()));
                }
                match at {
                    0 => up(vector, self.lane::<N>()),
                    _ => vector,
                }
            }

            /// Writes a vector; gives what was written, and zeros elsewhere.
            #[inline]
            #[target_feature(enable = $features)]
            fn output<const N: usize>(&mut self, at: usize, vector: V) -> V {
                let (start, lane) = (self.start::<N>(at), self.lane::<N>());
                let here = &mut self.data.output()[start..];
                let whole = at > 0 && at < N - 1;
                match here.first_chunk_mut() {
                    Some(all) if whole => {
                        store(all, vector);
                        vector
                    }
                    _ => {
                        let lane = if at == 0 { lane } else { 0 };
                        store_from(lane, here, vector);
                        keep_from(lane, vector, here.len())
                    }
                }
            }

            /// The counters after the first round key. The last is that of J0.
            #[inline]
            #[target_feature(enable = $features)]
            fn counters<const N: usize>(&self, nonce: u128, key: V) -> [V; N] {
                // Of the first lane, which wraps where there is no text in it.
                let number = (self.first + 2).wrapping_sub(self.lane::<N>() as u32);
                let first = wide128::from_u128(nonce | u128::from(number.to_be()) << 96);
                let first = count_up(splat(wide128::reverse(first)));
                core::array::from_fn(|at| {
                    let mut numbers = add_counter(first, (at * LANES) as i32);
                    if at == N - 1 {
                        numbers = last_number(numbers);
                    }
                    xor(key, reverse(numbers))
                })
            }
        }

        impl<const R: usize> Run<'_, R> {
            /// The tail; gives the tag. With `MORE`, there is a stride `before` it to be hashed.
            #[inline]
            #[target_feature(enable = $features)]
            fn tail<const SEAL: bool, const MORE: bool, const N: usize>(
                &mut self,
                before: [V; VECTORS],
                mut tail: Tail<'_>,
            ) -> __m128i {
                let keys = &self.key.round_keys;
                let mut blocks = tail.counters::<N>(self.nonce, keys[0]);
                let hash = TailHash::<N> { lane: tail.lane::<N>(), lengths: tail.lengths };
                let mut sum = nothing();
                let mut texts = [zero(); N];
                if !SEAL {
                    for (at, text) in texts.iter_mut().enumerate() {
                        *text = hold(tail.input::<N>(at));
                    }
                }
                each_round!(R, round => {
                    encrypt(&mut blocks, keys[round]);
                    if round == DUE {
                        self.next();
                    }
                    if SEAL && MORE {
                        let step = (round - 1) * PAIRS / (R - 2);
                        if step != round * PAIRS / (R - 2) {
                            let pair = (step + 1) % PAIRS;
                            self.add(pair, [before[2 * pair], before[2 * pair + 1]]);
                        }
                    }
                    if !SEAL {
                        let step = (round - 1) * hash.steps() / (R - 2);
                        if step != round * hash.steps() / (R - 2) {
                            sum = hash.step(sum, self, step, texts);
                        }
                    }
                });
                if SEAL && MORE {
                    self.next();
                }
                let mut mask = _mm_setzero_si128();
                for (at, block) in blocks.into_iter().enumerate() {
                    let block = aesenclast(block, keys[R - 1]);
                    if at == N - 1 {
                        mask = last_lane(block);
                    }
                    if SEAL {
                        texts[at] = tail.input::<N>(at);
                    }
                    texts[at] = tail.output::<N>(at, xor(texts[at], block));
                }
                if SEAL {
                    for step in 0..hash.steps() {
                        sum = hash.step(sum, self, step, texts);
                    }
                }
                let hash = fold(reduce(sum));
                _mm_xor_si128(wide128::reverse(hash), mask)
            }
        }

        /// The tail, whatever its length up to a stride and a block; gives the tag. Not a
        /// function, for that would be too long for the compiler to put it in its place, where
        /// the round keys are in registers.
        macro_rules! finish {
            ($run:ident, $seal:literal, $before:expr, $more:expr, $tail:expr) => {{
                // A lane more than there are blocks.
                let vectors = $tail.data.room().div_ceil(16) / LANES + 1;
                match ($seal && $more, vectors) {
                    (false, 1) => $run.tail::<$seal, false, 1>($before, $tail),
                    (false, 2) => $run.tail::<$seal, false, 2>($before, $tail),
                    (false, 3) => $run.tail::<$seal, false, 3>($before, $tail),
                    (false, 4) => $run.tail::<$seal, false, 4>($before, $tail),
                    (false, _) => $run.tail::<$seal, false, LONGEST>($before, $tail),
                    (true, 1) => $run.tail::<$seal, $seal, 1>($before, $tail),
                    (true, 2) => $run.tail::<$seal, $seal, 2>($before, $tail),
                    (true, 3) => $run.tail::<$seal, $seal, 3>($before, $tail),
                    (true, 4) => $run.tail::<$seal, $seal, 4>($before, $tail),
                    (true, _) => $run.tail::<$seal, $seal, LONGEST>($before, $tail),
                }
            }};
        }

        /// The hash of a tail of `N` vectors.
        ///
        /// What is summed up is no part of it: the compiler would keep it in memory.
        #[derive(Clone, Copy)]
        struct TailHash<const N: usize> {
            /// Where the text begins.
            lane: usize,
            lengths: __m128i,
        }

        impl<const N: usize> TailHash<N> {
            /// In how many steps it is computed: pairs from the end on, and the vector that has
            /// no other.
            #[inline(always)]
            const fn steps(self) -> usize {
                N.div_ceil(2)
            }

            /// A vector, in the order of numbers, with what is hashed besides the text.
            #[inline]
            #[target_feature(enable = $features)]
            fn vector<const R: usize>(self, run: &Run<'_, R>, at: usize, text: V) -> V {
                let mut vector = reverse(text);
                if at == N - 1 {
                    vector = with_last_lane(vector, self.lengths);
                }
                if at == 0 {
                    vector = xor(vector, in_lane(low(run.hash), self.lane));
                }
                vector
            }

            /// One of the steps. The first vector, which waits for the hash of what is before the
            /// tail, comes last.
            #[inline]
            #[target_feature(enable = $features)]
            fn step<const R: usize>(
                self,
                sum: Product,
                run: &Run<'_, R>,
                step: usize,
                texts: [V; N],
            ) -> Product {
                let vector = |at| self.vector(run, at, texts[at]);
                if let Some(at) = N.checked_sub(2 * step + 2) {
                    let pair = PAIRS - 1 - step;
                    let sum = add_pair(sum, [vector(at), vector(at + 1)], pair, run.key.powers(1));
                    if at == 0 { separate(sum) } else { sum }
                } else {
                    let power = load(chunk(run.key.powers, N * LANES));
                    add_product(separate(sum), vector(0), power)
                }
            }
        }
    };
}
