//! How many calls the token works on at once, and those that hang.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The token's lanes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    lanes: Mutex<Lanes>,
    freed: Condvar,
    /// Counts releases.
    releases: Mutex<u64>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Lanes {
    /// 0 is no limit.
    capacity: usize,
    taken: usize,
    /// The next ticket to be drawn, and the next to be served: nobody overtakes.
    drawn: u64,
    served: u64,
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
        lock(&self.lanes).capacity = capacity;
        self.freed.notify_all();
    }

    /// Waits for a lane, first come first served.
    pub(crate) fn enter(&self) -> Lane<'_> {
        let mut lanes = lock(&self.lanes);
        let ticket = lanes.drawn;
        lanes.drawn += 1;
        while lanes.served != ticket || lanes.is_full() {
            lanes = self
                .freed
                .wait(lanes)
                .unwrap_or_else(PoisonError::into_inner);
        }
        lanes.served += 1;
        lanes.taken += 1;
        let more = lanes.served != lanes.drawn && !lanes.is_full();
        drop(lanes);
        if more {
            self.freed.notify_all();
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
    fn is_full(&self) -> bool {
        self.capacity != 0 && self.taken >= self.capacity
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut lanes = lock(&self.0.lanes);
        lanes.taken -= 1;
        let waiting = lanes.served != lanes.drawn;
        drop(lanes);
        if waiting {
            self.0.freed.notify_all();
        }
    }
}
