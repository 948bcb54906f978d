//! TLS over a blocking transport.

use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crypto_api::Payload;
use rustls_pki_types::ServerName;
use tls_core::config::{ClientConfig, ServerConfig};
use tls_core::{Connection, Error};

use crate::engine::{Engine, Transport};
use crate::gather;

/// TLS over any transport that reads and writes: a `TcpStream`, a pipe, a test's buffer.
///
/// The handshake runs at the first read or write, or when [`handshake`](Stream::handshake)
/// is called. Reading is buffered ([`BufRead`] gives the decrypted bytes where they lie);
/// writing is not: each call seals what it is given, up to 64 KiB, and writes it, so small
/// pieces are better written through a `BufWriter`.
///
/// # The end
///
/// Reading returns no bytes once the peer has sent close_notify. If the transport ends
/// without it, data may have been cut off, and reading fails with
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof). [`close`](Stream::close) sends our
/// close_notify; reading goes on until the peer's. Dropping a stream sends nothing.
///
/// # Errors
///
/// What went wrong in TLS is an [`io::Error`] that carries a [`tls_core::Error`], found with
/// [`io::Error::get_ref`]; an alert that tells the peer was written before, or goes out with
/// a later `flush` if the transport had no room. Errors of the transport come as they are. A
/// transport that does not block may return [`WouldBlock`](io::ErrorKind::WouldBlock)
/// anywhere: nothing is lost, make the call again.
/// Data that was sealed but not yet written goes out with the next call; `flush` to be sure.
///
/// # Pending operations
///
/// While a cryptographic operation is pending (a signature in an HSM, say) the calling
/// thread sleeps until the operation wakes it, also if the transport does not block. A peer
/// that leaves meanwhile is noticed only then: a thread that sleeps for the one cannot wait
/// for the other. The asynchronous stream notices at once, and cancels the operation.
///
/// # Memory
///
/// Buffers are held only while there is something in them: between calls an idle stream has
/// none.
pub struct Stream<T> {
    engine: Engine,
    transport: T,
}

impl<T: Read + Write> Stream<T> {
    /// A client's stream to the server `name`.
    ///
    /// # Errors
    /// A backend that fails to make the first key share.
    pub fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        transport: T,
    ) -> Result<Self, Error> {
        Ok(Self::new(Connection::client(config, name)?, transport))
    }

    /// A server's stream to a client that has connected.
    pub fn server(config: Arc<ServerConfig>, transport: T) -> Self {
        Self::new(Connection::server(config), transport)
    }

    /// A stream of a connection that no bytes went through yet.
    pub fn new(connection: Connection, transport: T) -> Self {
        Self {
            engine: Engine::new(connection),
            transport,
        }
    }

    /// Runs the handshake to its end, if it has not ended yet.
    ///
    /// # Errors
    /// See [the type](Stream#errors).
    pub fn handshake(&mut self) -> io::Result<()> {
        self.drive(|engine, io, cx| engine.poll_handshake(io, cx))
    }

    /// Tells the peer with close_notify that no more data will come. Reading goes on.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn close(&mut self) -> io::Result<()> {
        self.drive(|engine, io, cx| engine.poll_close(io, cx))
    }

    /// Changes our sending key, and asks the peer to do the same if `request_peer`
    /// (RFC 9846, section 4.7.3). The message goes out with the next write or flush.
    ///
    /// # Errors
    /// [`Error::Usage`] before the handshake has ended.
    pub fn update_keys(&mut self, request_peer: bool) -> Result<(), Error> {
        self.engine.connection_mut().update_keys(request_peer)
    }

    fn drive<R>(
        &mut self,
        mut call: impl FnMut(&mut Engine, &mut Blocking<'_, T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> io::Result<R> {
        let io = &mut Blocking(&mut self.transport);
        // Nearly always nothing is pending, and no waker is needed.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = call(&mut self.engine, io, &mut cx) {
            return outcome;
        }
        if !self.engine.awaits_operation() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = call(&mut self.engine, io, &mut cx) {
                return outcome;
            }
            if !self.engine.awaits_operation() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            thread::park();
        }
    }
}

impl<T> Stream<T> {
    /// The connection: what was negotiated, the peer's certificates, exporters.
    pub fn connection(&self) -> &Connection {
        self.engine.connection()
    }

    /// The transport.
    pub fn get_ref(&self) -> &T {
        &self.transport
    }

    /// The transport, to set its options. Reading or writing through it breaks the stream.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The transport. Data that was received and not read is lost, and the peer is told
    /// nothing: [`close`](Stream::close) before.
    pub fn into_inner(self) -> T {
        self.transport
    }
}

impl<T: Read + Write> Read for Stream<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut data = self.fill_buf()?;
        let n = data.read(into)?;
        self.consume(n);
        Ok(n)
    }
}

impl<T: Read + Write> BufRead for Stream<T> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.drive(|engine, io, cx| engine.poll_fill(io, cx))?;
        Ok(self.engine.data())
    }

    fn consume(&mut self, amount: usize) {
        self.engine.consume(amount);
    }
}

impl<T: Read + Write> Write for Stream<T> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.drive(|engine, io, cx| engine.poll_write(io, cx, Payload::from(from)))
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut slices = gather::space();
        let payload = gather::payload(from, &mut slices);
        self.drive(|engine, io, cx| engine.poll_write(io, cx, payload))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drive(|engine, io, cx| engine.poll_flush(io, cx))
    }
}

impl<T: fmt::Debug> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("engine", &self.engine)
            .field("transport", &self.transport)
            .finish()
    }
}

/// Wakes the thread that sleeps in [`Stream::drive`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// A blocking transport in the driver's terms.
struct Blocking<'a, T>(&'a mut T);

impl<T: Read + Write> Transport for Blocking<'_, T> {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        polled(|| self.0.read(into))
    }

    fn poll_listen(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        polled(|| self.0.write(from))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        polled(|| self.0.flush())
    }
}

fn polled<R>(mut call: impl FnMut() -> io::Result<R>) -> Poll<io::Result<R>> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            outcome => return Poll::Ready(outcome),
        }
    }
}
