//! Opening a key, on a thread of its own.

use std::future::Future;
use std::pin::Pin as StdPin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::{OpenError, Reason};
use crate::key::Pkcs11Key;
use crate::module::lock;
use crate::process::Process;

/// A key that is being opened: a future. Dropping it lets the work go on and throws its
/// result away.
#[derive(Debug)]
pub struct Opening<T = Pkcs11Key> {
    shared: Arc<Shared<T>>,
    limit: Duration,
    uri: String,
    process: Process,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

#[derive(Debug)]
struct State<T> {
    outcome: Option<Result<T, OpenError>>,
    waker: Option<Waker>,
}

impl<T: Send + 'static> Opening<T> {
    /// Runs `open` on a thread of its own, for at most `limit` as far as the waiting one is
    /// concerned.
    pub(crate) fn start(
        uri: String,
        limit: Duration,
        open: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                outcome: None,
                waker: None,
            }),
            done: Condvar::new(),
        });
        let run = {
            let shared = shared.clone();
            move || shared.finish(open())
        };
        let started = std::thread::Builder::new()
            .name("pkcs11-open".into())
            .spawn(run);
        if let Err(error) = started {
            let reason = Reason::Thread(error.to_string());
            shared.finish(Err(OpenError::new(&uri, reason)));
        }
        // A second thread keeps the time, for a future that nothing else would wake.
        let timer = {
            let (shared, uri) = (Arc::downgrade(&shared), uri.clone());
            move || {
                let until = Instant::now() + limit;
                while let Some(left) = until.checked_duration_since(Instant::now()) {
                    let Some(shared) = shared.upgrade() else {
                        return;
                    };
                    let state = lock(&shared.state);
                    if state.outcome.is_some() {
                        return;
                    }
                    // Woken when it is done, and now and then to see whether anybody waits.
                    let step = left.min(Duration::from_millis(200));
                    drop(shared.done.wait_timeout(state, step));
                }
                if let Some(shared) = shared.upgrade() {
                    shared.finish(Err(OpenError::new(&uri, Reason::TimedOut(limit))));
                }
            }
        };
        let _ = std::thread::Builder::new()
            .name("pkcs11-open-timer".into())
            .spawn(timer);
        Self {
            shared,
            limit,
            uri,
            process: Process::this(),
        }
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// What is wrong, the first found.
    pub fn wait(self) -> Result<T, OpenError> {
        self.check()?;
        let until = Instant::now() + self.limit;
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(OpenError::new(&self.uri, Reason::TimedOut(self.limit)));
            }
            let waited = self.shared.done.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Opening<T> {
    /// The threads that open it are in the parent.
    fn check(&self) -> Result<(), OpenError> {
        if self.process.forked() {
            return Err(OpenError::new(&self.uri, Reason::Forked));
        }
        Ok(())
    }
}

impl<T> Shared<T> {
    fn finish(&self, outcome: Result<T, OpenError>) {
        let mut state = lock(&self.state);
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Opening<T> {
    type Output = Result<T, OpenError>;

    fn poll(self: StdPin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.check()?;
        let mut state = lock(&self.shared.state);
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
