//! What the connections measured.

use std::error::Error as StdError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::failure::{self, Failures};
use crate::latency::Latency;

/// Measurements.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Operations that succeeded in time, from when they were due.
    pub(super) operations: Latency,
    /// Operations that succeeded in the warm-up.
    pub(super) early: u64,
    /// TLS handshakes, from the established TCP connection.
    pub(super) handshakes: Latency,
    /// Application bytes of those operations, sent and received.
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) failures: Failures,
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        self.operations.merge(&other.operations);
        self.early += other.early;
        self.handshakes.merge(&other.handshakes);
        self.sent += other.sent;
        self.received += other.received;
        self.failures.merge(&other.failures);
    }
}

/// A tally per thread: connections take them in turn, so that few wait for the same.
#[derive(Debug)]
pub(super) struct Tallies(Vec<Shared>);

impl Tallies {
    pub(super) fn new(threads: usize) -> Self {
        Self((0..threads.max(1)).map(|_| Shared::default()).collect())
    }

    /// The tally of a connection.
    pub(super) fn of(&self, connection: usize) -> &Shared {
        &self.0[connection % self.0.len()]
    }

    /// All together.
    pub(super) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for part in &self.0 {
            total.merge(&part.lock());
        }
        total
    }
}

/// A tally that several connections write to.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Tally>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        // A tally is whole after every step: a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handshake(&self, took: Duration) {
        self.lock().handshakes.record(took);
    }

    pub(super) fn done(&self, took: Duration, moved: Moved) {
        let mut tally = self.lock();
        tally.operations.record(took);
        tally.sent += moved.sent;
        tally.received += moved.received;
    }

    pub(super) fn early(&self) {
        self.lock().early += 1;
    }

    pub(super) fn failed(&self, error: &(dyn StdError + 'static)) {
        self.lock().failures.add(failure::kind(error));
    }
}

/// Application bytes that an operation moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) sent: u64,
    pub(super) received: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_of_all_threads() {
        let tallies = Tallies::new(2);
        for connection in 0..4 {
            let moved = Moved {
                sent: 1,
                received: 10,
            };
            tallies.of(connection).done(Duration::from_millis(1), moved);
        }
        tallies.of(3).handshake(Duration::from_millis(2));
        tallies.of(0).failed(&failure::TimedOut("handshake"));
        let total = tallies.total();
        assert_eq!(total.operations.count(), 4);
        assert_eq!((total.sent, total.received), (4, 40));
        assert_eq!(total.handshakes.count(), 1);
        assert_eq!(total.failures.total(), 1);
    }
}
