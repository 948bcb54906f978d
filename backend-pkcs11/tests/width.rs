//! How good the width is that the backend finds by itself. That it is near the token's
//! capacity is seen everywhere; how near the best throughput is measured by hand, on a
//! machine that has nothing else to do:
//!
//! ```sh
//! cargo test -p backend-pkcs11 --test width -- --ignored --nocapture
//! ```

mod common;

use std::time::{Duration, Instant};

use backend_pkcs11::Sessions;
use common::{Bench, bench, eventually};
use crypto_api::SignatureScheme;
use test_tokens::Key;

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;

/// Signatures a second, once the width has settled; and the width.
fn throughput(bench: &Bench, sessions: Sessions) -> (f64, usize) {
    let key = bench.builder(Key::P256).sessions(sessions).open().unwrap();
    let mut rate = 0.0;
    let tally = bench.load(&key, ECDSA, 40, || {
        std::thread::sleep(Duration::from_secs(3));
        let (start, before) = (Instant::now(), key.stats().places[0].done);
        std::thread::sleep(Duration::from_secs(4));
        let done = key.stats().places[0].done - before;
        rate = done as f64 / start.elapsed().as_secs_f64();
    });
    assert!(tally.errors.is_empty(), "{tally:?}");
    let width = key.stats().places[0].width;
    println!("{sessions:?}: {rate:.0} signatures a second, width {width}");
    key.close();
    (rate, width)
}

#[test]
#[ignore = "measures throughput"]
fn the_width_that_is_found_is_nearly_the_best() {
    let test = "the_width_that_is_found_is_nearly_the_best";
    // A token that works on six at once, 10 ms each: 600 a second, with six sessions or more.
    let script = "capacity = 6\n[[rule]]\nname = 'slow'\nfunctions = ['C_Sign']\nlatency_ms = 10";
    bench(test, &[Key::P256], script, |bench| {
        let fixed = [3, 6, 8, 16, 32].map(|n| throughput(&bench, Sessions::Fixed(n)).0);
        let best = fixed.into_iter().fold(0.0, f64::max);
        let (found, width) = throughput(&bench, Sessions::Adaptive { min: 1, max: 32 });
        assert!(found >= 0.9 * best, "{found:.0} of {best:.0}");
        assert!((5..=12).contains(&width), "{width}");
    });
}

#[test]
fn the_width_is_near_the_capacity() {
    // Ten at once, 20 ms each: little work, so that a busy machine can do it.
    let script = "capacity = 10\n[[rule]]\nname = 'slow'\nfunctions = ['C_Sign']\nlatency_ms = 20";
    bench(
        "the_width_is_near_the_capacity",
        &[Key::P256],
        script,
        |bench| {
            let sessions = Sessions::Adaptive { min: 1, max: 64 };
            let key = bench.builder(Key::P256).sessions(sessions).open().unwrap();
            let width = || key.stats().places[0].width;
            let tally = bench.load(&key, ECDSA, 40, || {
                // It begins with four, and goes too far once to see that more is no better.
                eventually("it is wide enough", || width() >= 7);
                std::thread::sleep(Duration::from_secs(3));
                let mut seen = Vec::new();
                for _ in 0..40 {
                    seen.push(width());
                    std::thread::sleep(Duration::from_millis(50));
                }
                let good = seen
                    .iter()
                    .filter(|width| (7..=20).contains(*width))
                    .count();
                assert!(good >= 30, "{seen:?}");
            });
            assert!(tally.errors.is_empty(), "{tally:?}");
            key.close();
        },
    );
}
