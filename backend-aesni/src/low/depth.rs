//! How much of the stack is wiped after a kernel: as much as it uses.
//!
//! Each build lays frames out in its own way: without optimisation between crates, or for one
//! CPU, they are several times as deep. A number in the source would be too small for one build
//! and cost short records time in another. So it is measured, once for each operation of each
//! kernel, when the kernel is tried: see [`trial`](crate::trial).

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::wipe;

/// Bytes of stack that are wiped where it is not known how many are used: more than any operation
/// was seen to use, which without optimisation is a lot.
pub(crate) const MOST: usize = if cfg!(debug_assertions) {
    128 * 1024
} else {
    20 * 1024
};

/// What is wiped beyond what was seen: frames whose contents are aligned begin up to 63 bytes
/// later or earlier with the caller's.
const MARGIN: usize = 128;

/// How deep the frames of an operation go.
#[derive(Debug)]
pub(crate) struct Depth {
    /// Bytes to wipe, a multiple of [`wipe::UNIT`] of [`MOST`] at the most; or `MEASURED`.
    wiped: AtomicU32,
    /// One more than the most that was seen while it was measured, or zero.
    seen: AtomicU32,
}

/// While it is being measured.
const MEASURED: u32 = 0;

thread_local! {
    /// Whether it is by this thread.
    static MEASURING: Cell<bool> = const { Cell::new(false) };
}

impl Depth {
    /// Of an operation that was not tried yet: all is wiped.
    pub(crate) const fn unknown() -> Self {
        Self {
            wiped: AtomicU32::new(MOST as u32),
            seen: AtomicU32::new(0),
        }
    }

    /// Wipes what the operation that has just returned left behind: the vector registers, and
    /// the stack below the caller's frame, where it kept what found no register.
    // Inlined, because the frames that are wiped begin where those of what is called here do.
    #[inline(always)]
    pub(crate) fn wipe(&self) {
        match self.wiped.load(Relaxed) {
            MEASURED => self.see(wipe::used::<MOST>()),
            bytes if bytes as usize <= wipe::PAGE => wipe::traces::<{ wipe::PAGE }>(bytes as usize),
            bytes => wipe::traces::<MOST>(bytes as usize),
        }
    }

    /// Takes note of what was used, if it is this thread that measures.
    #[cold]
    fn see(&self, bytes: usize) {
        if MEASURING.get() {
            self.seen.fetch_max(1 + bytes as u32, Relaxed);
        }
    }

    /// Bytes that are wiped.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.wiped.load(Relaxed) as usize
    }
}

/// The depths of one direction's operations. Not every kernel has them all.
#[derive(Debug)]
pub(crate) struct Ways {
    /// One record.
    pub(crate) one: Depth,
    /// Several.
    pub(crate) batch: Depth,
    /// One that is short enough for a way of its own.
    pub(crate) few: Depth,
    /// The same, under keystream that is there already.
    pub(crate) under: Depth,
    /// The same, and keystream was made for those that follow.
    pub(crate) ahead: Depth,
}

/// The depths of a kernel's operations.
#[derive(Debug)]
pub(crate) struct Depths {
    /// A key is set.
    pub(crate) key: Depth,
    pub(crate) seal: Ways,
    pub(crate) open: Ways,
}

impl Depths {
    pub(crate) const fn unknown() -> Self {
        Self {
            key: Depth::unknown(),
            seal: Ways::unknown(),
            open: Ways::unknown(),
        }
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &Depth> {
        let ways = [&self.seal, &self.open].into_iter().flat_map(Ways::each);
        core::iter::once(&self.key).chain(ways)
    }

    /// Measures them all, while `work` has every operation done, each on a stack that
    /// was [prepared](prepare), and with whatever might make its frames deeper.
    ///
    /// A signal that is handled meanwhile uses the stack, too, and so does the linker when a
    /// function is called for the first time. Both would be taken for the operation's, so it is
    /// done twice, each time with what `begin` gives, and the smaller numbers count.
    pub(crate) fn measure<S>(&self, mut begin: impl FnMut() -> S, mut work: impl FnMut(&mut S)) {
        let mut seen = [u32::MAX; 11];
        for _ in 0..2 {
            let mut subject = begin();
            for depth in self.each() {
                depth.wiped.store(MEASURED, Relaxed);
                depth.seen.store(0, Relaxed);
            }
            MEASURING.set(true);
            work(&mut subject);
            MEASURING.set(false);
            for (least, depth) in seen.iter_mut().zip(self.each()) {
                *least = depth.seen.load(Relaxed).min(*least);
            }
        }
        for (seen, depth) in seen.into_iter().zip(self.each()) {
            let bytes = match seen.checked_sub(1) {
                None => MOST,
                Some(seen) => (seen as usize + MARGIN)
                    .next_multiple_of(wipe::UNIT)
                    .min(MOST),
            };
            depth.wiped.store(bytes as u32, Relaxed);
        }
    }
}

impl Ways {
    const fn unknown() -> Self {
        Self {
            one: Depth::unknown(),
            batch: Depth::unknown(),
            few: Depth::unknown(),
            under: Depth::unknown(),
            ahead: Depth::unknown(),
        }
    }

    fn each(&self) -> [&Depth; 5] {
        [&self.one, &self.batch, &self.few, &self.under, &self.ahead]
    }
}

/// Prepares the stack below the caller's frame for an operation to be measured.
#[inline(always)]
pub(crate) fn prepare() {
    // It begins some frames further down.
    wipe::paint::<{ MOST + 4096 }>();
}

/// Wipes what lies below the caller's frame, however deep that goes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn wipe_all() {
    wipe::traces::<MOST>(MOST);
}

#[cfg(test)]
impl core::fmt::Display for Depths {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "key {}", self.key.bytes())?;
        for (name, ways) in [("seal", &self.seal), ("open", &self.open)] {
            write!(f, ", {name}")?;
            for depth in ways.each() {
                write!(f, " {}", depth.bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::hint::black_box;

    use super::*;

    /// Uses as much of the stack, and some more.
    #[inline(never)]
    fn frame<const N: usize>() {
        black_box(&mut [0_u8; N]);
    }

    fn depth_of(work: fn()) -> usize {
        let depths = Depths::unknown();
        assert_eq!(depths.key.bytes(), MOST);
        depths.measure(
            || (),
            |()| {
                prepare();
                work();
                depths.key.wipe();
            },
        );
        // What was not done is wiped as if nothing were known.
        assert_eq!(depths.seal.one.bytes(), MOST);
        depths.key.bytes()
    }

    #[test]
    fn what_is_used_is_wiped() {
        for (work, bytes) in [
            (frame::<64> as fn(), 64),
            (frame::<1000>, 1000),
            (frame::<5000>, 5000),
            (frame::<20_000>, 20_000),
        ] {
            let depth = depth_of(work);
            // Without optimisation, arrays of zeros go through another.
            let most = if cfg!(debug_assertions) {
                2 * bytes
            } else {
                bytes
            };
            let bytes = bytes - 16;
            assert!(
                (bytes + MARGIN..most + MARGIN + 512).contains(&depth),
                "{bytes}: {depth}"
            );
            assert!(depth.is_multiple_of(wipe::UNIT));
        }
        assert_eq!(depth_of(frame::<{ MOST + 4096 }>), MOST);
    }

    /// What is done last may be less than what was done before.
    #[test]
    fn the_deepest_frames_count() {
        let depths = Depths::unknown();
        depths.measure(
            || (),
            |()| {
                for work in [frame::<100>, frame::<3000>, frame::<100>] as [fn(); 3] {
                    prepare();
                    work();
                    depths.open.few.wipe();
                }
            },
        );
        assert!((3000..4000).contains(&depths.open.few.bytes()));
    }
}
