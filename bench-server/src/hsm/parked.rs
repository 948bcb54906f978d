//! Thousands of handshakes that wait for a token that hangs: what each costs, what others
//! notice of it, and what becomes of them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream as BlockingTcp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use keyway::tokio::Connector;
use keyway::{ClientBuilder, ClientConfig, ServerName, Stream, Trust};
use pkcs11_fault::Control;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::outcome;
use super::server::Server;
use super::token::Token;
use crate::compare::engine::{Measured, Outcome};
use crate::compare::stats::{Summary, paired_ratio};
use crate::failure;
use crate::report::section;

/// How often throughput is measured, and how long each time.
const WINDOWS: usize = 5;
const WINDOW: Duration = Duration::from_millis(600);
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many handshakes may be on their way to the token: as many as the server's backlog
/// takes at once.
const ON_THE_WAY: usize = 1000;

/// What was measured.
struct Parked {
    memory: f64,
    before: Vec<f64>,
    meanwhile: Vec<f64>,
    first: Duration,
    last: Duration,
}

/// Measures with `count` handshakes.
pub(super) fn measure(token: &Token, count: u32) -> Vec<Outcome> {
    let waiting = format!("{count} handshakes wait");
    let put =
        |section, column: &str, contender: &str, value| outcome(section, column, contender, value);
    let parked = match run(token, count as usize) {
        Ok(parked) => parked,
        Err(error) => {
            let why = Err(format!("{error:#}"));
            return vec![put(
                section::HSM_PARKED_MEMORY,
                "per handshake",
                &waiting,
                why,
            )];
        }
    };
    let measured = |samples: &[f64], ratio| match Summary::of(samples) {
        Some(summary) => Ok(Measured { summary, ratio }),
        None => Err("no figure".to_owned()),
    };
    let ratio = paired_ratio(&parked.meanwhile, &parked.before);
    let seconds = |time: Duration| measured(&[time.as_secs_f64()], None);
    vec![
        put(
            section::HSM_PARKED_MEMORY,
            "per handshake",
            &waiting,
            measured(&[parked.memory], None),
        ),
        put(
            section::HSM_PARKED_BULK,
            "one connection",
            "none waits",
            measured(&parked.before, None),
        ),
        put(
            section::HSM_PARKED_BULK,
            "one connection",
            &waiting,
            measured(&parked.meanwhile, ratio),
        ),
        put(
            section::HSM_PARKED_RETURN,
            "the first",
            &waiting,
            seconds(parked.first),
        ),
        put(
            section::HSM_PARKED_RETURN,
            "the last",
            &waiting,
            seconds(parked.last),
        ),
    ]
}

fn run(token: &Token, count: usize) -> Result<Parked> {
    let module = token.module("parked", 0.0, 0)?;
    let patience = PATIENCE.as_secs().to_string();
    let options = [
        "--hsm-sessions",
        "8",
        "--hsm-deadline",
        &patience,
        "--handshake-timeout",
        &patience,
        "--hsm-queue",
        &(count + 100).to_string(),
    ]
    .map(str::to_owned);
    let server = Server::keyway(token, &module, &options)?;
    let config = client(token)?;
    let mut control = Control::connect(&module.socket).context("the fault module's socket")?;

    let mut status = Status::open(&server, config.clone())?;
    let bulk = Bulk::open(&server, config.clone())?;
    // The first takes longer: buffers grow.
    bulk.window()?;
    let before = bulk.windows()?;
    let resident = server.resident()?;

    control.say(r#"rule {name="stall", functions=["C_Sign"], hang=true}"#)?;
    let runtime = crate::runtime::in_background()?;
    let mut clients = JoinSet::new();
    let start = Instant::now();
    let mut parked = 0;
    while parked < count {
        while clients.len() < count && clients.len() < parked + ON_THE_WAY {
            let connector = Connector::new(config.clone());
            clients.spawn_on(handshake(connector, server.address), runtime.handle());
        }
        parked = status.parked()?;
        ensure!(
            start.elapsed() < PATIENCE / 2,
            "after {:.0?} only {parked} of {count} handshakes wait",
            start.elapsed()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let memory = server.resident()?.saturating_sub(resident) as f64 / count as f64;
    let meanwhile = bulk.windows()?;
    ensure!(
        clients.try_join_next().is_none(),
        "a handshake ended without the token"
    );

    control.say("drop stall")?;
    let back = Instant::now();
    control.say("release")?;
    let (first, last, failures) = runtime.block_on(async {
        let (mut first, mut last, mut failures) = (None, Duration::ZERO, BTreeMap::new());
        while let Some(ended) = clients.join_next().await {
            match ended {
                Ok(Ok(at)) => {
                    let took = at.saturating_duration_since(back);
                    first = Some(first.map_or(took, |first: Duration| first.min(took)));
                    last = last.max(took);
                }
                Ok(Err(why)) => *failures.entry(why).or_insert(0u32) += 1,
                Err(panic) => *failures.entry(panic.to_string()).or_insert(0) += 1,
            }
        }
        (first, last, failures)
    });
    if let Some((why, times)) = failures.first_key_value() {
        bail!("{times} handshakes failed when the token was back: {why}");
    }
    Ok(Parked {
        memory,
        before,
        meanwhile,
        first: first.context("no handshake")?,
        last,
    })
}

fn client(token: &Token) -> Result<Arc<ClientConfig>> {
    let trust = Trust::file(token.path("ca.pem"));
    Ok(ClientBuilder::new()
        .trust(trust)
        .groups(["x25519"])
        .build()?)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a constant name")
}

/// A handshake; when it was done, or the kind of its failure.
async fn handshake(connector: Connector, address: std::net::SocketAddr) -> Result<Instant, String> {
    let outcome = async {
        let tcp = TcpStream::connect(address).await?;
        let tls = connector.connect(name(), tcp).await?;
        let done = Instant::now();
        drop(tls);
        std::io::Result::Ok(done)
    };
    match tokio::time::timeout(PATIENCE, outcome).await {
        Ok(outcome) => outcome.map_err(|error| failure::kind(&error).into_owned()),
        Err(_) => Err("no answer".into()),
    }
}

/// A connection that asks for the server's status again and again.
struct Status(BufReader<Stream<BlockingTcp>>);

impl Status {
    fn open(server: &Server, config: Arc<ClientConfig>) -> Result<Self> {
        Ok(Self(BufReader::new(connect(server, config)?)))
    }

    /// How many handshakes wait for the token now.
    fn parked(&mut self) -> Result<usize> {
        let request = b"GET /status.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
        self.0.get_mut().write_all(request)?;
        self.0.get_mut().flush()?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            ensure!(self.0.read_line(&mut line)? > 0, "the server left");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let status: serde_json::Value = serde_json::from_slice(&body)?;
        let number = |pointer: &str| status.pointer(pointer).and_then(serde_json::Value::as_u64);
        let queued = number("/keys/0/queued").context("the status tells of no key")?;
        let in_token = number("/keys/0/tokens/0/in_flight").unwrap_or(0);
        Ok(usize::try_from(queued + in_token)?)
    }
}

fn connect(server: &Server, config: Arc<ClientConfig>) -> Result<Stream<BlockingTcp>> {
    let tcp = BlockingTcp::connect(server.address)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut stream = Stream::client(config, name(), tcp)?;
    stream.handshake()?;
    Ok(stream)
}

/// A download without end, in a thread that takes from it only while it is measured.
struct Bulk {
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

#[derive(Default)]
struct Shared {
    reads: AtomicBool,
    bytes: AtomicU64,
}

impl Bulk {
    fn open(server: &Server, config: Arc<ClientConfig>) -> Result<Self> {
        let mut stream = connect(server, config)?;
        let request = format!(
            "GET /bytes/{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
            u64::MAX / 2
        );
        stream.write_all(request.as_bytes())?;
        stream.flush()?;
        let shared = Arc::<Shared>::default();
        let reader = shared.clone();
        // It ends with the server, or with this process.
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            loop {
                if !reader.reads.load(Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(5));
                    continue;
                }
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    n => reader.bytes.fetch_add(n as u64, Relaxed),
                };
            }
        });
        Ok(Self { shared, thread })
    }

    /// Bytes per second, once.
    fn window(&self) -> Result<f64> {
        self.shared.reads.store(true, Relaxed);
        self.thread.thread().unpark();
        let (begun, before) = (Instant::now(), self.shared.bytes.load(Relaxed));
        std::thread::sleep(WINDOW);
        let bytes = self.shared.bytes.load(Relaxed) - before;
        let rate = bytes as f64 / begun.elapsed().as_secs_f64();
        self.shared.reads.store(false, Relaxed);
        ensure!(!self.thread.is_finished(), "the download has ended");
        ensure!(bytes > 0, "no data came within {WINDOW:?}");
        Ok(rate)
    }

    fn windows(&self) -> Result<Vec<f64>> {
        (0..WINDOWS).map(|_| self.window()).collect()
    }
}
