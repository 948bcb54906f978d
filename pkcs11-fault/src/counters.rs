//! What has happened so far.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use cryptoki_sys as ck;

use crate::{Code, Function, gate::lock, low, mechanism::Mechanism};

/// Calls by function, codes by function, and what callers did that the standard forbids.
#[derive(Debug)]
pub(crate) struct Counters {
    calls: Vec<AtomicU64>,
    /// What was answered except `CKR_OK`.
    codes: Mutex<BTreeMap<(Function, Code), u64>>,
    /// Calls by the name of the thread that made them.
    threads: Mutex<BTreeMap<String, u64>>,
    /// Signatures that were begun, by mechanism.
    mechanisms: Mutex<BTreeMap<Mechanism, u64>>,
    /// Calls of every kind, from their beginning to their end.
    pub(crate) inside: Gauge,
    /// Calls that occupy the token.
    pub(crate) executing: Gauge,
    /// Calls that wait until the token has a lane for them.
    pub(crate) waiting: Gauge,
    pub(crate) hanging: Gauge,
    pub(crate) violations: Violations,
}

/// A number that rises and falls, and the most that it was.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// One that a [`Gauge`] counts.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a Gauge);

/// What callers did that the standard forbids and that makes real modules crash or lie.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    /// `C_Finalize` while other threads were in calls (PKCS#11 3.1, section 5.4.2).
    pub(crate) finalize_during_call: AtomicU64,
    /// One session used by two threads at once (section 5.6).
    pub(crate) session_shared: AtomicU64,
    /// A session handle of an earlier `C_Initialize`; known with unique handles only.
    pub(crate) stale_handle: AtomicU64,
    /// A login after the token said that the last try is left.
    pub(crate) login_at_final_try: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            calls: (0..Function::COUNT).map(|_| AtomicU64::new(0)).collect(),
            codes: Mutex::default(),
            threads: Mutex::default(),
            mechanisms: Mutex::default(),
            inside: Gauge::default(),
            executing: Gauge::default(),
            waiting: Gauge::default(),
            hanging: Gauge::default(),
            violations: Violations::default(),
        }
    }
}

impl Counters {
    pub(crate) fn call(&self, function: Function) {
        self.calls[function as usize].fetch_add(1, Relaxed);
        let mut threads = lock(&self.threads);
        let name = low::thread_name();
        match threads.get_mut(name.as_str()) {
            Some(count) => *count += 1,
            None => drop(threads.insert(name, 1)),
        }
    }

    pub(crate) fn code(&self, function: Function, code: ck::CK_RV) {
        if code != ck::CKR_OK {
            *lock(&self.codes).entry((function, Code(code))).or_default() += 1;
        }
    }

    /// A signature has begun.
    pub(crate) fn begun(&self, mechanism: ck::CK_MECHANISM_TYPE) {
        let mut mechanisms = lock(&self.mechanisms);
        *mechanisms.entry(Mechanism(mechanism)).or_default() += 1;
    }

    /// One line for each counter: what, of what, how many.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for function in Function::all() {
            let calls = self.calls[function as usize].load(Relaxed);
            if calls > 0 {
                lines.push(format!("calls {function} {calls}"));
            }
        }
        for ((function, code), count) in &*lock(&self.codes) {
            lines.push(format!("code {function} {code} {count}"));
        }
        for (name, count) in &*lock(&self.threads) {
            lines.push(format!("thread {name} {count}"));
        }
        for (mechanism, count) in &*lock(&self.mechanisms) {
            lines.push(format!("mechanism {mechanism} {count}"));
        }
        for (name, gauge) in [
            ("inside", &self.inside),
            ("executing", &self.executing),
            ("waiting", &self.waiting),
            ("hanging", &self.hanging),
        ] {
            lines.push(format!("{name} now {}", gauge.now()));
            lines.push(format!("{name} most {}", gauge.most.load(Relaxed)));
        }
        for (name, counter) in self.violations.named() {
            lines.push(format!("violation {name} {}", counter.load(Relaxed)));
        }
        lines
    }

    /// Starts again from nothing; what goes on now still counts.
    pub(crate) fn reset(&self) {
        for counter in &self.calls {
            counter.store(0, Relaxed);
        }
        lock(&self.codes).clear();
        lock(&self.threads).clear();
        lock(&self.mechanisms).clear();
        for gauge in [&self.inside, &self.executing, &self.waiting, &self.hanging] {
            gauge.most.store(gauge.now(), Relaxed);
        }
        for (_, counter) in self.violations.named() {
            counter.store(0, Relaxed);
        }
    }
}

impl Gauge {
    pub(crate) fn enter(&self) -> Counted<'_> {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(now, Relaxed);
        Counted(self)
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Relaxed)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

impl Violations {
    pub(crate) fn count_login_at_final_try(&self) {
        self.login_at_final_try.fetch_add(1, Relaxed);
    }

    fn named(&self) -> [(&'static str, &AtomicU64); 4] {
        [
            ("finalize-during-call", &self.finalize_during_call),
            ("session-shared", &self.session_shared),
            ("stale-handle", &self.stale_handle),
            ("login-at-final-try", &self.login_at_final_try),
        ]
    }
}
