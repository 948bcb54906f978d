//! Requests wait in one queue; threads of each token take them as they have a session free.
//!
//! Because the threads come to the queue, each token gets as much as it gets done: none is
//! sent a request that it has no room for. A token that does not answer is left alone by its
//! own threads (a circuit breaker), one of which tries it now and then.

mod check;
mod queue;
mod request;
mod supervisor;
#[cfg(test)]
mod tests;
mod width;
mod worker;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crypto_api::Error;

use crate::NAME;
use crate::builder::Settings;
use crate::code::Profile;
use crate::error::Reason;
use crate::meter::{KeyMeter, Now, Stats};
use crate::module::{ModuleUse, RETIREMENT, lock};
use crate::place::Place;
use queue::Queue;
pub(crate) use request::Pending;
use request::Request;

/// Room for any output: RSA of 16,384 bits, ML-DSA-87, or a session ticket.
pub(crate) const SCRATCH: usize = 66_000;

/// Everything that the threads share.
pub(crate) struct Pool {
    pub(crate) settings: Settings,
    pub(crate) profile: Profile,
    pub(crate) places: Vec<Place>,
    pub(crate) meter: KeyMeter,
    /// What a request does, for messages: `sign`, ...
    pub(crate) verb: &'static str,
    process: u32,
    queue: Mutex<Queue>,
    /// For the threads of each place.
    wake: Vec<Condvar>,
    /// For the threads that check.
    wake_checker: Condvar,
    /// For the supervisor.
    watch: Condvar,
    /// For whoever waits until everything has ended.
    ended: Condvar,
    end: Mutex<bool>,
}

/// Keeps a pool running; when the last is dropped, its threads end.
pub(crate) struct Handle {
    pub(crate) pool: Arc<Pool>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// How busy a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) queued: usize,
    pub(crate) up: bool,
    pub(crate) room: bool,
}

impl Pool {
    /// Starts the threads. The modules are in use until the last of them ends.
    pub(crate) fn start(
        settings: Settings,
        profile: Profile,
        places: Vec<Place>,
        modules: Vec<ModuleUse>,
        meter: KeyMeter,
        verb: &'static str,
    ) -> Result<Arc<Handle>, Reason> {
        let count = places.len();
        let pool = Arc::new(Self {
            settings,
            profile,
            places,
            meter,
            verb,
            process: std::process::id(),
            queue: Mutex::new(Queue::new(settings.sessions, count)),
            wake: (0..count).map(|_| Condvar::new()).collect(),
            wake_checker: Condvar::new(),
            watch: Condvar::new(),
            ended: Condvar::new(),
            end: Mutex::new(false),
        });
        supervisor::start(pool.clone(), modules)?;
        Ok(Arc::new(Handle { pool }))
    }

    fn unavailable(&self, detail: impl std::fmt::Display) -> Error {
        let uri = self.places.first().map_or("", |place| &place.uri);
        Error::Unavailable {
            backend: NAME,
            detail: format!("{uri}: {detail}"),
        }
    }

    /// What a request that cannot be done at `place` ends with.
    fn failure(&self, place: &Place, reason: &Reason) -> Error {
        use crate::code::Class;
        let detail = format!("{}: {reason}", place.uri);
        match reason.class(&self.profile) {
            // Nothing is wrong with the request.
            _ if matches!(reason, Reason::Pin(_)) => self.down(place, reason),
            Class::Caller => Error::Backend {
                backend: NAME,
                operation: self.verb,
                detail,
            },
            _ if *reason == Reason::WrongSignature => Error::Backend {
                backend: NAME,
                operation: self.verb,
                detail,
            },
            _ => self.down(place, reason),
        }
    }

    /// What a request ends with because `place` does not answer.
    fn down(&self, place: &Place, reason: &Reason) -> Error {
        Error::Unavailable {
            backend: NAME,
            detail: format!("{}: {reason}", place.uri),
        }
    }

    /// Why there is nothing to wait for, if so: every token needs a person, or none answers
    /// and nobody is to wait for one.
    fn in_vain(&self, queue: &Queue) -> Option<Error> {
        if let Some((place, reason)) = queue.hopeless()
            && let Some(place) = self.places.get(place)
        {
            return Some(self.down(place, reason));
        }
        let refused = self.settings.reject_when_down && queue.all_down();
        refused.then(|| self.unavailable("no token answers"))
    }

    /// What was lied to and would wait until its deadline for a token that was found to lie,
    /// and what it ends with: the same as after a second wrong outcome of its own.
    fn lied_to(&self, queue: &mut Queue) -> Option<(Vec<Arc<Request>>, Error)> {
        // Nothing waits then: see `in_vain`.
        if self.settings.reject_when_down {
            return None;
        }
        let (liar, requests) = queue.lied_to()?;
        let place = self.places.get(liar)?;
        Some((requests, self.failure(place, &Reason::WrongSignature)))
    }

    /// Ends a request with an error.
    fn fail(&self, request: &Request, error: Error) {
        request.refuse(error, &self.meter.failed);
    }

    /// Has the supervisor look, also if it is about to wait.
    fn look(&self, queue: &mut Queue) {
        queue.watched = true;
        self.watch.notify_one();
    }

    /// Wakes one who waits at the place that [`Queue::call`] has named.
    fn come(&self, called: Option<usize>) {
        if let Some(condition) = called.and_then(|place| self.wake.get(place)) {
            condition.notify_one();
        }
    }

    /// Wakes whoever waits for a request, at every place: what one of them could not take
    /// another may now.
    fn wake_all(&self) {
        self.wake.iter().for_each(Condvar::notify_all);
    }

    /// Puts a request in the queue.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no room, or no token and no waiting for one;
    /// [`Error::Backend`] in a forked child.
    pub(crate) fn submit(
        self: &Arc<Self>,
        handle: &Arc<Handle>,
        job: usize,
        data: &[u8],
    ) -> Result<Pending, Error> {
        if self.forked() {
            return Err(self.refusal_in_child());
        }
        let now = Instant::now();
        let mut queue = lock(&self.queue);
        if queue.len() >= self.settings.queue {
            drop(queue);
            self.meter.rejected.add();
            let limit = self.settings.queue;
            return Err(self.unavailable(format_args!("{limit} requests wait already")));
        }
        let in_vain = self.in_vain(&queue).or_else(|| {
            // While it is being tried, too.
            let down = self.settings.reject_when_down && !queue.any_up();
            down.then(|| self.unavailable("no token answers"))
        });
        if let Some(error) = in_vain {
            drop(queue);
            self.meter.rejected.add();
            return Err(error);
        }
        let deadline = now + self.settings.deadline;
        let request = Arc::new(Request::new(queue.number(), job, data, now, deadline));
        queue.push(request.clone());
        let place = queue.call(None);
        // Somebody has to start a thread, or to watch the deadline.
        let supervise = !queue.watched
            || place.is_none() && {
                let mut places = queue.places.iter();
                places.any(|place| queue.wants_thread(place))
            };
        queue.watched = true;
        drop(queue);
        self.meter.requests.add();
        self.come(place);
        if supervise {
            self.watch.notify_one();
        }
        Ok(Pending::new(handle.clone(), request))
    }

    /// Puts a request back at its old place in the queue, after it failed at `place`.
    fn give_back(&self, place: usize, request: &Arc<Request>, elsewhere: bool) {
        if request.is_over() {
            return;
        }
        if let Some(at) = self.places.get(place) {
            at.meter.retried.add();
        }
        request.set_avoid(elsewhere.then_some(place));
        let mut queue = lock(&self.queue);
        if queue.closed {
            drop(queue);
            self.fail(request, self.unavailable("the key was closed"));
            return;
        }
        queue.push(request.clone());
        let called = queue.call(Some(place));
        // It may have looked away while the request was checked.
        self.look(&mut queue);
        drop(queue);
        self.come(called);
    }

    /// Whether this is a forked child: the threads are in the parent, and locks may have been
    /// held when it forked.
    fn forked(&self) -> bool {
        self.process != std::process::id()
    }

    fn refusal_in_child(&self) -> Error {
        Error::Backend {
            backend: NAME,
            operation: self.verb,
            detail: Reason::Forked.to_string(),
        }
    }

    /// Takes a request out whose owner gave it up.
    fn cancelled(&self, request: &Request) {
        lock(&self.queue).remove(request.number);
        self.meter.cancelled.add();
    }

    pub(crate) fn busy(&self) -> Busy {
        if self.forked() {
            return Busy {
                queued: 0,
                up: false,
                room: false,
            };
        }
        let queue = lock(&self.queue);
        Busy {
            queued: queue.len(),
            up: queue.any_up(),
            room: queue.len() < self.settings.queue,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut queued = 0;
        let mut now: Vec<Option<Now>> = self.places.iter().map(|_| None).collect();
        if !self.forked() {
            let queue = lock(&self.queue);
            now = queue.places.iter().map(|at| Some(at.now())).collect();
            queued = queue.len();
        }
        let places = self.places.iter().zip(now);
        let places = places.map(|(place, now)| place.meter.stats(place.uri.clone(), now));
        self.meter.stats(queued, places.collect())
    }

    /// Lets the threads end. What waits ends with an error.
    fn close(&self) {
        if self.forked() {
            return;
        }
        let mut queue = lock(&self.queue);
        queue.closed = true;
        let waiting = queue.drain();
        drop(queue);
        self.wake_all();
        self.wake_checker.notify_all();
        self.watch.notify_all();
        self.give_up(waiting, &self.unavailable("the key was closed"));
    }

    fn give_up(&self, requests: Vec<Arc<Request>>, why: &Error) {
        for request in requests {
            self.fail(&request, why.clone());
        }
    }

    /// Waits until every thread has ended and the modules are released, or until what is
    /// still inside must be taken to hang: the threads get a hang limit, and `C_Finalize`
    /// gets one.
    pub(crate) fn wait_for_end(&self) {
        if self.forked() {
            return;
        }
        let until = Instant::now() + 2 * self.settings.hang_limit + RETIREMENT;
        let mut end = lock(&self.end);
        while !*end {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.ended.wait_timeout(end, left);
            end = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
