//! What one thread finds out for all.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::module::lock;

/// A value that takes calls into a module to find out. One thread makes them, without a lock
/// held, and the others wait for what it finds.
///
/// They do not wait for ever: a call may hang, and PKCS#11 cannot cancel it. After a while
/// the next one tries for itself.
#[derive(Default)]
pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

#[derive(Default)]
struct State<T> {
    value: T,
    /// Who is at it, and since when; those that nobody waits for any more included.
    turns: Vec<(u64, Instant)>,
    last: u64,
}

/// The right to make the calls, until it is dropped.
pub(crate) struct Turn<'a, T> {
    shared: &'a Shared<T>,
    /// No other has the same.
    pub(crate) number: u64,
    /// How many others have been at it for too long.
    pub(crate) hanging: usize,
}

impl<T> Shared<T> {
    /// What `known` finds in the value; else a turn, as soon as fewer than `most` others have
    /// one, of which those do not count that have had it for `patience` or longer.
    pub(crate) fn get<R>(
        &self,
        most: usize,
        patience: Duration,
        mut known: impl FnMut(&T) -> Option<R>,
    ) -> Result<R, Turn<'_, T>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(found) = known(&state.value) {
                return Ok(found);
            }
            let now = Instant::now();
            let left = |(_, since): &(u64, Instant)| {
                let left = patience.saturating_sub(now.saturating_duration_since(*since));
                (!left.is_zero()).then_some(left)
            };
            let (busy, next) = state
                .turns
                .iter()
                .filter_map(left)
                .fold((0, patience), |(busy, next), left| {
                    (busy + 1, next.min(left))
                });
            if busy < most {
                let hanging = state.turns.len() - busy;
                state.last += 1;
                let number = state.last;
                state.turns.push((number, now));
                return Err(Turn {
                    shared: self,
                    number,
                    hanging,
                });
            }
            let waited = self.ended.wait_timeout(state, next);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Does something with the value that takes no call.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut lock(&self.state).value)
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.turns.retain(|(number, _)| *number != self.number);
        drop(state);
        self.shared.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_others_wait_for_what_one_finds() {
        let shared = Shared::<Option<u32>>::default();
        let get = |patience| shared.get(1, patience, |value| *value);
        let Err(turn) = get(LONG) else {
            panic!("known too early");
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..4).map(|_| scope.spawn(|| get(LONG).ok())).collect();
            shared.with(|value| *value = Some(7));
            drop(turn);
            for other in others {
                assert_eq!(other.join().unwrap(), Some(7));
            }
        });
    }

    #[test]
    fn who_finds_nothing_leaves_it_to_the_next() {
        let shared = Shared::<Option<u32>>::default();
        for _ in 0..3 {
            let turn = shared.get(1, LONG, |value| *value).err().unwrap();
            assert_eq!(turn.hanging, 0);
        }
    }

    #[test]
    fn who_hangs_is_not_waited_for_long() {
        let shared = Shared::<Option<u32>>::default();
        let soon = Duration::from_millis(20);
        let start = Instant::now();
        let first = shared.get(1, soon, |value| *value).err().unwrap();
        let second = shared.get(1, soon, |value| *value).err().unwrap();
        assert!(start.elapsed() >= soon);
        assert_eq!((first.hanging, second.hanging), (0, 1));
        // The one that comes late does not end the other's turn.
        drop(first);
        let third = shared.get(1, soon, |value| *value).err().unwrap();
        assert!(start.elapsed() >= 2 * soon);
        assert_eq!(third.hanging, 1);
    }

    #[test]
    fn several_have_a_turn_where_that_is_wanted() {
        let shared = Shared::<()>::default();
        let get = |patience| shared.get(2, patience, |()| None::<()>).err().unwrap();
        let turns = [get(LONG), get(LONG)];
        let third = get(Duration::from_millis(1));
        assert_eq!(third.hanging, 2);
        drop(turns);
    }
}
