//! `bench-server hsm`: what a key in an HSM costs a server, by how slow the HSM is.
//!
//! The server is `bench-server serve` and the load is `bench-server load`, each a process of
//! its own as anybody can start them; the token is SoftHSM's behind `pkcs11-fault`, which
//! makes it as slow as one wants.
//!
//! | module | what it does |
//! |---|---|
//! | `token` | the token, and modules that are slow |
//! | `server` | servers as processes, and their CPU and memory |
//! | `rate` | handshakes per second, latency, CPU |
//! | `parked` | thousands of handshakes on a token that hangs |
//! | `peers` | other servers with the same token |

mod parked;
mod peers;
mod rate;
mod server;
mod token;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;

use self::rate::{Contender, ONE_AT_A_TIME, Rate};
use self::token::Token;
use crate::compare::engine::{self, Budget, Job, Metric, Outcome, Prepare};
use crate::report::{OutputArgs, Report, section};
use crate::runtime;

/// Measures a server whose key is in an HSM, against the HSM's latency.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HsmArgs {
    /// How long the token takes for a signature; may be repeated
    #[arg(long, value_name = "MILLISECONDS", default_values_t = [0.0, 1.0, 3.0, 10.0, 30.0])]
    #[arg(value_delimiter = ',', value_parser = milliseconds)]
    latency: Vec<f64>,

    /// How many signatures the token works on at once; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    lanes: u64,

    /// How many sessions to compare; may be repeated. Adaptive and synchronous are added
    #[arg(long, value_name = "N", default_values_t = [8, 64], value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    sessions: Vec<u16>,

    /// How many handshakes wait for a token that hangs; 0 leaves that out
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    parked: u32,

    /// How long to measure, in seconds, the part with --parked not counted
    #[arg(long, value_name = "SECONDS", default_value = "150", value_parser = runtime::seconds)]
    seconds: Duration,

    /// How often each has its turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// SoftHSM's module; by default where systems install it
    #[arg(long, value_name = "FILE")]
    softhsm: Option<PathBuf>,

    /// The module of the package pkcs11-fault; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    fault_module: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

fn milliseconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|ms: &f64| (0.0..=10_000.0).contains(ms))
        .ok_or_else(|| "not a number from 0 to 10000".into())
}

/// How many handshakes clients have under way per session: so many that the queue is not
/// empty either when the server's thread has to wait for a processor.
const CLIENTS_PER_SESSION: u32 = 8;

/// The contender that others are divided by.
const BASELINE: &str = "synchronous";

/// Runs the comparison and reports it.
///
/// # Errors
/// What is not installed, or what could not be measured.
pub(crate) fn run(args: &HsmArgs) -> Result<()> {
    let start = Instant::now();
    args.output.check()?;
    runtime::allow_many_connections();
    let token = Token::make(args.softhsm.as_deref(), args.fault_module.as_deref())?;
    let contenders = contenders(&args.sessions);
    let jobs = args
        .latency
        .iter()
        .map(|ms| job(&token, &contenders, *ms, args.lanes))
        .collect();
    let budget = Budget {
        time: args.seconds,
        rounds: args.rounds.into(),
    };
    let mut outcomes = engine::run(jobs, budget, &ProgressBar::new(0));
    // Others have no threads that sign: it is in the figure of the server's thread.
    let ours = |name: &str| {
        let mut all = contenders.iter();
        all.any(|each| each.name == name && each.peer.is_none())
    };
    outcomes.retain(|outcome| {
        outcome.metric.section != section::HSM_CPU_SIGNING || ours(&outcome.contender)
    });
    if args.parked > 0 {
        outcomes.extend(parked::measure(&token, args.parked));
    }
    let order: Vec<String> = contenders.iter().map(|each| each.name.clone()).collect();
    let report = Report::new(BASELINE, &order, outcomes, start.elapsed());
    args.output.deliver(&report.with_skipped(peers::missing()))
}

fn contenders(sessions: &[u16]) -> Vec<Contender> {
    let most = sessions.iter().copied().max().unwrap_or(64);
    let fixed = sessions.iter().map(|count| Contender {
        name: format!("{count} sessions"),
        options: vec!["--hsm-sessions".into(), count.to_string()],
        connections: CLIENTS_PER_SESSION * u32::from(*count),
        peer: None,
    });
    let adaptive = Contender {
        name: "adaptive".into(),
        options: Vec::new(),
        connections: CLIENTS_PER_SESSION * u32::from(most),
        peer: None,
    };
    let unverified = Contender {
        name: format!("{most} sessions, not verified"),
        options: vec![
            "--hsm-unverified".into(),
            "--hsm-sessions".into(),
            most.to_string(),
        ],
        connections: CLIENTS_PER_SESSION * u32::from(most),
        peer: None,
    };
    let synchronous = Contender {
        name: BASELINE.into(),
        options: vec!["--hsm-synchronous".into()],
        connections: ONE_AT_A_TIME,
        peer: None,
    };
    let peers = peers::installed().into_iter().map(|peer| Contender {
        name: peer.name().into(),
        options: Vec::new(),
        connections: ONE_AT_A_TIME,
        peer: Some(peer),
    });
    fixed
        .chain([adaptive, unverified, synchronous])
        .chain(peers)
        .collect()
}

fn job<'a>(token: &'a Token, contenders: &'a [Contender], ms: f64, lanes: u64) -> Job<'a> {
    let metric = |section| Metric {
        section,
        column: format!("{ms} ms"),
    };
    let prepare = |contender: &'a Contender| -> (String, Prepare<'a>) {
        (
            contender.name.clone(),
            Box::new(move || Ok(Box::new(Rate::start(token, contender, ms, lanes)?))),
        )
    };
    Job {
        title: format!("a token that takes {ms} ms"),
        weight: 1.0,
        metrics: [
            section::HSM_HANDSHAKE,
            section::HSM_P50,
            section::HSM_P99,
            section::HSM_CPU,
            section::HSM_CPU_SIGNING,
        ]
        .map(metric)
        .into(),
        contenders: contenders.iter().map(prepare).collect(),
        baseline: BASELINE.into(),
        rounds: None,
    }
}

/// An outcome that is not of a [`Job`].
fn outcome(
    section: &'static str,
    column: &str,
    contender: &str,
    value: Result<engine::Measured, String>,
) -> Outcome {
    Outcome {
        metric: Metric {
            section,
            column: column.into(),
        },
        contender: contender.into(),
        value,
    }
}
