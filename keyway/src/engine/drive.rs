//! The driver: moves bytes between connection and transport until a call is done.

use std::io;
use std::task::{Context, Poll, ready};

use crypto_api::Payload;
use tls_core::Error;

use super::{Engine, Receiving, Step, Transport};
use crate::error::io_error;

/// What a turn has brought.
enum Turn {
    /// Something; take another turn.
    Progress,
    /// Application data.
    Data,
    /// The end.
    Closed,
}

impl Engine {
    /// Drives the handshake to its end, our last message written.
    pub(crate) fn poll_handshake(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Not "while it is handshaking": one that was given up does so no longer.
        while self.connection.suite().is_none() {
            match ready!(self.poll_turn(io, cx))? {
                // The core lets neither happen before the handshake is done.
                Turn::Data | Turn::Closed if self.connection.suite().is_none() => {
                    let error = self.fail(Error::Truncated);
                    return Poll::Ready(Err(self.report(io, cx, error)));
                }
                // The end of the handshake and the first data may come together.
                Turn::Progress | Turn::Data | Turn::Closed => {}
            }
        }
        if let Receiving::Failed(error) = &self.receiving {
            let error = error.clone();
            return Poll::Ready(Err(self.report(io, cx, error)));
        }
        self.poll_flush(io, cx)
    }

    /// Waits until there is [`data`](Engine::data). None after it is ready: the end.
    pub(crate) fn poll_fill(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.is_handshaking() {
            ready!(self.poll_handshake(io, cx))?;
        }
        loop {
            match ready!(self.poll_turn(io, cx))? {
                Turn::Progress => {}
                Turn::Data if self.data.is_empty() => {}
                Turn::Data | Turn::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Seals some of `payload` and writes it. What the transport does not take at once
    /// stays here and goes out with the next call.
    pub(crate) fn poll_write(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
        payload: Payload<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.connection.is_handshaking() {
            ready!(self.poll_handshake(io, cx))?;
        }
        if let Receiving::Failed(error) = &self.receiving {
            let error = error.clone();
            return Poll::Ready(Err(self.report(io, cx, error)));
        }
        if self.closed {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "write after close_notify was sent",
            )));
        }
        ready!(self.poll_push(io, cx))?;
        if payload.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let consumed = match self.seal(payload) {
            Ok(consumed) => consumed,
            Err(error) => {
                self.output.release();
                let error = self.fail(error);
                return Poll::Ready(Err(self.report(io, cx, error)));
            }
        };
        match self.poll_push(io, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(consumed)),
        }
    }

    /// Writes everything that waits.
    pub(crate) fn poll_flush(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_push(io, cx))?;
        io.poll_flush(cx)
    }

    /// Sends close_notify. Receiving goes on.
    pub(crate) fn poll_close(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.closed {
            self.closed = true;
            // A dead connection has said what it had to say: its alert.
            if !matches!(self.receiving, Receiving::Failed(_)) {
                self.connection.close();
            }
        }
        self.poll_flush(io, cx)
    }

    fn poll_push(&mut self, io: &mut impl Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let output = self.next_output();
            if output.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match ready!(io.poll_write(cx, output))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.output_written(n),
            }
        }
    }

    /// The connection's error. Its alert is offered to the transport, but nobody waits for
    /// that: a peer that does not read would hide the error for ever. What is not taken goes
    /// out with the next call. A transport that fails too has nothing to add.
    fn report(&mut self, io: &mut impl Transport, cx: &mut Context<'_>, error: Error) -> io::Error {
        let _ = self.poll_flush(io, cx);
        self.release_input();
        io_error(error)
    }

    /// Lets the connection go on once, and does what it needs for that.
    fn poll_turn(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Turn>> {
        self.awaits_operation = false;
        let was_handshaking = self.connection.is_handshaking();
        let step = match self.step() {
            Ok(step) => step,
            Err(error) => return Poll::Ready(Err(self.report(io, cx, error))),
        };
        match step {
            Step::Data => Poll::Ready(Ok(Turn::Data)),
            Step::Closed => {
                self.release_input();
                Poll::Ready(Ok(Turn::Closed))
            }
            Step::Operation => {
                // What can go out already does, while the operation is under way.
                if let Poll::Ready(Err(error)) = self.poll_flush(io, cx) {
                    return Poll::Ready(Err(error));
                }
                match self.connection.poll(cx) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(Turn::Progress)),
                    Poll::Ready(Err(error)) => {
                        let error = self.fail(error);
                        Poll::Ready(Err(self.report(io, cx, error)))
                    }
                    Poll::Pending => {
                        self.awaits_operation = true;
                        self.poll_ahead(io, cx)
                    }
                }
            }
            // Done, and nobody has asked for data yet.
            Step::Input if was_handshaking && !self.connection.is_handshaking() => {
                Poll::Ready(Ok(Turn::Progress))
            }
            Step::Input => {
                // A peer that refused us closes its side: our write fails, and yet its alert
                // is there to be read and says why. So reading comes before complaining.
                let unwritten = match self.poll_flush(io, cx) {
                    Poll::Ready(Err(error)) => Some(error),
                    _ => None,
                };
                let read = self.poll_receive(io, cx);
                match (read, unwritten) {
                    (Poll::Ready(Ok(n)), _) if n > 0 => Poll::Ready(Ok(Turn::Progress)),
                    // An event loop may not have heard of it yet: the bytes lie there, and
                    // if there are none, the end or the reset is what wakes us.
                    (Poll::Pending, Some(error)) if is_lost(&error) => Poll::Pending,
                    (_, Some(error)) => Poll::Ready(Err(error)),
                    (Poll::Ready(Ok(_)), None) => match self.connection.eof() {
                        Ok(()) => {
                            self.receiving = Receiving::Closed;
                            Poll::Ready(Ok(Turn::Closed))
                        }
                        Err(error) => {
                            let error = self.fail(error);
                            Poll::Ready(Err(self.report(io, cx, error)))
                        }
                    },
                    (Poll::Ready(Err(error)), None) => Poll::Ready(Err(error)),
                    (Poll::Pending, None) => Poll::Pending,
                }
            }
        }
    }

    /// Listens to the peer while an operation is pending: one that has left needs no
    /// signature, and its request should not stand in others' way. Pending unless it has.
    fn poll_ahead(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Turn>> {
        loop {
            let room = self.room_ahead();
            if room.is_empty() {
                return Poll::Pending;
            }
            let read = io.poll_listen(cx, room);
            if let Poll::Ready(Ok(n)) = read {
                self.input.fill(n);
            }
            self.release_input();
            match ready!(read) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // With half of the handshake here, its end may be too: that is seen in its turn.
        if !self.only_alerted() {
            return Poll::Pending;
        }
        match self.connection.eof() {
            Ok(()) => Poll::Pending,
            Err(error) => {
                let error = self.fail(error);
                Poll::Ready(Err(self.report(io, cx, error)))
            }
        }
    }

    fn poll_receive(
        &mut self,
        io: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let read = io.poll_read(cx, self.input_room());
        if let Poll::Ready(Ok(n)) = read {
            self.input.fill(n);
        }
        self.release_input();
        read
    }
}

/// Whether a failed write says that the peer is gone, so that reading is certain to end too.
fn is_lost(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}
