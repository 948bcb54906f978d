//! Which rows there are: the axes, and the jobs that fill them.

use std::sync::Arc;

use anyhow::Result;
use keyway::crypto::{CipherSuite, NamedGroup};

use super::engine::{Job, Metric, Prepare, Probe};
use super::filter::Filter;
use super::stacks::{Endpoints, Identities, Setup, Stack};
use super::work::bulk::Bulk;
use super::work::handshake::Handshakes;
use super::work::memory::Idle;
use super::work::tcp::{PERCENTILES, TcpBulk, TcpHandshakes};
use super::work::threads::Threads;
use crate::certs::KeyKind;
use crate::report::section as s;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Plaintext sizes of records, in bytes.
    pub(crate) sizes: &'static [usize],
    /// The same over TCP.
    pub(crate) tcp_sizes: &'static [usize],
    /// The most threads.
    pub(crate) threads: usize,
    /// The most connections held open for the measurement of memory.
    pub(crate) idle: usize,
    /// Rounds of what costs much whatever its slice.
    pub(crate) costly_rounds: usize,
}

/// All sizes of records.
pub(crate) const SIZES: &[usize] = &[64, 256, 1024, 1400, 4096, 16_384];

/// All sizes of records over TCP.
pub(crate) const TCP_SIZES: &[usize] = &[64, 1400, 4096, 16_384];

/// The sizes of a quick run.
pub(crate) const QUICK_SIZES: &[usize] = &[64, 1024, 16_384];

/// The sizes of a quick run over TCP.
pub(crate) const QUICK_TCP_SIZES: &[usize] = &[64, 16_384];

/// A suite with the name to show and its sections.
struct Suite {
    suite: CipherSuite,
    name: &'static str,
    send: &'static str,
    receive: &'static str,
    tcp: &'static str,
}

const SUITES: [Suite; 3] = [
    Suite {
        suite: CipherSuite::TLS_AES_128_GCM_SHA256,
        name: "AES-128-GCM",
        send: s::SEND_AES128,
        receive: s::RECEIVE_AES128,
        tcp: s::TCP_AES128,
    },
    Suite {
        suite: CipherSuite::TLS_AES_256_GCM_SHA384,
        name: "AES-256-GCM",
        send: s::SEND_AES256,
        receive: s::RECEIVE_AES256,
        tcp: s::TCP_AES256,
    },
    Suite {
        suite: CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        name: "ChaCha20-Poly1305",
        send: s::SEND_CHACHA20,
        receive: s::RECEIVE_CHACHA20,
        tcp: s::TCP_CHACHA20,
    },
];

/// The stacks, and what they need.
pub(crate) struct Field<'a> {
    pub(crate) stacks: &'a [Arc<dyn Stack>],
    pub(crate) baseline: &'a str,
    pub(crate) identities: &'a Identities,
    pub(crate) filter: &'a Filter,
}

/// All jobs that the filter leaves something of, in the order of the report.
pub(crate) fn jobs<'a>(field: &'a Field<'a>, extent: Extent) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    jobs.extend(handshakes(field));
    jobs.extend(bulk(field, extent.sizes));
    #[cfg(any(feature = "soft", feature = "openssl"))]
    jobs.extend(alone::jobs(field));
    jobs.extend(tcp(field, extent.tcp_sizes));
    jobs.extend(threads(field, extent.threads));
    jobs.push(memory(field, extent));
    jobs.retain(|job| !job.contenders.is_empty());
    jobs
}

impl<'a> Field<'a> {
    /// A contender per stack that has what `setup` asks for and that the filter wants.
    fn contenders<P>(
        &'a self,
        setup: Setup,
        metrics: &[Metric],
        probe: impl Fn(Arc<dyn Endpoints>) -> Result<P> + Copy + 'a,
    ) -> Vec<(String, Prepare<'a>)>
    where
        P: Probe + 'a,
    {
        let able = || self.stacks.iter().filter(|stack| stack.supports(&setup));
        let wanted = |stack: &&Arc<dyn Stack>| self.filter.wants(metrics, stack.name());
        if !able().any(|stack| wanted(&stack)) {
            return Vec::new();
        }
        able()
            // A ratio needs its baseline, wanted or not.
            .filter(|stack| stack.name() == self.baseline || wanted(stack))
            .map(|stack| {
                let prepare: Prepare<'a> = Box::new(move || {
                    let endpoints = stack.configure(&setup, self.identities)?;
                    Ok(Box::new(probe(endpoints)?) as Box<dyn Probe + 'a>)
                });
                (stack.name().to_owned(), prepare)
            })
            .collect()
    }

    fn job<P>(
        &'a self,
        title: String,
        weight: f64,
        metrics: Vec<Metric>,
        setup: Setup,
        probe: impl Fn(Arc<dyn Endpoints>) -> Result<P> + Copy + 'a,
    ) -> Job<'a>
    where
        P: Probe + 'a,
    {
        Job {
            contenders: self.contenders(setup, &metrics, probe),
            title,
            weight,
            metrics,
            baseline: self.baseline.to_owned(),
            rounds: None,
        }
    }
}

fn metric(section: &'static str, column: impl Into<String>) -> Metric {
    Metric {
        section,
        column: column.into(),
    }
}

/// The kinds of handshakes, with the names to show.
fn kinds() -> Vec<(Setup, String)> {
    let mut kinds = Vec::new();
    for (client_auth, suffix) in [(false, ""), (true, ", both sides")] {
        for key in KeyKind::ALL {
            let setup = Setup {
                key,
                client_auth,
                ..Setup::default()
            };
            kinds.push((setup, format!("{}{suffix}", key.name())));
        }
    }
    let setup = Setup {
        group: NamedGroup::X25519MLKEM768,
        ..Setup::default()
    };
    kinds.push((setup, format!("{}, X25519MLKEM768", setup.key.name())));
    kinds
}

fn handshakes<'a>(field: &'a Field<'a>) -> Vec<Job<'a>> {
    let job = |(setup, column): (Setup, String)| {
        field.job(
            format!("handshakes, {column}"),
            4.0,
            vec![
                metric(s::HANDSHAKE_SERVER, column.clone()),
                metric(s::HANDSHAKE_CLIENT, column),
            ],
            setup,
            move |endpoints| Ok(Handshakes::new(endpoints, setup)),
        )
    };
    kinds().into_iter().map(job).collect()
}

fn bulk<'a>(field: &'a Field<'a>, sizes: &'static [usize]) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for suite in SUITES {
        for &size in sizes {
            let setup = Setup {
                suite: suite.suite,
                ..Setup::default()
            };
            jobs.push(field.job(
                format!("{}, records of {size} bytes", suite.name),
                1.6,
                vec![
                    metric(suite.send, format!("{size} B")),
                    metric(suite.receive, format!("{size} B")),
                ],
                setup,
                move |endpoints| Bulk::new(&*endpoints, &setup, size),
            ));
        }
    }
    jobs
}

fn tcp<'a>(field: &'a Field<'a>, sizes: &'static [usize]) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for (setup, column) in kinds() {
        jobs.push(field.job(
            format!("handshakes over TCP, {column}"),
            2.5,
            vec![metric(s::TCP_KINDS, column)],
            setup,
            |endpoints| TcpHandshakes::new(endpoints, 1),
        ));
    }
    let mut metrics = vec![metric(s::TCP_HANDSHAKE, "1 pair")];
    metrics.extend(PERCENTILES.map(|(name, _)| metric(s::TCP_LATENCY, name)));
    jobs.push(field.job(
        "handshakes over TCP".into(),
        6.0,
        metrics,
        Setup::default(),
        |endpoints| TcpHandshakes::new(endpoints, 1),
    ));
    for suite in SUITES {
        for &size in sizes {
            let setup = Setup {
                suite: suite.suite,
                ..Setup::default()
            };
            jobs.push(field.job(
                format!("{} over TCP, records of {size} bytes", suite.name),
                1.6,
                vec![metric(suite.tcp, format!("{size} B"))],
                setup,
                move |endpoints| TcpBulk::new(&*endpoints, size),
            ));
        }
    }
    jobs
}

/// One thread, two, four, and so on to all of them.
fn thread_counts(most: usize) -> Vec<usize> {
    let powers = (0..).map(|n| 1 << n);
    let mut counts: Vec<usize> = powers.take_while(|count| *count < most).collect();
    counts.push(most);
    counts
}

fn threads<'a>(field: &'a Field<'a>, most: usize) -> Vec<Job<'a>> {
    let setup = Setup::default();
    let mut jobs = Vec::new();
    for count in thread_counts(most) {
        let column = format!("{count} thread{}", if count == 1 { "" } else { "s" });
        jobs.push(field.job(
            format!("handshakes, {column}"),
            2.5,
            vec![metric(s::THREADS_HANDSHAKE, column.clone())],
            setup,
            move |endpoints| Threads::new(count, || Ok(Handshakes::new(endpoints.clone(), setup))),
        ));
        jobs.push(field.job(
            format!("AES-128-GCM, {column}"),
            2.0,
            vec![metric(s::THREADS_BULK, column)],
            setup,
            move |endpoints| Threads::new(count, || Bulk::new(&*endpoints, &setup, 16_384)),
        ));
        if count > 1 {
            jobs.push(field.job(
                format!("handshakes over TCP, {count} pairs"),
                2.5,
                vec![metric(s::TCP_HANDSHAKE, format!("{count} pairs"))],
                setup,
                move |endpoints| TcpHandshakes::new(endpoints, count),
            ));
        }
    }
    jobs
}

fn memory<'a>(field: &'a Field<'a>, extent: Extent) -> Job<'a> {
    let setup = Setup {
        release_buffers: true,
        ..Setup::default()
    };
    let mut job = field.job(
        "memory of idle connections".into(),
        7.0,
        vec![metric(s::MEMORY, "per connection")],
        setup,
        move |endpoints| Ok(Idle::new(endpoints, setup, extent.idle)),
    );
    job.rounds = Some(extent.costly_rounds);
    job
}

/// Contenders that are not called what their stack is called, and the stack if they are one.
pub(crate) fn other_names() -> Vec<(String, Option<String>)> {
    #[cfg(any(feature = "soft", feature = "openssl"))]
    {
        alone::names()
    }
    #[cfg(not(any(feature = "soft", feature = "openssl")))]
    {
        Vec::new()
    }
}

/// A backend's record protection alone, beside Keyway over it.
#[cfg(any(feature = "soft", feature = "openssl"))]
mod alone {
    use super::*;
    use crate::compare::stacks::KeywayStack;
    use crate::compare::work::raw::Raw;

    /// What a backend is called without a stack, and with Keyway around it.
    fn pair(backend: &str) -> (String, String) {
        (
            format!("{backend} alone"),
            format!("{backend} through Keyway"),
        )
    }

    /// See [`super::other_names`].
    pub(super) fn names() -> Vec<(String, Option<String>)> {
        let mut names = Vec::new();
        for stack in KeywayStack::linked().unwrap_or_default() {
            if let Some(backend) = stack.backend() {
                let (alone, through) = pair(backend);
                names.push((alone, None));
                names.push((through, Some(stack.name().to_owned())));
            }
        }
        names
    }

    /// Each backend is compared with itself: the ratio says what the stack costs.
    pub(super) fn jobs<'a>(field: &'a Field<'a>) -> Vec<Job<'a>> {
        let mut jobs = Vec::new();
        for stack in KeywayStack::linked().unwrap_or_default() {
            let Some(backend) = stack.backend() else {
                continue;
            };
            let stack = Arc::new(stack);
            for Suite { suite, name, .. } in SUITES {
                let setup = Setup {
                    suite,
                    ..Setup::default()
                };
                let metrics = vec![metric(s::ALONE_SEAL, name), metric(s::ALONE_OPEN, name)];
                let (alone, through_keyway) = pair(backend);
                let wants = |contender: &str| field.filter.wants(&metrics, contender);
                if !stack.supports(&setup) || !(wants(&alone) || wants(&through_keyway)) {
                    continue;
                }
                let raw = stack.clone();
                let through = stack.clone();
                let contenders: Vec<(String, Prepare<'a>)> = vec![
                    (
                        alone.clone(),
                        Box::new(move || Ok(Box::new(Raw::new(raw.provider(), suite, 16_384)?))),
                    ),
                    (
                        through_keyway,
                        Box::new(move || {
                            let endpoints = through.configure(&setup, field.identities)?;
                            Ok(Box::new(Bulk::new(&*endpoints, &setup, 16_384)?))
                        }),
                    ),
                ];
                jobs.push(Job {
                    title: format!("{name}, {backend} alone and through Keyway"),
                    weight: 0.8,
                    metrics,
                    contenders,
                    baseline: alone,
                    rounds: None,
                });
            }
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_end_with_the_most() {
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(2), [1, 2]);
        assert_eq!(thread_counts(6), [1, 2, 4, 6]);
        assert_eq!(thread_counts(8), [1, 2, 4, 8]);
    }
}
