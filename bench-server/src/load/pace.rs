//! When operations are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::Semaphore;

/// Hands out operations until the time is over.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Since when what ends is counted.
    measured: Instant,
    end: Instant,
    rate: Option<Rate>,
}

/// An open loop: operation n is due at `start + n / per_second`, whoever does it.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    /// A permit per operation that is due and not taken.
    due: Arc<Semaphore>,
    taken: AtomicU64,
}

impl Pace {
    /// Begins at `start`: `warm_up`, which does not count, and then `duration`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        per_second: Option<f64>,
        start: Instant,
        warm_up: Duration,
        duration: Duration,
    ) -> Result<Self> {
        let rate = match per_second {
            None => None,
            Some(per_second) => Some(Rate::start(per_second, start, warm_up + duration)?),
        };
        Ok(Self {
            start,
            measured: start + warm_up,
            end: start + warm_up + duration,
            rate,
        })
    }

    /// Waits until an operation is due. Returns the moment from which its latency counts,
    /// or `None` when the time is over.
    pub(super) async fn next(&self) -> Option<Instant> {
        let Some(rate) = &self.rate else {
            let now = Instant::now();
            return (now < self.end).then_some(now);
        };
        rate.due.acquire().await.ok()?.forget();
        let number = rate.taken.fetch_add(1, Relaxed);
        let due = self.start + Duration::from_secs_f64(number as f64 / rate.per_second);
        // Of those that are due many may be left; they count as not done in time.
        (Instant::now() < self.end).then_some(due)
    }

    /// Whether the time is not over yet.
    pub(super) fn is_on(&self) -> bool {
        Instant::now() < self.end
    }

    /// Whether an operation that ends now counts.
    pub(super) fn counts(&self) -> bool {
        (self.measured..self.end).contains(&Instant::now())
    }

    /// How many operations were due in the time that counts, if that is decided by a rate.
    pub(super) fn due(&self) -> Option<u64> {
        let rate = self.rate.as_ref()?;
        let due_by = |end: Instant| due_by(rate.per_second, end - self.start);
        let before = match self.measured > self.start {
            true => due_by(self.measured),
            false => 0,
        };
        Some(due_by(self.end) - before)
    }
}

impl Rate {
    /// Starts the thread that lets operations become due. It is a thread because the
    /// runtime's timers are a millisecond coarse, which would show in every latency.
    fn start(per_second: f64, start: Instant, duration: Duration) -> Result<Self> {
        let due = Arc::new(Semaphore::new(0));
        let permits = due.clone();
        std::thread::Builder::new()
            .name("pace".into())
            .spawn(move || {
                let total = due_by(per_second, duration);
                let mut released = 0;
                while released < total {
                    let now = due_by(per_second, start.elapsed()).min(total);
                    let more = usize::try_from(now - released).unwrap_or(usize::MAX);
                    permits.add_permits(more.min(Semaphore::MAX_PERMITS / 2));
                    released = now;
                    let next = Duration::from_secs_f64(released as f64 / per_second);
                    std::thread::sleep(next.saturating_sub(start.elapsed()));
                }
                std::thread::sleep(duration.saturating_sub(start.elapsed()));
                permits.close();
            })
            .context("cannot start the thread that keeps the pace")?;
        Ok(Self {
            per_second,
            due,
            taken: AtomicU64::new(0),
        })
    }
}

/// How many operations are due after `elapsed`: the first at once, and none at the very end.
fn due_by(per_second: f64, elapsed: Duration) -> u64 {
    // Rounded towards zero, and nowhere near the limit of 64 bits.
    (elapsed.as_secs_f64() * per_second).ceil().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rate_is_kept_and_lateness_counts_from_the_due_time() {
        let start = Instant::now();
        let pace = Pace::start(
            Some(200.0),
            start,
            Duration::ZERO,
            Duration::from_millis(250),
        )
        .unwrap();
        assert_eq!(pace.due(), Some(50));
        // A stall: everything that became due meanwhile comes with its own time.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut times = Vec::new();
        while let Some(due) = pace.next().await {
            assert!(Instant::now() >= due);
            times.push(due - start);
        }
        assert_eq!(times.len(), 50, "{times:?}");
        assert_eq!(times[0], Duration::ZERO);
        assert_eq!(times[10], Duration::from_millis(50));
        assert!(start.elapsed() >= Duration::from_millis(245));
    }

    #[tokio::test]
    async fn saturation_ends_with_the_time() {
        let start = Instant::now();
        let pace = Pace::start(None, start, Duration::ZERO, Duration::from_millis(20)).unwrap();
        assert!(pace.next().await.is_some());
        assert_eq!(pace.due(), None);
        tokio::time::sleep(Duration::from_millis(25)).await;
        assert!(pace.next().await.is_none());
        assert!(!pace.is_on());
    }

    #[tokio::test]
    async fn a_warm_up_does_not_count() {
        let (warm_up, duration) = (Duration::from_secs(3), Duration::from_secs(5));
        let early = Pace::start(Some(10.0), Instant::now(), warm_up, duration).unwrap();
        assert!(early.is_on() && !early.counts());
        assert_eq!(early.due(), Some(50));
        let begun = Instant::now().checked_sub(warm_up).unwrap();
        let later = Pace::start(None, begun, warm_up, duration).unwrap();
        assert!(later.is_on() && later.counts());
    }

    #[test]
    fn the_first_is_due_at_once() {
        assert_eq!(due_by(0.5, Duration::ZERO), 1);
        assert_eq!(due_by(0.5, Duration::from_secs(4)), 2);
        assert_eq!(due_by(10.0, Duration::from_secs(1)), 10);
    }
}
