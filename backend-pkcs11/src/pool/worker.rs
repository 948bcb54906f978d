//! A signing thread: one session, one operation after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use cryptoki_sys as sys;

use super::check::Unchecked;
use super::queue::{Breaker, Task};
use super::request::Request;
use super::{Pool, SCRATCH};
use crate::code::Class;
use crate::error::Reason;
use crate::low::prefer_short_slices;
use crate::module::lock;
use crate::place::{Place, Session, Trouble};

/// How often a request is tried.
pub(super) const ATTEMPTS: u32 = 4;
/// How many failures in a row make a place suspect, whatever they were.
pub(super) const SUSPECT: u32 = 3;
/// The pause after a token said that it is busy; doubled with each attempt.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a thread without work stays, with its session if it has one and others are there.
pub(super) const IDLE: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    pub(super) pool: Arc<Pool>,
    /// Which place, and which thread there.
    pub(super) place: usize,
    pub(super) number: u64,
}

/// The pause after a refused PIN: each attempt asks for it anew, which may be a file, a secret
/// manager or a person's function.
const PIN_PAUSE: Duration = Duration::from_secs(1);

/// What became of a task.
enum Ended {
    /// Well, at this time.
    Well(Instant),
    /// Well, at this time, as far as the token can tell.
    Made(Unchecked, Instant),
    /// It was right.
    Checked,
    /// Otherwise; what had to be done about it is done.
    Seen,
    /// The token is in order again.
    Revived,
    /// The token does not answer, or not as it should.
    Down(Reason),
}

/// Keeps the accounts right however a thread ends.
struct Leaving<'a>(&'a Worker);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let Worker {
            pool,
            place,
            number,
        } = self.0;
        let mut queue = lock(&pool.queue);
        queue.threads -= 1;
        let at = queue.places.get_mut(*place);
        let request = at.and_then(|at| at.ended(*number, Instant::now()));
        pool.look(&mut queue);
        drop(queue);
        // For the room it had, or to try the token in its place.
        pool.wake_all();
        if let (Some(request), Some(place)) = (request, pool.places.get(*place)) {
            pool.fail(&request, pool.failure(place, &Reason::Panicked));
        }
    }
}

impl Worker {
    /// Works until the pool closes, or there is nothing to do for long, or the thread is
    /// given up.
    pub(super) fn run(self) {
        let _leaving = Leaving(&self);
        let Some(place) = self.pool.places.get(self.place) else {
            return;
        };
        // Between two calls there is little to do and a session of the token that waits for it.
        if self.pool.settings.short_slices {
            prefer_short_slices();
        }
        let mut session = None;
        let mut scratch = vec![0; SCRATCH];
        let mut ended = None;
        while let Some(task) = self.next(ended.take()) {
            // Some of what is called is not ours: where the PIN comes from, and what verifies.
            let outcome = catch_unwind(AssertUnwindSafe(|| match task {
                Task::Perform(request) => self.perform(place, &mut session, &request, &mut scratch),
                Task::Probe => self.probe(place, &mut session, &mut scratch),
                Task::Check(made) => {
                    if self.pool.check(made) {
                        Ended::Checked
                    } else {
                        Ended::Seen
                    }
                }
            }));
            ended = Some(outcome.unwrap_or_else(|_| self.panicked(place, &mut session)));
        }
        place.leave(&mut session);
    }

    /// Clears up after a panic, which may have come in the middle of an operation.
    fn panicked(&self, place: &Place, session: &mut Option<Session>) -> Ended {
        place.leave(session);
        let queue = lock(&self.pool.queue);
        let at = queue.places.get(self.place);
        let probing = at.is_some_and(|at| at.is_probing(self.number));
        // None if it had been given back before.
        let state = at.and_then(|at| at.workers.get(&self.number));
        let request = state.and_then(|state| state.request.clone());
        drop(queue);
        if let Some(request) = request {
            let error = self.pool.failure(place, &Reason::Panicked);
            self.pool.fail(&request, error);
        }
        if probing {
            Ended::Down(Reason::Panicked)
        } else {
            Ended::Seen
        }
    }

    /// Reports how the last task ended, and waits for the next. `None`: end.
    fn next(&self, ended: Option<Ended>) -> Option<Task> {
        let pool = &*self.pool;
        let wake = pool.wake.get(self.place)?;
        let mut queue = lock(&pool.queue);
        let at = queue.places.get_mut(self.place)?;
        if !at.end(self.number) {
            if let Some(Ended::Made(made, _)) = ended {
                // Somebody may still be waiting for it.
                return Some(Task::Check(made));
            }
            // Given up, because it took long; but it found the token in order in the end.
            // Otherwise a token whose recovery takes longer than the limit would never be,
            // and one that stalled for a little longer would be left alone for as long again.
            if matches!(
                ended,
                Some(Ended::Revived | Ended::Well(_) | Ended::Checked)
            ) && matches!(at.breaker, Breaker::Open(_))
            {
                at.revive();
                wake.notify_all();
                pool.look(&mut queue);
            }
            return None;
        }
        let mut everyone = false;
        let mut unchecked = None;
        match ended {
            None | Some(Ended::Seen | Ended::Checked) => {}
            Some(Ended::Well(now)) => {
                at.failures = 0;
                everyone = at.width.done(now);
            }
            Some(Ended::Made(made, now)) => {
                everyone = at.width.done(now);
                unchecked = Some((made, now));
            }
            Some(Ended::Revived) => {
                at.revive();
                everyone = true;
            }
            Some(Ended::Down(reason)) => {
                let pause = match reason {
                    Reason::Pin(_) => pool.settings.retry_interval.max(PIN_PAUSE),
                    _ => pool.settings.retry_interval,
                };
                at.breaker = Breaker::Open(Instant::now() + pause);
                // Waiting does not help where a person has to.
                at.hopeless = reason.class(&pool.profile) == Class::Caller;
                at.trouble = Some(reason);
                // It ends what waits in vain.
                pool.look(&mut queue);
            }
        }
        if everyone {
            wake.notify_all();
        }
        if let Some((made, now)) = unchecked {
            let task = queue.go_on(self.place, self.number, made, now);
            if queue.checks.wants_thread() {
                pool.look(&mut queue);
            }
            let checks = matches!(task, Task::Check(_));
            // It leaves room, which one that waits may take meanwhile.
            let called = if checks && queue.len() > 0 {
                queue.call(None)
            } else {
                None
            };
            drop(queue);
            pool.come(called);
            if !checks {
                pool.wake_checker.notify_one();
            }
            return Some(task);
        }
        let mut idle_since = None;
        loop {
            if queue.closed {
                return None;
            }
            let now = Instant::now();
            if let Some(task) = queue.task(self.place, self.number, now) {
                return Some(task);
            }
            let at = queue.places.get_mut(self.place)?;
            // Given up between tasks it cannot be, but its place may have been closed.
            if !at.workers.contains_key(&self.number) {
                return None;
            }
            let idle = now.saturating_duration_since(*idle_since.get_or_insert(now));
            if idle >= IDLE && at.retire(self.number, now) {
                // For those that leave, too.
                pool.look(&mut queue);
                return None;
            }
            let pause = match at.breaker {
                Breaker::Open(until) => until.saturating_duration_since(now),
                // The last one stays for as long again.
                _ if idle >= IDLE => IDLE,
                _ => IDLE.saturating_sub(idle).max(PAUSE),
            };
            at.idle += 1;
            let (woken, _) = wake
                .wait_timeout(queue, pause)
                .unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            if let Some(at) = queue.places.get_mut(self.place) {
                at.comes();
            }
        }
    }

    fn perform(
        &self,
        place: &Place,
        session: &mut Option<Session>,
        request: &Arc<Request>,
        scratch: &mut [u8],
    ) -> Ended {
        let pool = &self.pool;
        let start = Instant::now();
        if start >= request.deadline {
            let error = pool.unavailable("the deadline passed in the queue");
            request.refuse(error, &pool.meter.expired);
            return Ended::Seen;
        }
        pool.meter
            .wait
            .add(start.saturating_duration_since(request.born));
        let outcome = place.seated(session, |seat| {
            place
                .duty
                .perform(seat, request.job, &request.data, scratch)
        });
        match outcome {
            Ok(output) => {
                let now = Instant::now();
                place
                    .meter
                    .token_time
                    .add(now.saturating_duration_since(start));
                if place.duty.is_checked(request.job) {
                    let made = Unchecked {
                        place: self.place,
                        session: session.as_ref().map(Session::suspect).unwrap_or_default(),
                        request: request.clone(),
                        output,
                        number: None,
                    };
                    return Ended::Made(made, now);
                }
                place.meter.done.add();
                request.finish(Ok(output));
                Ended::Well(now)
            }
            Err(trouble) if self.failed(place, request, &trouble) => {
                self.probe(place, session, scratch)
            }
            Err(_) => Ended::Seen,
        }
    }

    /// Decides what becomes of a request that failed, and of the place. Says whether this
    /// thread has to see what is the matter with the token.
    fn failed(&self, place: &Place, request: &Arc<Request>, trouble: &Trouble) -> bool {
        let pool = &self.pool;
        let reason = &trouble.reason;
        let wrong = *reason == Reason::WrongSignature;
        let no_pin = matches!(reason, Reason::Pin(_));
        if wrong {
            place.meter.wrong.add();
        }
        count_refusal(place, reason);
        // The token opens no more sessions, but others have some: nothing is wrong with the
        // request, and they will do it.
        let crowded = matches!(
            reason,
            Reason::Call(failure) if failure.is(sys::CKR_SESSION_COUNT)
        ) && place.meter.sessions_now.load(Relaxed) > 0;
        let (attempts, wrong_before) = if crowded {
            (0, false)
        } else {
            request.failed(wrong)
        };
        let mut queue = lock(&pool.queue);
        let elsewhere = queue.up_elsewhere(self.place);
        let hope = queue.hope_elsewhere(self.place);
        let Some(at) = queue.places.get_mut(self.place) else {
            return false;
        };
        let began = at.workers.get(&self.number).and_then(|state| state.since);
        // Given up while it was inside: the request has gone on without it.
        if !at.end(self.number) {
            return false;
        }
        at.failures += 1;
        let class = match reason.class(&pool.profile) {
            Class::Session | Class::Login if at.failures >= SUSPECT => Class::Module,
            // Nothing is wrong with the request, and the token is of no use without its PIN.
            Class::Caller if no_pin => Class::Module,
            class => class,
        };
        let hopeless = match class {
            _ if no_pin && !hope => true,
            // Another token may be able to.
            Class::Caller => !elsewhere || attempts > 1,
            _ => attempts >= ATTEMPTS || wrong && wrong_before,
        };
        // Nobody else goes in before this thread has seen to it.
        let examine = class == Class::Module && at.breaker == Breaker::Closed;
        if examine {
            at.breaker = Breaker::Probing;
            if let Some(state) = at.workers.get_mut(&self.number) {
                state.since = Some(Instant::now());
            }
        }
        if class == Class::Busy {
            let now = Instant::now();
            let inside = at.running.max(1);
            at.width.refused(inside, began.unwrap_or(now), now);
        }
        drop(queue);
        if examine {
            place.meter.outages.add();
        }
        if examine || class == Class::Busy {
            // There is less room here now: what waited for it may go elsewhere.
            pool.wake_all();
        }
        if hopeless {
            pool.fail(request, pool.failure(place, reason));
        } else {
            pool.give_back(self.place, request, elsewhere);
            if class == Class::Busy {
                // Without the request, which another thread may do meanwhile.
                let doublings = if crowded { 5 } else { attempts.min(5) };
                std::thread::sleep(PAUSE * (1 << doublings));
            }
        }
        examine
    }

    /// Sees whether the token is in order; if it is not, initialises its module again and
    /// looks once more.
    fn probe(&self, place: &Place, session: &mut Option<Session>, scratch: &mut [u8]) -> Ended {
        let mut once = |session: &mut Option<Session>| {
            let outcome = place.seated(session, |seat| place.duty.probe(seat, scratch));
            outcome.inspect_err(|trouble| count_refusal(place, &trouble.reason))
        };
        // A new session tells more than an old one.
        place.leave(session);
        let mut outcome = once(session);
        // Once more with a new session and handles looked for anew: those of others may date
        // from before the loss.
        if outcome.as_ref().is_err_and(|trouble| {
            let class = trouble.reason.class(&self.pool.profile);
            matches!(class, Class::Session | Class::Login)
        }) {
            outcome = once(session);
        }
        let Err(trouble) = outcome else {
            return Ended::Revived;
        };
        let settings = &self.pool.settings;
        let lost = match trouble.reason.class(&self.pool.profile) {
            // A refused PIN is no reason to initialise anything; a busy token is there.
            Class::Caller | Class::Busy => false,
            Class::Session | Class::Login | Class::Module => match trouble.reason {
                Reason::Call(_) | Reason::NoToken { .. } => true,
                // The token answers, and what it shows is wrong. That may be for want of a
                // fresh start, but more likely it is so; other keys should not suffer.
                _ => place.once_in_a_while(),
            },
        };
        if !lost || !settings.reinitialize {
            return Ended::Down(trouble.reason);
        }
        let recovered = place.module.recover(
            trouble.generation,
            settings.retry_interval,
            settings.hang_limit / 2,
        );
        match recovered {
            Ok(true) => place.meter.reinitialized.add(),
            Ok(false) => {}
            Err(reason) => {
                if let Reason::Call(failure) = &reason {
                    place.meter.code(failure.code);
                }
                return Ended::Down(reason);
            }
        }
        match once(session) {
            Ok(()) => Ended::Revived,
            Err(trouble) => Ended::Down(trouble.reason),
        }
    }
}

/// Counts the code that a PIN was refused with. One that was not presented has none.
fn count_refusal(place: &Place, reason: &Reason) {
    if let Reason::Pin(error) = reason
        && let Some(code) = error.code()
    {
        place.meter.code(code);
    }
}
