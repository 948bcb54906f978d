//! Keystream for short records that have not come yet.
//!
//! A pass takes little longer for several short records than for one, and sequence numbers are
//! known: where short records come one behind the other, a pass is made for those that are
//! expected next, too. Whatever comes instead of them finds nothing here and goes its own way.

use core::array;

use super::{BLOCK, Engine, KEYSTREAM, Keystream, State};
use crate::low::wipe;
use crate::record::Iv;

/// The most blocks that a record may have here.
const MOST: usize = 8;

/// For each number of blocks that a record takes: which block of it a lane is, and of which
/// record.
static LANES: [([u32; 16], [u32; 16]); MOST + 1] = {
    let mut all = [([0; 16], [0; 16]); MOST + 1];
    let mut blocks = 1;
    while blocks <= MOST {
        let mut lane = 0;
        while lane < 16 {
            all[blocks].0[lane] = (lane % blocks) as u32;
            all[blocks].1[lane] = (lane / blocks) as u32;
            lane += 1;
        }
        blocks += 1;
    }
    all
};

/// Keystream of the records that are expected next in one direction, and what it is that makes
/// them expected. Lengths are in bytes, and there is no padding, which would not be wiped.
#[derive(Default)]
pub(super) struct Ahead {
    /// Memory for it, from when it is first needed on. What is not left there is zeros.
    keystream: Option<Box<Keystream<KEYSTREAM>>>,
    /// The record that is expected: the one behind the last that was short.
    next: u64,
    /// How much keystream that last one took, or zero if the last record was not short.
    last: u16,
    /// How much each has, with block 0. What is left is a multiple.
    each: u16,
    /// Where what is left begins and ends.
    from: u16,
    to: u16,
}

/// The keystream of one record, which is wiped when it was used.
pub(super) struct Part<'a>(pub(super) &'a mut [u8]);

impl Drop for Part<'_> {
    #[inline]
    fn drop(&mut self) {
        for block in self.0.as_chunks_mut::<BLOCK>().0 {
            wipe::bytes(block);
        }
    }
}

impl Ahead {
    /// The keystream, `len` bytes or more from block 0 on, of record `sequence`, if it was made
    /// ahead. Nobody else gets it.
    #[inline]
    pub(super) fn take(&mut self, sequence: u64, len: u16) -> Option<Part<'_>> {
        if self.from == self.to || sequence != self.next || len > self.each {
            return None;
        }
        let keystream = self.keystream.as_mut()?;
        let range = usize::from(self.from)..usize::from(self.from + self.each);
        let part = keystream.0.get_mut(range)?;
        self.from += self.each;
        self.next = sequence.wrapping_add(1);
        self.last = len;
        Some(Part(part))
    }

    /// Takes note of a short record whose `len` bytes of keystream were not made ahead. If it is
    /// not the first in a row, makes them, with those of the records behind it, and returns that.
    #[inline]
    pub(super) fn follow<E: Engine>(
        &mut self,
        engine: E,
        key: &[u32; 8],
        iv: &Iv,
        sequence: u64,
        len: u16,
    ) -> bool {
        self.wipe();
        let follows = self.last > 0 && sequence == self.next;
        // Lengths may take turns.
        self.each = if follows { len.max(self.last) } else { len };
        self.last = len;
        // The lanes differ in the last word of the nonce alone.
        let makes = follows
            && usize::from(self.each) <= E::AHEAD
            && sequence as u32 <= u32::MAX - LANES[0].0.len() as u32;
        if makes {
            self.next = sequence;
            // Before there is anything secret that an allocator would save on the stack.
            self.keystream.get_or_insert_with(memory);
            self.make(engine, key, iv);
        } else {
            self.next = sequence.wrapping_add(1);
        }
        makes
    }

    /// A function of its own, so that what it leaves lies below the caller's frame.
    #[inline(never)]
    fn make<E: Engine>(&mut self, engine: E, key: &[u32; 8], iv: &Iv) {
        let Some(Keystream(keystream)) = self.keystream.as_deref_mut() else {
            return;
        };
        let state = State::new(key, &iv.nonce(self.next));
        let (counters, records) = &LANES[usize::from(self.each) / BLOCK];
        let (State([.., word]), first) = (&state, self.next as u32);
        let iv = word ^ first.swap_bytes();
        let last = array::from_fn(|lane| iv ^ (first + records[lane]).swap_bytes());
        engine.ahead(&state, counters, &last, keystream);
        // The last lanes may be too few for a record.
        let to = E::PASS - E::PASS % usize::from(self.each);
        wipe::bytes(&mut keystream[to..]);
        (self.from, self.to) = (0, to as u16);
    }

    /// Expects nothing: what comes is not a short record.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.wipe();
        self.last = 0;
    }

    /// Wipes what was made for records that have not come.
    #[inline]
    fn wipe(&mut self) {
        if self.from != self.to
            && let Some(keystream) = &mut self.keystream
        {
            wipe::bytes(&mut keystream.0);
        }
        (self.from, self.to) = (0, 0);
    }
}

#[cold]
#[inline(never)]
fn memory() -> Box<Keystream<KEYSTREAM>> {
    Box::new(Keystream([0; KEYSTREAM]))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::low::cpu::Avx2;

    fn all(ahead: &Ahead) -> &[u8] {
        ahead.keystream.as_deref().map_or(&[], |made| &made.0)
    }

    /// What is wiped is zeros, and nothing is given twice, or to another record.
    #[test]
    fn what_was_taken_is_gone() {
        let Some(engine) = Avx2::detect() else {
            return;
        };
        let (key, iv) = ([7; 8], Iv::from([3; 12]));
        let mut ahead = Ahead::default();
        let mut follow = |sequence, len| ahead.follow(engine, &key, &iv, sequence, len);
        assert!(!follow(4, 128) && !follow(6, 128) && !follow(6, 128));
        // Too long, and not in the same row.
        assert!(!follow(7, 320) && !follow(8, 128) && follow(9, 128));
        assert!(all(&ahead)[..512].iter().filter(|byte| **byte == 0).count() < 20);
        let mut seen = Vec::new();
        for (taken, sequence) in (9..13).enumerate() {
            assert!(ahead.take(sequence + 1, 128).is_none());
            assert!(ahead.take(sequence, 192).is_none());
            let part = ahead.take(sequence, 128).unwrap();
            assert!(!seen.contains(&part.0.to_vec()));
            seen.push(part.0.to_vec());
            drop(part);
            let (gone, left) = all(&ahead).split_at((taken + 1) * 128);
            assert!(gone.iter().all(|byte| *byte == 0));
            assert!(sequence == 12 || left[..128].iter().any(|byte| *byte != 0));
            assert!(ahead.take(sequence, 128).is_none());
        }
        assert!(ahead.take(13, 128).is_none());
        // The row goes on.
        assert!(ahead.follow(engine, &key, &iv, 13, 64));
        // Three lanes' worth: two are left over.
        ahead.forget();
        assert!(all(&ahead).iter().all(|byte| *byte == 0));
        assert!(ahead.take(13, 64).is_none());
    }
}
