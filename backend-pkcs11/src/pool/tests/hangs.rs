//! Calls that do not return, or not soon.

use super::*;

#[test]
fn a_thread_that_hangs_is_replaced() {
    let bench = start(
        Settings {
            hang_limit: Duration::from_secs(1),
            ..settings()
        },
        1,
    );
    *lock(&bench.scripts[0].hold) = 1;
    let pending = bench.submit_inside(b"1");
    // The second thread does it, while the first is still inside.
    assert_eq!(wait(pending).unwrap(), b"1");
    let place = bench.stats().places.remove(0);
    assert_eq!((place.abandoned, place.hanging), (1, 1));
    assert!(place.up);
    bench.scripts[0].release();
    until(|| bench.stats().places[0].hanging == 0);
    assert_eq!(wait(bench.submit(b"2").unwrap()).unwrap(), b"2");
    bench.end();
}

#[test]
fn a_probe_that_hangs_is_replaced_though_nobody_waits() {
    let bench = start(
        Settings {
            hang_limit: Duration::from_secs(1),
            ..settings()
        },
        1,
    );
    let script = &bench.scripts[0];
    *lock(&script.hold) = 1;
    *lock(&script.hold_probes) = 2;
    lock(&script.failures).push_back(call(sys::CKR_DEVICE_ERROR));
    drop(bench.submit_inside(b"1"));
    *lock(&script.hold) = 0;
    script.released.notify_all();
    // Two threads hang in their probes, one after the other; the third finds it in order.
    until(|| {
        let place = bench.stats().places.remove(0);
        (place.abandoned, place.up) == (2, true)
    });
    bench.end();
}

#[test]
fn a_stall_that_ends_is_over_at_once() {
    let limit = Duration::from_secs(3);
    let settings = Settings {
        sessions: Sessions::Fixed(4),
        hang_limit: limit,
        ..settings()
    };
    let bench = start(settings, 1);
    // Also what another thread does again, while the last of the four is not given up yet: one
    // that was done meanwhile would tell that the token answers.
    *lock(&bench.scripts[0].hold) = usize::MAX;
    let held: Vec<_> = (0..4)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(40));
            bench.submit_inside(b"1")
        })
        .collect();
    until(|| bench.stats().places[0].abandoned >= 4);
    assert!(!bench.handle.pool.busy().up);
    std::thread::sleep(limit * 3 / 10);
    bench.scripts[0].release();
    let answers = Instant::now();
    assert_eq!(wait(bench.submit(b"2").unwrap()).unwrap(), b"2");
    // Left alone for as long again it would be most of the limit.
    let took = answers.elapsed();
    assert!(took < limit / 2, "{took:?}");
    for pending in held {
        assert_eq!(wait(pending).unwrap(), b"1");
    }
    until(|| bench.stats().places[0].hanging == 0);
    bench.end();
}
