//! The results, as text and as JSON.

use std::fmt;

use serde_json::json;

use super::tally::{Tallies, Tally};
use super::{LoadArgs, Mode};

/// What was measured, and how.
#[derive(Debug)]
pub(super) struct Report {
    args: LoadArgs,
    threads: usize,
    negotiated: String,
    /// How many operations were due, if a rate was given.
    due: Option<u64>,
    tally: Tally,
}

impl Report {
    pub(super) fn new(
        args: &LoadArgs,
        threads: usize,
        negotiated: String,
        due: Option<u64>,
        tallies: &Tallies,
    ) -> Self {
        Self {
            args: args.clone(),
            threads,
            negotiated,
            due,
            tally: tallies.total(),
        }
    }

    /// If not one operation succeeded: why the most failed.
    pub(super) fn reason_for_nothing(&self) -> Option<&str> {
        if self.tally.operations.count() > 0 {
            return None;
        }
        let most = self.tally.failures.iter().max_by_key(|(_, count)| *count);
        Some(most.map_or("none ended within the time", |(kind, _)| kind))
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.args.duration.as_secs_f64()
    }

    /// How many operations were due and not done in time.
    fn not_done(&self) -> Option<u64> {
        let done = self.tally.operations.count() + self.tally.failures.total();
        self.due.map(|due| due.saturating_sub(done))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let tally = &self.tally;
        json!({
            "connect": self.args.connect,
            "mode": self.args.mode.name(),
            "connections": self.args.connections,
            "threads": self.threads,
            "rate_per_s": self.args.rate,
            "warm_up_s": self.args.warm_up.as_secs_f64(),
            "duration_s": self.args.duration.as_secs_f64(),
            "negotiated": self.negotiated,
            "operations": {
                "done": tally.operations.count(),
                "done_in_warm_up": tally.early,
                "per_s": self.per_second(tally.operations.count()),
                "due": self.due,
                "not_done_in_time": self.not_done(),
                "latency": tally.operations.json(),
            },
            "handshakes": {
                "done": tally.handshakes.count(),
                "per_s": self.per_second(tally.handshakes.count()),
                "latency": tally.handshakes.json(),
            },
            "bytes": {
                "sent": tally.sent,
                "received": tally.received,
                "sent_per_s": self.per_second(tally.sent),
                "received_per_s": self.per_second(tally.received),
            },
            "failures": tally.failures.json(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { args, tally, .. } = self;
        let pace = match args.rate {
            Some(rate) => format!("{rate} per second"),
            None => "as many as possible".into(),
        };
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<18} {value}");
        row("server", &args.connect)?;
        row("negotiated", &self.negotiated)?;
        row(
            "load",
            &format_args!(
                "{}, {} connections, {} threads, {pace}, {} s",
                args.mode.name(),
                args.connections,
                self.threads,
                args.duration.as_secs_f64(),
            ),
        )?;
        let count = tally.operations.count();
        let per_second = self.per_second(count);
        row("operations", &format_args!("{count}, {per_second:.1}/s"))?;
        if let (Some(due), Some(not_done)) = (self.due, self.not_done()) {
            row(
                "due",
                &format_args!("{due}, of which {not_done} not done in time"),
            )?;
        }
        row("latency", &tally.operations)?;
        let count = tally.handshakes.count();
        let per_second = self.per_second(count);
        row("handshakes", &format_args!("{count}, {per_second:.1}/s"))?;
        row("handshake latency", &tally.handshakes)?;
        if args.mode != Mode::Handshake {
            let megabytes = |bytes| self.per_second(bytes) / 1e6;
            row(
                "throughput",
                &format_args!(
                    "{:.2} MB/s received, {:.2} MB/s sent",
                    megabytes(tally.received),
                    megabytes(tally.sent)
                ),
            )?;
        }
        if tally.failures.total() == 0 {
            row("failures", &"none")?;
        }
        for (kind, count) in tally.failures.iter() {
            row("failures", &format_args!("{kind}: {count}"))?;
        }
        Ok(())
    }
}
