//! AES-GCM (NIST SP 800-38D) for TLS records, written once and compiled for each width.
//!
//! # Arithmetic
//!
//! GHASH works on bits in reflected order. Blocks are byte-reversed and the hash key is
//! multiplied by x once, so that carry-less products need no shift (RFC 8452, appendix A).
//! A product of 256 bits is reduced by two foldings of its low half; the hash of several
//! blocks is a sum of products with powers of the key, reduced once.
//!
//! # Shape of a record
//!
//! [`kernel!`] expands to `seal` and `open`: a bulk loop over whole strides, in which AES of
//! one stride overlaps with GHASH of another, and a last part of less than a stride that also
//! computes E(J0), hashes the lengths and gives the tag. A short record is a last part alone.

use super::aes::Block;
use crate::low::wipe;

/// Powers of the hash key in the table: one more than the blocks of the longest last part,
/// because the lengths follow it.
const POWERS: usize = 17;

/// Zeros behind the powers: the last vector of a last part may reach there.
const BEYOND: usize = 2;

/// An expanded key: `R` round keys, and `S` blocks for the folded halves of powers.
///
/// The sixteen powers that bulk needs begin a multiple of 64 bytes behind the table, whether
/// there are 11 round keys or 15. Where the allocator puts the table is its affair: asking it
/// for more than it has at hand takes longer than a key's arithmetic.
#[repr(C, align(16))]
pub(crate) struct Table<const R: usize, const S: usize> {
    round_keys: [Block; R],
    /// H^17 to H^1.
    powers: [Block; POWERS + BEYOND],
    /// For each stride's pair of vectors of powers, both halves of each block added: those of
    /// the first vector low, those of the second high.
    sums: [Block; S],
}

impl<const R: usize, const S: usize> Drop for Table<R, S> {
    fn drop(&mut self) {
        wipe::bytes(self.round_keys.as_flattened_mut());
        wipe::bytes(self.powers.as_flattened_mut());
        wipe::bytes(self.sums.as_flattened_mut());
    }
}

/// Every round but the first and the last, of `$rounds` round keys, each with its number as a
/// constant: as a loop, the fifteen of AES-256 are too many for the compiler to unroll.
macro_rules! each_round {
    ($rounds:expr, $round:ident => $body:block) => {
        each_round!($rounds, $round => $body, 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    ($rounds:expr, $round:ident => $body:block, $($number:literal)+) => {
        $(if $number < $rounds - 1 {
            let $round = $number;
            $body
        })+
    };
}

macro_rules! kernel {
    (
        features: $features:literal, token: $token:ident, wide: $($wide:ident)::+, detail: $detail:literal,
        spills: $spills:literal,
        stride: $vectors:literal, tails: [$($tail:literal),+ $(,)?]
    ) => {
        use core::arch::x86_64::*;

        use crypto_api::{NONCE_LEN, OpenRecord, SealRecord};

        use crate::low::x86::gcm::{BEYOND, POWERS, Table};
        use crate::low::x86::{aes, aes::Block, wide128, $($wide)::+::*};
        use crate::low::cpu;
        use crate::low::inout::{Chunk, InOut};
        use crate::record::{Iv, Kernel, split_tag};

        /// Vectors in a stride.
        const VECTORS: usize = $vectors;
        /// Bytes in a stride.
        const STRIDE: usize = VECTORS * BYTES;
        /// How deep a kernel's frames go, in bytes, with room to spare; 2900 were seen without
        /// optimisation across crates.
        const SPILLS: usize = if cfg!(debug_assertions) { 4096 } else { $spills };

        /// The same when a key is set up.
        const SPILLS_KEY: usize = 1024;

        /// Blocks of folded powers: one vector for each two of a stride.
        const SUMS: usize = VECTORS / 2 * LANES;

        pub(crate) struct Aes128Gcm(Table<11, SUMS>, cpu::$token);
        pub(crate) struct Aes256Gcm(Table<15, SUMS>, cpu::$token);

        macro_rules! algorithm {
            ($name:ident, $key_len:literal, $rounds:literal, $expand:ident) => {
                impl Kernel for $name {
                    type Key = [u8; $key_len];
                    const TAG_LEN: usize = 16;
                    const TEXT_MAX: usize = crate::low::GCM_TEXT_MAX;
                    const DETAIL: &'static str = $detail;
                    type Token = cpu::$token;

                    fn blank(token: Self::Token) -> Self {
                        let table = Table {
                            round_keys: [[0; 16]; $rounds],
                            powers: [[0; 16]; POWERS + BEYOND],
                            sums: [[0; 16]; SUMS],
                        };
                        Self(table, token)
                    }

                    fn set_key(&mut self, key: &Self::Key) {
                        // SAFETY: the token proves the features.
                        unsafe { aes::$expand(key, &mut self.0.round_keys) };
                        // SAFETY: as above.
                        unsafe { powers(&mut self.0) };
                        crate::low::wipe::traces::<SPILLS_KEY>();
                    }

                    fn seal(&self, iv: &Iv, record: &mut SealRecord<'_>) {
                        // SAFETY: the token proves the features.
                        unsafe { seal(&self.0, iv, record) };
                        crate::low::wipe::traces::<SPILLS>();
                    }

                    fn seal_batch(&self, iv: &Iv, records: &mut [SealRecord<'_>]) {
                        // SAFETY: the token proves the features.
                        unsafe { seal_all(&self.0, iv, records) };
                        crate::low::wipe::traces::<SPILLS>();
                    }

                    fn open(&self, iv: &Iv, record: &mut OpenRecord<'_>) -> bool {
                        // SAFETY: the token proves the features.
                        let is_right = unsafe { open::<Self, _>(&self.0, iv, record) };
                        crate::low::wipe::traces::<SPILLS>();
                        is_right
                    }

                    fn open_batch(&self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> usize {
                        // SAFETY: the token proves the features.
                        let opened = unsafe { open_all::<Self, _>(&self.0, iv, records) };
                        crate::low::wipe::traces::<SPILLS>();
                        opened
                    }
                }
            };
        }
        algorithm!(Aes128Gcm, 16, 11, expand128);
        algorithm!(Aes256Gcm, 32, 15, expand256);

        /// An unreduced product: its low, middle and high parts, which overlap by half.
        #[derive(Clone, Copy)]
        struct Product {
            low: V,
            mid: V,
            high: V,
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn nothing() -> Product {
            Product { low: zero(), mid: zero(), high: zero() }
        }

        /// Adds `a * b`, lane by lane.
        #[inline]
        #[target_feature(enable = $features)]
        fn add_product(sum: Product, a: V, b: V) -> Product {
            Product {
                low: xor(sum.low, clmul::<0x00>(a, b)),
                mid: xor3(sum.mid, clmul::<0x01>(a, b), clmul::<0x10>(a, b)),
                high: xor(sum.high, clmul::<0x11>(a, b)),
            }
        }

        /// Reduces modulo the polynomial, lane by lane: each folding multiplies the low 64 bits
        /// by the polynomial's upper part.
        #[inline]
        #[target_feature(enable = $features)]
        fn reduce(sum: Product) -> V {
            let poly = low_half(0xc200_0000_0000_0000_u64 as i64);
            let mid = xor3(sum.mid, swap_halves(sum.low), clmul::<0x00>(sum.low, poly));
            xor3(sum.high, swap_halves(mid), clmul::<0x00>(mid, poly))
        }

        /// The same for one block.
        #[inline]
        #[target_feature(enable = $features)]
        fn multiply(a: __m128i, b: __m128i) -> __m128i {
            low(reduce(add_product(nothing(), from_block(a), from_block(b))))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn encrypt_block<const R: usize>(round_keys: &[Block; R], block: __m128i) -> __m128i {
            let mut block = _mm_xor_si128(block, wide128::load(&round_keys[0]));
            for key in &round_keys[1..R - 1] {
                block = _mm_aesenc_si128(block, wide128::load(key));
            }
            _mm_aesenclast_si128(block, wide128::load(&round_keys[R - 1]))
        }

        /// Fills in the powers of the hash key.
        #[target_feature(enable = $features)]
        fn powers<const R: usize>(table: &mut Table<R, SUMS>) {
            let h = encrypt_block(&table.round_keys, _mm_setzero_si128());
            let h = wide128::reverse(h);
            // Times x: shifted by one, and reduced if a bit was lost.
            let lost = _mm_shuffle_epi32::<0xff>(_mm_srai_epi32::<31>(h));
            let carry = _mm_slli_si128::<8>(_mm_srli_epi64::<63>(h));
            let poly = _mm_set_epi64x(0xc200_0000_0000_0000_u64 as i64, 1);
            let h = _mm_xor_si128(
                _mm_or_si128(_mm_slli_epi64::<1>(h), carry),
                _mm_and_si128(lost, poly),
            );
            let powers = &mut table.powers;
            wide128::store(&mut powers[POWERS - 1], h);
            // H^1 to H^n times H^n are H^(n+1) to H^2n: in four rounds, whose products do not
            // wait for one another.
            let mut n = 1;
            while n < 16 {
                let top = wide128::load(&powers[POWERS - n]);
                let mut done = 0;
                while done < n && n < LANES {
                    done += 1;
                    let power = multiply(wide128::load(&powers[POWERS - done]), top);
                    wide128::store(&mut powers[POWERS - n - done], power);
                }
                while done < n {
                    done += LANES;
                    let power = load(chunk(powers, done));
                    let power = reduce(add_product(nothing(), power, splat(top)));
                    store(chunk_mut(powers, n + done), power);
                }
                n *= 2;
            }
            let power = multiply(wide128::load(&powers[1]), h);
            wide128::store(&mut powers[0], power);
            for (pair, out) in table.sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let first = (VECTORS - 2 * pair) * LANES;
                let [a, b] = [first, first - LANES].map(|first| load(chunk(powers, first)));
                let (a, b) = (xor(a, swap_halves(a)), xor(b, swap_halves(b)));
                if let Some(out) = out.as_flattened_mut().first_chunk_mut() {
                    store(out, low_halves(a, b));
                }
            }
        }

        /// The powers for a vector whose first block is to be multiplied by H^`first`.
        #[inline(always)]
        fn chunk(powers: &[Block; POWERS + BEYOND], first: usize) -> &[u8; BYTES] {
            const { assert!(LANES <= 2 + BEYOND) };
            // `first` is 2 at least for the last of several lanes' vector: a block of the data
            // and the lengths behind it.
            powers.as_flattened()[16 * (POWERS - first)..].first_chunk().unwrap_or(&[0; BYTES])
        }

        #[inline(always)]
        fn chunk_mut(powers: &mut [Block; POWERS + BEYOND], first: usize) -> &mut [u8; BYTES] {
            powers.as_flattened_mut()[16 * (POWERS - first)..].first_chunk_mut().expect("in the table")
        }

        /// What the functions below share: a key, and how far the record is.
        struct State<'a, const R: usize> {
            round_keys: &'a [Block; R],
            /// From H^17 on.
            powers: &'a [Block; POWERS + BEYOND],
            sums: &'a [Block; SUMS],
            /// Counter block of the next vector's lanes, byte-reversed.
            counter: V,
            /// The hash so far, byte-reversed.
            hash: __m128i,
        }

        impl<'a, const R: usize> State<'a, R> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(table: &'a Table<R, SUMS>, nonce: &[u8; NONCE_LEN], aad: &[u8]) -> Self {
                let mut first = [0; 16];
                first[..NONCE_LEN].copy_from_slice(nonce);
                first[15] = 2;
                let counter = count_up(splat(wide128::reverse(wide128::load(&first))));
                let mut state = Self {
                    round_keys: &table.round_keys,
                    powers: &table.powers,
                    sums: &table.sums,
                    counter,
                    hash: _mm_setzero_si128(),
                };
                let h = wide128::load(&table.powers[POWERS - 1]);
                let mut aad = aad;
                while !aad.is_empty() {
                    let (block, rest) = aad.split_at(aad.len().min(16));
                    let block = wide128::reverse(wide128::load_partial(block));
                    state.hash = multiply(_mm_xor_si128(state.hash, block), h);
                    aad = rest;
                }
                state
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn key(&self, round: usize) -> V {
                broadcast(&self.round_keys[round])
            }

            /// The next counters, after the first round key.
            #[inline]
            #[target_feature(enable = $features)]
            fn counters<const N: usize>(&mut self) -> [V; N] {
                let key = self.key(0);
                let mut blocks = [key; N];
                for block in &mut blocks {
                    *block = xor(key, reverse(self.counter));
                    self.counter = add_counter(self.counter, LANES as i32);
                }
                blocks
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn round<const N: usize>(&self, blocks: &mut [V; N], round: usize) {
                let key = self.key(round);
                for block in blocks {
                    *block = aesenc(*block, key);
                }
            }

            /// Whole strides, from the front of `data`.
            #[inline]
            #[target_feature(enable = $features)]
            fn bulk<const SEAL: bool>(&mut self, data: &mut InOut<'_>) {
                // When sealing, what is hashed is the stride before: this one's ciphertext is
                // not there yet.
                let mut before = None;
                if SEAL {
                    let Some(mut chunk) = data.take::<STRIDE>() else {
                        return;
                    };
                    let mut blocks = self.counters::<VECTORS>();
                    each_round!(R, round => {
                        self.round(&mut blocks, round);
                    });
                    self.apply(blocks, &mut chunk);
                    before = Some(chunk);
                }
                // When opening, the compiler would put all products before all rounds, and AES-256
                // would take a third longer. CPUs with the widest registers look ahead further
                // than a stride, and need no help.
                let held = !SEAL && LANES < 4;
                while let Some(mut chunk) = data.take::<STRIDE>() {
                    let mut blocks = self.counters::<VECTORS>();
                    let mut sum = nothing();
                    each_round!(R, round => {
                        if held {
                            self.held_round(&mut blocks, round);
                        } else {
                            self.round(&mut blocks, round);
                        }
                        // Spread over the rounds; the first vector, which waits for the hash
                        // of the stride before, comes last.
                        let step = (round - 1) * VECTORS / (R - 2);
                        if step != round * VECTORS / (R - 2) {
                            let at = (step + 1) % VECTORS;
                            let text = match &before {
                                Some(before) => before.written(at * BYTES),
                                None => chunk.read(at * BYTES),
                            };
                            let text = load(text);
                            sum = self.hash_vector(sum, if held { hold(text) } else { text }, at);
                        }
                    });
                    self.hash = self.hashed(sum);
                    self.apply(blocks, &mut chunk);
                    if SEAL {
                        before = Some(chunk);
                    }
                }
                if let Some(before) = before {
                    let mut sum = nothing();
                    for at in 0..VECTORS {
                        sum = self.hash_vector(sum, load(before.written(at * BYTES)), at);
                    }
                    self.hash = self.hashed(sum);
                }
            }

            /// The last round, and the exclusive or with the text.
            #[inline]
            #[target_feature(enable = $features)]
            fn apply(&self, blocks: [V; VECTORS], chunk: &mut Chunk<'_, STRIDE>) {
                let last = self.key(R - 1);
                for (at, block) in blocks.into_iter().enumerate() {
                    let text = xor(load(chunk.read(at * BYTES)), aesenclast(block, last));
                    store(chunk.write(at * BYTES), text);
                }
            }

            /// The same, with its place among other things that are held.
            #[inline]
            #[target_feature(enable = $features)]
            fn held_round<const N: usize>(&self, blocks: &mut [V; N], round: usize) {
                let key = self.key(round);
                for block in blocks {
                    *block = hold(aesenc(*block, key));
                }
            }

            /// Adds the product of vector `at` of a stride. The middle part is that of the
            /// halves' sums, which takes one product instead of two (Karatsuba).
            #[inline]
            #[target_feature(enable = $features)]
            fn hash_vector(&self, sum: Product, text: V, at: usize) -> Product {
                let mut text = reverse(text);
                if at == 0 {
                    text = xor(text, from_block(self.hash));
                }
                let power = load(chunk(self.powers, (VECTORS - at) * LANES));
                let halves = xor(text, swap_halves(text));
                let sums = load(&self.sums.as_flattened().as_chunks().0[at / 2]);
                let mid = if at % 2 == 0 {
                    clmul::<0x00>(halves, sums)
                } else {
                    clmul::<0x10>(halves, sums)
                };
                Product {
                    low: xor(sum.low, clmul::<0x00>(text, power)),
                    mid: xor(sum.mid, mid),
                    high: xor(sum.high, clmul::<0x11>(text, power)),
                }
            }

            /// What a stride's products come to.
            #[inline]
            #[target_feature(enable = $features)]
            fn hashed(&self, sum: Product) -> __m128i {
                let mid = xor3(sum.mid, sum.low, sum.high);
                fold(reduce(Product { mid, ..sum }))
            }

            /// The last part, of at most `N` vectors and more than `N - 1`; gives the tag.
            #[inline]
            #[target_feature(enable = $features)]
            fn last<const SEAL: bool, const N: usize>(
                &mut self,
                data: &mut [u8],
                nonce: &[u8; NONCE_LEN],
                lengths: __m128i,
            ) -> [u8; 16] {
                let mut first = [0; 16];
                first[..NONCE_LEN].copy_from_slice(nonce);
                first[15] = 1;
                let mut mask = _mm_xor_si128(wide128::load(&first), low(self.key(0)));
                let mut blocks = self.counters::<N>();
                each_round!(R, round => {
                    self.round(&mut blocks, round);
                    mask = _mm_aesenc_si128(mask, low(self.key(round)));
                });
                let key = self.key(R - 1);
                mask = _mm_aesenclast_si128(mask, low(key));

                let count = data.len().div_ceil(16);
                let mut sum = nothing();
                for (at, block) in blocks.into_iter().enumerate() {
                    let here = data.get_mut(at * BYTES..).unwrap_or_default();
                    let input = load_partial(here);
                    let output = xor(input, aesenclast(block, key));
                    store_partial(here, output);
                    // Blocks of zeros behind the last one add nothing.
                    let hashed = if SEAL { keep(output, here.len()) } else { input };
                    let mut hashed = reverse(hashed);
                    if at == 0 {
                        hashed = xor(hashed, from_block(self.hash));
                    }
                    let power = load(chunk(self.powers, count + 1 - at * LANES));
                    sum = add_product(sum, hashed, power);
                }
                let lengths = if N == 0 { _mm_xor_si128(lengths, self.hash) } else { lengths };
                let h = wide128::load(&self.powers[POWERS - 1]);
                sum = add_product(sum, from_block(lengths), from_block(h));
                let hash = wide128::reverse(fold(reduce(sum)));
                let mut tag = [0; 16];
                wide128::store(&mut tag, _mm_xor_si128(hash, mask));
                tag
            }

            /// The last part, whatever its length below a stride; gives the tag.
            #[inline]
            #[target_feature(enable = $features)]
            fn finish<const SEAL: bool>(
                &mut self,
                data: &mut [u8],
                nonce: &[u8; NONCE_LEN],
                text_len: usize,
                aad_len: usize,
            ) -> [u8; 16] {
                let lengths = _mm_set_epi64x(aad_len as i64 * 8, text_len as i64 * 8);
                match data.len().div_ceil(BYTES) {
                    0 => self.last::<SEAL, 0>(data, nonce, lengths),
                    $($tail => self.last::<SEAL, $tail>(data, nonce, lengths),)+
                    // Less than a stride is left.
                    _ => self.last::<SEAL, VECTORS>(data, nonce, lengths),
                }
            }
        }

        #[target_feature(enable = $features)]
        fn seal<const R: usize>(
            table: &Table<R, SUMS>,
            iv: &Iv,
            record: &mut SealRecord<'_>,
        ) {
            seal_record(table, &iv.nonce(record.sequence), record);
        }

        /// Nothing stands between the records, so that the CPU begins one while the tag of the
        /// one before is on its way.
        #[target_feature(enable = $features)]
        fn seal_all<const R: usize>(
            table: &Table<R, SUMS>,
            iv: &Iv,
            records: &mut [SealRecord<'_>],
        ) {
            for record in records {
                seal_record(table, &iv.nonce(record.sequence), record);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn seal_record<const R: usize>(
            table: &Table<R, SUMS>,
            nonce: &[u8; NONCE_LEN],
            record: &mut SealRecord<'_>,
        ) {
            let text_len = record.plaintext_len();
            let Some((out, tag)) = record.out.split_at_mut_checked(text_len) else { return };
            let mut state = State::new(table, nonce, record.aad);

            // Whole strides go from the caller's memory to the record's at once.
            let mut payload = record.payload;
            let mut rest = out;
            if let Some(piece) = payload.as_slice() {
                let whole = piece.len() - piece.len() % STRIDE;
                let (to, behind) = rest.split_at_mut(whole);
                state.bulk::<true>(&mut InOut::between(&piece[..whole], to));
                payload = payload.split_at(whole).1;
                rest = behind;
            }
            // What is left, content type and padding, is put together in place.
            let (text, trailer) = rest.split_at_mut(payload.len());
            payload.copy_to(text);
            record.trailer.write_to(trailer);
            let whole = rest.len() - rest.len() % STRIDE;
            let (strides, last) = rest.split_at_mut(whole);
            state.bulk::<true>(&mut InOut::in_place(strides));
            let sealed = state.finish::<true>(last, nonce, text_len, record.aad.len());
            tag.copy_from_slice(&sealed);
        }

        #[target_feature(enable = $features)]
        fn open<K: Kernel, const R: usize>(
            table: &Table<R, SUMS>,
            iv: &Iv,
            record: &mut OpenRecord<'_>,
        ) -> bool {
            let is_right = open_record::<K, R>(table, &iv.nonce(record.sequence), record);
            is_right
        }

        /// As for [`seal_all`]: the CPU goes on while a tag is compared, on the assumption that
        /// it is right.
        #[target_feature(enable = $features)]
        fn open_all<K: Kernel, const R: usize>(
            table: &Table<R, SUMS>,
            iv: &Iv,
            records: &mut [OpenRecord<'_>],
        ) -> usize {
            let mut opened = 0;
            for record in records {
                let nonce = iv.nonce(record.sequence);
                if !open_record::<K, R>(table, &nonce, record) {
                    if opened > 0 {
                        // What is exclusive-ored twice is what it was.
                        let (text, _) = split_tag::<K>(record.in_out);
                        crypt::<true, R>(table, &nonce, &[], text);
                    }
                    break;
                }
                opened += 1;
            }
            opened
        }

        /// Decrypts a record, and says whether its tag is right.
        #[inline]
        #[target_feature(enable = $features)]
        fn open_record<K: Kernel, const R: usize>(
            table: &Table<R, SUMS>,
            nonce: &[u8; NONCE_LEN],
            record: &mut OpenRecord<'_>,
        ) -> bool {
            let (text, tag) = split_tag::<K>(record.in_out);
            let mut expected = crypt::<false, R>(table, nonce, record.aad, text);
            crate::low::verify::tag::<16>(&mut expected, tag)
        }

        /// Encrypts or decrypts a whole text in place; gives the tag.
        #[inline]
        #[target_feature(enable = $features)]
        fn crypt<const SEAL: bool, const R: usize>(
            table: &Table<R, SUMS>,
            nonce: &[u8; NONCE_LEN],
            aad: &[u8],
            text: &mut [u8],
        ) -> [u8; 16] {
            let mut state = State::new(table, nonce, aad);
            let text_len = text.len();
            let (strides, last) = text.split_at_mut(text_len - text_len % STRIDE);
            state.bulk::<SEAL>(&mut InOut::in_place(strides));
            state.finish::<SEAL>(last, nonce, text_len, aad.len())
        }
    };
}

pub(crate) mod aesni {
    //! One block in a register.
    kernel! {
        features: "aes,pclmulqdq,ssse3,sse4.1,avx",
        token: AesNi, wide: wide128, detail: "AES-NI, PCLMULQDQ",
        spills: 1280, stride: 8, tails: [1, 2, 3, 4, 5, 6, 7]
    }
}

pub(crate) mod vaes {
    //! Two blocks in a register.
    kernel! {
        features: "aes,pclmulqdq,avx2,vaes,vpclmulqdq",
        token: Vaes, wide: wide256, detail: "VAES, VPCLMULQDQ on AVX2",
        spills: 1920, stride: 6, tails: [1, 2, 3, 4, 5]
    }
}

pub(crate) mod avx512 {
    //! Four blocks in a register.
    kernel! {
        features: "aes,pclmulqdq,avx2,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl",
        token: Avx512, wide: wide512, detail: "VAES, VPCLMULQDQ on AVX-512",
        spills: 2560, stride: 4, tails: [1, 2, 3]
    }
}

#[cfg(test)]
pub(crate) mod models;
