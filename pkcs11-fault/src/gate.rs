//! How many calls the token works on at once, and those that hang.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// The token's lanes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    lanes: Mutex<Lanes>,
    /// Counts releases.
    releases: Mutex<u64>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Lanes {
    /// 0 is no limit.
    capacity: usize,
    taken: usize,
    /// First come, first served.
    waiting: VecDeque<Arc<Waiting>>,
}

/// A call that has no lane yet. Each is woken by itself and once: with many of them, all
/// looking whether it is their turn would take the processors from what is measured.
#[derive(Debug)]
struct Waiting {
    thread: Thread,
    /// It has a lane now.
    called: AtomicBool,
}

/// A call that the token works on.
#[derive(Debug)]
pub(crate) struct Lane<'a>(&'a Gate);

/// The lock, whatever happened to a thread that held it: nothing here is left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    pub(crate) fn set_capacity(&self, capacity: usize) {
        let mut lanes = lock(&self.lanes);
        lanes.capacity = capacity;
        lanes.call();
    }

    /// Waits for a lane, first come first served.
    pub(crate) fn enter(&self) -> Lane<'_> {
        let mut lanes = lock(&self.lanes);
        if lanes.has_room() && lanes.waiting.is_empty() {
            lanes.taken += 1;
            return Lane(self);
        }
        let waiting = Arc::new(Waiting {
            thread: thread::current(),
            called: AtomicBool::new(false),
        });
        lanes.waiting.push_back(waiting.clone());
        drop(lanes);
        // Others may wake this thread, too.
        while !waiting.called.load(SeqCst) {
            thread::park();
        }
        Lane(self)
    }

    /// How often was released so far.
    pub(crate) fn releases(&self) -> u64 {
        *lock(&self.releases)
    }

    /// Hangs until released, or for `most`. A release after the first `before` counts: the
    /// call may have waited for its lane since it was decided that it hangs.
    pub(crate) fn hang(&self, before: u64, most: Option<Duration>) {
        let end = most.map(|most| Instant::now() + most);
        let mut releases = lock(&self.releases);
        while *releases == before {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            releases = match left {
                Some(Duration::ZERO) => return,
                Some(left) => {
                    self.released
                        .wait_timeout(releases, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .released
                    .wait(releases)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Lets go on what hangs now, or waits for a lane to do so.
    pub(crate) fn release(&self) {
        *lock(&self.releases) += 1;
        self.released.notify_all();
    }
}

impl Lanes {
    fn has_room(&self) -> bool {
        self.capacity == 0 || self.taken < self.capacity
    }

    /// Gives free lanes to those that wait.
    fn call(&mut self) {
        while self.has_room()
            && let Some(next) = self.waiting.pop_front()
        {
            self.taken += 1;
            next.called.store(true, SeqCst);
            next.thread.unpark();
        }
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut lanes = lock(&self.0.lanes);
        lanes.taken -= 1;
        lanes.call();
    }
}
