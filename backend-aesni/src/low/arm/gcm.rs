//! AES-GCM (NIST SP 800-38D) for TLS records, with and without the three-way exclusive or.
//!
//! # Arithmetic
//!
//! GHASH counts bits from the first one of the first byte on. With the bits of each byte
//! reversed, which is one instruction, a block is a polynomial whose coefficients lie in
//! order, and products need no correction. A product of two blocks takes three
//! multiplications (Karatsuba); the sums of halves that this needs of the powers of the hash
//! key are kept with them. The hash of several blocks is a sum of products, reduced once
//! modulo x^128 + x^7 + x^2 + x + 1.
//!
//! # Shape of a record
//!
//! A stride is eight blocks, and AES of one stride overlaps with GHASH of another. The last
//! part, less than a stride, also computes E(J0), hashes the lengths and gives the tag; a
//! short record is a last part alone.

use super::aes::Block;
use crate::low::wipe;

/// Powers of the hash key: one more than the blocks of the longest last part, because the
/// lengths follow it.
const POWERS: usize = 9;

/// Blocks in a stride.
const STRIDE: usize = 8;
/// Bytes in a stride.
const STRIDE_BYTES: usize = 16 * STRIDE;

/// An expanded key of `R` round keys. Wiped when it is dropped.
struct Table<const R: usize> {
    round_keys: [Block; R],
    /// H, H^2, ...
    powers: [Block; POWERS],
    /// The sum of the halves of each of them, as a number in the machine's order.
    sums: [[u8; 8]; POWERS],
}

impl<const R: usize> Drop for Table<R> {
    fn drop(&mut self) {
        wipe::bytes(self.round_keys.as_flattened_mut());
        wipe::bytes(self.powers.as_flattened_mut());
        wipe::bytes(self.sums.as_flattened_mut());
    }
}

macro_rules! kernel {
    (features: $features:literal, token: $token:ident, detail: $detail:literal, xor3: $xor3:expr) => {
        use core::arch::aarch64::*;

        use crypto_api::{NONCE_LEN, OpenRecord, SealRecord};

        use super::super::{aes, aes::Block, neon::*};
        use super::{POWERS, STRIDE, STRIDE_BYTES, Table};
        use crate::low::cpu;
        use crate::low::depth::Depths;
        use crate::low::inout::InOut;
        use crate::record::{Iv, Kernel, split_tag};

        /// With 128-bit keys.
        pub(crate) struct Aes128Gcm(Table<11>, cpu::$token);
        /// With 256-bit keys.
        pub(crate) struct Aes256Gcm(Table<15>, cpu::$token);

        macro_rules! algorithm {
            ($name:ident, $key_len:literal, $rounds:literal) => {
                impl Kernel for $name {
                    type Key = [u8; $key_len];
                    const TAG_LEN: usize = 16;
                    const TEXT_MAX: usize = crate::low::GCM_TEXT_MAX;
                    const DETAIL: &'static str = $detail;
                    type Token = cpu::$token;

                    fn depths() -> &'static Depths {
                        static DEPTHS: Depths = Depths::unknown();
                        &DEPTHS
                    }

                    fn blank(token: Self::Token) -> Self {
                        let table = Table {
                            round_keys: [[0; 16]; $rounds],
                            powers: [[0; 16]; POWERS],
                            sums: [[0; 8]; POWERS],
                        };
                        Self(table, token)
                    }

                    fn set_key(&mut self, key: &Self::Key) {
                        // SAFETY: the token proves the features.
                        unsafe { expand(&mut self.0, key) };
                        Self::depths().key.wipe();
                    }

                    fn seal(&mut self, iv: &Iv, record: &mut SealRecord<'_>) {
                        // SAFETY: the token proves the features.
                        unsafe { seal_all(&self.0, iv, core::slice::from_mut(record)) };
                        Self::depths().seal.one.wipe();
                    }

                    fn seal_batch(&mut self, iv: &Iv, records: &mut [SealRecord<'_>]) {
                        // SAFETY: the token proves the features.
                        unsafe { seal_all(&self.0, iv, records) };
                        Self::depths().seal.batch.wipe();
                    }

                    fn open(&mut self, iv: &Iv, record: &mut OpenRecord<'_>) -> bool {
                        let records = core::slice::from_mut(record);
                        // SAFETY: the token proves the features.
                        let opened = unsafe { open_all::<Self, _>(&self.0, iv, records) };
                        Self::depths().open.one.wipe();
                        opened == 1
                    }

                    fn open_batch(&mut self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> usize {
                        // SAFETY: the token proves the features.
                        let opened = unsafe { open_all::<Self, _>(&self.0, iv, records) };
                        Self::depths().open.batch.wipe();
                        opened
                    }
                }
            };
        }
        algorithm!(Aes128Gcm, 16, 11);
        algorithm!(Aes256Gcm, 32, 15);

        #[inline]
        #[target_feature(enable = $features)]
        fn xor3(a: V, b: V, c: V) -> V {
            $xor3(a, b, c)
        }

        /// The first half of a block.
        #[inline]
        #[target_feature(enable = $features)]
        fn half(v: V) -> u64 {
            vgetq_lane_u64::<0>(vreinterpretq_u64_u8(v))
        }

        /// The product of the first halves.
        #[inline]
        #[target_feature(enable = $features)]
        fn multiply_first(a: V, b: V) -> V {
            vreinterpretq_u8_p128(vmull_p64(half(a), half(b)))
        }

        /// The product of the second halves.
        #[inline]
        #[target_feature(enable = $features)]
        fn multiply_second(a: V, b: V) -> V {
            vreinterpretq_u8_p128(vmull_high_p64(
                vreinterpretq_p64_u8(a),
                vreinterpretq_p64_u8(b),
            ))
        }

        /// The sum of both halves, in the first.
        #[inline]
        #[target_feature(enable = $features)]
        fn halves(v: V) -> V {
            xor(v, vextq_u8::<8>(v, v))
        }

        /// A sum of products that is not yet reduced: of the first halves, of the second
        /// halves, and of the sums of halves.
        #[derive(Clone, Copy)]
        struct Product {
            first: V,
            second: V,
            sums: V,
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn nothing() -> Product {
            Product {
                first: zero(),
                second: zero(),
                sums: zero(),
            }
        }

        /// `a * b`, where `sum` is the sum of the halves of `b`.
        #[inline]
        #[target_feature(enable = $features)]
        fn product(a: V, b: V, sum: u64) -> Product {
            Product {
                first: multiply_first(a, b),
                second: multiply_second(a, b),
                sums: vreinterpretq_u8_p128(vmull_p64(half(halves(a)), sum)),
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn add(to: Product, a: Product, b: Product) -> Product {
            Product {
                first: xor3(to.first, a.first, b.first),
                second: xor3(to.second, a.second, b.second),
                sums: xor3(to.sums, a.sums, b.sums),
            }
        }

        /// Reduces: what lies above x^192, then what lies above x^128, comes down multiplied by
        /// x^7 + x^2 + x + 1.
        #[inline]
        #[target_feature(enable = $features)]
        fn reduce(product: Product) -> V {
            let poly = vreinterpretq_u8_u64(vdupq_n_u64(0x87));
            let Product {
                first,
                second,
                sums,
            } = product;
            // From x^64 on.
            let middle = xor3(sums, first, second);
            let middle = xor(middle, multiply_second(second, poly));
            let above = xor(second, vextq_u8::<8>(middle, zero()));
            let low = xor(first, vextq_u8::<8>(zero(), middle));
            xor(low, multiply_first(above, poly))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn multiply(a: V, b: V, sum: u64) -> V {
            reduce(product(a, b, sum))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn encrypt<const R: usize>(round_keys: &[Block; R], mut block: V) -> V {
            for key in &round_keys[..R - 2] {
                block = round(block, load(key));
            }
            last_round(block, load(&round_keys[R - 2]), load(&round_keys[R - 1]))
        }

        /// Fills in round keys and powers of the hash key.
        #[target_feature(enable = $features)]
        fn expand<const R: usize>(table: &mut Table<R>, key: &[u8]) {
            aes::expand(key, &mut table.round_keys);
            let h = vrbitq_u8(encrypt(&table.round_keys, zero()));
            let sum = half(halves(h));
            let mut power = h;
            for (out, sums) in table.powers.iter_mut().zip(&mut table.sums) {
                store(out, power);
                *sums = half(halves(power)).to_ne_bytes();
                power = multiply(power, h, sum);
            }
        }

        /// What the functions below share: a key, and how far the record is.
        struct State<'a, const R: usize> {
            table: &'a Table<R>,
            /// The next counter block, in words of the machine's order.
            counter: uint32x4_t,
            /// The hash so far, in the order of [`vrbitq_u8`].
            hash: V,
        }

        impl<'a, const R: usize> State<'a, R> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(table: &'a Table<R>, nonce: &[u8; NONCE_LEN], aad: &[u8]) -> Self {
                let mut first = [0; 16];
                first[..NONCE_LEN].copy_from_slice(nonce);
                first[15] = 1;
                let mut state = Self {
                    table,
                    counter: vreinterpretq_u32_u8(vrev32q_u8(load(&first))),
                    hash: zero(),
                };
                let h = load(&table.powers[0]);
                for block in aad.chunks(16) {
                    let block = vrbitq_u8(load_partial(block));
                    let sum = u64::from_ne_bytes(table.sums[0]);
                    state.hash = multiply(xor(state.hash, block), h, sum);
                }
                state
            }

            /// The next counter block.
            #[inline]
            #[target_feature(enable = $features)]
            fn counter_block(&mut self) -> V {
                let block = vrev32q_u8(vreinterpretq_u8_u32(self.counter));
                self.counter = vaddq_u32(self.counter, vsetq_lane_u32::<3>(1, vdupq_n_u32(0)));
                block
            }

            /// Takes blocks through a round.
            #[inline]
            #[target_feature(enable = $features)]
            fn round<const N: usize>(&self, blocks: &mut [V; N], at: usize) {
                let key = self.key(at);
                for block in blocks {
                    *block = round(*block, key);
                }
            }

            /// The sum of the products of two neighbours in a stride.
            #[inline]
            #[target_feature(enable = $features)]
            fn hash_two(&self, sum: Product, text: &[V; STRIDE], at: usize) -> Product {
                let mut first = vrbitq_u8(text[at]);
                if at == 0 {
                    first = xor(first, self.hash);
                }
                let first = self.times(first, STRIDE - at);
                let second = self.times(vrbitq_u8(text[at + 1]), STRIDE - at - 1);
                add(sum, first, second)
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn key(&self, round: usize) -> V {
                load(&self.table.round_keys[round])
            }

            /// A block times H^`power`.
            #[inline]
            #[target_feature(enable = $features)]
            fn times(&self, block: V, power: usize) -> Product {
                product(
                    block,
                    load(&self.table.powers[power - 1]),
                    u64::from_ne_bytes(self.table.sums[power - 1]),
                )
            }

            /// Whole strides, from the front of `data`.
            #[inline]
            #[target_feature(enable = $features)]
            fn bulk<const SEAL: bool>(&mut self, data: &mut InOut<'_>) {
                // When sealing, what is hashed is the stride before: this one's ciphertext is
                // not there yet.
                let mut before: Option<[V; STRIDE]> = None;
                while let Some(mut chunk) = data.take::<STRIDE_BYTES>() {
                    let mut text = [zero(); STRIDE];
                    for (at, text) in text.iter_mut().enumerate() {
                        *text = load(chunk.read(16 * at));
                    }
                    let mut blocks = [zero(); STRIDE];
                    for block in &mut blocks {
                        *block = self.counter_block();
                    }
                    // Two rounds, and two blocks of the hash in their gaps.
                    let hashed = if SEAL { before.as_ref() } else { Some(&text) };
                    let mut sum = nothing();
                    for at in (0..STRIDE).step_by(2) {
                        self.round(&mut blocks, at);
                        self.round(&mut blocks, at + 1);
                        if let Some(hashed) = hashed {
                            sum = self.hash_two(sum, hashed, at);
                        }
                    }
                    for at in STRIDE..R - 2 {
                        self.round(&mut blocks, at);
                    }
                    if hashed.is_some() {
                        self.hash = reduce(sum);
                    }
                    let (key, last) = (self.key(R - 2), self.key(R - 1));
                    for (at, (text, block)) in text.iter_mut().zip(blocks).enumerate() {
                        *text = xor(*text, last_round(block, key, last));
                        store(chunk.write(16 * at), *text);
                    }
                    if SEAL {
                        before = Some(text);
                    }
                }
                if let Some(before) = before {
                    let mut sum = nothing();
                    for at in (0..STRIDE).step_by(2) {
                        sum = self.hash_two(sum, &before, at);
                    }
                    self.hash = reduce(sum);
                }
            }

            /// The last part, of at most `N` blocks; `mask` is J0, to be encrypted.
            /// Gives the tag.
            #[inline]
            #[target_feature(enable = $features)]
            fn last<const SEAL: bool, const N: usize>(
                &mut self,
                data: &mut [u8],
                mut mask: V,
                lengths: V,
            ) -> [u8; 16] {
                let mut blocks = [zero(); N];
                for block in &mut blocks {
                    *block = self.counter_block();
                }
                for at in 0..R - 2 {
                    mask = round(mask, self.key(at));
                    self.round(&mut blocks, at);
                }
                let (key, last) = (self.key(R - 2), self.key(R - 1));
                mask = last_round(mask, key, last);

                let count = data.len().div_ceil(16);
                let mut sum = nothing();
                let mut pieces = data.chunks_mut(16);
                for (at, block) in blocks.into_iter().enumerate() {
                    let Some(here) = pieces.next() else { break };
                    let input = load_partial(here);
                    let output = xor(input, last_round(block, key, last));
                    store_partial(here, output);
                    let mut text = vrbitq_u8(if SEAL {
                        keep(output, here.len())
                    } else {
                        input
                    });
                    if at == 0 {
                        text = xor(text, self.hash);
                    }
                    sum = add(sum, nothing(), self.times(text, count + 1 - at));
                }
                let mut lengths = vrbitq_u8(lengths);
                if count == 0 {
                    lengths = xor(lengths, self.hash);
                }
                sum = add(sum, nothing(), self.times(lengths, 1));
                let mut tag = [0; 16];
                store(&mut tag, xor(vrbitq_u8(reduce(sum)), mask));
                tag
            }

            /// The last part, whatever its length below a stride; gives the tag.
            #[inline]
            #[target_feature(enable = $features)]
            fn finish<const SEAL: bool>(
                &mut self,
                data: &mut [u8],
                mask: V,
                text_len: usize,
                aad_len: usize,
            ) -> [u8; 16] {
                let lengths = (aad_len as u128 * 8) << 64 | (text_len as u128 * 8);
                let lengths = from_u128(lengths.swap_bytes());
                match data.len().div_ceil(16) {
                    0 => self.last::<SEAL, 0>(data, mask, lengths),
                    1 => self.last::<SEAL, 1>(data, mask, lengths),
                    2 => self.last::<SEAL, 2>(data, mask, lengths),
                    3..=4 => self.last::<SEAL, 4>(data, mask, lengths),
                    // Less than a stride is left.
                    _ => self.last::<SEAL, STRIDE>(data, mask, lengths),
                }
            }
        }

        /// Nothing stands between the records, so that the CPU begins one while the tag of the
        /// one before is on its way.
        #[target_feature(enable = $features)]
        fn seal_all<const R: usize>(table: &Table<R>, iv: &Iv, records: &mut [SealRecord<'_>]) {
            for record in records {
                seal(table, &iv.nonce(record.sequence), record);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn seal<const R: usize>(
            table: &Table<R>,
            nonce: &[u8; NONCE_LEN],
            record: &mut SealRecord<'_>,
        ) {
            let text_len = record.plaintext_len();
            let Some((out, tag)) = record.out.split_at_mut_checked(text_len) else {
                return;
            };
            let mut state = State::new(table, nonce, record.aad);
            let mask = state.counter_block();

            // Whole strides go from the caller's memory to the record's at once.
            let mut payload = record.payload;
            let mut rest = out;
            if let Some(piece) = payload.as_slice() {
                let whole = piece.len() - piece.len() % STRIDE_BYTES;
                let (to, behind) = rest.split_at_mut(whole);
                state.bulk::<true>(&mut InOut::between(&piece[..whole], to));
                payload = payload.split_at(whole).1;
                rest = behind;
            }
            // What is left, content type and padding, is put together in place.
            let (text, trailer) = rest.split_at_mut(payload.len());
            payload.copy_to(text);
            record.trailer.write_to(trailer);
            let whole = rest.len() - rest.len() % STRIDE_BYTES;
            let (strides, last) = rest.split_at_mut(whole);
            state.bulk::<true>(&mut InOut::in_place(strides));
            let sealed = state.finish::<true>(last, mask, text_len, record.aad.len());
            tag.copy_from_slice(&sealed);
        }

        /// As for [`seal_all`]: the CPU goes on while a tag is compared, on the assumption that
        /// it is right.
        #[target_feature(enable = $features)]
        fn open_all<K: Kernel, const R: usize>(
            table: &Table<R>,
            iv: &Iv,
            records: &mut [OpenRecord<'_>],
        ) -> usize {
            let mut opened = 0;
            for record in records {
                let nonce = iv.nonce(record.sequence);
                let (text, tag) = split_tag::<K>(record.in_out);
                let mut expected = crypt::<false, R>(table, &nonce, record.aad, text);
                if !crate::low::verify::tag::<16>(&mut expected, tag) {
                    if opened > 0 {
                        // What is exclusive-ored twice is what it was.
                        crypt::<true, R>(table, &nonce, &[], text);
                    }
                    break;
                }
                opened += 1;
            }
            opened
        }

        /// Encrypts or decrypts a whole text in place; gives the tag.
        #[inline]
        #[target_feature(enable = $features)]
        fn crypt<const SEAL: bool, const R: usize>(
            table: &Table<R>,
            nonce: &[u8; NONCE_LEN],
            aad: &[u8],
            text: &mut [u8],
        ) -> [u8; 16] {
            let mut state = State::new(table, nonce, aad);
            let mask = state.counter_block();
            let text_len = text.len();
            let (strides, last) = text.split_at_mut(text_len - text_len % STRIDE_BYTES);
            state.bulk::<SEAL>(&mut InOut::in_place(strides));
            state.finish::<SEAL>(last, mask, text_len, aad.len())
        }
    };
}

pub(crate) mod aes_pmull {
    //! With two exclusive ors for a sum of three.
    kernel! {
        features: "neon,aes", token: ArmAes, detail: "ARMv8 AES, PMULL",
        xor3: |a, b, c| xor(a, xor(b, c))
    }
}

pub(crate) mod eor3 {
    //! With one.
    kernel! {
        features: "neon,aes,sha3", token: ArmEor3, detail: "ARMv8 AES, PMULL, EOR3",
        xor3: veor3q_u8
    }
}
