//! The comparison: every linked backend and mixes of them, and other stacks, at the same
//! work in one run.
//!
//! | module | what it does |
//! |---|---|
//! | `stacks` | each TLS stack behind one sans-I/O interface |
//! | `work` | what is measured, and how it is verified |
//! | `plan` | which rows there are |
//! | `filter` | which of them are wanted |
//! | `engine` | interleaved rounds within a budget of time |
//! | `stats` | medians, spread, ratios |
//! | `wire` | the buffer between two endpoints |

pub(crate) mod engine;
mod filter;
mod plan;
mod stacks;
pub(crate) mod stats;
mod wire;
mod work;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use indicatif::ProgressBar;

use crate::certs::KeyKind;
use crate::report::{OutputArgs, Report};
use engine::Budget;
use filter::Filter;
use plan::{Extent, Field};
use stacks::Identities;

// No doc comment: the command line would show it in place of the program's own.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct CompareArgs {
    /// Fewer sizes and shorter rounds: done within fifteen seconds.
    #[arg(long)]
    quick: bool,
    /// Only rows whose name has all these words; may be repeated. --list shows the names.
    #[arg(long, value_name = "WORDS")]
    filter: Vec<String>,
    /// Names the rows and measures nothing.
    #[arg(long)]
    list: bool,
    /// The most threads to use; by default all that the machine has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How long to measure, in seconds; by default 97, or 11 with --quick.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
}

impl CompareArgs {
    fn extent(&self) -> Extent {
        let machine = std::thread::available_parallelism().map_or(1, usize::from);
        Extent {
            sizes: if self.quick {
                plan::QUICK_SIZES
            } else {
                plan::SIZES
            },
            tcp_sizes: if self.quick {
                plan::QUICK_TCP_SIZES
            } else {
                plan::TCP_SIZES
            },
            threads: self.threads.map_or(machine, usize::from),
            idle: if self.quick { 100 } else { 500 },
            costly_rounds: if self.quick { 1 } else { 3 },
        }
    }

    fn budget(&self) -> Budget {
        let default = if self.quick { 11 } else { 97 };
        Budget {
            time: Duration::from_secs(self.seconds.unwrap_or(default).into()),
            rounds: if self.quick { 3 } else { 11 },
        }
    }
}

/// Runs the comparison and reports it.
///
/// # Errors
/// Wrong arguments, a file that cannot be written, or a contender whose work was not right:
/// the others are reported all the same.
pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    let start = Instant::now();
    args.output.check()?;
    let kinds: &[KeyKind] = if args.list { &[] } else { &KeyKind::ALL };
    let identities = Identities::generate(kinds)?;
    let stacks = stacks::linked()?;
    let baseline = baseline(&stacks);
    let filter = Filter::new(&args.filter);
    let field = Field {
        stacks: &stacks,
        baseline: &baseline,
        identities: &identities,
        filter: &filter,
    };
    let jobs = plan::jobs(&field, args.extent());
    ensure!(
        !jobs.is_empty(),
        "no row has all words of --filter {:?}: --list shows their names",
        args.filter
    );
    if args.list {
        return list(&jobs);
    }

    let mut budget = args.budget();
    budget.time = budget.time.saturating_sub(start.elapsed());
    let outcomes = engine::run_in_time(jobs, budget, &ProgressBar::new(0));
    let report = Report::new(&baseline, &stacks_shown(&stacks), outcomes, start.elapsed())
        .with_stacks(&plan::other_names());

    args.output.deliver(&report)
}

/// libssl if it is linked; otherwise the portable backend, which is at home everywhere.
fn baseline(stacks: &[std::sync::Arc<dyn stacks::Stack>]) -> String {
    let names = || stacks.iter().map(|stack| stack.name());
    let found = ["libssl", "keyway soft"]
        .into_iter()
        .find(|wanted| names().any(|name| name == *wanted));
    found
        .or_else(|| names().next())
        .unwrap_or_default()
        .to_owned()
}

fn stacks_shown(stacks: &[std::sync::Arc<dyn stacks::Stack>]) -> Vec<String> {
    stacks.iter().map(|stack| stack.name().to_owned()).collect()
}

fn list(jobs: &[engine::Job<'_>]) -> Result<()> {
    let mut names = Vec::new();
    for job in jobs {
        for metric in &job.metrics {
            for (contender, _) in &job.contenders {
                names.push(filter::row_name(metric, contender));
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut stdout = std::io::stdout().lock();
    for name in names.iter().filter(|name| seen.insert(name.as_str())) {
        writeln!(stdout, "{name}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use engine::{Prepare, Probe};

    /// Set-up of a contender, and a turn of the slowest work: more than either takes here.
    const SET_UP: Duration = Duration::from_millis(5);
    const TURN: Duration = Duration::from_millis(10);

    /// Work that takes its time by a clock that nothing else moves.
    struct Worker<'a>(&'a Cell<Duration>);

    impl Probe for Worker<'_> {
        fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
            self.0.set(self.0.get() + slice.max(TURN));
            Ok(vec![1.0; 8])
        }
    }

    /// How long a run takes, and how many jobs it has.
    fn time(args: &CompareArgs) -> (Duration, usize) {
        let identities = Identities::generate(&[]).unwrap();
        let stacks = stacks::linked().unwrap();
        let field = Field {
            stacks: &stacks,
            baseline: &baseline(&stacks),
            identities: &identities,
            filter: &Filter::default(),
        };
        let clock = Cell::default();
        let mut jobs = plan::jobs(&field, args.extent());
        let count = jobs.len();
        for (_, prepare) in jobs.iter_mut().flat_map(|job| &mut job.contenders) {
            let worker: Prepare<'_> = Box::new(|| {
                clock.set(clock.get() + SET_UP);
                Ok(Box::new(Worker(&clock)) as Box<dyn Probe>)
            });
            *prepare = worker;
        }
        let progress = ProgressBar::hidden();
        let outcomes = engine::run_by(&|| clock.get(), jobs, args.budget(), 1, &progress);
        assert!(outcomes.iter().all(|outcome| outcome.value.is_ok()));
        (clock.get(), count)
    }

    #[test]
    fn everything_that_is_linked_fits_into_the_time() {
        for (quick, limit) in [(false, 120), (true, 15)] {
            for threads in [1, 2, 128] {
                let args = CompareArgs {
                    quick,
                    threads: Some(threads),
                    ..CompareArgs::default()
                };
                let (took, jobs) = time(&args);
                println!("quick: {quick}, {threads} threads: {jobs} jobs in {took:?}");
                assert!(jobs > 30, "{jobs}");
                assert!(took <= Duration::from_secs(limit), "{took:?}");
            }
        }
    }
}
