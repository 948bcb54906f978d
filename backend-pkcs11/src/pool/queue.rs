//! The queue, and what is going on at each place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check::Unchecked;
use super::request::Request;
use super::width::Width;
use crate::builder::Sessions;
use crate::error::Reason;
use crate::meter::Now;

pub(super) struct Queue {
    pub(super) closed: bool,
    /// Whether the supervisor looks again by itself soon.
    pub(super) watched: bool,
    next: u64,
    /// By arrival, so that whoever comes back after an error is first again.
    waiting: BTreeMap<u64, Arc<Request>>,
    pub(super) places: Vec<AtPlace>,
    /// What was made and is not checked yet.
    pub(super) checks: Checks,
    /// Threads alive, those given up included.
    pub(super) threads: usize,
}

/// What waits for a thread without a session to check it.
pub(super) struct Checks {
    pub(super) waiting: VecDeque<Unchecked>,
    /// The requests whose outcomes these are, and those that are being checked, by a number of
    /// their own: two tokens may have made something for one.
    pub(super) under_way: BTreeMap<u64, Arc<Request>>,
    next: u64,
    /// Threads that check, and how many there may be.
    pub(super) threads: usize,
    most: usize,
    /// Whether there was work for one more of them.
    pub(super) behind: bool,
}

impl Checks {
    /// Whether they take one more. Not many more than they are working on: what waits here
    /// has been signed, and somebody waits for it.
    fn have_room(&self) -> bool {
        self.waiting.len() < BACKLOG * self.threads
    }

    /// Whether there should be a thread more.
    pub(super) fn wants_thread(&self) -> bool {
        self.behind && self.threads < self.most
    }
}

/// One place's threads and what they do.
pub(super) struct AtPlace {
    pub(super) width: Width,
    /// Requests inside.
    pub(super) running: usize,
    /// Threads that wait for a request.
    pub(super) idle: usize,
    /// How many of them have been called for one and are about to come.
    called: usize,
    /// Threads given up that are still inside.
    pub(super) hanging: usize,
    /// Threads that were not needed any more and still have a session to close, by number,
    /// and since when.
    pub(super) leaving: BTreeMap<u64, Instant>,
    pub(super) breaker: Breaker,
    /// What was found when it was last tried, if it was not in order.
    pub(super) trouble: Option<Reason>,
    /// Whether only a person can put that right: nobody waits for it.
    pub(super) hopeless: bool,
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
    /// Whether it checks what it has made.
    pub(super) checking: bool,
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

/// How many things wait to be checked per thread that checks, before whoever made one checks
/// it.
const BACKLOG: usize = 4;

/// What a thread is to do next.
pub(super) enum Task {
    Perform(Arc<Request>),
    /// Check what it has just made.
    Check(Unchecked),
    /// See whether the token is back.
    Probe,
}

impl Queue {
    pub(super) fn new(sessions: Sessions, places: usize) -> Self {
        let place = |_| AtPlace {
            width: Width::new(sessions),
            running: 0,
            idle: 0,
            called: 0,
            hanging: 0,
            leaving: BTreeMap::new(),
            breaker: Breaker::Closed,
            trouble: None,
            hopeless: false,
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
            checks: Checks {
                waiting: VecDeque::new(),
                under_way: BTreeMap::new(),
                next: 0,
                threads: 0,
                // One for each processor: this is their work, not the token's.
                most: std::thread::available_parallelism().map_or(1, usize::from),
                behind: false,
            },
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

    /// Everything, when the pool closes, or when there is nothing to wait for.
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

    /// What thread `worker` at `place`, which made this, does now: check it, or leave that to
    /// others and do what waits.
    pub(super) fn go_on(
        &mut self,
        place: usize,
        worker: u64,
        mut made: Unchecked,
        now: Instant,
    ) -> Task {
        let checks = &mut self.checks;
        checks.next += 1;
        made.number = Some(checks.next);
        checks.under_way.insert(checks.next, made.request.clone());
        self.set_checking(place, worker, true);
        if self.waiting.is_empty() || self.closed {
            return Task::Check(made);
        }
        if !self.checks.have_room() {
            self.checks.behind = true;
            return Task::Check(made);
        }
        match self.task(place, worker, now) {
            None => Task::Check(made),
            Some(task) => {
                self.set_checking(place, worker, false);
                self.checks.waiting.push_back(made);
                task
            }
        }
    }

    fn set_checking(&mut self, place: usize, worker: u64, checking: bool) {
        let at = self.places.get_mut(place);
        if let Some(state) = at.and_then(|at| at.workers.get_mut(&worker)) {
            state.checking = checking;
        }
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

    /// Whether a place other than `place` is used, or will be as soon as it answers.
    pub(super) fn hope_elsewhere(&self, place: usize) -> bool {
        let mut places = self.places.iter().enumerate();
        places.any(|(at, other)| at != place && !other.hopeless)
    }

    /// If no place will be used before a person has seen to it: the first, and why.
    pub(super) fn hopeless(&self) -> Option<(usize, &Reason)> {
        if !self.places.iter().all(|place| place.hopeless) {
            return None;
        }
        let first = self.places.first()?;
        Some((0, first.trouble.as_ref()?))
    }

    /// Takes out the requests that got something wrong before, if no place may do better, and
    /// says which place does not. They have one more chance, and the attempt that found it to
    /// lie was that. Others wait, as for a token that is lost.
    pub(super) fn lied_to(&mut self) -> Option<(usize, Vec<Arc<Request>>)> {
        let liar = self.places.iter().position(AtPlace::lies)?;
        let mut places = self.places.iter();
        if !places.all(|place| place.lies() || place.hopeless) {
            return None;
        }
        let wrong = self.waiting.values().filter(|request| request.was_wrong());
        let wrong: Vec<_> = wrong.cloned().collect();
        for request in &wrong {
            self.remove(request.number);
        }
        Some((liar, wrong))
    }

    /// Whether every place was tried and found not to answer. One that is to be tried for the
    /// first time may well do so.
    pub(super) fn all_down(&self) -> bool {
        self.places.iter().all(|place| place.trouble.is_some())
    }

    /// Calls a thread for a request, which the caller has to wake: at the place that has the
    /// most room for it and a thread waiting. Not `avoid`, whose threads would not take it
    /// while another place is used.
    pub(super) fn call(&mut self, avoid: Option<usize>) -> Option<usize> {
        let avoid = avoid.filter(|place| self.up_elsewhere(*place));
        let free = |place: &AtPlace| {
            let inside = place.running + place.called;
            let room = place.width.get().checked_sub(inside)?;
            let waits = place.idle > place.called;
            (place.breaker == Breaker::Closed && waits && room > 0).then_some(room)
        };
        let places = self.places.iter().enumerate();
        let places = places.filter(|(at, _)| avoid != Some(*at));
        let with_room = places.filter_map(|(at, place)| Some((free(place)?, at)));
        let (_, at) = with_room.max()?;
        self.places.get_mut(at)?.called += 1;
        Some(at)
    }

    /// Whether a place should have a thread more.
    pub(super) fn wants_thread(&self, place: &AtPlace) -> bool {
        if self.closed {
            return false;
        }
        // One at least, to try a token that is lost.
        place.workers.is_empty()
            || (place.breaker == Breaker::Closed
                && place.idle <= place.called
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

    /// A thread has stopped waiting, called or not: it looks for a request in any case.
    pub(super) fn comes(&mut self) {
        self.idle -= 1;
        self.called = self.called.saturating_sub(1).min(self.idle);
    }

    /// Ends what `worker` was doing. Says false if it has been given up meanwhile.
    pub(super) fn end(&mut self, worker: u64) -> bool {
        let Some(state) = self.workers.get_mut(&worker) else {
            return false;
        };
        state.since = None;
        state.checking = false;
        if state.request.take().is_some() {
            self.running -= 1;
        }
        true
    }

    /// Notes that the token is in order.
    pub(super) fn revive(&mut self) {
        self.failures = 0;
        self.breaker = Breaker::Closed;
        self.trouble = None;
        self.hopeless = false;
    }

    /// Whether it made something wrong when it was last tried.
    fn lies(&self) -> bool {
        self.trouble == Some(Reason::WrongSignature)
    }

    /// Whether `worker` is the one that tries the token.
    pub(super) fn is_probing(&self, worker: u64) -> bool {
        let state = self.workers.get(&worker);
        state.is_some_and(|state| state.since.is_some() && state.request.is_none())
    }

    /// Lets `worker` go, if it is not the last: at once, so that of several the last stays.
    pub(super) fn retire(&mut self, worker: u64, now: Instant) -> bool {
        if self.workers.len() < 2 || self.workers.remove(&worker).is_none() {
            return false;
        }
        self.leaving.insert(worker, now);
        true
    }

    /// Counts those that have been leaving for so long among those that hang: they have a
    /// session to close, which may.
    pub(super) fn leave_behind(&mut self, now: Instant, limit: Duration) {
        let before = self.leaving.len();
        let takes_long = |since: Instant| now.saturating_duration_since(since) >= limit;
        self.leaving.retain(|_, since| !takes_long(*since));
        self.hanging += before - self.leaving.len();
    }

    /// Takes note of the end of a thread; returns the request that it had, if it ended in
    /// the middle of one.
    pub(super) fn ended(&mut self, worker: u64, now: Instant) -> Option<Arc<Request>> {
        // Another has to go on.
        if self.is_probing(worker) {
            self.breaker = Breaker::Open(now);
        }
        match self.workers.remove(&worker) {
            Some(state) => {
                if state.request.is_some() {
                    self.running -= 1;
                }
                state.request
            }
            // It was given up, and is back.
            None if self.leaving.remove(&worker).is_none() => {
                self.hanging -= 1;
                None
            }
            None => None,
        }
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
        let now = Instant::now();
        let left = workers.map(|worker| at.retire(worker, now));
        assert_eq!(left, [true, true, false]);
        assert_eq!((at.workers.len(), at.hanging), (1, 0));
        assert!(!at.retire(workers[0], now));
        // What they still do in the token can be seen if it takes long.
        assert!(at.ended(workers[0], now).is_none());
        let limit = Duration::from_secs(5);
        at.leave_behind(now + limit / 2, limit);
        assert_eq!((at.leaving.len(), at.hanging), (1, 0));
        at.leave_behind(now + limit, limit);
        assert_eq!((at.leaving.len(), at.hanging), (0, 1));
        assert!(at.ended(workers[1], now).is_none());
        assert_eq!(at.hanging, 0);
    }

    #[test]
    fn two_requests_call_two_threads() {
        let mut queue = Queue::new(Sessions::Fixed(4), 2);
        queue.places.iter_mut().for_each(|at| at.idle = 1);
        assert_eq!(queue.call(None), Some(1));
        // That one has not come yet, and comes for one request only.
        assert_eq!(queue.call(None), Some(0));
        assert_eq!(queue.call(None), None);
        queue.places[1].comes();
        queue.places[1].idle += 1;
        assert_eq!(queue.call(Some(0)), Some(1));
        queue.places[1].comes();
        queue.places[1].idle += 1;
        // What avoids a place is no business of its threads, while there is another.
        assert_eq!(queue.call(Some(1)), None);
        queue.places[0].breaker = Breaker::Probing;
        assert_eq!(queue.call(Some(1)), Some(1));
    }

    #[test]
    fn what_was_lied_to_ends_if_no_place_may_do_better() {
        let mut queue = Queue::new(Sessions::Fixed(1), 2);
        let now = Instant::now();
        for number in [1, 2] {
            queue.push(Arc::new(Request::new(number, 0, b"", now, now)));
        }
        queue.waiting[&2].failed(true);
        assert!(queue.lied_to().is_none());
        queue.places[1].trouble = Some(Reason::WrongSignature);
        // It may go to the other, or wait for it.
        assert!(queue.lied_to().is_none());
        queue.places[0].hopeless = true;
        let (liar, ended) = queue.lied_to().unwrap();
        let ended: Vec<_> = ended.iter().map(|request| request.number).collect();
        assert_eq!((liar, ended, queue.len()), (1, vec![2], 1));
        queue.places[1].revive();
        assert!(queue.lied_to().is_none());
    }

    #[test]
    fn a_thread_that_ends_in_the_middle_leaves_nothing_behind() {
        let mut queue = Queue::new(Sessions::Fixed(2), 1);
        let now = Instant::now();
        let worker = queue.places[0].worker();
        let request = Arc::new(Request::new(1, 0, b"", now, now));
        queue.push(request);
        assert!(matches!(queue.task(0, worker, now), Some(Task::Perform(_))));
        let at = &mut queue.places[0];
        assert!(at.ended(worker, now).is_some());
        assert_eq!((at.running, at.hanging, at.workers.len()), (0, 0, 0));
        // One that tried the token leaves that to the next.
        let worker = at.worker();
        at.breaker = Breaker::Open(now);
        assert!(matches!(queue.task(0, worker, now), Some(Task::Probe)));
        assert_eq!(queue.places[0].breaker, Breaker::Probing);
        assert!(queue.places[0].ended(worker, now).is_none());
        assert_eq!(queue.places[0].breaker, Breaker::Open(now));
    }
}
