//! The tasks that wait for a stream.
//!
//! A stream may be read by one task and written by another, and both write to the transport:
//! a reader sends what the protocol answers, and what a cancelled write has left behind. The
//! transport remembers one task for its writing side, the last that asked. So each asks in
//! the name of both: whoever is still there is woken and goes on, and nobody has to know
//! whether the other's future was dropped.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Which of a stream's two directions a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// The tasks whose last call had to wait, and may still.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The last that was made of two, to be used again.
    both: Option<Arc<Both>>,
}

#[derive(Debug)]
struct Both([Waker; 2]);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.iter().for_each(Waker::wake_by_ref);
    }
}

impl Tasks {
    /// Makes a call on the transport's writing side for the task of `cx`, such that the
    /// transport wakes both tasks.
    pub(super) fn for_both<R>(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Context<'_>) -> R,
    ) -> R {
        let other = match direction {
            Direction::Read => &self.writer,
            Direction::Write => &self.reader,
        };
        let Some(other) = other.as_ref().filter(|other| !other.will_wake(cx.waker())) else {
            return call(cx);
        };
        let pair = [cx.waker(), other];
        let made = self.both.take().filter(|both| {
            let wakes = |task: &Waker| both.0.iter().any(|one| one.will_wake(task));
            pair.into_iter().all(wakes)
        });
        let both = made.unwrap_or_else(|| Arc::new(Both(pair.map(Waker::clone))));
        let waker = Waker::from(self.both.insert(both).clone());
        call(&mut Context::from_waker(&waker))
    }

    /// Takes note of how a call ended. One that failed ends the other's wait as well.
    pub(super) fn note<T, E>(
        &mut self,
        direction: Direction,
        cx: &Context<'_>,
        outcome: &Poll<Result<T, E>>,
    ) {
        let (own, other) = match direction {
            Direction::Read => (&mut self.reader, &mut self.writer),
            Direction::Write => (&mut self.writer, &mut self.reader),
        };
        match outcome {
            Poll::Pending => match own {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *own = Some(cx.waker().clone()),
            },
            Poll::Ready(outcome) => {
                *own = None;
                if outcome.is_err()
                    && let Some(other) = other.take()
                {
                    other.wake();
                }
            }
        }
    }
}
