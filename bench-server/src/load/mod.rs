//! `bench-server load`: puts a TLS server under load and measures it.
//!
//! Each connection is a task that does one operation after another: as fast as it can
//! (saturation, a closed loop), or when operations are due (`--rate`, an open loop whose
//! latencies count from when an operation was due, so that a server that stalls cannot hide
//! the operations that waited meanwhile).

mod pace;
mod report;
mod tally;
mod target;
mod work;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;

use self::pace::Pace;
use self::report::Report;
use self::tally::Tallies;
use self::target::Target;
use self::work::Work;
use crate::runtime;

/// Puts a TLS server under load.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// Server to connect to
    #[arg(long, value_name = "HOST:PORT")]
    connect: String,

    /// Name that the certificate must be for; by default the host of --connect
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,

    /// Trust these authorities (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Trust any certificate
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,

    /// What to do again and again
    #[arg(long, value_enum, default_value = "handshake")]
    mode: Mode,

    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,

    /// Threads; by default one per CPU
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Operations per second over all connections together; without it, as many as the
    /// connections can do
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,

    /// How long to measure
    #[arg(long, value_name = "SECONDS", value_parser = runtime::seconds, default_value = "5")]
    duration: Duration,

    /// How long to work before that, so that what begins slowly is not measured
    #[arg(long, value_name = "SECONDS", value_parser = runtime::seconds_or_none)]
    #[arg(default_value = "0")]
    warm_up: Duration,

    /// Path to ask for; by default /, in bulk mode /bytes/SIZE
    #[arg(long, value_name = "PATH", value_parser = path)]
    path: Option<String>,

    /// Bytes of a bulk transfer or an echo
    #[arg(long, value_name = "BYTES", default_value_t = 1_048_576)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    size: u64,

    /// Who sends in bulk mode: `receive` with GET, `send` with POST to /bytes
    #[arg(long, value_enum, default_value = "receive")]
    direction: Direction,

    /// Backend or mix of backends, such as `openssl` or `openssl+records=aesni`; by default
    /// the fastest that is linked
    #[arg(long, value_name = "SPEC")]
    backend: Option<String>,

    /// Offer only this cipher suite; may be repeated, the preferred one first
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,

    /// Offer only this key exchange group; may be repeated, the preferred one first
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,

    /// Application protocol to offer (ALPN); may be repeated
    #[arg(long, value_name = "NAME")]
    alpn: Vec<String>,

    /// Certificate chain (PEM) to show when the server asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// Private key (PEM) of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Write the results as JSON to this file, or with - to standard output instead of text
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl LoadArgs {
    /// The file of `--json`, opened: a wrong path shall not be told after the measurement.
    fn json_file(&self) -> Result<Option<(File, &Path)>> {
        match &self.json {
            Some(path) if path.as_os_str() != "-" => {
                let file = File::create(path).with_context(|| cannot_write(path))?;
                Ok(Some((file, path)))
            }
            _ => Ok(None),
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("--json {}: cannot be written", path.display())
}

/// What a connection does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// A new connection with a full handshake, closed at once
    Handshake,
    /// An HTTP/1.1 request on a connection that is kept
    Request,
    /// A transfer of --size bytes over HTTP/1.1 on a connection that is kept
    Bulk,
    /// --size bytes that have to come back, on a connection that is kept
    Echo,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Request => "request",
            Self::Bulk => "bulk",
            Self::Echo => "echo",
        }
    }
}

/// Who sends in bulk mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Direction {
    /// The server.
    Receive,
    /// The client.
    Send,
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| (1e-3..=1e8).contains(rate))
        .ok_or_else(|| "not a number from 0.001 to 100000000".into())
}

fn path(text: &str) -> Result<String, String> {
    let whole: Result<hyper::Uri, _> = text.parse();
    match whole {
        Ok(uri) if text.starts_with('/') && uri.authority().is_none() => Ok(text.into()),
        _ => Err("not a path that begins with /".into()),
    }
}

/// How long operations under way at the end have to end; they do not count.
const ENDING: Duration = Duration::from_secs(2);

/// Runs the load and prints what it measured.
///
/// # Errors
/// One line that says what is wrong with the options, a file or the server, also when not
/// one operation succeeded.
pub(crate) fn run(args: &LoadArgs) -> Result<()> {
    let provider = crate::backend::provider(args.backend.as_deref())?;
    let config = target::config(args, provider)?;
    let mut json = args.json_file()?;
    runtime::allow_many_connections();
    let report = runtime::with_threads(args.threads)?.block_on(load(args, config))?;
    let text = match (&args.json, &json) {
        (Some(_), None) => format!("{:#}\n", report.json()),
        _ => report.to_string(),
    };
    let mut stdout = std::io::stdout().lock();
    let printed = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    // Written even if nobody reads the text.
    if let Some((file, path)) = &mut json {
        writeln!(file, "{:#}", report.json()).with_context(|| cannot_write(path))?;
    }
    printed.context("cannot write to the standard output")?;
    match report.reason_for_nothing() {
        Some(reason) => bail!("{}: no operation succeeded: {reason}", args.connect),
        None => Ok(()),
    }
}

async fn load(args: &LoadArgs, config: Arc<keyway::tls::config::ClientConfig>) -> Result<Report> {
    let addresses = target::addresses(&args.connect).await?;
    // Before the clock runs: what cannot be reached at all is an error, not a result.
    let (target, negotiated) = Target::reach(args, config, &addresses).await?;

    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let tallies = Arc::new(Tallies::new(threads));
    let start = Pace::now();
    let pace = Arc::new(Pace::start(args.rate, start, args.warm_up, args.duration)?);
    let work = Arc::new(Work::new(args, target));
    let mut tasks = JoinSet::new();
    for connection in 0..args.connections as usize {
        let (work, pace, tallies) = (work.clone(), pace.clone(), tallies.clone());
        tasks.spawn(async move { work.run(&pace, tallies.of(connection)).await });
    }
    let limit = tokio::time::Instant::from_std(start + args.warm_up + args.duration + ENDING);
    // Whoever is late by more is dropped with the set.
    let _ =
        tokio::time::timeout_at(limit, async { while tasks.join_next().await.is_some() {} }).await;
    Ok(Report::new(args, threads, negotiated, pace.due(), &tallies))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        assert_eq!(rate("2.5"), Ok(2.5));
        for wrong in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(path("/a?b=c").as_deref(), Ok("/a?b=c"));
        for wrong in ["", "a", "https://h/", "/a b", "//host/x y"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
