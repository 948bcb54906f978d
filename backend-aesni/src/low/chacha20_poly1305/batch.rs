//! Several short records at once.
//!
//! A pass that one record does not fill makes blocks for those behind it as well, and while it
//! runs, the record before is authenticated. Ciphertext that is to be opened is only decrypted
//! when its tag has been found right, so nothing ever has to be put back.

use core::array;
use core::mem;

use crypto_api::{OpenRecord, SealRecord};

use super::{BLOCK, ChaCha20Poly1305, Engine, KEYSTREAM, Poly1305, State, whole};
use crate::low::verify;
use crate::record::{Iv, Kernel, split_tag};

/// The longest text in bytes that shares passes: 2 KiB, and a content type behind it.
pub(super) const SHORT: usize = 2048 + BLOCK;

/// Records of a group.
pub(super) const GROUP: usize = 16;

/// Words 12 to 15 of up to sixteen states: the counter and the nonce, which differ.
pub(crate) struct Lanes(pub(crate) [[u32; 16]; 4]);

impl Lanes {
    /// Block 0, and those from block `next` on.
    #[inline]
    pub(crate) fn starting(State(words): &State, next: u32) -> Self {
        let [.., counter, a, b, c] = *words;
        let counters = array::from_fn(|lane| match lane as u32 {
            0 => counter,
            lane => next.wrapping_add(lane - 1),
        });
        Self([counters, [a; 16], [b; 16], [c; 16]])
    }

    /// The blocks that follow a state.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn following(State(words): &State) -> Self {
        let [.., counter, a, b, c] = *words;
        let counters = array::from_fn(|lane| counter.wrapping_add(lane as u32));
        Self([counters, [a; 16], [b; 16], [c; 16]])
    }
}

/// Keystream, which is wiped with the frame that it lies in: what is wiped after a batch reaches it.
#[repr(C, align(64))]
struct Buffer<const N: usize>([u8; N]);

/// A record, its text in the place where it is worked on.
#[derive(Default)]
struct Record<'a> {
    sequence: u64,
    aad: &'a [u8],
    text: &'a mut [u8],
    tag: &'a mut [u8],
}

/// The keystream of all records of a group, one behind the other, from block 0 of each on.
struct Source {
    /// What all states have in common.
    state: State,
    /// Of each record the nonce, and how many blocks.
    records: [([u32; 3], u32); GROUP],
    /// Whose block is next, and which one.
    next: (usize, u32),
    /// What a pass has made of records behind the one that it was for.
    left: Buffer<KEYSTREAM>,
    /// Where in `left` that begins and ends.
    from: usize,
    to: usize,
}

impl Source {
    fn new(key: &[u32; 8], iv: &Iv, records: &[Record<'_>]) -> Self {
        let mut own = records.iter();
        Self {
            state: State::new(key, &[0; 12]),
            records: array::from_fn(|_| match own.next() {
                Some(record) => {
                    let State(words) = &State::new(key, &iv.nonce(record.sequence));
                    let [.., a, b, c] = *words;
                    ([a, b, c], blocks(record.text.len()) as u32)
                }
                None => ([0; 3], u32::MAX),
            }),
            next: (0, 0),
            left: Buffer([0; KEYSTREAM]),
            from: 0,
            to: 0,
        }
    }

    /// What the next pass is to make.
    fn lanes<E: Engine>(&mut self) -> Lanes {
        let mut lanes = Lanes([[0; 16]; 4]);
        let (mut at, mut block) = self.next;
        for lane in 0..E::PASS / BLOCK {
            let ([a, b, c], blocks) = self.records[at % GROUP];
            let Lanes([counters, x, y, z]) = &mut lanes;
            (counters[lane], x[lane], y[lane], z[lane]) = (block, a, b, c);
            block += 1;
            if block == blocks {
                (at, block) = (at + 1, 0);
            }
        }
        self.next = (at, block);
        lanes
    }

    /// Fills `out`; meanwhile adds the front of `behind` to `sum`, and returns the rest.
    fn fill<'b, E: Engine>(
        &mut self,
        engine: E,
        mut out: &mut [u8],
        sum: &mut E::Sum,
        mut behind: &'b [u8],
    ) -> &'b [u8] {
        loop {
            let n = out.len().min(self.to - self.from);
            let (front, rest) = out.split_at_mut(n);
            front.copy_from_slice(&self.left.0[self.from..self.from + n]);
            self.from += n;
            if rest.is_empty() {
                return behind;
            }
            let lanes = self.lanes::<E>();
            let (now, later) = behind.split_at(behind.len().min(E::BESIDE));
            behind = later;
            if rest.len() < E::PASS {
                engine.blocks(&self.state, &lanes, &mut self.left.0, sum, now);
                (self.from, self.to) = (0, E::PASS);
                out = rest;
            } else {
                let (front, rest) = rest.split_at_mut(E::PASS);
                engine.blocks(&self.state, &lanes, front, sum, now);
                out = rest;
            }
        }
    }
}

/// How many blocks a text takes, with block 0.
pub(super) fn blocks(len: usize) -> usize {
    1 + len.div_ceil(BLOCK)
}

impl<E: Engine> ChaCha20Poly1305<E> {
    /// Seals up to [`GROUP`] records of up to [`SHORT`] bytes.
    #[inline(never)]
    pub(super) fn seal_group(&self, iv: &Iv, records: &mut [SealRecord<'_>]) {
        let count = records.len();
        let mut own = records.iter_mut();
        let mut records: [Record<'_>; GROUP] = array::from_fn(|_| {
            let Some(record) = own.next() else {
                return Record::default();
            };
            let (sequence, aad) = (record.sequence, record.aad);
            let Ok((text, tag)) = record.gather(Self::TAG_LEN) else {
                return Record::default();
            };
            Record {
                sequence,
                aad,
                text,
                tag,
            }
        });
        self.group::<true>(iv, &mut records[..count]);
    }

    /// Opens up to [`GROUP`] records of up to [`SHORT`] bytes as long as their tags are right,
    /// and returns how many; the others are as they were.
    #[inline(never)]
    pub(super) fn open_group(&self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> usize {
        let count = records.len();
        let mut own = records.iter_mut();
        let mut records: [Record<'_>; GROUP] = array::from_fn(|_| match own.next() {
            Some(record) => {
                let (text, tag) = split_tag::<Self>(record.in_out);
                Record {
                    sequence: record.sequence,
                    aad: record.aad,
                    text,
                    tag,
                }
            }
            None => Record::default(),
        });
        self.group::<false>(iv, &mut records[..count])
    }

    #[inline(always)]
    fn group<const SEAL: bool>(&self, iv: &Iv, records: &mut [Record<'_>]) -> usize {
        let mut source = Source::new(&self.key.0, iv, records);
        let (mut this, mut last) = (Buffer([0; BLOCK + SHORT]), Buffer([0; BLOCK + SHORT]));
        let (mut this, mut last) = (&mut this, &mut last);
        // The sum of the record before, and how much of its text was added.
        let mut sum = E::Sum::from(Poly1305::new(&[0; BLOCK]));
        let mut added = 0;
        for at in 0..records.len() {
            let (done, rest) = records.split_at_mut(at);
            let record = &mut rest[0];
            let keystream = &mut this.0[..blocks(record.text.len()) * BLOCK];
            match done {
                [] => _ = source.fill(self.engine, keystream, &mut sum, &[]),
                [.., before] => {
                    let behind = &before.text[..whole(before.text.len())];
                    let rest = source.fill(self.engine, keystream, &mut sum, behind);
                    added = behind.len() - rest.len();
                    if !self.close::<SEAL>(before, sum, added, last) {
                        return at - 1;
                    }
                }
            }
            let (key, keystream) = keystream.split_at(BLOCK);
            let mut begun = Poly1305::new(key);
            begun.padded(record.aad);
            sum = self.engine.begin(begun, record.text.len());
            added = 0;
            if SEAL {
                self.engine.xor(record.text, keystream);
            }
            mem::swap(&mut this, &mut last);
        }
        let closed = match records {
            [.., record] => self.close::<SEAL>(record, sum, added, last),
            [] => true,
        };
        records.len() - usize::from(!closed)
    }

    /// Writes the tag, or compares it and decrypts the text if it is right.
    #[inline(always)]
    fn close<const SEAL: bool>(
        &self,
        record: &mut Record<'_>,
        mut sum: E::Sum,
        added: usize,
        keystream: &Buffer<{ BLOCK + SHORT }>,
    ) -> bool {
        let text = &mut *record.text;
        let (groups, rest) = text.split_at(whole(text.len()));
        self.engine.add(&mut sum, &groups[added..]);
        let mut sum = self.engine.finish(sum);
        sum.padded(rest);
        let mut tag = sum.tag(record.aad.len(), text.len());
        if SEAL {
            record.tag.copy_from_slice(&tag);
            return true;
        }
        let is_right = verify::tag::<16>(&mut tag, record.tag);
        if is_right {
            self.engine.xor(text, &keystream.0[BLOCK..]);
        }
        is_right
    }
}
