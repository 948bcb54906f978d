//! One connection, from its acceptance to its end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keyway::crypto::CryptoProvider;
use keyway::tokio::{Acceptor, TlsStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::counted::Counted;
use super::counters::Counters;
use super::hsm::Keys;
use super::http;
use super::status::{Negotiated, Status};
use crate::failure::{Stopped, TimedOut};
use crate::print::complain;

/// How much an echo takes at once, in bytes: four full records.
const ECHO: usize = 65_536;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) counters: Arc<Counters>,
    pub(super) acceptor: Acceptor,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) keys: Arc<Keys>,
    /// How long a peer has for its handshake. One that connects and says nothing would
    /// otherwise hold a file descriptor for ever; thousands that come at once need their
    /// time.
    pub(super) handshake_timeout: Duration,
    pub(super) echo: bool,
    pub(super) verbose: bool,
    pub(super) stop: CancellationToken,
}

impl Server {
    /// Serves a connection to its end. Whatever goes wrong is counted and stays with it.
    pub(super) async fn serve(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr) {
        let _open = self.counters.open();
        let begun = Instant::now();
        let tls = match self.handshake(tcp).await {
            Ok(tls) => tls,
            Err(error) => {
                self.counters.handshake_failed(&error);
                self.report(peer, "handshake", &error);
                return;
            }
        };
        self.counters.handshake_done(begun.elapsed());

        let negotiated = negotiated(&tls);
        let stream = Counted::new(tls, self.counters.clone());
        let outcome = if self.echo {
            self.echo(stream).await.map_err(Into::into)
        } else {
            self.http(stream, negotiated).await
        };
        if let Err(error) = outcome {
            self.counters.connection_failed(&*error);
            self.report(peer, "connection", &*error);
        }
    }

    async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        // Records go out when they are ready: waiting for more would only add latency.
        tcp.set_nodelay(true)?;
        let late = || io::Error::new(io::ErrorKind::TimedOut, TimedOut("handshake"));
        tokio::select! {
            outcome = tokio::time::timeout(self.handshake_timeout, self.acceptor.accept(tcp)) => {
                outcome.map_err(|_| late())?
            }
            () = self.stop.cancelled() => Err(io::Error::other(Stopped)),
        }
    }

    async fn http(
        &self,
        stream: Counted<TlsStream<TcpStream>>,
        negotiated: Negotiated,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let status = Status {
            counters: self.counters.clone(),
            provider: self.provider.clone(),
            keys: self.keys.clone(),
            negotiated,
        };
        let service = service_fn(|request| http::answer(request, &status));
        let mut connection =
            pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            outcome = connection.as_mut() => return Ok(outcome?),
            () = self.stop.cancelled() => {}
        }
        // The answer under way is finished, then close_notify is sent.
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    }

    async fn echo(&self, mut stream: Counted<TlsStream<TcpStream>>) -> io::Result<()> {
        let mut buffer = vec![0; ECHO];
        loop {
            let length = tokio::select! {
                length = stream.read(&mut buffer) => length?,
                () = self.stop.cancelled() => 0,
            };
            match buffer.get(..length) {
                None | Some([]) => break,
                Some(data) => {
                    stream.write_all(data).await?;
                    stream.flush().await?;
                }
            }
        }
        stream.shutdown().await
    }

    fn report(&self, peer: SocketAddr, what: &str, error: &(dyn std::error::Error + 'static)) {
        if self.verbose {
            let mut line = format!("{peer}: {what}: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                line.push_str(&format!(": {error}"));
                cause = error.source();
            }
            complain(&line);
        }
    }
}

fn negotiated(tls: &TlsStream<TcpStream>) -> Negotiated {
    let connection = tls.connection();
    Negotiated {
        suite: connection.suite(),
        group: connection.group(),
        scheme: connection.signature_scheme(),
        alpn: connection
            .alpn()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        server_name: connection.server_name().map(Into::into),
        client_certificates: connection
            .peer_certificates()
            .map_or(0, |chain| chain.len()),
    }
}
