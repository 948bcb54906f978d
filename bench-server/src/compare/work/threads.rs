//! The same work on several threads at once.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::bulk::Bulk;
use super::handshake::Handshakes;
use crate::compare::engine::Probe;

/// A unit of work, done again and again by each thread.
pub(crate) trait Unit: Send {
    /// Does it once and says how much it was: handshakes, or bytes.
    fn once(&mut self) -> Result<f64>;
}

/// Both sides of a handshake.
impl Unit for Handshakes {
    fn once(&mut self) -> Result<f64> {
        self.one().map(|_| 1.0)
    }
}

/// Bytes sealed and opened again.
impl Unit for Bulk {
    fn once(&mut self) -> Result<f64> {
        self.burst().map(|spent| spent.bytes as f64)
    }
}

/// One unit per thread of a pool.
pub(crate) struct Threads<U> {
    pool: ThreadPool,
    units: Vec<Mutex<U>>,
}

impl<U: Unit> Threads<U> {
    pub(crate) fn new(threads: usize, unit: impl Fn() -> Result<U>) -> Result<Self> {
        Ok(Self {
            pool: ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .context("cannot start threads")?,
            units: (0..threads)
                .map(|_| unit().map(Mutex::new))
                .collect::<Result<_>>()?,
        })
    }
}

/// Value: work per second of all threads together.
impl<U: Unit> Probe for Threads<U> {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let units = &self.units;
        let rates = self.pool.broadcast(|thread| -> Result<f64> {
            let unit = units
                .get(thread.index())
                .context("more threads than asked for")?;
            // Each thread has its own: the lock is never waited for.
            let mut unit = unit.lock().ok().context("a thread has panicked")?;
            let (start, mut done) = (Instant::now(), 0.0);
            while done == 0.0 || start.elapsed() < slice {
                done += unit.once()?;
            }
            Ok(done / start.elapsed().as_secs_f64())
        });
        Ok(vec![rates.into_iter().sum::<Result<f64>>()?])
    }
}
