//! The same stacks over loopback TCP, a client's thread and a server's for each pair.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use socket2::SockRef;

use super::bulk::pattern;
use crate::compare::engine::Probe;
use crate::compare::stacks::{Endpoint, Endpoints};
use crate::compare::wire::Wire;

/// Nobody waits longer than this for a peer that has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The message that follows each handshake and is echoed.
const MESSAGE: [u8; 64] = [0x61; 64];

/// How much is asked of the system in one read or given to it in one write, in bytes.
const CHUNK: usize = 64 * 1024;

/// An endpoint on a socket.
struct Session {
    endpoint: Box<dyn Endpoint>,
    socket: TcpStream,
    input: Wire,
    output: Wire,
}

impl Session {
    fn new(endpoint: Box<dyn Endpoint>, socket: TcpStream) -> Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            endpoint,
            socket,
            input: Wire::with_capacity(CHUNK),
            output: Wire::with_capacity(CHUNK),
        })
    }

    fn flush(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.socket.write_all(self.output.filled())?;
            self.output.clear();
        }
        Ok(())
    }

    /// Reads once; `false` at the end of the stream.
    fn fill(&mut self) -> Result<bool> {
        let n = self.socket.read(self.input.spare(CHUNK))?;
        self.input.commit(n);
        Ok(n > 0)
    }

    fn handshake(&mut self) -> Result<()> {
        loop {
            let outcome = self.endpoint.handshake(&mut self.input, &mut self.output);
            self.flush()?;
            outcome?;
            if self.endpoint.established() {
                return Ok(());
            }
            ensure!(self.fill()?, "the peer left in the handshake");
        }
    }

    fn send(&mut self, data: &[u8]) -> Result<()> {
        self.endpoint.send(data, &mut self.output)?;
        self.flush()
    }

    /// Receives exactly `len` bytes.
    fn receive(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut heard = Vec::with_capacity(len);
        while heard.len() < len {
            self.endpoint
                .receive(&mut self.input, &mut |data| heard.extend_from_slice(data))?;
            if heard.len() < len {
                ensure!(self.fill()?, "the peer left");
            }
        }
        Ok(heard)
    }
}

fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on 127.0.0.1")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Connections, handshakes and echoes, one after the other in each of some pairs of threads.
pub(crate) struct TcpHandshakes {
    endpoints: Arc<dyn Endpoints>,
    pairs: usize,
    /// Nanoseconds from connecting until the first echo is there.
    latency: Histogram<u64>,
}

/// The percentiles that are told, with their names.
pub(crate) const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("max", 100.0),
];

impl TcpHandshakes {
    pub(crate) fn new(endpoints: Arc<dyn Endpoints>, pairs: usize) -> Result<Self> {
        Ok(Self {
            endpoints,
            pairs,
            latency: new_histogram()?,
        })
    }

    fn pair(&self, slice: Duration) -> Result<(f64, Histogram<u64>)> {
        let (listener, address) = listen()?;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let server = scope.spawn(|| self.serve(&listener, &done));
            let outcome = self.connect(address, slice);
            done.store(true, Ordering::Release);
            // The server waits for one more.
            drop(TcpStream::connect_timeout(&address, PATIENCE));
            let served = server.join().ok().context("the server's thread panicked")?;
            let (rate, latency) = match (&outcome, &served) {
                // A server's failure explains the client's.
                (Err(_), Err(_)) => return Err(served.unwrap_err().context("server")),
                _ => outcome?,
            };
            ensure!(
                served? == latency.len(),
                "server and client disagree on how many handshakes there were"
            );
            Ok((rate, latency))
        })
    }

    fn serve(&self, listener: &TcpListener, done: &AtomicBool) -> Result<u64> {
        let mut served = 0;
        loop {
            let (socket, _) = listener.accept()?;
            if done.load(Ordering::Acquire) {
                return Ok(served);
            }
            let mut session = Session::new(self.endpoints.server()?, socket)?;
            session.handshake()?;
            let heard = session.receive(MESSAGE.len())?;
            session.send(&heard)?;
            served += 1;
        }
    }

    fn connect(&self, address: SocketAddr, slice: Duration) -> Result<(f64, Histogram<u64>)> {
        let mut latency = new_histogram()?;
        let start = Instant::now();
        while latency.is_empty() || start.elapsed() < slice {
            let begin = Instant::now();
            let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
            // Closed with a reset: thousands of connections a second would leave no port
            // free if each kept its own for a minute.
            SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
            let mut session = Session::new(self.endpoints.client()?, socket)?;
            session.handshake()?;
            session.send(&MESSAGE)?;
            ensure!(session.receive(MESSAGE.len())? == MESSAGE, "another echo");
            let nanoseconds = u64::try_from(begin.elapsed().as_nanos())?;
            latency.saturating_record(nanoseconds);
        }
        Ok((
            latency.len() as f64 / start.elapsed().as_secs_f64(),
            latency,
        ))
    }
}

fn new_histogram() -> Result<Histogram<u64>> {
    // A microsecond to ten seconds, to three digits.
    Ok(Histogram::new_with_bounds(1_000, 10_000_000_000, 3)?)
}

fn percentiles(latency: &Histogram<u64>) -> impl Iterator<Item = f64> + '_ {
    PERCENTILES
        .map(|(_, at)| latency.value_at_percentile(at) as f64 / 1e9)
        .into_iter()
}

/// Values: handshakes per second of all pairs together, then the percentiles in seconds.
impl Probe for TcpHandshakes {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let outcomes = in_pairs(self.pairs, || self.pair(slice))?;
        let mut total = 0.0;
        let mut latency = new_histogram()?;
        for (rate, histogram) in outcomes {
            total += rate;
            latency.add(histogram)?;
        }
        self.latency.add(&latency)?;
        Ok(std::iter::once(total)
            .chain(percentiles(&latency))
            .collect())
    }

    fn overall(&self) -> Vec<Option<f64>> {
        // The rate is a median of rounds like any other.
        std::iter::once(None)
            .chain(percentiles(&self.latency).map(Some))
            .collect()
    }
}

/// Runs `work` in `pairs` threads at once.
fn in_pairs<T: Send>(pairs: usize, work: impl Fn() -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..pairs).map(|_| scope.spawn(&work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a thread panicked")?)
            .collect()
    })
}

/// Data from server to client over one connection.
pub(crate) struct TcpBulk {
    server: Session,
    client: Session,
    record: Vec<u8>,
}

impl TcpBulk {
    pub(crate) fn new(endpoints: &dyn Endpoints, size: usize) -> Result<Self> {
        let (listener, address) = listen()?;
        thread::scope(|scope| {
            let server = scope.spawn(|| -> Result<Session> {
                let (socket, _) = listener.accept()?;
                let mut session = Session::new(endpoints.server()?, socket)?;
                session.handshake()?;
                session.send(&MESSAGE)?;
                Ok(session)
            });
            let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
            let mut client = Session::new(endpoints.client()?, socket)?;
            client.handshake()?;
            ensure!(client.receive(MESSAGE.len())? == MESSAGE, "other data");
            Ok(Self {
                server: server
                    .join()
                    .ok()
                    .context("the server's thread panicked")??,
                client,
                record: pattern(size),
            })
        })
    }
}

/// Value: bytes of plaintext that arrive per second.
impl Probe for TcpBulk {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let Self {
            server,
            client,
            record,
        } = self;
        let per_write = (CHUNK / record.len()).max(1);
        thread::scope(|scope| {
            let sender = scope.spawn(|| -> Result<usize> {
                let (start, mut sent) = (Instant::now(), 0);
                while sent == 0 || start.elapsed() < slice {
                    for _ in 0..per_write {
                        server.endpoint.send(record, &mut server.output)?;
                        sent += record.len();
                    }
                    server.flush()?;
                }
                // The end of a round: a shorter record than all before.
                server.send(&record[..1])?;
                Ok(sent + 1)
            });
            let start = Instant::now();
            let (mut heard, mut ended, mut wrong) = (0, false, false);
            while !ended {
                ensure!(client.fill()?, "the server left");
                client.endpoint.receive(&mut client.input, &mut |data| {
                    heard += data.len();
                    // A stack may hand a record over in pieces, never two as one.
                    ended = heard % record.len() == 1;
                    wrong |= data.first() != record.get((heard - data.len()) % record.len());
                })?;
            }
            let elapsed = start.elapsed();
            let sent = sender
                .join()
                .ok()
                .context("the server's thread panicked")??;
            ensure!(sent == heard, "{sent} bytes were sent and {heard} arrived");
            ensure!(!wrong, "other data arrived than was sent");
            Ok(vec![heard as f64 / elapsed.as_secs_f64()])
        })
    }
}
