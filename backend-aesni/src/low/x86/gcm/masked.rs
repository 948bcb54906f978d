//! GCM on registers of four blocks that can be read and written in part.
//!
//! A record is whole strides and a tail. In the tail the text ends in front of the last lane of
//! its last vector, whatever its length: the lanes before its first block stay empty. So the
//! powers of the hash key stand where they stand for every other stride, the last lane has room
//! for the lengths in the hash, and for the counter of J0 in AES: a tail is nothing but AES and
//! products of a few vectors, like a stride.
//!
//! What only waits is put beside what keeps the units busy: the hash of the last stride beside
//! the tail's AES. The records of a batch follow one another in one loop, without anything
//! between them that a CPU could not look past: round keys stay in registers.

macro_rules! masked {
    (
        features: $features:literal, token: $token:ident, wide: $($wide:ident)::+, detail: $detail:literal,
        group: $group:literal
    ) => {
        use core::arch::x86_64::*;

        use crypto_api::{OpenRecord, SealRecord};

        use crate::low::x86::gcm::{Table, more::LONG};
        use crate::low::x86::{aes, aes::Block, wide128, $($wide)::+::*};
        use crate::low::cpu;
        use crate::low::depth::Depths;
        use crate::low::inout::{Chunk, InOut};
        use crate::record::{Iv, Kernel, split_tag};

        /// Vectors in a stride: as many as hide the latency of a round of AES.
        const VECTORS: usize = 4;
        /// Vectors in the longest tail.
        const LONGEST: usize = VECTORS + 1;

        key! {
            features: $features, token: $token, detail: $detail,
            powers: 20, with: more
        }
        hash! { $features }
        more! { $features, group: $group }
        counter! { $features }
        strides! { $features }
        tail! { $features }
        twins! { $features }

        /// How many of `whole` bytes at the front of a text are for whole strides. What is left
        /// has a block and a byte at least, if there is a stride: less would have to be waited
        /// for.
        #[inline(always)]
        fn strides(whole: usize, text_len: usize) -> usize {
            let strides = whole / STRIDE;
            match text_len - strides * STRIDE {
                ..=16 => strides.saturating_sub(1),
                _ => strides,
            }
        }

        /// A record's payload in one piece, if nothing but a byte of content type follows it: it
        /// is read where the caller has it, since what was just written in pieces is slow to be
        /// read.
        #[inline(always)]
        fn in_one_piece<'a>(record: &SealRecord<'a>) -> Option<&'a [u8]> {
            match record.trailer.padding {
                0 => record.payload.as_slice(),
                _ => None,
            }
        }

        /// Puts a record's text together in place, unless it is in one piece.
        #[inline(always)]
        fn put_together(record: &mut SealRecord<'_>) {
            if in_one_piece(record).is_none()
                && let Some(out) = record.out.get_mut(..record.payload.len() + record.trailer.len())
            {
                let (text, trailer) = out.split_at_mut(record.payload.len());
                record.payload.copy_to(text);
                record.trailer.write_to(trailer);
            }
        }

        // Not into a caller's frame, below which traces are wiped: a build for one CPU could.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn seal<const R: usize>(key: &mut Key<R>, iv: &Iv, record: &mut SealRecord<'_>) {
            seal_each(key, iv, core::slice::from_mut(record));
        }

        #[inline(never)]
        #[target_feature(enable = $features)]
        fn seal_all<const R: usize>(key: &mut Key<R>, iv: &Iv, records: &mut [SealRecord<'_>]) {
            let mut records = records;
            while !records.is_empty() {
                let (alone, alike) = Shape::split(records, |record| shape_to_seal(record));
                let (now, others) = records.split_at_mut(alone);
                if !now.is_empty() {
                    seal_each(key, iv, now);
                }
                let (now, others) = others.split_at_mut(alike);
                if !now.is_empty() {
                    seal_together(key, iv, now);
                }
                records = others;
            }
        }

        #[inline(never)]
        #[target_feature(enable = $features)]
        fn seal_each<const R: usize>(key: &mut Key<R>, iv: &Iv, records: &mut [SealRecord<'_>]) {
            let mut total = 0;
            for record in &mut *records {
                total += record.plaintext_len();
                put_together(record);
            }
            key.prepare(total);
            let key = Held::new(key);
            for record in records {
                let text_len = record.plaintext_len();
                let nonce = iv.nonce_block(record.sequence);
                let direct = in_one_piece(record);
                let Some((out, tag)) = record.out.split_at_mut_checked(text_len) else { return };
                let Some(tag) = tag.first_chunk_mut() else { return };
                let mut data = match direct {
                    Some(piece) => InOut::between(piece, out),
                    None => InOut::in_place(out),
                };
                let strides = strides(data.len(), text_len);
                let mut run = Run::new(&key, nonce, record.aad, strides);
                let before = run.strides::<true>(&mut data, strides);
                let tail = Tail {
                    data,
                    content_type: record.trailer.content_type.unwrap_or_default(),
                    first: (STRIDE / 16 * strides) as u32,
                    lengths: lengths(record.aad.len(), text_len),
                };
                wide128::store(tag, finish!(run, true, before, strides > 0, tail));
            }
        }

        #[inline(never)]
        #[target_feature(enable = $features)]
        fn open<K: Kernel, const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            record: &mut OpenRecord<'_>,
        ) -> bool {
            open_each::<K, R>(key, iv, core::slice::from_mut(record), 0) == 1
        }

        /// Opens records as long as their tags are right; says how many.
        ///
        /// The CPU goes on while a tag is compared, on the assumption that it is right.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn open_all<K: Kernel, const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            records: &mut [OpenRecord<'_>],
        ) -> usize {
            let mut opened = 0;
            while opened < records.len() {
                let others = &mut records[opened..];
                let (alone, alike) = Shape::split(others, |record| shape_to_open::<K>(record));
                let (one_by_one, others) = others.split_at_mut(alone);
                let mut done = 0;
                if alone > 0 {
                    done = open_each::<K, R>(key, iv, one_by_one, opened);
                }
                if done == alone && alike > 0 {
                    done += open_together::<K, R>(key, iv, &mut others[..alike], opened + done);
                }
                opened += done;
                if done < alone + alike {
                    break;
                }
            }
            opened
        }

        /// The same, one by one: `earlier` were opened before.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn open_each<K: Kernel, const R: usize>(
            key: &mut Key<R>,
            iv: &Iv,
            records: &mut [OpenRecord<'_>],
            earlier: usize,
        ) -> usize {
            key.prepare(records.iter().fold(0, |total, record| total + record.in_out.len()));
            let held = Held::new(key);
            let mut opened = 0;
            for record in records {
                let nonce = iv.nonce_block(record.sequence);
                let (text, tag) = split_tag::<K>(record.in_out);
                let lengths = lengths(record.aad.len(), text.len());
                let strides = strides(text.len(), text.len());
                let mut data = InOut::in_place(&mut *text);
                let mut run = Run::new(&held, nonce, record.aad, strides);
                let before = run.strides::<false>(&mut data, strides);
                let first = (STRIDE / 16 * strides) as u32;
                let tail = Tail { data, content_type: 0, first, lengths };
                // Behind the text, whose last bytes are written soon: a load waits for a store
                // that might reach there.
                let tag = wide128::load_partial(tag);
                let expected = finish!(run, false, before, false, tail);
                if !crate::low::verify::block(expected, tag) {
                    if earlier + opened > 0 {
                        restore(&key.table.round_keys, nonce, text);
                    }
                    break;
                }
                opened += 1;
            }
            opened
        }

        /// What is exclusive-ored twice with the same is what it was.
        #[cold]
        #[target_feature(enable = $features)]
        fn restore<const R: usize>(round_keys: &[Block; R], nonce: u128, text: &mut [u8]) {
            let first = wide128::from_u128(nonce | 2 << 120);
            let mut counter = count_up(splat(wide128::reverse(first)));
            for vector in text.chunks_mut(BYTES) {
                let mut blocks = xor(reverse(counter), broadcast(&round_keys[0]));
                for key in &round_keys[1..R - 1] {
                    blocks = aesenc(blocks, broadcast(key));
                }
                blocks = aesenclast(blocks, broadcast(&round_keys[R - 1]));
                let restored = xor(load_partial(vector), blocks);
                store_partial(vector, restored);
                counter = add_counter(counter, LANES as i32);
            }
        }
    };
}
