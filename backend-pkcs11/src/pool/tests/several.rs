//! Several tokens behind one queue.

use super::*;

#[test]
fn another_token_takes_over() {
    let bench = start(settings(), 2);
    let lost = call(sys::CKR_DEVICE_REMOVED);
    for script in &bench.scripts[..1] {
        *lock(&script.failures) = vec![lost.clone(); 1000].into();
        *lock(&script.probes) = vec![lost.clone(); 100_000].into();
    }
    for n in 0..50u8 {
        assert_eq!(wait(bench.submit(&[n]).unwrap()).unwrap(), [n]);
    }
    let stats = bench.stats();
    assert_eq!(stats.places[1].done, 50, "{stats}");
    assert!(bench.handle.pool.busy().up);
    bench.end();
}

#[test]
fn what_takes_long_goes_to_another_token_too() {
    let settings = Settings {
        hedge_after: Some(Duration::from_millis(500)),
        ..settings()
    };
    let bench = start(settings, 2);
    bench
        .scripts
        .iter()
        .for_each(|script| *lock(&script.hold) = 1);
    let first = bench.submit_inside(b"1");
    let at = usize::from(bench.scripts[1].inside.load(SeqCst) == 1);
    // The other one is to answer.
    *lock(&bench.scripts[1 - at].hold) = 0;
    assert_eq!(wait(first).unwrap(), b"1");
    assert_eq!(bench.stats().places[at].hedged, 1);
    assert_eq!(bench.inside(), 1);
    bench.scripts[at].release();
    bench.end();
}

#[test]
fn what_failed_at_one_token_wakes_the_other() {
    let settings = Settings {
        sessions: Sessions::Fixed(2),
        ..settings()
    };
    let bench = start(settings, 2);
    bench.warm_up(2);
    let done = bench.scripts[0].performed.load(SeqCst);
    // The second is asked first if both have the same room, and has an idle thread still.
    lock(&bench.scripts[1].failures).push_back(call(sys::CKR_FUNCTION_FAILED));
    assert_eq!(wait(bench.submit(b"1").unwrap()).unwrap(), b"1");
    assert_eq!(bench.stats().places[1].retried, 1);
    assert_eq!(bench.scripts[0].performed.load(SeqCst), done + 1);
    bench.end();
}

#[test]
fn what_waited_for_one_token_goes_to_the_other_when_it_is_lost() {
    let settings = Settings {
        sessions: Sessions::Fixed(2),
        ..settings()
    };
    let bench = start(settings, 2);
    bench.warm_up(2);
    let [first, second] = &bench.scripts[..] else {
        panic!("two");
    };
    // The first token is full, the second has nothing to do.
    for script in [first, second] {
        *lock(&script.hold) = 2;
    }
    let mut held: Vec<_> = (0..4).map(|_| bench.submit(b"").unwrap()).collect();
    until(|| bench.inside() == 4);
    second.release();
    until(|| bench.idle() == [0, 2]);
    // This one has been at the second, and waits for the first.
    lock(&second.failures).push_back(call(sys::CKR_FUNCTION_FAILED));
    let pending = bench.submit(b"1").unwrap();
    until(|| bench.stats().places[1].retried == 1 && bench.idle() == [0, 2]);
    assert_eq!(bench.stats().queued, 1);
    // There nobody is left who would give a request back, and the one that tries it hangs.
    held.clear();
    *lock(&first.hold_probes) = 1;
    *lock(&first.failures) = vec![call(sys::CKR_DEVICE_ERROR); 2].into();
    first.release_requests();
    assert_eq!(wait(pending).unwrap(), b"1");
    assert!(!bench.stats().places[0].up);
    bench.end();
}

#[test]
fn a_token_that_needs_a_person_leaves_requests_to_one_that_comes_back() {
    let bench = start(settings(), 2);
    let lost = call(sys::CKR_DEVICE_REMOVED);
    let (locked, away) = (&bench.scripts[0], &bench.scripts[1]);
    *lock(&away.failures) = vec![lost.clone(); 1000].into();
    *lock(&away.probes) = vec![lost; 1_000_000].into();
    while bench.stats().places[1].up {
        wait(bench.submit(b"1").unwrap()).unwrap();
    }
    lock(&locked.failures).push_back(refused());
    *lock(&locked.probes) = vec![latched(); 1000].into();
    let pending = bench.submit(b"2").unwrap();
    until(|| !bench.handle.pool.busy().up && bench.stats().queued == 1);
    let later = bench.submit(b"3").unwrap();
    // Some more attempts, at either.
    let left = lock(&away.probes).len();
    until(|| lock(&away.probes).len() + 20 < left);
    assert_eq!(bench.stats().queued, 2);
    lock(&away.failures).clear();
    lock(&away.probes).clear();
    assert_eq!(wait(pending).unwrap(), b"2");
    assert_eq!(wait(later).unwrap(), b"3");
    assert_eq!(bench.stats().failed, 0);
    bench.end();
}
