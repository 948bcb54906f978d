//! Counters: a snapshot for programs, and the same for the `metrics` crate's recorder.
//!
//! No PIN, key, message or signature goes in here.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};

use crate::code::Code;
use crate::module::lock;

/// Tells the recorder, which is somebody else's code: if it panics, a number is missing there
/// and nothing else.
fn tell(call: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(call));
}

/// Something that is counted.
pub(crate) struct Count {
    own: AtomicU64,
    metric: Counter,
}

impl Count {
    fn new(name: &'static str, labels: &[Label]) -> Self {
        Self {
            own: AtomicU64::new(0),
            metric: metrics::counter!(name, labels.iter()),
        }
    }

    pub(crate) fn add(&self) {
        self.count().tell();
    }

    /// The first half of [`Self::add`], which runs nobody else's code.
    pub(crate) fn count(&self) -> Untold<'_> {
        self.own.fetch_add(1, Relaxed);
        Untold(self)
    }

    fn get(&self) -> u64 {
        self.own.load(Relaxed)
    }
}

/// Something that was counted, and that the recorder does not know of yet.
#[must_use]
pub(crate) struct Untold<'a>(&'a Count);

impl Untold<'_> {
    pub(crate) fn tell(self) {
        tell(|| self.0.metric.increment(1));
    }
}

/// A duration that is measured again and again, in seconds for the recorder.
pub(crate) struct Times {
    count: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
    metric: Histogram,
}

impl Times {
    fn new(name: &'static str, labels: &[Label]) -> Self {
        Self {
            count: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            metric: metrics::histogram!(name, labels.iter()),
        }
    }

    pub(crate) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
        self.longest.fetch_max(nanos, Relaxed);
        tell(|| self.metric.record(time));
    }

    fn mean(&self) -> Duration {
        let count = self.count.load(Relaxed).max(1);
        Duration::from_nanos(self.nanos.load(Relaxed) / count)
    }

    fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Relaxed))
    }
}

/// What is counted for a key.
pub(crate) struct KeyMeter {
    pub(crate) requests: Count,
    pub(crate) rejected: Count,
    pub(crate) cancelled: Count,
    pub(crate) expired: Count,
    pub(crate) failed: Count,
    pub(crate) fallback: Count,
    pub(crate) wait: Times,
    queued: Gauge,
}

impl KeyMeter {
    pub(crate) fn new(key: &str) -> Self {
        let labels = [Label::new("key", key.to_owned())];
        Self {
            requests: Count::new("pkcs11_requests_total", &labels),
            rejected: Count::new("pkcs11_rejected_total", &labels),
            cancelled: Count::new("pkcs11_cancelled_total", &labels),
            expired: Count::new("pkcs11_deadline_exceeded_total", &labels),
            failed: Count::new("pkcs11_failed_total", &labels),
            fallback: Count::new("pkcs11_fallback_total", &labels),
            wait: Times::new("pkcs11_queue_wait_seconds", &labels),
            queued: metrics::gauge!("pkcs11_queued", labels.iter()),
        }
    }

    pub(crate) fn publish(&self, queued: usize) {
        tell(|| self.queued.set(queued as f64));
    }
}

/// What is counted for a key in one token.
pub(crate) struct PlaceMeter {
    labels: Vec<Label>,
    pub(crate) done: Count,
    pub(crate) retried: Count,
    pub(crate) wrong: Count,
    pub(crate) opened: Count,
    pub(crate) sessions_now: AtomicU64,
    pub(crate) reinitialized: Count,
    pub(crate) abandoned: Count,
    pub(crate) hedged: Count,
    pub(crate) outages: Count,
    pub(crate) token_time: Times,
    in_flight: Gauge,
    sessions: Gauge,
    width: Gauge,
    hanging: Gauge,
    up: Gauge,
    codes: Mutex<BTreeMap<Code, u64>>,
}

impl PlaceMeter {
    pub(crate) fn new(key: &str, place: &str) -> Self {
        let labels = vec![
            Label::new("key", key.to_owned()),
            Label::new("token", place.to_owned()),
        ];
        Self {
            done: Count::new("pkcs11_operations_total", &labels),
            retried: Count::new("pkcs11_retries_total", &labels),
            wrong: Count::new("pkcs11_wrong_signatures_total", &labels),
            opened: Count::new("pkcs11_sessions_opened_total", &labels),
            sessions_now: AtomicU64::new(0),
            reinitialized: Count::new("pkcs11_reinitializations_total", &labels),
            abandoned: Count::new("pkcs11_abandoned_threads_total", &labels),
            hedged: Count::new("pkcs11_hedged_total", &labels),
            outages: Count::new("pkcs11_outages_total", &labels),
            token_time: Times::new("pkcs11_token_seconds", &labels),
            in_flight: metrics::gauge!("pkcs11_in_flight", labels.iter()),
            sessions: metrics::gauge!("pkcs11_sessions", labels.iter()),
            width: metrics::gauge!("pkcs11_width", labels.iter()),
            hanging: metrics::gauge!("pkcs11_hanging", labels.iter()),
            up: metrics::gauge!("pkcs11_up", labels.iter()),
            codes: Mutex::default(),
            labels,
        }
    }

    /// Counts a return code. Errors are rare, so the recorder is asked each time.
    pub(crate) fn code(&self, code: Code) {
        *lock(&self.codes).entry(code).or_default() += 1;
        let mut labels = self.labels.clone();
        labels.push(Label::new("code", code.to_string()));
        tell(|| metrics::counter!("pkcs11_errors_total", labels).increment(1));
    }
}

/// What has happened to a key since it was opened. `Display` writes a few lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that were taken.
    pub requests: u64,
    /// Requests that were refused at once: the queue was full, or no token answered.
    pub rejected: u64,
    /// Requests whose owner gave them up.
    pub cancelled: u64,
    /// Requests that were not done at their deadline.
    pub expired: u64,
    /// Requests that were taken and ended in an error before their deadline.
    pub failed: u64,
    /// Requests that the fallback key got: of those that were rejected, expired or failed.
    pub fallback: u64,
    /// Requests that wait for a session now.
    pub queued: usize,
    /// How long requests waited for a session, on average.
    pub mean_wait: Duration,
    /// The longest that one waited.
    pub longest_wait: Duration,
    /// By token, in the order of the builder.
    pub places: Vec<PlaceStats>,
}

/// What has happened to a key in one token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlaceStats {
    /// The token, as a URI.
    pub token: String,
    /// Whether it is being used; false while it does not answer.
    pub up: bool,
    /// Requests that the token did.
    pub done: u64,
    /// Requests that were given back to the queue after an error.
    pub retried: u64,
    /// Signatures that did not verify, and went nowhere.
    pub wrong: u64,
    /// Requests inside the token now.
    pub in_flight: usize,
    /// How many there may be inside now.
    pub width: usize,
    /// Sessions open now.
    pub sessions: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Signing threads now, those given up not counted.
    pub threads: usize,
    /// Threads that were given up because a call did not return.
    pub abandoned: u64,
    /// Threads that are inside for too long now: those of the given up that have not come
    /// back, and any that hang while they close their session.
    pub hanging: usize,
    /// Times that the module was initialised again.
    pub reinitialized: u64,
    /// Times that the token did not answer.
    pub outages: u64,
    /// Requests that another token got too, because this one took long.
    pub hedged: u64,
    /// How long the token took for a request, verification included, on average.
    pub mean_token_time: Duration,
    /// The longest that it took.
    pub longest_token_time: Duration,
    /// How often each return code came.
    pub codes: BTreeMap<Code, u64>,
}

/// What only the queue knows of a place.
#[derive(Default)]
pub(crate) struct Now {
    pub(crate) up: bool,
    pub(crate) in_flight: usize,
    pub(crate) width: usize,
    pub(crate) threads: usize,
    pub(crate) hanging: usize,
}

impl KeyMeter {
    pub(crate) fn stats(&self, queued: usize, places: Vec<PlaceStats>) -> Stats {
        Stats {
            requests: self.requests.get(),
            rejected: self.rejected.get(),
            cancelled: self.cancelled.get(),
            expired: self.expired.get(),
            failed: self.failed.get(),
            fallback: self.fallback.get(),
            queued,
            mean_wait: self.wait.mean(),
            longest_wait: self.wait.longest(),
            places,
        }
    }
}

impl PlaceMeter {
    /// `now` is none in a forked child, where a lock may be held for ever.
    pub(crate) fn stats(&self, token: String, now: Option<Now>) -> PlaceStats {
        let codes = match now {
            Some(_) => lock(&self.codes).clone(),
            None => BTreeMap::new(),
        };
        let now = now.unwrap_or_default();
        PlaceStats {
            token,
            up: now.up,
            done: self.done.get(),
            retried: self.retried.get(),
            wrong: self.wrong.get(),
            in_flight: now.in_flight,
            width: now.width,
            sessions: self.sessions_now.load(Relaxed),
            sessions_opened: self.opened.get(),
            threads: now.threads,
            abandoned: self.abandoned.get(),
            hanging: now.hanging,
            reinitialized: self.reinitialized.get(),
            outages: self.outages.get(),
            hedged: self.hedged.get(),
            mean_token_time: self.token_time.mean(),
            longest_token_time: self.token_time.longest(),
            codes,
        }
    }

    pub(crate) fn publish(&self, now: &Now) {
        tell(|| self.set(now));
    }

    fn set(&self, now: &Now) {
        self.in_flight.set(now.in_flight as f64);
        self.sessions.set(self.sessions_now.load(Relaxed) as f64);
        self.width.set(now.width as f64);
        self.hanging.set(now.hanging as f64);
        self.up.set(if now.up { 1.0 } else { 0.0 });
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "requests {}, queued {}, rejected {}, cancelled {}, expired {}, failed {}, \
             fallback {}; \
             waited {:.1?} on average, {:.1?} at most",
            self.requests,
            self.queued,
            self.rejected,
            self.cancelled,
            self.expired,
            self.failed,
            self.fallback,
            self.mean_wait,
            self.longest_wait,
        )?;
        for place in &self.places {
            let state = if place.up { "up" } else { "DOWN" };
            write!(
                f,
                "{} {state}: done {}, in flight {} of {}, sessions {}, {:.1?} on average, {:.1?} \
                 at most; retried {}, wrong {}, reinitialised {}, outages {}, hanging {}",
                place.token,
                place.done,
                place.in_flight,
                place.width,
                place.sessions,
                place.mean_token_time,
                place.longest_token_time,
                place.retried,
                place.wrong,
                place.reinitialized,
                place.outages,
                place.hanging,
            )?;
            for (code, count) in &place.codes {
                write!(f, ", {code} {count}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metrics::{
        CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::*;

    /// A recorder that panics whatever it is told.
    struct Broken;

    impl CounterFn for Broken {
        fn increment(&self, _: u64) {
            panic!("a test's recorder");
        }

        fn absolute(&self, _: u64) {}
    }

    impl GaugeFn for Broken {
        fn increment(&self, _: f64) {}

        fn decrement(&self, _: f64) {}

        fn set(&self, _: f64) {
            panic!("a test's recorder");
        }
    }

    impl HistogramFn for Broken {
        fn record(&self, _: f64) {
            panic!("a test's recorder");
        }
    }

    impl Recorder for Broken {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(Arc::new(Self))
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Arc::new(Self))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::new(Self))
        }
    }

    #[test]
    fn a_recorder_that_panics_is_its_own_affair() {
        metrics::with_local_recorder(&Broken, || {
            let (key, place) = (KeyMeter::new("key"), PlaceMeter::new("key", "token"));
            key.requests.add();
            key.wait.add(Duration::from_millis(3));
            key.publish(5);
            place.publish(&Now::default());
            place.code(Code(0x30));
            let stats = place.stats("token".into(), Some(Now::default()));
            let stats = key.stats(5, vec![stats]);
            assert_eq!((stats.requests, stats.places[0].codes[&Code(0x30)]), (1, 1));
            assert_eq!(stats.longest_wait, Duration::from_millis(3));
        });
    }
}
