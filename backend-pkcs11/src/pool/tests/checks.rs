//! What the token made is checked before anybody gets it, and keeps no session waiting.

use super::*;

/// A pool whose outcomes are checked, and whose threads that check have been started.
fn checked() -> Bench {
    checked_with(settings())
}

fn checked_with(settings: Settings) -> Bench {
    let bench = start(settings, 1);
    let script = &bench.scripts[0];
    script.checks.are_made.store(true, SeqCst);
    // One is inside and one waits, so that the thread that made the first would have leisure
    // for the second.
    until(|| {
        let pending = [b"a", b"b", b"c"].map(|data| bench.submit(data).unwrap());
        pending
            .into_iter()
            .for_each(|each| drop(wait(each).unwrap()));
        checkers(&bench) > 0
    });
    until(|| bench.idle() == [1]);
    bench
}

fn checkers(bench: &Bench) -> usize {
    lock(&bench.handle.pool.queue).checks.threads
}

fn release(bench: &Bench) {
    let checks = &bench.scripts[0].checks;
    *lock(&checks.hold) = 0;
    checks.released.notify_all();
}

fn is_pending(pending: &mut Pending) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    pending.poll(&mut cx).is_pending()
}

#[test]
fn a_wrong_signature_gets_one_more_chance() {
    let bench = start(settings(), 1);
    lock(&bench.scripts[0].failures).push_back(Reason::WrongSignature);
    assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    *lock(&bench.scripts[0].failures) = vec![Reason::WrongSignature; 2].into();
    let text = text(wait(bench.submit(b"2").unwrap()));
    assert!(text.contains("does not verify"), "{text}");
    assert_eq!(bench.stats().places[0].wrong, 3);
    bench.end();
}

#[test]
fn a_session_goes_on_while_what_it_made_is_checked() {
    let bench = checked();
    let script = &bench.scripts[0];
    let before = script.performed.load(SeqCst);
    *lock(&script.hold) = 1;
    let mut first = bench.submit_inside(b"1");
    let mut second = bench.submit(b"2").unwrap();
    *lock(&script.checks.hold) = 2;
    script.release_requests();
    // The only session makes the second while the first is being checked.
    until(|| script.checks.inside.load(SeqCst) == 2);
    assert_eq!(script.performed.load(SeqCst), before + 2);
    assert!(is_pending(&mut first) && is_pending(&mut second));
    assert_eq!(bench.stats().places[0].sessions, 1);
    release(&bench);
    assert_eq!(wait(first).unwrap(), b"1");
    assert_eq!(wait(second).unwrap(), b"2");
    bench.end();
}

#[test]
fn who_checks_leaves_room_for_one_that_waits() {
    let bench = start(
        Settings {
            sessions: Sessions::Adaptive { min: 1, max: 64 },
            ..settings()
        },
        1,
    );
    bench.warm_up(4);
    let script = &bench.scripts[0];
    // One may go in, and the others have nothing to do.
    lock(&script.failures).push_back(call(sys::CKR_SESSION_COUNT));
    wait(bench.submit(b"").unwrap()).unwrap();
    until(|| bench.stats().places[0].width == 1 && bench.idle() == [4]);
    script.checks.are_made.store(true, SeqCst);
    let before = script.performed.load(SeqCst);
    *lock(&script.hold) = 1;
    let first = bench.submit_inside(b"1");
    let second = bench.submit(b"2").unwrap();
    *lock(&script.checks.hold) = 2;
    script.release_requests();
    // There is no thread that only checks, so who made the first does.
    until(|| script.performed.load(SeqCst) == before + 2);
    release(&bench);
    assert_eq!(wait(first).unwrap(), b"1");
    assert_eq!(wait(second).unwrap(), b"2");
    bench.end();
}

#[test]
fn nobody_is_woken_to_check_when_nothing_waits() {
    let bench = start(settings(), 1);
    bench.scripts[0].checks.are_made.store(true, SeqCst);
    for _ in 0..20 {
        assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    }
    assert_eq!(checkers(&bench), 0);
    bench.end();
}

#[test]
fn threads_that_check_keep_only_so_much_waiting() {
    let bench = checked();
    let script = &bench.scripts[0];
    let threads = std::thread::available_parallelism().unwrap().get();
    // Each is held with one, so many wait for each, and the one that makes them has one.
    let all = threads * 5 + 1;
    *lock(&script.checks.hold) = usize::MAX;
    let before = script.performed.load(SeqCst);
    *lock(&script.hold) = 1;
    let mut pending = vec![bench.submit_inside(b"1")];
    pending.extend((0..all + 10).map(|_| bench.submit(b"1").unwrap()));
    script.release_requests();
    until(|| {
        // Not all of them may have been started before.
        let running = checkers(&bench);
        script.checks.inside.load(SeqCst) == running + 1
    });
    let made = script.performed.load(SeqCst) - before;
    assert!(made <= all, "{made}");
    release(&bench);
    for each in pending {
        assert_eq!(wait(each).unwrap(), b"1");
    }
    bench.end();
}

#[test]
fn what_is_found_wrong_is_made_again_with_another_session() {
    let bench = checked();
    let script = &bench.scripts[0];
    let opened = bench.stats().places[0].sessions_opened;
    *lock(&script.checks.wrong) = 1;
    // Whoever checks it: a thread of its own does while others wait.
    let pending = [b"1", b"2", b"3"].map(|data| bench.submit(data).unwrap());
    for (data, each) in [b"1", b"2", b"3"].into_iter().zip(pending) {
        assert_eq!(wait(each).unwrap(), data);
    }
    let place = &bench.stats().places[0];
    assert_eq!((place.wrong, place.retried), (1, 1));
    assert_eq!((place.sessions_opened, place.sessions), (opened + 1, 1));

    *lock(&script.checks.wrong) = 2;
    let text = text(wait(bench.submit(b"4").unwrap()));
    assert!(text.contains("does not verify"), "{text}");
    // Two are no reason to doubt the token.
    assert_eq!(bench.stats().places[0].outages, 0);
    bench.end();
}

#[test]
fn a_token_that_makes_nothing_right_is_tried() {
    let bench = checked();
    let script = &bench.scripts[0];
    *lock(&script.checks.wrong) = 3;
    lock(&script.probes).push_back(Reason::WrongSignature);
    for _ in 0..2 {
        // The third is the first of the second request, which gets another chance.
        drop(wait(bench.submit(b"1").unwrap()));
    }
    let place = &bench.stats().places[0];
    assert_eq!((place.wrong, place.outages), (3, 1));
    assert!(lock(&script.probes).is_empty());
    until(|| bench.stats().places[0].up);
    bench.end();
}

#[test]
fn a_token_found_to_lie_ends_what_it_lied_to() {
    let bench = checked();
    let script = &bench.scripts[0];
    *lock(&script.checks.wrong) = usize::MAX;
    *lock(&script.probes) = vec![Reason::WrongSignature; 1_000_000].into();
    for _ in 0..2 {
        // The first outcome of the second request is the third in a row that is wrong: the
        // token is tried, and that is what the request has for its second.
        let text = text(wait(bench.submit(b"1").unwrap()));
        assert!(text.contains("does not verify"), "{text}");
    }
    bench.end();
}

/// Looks, when it is woken, at how many failures in a row are known, and what is under check.
struct Look {
    pool: Arc<Pool>,
    seen: Mutex<Option<(u32, usize)>>,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        let queue = lock(&self.pool.queue);
        let under_way = queue.checks.under_way.len();
        *lock(&self.seen) = Some((queue.places[0].failures, under_way));
    }
}

#[test]
fn failures_are_forgotten_before_anybody_has_what_is_right() {
    let bench = checked();
    let script = &bench.scripts[0];
    *lock(&script.checks.wrong) = 2;
    assert!(wait(bench.submit(b"1").unwrap()).is_err());
    let look = Arc::new(Look {
        pool: bench.handle.pool.clone(),
        seen: Mutex::default(),
    });
    *lock(&script.hold) = 1;
    let mut pending = bench.submit_inside(b"2");
    let waker = Waker::from(look.clone());
    assert!(pending.poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(lock(&bench.handle.pool.queue).places[0].failures, 2);
    script.release_requests();
    until(|| lock(&look.seen).is_some());
    assert_eq!(*lock(&look.seen), Some((0, 0)));
    assert_eq!(wait(pending).unwrap(), b"2");
    bench.end();
}

#[test]
fn a_check_that_panics_fails_one_request() {
    let bench = checked();
    let script = &bench.scripts[0];
    *lock(&script.checks.panics) = 1;
    let pending = [b"1", b"2"].map(|data| bench.submit(data).unwrap());
    let outcomes = pending.map(wait);
    assert_eq!(outcomes.iter().filter(|each| each.is_err()).count(), 1);
    assert_eq!(wait(bench.submit(b"3").unwrap()).unwrap(), b"3");
    assert!(checkers(&bench) > 0);
    bench.end();
}

#[test]
fn what_waits_for_threads_that_check_and_end_is_checked() {
    let bench = checked();
    let script = &bench.scripts[0];
    *lock(&script.checks.hold) = usize::MAX;
    *lock(&script.hold) = 1;
    let mut pending = vec![bench.submit_inside(b"1")];
    let more = checkers(&bench) + 3;
    pending.extend((0..more).map(|_| bench.submit(b"1").unwrap()));
    script.release_requests();
    // Each of them has one, the thread that made them has the last, and the others wait.
    until(|| {
        let all = lock(&bench.handle.pool.queue).checks.under_way.len() == 1 + more;
        all && script.checks.inside.load(SeqCst) == checkers(&bench) + 1
    });
    let held = script.checks.inside.load(SeqCst);
    assert!(held < 1 + more);
    *lock(&script.checks.bombs) = held;
    release(&bench);
    let outcomes = pending.into_iter().map(wait);
    assert_eq!(outcomes.filter(Result::is_err).count(), held);
    bench.end();
}

#[test]
fn what_is_being_checked_when_the_key_is_closed_is_delivered() {
    let bench = checked();
    let script = &bench.scripts[0];
    *lock(&script.hold) = 1;
    let first = bench.submit_inside(b"1");
    let second = bench.submit(b"2").unwrap();
    *lock(&script.checks.hold) = 2;
    script.release_requests();
    until(|| script.checks.inside.load(SeqCst) == 2);
    bench.handle.pool.close();
    release(&bench);
    assert_eq!(wait(first).unwrap(), b"1");
    assert_eq!(wait(second).unwrap(), b"2");
    bench.end();
}

#[test]
fn a_deadline_ends_what_is_being_checked() {
    let bench = checked_with(Settings {
        deadline: Duration::from_secs(1),
        ..settings()
    });
    let script = &bench.scripts[0];
    *lock(&script.hold) = 1;
    *lock(&script.checks.hold) = 2;
    // One is checked by a thread of its own, the other by the one that made it.
    let pending = [bench.submit_inside(b"1"), bench.submit(b"2").unwrap()];
    script.release_requests();
    for each in pending {
        let text = text(wait(each));
        assert!(text.contains("not done within 1 s"), "{text}");
    }
    release(&bench);
    until(|| lock(&bench.handle.pool.queue).checks.under_way.is_empty());
    assert_eq!(bench.stats().expired, 2);
    bench.end();
}

#[test]
fn a_token_that_is_to_be_tried_is_not_down() {
    for _ in 0..50 {
        let bench = checked_with(Settings {
            reject_when_down: true,
            ..settings()
        });
        let script = &bench.scripts[0];
        *lock(&script.hold) = 1;
        *lock(&script.checks.wrong) = 3;
        let mut pending = vec![bench.submit_inside(b"1")];
        pending.extend((0..8).map(|_| bench.submit(b"1").unwrap()));
        script.release_requests();
        for each in pending {
            if let Err(error) = wait(each) {
                let text = error.to_string();
                assert!(text.contains("does not verify"), "{text}");
            }
        }
        bench.end();
    }
}
