//! The asynchronous stream.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use crypto_api::Payload;
use tls_core::{Connection, Error};

use super::tasks::{Direction, Tasks};
use crate::engine::{Engine, Transport};
use crate::gather;

/// TLS over any asynchronous transport, its handshake done.
///
/// Reading and writing are cancel safe: a call that is dropped has lost nothing, and one
/// that wrote has written. The two directions may be used by two tasks (`tokio::io::split`).
/// What a write has sealed and the transport did not take at once goes out with the next
/// call; flush to be sure.
///
/// Reading ends without error once the peer has sent close_notify, and fails with
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the transport ends without it, because
/// data may have been cut off. `shutdown` sends close_notify and shuts the transport's
/// writing side down; reading goes on. Dropping a stream sends nothing.
///
/// What went wrong in TLS is an [`io::Error`] that carries a [`tls_core::Error`], found with
/// [`io::Error::get_ref`]; an alert that tells the peer was written before, or goes out with
/// a later flush or shutdown if the transport had no room. Errors of the transport come as
/// they are.
///
/// Cryptographic operations that are pending wake the task that waits for them. A peer that
/// leaves during the handshake ends it at once and cancels its operation, unless it has sent
/// more by then than is listened to meanwhile, or what the handshake still needs. Buffers are
/// held only while there is something in them: an idle stream has none.
#[derive(Debug)]
pub struct TlsStream<T> {
    engine: Engine,
    transport: T,
    tasks: Tasks,
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsStream<T> {
    /// A stream of a connection that no bytes went through yet. Runs the handshake.
    ///
    /// # Errors
    /// See [the type](TlsStream).
    pub async fn handshake(connection: Connection, transport: T) -> io::Result<Self> {
        let mut stream = Self {
            engine: Engine::new(connection),
            transport,
            tasks: Tasks::default(),
        };
        poll_fn(|cx| {
            stream.poll(Direction::Read, cx, |engine, io, cx| {
                engine.poll_handshake(io, cx)
            })
        })
        .await?;
        Ok(stream)
    }

    /// Makes a call of the task that reads, or of the one that writes.
    fn poll<R>(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Engine, &mut Polled<'_, T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let mut io = Polled {
            transport: Pin::new(&mut self.transport),
            direction,
            tasks: &mut self.tasks,
        };
        let outcome = call(&mut self.engine, &mut io, cx);
        self.tasks.note(direction, cx, &outcome);
        outcome
    }
}

impl<T> TlsStream<T> {
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
    /// nothing: `shutdown` before.
    pub fn into_inner(self) -> T {
        self.transport
    }

    /// Changes our sending key, and asks the peer to do the same if `request_peer`
    /// (RFC 9846, section 4.7.3). The message goes out with the next write or flush.
    ///
    /// # Errors
    /// [`Error::Usage`] after `shutdown`.
    pub fn update_keys(&mut self, request_peer: bool) -> Result<(), Error> {
        self.engine.connection_mut().update_keys(request_peer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let data = ready!(self.as_mut().poll_fill_buf(cx))?;
        let n = data.len().min(into.remaining());
        into.put_slice(data.get(..n).unwrap_or_default());
        self.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncBufRead for TlsStream<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll(Direction::Read, cx, |engine, io, cx| {
            engine.poll_fill(io, cx)
        }))?;
        Poll::Ready(Ok(this.engine.data()))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().engine.consume(amount);
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll(Direction::Write, cx, |engine, io, cx| {
            engine.poll_write(io, cx, Payload::from(from))
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut slices = gather::space();
        let payload = gather::payload(from, &mut slices);
        self.get_mut().poll(Direction::Write, cx, |engine, io, cx| {
            engine.poll_write(io, cx, payload)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll(Direction::Write, cx, |engine, io, cx| {
            engine.poll_flush(io, cx)
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll(Direction::Write, cx, |engine, io, cx| {
            engine.poll_close(io, cx)
        }))?;
        this.poll(Direction::Write, cx, |_, io, cx| io.poll_shutdown(cx))
    }
}

/// An asynchronous transport in the driver's terms, for one call.
struct Polled<'a, T> {
    transport: Pin<&'a mut T>,
    direction: Direction,
    tasks: &'a mut Tasks,
}

impl<T: AsyncRead + AsyncWrite> Polled<'_, T> {
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let transport = self.transport.as_mut();
        self.tasks
            .for_both(self.direction, cx, |cx| transport.poll_shutdown(cx))
    }
}

impl<T: AsyncRead + AsyncWrite> Transport for Polled<'_, T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(into);
        ready!(self.transport.as_mut().poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    fn poll_listen(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let transport = self.transport.as_mut();
        self.tasks
            .for_both(self.direction, cx, |cx| transport.poll_write(cx, from))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let transport = self.transport.as_mut();
        self.tasks
            .for_both(self.direction, cx, |cx| transport.poll_flush(cx))
    }
}
