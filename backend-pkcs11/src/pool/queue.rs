//! The queue, and what is going on at each place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::request::Request;
use super::width::Width;
use crate::builder::Sessions;
use crate::meter::Now;

pub(super) struct Queue {
    pub(super) closed: bool,
    /// Whether the supervisor looks again by itself soon.
    pub(super) watched: bool,
    next: u64,
    /// By arrival, so that whoever comes back after an error is first again.
    waiting: BTreeMap<u64, Arc<Request>>,
    pub(super) places: Vec<AtPlace>,
    /// Threads alive, those given up included.
    pub(super) threads: usize,
}

/// One place's threads and what they do.
pub(super) struct AtPlace {
    pub(super) width: Width,
    /// Requests inside.
    pub(super) running: usize,
    /// Threads that wait for a request.
    pub(super) idle: usize,
    /// Threads given up that are still inside.
    pub(super) hanging: usize,
    pub(super) breaker: Breaker,
    next: u64,
    pub(super) workers: BTreeMap<u64, AtWorker>,
    /// Failures since the last success.
    pub(super) failures: u32,
}

/// What one thread is doing.
#[derive(Default)]
pub(super) struct AtWorker {
    /// Since when it is in the token's hands.
    pub(super) since: Option<Instant>,
    pub(super) request: Option<Arc<Request>>,
}

/// Whether a place is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breaker {
    /// It is.
    Closed,
    /// It is not, until somebody has tried it, from this time on.
    Open(Instant),
    /// Somebody is trying it.
    Probing,
}

/// What a thread is to do next.
pub(super) enum Task {
    Perform(Arc<Request>),
    /// See whether the token is back.
    Probe,
}

impl Queue {
    pub(super) fn new(sessions: Sessions, places: usize) -> Self {
        let place = |_| AtPlace {
            width: Width::new(sessions),
            running: 0,
            idle: 0,
            hanging: 0,
            breaker: Breaker::Closed,
            next: 0,
            workers: BTreeMap::new(),
            failures: 0,
        };
        Self {
            closed: false,
            watched: false,
            next: 0,
            waiting: BTreeMap::new(),
            places: (0..places).map(place).collect(),
            threads: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The number for a new request.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn push(&mut self, request: Arc<Request>) {
        self.waiting.insert(request.number, request);
    }

    pub(super) fn remove(&mut self, number: u64) -> bool {
        self.waiting.remove(&number).is_some()
    }

    /// The first request that may go to `place`.
    fn pop(&mut self, place: usize) -> Option<Arc<Request>> {
        let number = if self.up_elsewhere(place) {
            let mut waiting = self.waiting.iter();
            let (number, _) = waiting.find(|(_, request)| request.avoid() != Some(place))?;
            *number
        } else {
            *self.waiting.first_key_value()?.0
        };
        self.waiting.remove(&number)
    }

    /// All requests whose time is over at `now`.
    pub(super) fn expired(&mut self, now: Instant) -> VecDeque<Arc<Request>> {
        let mut expired = VecDeque::new();
        // All wait equally long, so that they expire in the order of arrival.
        while let Some(first) = self.waiting.first_entry()
            && first.get().deadline <= now
        {
            expired.push_back(first.remove());
        }
        expired
    }

    /// Everything, when the pool closes.
    pub(super) fn drain(&mut self) -> Vec<Arc<Request>> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// What thread `worker` at `place` does now; `None` if it has to wait.
    pub(super) fn task(&mut self, place: usize, worker: u64, now: Instant) -> Option<Task> {
        let at = self.places.get_mut(place)?;
        match at.breaker {
            Breaker::Probing => return None,
            Breaker::Open(until) if until > now => return None,
            Breaker::Open(_) => {
                at.breaker = Breaker::Probing;
                at.workers.get_mut(&worker)?.since = Some(now);
                return Some(Task::Probe);
            }
            Breaker::Closed => {}
        }
        if at.running >= at.width.get() {
            return None;
        }
        while let Some(request) = self.pop(place) {
            if request.is_over() {
                continue;
            }
            let at = self.places.get_mut(place)?;
            at.running += 1;
            let state = at.workers.get_mut(&worker)?;
            state.since = Some(now);
            state.request = Some(request.clone());
            return Some(Task::Perform(request));
        }
        self.places.get_mut(place)?.width.idle();
        None
    }

    /// Whether any place is used, or being tried.
    pub(super) fn any_up(&self) -> bool {
        self.places
            .iter()
            .any(|place| place.breaker == Breaker::Closed)
    }

    /// Whether a place other than `place` is used.
    pub(super) fn up_elsewhere(&self, place: usize) -> bool {
        let mut places = self.places.iter().enumerate();
        places.any(|(at, other)| at != place && other.breaker == Breaker::Closed)
    }

    /// The place that has the most room for a request and a thread waiting there.
    pub(super) fn idle_place(&self) -> Option<usize> {
        let free = |place: &AtPlace| {
            let room = place.width.get().checked_sub(place.running)?;
            (place.breaker == Breaker::Closed && place.idle > 0 && room > 0).then_some(room)
        };
        let places = self.places.iter().enumerate();
        let with_room = places.filter_map(|(at, place)| Some((free(place)?, at)));
        with_room.max().map(|(_, at)| at)
    }

    /// Whether a place should have a thread more.
    pub(super) fn wants_thread(&self, place: &AtPlace) -> bool {
        if self.closed {
            return false;
        }
        // One at least, to try a token that is lost.
        place.workers.is_empty()
            || (place.breaker == Breaker::Closed
                && place.idle == 0
                && !self.waiting.is_empty()
                && place.workers.len() < place.width.get())
    }
}

impl AtPlace {
    /// Registers a thread.
    pub(super) fn worker(&mut self) -> u64 {
        self.next += 1;
        self.workers.insert(self.next, AtWorker::default());
        self.next
    }

    /// Ends what `worker` was doing. Says false if it has been given up meanwhile.
    pub(super) fn end(&mut self, worker: u64) -> bool {
        let Some(state) = self.workers.get_mut(&worker) else {
            return false;
        };
        state.since = None;
        if state.request.take().is_some() {
            self.running -= 1;
        }
        true
    }

    /// Lets `worker` go, if it is not the last: at once, so that of several the last stays.
    /// It has a session to close, which may hang: until it has ended it counts as that.
    pub(super) fn retire(&mut self, worker: u64) -> bool {
        if self.workers.len() < 2 || self.workers.remove(&worker).is_none() {
            return false;
        }
        self.hanging += 1;
        true
    }

    pub(super) fn now(&self) -> Now {
        Now {
            up: self.breaker == Breaker::Closed,
            in_flight: self.running,
            width: self.width.get(),
            threads: self.workers.len(),
            hanging: self.hanging,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_threads_that_leave_the_last_stays() {
        let mut queue = Queue::new(Sessions::Fixed(3), 1);
        let at = &mut queue.places[0];
        let workers = [at.worker(), at.worker(), at.worker()];
        assert_eq!(workers.map(|worker| at.retire(worker)), [true, true, false]);
        // What they still do in the token can be seen.
        assert_eq!((at.workers.len(), at.hanging), (1, 2));
        assert!(!at.retire(workers[0]));
    }
}
