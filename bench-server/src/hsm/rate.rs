//! Handshakes per second, how long they take, and how much CPU.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::peers::Peer;
use super::server::Server;
use super::token::Token;
use crate::compare::engine::Probe;

/// How many clients there are at once where signatures are made one by one.
pub(super) const ONE_AT_A_TIME: u32 = 8;

/// A way to serve.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    /// Of `bench-server serve`.
    pub(super) options: Vec<String>,
    /// How many handshakes clients have under way.
    pub(super) connections: u32,
    /// Another server.
    pub(super) peer: Option<Peer>,
}

/// A server with a slow token, ready for load.
pub(super) struct Rate {
    server: Server,
    connections: u32,
    /// How long a token takes on which there is just one session, for as many signatures as
    /// there are clients then.
    turn: Duration,
}

impl Rate {
    pub(super) fn start(token: &Token, contender: &Contender, ms: f64, lanes: u64) -> Result<Self> {
        let name = contender.name.replace([' ', ','], "-");
        let module = token.module(&format!("{name}-{ms}"), ms, lanes)?;
        let server = match contender.peer {
            Some(peer) => peer.start(token, &module)?,
            None => {
                let mut options = vec!["--echo".to_owned()];
                options.extend_from_slice(&contender.options);
                Server::keyway(token, &module, &options)?
            }
        };
        Ok(Self {
            server,
            connections: contender.connections,
            turn: Duration::from_secs_f64(ms / 1e3) * ONE_AT_A_TIME,
        })
    }

    /// Runs `bench-server load`, and returns what it says.
    fn load(&self, time: Duration) -> Result<Value> {
        let program = std::env::current_exe().context("where is this program?")?;
        let output = Command::new(program)
            .args(["load", "--mode", "handshake", "--threads", "1"])
            .args(["--group", "x25519", "--server-name", "localhost"])
            .args(["--json", "-", "--connect"])
            .arg(self.server.address.to_string())
            // The signature is verified all the same; the chain, which is always the same, would
            // only take CPU from the server beside it.
            .arg("--insecure")
            .args(["--connections", &self.connections.to_string()])
            .args([
                "--warm-up",
                &(WARM_UP + self.turn).as_secs_f64().to_string(),
            ])
            .args(["--duration", &time.as_secs_f64().to_string()])
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The shortest load that says something, where the token takes no time.
const SHORTEST: Duration = Duration::from_millis(300);

/// Until as many handshakes end as begin, the token's time for the first not counted.
const WARM_UP: Duration = Duration::from_millis(200);

/// Values: handshakes per second, the median and 99th percentile of their latency, and CPU of
/// the server's thread and of the signing threads per handshake.
impl Probe for Rate {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let before = self.server.cpu()?;
        let report = self.load(slice.max(SHORTEST + 2 * self.turn))?;
        let after = self.server.cpu()?;
        let failures = report["failures"].as_object().context("no failures")?;
        ensure!(
            failures.is_empty(),
            "handshakes failed: {}",
            report["failures"]
        );
        let number = |pointer: &str| {
            let value = report.pointer(pointer).and_then(Value::as_f64);
            value.with_context(|| format!("the load tells no {pointer}"))
        };
        let done = number("/operations/done")? + number("/operations/done_in_warm_up")?;
        let per_handshake =
            |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() / done;
        Ok(vec![
            number("/operations/per_s")?,
            number("/handshakes/latency/p50_us")? / 1e6,
            number("/handshakes/latency/p99_us")? / 1e6,
            per_handshake(after.own, before.own),
            per_handshake(after.signing, before.signing),
        ])
    }
}
