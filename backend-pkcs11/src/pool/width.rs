//! How many operations a token should have inside at once.
//!
//! More of them bring throughput until the token is full; from there on each only waits
//! inside for the others, and takes a session from somebody else. Where that is nobody
//! knows beforehand, and it moves. So it is measured: while requests wait, the throughput at
//! one width is compared with that at another. Growing must bring at least a quarter of
//! what it would if the token had room; shrinking may cost three in a hundred, counted from
//! the best.

use std::time::{Duration, Instant};

use crate::builder::Sessions;

/// The shortest time to measure over.
const WINDOW: Duration = Duration::from_millis(40);
/// Operations per unit of width to measure over, so that the ones that were just inside at
/// either end don't count for much.
const ROUNDS: usize = 10;
/// How many windows to stay at a width that was found good, before looking around again.
const HOLD: u32 = 50;
/// What growing must bring, as part of what it would bring in an idle token.
const GAIN: f64 = 0.25;
/// What shrinking may cost, all in all.
const LOSS: f64 = 0.03;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// At a width without knowing its throughput.
    Fresh,
    /// Trying a greater width than `from`, where the throughput was `rate`.
    Growing { from: usize, rate: f64 },
    /// Trying a smaller width than `from`; the best so far was `rate`.
    Shrinking { from: usize, rate: f64 },
    /// Staying for so many windows, at what was measured to be `rate`.
    Holding { windows: u32, rate: f64 },
}

/// The width for one token.
#[derive(Debug)]
pub(super) struct Width {
    now: usize,
    min: usize,
    max: usize,
    phase: Phase,
    /// When the current window began; none before the width has been filled.
    began: Option<Instant>,
    /// Operations since then or, before that, since the width was set.
    done: usize,
    /// Whether a session had nothing to do meanwhile: then throughput says nothing.
    slack: bool,
    /// When the token last said that it was too much.
    narrowed: Option<Instant>,
}

impl Width {
    pub(super) fn new(sessions: Sessions) -> Self {
        let (min, max) = match sessions {
            Sessions::Fixed(fixed) => (fixed, fixed),
            Sessions::Adaptive { min, max } => (min, max),
        };
        Self {
            // Enough for a token nearby, and no flood for a small one.
            now: 4.clamp(min, max),
            min,
            max,
            phase: Phase::Fresh,
            began: None,
            done: 0,
            slack: false,
            narrowed: None,
        }
    }

    pub(super) fn get(&self) -> usize {
        self.now
    }

    fn set(&mut self, width: usize, phase: Phase) {
        self.now = width.clamp(self.min, self.max);
        self.phase = phase;
        self.restart();
    }

    fn restart(&mut self) {
        self.began = None;
        self.done = 0;
        self.slack = false;
    }

    /// There was room for one more than there were requests.
    pub(super) fn idle(&mut self) {
        self.slack = true;
    }

    /// The token had no room for `inside` operations, or said that it is busy, to one that
    /// had `began` then. Of many that it refuses together only the first counts: the others
    /// say the same of the same width.
    pub(super) fn refused(&mut self, inside: usize, began: Instant, now: Instant) {
        if self.min == self.max || self.narrowed.is_some_and(|narrowed| began < narrowed) {
            return;
        }
        self.narrowed = Some(now);
        let width = (inside * 3 / 4).max(1).min(self.now);
        // Even below the minimum: the token knows better.
        self.now = width;
        self.phase = Phase::Holding {
            windows: HOLD,
            rate: 0.0,
        };
        self.restart();
    }

    /// An operation is done. Says whether there is room for more of them from now on.
    pub(super) fn done(&mut self, now: Instant) -> bool {
        let before = self.now;
        if self.min < self.max {
            self.count(now);
        }
        self.now > before
    }

    fn count(&mut self, now: Instant) {
        self.done += 1;
        let Some(began) = self.began else {
            // Those that began at another width.
            if self.done >= 2 * self.now {
                self.restart();
                self.began = Some(now);
            }
            return;
        };
        if self.slack {
            self.restart();
            return;
        }
        let time = now.saturating_duration_since(began);
        if time < WINDOW || self.done < ROUNDS * self.now {
            return;
        }
        let rate = self.done as f64 / time.as_secs_f64();
        self.decide(rate);
    }

    fn decide(&mut self, rate: f64) {
        match self.phase {
            Phase::Fresh => self.grow(rate, 2.0),
            Phase::Growing { from, rate: before } => {
                let more = self.now as f64 / from as f64 - 1.0;
                if rate >= before * (1.0 + GAIN * more) {
                    self.grow(rate, 2.0);
                } else {
                    self.set(from, Phase::Fresh);
                    self.shrink(before);
                }
            }
            Phase::Shrinking { from, rate: best } => {
                if rate >= best * (1.0 - LOSS) {
                    self.shrink(best.max(rate));
                } else {
                    self.set(
                        from,
                        Phase::Holding {
                            windows: HOLD,
                            rate: best,
                        },
                    );
                }
            }
            Phase::Holding {
                windows,
                rate: expected,
            } => {
                // The token has become faster or slower: look at once.
                let same = expected == 0.0 || (0.7..1.4).contains(&(rate / expected));
                if windows > 0 && same {
                    self.phase = Phase::Holding {
                        windows: windows - 1,
                        rate: if expected == 0.0 {
                            rate
                        } else {
                            0.9 * expected + 0.1 * rate
                        },
                    };
                    self.restart();
                } else {
                    self.grow(rate, 1.5);
                }
            }
        }
    }

    fn grow(&mut self, rate: f64, factor: f64) {
        let from = self.now;
        let wider = ((from as f64 * factor).ceil() as usize).min(self.max);
        if wider > from {
            self.set(wider, Phase::Growing { from, rate });
        } else {
            self.shrink(rate);
        }
    }

    fn shrink(&mut self, rate: f64) {
        let from = self.now;
        let narrower = (from - (from / 4).max(1).min(from)).max(self.min);
        if narrower < from {
            self.set(narrower, Phase::Shrinking { from, rate });
        } else {
            self.set(
                from,
                Phase::Holding {
                    windows: HOLD,
                    rate,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives a width against a token with this throughput at each width; returns the widths
    /// it went through.
    fn drive(mut width: Width, rate: impl Fn(usize) -> f64, windows: usize) -> Vec<usize> {
        let mut now = Instant::now();
        let mut seen = Vec::new();
        for _ in 0..windows {
            let at = width.get();
            let step = Duration::from_secs_f64(1.0 / rate(at));
            // No more than fills one window, the warming-up included.
            let enough = (ROUNDS + 4) * at + (0.1 * rate(at)) as usize;
            for _ in 0..enough {
                now += step;
                width.done(now);
                if width.get() != at {
                    break;
                }
            }
            seen.push(width.get());
        }
        seen
    }

    #[test]
    fn finds_the_capacity_and_stays() {
        for capacity in [1, 2, 3, 8, 13, 30, 64] {
            // 3 ms each; what is above the capacity waits inside.
            let rate = |width: usize| width.min(capacity) as f64 / 0.003;
            let width = Width::new(Sessions::Adaptive { min: 1, max: 64 });
            let seen = drive(width, rate, 1000);
            let settled = &seen[30..];
            let good = settled
                .iter()
                .filter(|width| rate(**width) >= 0.9 * rate(capacity))
                .count();
            // It looks around now and then, and that costs.
            assert!(good * 10 >= settled.len() * 9, "{capacity}: {settled:?}");
            let wide = settled.iter().filter(|width| **width > 2 * capacity);
            assert!(
                wide.count() * 10 <= settled.len(),
                "{capacity}: {settled:?}"
            );
        }
    }

    #[test]
    fn a_token_that_gets_worse_with_more_is_left_alone() {
        let rate = |width: usize| 1000.0 / (1.0 + 0.1 * (width as f64 - 2.0).abs());
        let width = Width::new(Sessions::default());
        let seen = drive(width, rate, 1000);
        let good = seen[30..].iter().filter(|width| **width <= 3).count();
        assert!(good * 10 >= (seen.len() - 30) * 9, "{seen:?}");
    }

    #[test]
    fn fixed_is_fixed() {
        let width = Width::new(Sessions::Fixed(7));
        let seen = drive(width, |width| width as f64 * 100.0, 50);
        assert!(seen.iter().all(|width| *width == 7));
    }

    #[test]
    fn without_requests_nothing_is_learnt() {
        let mut width = Width::new(Sessions::default());
        let start = Instant::now();
        for at in 0..10_000u32 {
            width.idle();
            width.done(start + Duration::from_millis(1) * at);
        }
        assert_eq!(width.get(), 4);
    }

    #[test]
    fn a_refusal_narrows_at_once() {
        let mut width = Width::new(Sessions::Adaptive { min: 2, max: 64 });
        let now = Instant::now();
        width.refused(4, now, now);
        assert_eq!(width.get(), 3);
        width.refused(1, now, now);
        assert_eq!(width.get(), 1);
    }

    #[test]
    fn a_burst_of_refusals_narrows_once() {
        let mut width = Width::new(Sessions::Adaptive { min: 1, max: 64 });
        width.set(40, Phase::Fresh);
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        let burst = |width: &mut Width, began: Instant| {
            for inside in (0..width.get()).rev() {
                width.refused(inside.max(1), began, began + second);
            }
        };
        burst(&mut width, began);
        assert_eq!(width.get(), 29);
        // The next round tells something new.
        burst(&mut width, began + 2 * second);
        assert_eq!(width.get(), 21);
    }
}
