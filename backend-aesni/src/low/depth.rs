//! How much of the stack is wiped after a kernel: as much as it uses.
//!
//! Each build lays frames out in its own way: without optimisation between crates, or for one
//! CPU, they are several times as deep. A number in the source would be too small for one build
//! and cost short records time in another. So it is measured, once for each operation of each
//! kernel, when the kernel is tried: see [`trial`](crate::trial).

use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::wipe;

/// Bytes of stack that are wiped where it is not known how many are used: more than any operation
/// was seen to use, which without optimisation is a lot. More than this is not seen.
pub(crate) const MOST: usize = if cfg!(debug_assertions) {
    128 * 1024
} else {
    20 * 1024
};

/// What is wiped beyond what was seen: frames whose contents are aligned to 64 bytes begin up to
/// 48 later or earlier with the caller's; what is wiped and what is looked at begin behind
/// different registers that were saved, 64 at the most; and 16 may be [taken](wipe::used) for
/// not used.
const MARGIN: usize = 48 + 64 + 16;

/// How deep the frames of an operation go.
#[derive(Debug)]
pub(crate) struct Depth {
    /// Bytes to wipe, a multiple of [`wipe::UNIT`] and [`MOST`] at the most; or `UNDER_WAY`.
    wiped: AtomicU32,
    /// One more than the most that was seen while it was measured, or zero.
    seen: AtomicU32,
}

/// While it is being measured.
const UNDER_WAY: u32 = 0;

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
            UNDER_WAY => self.see(wipe::used::<MOST>()),
            bytes if bytes as usize <= wipe::PAGE => wipe::traces::<{ wipe::PAGE }>(bytes as usize),
            bytes => wipe::traces::<MOST>(bytes as usize),
        }
        // SAFETY: does nothing. So the caller's frame is still there when it has wiped: else that
        // could be the last that it does, where its caller's frame ends, which is further up.
        unsafe { asm!("", options(nostack, preserves_flags)) };
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
    /// was [prepared](prepare), and with whatever might make its frames deeper. Several kernels
    /// may be measured for the same operations: what each needs is wiped.
    ///
    /// A signal that is handled meanwhile uses the stack, too, and so does the linker when a
    /// function is called for the first time. Both would be taken for the operation's, so it is
    /// done twice, each time with what `begin` gives, and the smaller numbers count.
    ///
    /// # Errors
    /// Those of `begin` and `work`; then nothing is known, and all is wiped.
    pub(crate) fn measure<S, E>(
        &self,
        mut begin: impl FnMut() -> Result<S, E>,
        mut work: impl FnMut(&mut S) -> Result<(), E>,
    ) -> Result<(), E> {
        static ONE_BY_ONE: Mutex<()> = Mutex::new(());
        let _alone = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = [0; 11];
        for (before, depth) in before.iter_mut().zip(self.each()) {
            *before = match depth.wiped.load(Relaxed) as usize {
                MOST => 0,
                bytes => bytes,
            };
        }
        let mut seen = [u32::MAX; 11];
        for _ in 0..2 {
            let mut subject = begin()?;
            let _measuring = Measuring::new(self);
            work(&mut subject)?;
            for (least, depth) in seen.iter_mut().zip(self.each()) {
                *least = depth.seen.load(Relaxed).min(*least);
            }
        }
        for ((seen, before), depth) in seen.into_iter().zip(before).zip(self.each()) {
            let bytes = match seen.checked_sub(1) {
                None => MOST,
                Some(seen) => (seen as usize + MARGIN).next_multiple_of(wipe::UNIT),
            };
            let bytes = bytes.max(before).min(MOST);
            depth.wiped.store(bytes as u32, Relaxed);
        }
        Ok(())
    }
}

/// That depths are being measured. However that ends, nothing is known then.
struct Measuring<'a>(&'a Depths);

impl<'a> Measuring<'a> {
    fn new(depths: &'a Depths) -> Self {
        for depth in depths.each() {
            depth.wiped.store(UNDER_WAY, Relaxed);
            depth.seen.store(0, Relaxed);
        }
        MEASURING.set(true);
        Self(depths)
    }
}

impl Drop for Measuring<'_> {
    fn drop(&mut self) {
        MEASURING.set(false);
        for depth in self.0.each() {
            depth.wiped.store(MOST as u32, Relaxed);
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
        measure(&depths, &[work], |depths| &depths.key);
        // What was not done is wiped as if nothing were known.
        assert_eq!(depths.seal.one.bytes(), MOST);
        depths.key.bytes()
    }

    fn measure(depths: &Depths, works: &[fn()], of: fn(&Depths) -> &Depth) {
        let work = |(): &mut ()| {
            for work in works {
                prepare();
                work();
                of(depths).wipe();
            }
            Ok::<_, ()>(())
        };
        depths.measure(|| Ok(()), work).unwrap();
    }

    #[test]
    fn what_is_used_is_wiped() {
        for (work, bytes) in [
            (frame::<64> as fn(), 64),
            (frame::<1000>, 1000),
            (frame::<5000>, 5000),
            (frame::<17_000>, 17_000),
        ] {
            let depth = depth_of(work);
            // Without optimisation, arrays of zeros go through another.
            let most = bytes * if cfg!(debug_assertions) { 2 } else { 1 };
            let expected = bytes - 16 + MARGIN..most + MARGIN + 512;
            assert!(expected.contains(&depth), "{bytes}: {depth}");
            assert!(depth.is_multiple_of(wipe::UNIT));
        }
        assert_eq!(depth_of(frame::<{ MOST + 4096 }>), MOST);
    }

    /// What is done last may be less than what was done before.
    #[test]
    fn the_deepest_frames_count() {
        let few = |depths: &Depths| depths.open.few.bytes();
        let depths = Depths::unknown();
        let works = [frame::<100>, frame::<3000>, frame::<100>] as [fn(); 3];
        measure(&depths, &works, |depths| &depths.open.few);
        let known = few(&depths);
        assert!((3000..4000).contains(&known));
        // Another kernel with the same depths does not need as much.
        measure(&depths, &works[..1], |depths| &depths.open.few);
        assert_eq!(few(&depths), known);
        measure(&depths, &[frame::<5000>], |depths| &depths.open.few);
        assert!(few(&depths) > 5000);
    }

    #[test]
    fn what_fails_leaves_nothing_known() {
        let depths = Depths::unknown();
        measure(&depths, &[frame::<100>], |depths| &depths.key);
        assert!(depths.key.bytes() < MOST);
        let fail = |(): &mut ()| {
            depths.key.wipe();
            Err("an error")
        };
        assert_eq!(depths.measure(|| Ok(()), fail), Err("an error"));
        assert_eq!(depths.key.bytes(), MOST);
        measure(&depths, &[frame::<100>], |depths| &depths.key);
        let panic = |(): &mut ()| panic!("a panic");
        let measure = || depths.measure::<(), ()>(|| Ok(()), panic);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(measure)).is_err());
        assert_eq!(depths.key.bytes(), MOST);
        assert!(!MEASURING.get());
    }
}
