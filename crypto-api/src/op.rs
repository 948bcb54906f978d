//! Operations that may take time.
//!
//! A signature from an HSM takes milliseconds; one from a local key takes microseconds.
//! Both return an [`Op`]: the local key answers [`Op::Ready`] and nothing is allocated, the
//! HSM answers [`Op::Pending`] with an object that its owner polls like a future. Dropping
//! the object cancels the operation.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::Error;

/// The outcome of an operation, or the operation itself if it has yet to finish.
#[must_use = "an operation that is dropped is cancelled"]
pub enum Op<T, E = Error> {
    /// Finished, well or not.
    Ready(Result<T, E>),
    /// Under way: poll it until it is ready, or drop it to cancel.
    Pending(Box<dyn PendingOp<T, E>>),
}

/// An operation under way.
///
/// Like a [`Future`] it must wake the context's waker when progress is possible, and is
/// not polled again after it was ready. Unlike a future it needs no pinning. Dropping it
/// cancels: the backend may forget the work and must not deliver its result anywhere else.
pub trait PendingOp<T, E = Error>: Send {
    /// Asks whether the operation has finished.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, E>>;
}

/// Any boxed future is a pending operation.
impl<T, E, F> PendingOp<T, E> for Pin<Box<F>>
where
    F: Future<Output = Result<T, E>> + Send + ?Sized,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.as_mut().poll(cx)
    }
}

impl<T, E> Op<T, E> {
    /// An operation that has succeeded.
    pub fn ok(value: T) -> Self {
        Self::Ready(Ok(value))
    }

    /// An operation that has failed.
    pub fn err(error: E) -> Self {
        Self::Ready(Err(error))
    }

    /// An operation that a future carries out. The future starts at the first poll.
    pub fn future(future: impl Future<Output = Result<T, E>> + Send + 'static) -> Self
    where
        T: 'static,
        E: 'static,
    {
        Self::Pending(Box::new(Box::pin(future)))
    }

    /// Applies `f` to the outcome, now or when it comes.
    ///
    /// Its error can be made of this crate's, for a caller that polls once too often.
    pub fn then<U, G>(
        self,
        f: impl FnOnce(Result<T, E>) -> Result<U, G> + Send + 'static,
    ) -> Op<U, G>
    where
        T: 'static,
        E: 'static,
        G: From<Error>,
    {
        match self {
            Self::Ready(outcome) => Op::Ready(f(outcome)),
            Self::Pending(op) => Op::Pending(Box::new(Then { op, f: Some(f) })),
        }
    }

    /// Polls until the operation is ready, without sleeping in between.
    ///
    /// For tests and start-up checks: a caller with a thread to spare should sleep in its
    /// waker instead.
    pub fn spin(self) -> Result<T, E> {
        match self {
            Self::Ready(outcome) => outcome,
            Self::Pending(mut op) => {
                let mut cx = Context::from_waker(core::task::Waker::noop());
                loop {
                    if let Poll::Ready(outcome) = op.poll(&mut cx) {
                        return outcome;
                    }
                    core::hint::spin_loop();
                }
            }
        }
    }
}

impl<T, E> From<Result<T, E>> for Op<T, E> {
    fn from(outcome: Result<T, E>) -> Self {
        Self::Ready(outcome)
    }
}

impl<T, E: fmt::Debug> fmt::Debug for Op<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret: only the kind of outcome is shown.
        match self {
            Self::Ready(Ok(_)) => f.write_str("Ready(Ok)"),
            Self::Ready(Err(error)) => f.debug_tuple("Ready").field(error).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}

struct Then<T, E, F> {
    op: Box<dyn PendingOp<T, E>>,
    f: Option<F>,
}

impl<T, E, U, G, F> PendingOp<U, G> for Then<T, E, F>
where
    F: FnOnce(Result<T, E>) -> Result<U, G> + Send,
    G: From<Error>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<U, G>> {
        let Some(f) = self.f.take() else {
            return Poll::Ready(Err(
                Error::Misused("operation polled after it was ready").into()
            ));
        };
        match self.op.poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(f(outcome)),
            Poll::Pending => {
                self.f = Some(f);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Waker;

    struct After(u32);

    impl PendingOp<u32> for After {
        fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<u32, Error>> {
            if self.0 == 0 {
                return Poll::Ready(Ok(7));
            }
            self.0 -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    #[test]
    fn then_maps_both_ways() {
        let ready: Op<u32> = Op::ok(20);
        assert_eq!(ready.then(|v| v.map(|v| v + 1)).spin(), Ok(21));
        let pending: Op<u32> = Op::Pending(Box::new(After(3)));
        let Op::Pending(mut op) = pending.then(|v| v.map(|v| v * 2)) else {
            panic!("became ready by itself");
        };
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(op.poll(&mut cx).is_pending());
        }
        assert_eq!(op.poll(&mut cx), Poll::Ready(Ok(14)));
        // A caller's mistake is no reason to wait for ever.
        let misused = Error::Misused("operation polled after it was ready");
        assert_eq!(op.poll(&mut cx), Poll::Ready(Err(misused)));
    }

    #[test]
    fn futures_are_operations() {
        let op: Op<u32> = Op::future(async { Ok(5) });
        assert_eq!(op.spin(), Ok(5));
    }
}
