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

    /// The time by the runtime's clock, which tests can stop.
    pub(super) fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Waits until an operation is due. Returns the moment from which its latency counts,
    /// or `None` when the time is over.
    pub(super) async fn next(&self) -> Option<Instant> {
        let Some(rate) = &self.rate else {
            let now = Self::now();
            return (now < self.end).then_some(now);
        };
        rate.due.acquire().await.ok()?.forget();
        let number = rate.taken.fetch_add(1, Relaxed);
        let due = self.start + Duration::from_secs_f64(number as f64 / rate.per_second);
        // Of those that are due many may be left; they count as not done in time.
        (Self::now() < self.end).then_some(due)
    }

    /// Whether the time is not over yet.
    pub(super) fn is_on(&self) -> bool {
        Self::now() < self.end
    }

    /// Whether an operation that ends now counts.
    pub(super) fn counts(&self) -> bool {
        (self.measured..self.end).contains(&Self::now())
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
                let mut schedule = Schedule::new(per_second, duration);
                while let Some(next) = schedule.next() {
                    std::thread::sleep(next.saturating_sub(start.elapsed()));
                    permits.add_permits(schedule.release(start.elapsed()));
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

/// Which operations have become due.
#[derive(Debug)]
struct Schedule {
    per_second: f64,
    total: u64,
    released: u64,
}

impl Schedule {
    fn new(per_second: f64, duration: Duration) -> Self {
        Self {
            per_second,
            total: due_by(per_second, duration),
            released: 0,
        }
    }

    /// When the next one is due; `None` when all were.
    fn next(&self) -> Option<Duration> {
        (self.released < self.total)
            .then(|| Duration::from_secs_f64(self.released as f64 / self.per_second))
    }

    /// How many have become due since it was asked before.
    fn release(&mut self, elapsed: Duration) -> usize {
        let now = due_by(self.per_second, elapsed).min(self.total);
        let more = usize::try_from(now.saturating_sub(self.released)).unwrap_or(usize::MAX);
        self.released = self.released.max(now);
        more.min(Semaphore::MAX_PERMITS / 2)
    }
}

/// How many operations are due after `elapsed`: the first at once, and none at the very end.
fn due_by(per_second: f64, elapsed: Duration) -> u64 {
    // Rounded towards zero, and nowhere near the limit of 64 bits.
    (elapsed.as_secs_f64() * per_second).ceil().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn lateness_counts_from_the_due_time() {
        let start = Pace::now();
        let pace = Pace::start(Some(200.0), start, Duration::ZERO, 250 * MS).unwrap();
        assert_eq!(pace.due(), Some(50));
        // A stall: everything that became due meanwhile comes with its own time.
        tokio::time::sleep(100 * MS).await;
        let mut due = Vec::new();
        while let Some(now) = pace.next().await {
            assert!(Pace::now() >= now);
            due.push(now - start);
        }
        // All of them, on a machine that has time for it; the first ones on any.
        assert!(due.len() <= 50, "{due:?}");
        for (number, due) in (0..).zip(due) {
            assert_eq!(due, number * 5 * MS);
        }
        assert!(start.elapsed() >= 250 * MS);
    }

    #[test]
    fn a_rate_is_kept() {
        let mut schedule = Schedule::new(200.0, 250 * MS);
        assert_eq!(schedule.next(), Some(Duration::ZERO));
        assert_eq!(schedule.release(Duration::ZERO), 1);
        assert_eq!(schedule.next(), Some(5 * MS));
        assert_eq!(schedule.release(4 * MS), 0);
        assert_eq!(schedule.release(6 * MS), 1);
        // What a stall has kept back.
        assert_eq!(schedule.release(101 * MS), 19);
        assert_eq!(schedule.next(), Some(105 * MS));
        // None becomes due after the end, however late it is.
        assert_eq!(schedule.release(Duration::from_secs(9)), 50 - 21);
        assert_eq!(schedule.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn saturation_ends_with_the_time() {
        let pace = Pace::start(None, Pace::now(), Duration::ZERO, 20 * MS).unwrap();
        assert_eq!(pace.due(), None);
        assert!(pace.next().await.is_some());
        advance(19 * MS).await;
        assert!(pace.next().await.is_some());
        assert!(pace.is_on() && pace.counts());
        advance(MS).await;
        assert!(pace.next().await.is_none());
        assert!(!pace.is_on() && !pace.counts());
    }

    #[tokio::test(start_paused = true)]
    async fn a_warm_up_does_not_count() {
        let (warm_up, duration) = (Duration::from_secs(3), Duration::from_secs(5));
        let pace = Pace::start(None, Pace::now(), warm_up, duration).unwrap();
        assert!(pace.is_on() && !pace.counts());
        advance(warm_up - MS).await;
        assert!(pace.is_on() && !pace.counts());
        advance(MS).await;
        assert!(pace.is_on() && pace.counts());
        let rated = Pace::start(Some(10.0), Pace::now(), warm_up, duration).unwrap();
        assert_eq!(rated.due(), Some(50));
    }

    #[test]
    fn the_first_is_due_at_once() {
        assert_eq!(due_by(0.5, Duration::ZERO), 1);
        assert_eq!(due_by(0.5, Duration::from_secs(4)), 2);
        assert_eq!(due_by(10.0, Duration::from_secs(1)), 10);
    }
}
