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
//! one stride overlaps with GHASH of another, and a last part of no more than a stride and a block
//! that also computes E(J0), hashes the lengths and gives the tag. A short record is a last part alone.
//! [`masked!`] does the same where registers can be read and written in part, which gives the
//! last part the form of a stride, and where there are enough of them to hold a key's rounds;
//! records of a batch that are alike are worked on two at a time there.

use super::aes::Block;
use crate::low::wipe;

/// An expanded key: `R` round keys, `P` powers of the hash key, and `S` blocks for their folded
/// halves.
///
/// Where the allocator puts the table is its affair: asking it for more alignment than it has at
/// hand takes longer than a key's arithmetic.
#[repr(C, align(16))]
pub(crate) struct Table<const R: usize, const P: usize, const S: usize> {
    round_keys: [Block; R],
    /// From the highest to H^1: as many as the longest last part has blocks, and the lengths.
    powers: [Block; P],
    /// For each stride's pair of vectors of powers, both halves of each block added: those of
    /// the first vector low, those of the second high.
    sums: [Block; S],
}

impl<const R: usize, const P: usize, const S: usize> Drop for Table<R, P, S> {
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

#[macro_use]
mod bulk;
#[macro_use]
mod counter;
#[macro_use]
mod hash;
#[macro_use]
mod key;
#[macro_use]
mod masked;
#[macro_use]
mod more;
#[macro_use]
mod strides;
#[macro_use]
mod tail;
#[macro_use]
mod twins;

macro_rules! kernel {
    (
        features: $features:literal, token: $token:ident, wide: $($wide:ident)::+, detail: $detail:literal,
        stride: $vectors:literal, tails: [$($tail:literal),+ $(,)?]
    ) => {
        use core::arch::x86_64::*;

        use crypto_api::{OpenRecord, SealRecord};

        use crate::low::x86::gcm::Table;
        use crate::low::x86::{aes, aes::Block, wide128, $($wide)::+::*};
        use crate::low::cpu;
        use crate::low::depth::Depths;
        use crate::low::inout::{Chunk, InOut};
        use crate::record::{Iv, Kernel, split_tag};

        /// Vectors in a stride.
        const VECTORS: usize = $vectors;
        key! {
            features: $features, token: $token, detail: $detail,
            powers: VECTORS * LANES + 2
        }
        hash! { $features }
        counter! { $features }
        bulk! { $features }

        /// What the functions below share: a key, and how far the record is.
        struct State<'a, const R: usize> {
            round_keys: &'a [Block; R],
            /// From the highest on.
            powers: &'a [Block; POWERS],
            sums: &'a [Block; SUMS],
            /// Counter block of the next vector's lanes, byte-reversed.
            counter: V,
            /// The hash so far, byte-reversed.
            hash: __m128i,
        }

        impl<'a, const R: usize> State<'a, R> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(key: &'a Key<R>, nonce: u128, aad: &[u8]) -> Self {
                let table = &key.table;
                // The counter is the last four bytes; 1 is for the tag.
                let first = wide128::from_u128(nonce | 2 << 120);
                let counter = count_up(splat(wide128::reverse(first)));
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

            /// The last part, of at most `N` vectors and more than `N - 1`; gives the tag.
            #[inline]
            #[target_feature(enable = $features)]
            fn last<const SEAL: bool, const FROM: bool, const N: usize>(
                &mut self,
                from: Unsealed<'_>,
                data: &mut [u8],
                nonce: u128,
                lengths: __m128i,
            ) -> [u8; 16] {
                let first = wide128::from_u128(nonce | 1 << 120);
                let mut mask = _mm_xor_si128(first, low(self.key(0)));
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
                    let input = if FROM { from.vector(at) } else { load_partial(here) };
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

            /// The last part, whatever its length up to a stride; gives the tag. What is to be
            /// sealed comes from elsewhere, or is in place.
            #[inline]
            #[target_feature(enable = $features)]
            fn finish<const SEAL: bool, const FROM: bool>(
                &mut self,
                from: Unsealed<'_>,
                data: &mut [u8],
                nonce: u128,
                text_len: usize,
                aad_len: usize,
            ) -> [u8; 16] {
                let lengths = _mm_set_epi64x(aad_len as i64 * 8, text_len as i64 * 8);
                match data.len().div_ceil(BYTES) {
                    0 => self.last::<SEAL, FROM, 0>(from, data, nonce, lengths),
                    $($tail => self.last::<SEAL, FROM, $tail>(from, data, nonce, lengths),)+
                    VECTORS => self.last::<SEAL, FROM, VECTORS>(from, data, nonce, lengths),
                    // There is no more: see `strides`.
                    _ => self.last::<SEAL, FROM, { VECTORS + 1 }>(from, data, nonce, lengths),
                }
            }
        }

        /// What is left of a text to be sealed, where the caller has it: it is not copied in
        /// front of being encrypted, since what was just written in pieces is slow to be read.
        #[derive(Clone, Copy, Default)]
        struct Unsealed<'a> {
            text: &'a [u8],
            /// What follows it.
            content_type: u8,
        }

        impl Unsealed<'_> {
            /// The vector with this number; zeros behind the end.
            #[inline]
            #[target_feature(enable = $features)]
            fn vector(&self, at: usize) -> V {
                let here = self.text.get(at * BYTES..).unwrap_or_default();
                let vector = load_partial(here);
                match self.text.len().checked_sub(at * BYTES) {
                    Some(end) if end < BYTES => xor(vector, byte_at(self.content_type, end)),
                    _ => vector,
                }
            }
        }

        /// How many bytes of a text are for the bulk loop: whole strides, and not the last one if
        /// no more than a block follows it, which would have to be waited for.
        #[inline(always)]
        fn strides(text_len: usize) -> usize {
            let behind = text_len % STRIDE;
            let whole = text_len - behind;
            if whole > 0 && (1..=16).contains(&behind) { whole - STRIDE } else { whole }
        }

        // Not into a caller's frame, below which traces are wiped: a build for one CPU could.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn seal<const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            record: &mut SealRecord<'_>,
        ) {
            seal_record(key, iv.nonce_block(record.sequence), record);
        }

        /// Nothing stands between the records, so that the CPU begins one while the tag of the
        /// one before is on its way.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn seal_all<const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            records: &mut [SealRecord<'_>],
        ) {
            for record in records {
                seal_record(key, iv.nonce_block(record.sequence), record);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn seal_record<const R: usize>(
            key: &mut Key<R>,
            nonce: u128,
            record: &mut SealRecord<'_>,
        ) {
            let text_len = record.plaintext_len();
            let Some((out, tag)) = record.out.split_at_mut_checked(text_len) else { return };
            let mut state = State::new(key, nonce, record.aad);

            // Whole strides go from the caller's memory to the record's at once.
            let mut payload = record.payload;
            let mut rest = out;
            let aad_len = record.aad.len();
            if let Some(piece) = payload.as_slice() {
                let whole = strides(text_len).min(piece.len() - piece.len() % STRIDE);
                let (to, behind) = rest.split_at_mut(whole);
                state.bulk::<true>(&mut InOut::between(&piece[..whole], to));
                if let (Some(content_type), 0) =
                    (record.trailer.content_type, record.trailer.padding)
                {
                    let text = &piece[whole..];
                    let from = Unsealed { text, content_type };
                    let sealed = state.finish::<true, true>(from, behind, nonce, text_len, aad_len);
                    tag.copy_from_slice(&sealed);
                    return;
                }
                payload = payload.split_at(whole).1;
                rest = behind;
            }
            // What is left, content type and padding, is put together in place.
            let (text, trailer) = rest.split_at_mut(payload.len());
            payload.copy_to(text);
            record.trailer.write_to(trailer);
            let (strides, last) = rest.split_at_mut(strides(rest.len()));
            state.bulk::<true>(&mut InOut::in_place(strides));
            let from = Unsealed::default();
            let sealed = state.finish::<true, false>(from, last, nonce, text_len, aad_len);
            tag.copy_from_slice(&sealed);
        }

        #[inline(never)]
        #[target_feature(enable = $features)]
        fn open<K: Kernel, const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            record: &mut OpenRecord<'_>,
        ) -> bool {
            open_record::<K, R>(key, iv.nonce_block(record.sequence), record)
        }

        /// As for [`seal_all`]: the CPU goes on while a tag is compared, on the assumption that
        /// it is right.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn open_all<K: Kernel, const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            records: &mut [OpenRecord<'_>],
        ) -> usize {
            let mut opened = 0;
            for record in records {
                let nonce = iv.nonce_block(record.sequence);
                if !open_record::<K, R>(key, nonce, record) {
                    if opened > 0 {
                        // What is exclusive-ored twice is what it was.
                        let (text, _) = split_tag::<K>(record.in_out);
                        crypt::<true, R>(key, nonce, &[], text);
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
            key: &mut Key<R>,
            nonce: u128,
            record: &mut OpenRecord<'_>,
        ) -> bool {
            let (text, tag) = split_tag::<K>(record.in_out);
            let mut expected = crypt::<false, R>(key, nonce, record.aad, text);
            crate::low::verify::tag::<16>(&mut expected, tag)
        }

        /// Encrypts or decrypts a whole text in place; gives the tag.
        #[inline]
        #[target_feature(enable = $features)]
        fn crypt<const SEAL: bool, const R: usize>(
            key: &mut Key<R>,
            nonce: u128,
            aad: &[u8],
            text: &mut [u8],
        ) -> [u8; 16] {
            let text_len = text.len();
            let mut state = State::new(key, nonce, aad);
            let (strides, last) = text.split_at_mut(strides(text_len));
            state.bulk::<SEAL>(&mut InOut::in_place(strides));
            state.finish::<SEAL, false>(Unsealed::default(), last, nonce, text_len, aad.len())
        }
    };
}

pub(crate) mod aesni {
    //! One block in a register.
    kernel! {
        features: "aes,pclmulqdq,ssse3,sse4.1,avx",
        token: AesNi, wide: wide128, detail: "AES-NI, PCLMULQDQ",
        stride: 8, tails: [1, 2, 3, 4, 5, 6, 7]
    }
}

pub(crate) mod vaes {
    //! Two blocks in a register.
    kernel! {
        features: "aes,pclmulqdq,avx2,vaes,vpclmulqdq",
        token: Vaes, wide: wide256, detail: "VAES, VPCLMULQDQ on AVX2",
        stride: 6, tails: [1, 2, 3, 4, 5]
    }
}

pub(crate) mod avx512 {
    //! Four blocks in a register.
    masked! {
        features: "aes,pclmulqdq,avx2,bmi2,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl",
        token: Avx512, wide: wide512, detail: "VAES, VPCLMULQDQ on AVX-512",
        group: 2
    }
}

#[cfg(test)]
pub(crate) mod models;
