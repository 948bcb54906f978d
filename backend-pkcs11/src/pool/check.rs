//! Seeing whether what the token made is right.
//!
//! A token's sessions are scarce, processors less so: while requests wait, a session goes on
//! with the next of them, and what it made is checked by a thread that has none. When nothing
//! waits, or these threads are behind, the thread that made it checks it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::Pool;
use super::queue::{Breaker, Queue};
use super::request::Request;
use super::worker::{ATTEMPTS, IDLE, SUSPECT};
use crate::error::Reason;
use crate::module::lock;
use crate::place::{Place, Suspect};

/// Something that nobody may have before it has been checked.
pub(super) struct Unchecked {
    /// Where it was made, and by which session.
    pub(super) place: usize,
    pub(super) session: Suspect,
    pub(super) request: Arc<Request>,
    pub(super) output: Vec<u8>,
    /// Its name among what is under check; none if its thread was given up, and somebody else
    /// has the request.
    pub(super) number: Option<u64>,
}

impl Pool {
    /// Checks what was made, and delivers it or has it made again. Says whether it was found
    /// to be right. Also if nobody waits for it any more: it tells something of the token.
    pub(super) fn check(&self, made: Unchecked) -> bool {
        let request = &made.request;
        let Some(place) = self.places.get(made.place) else {
            return false;
        };
        // Verification is the provider's: it is not ours.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            place.duty.check(request.job, &request.data, &made.output)
        }));
        let right = matches!(outcome, Ok(Ok(())));
        self.is_checked(&made, right);
        match outcome {
            Ok(Ok(())) => {
                place.meter.done.add();
                request.finish(Ok(made.output));
            }
            Ok(Err(reason)) => self.made_wrongly(place, &made, &reason),
            Err(_) => self.fail(request, self.failure(place, &Reason::Panicked)),
        }
        right
    }

    /// Takes note that something has been checked. Before its owner has it: what comes of the
    /// next request would be forgotten with what came before this one.
    fn is_checked(&self, made: &Unchecked, right: bool) {
        let mut queue = lock(&self.queue);
        if let Some(number) = made.number {
            queue.checks.under_way.remove(&number);
        }
        if let Some(at) = queue.places.get_mut(made.place).filter(|_| right) {
            at.failures = 0;
        }
    }

    /// Decides what becomes of a request whose outcome is wrong, and of the place.
    fn made_wrongly(&self, place: &Place, made: &Unchecked, reason: &Reason) {
        place.meter.wrong.add();
        place.distrust(&made.session);
        let (attempts, wrong_before) = made.request.failed(true);
        let mut queue = lock(&self.queue);
        let elsewhere = queue.up_elsewhere(made.place);
        let Some(at) = queue.places.get_mut(made.place) else {
            return;
        };
        at.failures += 1;
        let suspect = at.failures >= SUSPECT && at.breaker == Breaker::Closed;
        if suspect {
            // The first thread that comes tries the token, and nobody else goes in before.
            at.breaker = Breaker::Open(Instant::now());
            self.look(&mut queue);
        }
        drop(queue);
        if suspect {
            place.meter.outages.add();
            self.wake_all();
        }
        if made.number.is_none() {
            return;
        }
        if wrong_before || attempts >= ATTEMPTS {
            self.fail(&made.request, self.failure(place, reason));
        } else {
            self.give_back(made.place, &made.request, elsewhere);
        }
    }
}

/// A thread that checks.
pub(super) struct Checker(pub(super) Arc<Pool>);

/// Keeps the accounts right however a thread ends.
struct Leaving<'a>(&'a Pool);

impl Leaving<'_> {
    fn settle(&self, queue: &mut Queue) {
        queue.threads -= 1;
        queue.checks.threads -= 1;
        // Another has to go on with what waits.
        queue.checks.behind |= !queue.checks.waiting.is_empty();
        self.0.look(queue);
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.settle(&mut lock(&self.0.queue));
    }
}

impl Checker {
    /// Works until the pool closes, or there is nothing to do for long.
    pub(super) fn run(self) {
        let pool = &*self.0;
        let leaving = Leaving(pool);
        let mut queue = lock(&pool.queue);
        let mut since = Instant::now();
        loop {
            if let Some(made) = queue.checks.waiting.pop_front() {
                drop(queue);
                pool.check(made);
                queue = lock(&pool.queue);
                since = Instant::now();
                continue;
            }
            let left = IDLE.saturating_sub(since.elapsed());
            if queue.closed || left.is_zero() {
                // Before the lock is free, or somebody could still leave something here.
                leaving.settle(&mut queue);
                std::mem::forget(leaving);
                return;
            }
            let (woken, _) = pool
                .wake_checker
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner);
            queue = woken;
        }
    }
}
