//! What a server counts about itself.

use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::{self, Failures};
use crate::latency::Latency;

/// The counters, shared by all connections.
#[derive(Debug)]
pub(super) struct Counters {
    started: Instant,
    accepted: AtomicU64,
    closed: AtomicU64,
    handshakes: AtomicU64,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    detail: Mutex<Detail>,
}

/// What is not a plain number. Touched once per connection, so one lock is enough.
#[derive(Clone, Debug, Default)]
struct Detail {
    /// From a connection's acceptance to the end of its handshake.
    handshake: Latency,
    failed_handshakes: Failures,
    failed_connections: Failures,
    failed_accepts: Failures,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            accepted: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            detail: Mutex::default(),
        }
    }

    fn detail(&self) -> MutexGuard<'_, Detail> {
        // Counters are whole after every step: a panic elsewhere spoils nothing.
        self.detail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is open until the guard is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.accepted.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    pub(super) fn handshake_done(&self, took: Duration) {
        self.handshakes.fetch_add(1, Relaxed);
        self.detail().handshake.record(took);
    }

    pub(super) fn handshake_failed(&self, error: &(dyn StdError + 'static)) {
        self.detail().failed_handshakes.add(failure::kind(error));
    }

    /// A connection that failed after its handshake.
    pub(super) fn connection_failed(&self, error: &(dyn StdError + 'static)) {
        self.detail().failed_connections.add(failure::kind(error));
    }

    pub(super) fn accept_failed(&self, error: &(dyn StdError + 'static)) {
        self.detail().failed_accepts.add(failure::kind(error));
    }

    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Application bytes from clients.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    /// Application bytes to clients.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }

    /// All of them now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let detail = self.detail().clone();
        // In this order: a connection that closes in between is not closed before it was
        // accepted.
        let closed = self.closed.load(Relaxed);
        let accepted = self.accepted.load(Relaxed);
        Snapshot {
            uptime: self.started.elapsed(),
            accepted,
            open: accepted.saturating_sub(closed),
            handshakes: self.handshakes.load(Relaxed),
            requests: self.requests.load(Relaxed),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            detail,
        }
    }
}

/// A connection that counts as open.
#[derive(Debug)]
pub(super) struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Relaxed);
    }
}

/// The counters at one moment. Displays as lines of text.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    uptime: Duration,
    accepted: u64,
    open: u64,
    handshakes: u64,
    requests: u64,
    received: u64,
    sent: u64,
    detail: Detail,
}

impl Snapshot {
    /// Names and values to show, failures left out.
    pub(super) fn rows(&self) -> [(&'static str, String); 7] {
        [
            ("uptime", format!("{:.1} s", self.uptime.as_secs_f64())),
            (
                "connections",
                format!("{} accepted, {} open", self.accepted, self.open),
            ),
            (
                "handshakes",
                format!(
                    "{} completed, {} failed",
                    self.handshakes,
                    self.detail.failed_handshakes.total()
                ),
            ),
            ("handshake latency", self.detail.handshake.to_string()),
            ("requests", self.requests.to_string()),
            ("bytes received", self.received.to_string()),
            ("bytes sent", self.sent.to_string()),
        ]
    }

    /// What failed, where, and how often.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&'static str, &str, u64)> {
        let detail = &self.detail;
        [
            ("handshake", &detail.failed_handshakes),
            ("connection", &detail.failed_connections),
            ("accept", &detail.failed_accepts),
        ]
        .into_iter()
        .flat_map(|(place, failures)| {
            failures
                .iter()
                .map(move |(kind, count)| (place, kind, count))
        })
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "uptime_s": self.uptime.as_secs_f64(),
            "connections": { "accepted": self.accepted, "open": self.open },
            "handshakes": {
                "completed": self.handshakes,
                "failed": self.detail.failed_handshakes.json(),
                "latency": self.detail.handshake.json(),
            },
            "requests": self.requests,
            "bytes": { "received": self.received, "sent": self.sent },
            "failed_connections": self.detail.failed_connections.json(),
            "failed_accepts": self.detail.failed_accepts.json(),
        })
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows() {
            writeln!(f, "{name:<18} {value}")?;
        }
        for (place, kind, count) in self.failures() {
            let name = format!("failed {place}");
            writeln!(f, "{name:<18} {kind}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn counts_what_happened() {
        let counters = Arc::new(Counters::new());
        let first = counters.open();
        let second = counters.open();
        counters.handshake_done(Duration::from_millis(2));
        counters.handshake_failed(&io::Error::from(io::ErrorKind::ConnectionReset));
        counters.received(3);
        counters.sent(70_000);
        drop(second);

        let now = counters.snapshot();
        let shown = now.to_string();
        assert!(shown.contains("2 accepted, 1 open"), "{shown}");
        assert!(shown.contains("1 completed, 1 failed"), "{shown}");
        assert!(shown.contains("transport: connection reset: 1"), "{shown}");
        let json = now.json();
        assert_eq!(json["connections"]["open"], 1);
        assert_eq!(json["bytes"]["sent"], 70_000);
        assert_eq!(json["handshakes"]["latency"]["count"], 1);
        drop(first);
        assert_eq!(counters.snapshot().json()["connections"]["open"], 0);
    }
}
