//! Two records of a batch side by side.
//!
//! Where a record begins and where it ends there is little to do that waits for nothing: AES of
//! the last blocks, then their products, then a reduction, each behind the other. CPUs look ahead
//! no further than that. Beside another record of the same shape all of it is done twice in the
//! same time: round by round, two vectors of one record and two of the other are a stride.
//!
//! Four such records, or two, share what each would have done alone: the hash of the additional
//! data, which is the same, E(J0), and the product with the lengths, one in each lane of a
//! vector. So their text ends at the end of a vector, and lanes stay empty in front of it.

macro_rules! twins {
    ($features:literal) => {
        /// Bytes of a record that go beside as many of another.
        const PAIR: usize = 2 * BYTES;
        /// Blocks of them.
        const PAIR_BLOCKS: usize = 2 * LANES;

        /// What records have in common that are worked on together.
        #[derive(Clone, Copy)]
        struct Shape {
            text_len: usize,
            aad_len: usize,
            aad: __m128i,
        }

        impl Shape {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(text_len: usize, aad: &[u8]) -> Self {
                Self { text_len, aad_len: aad.len(), aad: low(load_partial(aad)) }
            }

            /// Whether it is for [`Twins`] at all: of two pairs of vectors, one is the first and
            /// one the last. The additional data is a block, as that of TLS is.
            #[inline(always)]
            fn is_fit(&self) -> bool {
                self.text_len > PAIR && self.aad_len <= 16
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn is(&self, other: &Self) -> bool {
                let difference = _mm_xor_si128(self.aad, other.aad);
                self.text_len == other.text_len
                    && self.aad_len == other.aad_len
                    && _mm_testz_si128(difference, difference) == 1
            }

            /// How many of the first records are alike, and to be worked on together: an even
            /// number.
            #[inline]
            #[target_feature(enable = $features)]
            fn alike<T>(records: &[T], of: impl Fn(&T) -> Self) -> usize {
                let Some((first, others)) = records.split_first() else { return 0 };
                let first = of(first);
                if !first.is_fit() {
                    return 0;
                }
                let mut alike = 1;
                for other in others {
                    if !first.is(&of(other)) {
                        break;
                    }
                    alike += 1;
                }
                alike / 2 * 2
            }

            /// How many of the first records are not for it, and how many behind them are.
            #[inline]
            #[target_feature(enable = $features)]
            fn split<T>(records: &[T], of: impl Fn(&T) -> Self + Copy) -> (usize, usize) {
                for alone in 0..records.len() {
                    let alike = Self::alike(&records[alone..], of);
                    if alike > 0 {
                        return (alone, alike);
                    }
                }
                (records.len(), 0)
            }

            /// Blocks of text.
            #[inline(always)]
            fn blocks(&self) -> usize {
                self.text_len.div_ceil(16)
            }

            /// How many lanes stay empty in front of the text.
            #[inline(always)]
            fn empty(&self) -> usize {
                self.blocks().wrapping_neg() % PAIR_BLOCKS
            }
        }

        /// What up to as many records as a vector has lanes need for their tags.
        #[derive(Clone, Copy)]
        struct Tags {
            /// E(J0).
            masks: V,
            /// The hashes of their texts.
            hashes: V,
        }

        impl Tags {
            #[inline]
            #[target_feature(enable = $features)]
            fn new<const R: usize>(key: &Held<'_, R>, nonces: impl Iterator<Item = u128>) -> Self {
                let keys = &key.round_keys;
                let mut masks = keys[0];
                for (lane, nonce) in nonces.take(LANES).enumerate() {
                    masks = xor(masks, in_lane(wide128::from_u128(nonce | 1 << 120), lane));
                }
                each_round!(R, round => {
                    masks = aesenc(masks, keys[round]);
                });
                Self { masks: aesenclast(masks, keys[R - 1]), hashes: zero() }
            }

            /// The hashes of two records, of which the first has this number.
            #[inline]
            #[target_feature(enable = $features)]
            fn put(&mut self, number: usize, [a, b]: [__m128i; 2]) {
                let both = xor(in_lane(a, number % LANES), in_lane(b, number % LANES + 1));
                self.hashes = xor(self.hashes, both);
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn finish<const R: usize>(self, key: &Held<'_, R>, shape: &Shape) -> [__m128i; LANES] {
                let lengths = splat(lengths(shape.aad_len, shape.text_len));
                let h = broadcast(&key.powers[POWERS - 1]);
                let hashes = reduce(add_product(nothing(), xor(self.hashes, lengths), h));
                split(xor(reverse(hashes), self.masks))
            }
        }

        /// Which pair of vectors of a record.
        const FIRST: u8 = 0;
        const MIDDLE: u8 = 1;
        const LAST: u8 = 2;

        /// Where a vector of the first pair has its text: from which lane on, and its place in
        /// memory.
        #[inline(always)]
        fn first(at: usize, empty: usize) -> (usize, usize, usize) {
            let before = 16 * LANES.saturating_sub(empty);
            match at {
                0 => (empty, 0, before),
                _ => {
                    let lane = empty.saturating_sub(LANES);
                    (lane, before, BYTES - 16 * lane)
                }
            }
        }

        /// A vector of a pair, of which the first has so many `empty` lanes.
        #[inline]
        #[target_feature(enable = $features)]
        fn input<const PLACE: u8>(data: &InOut<'_>, at: usize, empty: usize, content_type: u8) -> V {
            let input = data.input();
            match (PLACE, at) {
                (FIRST, _) => {
                    let (lane, start, len) = first(at, empty);
                    up(load_partial(&input[start..start + len]), lane)
                }
                (LAST, 1) => {
                    let here = &input[BYTES..];
                    let vector = load_partial(here);
                    match data.room() > data.len() {
                        true => xor(vector, byte_at(content_type, here.len())),
                        false => vector,
                    }
                }
                _ => load(input[at * BYTES..].first_chunk().expect("a whole pair")),
            }
        }

        /// Writes a vector; gives what was written, and zeros elsewhere.
        #[inline]
        #[target_feature(enable = $features)]
        fn output<const PLACE: u8>(data: &mut InOut<'_>, at: usize, empty: usize, vector: V) -> V {
            let output = data.output();
            match (PLACE, at) {
                (FIRST, _) => {
                    let (lane, start, len) = first(at, empty);
                    store_from(lane, &mut output[start..start + len], vector);
                    keep_from(lane, vector, len)
                }
                (LAST, 1) => {
                    let here = &mut output[BYTES..];
                    store_from(0, here, vector);
                    keep_from(0, vector, here.len())
                }
                _ => {
                    store(output[at * BYTES..].first_chunk_mut().expect("a whole pair"), vector);
                    vector
                }
            }
        }

        /// In how many steps the products of two pairs are added.
        const STEPS: usize = 6;

        /// Records of one shape, two at a time side by side.
        struct Twins<'k, const R: usize> {
            key: &'k Held<'k, R>,
            shape: Shape,
            /// The hash of the additional data, where it is added to the first pair.
            aad: [V; 2],
            /// The hashes so far, for the first vector of a group, and the products since.
            hashes: [V; 2],
            sums: [Product; 2],
            /// How many pairs of a group are left.
            left: usize,
            /// Whether a pair's products are in the sums, and what follows them is to be done.
            is_due: bool,
            /// Whether that pair, or the next when sealing, ends a record.
            is_last: bool,
            /// When sealing, what was written last, and is to be hashed.
            before: [[V; 2]; 2],
            /// The hashes of the texts of the two records before.
            done: [__m128i; 2],
        }

        impl<'k, const R: usize> Twins<'k, R> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new<const SEAL: bool>(key: &'k Held<'k, R>, shape: Shape) -> Self {
                let h = wide128::load(&key.powers[POWERS - 1]);
                let hash = wide128::reverse(multiply(wide128::reverse(shape.aad), h));
                let aad = match shape.empty().checked_sub(LANES) {
                    None => [in_lane(hash, shape.empty()), zero()],
                    Some(lane) => [zero(), in_lane(hash, lane)],
                };
                let mut twins = Self {
                    key,
                    shape,
                    aad,
                    hashes: [zero(); 2],
                    sums: [nothing(); 2],
                    left: 0,
                    is_due: false,
                    is_last: SEAL,
                    before: [[zero(); 2]; 2],
                    done: [_mm_setzero_si128(); 2],
                };
                // When sealing, a record begins with the end of the one before: here is none,
                // and what comes of it is of no use.
                twins.left = if SEAL { 1 } else { twins.start() };
                twins
            }

            /// How many pairs the first group of a record has.
            #[inline(always)]
            fn start(&self) -> usize {
                let pairs = self.shape.blocks().div_ceil(PAIR_BLOCKS);
                match pairs % self.group() {
                    0 => self.group(),
                    some => some,
                }
            }

            /// How many pairs share a reduction.
            #[inline(always)]
            fn group(&self) -> usize {
                // One or two strides.
                if self.key.more.is_empty() { PAIRS } else { PAIRS * GROUP }
            }

            /// Encrypts or decrypts two records. The hashes of their texts are done beside the
            /// next two, or by [`flush`](Self::flush). The types follow the texts, if `data` has
            /// room for them.
            #[inline]
            #[target_feature(enable = $features)]
            fn run<const SEAL: bool>(
                &mut self,
                nonces: [u128; 2],
                mut data: [InOut<'_>; 2],
                types: [u8; 2],
            ) {
                let data = &mut data;
                let key = self.key.round_keys[0];
                let empty = self.shape.empty();
                // Of the first lane, which wraps where there is no text in it.
                let number = 2_u32.wrapping_sub(empty as u32);
                let first = wide128::from_u128(nonces[0] | u128::from(number.to_be()) << 96);
                let first = count_up(splat(wide128::reverse(first)));
                let second = add_counter(first, LANES as i32);
                let next = reverse(add_counter(second, LANES as i32));
                let number = (number as u8).wrapping_add(PAIR_BLOCKS as u8);
                let mut counter = Counter { next, number };
                // What the second record's counters differ in.
                let difference = splat(wide128::from_u128(nonces[0] ^ nonces[1]));

                let [a, b] = [xor(key, reverse(first)), xor(key, reverse(second))];
                self.step::<SEAL, FIRST>(data, types, [a, b, xor(a, difference), xor(b, difference)], empty);
                data[0].skip(PAIR - 16 * empty);
                data[1].skip(PAIR - 16 * empty);
                for _ in 2..self.shape.blocks().div_ceil(PAIR_BLOCKS) {
                    let [a, b] = counter.stride(key);
                    self.step::<SEAL, MIDDLE>(data, types, [a, b, xor(a, difference), xor(b, difference)], 0);
                    data[0].skip(PAIR);
                    data[1].skip(PAIR);
                }
                let [a, b] = counter.stride(key);
                self.step::<SEAL, LAST>(data, types, [a, b, xor(a, difference), xor(b, difference)], 0);
                self.is_last = true;
            }

            /// What is left to be hashed.
            #[inline]
            #[target_feature(enable = $features)]
            fn flush<const SEAL: bool>(&mut self) {
                self.next();
                if SEAL {
                    for (one, text) in self.before.into_iter().enumerate() {
                        let text = self.numbers(one, text);
                        for part in 0..STEPS / 2 {
                            self.add(one, text, part);
                        }
                    }
                    self.next();
                }
            }

            /// A pair of each record. When sealing, what is hashed beside it is the pair before.
            #[inline]
            #[target_feature(enable = $features)]
            fn step<const SEAL: bool, const PLACE: u8>(
                &mut self,
                data: &mut [InOut<'_>; 2],
                types: [u8; 2],
                mut blocks: [V; 4],
                empty: usize,
            ) {
                let keys = &self.key.round_keys;
                let mut texts = [[zero(); 2]; 2];
                let mut text = [zero(); 2];
                if !SEAL && PLACE == FIRST {
                    for one in 0..2 {
                        texts[one] = [
                            hold(input::<PLACE>(&data[one], 0, empty, 0)),
                            hold(input::<PLACE>(&data[one], 1, empty, 0)),
                        ];
                    }
                }
                each_round!(R, round => {
                    encrypt(&mut blocks, keys[round]);
                    if round == DUE {
                        self.next();
                    }
                    let step = (round - 1) * STEPS / (R - 2);
                    if step != round * STEPS / (R - 2) {
                        let (one, part) = (step / (STEPS / 2), step % (STEPS / 2));
                        if part == 0 {
                            text = match (SEAL, PLACE) {
                                (true, _) => self.before[one],
                                (false, FIRST) => self.with_aad(texts[one]),
                                (false, _) => [
                                    hold(input::<PLACE>(&data[one], 0, empty, 0)),
                                    hold(input::<PLACE>(&data[one], 1, empty, 0)),
                                ],
                            };
                            text = self.numbers(one, text);
                        }
                        self.add(one, text, part);
                    }
                });
                for one in 0..2 {
                    for at in 0..2 {
                        let text = match (SEAL, PLACE) {
                            (false, FIRST) => texts[one][at],
                            _ => input::<PLACE>(&data[one], at, empty, types[one]),
                        };
                        let block = aesenclast(blocks[2 * one + at], keys[R - 1]);
                        texts[one][at] = output::<PLACE>(&mut data[one], at, empty, xor(text, block));
                    }
                    if SEAL {
                        self.before[one] = match PLACE {
                            FIRST => self.with_aad(texts[one]),
                            _ => texts[one],
                        };
                    }
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn with_aad(&self, text: [V; 2]) -> [V; 2] {
                [xor(text[0], self.aad[0]), xor(text[1], self.aad[1])]
            }

            /// A pair of one record in the order of numbers, with the hash of what is before it.
            #[inline]
            #[target_feature(enable = $features)]
            fn numbers(&self, one: usize, text: [V; 2]) -> [V; 2] {
                [xor(reverse(text[0]), self.hashes[one]), reverse(text[1])]
            }

            /// A part of the products of a pair, in the order of numbers.
            #[inline]
            #[target_feature(enable = $features)]
            fn add(&mut self, one: usize, [a, b]: [V; 2], part: usize) {
                let pair = PAIRS - 1 - (self.left - 1) % PAIRS;
                let (powers, sums) = self.key.powers(self.left.div_ceil(PAIRS));
                let powers = powers.as_chunks().0;
                let (of_a, of_b) = (load(&powers[2 * pair]), load(&powers[2 * pair + 1]));
                let sum = &mut self.sums[one];
                match part {
                    0 => sum.low = hold(xor3(sum.low, clmul::<0x00>(a, of_a), clmul::<0x00>(b, of_b))),
                    1 => sum.high = hold(xor3(sum.high, clmul::<0x11>(a, of_a), clmul::<0x11>(b, of_b))),
                    _ => {
                        let (halves, sums) = (folded([a, b]), load(&sums.as_chunks().0[pair]));
                        sum.mid = hold(xor3(sum.mid, clmul::<0x00>(halves, sums), clmul::<0x11>(halves, sums)));
                    }
                }
                self.is_due = true;
            }

            /// After a pair: at the end of a group its products are reduced.
            #[inline]
            #[target_feature(enable = $features)]
            fn next(&mut self) {
                if !core::mem::take(&mut self.is_due) {
                    return;
                }
                self.left -= 1;
                self.hashes = [zero(); 2];
                if self.left > 0 {
                    return;
                }
                let hashes = [
                    fold(reduce(separate(self.sums[0]))),
                    fold(reduce(separate(self.sums[1]))),
                ];
                self.sums = [nothing(); 2];
                if core::mem::take(&mut self.is_last) {
                    self.done = hashes;
                    self.left = self.start();
                } else {
                    self.hashes = [from_block(hashes[0]), from_block(hashes[1])];
                    self.left = self.group();
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn shape_to_seal(record: &SealRecord<'_>) -> Shape {
            Shape::new(record.plaintext_len(), record.aad)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn shape_to_open<K: Kernel>(record: &OpenRecord<'_>) -> Shape {
            Shape::new(record.in_out.len().saturating_sub(K::TAG_LEN), record.aad)
        }

        /// Seals records that are alike.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn seal_together<const R: usize>(key: &mut Key<R>, iv: &Iv, records: &mut [SealRecord<'_>]) {
            let mut total = 0;
            for record in &mut *records {
                total += record.plaintext_len();
                put_together(record);
            }
            key.prepare(total);
            let key = Held::new(key);
            let Some(first) = records.first() else { return };
            let shape = shape_to_seal(first);
            let text_len = shape.text_len;
            let mut twins = Twins::new::<true>(&key, shape);
            let mut tags = Tags { masks: zero(), hashes: zero() };
            for at in (0..records.len()).step_by(2) {
                let Some([a, b]) = records[at..].first_chunk_mut() else { break };
                let nonces = [iv.nonce_block(a.sequence), iv.nonce_block(b.sequence)];
                let types = [a.trailer.content_type, b.trailer.content_type];
                let types = [types[0].unwrap_or_default(), types[1].unwrap_or_default()];
                twins.run::<true>(nonces, [to_seal(a, text_len), to_seal(b, text_len)], types);
                if at > 0 {
                    tags.put(at - 2, twins.done);
                }
                if at % LANES == 0 {
                    if at > 0 {
                        write(tags.finish(&key, &shape), &mut records[at - LANES..at]);
                    }
                    let nonces = records[at..].iter().map(|record| iv.nonce_block(record.sequence));
                    tags = Tags::new(&key, nonces);
                }
            }
            twins.flush::<true>();
            let last = records.len() - 2;
            tags.put(last, twins.done);
            write(tags.finish(&key, &shape), &mut records[last / LANES * LANES..]);
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn write(tags: [__m128i; LANES], records: &mut [SealRecord<'_>]) {
            for (record, tag) in records.iter_mut().zip(tags) {
                if let Some(out) = record.out.last_chunk_mut() {
                    wide128::store(out, tag);
                }
            }
        }

        #[inline(always)]
        fn to_seal<'a>(record: &'a mut SealRecord<'_>, text_len: usize) -> InOut<'a> {
            let direct = in_one_piece(record);
            let out = &mut record.out[..text_len];
            match direct {
                Some(piece) => InOut::between(piece, out),
                None => InOut::in_place(out),
            }
        }

        /// Opens records that are alike, as long as their tags are right; says how many.
        /// `earlier` were opened before.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn open_together<K: Kernel, const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            records: &mut [OpenRecord<'_>],
            earlier: usize,
        ) -> usize {
            let Some(first) = records.first() else { return 0 };
            let shape = shape_to_open::<K>(first);
            let text_len = shape.text_len;
            key.prepare(records.len() * text_len);
            let held = Held::new(key);
            let mut twins = Twins::new::<false>(&held, shape);
            let mut opened = 0;
            for records in records.chunks_mut(LANES) {
                let nonces = records.iter().map(|record| iv.nonce_block(record.sequence));
                let mut tags = Tags::new(&held, nonces);
                for (number, [a, b]) in records.as_chunks_mut().0.iter_mut().enumerate() {
                    let nonces = [iv.nonce_block(a.sequence), iv.nonce_block(b.sequence)];
                    let data = [
                        InOut::in_place(&mut a.in_out[..text_len]),
                        InOut::in_place(&mut b.in_out[..text_len]),
                    ];
                    twins.run::<false>(nonces, data, [0; 2]);
                    twins.flush::<false>();
                    tags.put(2 * number, twins.done);
                }
                let right = right::<K>(tags.finish(&held, &shape), records);
                opened += right;
                if right < records.len() {
                    // The first of the batch is not restored, but wiped.
                    let first = usize::from(earlier + opened == 0);
                    for record in &mut records[right + first..] {
                        let nonce = iv.nonce_block(record.sequence);
                        restore(&key.table.round_keys, nonce, split_tag::<K>(record.in_out).0);
                    }
                    break;
                }
            }
            opened
        }

        /// How many of the first records have the tags that were expected.
        #[inline]
        #[target_feature(enable = $features)]
        fn right<K: Kernel>(expected: [__m128i; LANES], records: &mut [OpenRecord<'_>]) -> usize {
            let mut right = 0;
            for (record, expected) in records.iter_mut().zip(expected) {
                let tag = wide128::load_partial(split_tag::<K>(record.in_out).1);
                if !crate::low::verify::block(expected, tag) {
                    break;
                }
                right += 1;
            }
            right
        }
    };
}
