//! A connection with its buffers, and how it is driven over a transport.
//!
//! There is one driver, written in the style of `poll`; the blocking and the asynchronous
//! stream are thin fronts of it. What the transport cannot take or give now stays in the
//! buffers, so that a call which did not finish can be made again without a byte lost.

mod buffer;
mod drive;

use std::fmt;
use std::ops::Range;

use crypto_api::Payload;
use rustls_pki_types::UnixTime;
use tls_core::{Connection, Error, Event};

use buffer::Buffer;

/// How a transport is asked; `Pending` stands for `WouldBlock`.
pub(crate) trait Transport {
    /// Reads into `into`; 0 is the end.
    fn poll_read(
        &mut self,
        cx: &mut std::task::Context<'_>,
        into: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>>;

    /// As `poll_read`, while something else is waited for: a transport whose reads block, or
    /// wake nobody, is pending.
    fn poll_listen(
        &mut self,
        cx: &mut std::task::Context<'_>,
        into: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>>;

    /// Writes some of `from`.
    fn poll_write(
        &mut self,
        cx: &mut std::task::Context<'_>,
        from: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>>;

    /// Sees to it that what was written goes out.
    fn poll_flush(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>>;
}

/// A connection with its buffers.
pub(crate) struct Engine {
    connection: Connection,
    /// Bytes from the peer.
    input: Buffer,
    /// Where in `input` application data lies that nobody has taken yet: before its filled
    /// part, so nothing may be moved while there is any.
    data: Range<usize>,
    /// How many bytes the connection wants at least before it goes on.
    wanted: usize,
    /// Sealed bytes on their way to the peer, older than the connection's own output.
    output: Buffer,
    /// How receiving stands.
    receiving: Receiving,
    /// Whether close_notify was queued.
    closed: bool,
    /// Whether the last turn ended because an operation is pending.
    awaits_operation: bool,
}

enum Receiving {
    Open,
    /// close_notify came.
    Closed,
    Failed(Error),
}

/// How many bytes are taken from the peer while an operation is pending. Then it is not heard
/// any more until the operation is done: who parks thousands of handshakes must not hold
/// much for each.
const AHEAD: usize = 4096;

/// What the connection needs next.
enum Step {
    /// Bytes from the peer.
    Input,
    /// That a pending operation finishes.
    Operation,
    /// That its data is taken.
    Data,
    /// Nothing: no data will come any more.
    Closed,
}

impl Engine {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            input: Buffer::default(),
            data: 0..0,
            wanted: 1,
            output: Buffer::default(),
            receiving: Receiving::Open,
            closed: false,
            awaits_operation: false,
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Whether the last call could not go on because an operation is pending, and not
    /// because of the transport.
    pub(crate) fn awaits_operation(&self) -> bool {
        self.awaits_operation
    }

    /// Application data that has come and that nobody has taken yet.
    pub(crate) fn data(&self) -> &[u8] {
        self.input.at(self.data.clone())
    }

    /// Takes `n` bytes of [`data`](Self::data).
    pub(crate) fn consume(&mut self, n: usize) {
        self.data.start = self.data.end.min(self.data.start.saturating_add(n));
        self.release_input();
    }

    /// Lets the connection go on with what it has.
    fn step(&mut self) -> Result<Step, Error> {
        if !self.data.is_empty() {
            return Ok(Step::Data);
        }
        match &self.receiving {
            Receiving::Open => {}
            Receiving::Closed => return Ok(Step::Closed),
            Receiving::Failed(error) => return Err(error.clone()),
        }
        let at = self.input.start();
        let received = self
            .connection
            .receive(self.input.filled_mut(), UnixTime::now())
            .map_err(|error| self.fail(error))?;
        self.input.use_up(received.consumed);
        Ok(match received.event {
            Event::NeedInput { at_least } => {
                self.wanted = at_least.max(1);
                Step::Input
            }
            Event::Data(range) => {
                self.data = at + range.start..at + range.end;
                Step::Data
            }
            Event::Suspended => Step::Operation,
            Event::Closed => {
                self.receiving = Receiving::Closed;
                Step::Closed
            }
        })
    }

    /// Notes that the connection is dead.
    fn fail(&mut self, error: Error) -> Error {
        self.receiving = Receiving::Failed(error.clone());
        error
    }

    /// Room for bytes from the peer.
    fn input_room(&mut self) -> &mut [u8] {
        if self.connection.is_handshaking() {
            self.input.cautious_room(self.wanted)
        } else {
            self.input.room(self.wanted, buffer::FULL)
        }
    }

    /// Room for bytes that come while an operation is pending: no more than a peer may send
    /// without being waited for. Empty when they fill that.
    fn room_ahead(&mut self) -> &mut [u8] {
        let left = AHEAD.saturating_sub(self.input.filled().len());
        if left == 0 {
            return &mut [];
        }
        let room = self.input.cautious_room(1);
        let left = left.min(room.len());
        room.get_mut(..left).unwrap_or_default()
    }

    /// Whether all that has come and was not looked at is an alert, which is never protected
    /// before the handshake's keys are there. What else there is may be all that the
    /// handshake still needs.
    fn only_alerted(&self) -> bool {
        const ALERT: u8 = 21;
        matches!(self.input.filled().first(), None | Some(&ALERT))
    }

    /// Lets the input's memory go if it holds nothing that anyone will want: no data that
    /// waits to be taken, also after a failure, and no bytes that the connection may use.
    fn release_input(&mut self) {
        let failed = matches!(self.receiving, Receiving::Failed(_));
        if self.data.is_empty() && (failed || self.input.is_empty()) {
            self.input.release();
            self.data = 0..0;
        }
    }

    /// Seals as much of `payload` as one buffer takes; call only when all output was written.
    fn seal(&mut self, payload: Payload<'_>) -> Result<usize, Error> {
        let room = self.output.room(1, buffer::FULL);
        let sealed = self.connection.seal(payload, room)?;
        self.output.fill(sealed.written);
        Ok(sealed.consumed)
    }

    /// The oldest bytes that the transport is to get.
    fn next_output(&self) -> &[u8] {
        if self.output.is_empty() {
            self.connection.output()
        } else {
            self.output.filled()
        }
    }

    /// The transport took `n` bytes of [`next_output`](Self::next_output).
    fn output_written(&mut self, n: usize) {
        if self.output.is_empty() {
            self.connection.output_sent(n);
        } else {
            self.output.use_up(n);
        }
        if self.output.is_empty() {
            self.output.release();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither keys nor data.
        f.debug_struct("Engine")
            .field("handshaking", &self.connection.is_handshaking())
            .field("suite", &self.connection.suite())
            .field("data", &self.data.len())
            .finish_non_exhaustive()
    }
}
