//! The bulk of a record where registers are sixteen in number: whole strides, in which AES of
//! one overlaps with GHASH of another.
//!
//! Many CPUs take a carry-less product to pieces, and begin nothing else meanwhile. So what
//! counts is how many products there are, and how many instructions at all: what goes to the
//! stack and comes back costs twice. Half of the registers are in AES, three are sums; powers
//! are operands in memory, and the stride that is hashed is read again where it was written.

macro_rules! bulk {
    ($features:literal) => {
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

        /// The last round, and the exclusive or with the text.
        #[inline]
        #[target_feature(enable = $features)]
        fn apply(blocks: [V; VECTORS], key: V, chunk: &mut Chunk<'_, STRIDE>) {
            for (at, block) in blocks.into_iter().enumerate() {
                let text = load(chunk.read(at * BYTES));
                store(chunk.write(at * BYTES), xor(text, aesenclast(block, key)));
            }
        }

        /// The same place, of which the compiler does not know that: what is an operand of two
        /// products it would otherwise keep in a register.
        #[inline(always)]
        fn elsewhere<T>(place: &T) -> &T {
            let mut at: *const T = place;
            // SAFETY: no instruction at all.
            unsafe {
                core::arch::asm!(
                    "/* {0} */", inout(reg) at, options(readonly, nostack, preserves_flags)
                );
            }
            // SAFETY: it still is where `place` points.
            unsafe { &*at }
        }

        /// A stride's pair of vectors, which is added to the hash in two steps.
        #[derive(Clone, Copy)]
        struct Pair {
            a: V,
            b: V,
            /// Both halves of each block added.
            halves: V,
        }

        impl Pair {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(text: [V; 2], hash: Option<V>) -> Self {
                let [mut a, b] = [reverse(text[0]), reverse(text[1])];
                if let Some(hash) = hash {
                    a = xor(a, hash);
                }
                let (a, b) = (hold(a), hold(b));
                Self { a, b, halves: folded([a, b]) }
            }
        }

        /// What a stride is multiplied by. Each place is there twice.
        struct Factors<'a> {
            powers: [&'a [[u8; BYTES]]; 2],
            sums: [&'a [[u8; BYTES]]; 2],
        }

        impl<'a> Factors<'a> {
            #[inline(always)]
            fn new(powers: &'a [u8; STRIDE], sums: &'a [u8; FOLDED]) -> Self {
                Self {
                    powers: [powers.as_chunks().0, elsewhere(powers).as_chunks().0],
                    sums: [sums.as_chunks().0, elsewhere(sums).as_chunks().0],
                }
            }

            /// Adds the first or the second part of a pair's products.
            #[inline]
            #[target_feature(enable = $features)]
            fn add(&self, sum: &mut Product, pair: Pair, number: usize, part: usize) {
                let Pair { a, b, halves } = pair;
                let ([powers, again], [sums, sums_again]) = (self.powers, self.sums);
                let (first, second) = (2 * number, 2 * number + 1);
                // One after the other, since there is a register for one.
                let of = |factors: &[[u8; BYTES]], at: usize| load(&factors[at]);
                if part == 0 {
                    let low = clmul::<0x00>(a, of(powers, first));
                    let high = clmul::<0x11>(a, of(again, first));
                    sum.low = hold(xor(sum.low, low));
                    sum.high = hold(xor(sum.high, high));
                } else {
                    let low = clmul::<0x00>(b, of(powers, second));
                    let high = clmul::<0x11>(b, of(again, second));
                    sum.low = hold(xor(sum.low, low));
                    sum.high = hold(xor(sum.high, high));
                    // Both halves of each sum belong to the middle (Karatsuba).
                    let of_a = clmul::<0x00>(halves, of(sums, number));
                    let of_b = clmul::<0x11>(halves, of(sums_again, number));
                    sum.mid = hold(xor3(sum.mid, of_a, of_b));
                }
            }
        }

        /// The hash of a stride, from the sum of its products.
        #[inline]
        #[target_feature(enable = $features)]
        fn hash_of(sum: Product) -> __m128i {
            let mid = xor3(sum.mid, sum.low, sum.high);
            fold(reduce(Product { mid, ..sum }))
        }

        impl<const R: usize> State<'_, R> {
            /// Whole strides, from the front of `data`.
            #[inline]
            #[target_feature(enable = $features)]
            fn bulk<const SEAL: bool>(&mut self, data: &mut InOut<'_>) {
                // Here, where nothing that is written can change them.
                let mut data = core::mem::replace(data, InOut::in_place(&mut []));
                let round_keys = self.round_keys;
                let key = |round: usize| broadcast(&round_keys[round]);
                let (powers, sums) = self.powers();

                let mut counter = Counter::new(self.counter);
                let mut hash = self.hash;
                // When sealing, what is hashed is the stride before: this one's ciphertext is
                // not there yet.
                let mut before: Option<Chunk<'_, STRIDE>> = None;
                if SEAL && let Some(mut chunk) = data.take::<STRIDE>() {
                    let mut blocks = counter.stride(key(0));
                    each_round!(R, round => {
                        encrypt(&mut blocks, key(round));
                    });
                    apply(blocks, key(R - 1), &mut chunk);
                    before = Some(chunk);
                }
                while let Some(mut chunk) = data.take::<STRIDE>() {
                    let mut blocks = counter.stride(key(0));
                    let factors = Factors::new(powers, sums);
                    let mut sum = nothing();
                    let mut pair = Pair { a: zero(), b: zero(), halves: zero() };
                    each_round!(R, round => {
                        encrypt(&mut blocks, key(round));
                        // Spread over the rounds; the first pair, which waits for the hash of
                        // the stride before, comes last.
                        for step in (round - 1) * 2 * PAIRS / (R - 2)..round * 2 * PAIRS / (R - 2) {
                            let (number, part) = ((step / 2 + 1) % PAIRS, step % 2);
                            if part == 0 {
                                let text = [2 * number, 2 * number + 1].map(|at| match &before {
                                    Some(before) if SEAL => load(before.written(at * BYTES)),
                                    _ => load(chunk.read(at * BYTES)),
                                });
                                let hash = from_block(hash);
                                pair = Pair::new(text, (number == 0).then_some(hash));
                            }
                            factors.add(&mut sum, pair, number, part);
                        }
                    });
                    hash = hash_of(sum);
                    apply(blocks, key(R - 1), &mut chunk);
                    before = Some(chunk);
                }
                if SEAL && let Some(before) = before {
                    let factors = Factors::new(powers, sums);
                    let mut sum = nothing();
                    for number in 0..PAIRS {
                        let text = [2 * number, 2 * number + 1].map(|at| load(before.written(at * BYTES)));
                        let pair = Pair::new(text, (number == 0).then_some(from_block(hash)));
                        factors.add(&mut sum, pair, number, 0);
                        factors.add(&mut sum, pair, number, 1);
                    }
                    hash = hash_of(sum);
                }
                self.hash = hash;
                self.counter = counter.reversed();
            }

            /// The powers for a stride, and their folded halves.
            #[inline(always)]
            fn powers(&self) -> (&[u8; STRIDE], &[u8; FOLDED]) {
                const { assert!(VECTORS * LANES < POWERS) };
                let powers = self.powers.as_flattened()[16 * (POWERS - VECTORS * LANES)..].first_chunk();
                let sums = self.sums.as_flattened().first_chunk();
                (powers.expect("as many"), sums.expect("as many"))
            }
        }
    };
}
