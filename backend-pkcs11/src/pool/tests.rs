//! The queue and its threads, in front of a module that exists in the tests only.

mod checks;
mod hangs;
mod lost;
mod several;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crypto_api::PendingOp;
use cryptoki_sys as sys;

use super::*;
use crate::builder::Sessions;
use crate::code::{Code, Failure};
use crate::low::mock::{mock, state};
use crate::meter::PlaceMeter;
use crate::module::Module;
use crate::object::Look;
use crate::pin::{Credentials, Pin, PinError};
use crate::place::{Duty, Located, Seat};
use crate::shared::Shared;
use crate::token::Token;
use crate::uri::Uri;

const LONG: Duration = Duration::from_secs(60);

/// What the token does with requests.
#[derive(Default)]
struct Script {
    /// How many of the next requests are kept inside until they are released.
    hold: Mutex<usize>,
    /// The same for probes.
    hold_probes: Mutex<usize>,
    released: Condvar,
    probes_released: Condvar,
    /// How the next requests fail; later ones do not.
    failures: Mutex<VecDeque<Reason>>,
    /// How the next probes fail.
    probes: Mutex<VecDeque<Reason>>,
    /// How many of the next requests, and of the next probes, panic.
    panics: Mutex<usize>,
    probe_panics: Mutex<usize>,
    /// How many of the next probes panic with a [`Bomb`].
    probe_bombs: Mutex<usize>,
    inside: AtomicUsize,
    performed: AtomicUsize,
    checks: Checks,
}

/// What becomes of what the token made.
#[derive(Default)]
struct Checks {
    /// Whether it is checked at all.
    are_made: AtomicBool,
    /// How many of the next are kept until they are released.
    hold: Mutex<usize>,
    released: Condvar,
    inside: AtomicUsize,
    /// How many of the next find it wrong, and how many of those after them panic.
    wrong: Mutex<usize>,
    panics: Mutex<usize>,
    /// The same with a [`Bomb`].
    bombs: Mutex<usize>,
}

impl Script {
    fn release(&self) {
        self.release_requests();
        *lock(&self.hold_probes) = 0;
        self.probes_released.notify_all();
    }

    fn release_requests(&self) {
        *lock(&self.hold) = 0;
        self.released.notify_all();
    }
}

/// Panics, if it is one of those that should.
fn fall(panics: &Mutex<usize>) {
    let mut left = lock(panics);
    if *left > 0 {
        *left -= 1;
        drop(left);
        panic!("a test's token panics");
    }
}

/// What a panic carries that ends the thread which has caught it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("what a test's panic carries");
    }
}

/// Panics with it, if it is one of those that should.
fn burst(bombs: &Mutex<usize>) {
    let mut left = lock(bombs);
    if *left > 0 {
        *left -= 1;
        drop(left);
        std::panic::panic_any(Bomb);
    }
}

struct Scripted(Arc<Script>);

impl Duty for Scripted {
    fn locate(&self, _: &Look<'_>) -> Result<Located, Reason> {
        let (key, public) = (1, None);
        Ok(Located { key, public })
    }

    fn perform(
        &self,
        _: &Seat<'_>,
        _: usize,
        data: &[u8],
        _: &mut [u8],
    ) -> Result<Vec<u8>, Reason> {
        let script = &self.0;
        script.inside.fetch_add(1, SeqCst);
        stay(&script.hold, &script.released);
        script.inside.fetch_sub(1, SeqCst);
        script.performed.fetch_add(1, SeqCst);
        fall(&script.panics);
        match lock(&script.failures).pop_front() {
            Some(reason) => Err(reason),
            None => Ok(data.to_vec()),
        }
    }

    fn is_checked(&self, _: usize) -> bool {
        self.0.checks.are_made.load(SeqCst)
    }

    fn check(&self, _: usize, data: &[u8], output: &[u8]) -> Result<(), Reason> {
        assert_eq!(data, output);
        let checks = &self.0.checks;
        checks.inside.fetch_add(1, SeqCst);
        stay(&checks.hold, &checks.released);
        checks.inside.fetch_sub(1, SeqCst);
        let mut wrong = lock(&checks.wrong);
        if *wrong > 0 {
            *wrong -= 1;
            return Err(Reason::WrongSignature);
        }
        drop(wrong);
        fall(&checks.panics);
        burst(&checks.bombs);
        Ok(())
    }

    fn probe(&self, _: &Seat<'_>, _: &mut [u8]) -> Result<(), Reason> {
        stay(&self.0.hold_probes, &self.0.probes_released);
        fall(&self.0.probe_panics);
        burst(&self.0.probe_bombs);
        match lock(&self.0.probes).pop_front() {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }
}

/// Stays inside if it is one of those that are held, until everybody is released.
fn stay(hold: &Mutex<usize>, released: &Condvar) {
    let mut hold = lock(hold);
    if *hold > 0 {
        *hold -= 1;
        let mut held = true;
        while held {
            hold = released.wait(hold).unwrap();
            held = *hold > 0;
        }
    }
}

struct Bench {
    handle: Arc<Handle>,
    scripts: Vec<Arc<Script>>,
    _turn: MutexGuard<'static, ()>,
}

fn settings() -> Settings {
    Settings {
        sessions: Sessions::Fixed(1),
        verify: true,
        queue: 100,
        deadline: LONG,
        hang_limit: LONG,
        hedge_after: None,
        retry_interval: Duration::from_millis(1),
        open_timeout: LONG,
        reinitialize: true,
        reject_when_down: false,
        short_slices: false,
    }
}

fn start(settings: Settings, places: usize) -> Bench {
    let (turn, library) = mock();
    let module = Arc::new(Module::with_library(library, Path::new("mock"), None).unwrap());
    let entered = module.enter().unwrap();
    let token = Token::find(&module, &entered, &Uri::default()).unwrap();
    drop(entered);
    let mut scripts = Vec::new();
    let places = (0..places).map(|at| {
        let script = Arc::new(Script::default());
        scripts.push(script.clone());
        Place {
            uri: format!("pkcs11:object={at}"),
            module: module.clone(),
            token: token.clone(),
            credentials: Credentials::new(
                Some(Pin::value("1234".to_owned())),
                Profile::standard(),
                LONG,
            ),
            duty: Box::new(Scripted(script)),
            meter: PlaceMeter::new("key", "token"),
            located: Shared::default(),
            fresh_start: Mutex::new(None),
        }
    });
    let places = places.collect();
    let meter = KeyMeter::new("key");
    let profile = Profile::standard();
    let handle = Pool::start(settings, profile, places, Vec::new(), meter, "sign").unwrap();
    Bench {
        handle,
        scripts,
        _turn: turn,
    }
}

impl Bench {
    fn submit(&self, data: &[u8]) -> Result<Pending, Error> {
        self.handle.pool.submit(&self.handle, 0, data)
    }

    /// Submits, and waits until it is inside.
    fn submit_inside(&self, data: &[u8]) -> Pending {
        let before = self.inside();
        let pending = self.submit(data).unwrap();
        until(|| self.inside() > before);
        pending
    }

    fn inside(&self) -> usize {
        let scripts = self.scripts.iter();
        scripts.map(|script| script.inside.load(SeqCst)).sum()
    }

    fn stats(&self) -> Stats {
        self.handle.pool.stats()
    }

    fn idle(&self) -> Vec<usize> {
        let queue = lock(&self.handle.pool.queue);
        queue.places.iter().map(|at| at.idle).collect()
    }

    /// Starts so many threads at each place, and waits until they have nothing to do.
    fn warm_up(&self, threads: usize) {
        let all = threads * self.scripts.len();
        for script in &self.scripts {
            *lock(&script.hold) = threads;
        }
        let pending: Vec<_> = (0..all).map(|_| self.submit(b"").unwrap()).collect();
        until(|| self.inside() == all);
        self.scripts.iter().for_each(|script| script.release());
        pending
            .into_iter()
            .for_each(|each| drop(wait(each).unwrap()));
        until(|| self.idle().iter().all(|idle| *idle == threads));
    }

    fn end(self) {
        let pool = self.handle.pool.clone();
        self.scripts.iter().for_each(|script| script.release());
        drop(self.handle);
        pool.wait_for_end();
        assert_eq!(lock(&pool.queue).threads, 0);
    }
}

fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("has not come true in ten seconds");
}

fn wait(mut pending: Pending) -> Result<Vec<u8>, Error> {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(outcome) = pending.poll(&mut cx) {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no outcome in ten seconds");
}

fn call(code: sys::CK_RV) -> Reason {
    Reason::Call(Failure {
        function: "C_Sign",
        code: Code::new(code),
    })
}

fn text(outcome: Result<Vec<u8>, Error>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a_full_queue_refuses_at_once() {
    let bench = start(
        Settings {
            queue: 2,
            ..settings()
        },
        1,
    );
    *lock(&bench.scripts[0].hold) = 1;
    let first = bench.submit_inside(b"1");
    let others = [bench.submit(b"2").unwrap(), bench.submit(b"3").unwrap()];
    let refused = bench.submit(b"4").err().unwrap();
    let expected = "backend pkcs11 is not available: pkcs11:object=0: 2 requests wait already";
    assert_eq!(refused.to_string(), expected);
    assert!(!bench.handle.pool.busy().room);
    bench.scripts[0].release();
    assert_eq!(wait(first).unwrap(), b"1");
    for (data, pending) in [b"2", b"3"].into_iter().zip(others) {
        assert_eq!(wait(pending).unwrap(), data);
    }
    let stats = bench.stats();
    assert_eq!((stats.requests, stats.rejected), (3, 1));
    bench.end();
}

#[test]
fn a_deadline_ends_what_waits_and_what_is_inside() {
    let bench = start(
        Settings {
            deadline: Duration::from_secs(1),
            ..settings()
        },
        1,
    );
    *lock(&bench.scripts[0].hold) = 1;
    let inside = bench.submit_inside(b"1");
    let waiting = bench.submit(b"2").unwrap();
    for pending in [waiting, inside] {
        let text = text(wait(pending));
        assert!(text.contains("not done within 1 s"), "{text}");
    }
    bench.scripts[0].release();
    // The thread is there for others.
    until(|| bench.idle() == [1]);
    // The one that waited never got to the token.
    assert_eq!(bench.scripts[0].performed.load(SeqCst), 1);
    assert_eq!((bench.stats().expired, bench.stats().failed), (2, 0));
    bench.end();
}

#[test]
fn what_nobody_wants_is_taken_out() {
    let bench = start(settings(), 1);
    *lock(&bench.scripts[0].hold) = 1;
    let inside = bench.submit_inside(b"1");
    let waiting: Vec<_> = (0..10).map(|_| bench.submit(b"2").unwrap()).collect();
    assert_eq!(bench.stats().queued, 10);
    drop(waiting);
    assert_eq!(bench.stats().queued, 0);
    drop(inside);
    assert_eq!(bench.stats().cancelled, 11);
    bench.scripts[0].release();
    assert_eq!(wait(bench.submit(b"3").unwrap()).unwrap(), b"3");
    assert_eq!(bench.scripts[0].performed.load(SeqCst), 2);
    bench.end();
}

#[test]
fn an_error_costs_the_session_and_a_second_try_succeeds() {
    let bench = start(settings(), 1);
    lock(&bench.scripts[0].failures).push_back(call(sys::CKR_OPERATION_ACTIVE));
    assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    // Handle 1 is the login's.
    assert_eq!(state().closed, [2]);
    let place = bench.stats().places.remove(0);
    assert_eq!((place.done, place.retried, place.outages), (1, 1, 0));
    assert_eq!(place.codes[&Code::new(sys::CKR_OPERATION_ACTIVE)], 1);
    bench.end();
}

#[test]
fn a_lost_token_is_probed_and_its_module_initialised_again() {
    let bench = start(settings(), 1);
    let lost = call(sys::CKR_DEVICE_ERROR);
    lock(&bench.scripts[0].failures).push_back(lost.clone());
    // Once before initialising again, and then some more until the token is back.
    *lock(&bench.scripts[0].probes) = vec![lost; 5].into();
    assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    let place = bench.stats().places.remove(0);
    assert_eq!((place.outages, place.retried), (1, 1));
    assert!(place.reinitialized >= 1, "{}", place.reinitialized);
    assert!(state().calls.contains(&"C_Finalize"));
    bench.end();
}

#[test]
fn a_token_that_merely_stumbles_keeps_its_sessions() {
    let bench = start(settings(), 1);
    lock(&bench.scripts[0].failures).push_back(call(sys::CKR_DEVICE_ERROR));
    assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    assert_eq!(bench.stats().places[0].reinitialized, 0);
    assert_eq!(bench.stats().places[0].outages, 1);
    bench.end();
}

#[test]
fn handles_of_an_earlier_generation_are_not_closed() {
    let bench = start(settings(), 1);
    assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    let place = &bench.handle.pool.places[0];
    let none = Duration::ZERO;
    assert_eq!(place.module.recover(1, none, LONG), Ok(true));
    assert_eq!(wait(bench.submit(b"2").unwrap()).unwrap(), b"2");
    // Sessions 1 and 2 were opened anew; closing "2" would have hit the new one.
    assert!(state().closed.is_empty());
    assert_eq!(bench.stats().places[0].sessions, 1);
    bench.end();
}

#[test]
fn what_the_caller_did_wrong_is_reported() {
    let bench = start(settings(), 1);
    let wrong = call(sys::CKR_KEY_FUNCTION_NOT_PERMITTED);
    lock(&bench.scripts[0].failures).push_back(wrong);
    let text = text(wait(bench.submit(b"1").unwrap()));
    let expected = "backend pkcs11 failed to sign: pkcs11:object=0: C_Sign returned \
                    CKR_KEY_FUNCTION_NOT_PERMITTED";
    assert_eq!(text, expected);
    assert_eq!(bench.stats().places[0].retried, 0);
    bench.end();
}

#[test]
fn a_request_is_not_tried_for_ever() {
    let bench = start(settings(), 1);
    let failures = vec![call(sys::CKR_FUNCTION_FAILED); 100];
    *lock(&bench.scripts[0].failures) = failures.into();
    let text = text(wait(bench.submit(b"1").unwrap()));
    assert!(text.contains("CKR_FUNCTION_FAILED"), "{text}");
    assert_eq!(bench.scripts[0].performed.load(SeqCst), 4);
    bench.end();
}

#[test]
fn a_busy_token_gets_less_at_once() {
    let settings = Settings {
        sessions: Sessions::Adaptive { min: 1, max: 64 },
        ..settings()
    };
    let bench = start(settings, 1);
    assert_eq!(bench.stats().places[0].width, 4);
    lock(&bench.scripts[0].failures).push_back(call(sys::CKR_SESSION_COUNT));
    assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    assert_eq!(bench.stats().places[0].width, 1);
    assert_eq!(bench.stats().places[0].outages, 0);
    bench.end();
}

fn refused() -> Reason {
    Reason::Pin(PinError::Refused(Code::new(sys::CKR_PIN_INCORRECT)))
}

fn latched() -> Reason {
    Reason::Pin(PinError::Latched(Code::new(sys::CKR_PIN_INCORRECT)))
}

#[test]
fn a_token_whose_pin_is_refused_is_down() {
    let bench = start(settings(), 1);
    let script = &bench.scripts[0];
    lock(&script.failures).push_back(refused());
    *lock(&script.probes) = vec![latched(); 1000].into();
    let text = text(wait(bench.submit(b"1").unwrap()));
    assert!(
        text.contains("not available") && text.contains("PIN"),
        "{text}"
    );
    until(|| bench.submit(b"2").is_err());
    let text = bench.submit(b"3").err().unwrap().to_string();
    assert!(text.contains("PIN"), "{text}");
    let stats = bench.stats();
    assert!(stats.failed >= 1 && stats.rejected >= 2, "{stats}");
    let place = &stats.places[0];
    assert!(!place.up);
    assert_eq!((place.outages, place.reinitialized), (1, 0));
    assert_eq!(place.codes[&Code::new(sys::CKR_PIN_INCORRECT)], 1);
    // Asked for now and then, and not in every moment.
    assert!(lock(&script.probes).len() > 900);
    lock(&script.probes).clear();
    until(|| bench.handle.pool.busy().up);
    assert_eq!(wait(bench.submit(b"4").unwrap()).unwrap(), b"4");
    bench.end();
}

/// Wakes nobody.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a test's waker");
    }
}

/// Has a request wake a waker that panics.
fn poll_badly(pending: &mut Pending) {
    let waker = Waker::from(Arc::new(Panicking));
    let polled = pending.poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
}

#[test]
fn what_panics_takes_nobody_along() {
    let bench = start(settings(), 1);
    let script = &bench.scripts[0];
    *lock(&script.panics) = 1;
    let text = text(wait(bench.submit(b"1").unwrap()));
    assert!(text.contains("has panicked"), "{text}");
    assert_eq!(wait(bench.submit(b"2").unwrap()).unwrap(), b"2");
    // In the middle of an attempt too.
    *lock(&script.probe_panics) = 1;
    lock(&script.failures).push_back(call(sys::CKR_DEVICE_ERROR));
    assert_eq!(wait(bench.submit(b"3").unwrap()).unwrap(), b"3");
    // A waker, on the thread that signs.
    *lock(&script.hold) = 1;
    let mut pending = bench.submit_inside(b"4");
    poll_badly(&mut pending);
    script.release();
    assert_eq!(wait(pending).unwrap(), b"4");
    assert_eq!(wait(bench.submit(b"5").unwrap()).unwrap(), b"5");
    until(|| bench.idle() == [1]);
    let stats = bench.stats();
    let place = &stats.places[0];
    assert_eq!((place.in_flight, place.threads, place.hanging), (0, 1, 0));
    // All of them but the first.
    assert_eq!((place.done, stats.failed), (4, 1), "{stats}");
    // The session of the one that panicked was closed.
    assert_eq!(place.sessions, 1);
    bench.end();
}

#[test]
fn what_a_thread_leaves_when_it_ends_another_takes_up() {
    let settings = Settings {
        sessions: Sessions::Fixed(2),
        ..settings()
    };
    let bench = start(settings, 1);
    bench.warm_up(2);
    let script = &bench.scripts[0];
    *lock(&script.hold_probes) = 1;
    *lock(&script.probe_bombs) = 1;
    lock(&script.failures).push_back(call(sys::CKR_DEVICE_ERROR));
    let pending = bench.submit(b"1").unwrap();
    until(|| bench.stats().places[0].outages == 1 && bench.idle() == [1]);
    // The other has looked, and waits for whoever tries the token.
    std::thread::sleep(Duration::from_millis(50));
    script.release();
    assert_eq!(wait(pending).unwrap(), b"1");
    bench.end();
}

#[test]
fn deadlines_are_kept_whatever_wakers_do() {
    let settings = Settings {
        deadline: Duration::from_secs(1),
        ..settings()
    };
    let bench = start(settings, 1);
    *lock(&bench.scripts[0].hold) = 1;
    let mut inside = bench.submit_inside(b"1");
    let mut waiting = bench.submit(b"2").unwrap();
    let last = bench.submit(b"3").unwrap();
    poll_badly(&mut inside);
    poll_badly(&mut waiting);
    for pending in [last, waiting, inside] {
        assert!(text(wait(pending)).contains("not done within 1 s"));
    }
    let later = bench.submit(b"4").unwrap();
    assert!(text(wait(later)).contains("not done within 1 s"));
    bench.end();
}

#[test]
fn an_end_is_not_waited_for_without_end() {
    let settings = Settings {
        hang_limit: Duration::from_millis(200),
        ..settings()
    };
    let bench = start(settings, 1);
    // The thread that watches may be held up by a module, as it is by this lock.
    let start = Instant::now();
    let pool = bench.handle.pool.clone();
    let queue = lock(&pool.queue);
    pool.wait_for_end();
    let took = start.elapsed();
    drop(queue);
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    bench.end();
}

#[test]
fn closing_ends_what_waits() {
    let bench = start(settings(), 1);
    *lock(&bench.scripts[0].hold) = 1;
    let inside = bench.submit_inside(b"1");
    let waiting = bench.submit(b"2").unwrap();
    bench.handle.pool.close();
    assert!(text(wait(waiting)).contains("the key was closed"));
    bench.scripts[0].release();
    assert_eq!(wait(inside).unwrap(), b"1");
    bench.end();
}
