//! One request, from the queue to its owner.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crypto_api::{Error, PendingOp};

use super::Handle;
use crate::meter::{Count, Untold};
use crate::module::lock;

/// Something to be done, shared between its owner, the queue and a signing thread. Small,
/// as thousands of handshakes may be parked.
pub(crate) struct Request {
    /// The order of arrival, and the name in the queue.
    pub(super) number: u64,
    pub(super) job: usize,
    pub(super) data: Box<[u8]>,
    pub(super) born: Instant,
    pub(super) deadline: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<Vec<u8>, Error>>,
    waker: Option<Waker>,
    /// The outcome is there or has been taken, or nobody wants it any more.
    over: bool,
    /// How often it has failed so far.
    attempts: u32,
    /// Whether one of those was a signature that did not verify.
    wrong: bool,
    /// Whether a second token has it too.
    hedged: bool,
    /// The place that it should not go to again.
    avoid: Option<usize>,
}

impl Request {
    pub(super) fn new(
        number: u64,
        job: usize,
        data: &[u8],
        born: Instant,
        deadline: Instant,
    ) -> Self {
        Self {
            number,
            job,
            data: data.into(),
            born,
            deadline,
            state: Mutex::default(),
        }
    }

    /// Delivers the outcome, unless one was delivered or nobody waits.
    pub(super) fn finish(&self, outcome: Result<Vec<u8>, Error>) {
        self.deliver(outcome, || None);
    }

    /// Delivers an error, and counts it if it was delivered.
    pub(super) fn refuse(&self, error: Error, count: &Count) {
        self.deliver(Err(error), || Some(count.count()));
    }

    fn deliver<'a>(
        &self,
        outcome: Result<Vec<u8>, Error>,
        count: impl FnOnce() -> Option<Untold<'a>>,
    ) {
        let mut state = lock(&self.state);
        if state.over {
            return;
        }
        state.over = true;
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        // Under the lock, so that whoever has the outcome finds it counted.
        let untold = count();
        drop(state);
        // What follows is somebody else's code. If it panics, the thread that serves everybody
        // goes on.
        if let Some(untold) = untold {
            untold.tell();
        }
        if let Some(waker) = waker {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    /// Counts a failure; says how many there were, and whether an earlier one was a wrong
    /// signature.
    pub(super) fn failed(&self, wrong: bool) -> (u32, bool) {
        let mut state = lock(&self.state);
        state.attempts += 1;
        let before = state.wrong;
        state.wrong |= wrong;
        (state.attempts, before)
    }

    /// Whether one of its outcomes was wrong.
    pub(super) fn was_wrong(&self) -> bool {
        lock(&self.state).wrong
    }

    /// The place that should not get it, if there is another.
    pub(super) fn avoid(&self) -> Option<usize> {
        lock(&self.state).avoid
    }

    pub(super) fn set_avoid(&self, place: Option<usize>) {
        lock(&self.state).avoid = place;
    }

    /// Marks it for a second token, once.
    pub(super) fn hedge(&self, away_from: usize) -> bool {
        let mut state = lock(&self.state);
        if state.hedged || state.over {
            return false;
        }
        state.hedged = true;
        state.avoid = Some(away_from);
        true
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        let mut state = lock(&self.state);
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Says whether the request was still under way.
    fn cancel(&self) -> bool {
        let mut state = lock(&self.state);
        state.waker = None;
        !std::mem::replace(&mut state.over, true)
    }
}

/// The owner's end of a request: polled for the outcome, dropped to cancel.
pub(crate) struct Pending {
    handle: Arc<Handle>,
    request: Arc<Request>,
}

impl Pending {
    pub(super) fn new(handle: Arc<Handle>, request: Arc<Request>) -> Self {
        Self { handle, request }
    }

    /// What was to be done.
    pub(crate) fn data(&self) -> &[u8] {
        &self.request.data
    }
}

impl PendingOp<Vec<u8>> for Pending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        // Who would do it is in the parent.
        if self.handle.pool.forked() {
            return Poll::Ready(Err(self.handle.pool.refusal_in_child()));
        }
        self.request.poll(cx)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // A forked child does not wait for a lock that a thread of the parent held.
        if !self.handle.pool.forked() && self.request.cancel() {
            self.handle.pool.cancelled(&self.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;
    use crate::meter::KeyMeter;

    /// Notes how much had been counted when it was woken.
    struct Look {
        meter: Arc<KeyMeter>,
        seen: Mutex<Option<u64>>,
    }

    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            *lock(&self.seen) = Some(self.meter.stats(0, Vec::new()).expired);
        }
    }

    #[test]
    fn whoever_is_told_of_an_error_finds_it_counted() {
        let now = Instant::now();
        let meter = Arc::new(KeyMeter::new("key"));
        let look = Arc::new(Look {
            meter: meter.clone(),
            seen: Mutex::default(),
        });
        let request = Request::new(1, 0, b"", now, now);
        let waker = Waker::from(look.clone());
        assert!(request.poll(&mut Context::from_waker(&waker)).is_pending());
        let error = || Error::Unavailable {
            backend: "test",
            detail: "too late".into(),
        };
        request.refuse(error(), &meter.expired);
        assert_eq!(*lock(&look.seen), Some(1));
        // Also if it does not wait to be woken, but asks all the time.
        let asking = Request::new(2, 0, b"", now, now);
        asking.deliver(Err(error()), || {
            assert!(asking.state.try_lock().is_err());
            None
        });
        // Once only.
        request.refuse(error(), &meter.expired);
        assert_eq!(meter.stats(0, Vec::new()).expired, 1);
    }
}
