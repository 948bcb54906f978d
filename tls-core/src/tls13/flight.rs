//! What a step of the handshake returns: bytes to be sent, and where keys change.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use crypto_api::{Op, PendingOp, RecordOpener};

use super::Next;
use super::transcript::Transcript;
use crate::Error;
use crate::record::WriteKeys;

/// Handshake messages to be sent, one behind the other, and what happens between them.
///
/// States fill it and know nothing of records; the connection cuts it into records and
/// applies each [`Change`] at its place.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) changes: Vec<(usize, Change)>,
    /// Messages of recorded handshakes that replace our own.
    #[cfg(test)]
    pub(crate) substitutes: Vec<Vec<u8>>,
}

/// Something that happens at a place in the stream of handshake messages.
///
/// Keys are made by the state, not where they are applied: should a backend fail, nothing of
/// the step is sent, and the alert goes out under the keys that the peer still expects.
pub(crate) enum Change {
    /// A dummy change_cipher_spec is sent (RFC 9846, appendix E.4).
    DummySpec,
    /// What follows is sent under these keys.
    Write(WriteKeys),
    /// What is received next is under these keys.
    Read(Box<dyn RecordOpener>),
    /// So many bytes of early data are skipped, which the client sends unasked.
    SkipEarlyData(usize),
}

impl Output {
    /// Appends the message that `encode` writes, and adds it to the transcript.
    pub(crate) fn message(
        &mut self,
        transcript: &mut Transcript,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let message = self.raw_message(encode);
        transcript.add(message);
    }

    /// Appends the message that `encode` writes. Returns it.
    pub(crate) fn raw_message(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let at = self.bytes.len();
        encode(&mut self.bytes);
        #[cfg(test)]
        self.substitute(at);
        self.bytes.get(at..).unwrap_or_default()
    }

    /// Puts a recorded message of the same type in the place of the one at `at`.
    #[cfg(test)]
    fn substitute(&mut self, at: usize) {
        let kind = self.bytes[at];
        if let Some(found) = self.substitutes.iter().position(|other| other[0] == kind) {
            let other = self.substitutes.remove(found);
            self.bytes.truncate(at);
            self.bytes.extend_from_slice(&other);
        }
    }

    /// Notes that something changes behind the messages so far.
    pub(crate) fn change(&mut self, change: Change) {
        self.changes.push((self.bytes.len(), change));
    }
}

/// An operation with the rest of the handshake behind it.
pub(crate) trait Suspension: Send {
    /// Asks the operation; when it is ready, goes on with the handshake.
    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Output) -> Poll<Result<Next, Error>>;
}

/// Goes on with `rest` when `op` is ready: at once, or after a suspension. Both take the
/// same way, and the first allocates nothing.
pub(crate) fn after<T, E, F>(op: Op<T, E>, out: &mut Output, rest: F) -> Result<Next, Error>
where
    T: 'static,
    E: Into<Error> + 'static,
    F: FnOnce(T, &mut Output) -> Result<Next, Error> + Send + 'static,
{
    match op {
        Op::Ready(outcome) => rest(outcome.map_err(Into::into)?, out),
        Op::Pending(op) => Ok(Next::Suspend(Box::new(After {
            op,
            rest: Some(rest),
        }))),
    }
}

struct After<T, E, F> {
    op: Box<dyn PendingOp<T, E>>,
    rest: Option<F>,
}

impl<T, E, F> Suspension for After<T, E, F>
where
    E: Into<Error>,
    F: FnOnce(T, &mut Output) -> Result<Next, Error> + Send,
{
    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Output) -> Poll<Result<Next, Error>> {
        let Poll::Ready(outcome) = self.op.poll(cx) else {
            return Poll::Pending;
        };
        let Some(rest) = self.rest.take() else {
            return Poll::Ready(Err(Error::Usage("operation polled after it was ready")));
        };
        Poll::Ready(
            outcome
                .map_err(Into::into)
                .and_then(|value| rest(value, out)),
        )
    }
}
