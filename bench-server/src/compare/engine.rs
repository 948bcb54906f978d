//! Runs measurements: rounds interleaved, within a budget of time.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::stats::{Summary, paired_ratio};

/// One contender's measurement, set up and ready to go round after round.
pub(crate) trait Probe {
    /// Works for about `slice`, checks the work, and returns one value per metric of the job.
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>>;

    /// Values over all rounds, for the metrics of which the median of the rounds would say
    /// less, such as a far percentile.
    fn overall(&self) -> Vec<Option<f64>> {
        Vec::new()
    }
}

/// Makes a probe: connections, buffers, threads.
pub(crate) type Prepare<'a> = Box<dyn FnOnce() -> Result<Box<dyn Probe + 'a>> + 'a>;

/// Measurements that are compared with each other, and therefore interleaved.
pub(crate) struct Job<'a> {
    /// What is measured, for the progress display.
    pub(crate) title: String,
    /// Its share of the time, relative to other jobs.
    pub(crate) weight: f64,
    /// Where the values of a round go.
    pub(crate) metrics: Vec<Metric>,
    /// The contenders by name; the baseline is one of them or none.
    pub(crate) contenders: Vec<(String, Prepare<'a>)>,
    /// The contender that the others are divided by.
    pub(crate) baseline: String,
    /// The most rounds, where one costs much whatever its slice; otherwise the engine's.
    pub(crate) rounds: Option<usize>,
}

/// Where a value goes: a column of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) section: &'static str,
    pub(crate) column: String,
}

/// A value that was measured and whose work was verified, or why there is none.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) metric: Metric,
    pub(crate) contender: String,
    pub(crate) value: Result<Measured, String>,
}

/// A measured value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) summary: Summary,
    /// How it relates to the baseline; `None` for the baseline itself or without one.
    pub(crate) ratio: Option<f64>,
}

/// How long everything may take and how often each contender has its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) time: Duration,
    pub(crate) rounds: usize,
}

/// The shortest slice that still says something: some microseconds of timer and cold caches
/// must not weigh in.
const MIN_SLICE: Duration = Duration::from_millis(4);

/// Runs all jobs, each with all of its rounds. What one leaves of its time, or takes too much,
/// the later ones share.
pub(crate) fn run(jobs: Vec<Job<'_>>, budget: Budget, progress: &ProgressBar) -> Vec<Outcome> {
    let start = Instant::now();
    let clock = || start.elapsed();
    run_by(&clock, jobs, budget, budget.rounds, progress)
}

/// The same, but a job whose time is over leaves out its further rounds: what is promised is
/// the time.
pub(crate) fn run_in_time(
    jobs: Vec<Job<'_>>,
    budget: Budget,
    progress: &ProgressBar,
) -> Vec<Outcome> {
    let start = Instant::now();
    run_by(&|| start.elapsed(), jobs, budget, 1, progress)
}

/// Runs all jobs by a clock that begins at zero; each has `least` rounds whatever they take.
pub(super) fn run_by(
    clock: &dyn Fn() -> Duration,
    jobs: Vec<Job<'_>>,
    budget: Budget,
    least: usize,
    progress: &ProgressBar,
) -> Vec<Outcome> {
    let mut weight_left: f64 = jobs.iter().map(|job| job.weight).sum();
    progress.set_length(jobs.len() as u64);
    progress.set_style(style());
    let mut outcomes = Vec::new();
    for job in jobs {
        progress.set_message(job.title.clone());
        progress.tick();
        let time_left = budget.time.saturating_sub(clock());
        let share = (job.weight / weight_left).clamp(0.0, 1.0);
        weight_left -= job.weight;
        let budget = Budget {
            time: time_left.mul_f64(share),
            rounds: job.rounds.unwrap_or(budget.rounds).max(1),
        };
        outcomes.extend(run_job(clock, job, budget, least, progress));
        progress.inc(1);
    }
    progress.finish_and_clear();
    outcomes
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed:>4} {bar:30} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A contender in the middle of its job.
struct Running<'a> {
    name: String,
    /// Its probe, or what became of it.
    probe: Result<Box<dyn Probe + 'a>, String>,
    /// Values by metric, then by round.
    samples: Vec<Vec<f64>>,
}

impl Running<'_> {
    /// What all rounds say of the metric `at`, beside the baseline.
    fn measured(&self, at: usize, base: Option<&Self>) -> Result<Measured, String> {
        let probe = self.probe.as_ref().map_err(Clone::clone)?;
        let samples = self.samples.get(at).map_or(&[][..], Vec::as_slice);
        let mut summary = Summary::of(samples).ok_or("no round gave a value")?;
        let mut ratio = base.and_then(|base| paired_ratio(samples, base.samples.get(at)?));
        if let Some(value) = overall(&**probe, at) {
            summary.median = value;
            ratio = base
                .and_then(|base| overall(&**base.probe.as_ref().ok()?, at))
                .map(|base| value / base);
        }
        Ok(Measured { summary, ratio })
    }

    fn turn(&mut self, slice: Duration, keep: bool) {
        let Ok(probe) = &mut self.probe else {
            return;
        };
        match probe.round(slice) {
            Ok(values) if keep => {
                for (samples, value) in self.samples.iter_mut().zip(values) {
                    samples.push(value);
                }
            }
            Ok(_) => {}
            Err(error) => self.probe = Err(format!("{error:#}")),
        }
    }
}

fn run_job(
    clock: &dyn Fn() -> Duration,
    job: Job<'_>,
    budget: Budget,
    least: usize,
    progress: &ProgressBar,
) -> Vec<Outcome> {
    let end = clock() + budget.time;
    let mut running: Vec<Running<'_>> = job
        .contenders
        .into_iter()
        .map(|(name, prepare)| Running {
            name,
            probe: prepare().map_err(|error| format!("{error:#}")),
            samples: vec![Vec::new(); job.metrics.len()],
        })
        .collect();

    let turns = running.len().max(1) * budget.rounds;
    let time = end.saturating_sub(clock());
    // The warm-up is half a round.
    let slice = time.div_f64(turns as f64 + running.len() as f64 / 2.0);
    for contender in &mut running {
        contender.turn((slice / 2).max(MIN_SLICE / 2), false);
        progress.tick();
    }
    for round in 0..budget.rounds {
        if round >= least && clock() >= end {
            break;
        }
        // Nobody always comes after the same one, and nobody is always first.
        for turn in 0..running.len() {
            let at = (turn + round) % running.len();
            if let Some(contender) = running.get_mut(at) {
                contender.turn(slice.max(MIN_SLICE), true);
                progress.tick();
            }
        }
    }
    evaluate(&job.metrics, &job.baseline, &running)
}

fn overall(probe: &dyn Probe, at: usize) -> Option<f64> {
    probe.overall().get(at).copied().flatten()
}

fn evaluate(metrics: &[Metric], baseline: &str, running: &[Running<'_>]) -> Vec<Outcome> {
    let base = running
        .iter()
        .find(|contender| contender.name == baseline && contender.probe.is_ok());
    let mut outcomes = Vec::new();
    for contender in running {
        for (at, metric) in metrics.iter().enumerate() {
            let base = base.filter(|base| base.name != contender.name);
            outcomes.push(Outcome {
                metric: metric.clone(),
                contender: contender.name.clone(),
                value: contender.measured(at, base),
            });
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use anyhow::bail;

    use super::*;

    struct Scripted {
        name: char,
        value: f64,
        fails_at: Option<usize>,
        log: Rc<RefCell<String>>,
        rounds: usize,
    }

    impl Probe for Scripted {
        fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
            assert!(slice <= Duration::from_secs(1));
            self.log.borrow_mut().push(self.name);
            self.rounds += 1;
            if self.fails_at == Some(self.rounds) {
                bail!("tag mismatch");
            }
            Ok(vec![self.value, 1.0 / self.value])
        }
    }

    fn job<'a>(log: &Rc<RefCell<String>>, fails_at: Option<usize>) -> Job<'a> {
        let contender = |name: char, value, fails_at| {
            let log = log.clone();
            let prepare: Prepare<'a> = Box::new(move || {
                Ok(Box::new(Scripted {
                    name,
                    value,
                    fails_at,
                    log,
                    rounds: 0,
                }) as Box<dyn Probe>)
            });
            (name.to_string(), prepare)
        };
        let metric = |column: &str| Metric {
            section: "s",
            column: column.into(),
        };
        Job {
            title: "test".into(),
            weight: 1.0,
            metrics: vec![metric("x"), metric("y")],
            contenders: vec![contender('A', 10.0, None), contender('B', 5.0, fails_at)],
            baseline: "A".into(),
            rounds: None,
        }
    }

    fn budget() -> Budget {
        Budget {
            time: Duration::from_millis(100),
            rounds: 3,
        }
    }

    #[test]
    fn rounds_are_interleaved_and_rotated() {
        let log = Rc::default();
        let outcomes = run(vec![job(&log, None)], budget(), &ProgressBar::hidden());
        // The warm-up, then three rounds.
        assert_eq!(*log.borrow(), "ABABBAAB");
        let of = |name: &str, column: &str| {
            let found = outcomes
                .iter()
                .find(|o| o.contender == name && o.metric.column == column);
            *found.unwrap().value.as_ref().unwrap()
        };
        assert_eq!(of("A", "x").summary.median, 10.0);
        assert_eq!(of("A", "x").ratio, None);
        assert_eq!(of("B", "x").ratio, Some(0.5));
        assert_eq!(of("B", "y").ratio, Some(2.0));
        assert_eq!(of("B", "y").summary.rounds, 3);
    }

    #[test]
    fn a_contender_that_fails_once_has_no_figure() {
        let log = Rc::default();
        let outcomes = run(vec![job(&log, Some(4))], budget(), &ProgressBar::hidden());
        for outcome in outcomes {
            match outcome.contender.as_str() {
                "A" => assert!(outcome.value.is_ok()),
                _ => assert_eq!(outcome.value.unwrap_err(), "tag mismatch"),
            }
        }
    }

    /// Takes as long as it is told to, or longer, by a clock that only it moves.
    struct Slow<'a> {
        clock: &'a Cell<Duration>,
        least: Duration,
    }

    impl Probe for Slow<'_> {
        fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
            self.clock.set(self.clock.get() + slice.max(self.least));
            Ok(vec![1.0])
        }
    }

    /// Jobs of which every fourth has turns of at least a second.
    fn slow(clock: &Cell<Duration>) -> Vec<Job<'_>> {
        let job = |at: usize| Job {
            title: "test".into(),
            weight: 1.0,
            metrics: vec![Metric {
                section: "s",
                column: at.to_string(),
            }],
            contenders: ["A", "B"]
                .map(|name| -> (String, Prepare<'_>) {
                    let least = Duration::from_secs(u64::from(at.is_multiple_of(4)));
                    let prepare = move || Ok(Box::new(Slow { clock, least }) as Box<dyn Probe>);
                    (name.into(), Box::new(prepare))
                })
                .into(),
            baseline: "A".into(),
            rounds: None,
        };
        (0..8).map(job).collect()
    }

    #[test]
    fn time_is_kept_and_rounds_are_left_out_for_it() {
        let budget = Budget {
            time: Duration::from_secs(16),
            rounds: 5,
        };
        let rounds = |least| {
            let clock = Cell::default();
            let now = || clock.get();
            let outcomes = run_by(&now, slow(&clock), budget, least, &ProgressBar::hidden());
            let rounds = outcomes.iter().map(|outcome| {
                let measured = outcome.value.as_ref().unwrap();
                measured.summary.rounds
            });
            (clock.get(), rounds.min().unwrap())
        };
        let (took, least) = rounds(1);
        assert!(took <= budget.time, "{took:?}");
        assert_eq!(least, 1);
        // All of them have their price.
        let (took, least) = rounds(budget.rounds);
        assert!(took > budget.time, "{took:?}");
        assert_eq!(least, budget.rounds);
    }

    #[test]
    fn without_its_baseline_a_value_has_no_ratio() {
        let log = Rc::default();
        let mut job = job(&log, None);
        job.baseline = "nobody".into();
        for outcome in run(vec![job], budget(), &ProgressBar::hidden()) {
            assert_eq!(outcome.value.unwrap().ratio, None);
        }
    }
}
