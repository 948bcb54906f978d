//! `bench-server serve`: a TLS server to be looked at and to be put under load.
//!
//! One task accepts, one task serves each connection, on a runtime with a thread per CPU.

mod config;
mod connection;
mod counted;
mod counters;
mod hsm;
mod http;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::config::Prepared;
use self::connection::Server;
use self::counters::Counters;
use self::hsm::{HsmArgs, KeySource};
use crate::certs::KeyKind;
use crate::print::{complain, say};
use crate::runtime;

/// Runs a TLS server: a status page over HTTP/1.1, or an echo.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4433")]
    listen: SocketAddr,

    /// Threads; by default one per CPU
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Backend or mix of backends, such as `openssl` or `openssl+records=aesni`; by default
    /// the fastest that is linked
    #[arg(long, value_name = "SPEC")]
    backend: Option<String>,

    /// Certificate chain (PEM), the server's own first; may be repeated, with a --key each:
    /// the first that fits the client is used. Without any, one is generated
    #[arg(long, value_name = "FILE")]
    cert: Vec<PathBuf>,

    /// Private key of the --cert in the same place: a PEM file, or the PKCS#11 URI of a key
    /// in an HSM, which needs no --cert if the token holds the chain
    #[arg(long, value_name = "FILE|URI")]
    key: Vec<KeySource>,

    /// Kind of the certificate that is generated when none is given
    #[arg(long, value_name = "KIND", value_enum, default_value = "ecdsa-p256")]
    #[arg(conflicts_with_all = ["cert", "key"])]
    generate: KeyKind,

    /// Ask clients for a certificate by one of these authorities (PEM), and refuse those
    /// without
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,

    /// Let in clients without a certificate
    #[arg(long, requires = "client_ca")]
    client_optional: bool,

    /// Application protocol to agree on (ALPN); may be repeated, the preferred one first.
    /// By default http/1.1, with --echo none
    #[arg(long, value_name = "NAME")]
    alpn: Vec<String>,

    /// Send every byte back instead of speaking HTTP
    #[arg(long)]
    echo: bool,

    /// How long a client has for its handshake
    #[arg(long, value_name = "SECONDS", value_parser = crate::runtime::seconds)]
    #[arg(default_value = "30")]
    handshake_timeout: Duration,

    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = crate::runtime::seconds)]
    duration: Option<Duration>,

    /// Print a line for each connection that fails
    #[arg(long)]
    verbose: bool,

    // Last, since its heading holds for what follows.
    #[command(flatten)]
    hsm: HsmArgs,
}

impl ServeArgs {
    fn alpn(&self) -> impl Iterator<Item = &str> {
        let default = (self.alpn.is_empty() && !self.echo).then_some("http/1.1");
        self.alpn.iter().map(String::as_str).chain(default)
    }
}

/// How long open connections have to end after the server was asked to stop.
const STOPPING: Duration = Duration::from_secs(5);

/// How many connections may wait to be accepted: a load generator opens all of its at once.
const BACKLOG: u32 = 4096;

/// Runs the server until it is told to stop by SIGINT, SIGTERM or `--duration`.
///
/// # Errors
/// One line that says what is wrong with the options, a file or the address.
pub(crate) fn run(args: &ServeArgs) -> Result<()> {
    let prepared = Prepared::new(args)?;
    runtime::allow_many_connections();
    let keys = prepared.keys.clone();
    let outcome = runtime::with_threads(args.threads)?.block_on(serve(args, prepared));
    // The runtime is gone, and the handshakes with it.
    keys.close();
    outcome
}

async fn serve(args: &ServeArgs, prepared: Prepared) -> Result<()> {
    let listener = listen(args.listen)?;
    let bound = listener.local_addr().context("--listen")?;
    // Before the address is announced: whoever reads it may stop the server at once.
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    announce(bound, args, &prepared);

    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let server = Arc::new(Server {
        counters: Arc::new(Counters::new()),
        acceptor: keyway::tokio::Acceptor::new(prepared.config.clone()),
        provider: prepared.provider.clone(),
        keys: prepared.keys.clone(),
        handshake_timeout: args.handshake_timeout,
        echo: args.echo,
        verbose: args.verbose,
        stop: stop.clone(),
    });
    let reason = tokio::select! {
        () = accept(&listener, &server, &connections) => unreachable!("accepting never ends"),
        () = after(args.duration) => "the time is over",
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    };

    drop(listener);
    connections.close();
    say(&format!(
        "stopping: {reason}; {} connections to end",
        connections.len()
    ));
    stop.cancel();
    tokio::select! {
        () = connections.wait() => {}
        () = tokio::time::sleep(STOPPING) => {}
        // Asked again: not a moment longer.
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    let cut_off = connections.len();
    if cut_off > 0 {
        say(&format!("cut off {cut_off} connections that did not end"));
    }
    say(server.counters.snapshot().to_string().trim_end());
    for line in prepared.keys.lines() {
        say(&line);
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let open = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A server that was just stopped leaves connections in TIME_WAIT behind.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().with_context(|| format!("cannot listen on {address}"))
}

/// Accepts for ever, and starts a task for each connection.
async fn accept(listener: &TcpListener, server: &Arc<Server>, connections: &TaskTracker) {
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                connections.spawn(server.clone().serve(tcp, peer));
            }
            Err(error) => {
                server.counters.accept_failed(&error);
                if server.verbose {
                    complain(&format!("accept: {error}"));
                }
                // Out of file descriptors, most likely: some come back when connections
                // close, and asking again at once would only burn the CPU.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Waits for a time, or for ever.
async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn announce(bound: SocketAddr, args: &ServeArgs, prepared: &Prepared) {
    let mut lines = vec![
        format!(
            "listening on {bound}, backend {}",
            crate::backend::names(&prepared.provider)
        ),
        format!("certificate: {}", config::describe(args, &prepared.keys)),
    ];
    if let Some(path) = prepared.authority() {
        lines.push(format!(
            "its authority, until this ends: {}",
            path.display()
        ));
    }
    lines.push("reach it with:".into());
    for command in prepared.commands(bound, args) {
        lines.push(format!("  {command}"));
    }
    say(&lines.join("\n"));
}
