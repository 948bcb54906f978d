//! Application data in memory, sealing and opening timed by themselves.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::compare::engine::Probe;
use crate::compare::stacks::{Endpoints, Pair, Setup};

/// Plaintext that is sealed before any of it is opened, in bytes: enough that the clock costs
/// nothing, and little enough to stay in a core's cache.
pub(super) const BURST: usize = 128 * 1024;

/// Records of one size over one connection, from server to client.
pub(crate) struct Bulk {
    pair: Pair,
    record: Vec<u8>,
    burst: usize,
}

/// What a burst took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) bytes: usize,
    pub(crate) send: Duration,
    pub(crate) receive: Duration,
}

/// Data that shows whether it arrives whole and in order.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0_u32..).map(|n| (n % 251) as u8).take(len).collect()
}

impl Bulk {
    pub(crate) fn new(endpoints: &dyn Endpoints, setup: &Setup, size: usize) -> Result<Self> {
        Ok(Self {
            pair: Pair::establish(endpoints, setup)?,
            record: pattern(size),
            burst: (BURST / size).max(1),
        })
    }

    /// Seals a burst of records, then opens it. The receiver authenticates every record,
    /// and the bytes that come out are counted.
    pub(crate) fn burst(&mut self) -> Result<Spent> {
        let wire = &mut self.pair.to_client;
        let start = Instant::now();
        for _ in 0..self.burst {
            self.pair.server.send(&self.record, wire)?;
        }
        let sealed = Instant::now();
        let mut bytes = 0;
        self.pair
            .client
            .receive(wire, &mut |data| bytes += data.len())?;
        let receive = sealed.elapsed();
        ensure!(
            bytes == self.burst * self.record.len() && wire.is_empty(),
            "bytes are missing"
        );
        Ok(Spent {
            bytes,
            send: sealed - start,
            receive,
        })
    }

    /// A burst that is not timed, every byte of which is compared.
    fn check(&mut self) -> Result<()> {
        let wire = &mut self.pair.to_client;
        let mut heard = Vec::new();
        for _ in 0..self.burst {
            self.pair.server.send(&self.record, wire)?;
        }
        self.pair
            .client
            .receive(wire, &mut |data| heard.extend_from_slice(data))?;
        ensure!(
            heard.len() == self.burst * self.record.len()
                && heard
                    .chunks_exact(self.record.len())
                    .all(|record| record == self.record),
            "other data arrived than was sent"
        );
        Ok(())
    }
}

/// Values: bytes of plaintext sealed per second of the sender's time, opened per second of
/// the receiver's.
impl Probe for Bulk {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let start = Instant::now();
        let mut total = Spent::default();
        while total.bytes == 0 || start.elapsed() < slice {
            let spent = self.burst()?;
            total.bytes += spent.bytes;
            total.send += spent.send;
            total.receive += spent.receive;
        }
        self.check()?;
        let rate = |spent: Duration| total.bytes as f64 / spent.as_secs_f64();
        Ok(vec![rate(total.send), rate(total.receive)])
    }
}
