//! Tokens that do not answer, and who waits for them.

use super::*;

#[test]
fn while_no_token_answers_requests_wait_or_are_refused() {
    for reject_when_down in [false, true] {
        let settings = Settings {
            reject_when_down,
            retry_interval: Duration::from_millis(20),
            ..settings()
        };
        let bench = start(settings, 1);
        let lost = call(sys::CKR_TOKEN_NOT_PRESENT);
        lock(&bench.scripts[0].failures).push_back(lost.clone());
        *lock(&bench.scripts[0].probes) = vec![lost; 100_000].into();
        let first = bench.submit(b"1").unwrap();
        until(|| !bench.handle.pool.busy().up);
        let second = bench.submit(b"2");
        if reject_when_down {
            // Also what was taken before it was known.
            for text in [text(wait(first)), second.err().unwrap().to_string()] {
                assert!(text.contains("no token answers"), "{text}");
            }
            let stats = bench.stats();
            assert_eq!((stats.failed, stats.rejected), (1, 1), "{stats}");
            lock(&bench.scripts[0].probes).clear();
            until(|| bench.handle.pool.busy().up);
        } else {
            lock(&bench.scripts[0].probes).clear();
            assert_eq!(wait(second.unwrap()).unwrap(), b"2");
            assert_eq!(wait(first).unwrap(), b"1");
        }
        bench.end();
    }
}

#[test]
fn what_comes_out_of_a_lost_token_late_does_not_wait_for_it() {
    let settings = Settings {
        sessions: Sessions::Fixed(2),
        reject_when_down: true,
        retry_interval: LONG,
        // It would wait for the one inside.
        reinitialize: false,
        ..settings()
    };
    let bench = start(settings, 1);
    bench.warm_up(2);
    let script = &bench.scripts[0];
    let lost = call(sys::CKR_DEVICE_REMOVED);
    *lock(&script.probes) = vec![lost.clone(); 100].into();
    *lock(&script.hold) = 1;
    let late = bench.submit_inside(b"1");
    lock(&script.failures).push_back(lost.clone());
    let first = bench.submit(b"2").unwrap();
    assert!(text(wait(first)).contains("no token answers"));
    lock(&script.failures).push_back(lost);
    script.release();
    assert!(text(wait(late)).contains("no token answers"));
    bench.end();
}

#[test]
fn nobody_waits_for_a_token_that_is_tried_without_a_pause() {
    let settings = Settings {
        reject_when_down: true,
        retry_interval: Duration::ZERO,
        ..settings()
    };
    let bench = start(settings, 1);
    let lost = call(sys::CKR_TOKEN_NOT_PRESENT);
    lock(&bench.scripts[0].failures).push_back(lost.clone());
    *lock(&bench.scripts[0].probes) = vec![lost; 1_000_000].into();
    let text = text(wait(bench.submit(b"1").unwrap()));
    assert!(text.contains("no token answers"), "{text}");
    lock(&bench.scripts[0].probes).clear();
    bench.end();
}
