//! What the backend makes of each fault of a token.

mod common;

use std::{
    fs,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use backend_pkcs11::{Load, Pkcs11Key, Profile, Reason, Sessions};
use common::{Faults, bench, eventually, most_threads, threads};
use crypto_api::{Error, Op, SignatureScheme as S, SigningKey};
use test_tokens::Key;

const P256: &[Key] = &[Key::P256];
const ECDSA: S = S::ECDSA_SECP256R1_SHA256;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Sleeps until the operation is ready: the signing threads need the processor.
fn wait(op: Op<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let mut pending = match op {
        Op::Ready(outcome) => return outcome,
        Op::Pending(pending) => pending,
    };
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(outcome) = pending.poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        thread::park();
    }
}

#[test]
fn no_call_runs_on_the_callers_thread_and_no_lookup_on_the_signing_path() {
    let test = "no_call_runs_on_the_callers_thread_and_no_lookup_on_the_signing_path";
    let script = "[[rule]]\nname = 'slow'\nfunctions = ['C_FindObjects*']\nlatency_ms = 20";
    bench(test, P256, script, |bench| {
        let key = bench
            .builder(Key::P256)
            .sessions(Sessions::Fixed(2))
            .open()
            .unwrap();
        let mut faults = bench.control();
        bench.sign(&key, ECDSA).unwrap();
        let lookups = |faults: &mut Faults| faults.count("calls C_FindObjectsInit");
        let before = lookups(&mut faults);
        let tally = bench.load(&key, ECDSA, 4, || faults.reaches("calls C_Sign", 300));
        assert!(tally.errors.is_empty(), "{tally:?}");
        // Each session may look once, not each signature.
        assert!(lookups(&mut faults) <= before + 1, "{before}");
        key.close();
        let stats = faults.stats();
        let callers: Vec<_> = stats
            .iter()
            .filter(|(name, _)| name.starts_with("thread ") && !name.contains("pkcs11"))
            .collect();
        assert!(callers.is_empty(), "{callers:?}");
        assert_eq!(stats.violations(), 0);
        assert_eq!(stats.get("sessions open"), 0);
    });
}

#[test]
fn a_wrong_signature_never_leaves() {
    let keys = [Key::P256, Key::Rsa2048, Key::Ed25519];
    bench(
        "a_wrong_signature_never_leaves",
        &keys,
        "seed = 3",
        |bench| {
            for (name, scheme) in [
                (Key::P256, ECDSA),
                (Key::Ed25519, S::ED25519),
                (Key::Rsa2048, S::RSA_PSS_RSAE_SHA256),
            ] {
                let key = bench
                    .builder(name)
                    .sessions(Sessions::Fixed(2))
                    .open()
                    .unwrap();
                let mut faults = bench.control();
                for fault in ["flip", "truncate", "other-key"] {
                    faults.say(&format!(
                        "rule {{name='liar', functions=['C_Sign'], signature='{fault}', \
                     when={{every=3}}}}"
                    ));
                    // The load itself panics at a wrong signature.
                    let tally = bench.load(&key, scheme, 2, || faults.reaches("rule liar", 20));
                    assert!(tally.good > 0, "{fault} {tally:?}");
                    faults.say("clear");
                }
                assert!(key.stats().places[0].wrong >= 60, "{}", key.stats());
                // When every signature is wrong, the request fails and says so.
                faults.say("rule {name='liar', functions=['C_Sign'], signature='flip'}");
                let error = bench.sign(&key, scheme).unwrap_err();
                let stats = key.stats();
                assert!(matches!(error, Error::Backend { .. }), "{error}\n{stats}");
                assert!(error.to_string().contains("does not verify"), "{error}");
                faults.say("clear");
                eventually("it signs again", || bench.sign(&key, scheme).is_ok());
                key.close();
            }
        },
    );
}

#[test]
fn a_session_is_not_used_after_an_error() {
    // The operation stays active, so the next call on the same session would fail too.
    let script = "[[rule]]\nname = 'lost'\nfunctions = ['C_Sign']\n\
                  codes = ['CKR_FUNCTION_FAILED', 'CKR_CANCEL']\nwhen = { after = 3, every = 5 }";
    bench(
        "a_session_is_not_used_after_an_error",
        P256,
        script,
        |bench| {
            let key = bench
                .builder(Key::P256)
                .sessions(Sessions::Fixed(2))
                .open()
                .unwrap();
            let mut faults = bench.control();
            let tally = bench.load(&key, ECDSA, 3, || faults.reaches("rule lost", 50));
            assert!(tally.errors.is_empty(), "{tally:?}");
            let stats = faults.stats();
            assert_eq!(stats.get("code C_SignInit CKR_OPERATION_ACTIVE"), 0);
            assert_eq!(stats.violations(), 0);
            let place = &key.stats().places[0];
            assert!(place.retried >= 50, "{place:?}");
            let counted: u64 = place.codes.values().sum();
            assert_eq!(
                counted,
                stats.get("code C_Sign CKR_FUNCTION_FAILED") + stats.get("code C_Sign CKR_CANCEL")
            );
            key.close();
            assert_eq!(faults.count("sessions open"), 0);
        },
    );
}

#[test]
fn fewer_sessions_than_threads_suffice() {
    bench(
        "fewer_sessions_than_threads_suffice",
        P256,
        "sessions = 3",
        |bench| {
            let key = bench
                .builder(Key::P256)
                .sessions(Sessions::Fixed(8))
                .open()
                .unwrap();
            let mut faults = bench.control();
            let tally = bench.load(&key, ECDSA, 8, || faults.reaches("calls C_Sign", 500));
            assert!(tally.errors.is_empty(), "{tally:?}\n{}", key.stats());
            assert!(faults.count("sessions open") <= 3);
            key.close();
        },
    );
}

#[test]
fn throttling_is_not_taken_for_a_failure() {
    let script = "[[rule]]\nname = 'busy'\nfunctions = ['C_Sign']\n\
                  codes = ['CKR_FUNCTION_FAILED']\nwhen = { after = 2, every = 5 }";
    bench(
        "throttling_is_not_taken_for_a_failure",
        P256,
        script,
        |bench| {
            let builder = bench.builder(Key::P256).profile(Profile::cloudhsm());
            let sessions = Sessions::Adaptive { min: 1, max: 16 };
            let key = builder.sessions(sessions).open().unwrap();
            let mut faults = bench.control();
            let tally = bench.load(&key, ECDSA, 4, || faults.reaches("rule busy", 20));
            let failed: u64 = tally.errors.values().sum();
            // One that is met by every fifth call four times in a row is told so.
            assert!(failed * 100 <= tally.good + 100, "{tally:?}");
            let place = &key.stats().places[0];
            assert_eq!((place.reinitialized, place.outages), (0, 0), "{place:?}");
            assert_eq!(faults.count("initialized times"), 1);
            key.close();
        },
    );
}

#[test]
fn a_call_that_hangs_costs_its_thread_and_no_request() {
    let test = "a_call_that_hangs_costs_its_thread_and_no_request";
    bench(test, P256, "", |bench| {
        let builder = bench.builder(Key::P256).sessions(Sessions::Fixed(2));
        let key = builder.hang_limit(Duration::from_secs(2)).open().unwrap();
        let mut faults = bench.control();
        bench.sign(&key, ECDSA).unwrap();
        faults.say("rule {name='stuck', functions=['C_Sign'], hang=true, when={times=1}}");
        // Done by another thread, on another session.
        bench.sign(&key, ECDSA).unwrap();
        let place = key.stats().places.remove(0);
        assert!(place.abandoned >= 1 && place.hanging >= 1, "{place:?}");
        assert_eq!(faults.count("hanging now"), 1);
        let tally = bench.load(&key, ECDSA, 2, || faults.reaches("calls C_Sign", 50));
        assert!(tally.errors.is_empty(), "{tally:?}");
        // The call comes back: its thread ends, and its result goes nowhere.
        faults.say("release");
        eventually("nothing hangs", || key.stats().places[0].hanging == 0);
        bench.sign(&key, ECDSA).unwrap();
        assert_eq!(faults.stats().violations(), 0);
        let before = threads();
        key.close();
        eventually("the threads end", || threads() < before);
        assert_eq!(faults.count("sessions open"), 0);
    });
}

#[test]
fn a_token_that_hangs_altogether_fails_requests_at_their_deadline() {
    let test = "a_token_that_hangs_altogether_fails_requests_at_their_deadline";
    bench(test, P256, "", |bench| {
        let builder = bench.builder(Key::P256).sessions(Sessions::Fixed(2));
        let builder = builder.deadline(Duration::from_millis(300));
        let key = builder
            .hang_limit(Duration::from_millis(100))
            .open()
            .unwrap();
        let mut faults = bench.control();
        faults.say("rule {name='stuck', hang=true}");
        let pending: Vec<_> = (0..100)
            .map(|_| key.sign(ECDSA, b"parked", &*bench.provider.random))
            .collect();
        for op in pending {
            let error = wait(op).unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        }
        let stats = key.stats();
        assert_eq!((stats.expired, stats.queued), (100, 0), "{stats}");
        faults.say("clear");
        faults.say("release");
        eventually("it signs again", || bench.sign(&key, ECDSA).is_ok());
        eventually("nothing hangs", || key.stats().places[0].hanging == 0);
        let place = &key.stats().places[0];
        assert!(
            place.abandoned < 40,
            "threads are not given up without end: {place:?}"
        );
        key.close();
    });
}

#[test]
fn a_token_comes_back_and_what_waited_is_done() {
    bench(
        "a_token_comes_back_and_what_waited_is_done",
        P256,
        "",
        |bench| {
            let key = bench.builder(Key::P256).open().unwrap();
            let mut faults = bench.control();
            faults.say("remove keyway");
            let pending: Vec<_> = (0..50)
                .map(|_| key.sign(ECDSA, b"parked", &*bench.provider.random))
                .collect();
            eventually("the loss is noticed", || key.load() == Load::Down);
            assert!(!key.stats().places[0].up);
            faults.say("return keyway");
            for op in pending {
                wait(op).unwrap();
            }
            // A last request that failed may still be looked into.
            let normal = Load::Normal { queued: 0 };
            eventually("it is as before", || key.load() == normal);
            let stats = key.stats();
            assert!(stats.places[0].outages >= 1, "{stats}");
            assert_eq!(faults.stats().violations(), 0);
            key.close();
        },
    );
}

#[test]
fn a_token_that_forgot_its_sessions_and_login_needs_no_fresh_start() {
    let test = "a_token_that_forgot_its_sessions_and_login_needs_no_fresh_start";
    bench(test, P256, "", |bench| {
        let key = bench
            .builder(Key::P256)
            .sessions(Sessions::Fixed(4))
            .open()
            .unwrap();
        let mut faults = bench.control();
        let tally = bench.load(&key, ECDSA, 6, || {
            for round in 1..=5 {
                let logins = faults.count("calls C_Login");
                faults.say("lose-sessions");
                faults.reaches("calls C_Login", logins + 1);
                let done = key.stats().places[0].done;
                eventually("it signs again", || key.stats().places[0].done > done + 50);
                println!("round {round}: {}", key.stats());
            }
        });
        assert!(tally.errors.is_empty(), "{tally:?}");
        assert_eq!(faults.count("initialized times"), 1);
        assert_eq!(faults.stats().violations(), 0);
        key.close();
    });
}

#[test]
fn a_poisoned_module_is_initialised_again_without_touching_old_handles() {
    let test = "a_poisoned_module_is_initialised_again_without_touching_old_handles";
    bench(test, P256, "handles = 'unique'", |bench| {
        let key = bench
            .builder(Key::P256)
            .sessions(Sessions::Fixed(4))
            .open()
            .unwrap();
        let mut faults = bench.control();
        let tally = bench.load(&key, ECDSA, 6, || {
            for round in 1..=10 {
                let signed = faults.count("calls C_Sign");
                faults.reaches("calls C_Sign", signed + 50);
                faults.say("poison");
                faults.reaches("initialized times", 1 + round);
            }
            let signed = faults.count("calls C_Sign");
            faults.reaches("calls C_Sign", signed + 50);
        });
        assert!(tally.errors.is_empty(), "{tally:?}");
        let stats = faults.stats();
        // Not under a call, and no handle of before.
        assert_eq!(stats.violations(), 0, "{stats:?}");
        let place = &key.stats().places[0];
        assert_eq!(place.reinitialized + 1, stats.get("initialized times"));
        assert!(place.outages >= 10, "{place:?}");
        key.close();
        assert_eq!(faults.count("sessions open"), 0);
    });
}

#[test]
fn handles_that_begin_anew_are_not_closed_by_their_former_owners() {
    let test = "handles_that_begin_anew_are_not_closed_by_their_former_owners";
    bench(test, P256, "handles = 'restart'", |bench| {
        let key = bench
            .builder(Key::P256)
            .sessions(Sessions::Fixed(4))
            .open()
            .unwrap();
        let mut faults = bench.control();
        let tally = bench.load(&key, ECDSA, 6, || {
            for round in 1..=5 {
                faults.say("poison CKR_GENERAL_ERROR");
                faults.reaches("initialized times", 1 + round);
                let signed = faults.count("calls C_Sign");
                faults.reaches("calls C_Sign", signed + 50);
            }
        });
        assert!(tally.errors.is_empty(), "{tally:?}");
        let stats = faults.stats();
        // A session that somebody else has closed would answer this.
        assert!(
            stats
                .iter()
                .all(|(name, _)| !name.contains("SESSION_HANDLE_INVALID")),
            "{stats:?}"
        );
        key.close();
    });
}

#[test]
fn storms_are_survived() {
    bench("storms_are_survived", P256, "seed = 11", |bench| {
        let key = bench
            .builder(Key::P256)
            .sessions(Sessions::Fixed(4))
            .open()
            .unwrap();
        let mut faults = bench.control();
        // One that signs is there, and who listens to the control.
        bench.sign(&key, ECDSA).unwrap();
        assert!(faults.count("calls C_Sign") > 0);
        let before = threads();
        let tally = bench.load(&key, ECDSA, 8, || {
            for codes in [
                "'CKR_DEVICE_ERROR', 'CKR_GENERAL_ERROR', 'CKR_DEVICE_REMOVED'",
                "'CKR_SESSION_HANDLE_INVALID', 'CKR_SESSION_CLOSED'",
                "'CKR_TOKEN_NOT_PRESENT', 'CKR_CRYPTOKI_NOT_INITIALIZED'",
                "'CKR_USER_NOT_LOGGED_IN', 'CKR_KEY_HANDLE_INVALID'",
                "'CKR_HOST_MEMORY', 'CKR_DEVICE_MEMORY', 'CKR_SESSION_COUNT'",
            ] {
                // Any function that such a code may come from, a tenth of the calls.
                faults.say(&format!(
                    "rule {{name='storm', functions=['C_Sign*', 'C_OpenSession', \
                     'C_FindObjects*', 'C_GetAttributeValue'], codes=[{codes}], \
                     when={{probability=0.1}}}}"
                ));
                faults.reaches("rule storm", 40);
                faults.say("drop storm");
                let signed = faults.count("calls C_Sign");
                faults.reaches("calls C_Sign", signed + 100);
            }
        });
        println!("{tally:?}\n{}", key.stats());
        // Errors are allowed in a storm; they say that the token is away.
        assert!(tally.good >= 500, "{tally:?}");
        let mut errors = tally.errors.keys();
        assert!(
            errors.all(|error| error.contains("is not available")),
            "{tally:?}"
        );
        let stats = faults.stats();
        assert_eq!(stats.violations(), 0, "{stats:?}");
        bench.sign(&key, ECDSA).unwrap();
        // The system still counts a thread for a moment after its end.
        let most = before + most_threads(4);
        eventually("its threads are gone", || threads() <= most);
        key.close();
        assert_eq!(faults.count("sessions open"), 0);
    });
}

#[test]
fn another_token_takes_over() {
    bench("another_token_takes_over", P256, "", |bench| {
        let second = bench.copy("second", "");
        let key = bench
            .builder(Key::P256)
            .also_at(bench.token.uri_through(Key::P256, &second))
            .sessions(Sessions::Fixed(2))
            .open()
            .unwrap();
        let (mut one, mut two) = (bench.control(), Faults::of(&second));
        let tally = bench.load(&key, ECDSA, 6, || {
            one.reaches("calls C_Sign", 20);
            two.reaches("calls C_Sign", 20);
            one.say("remove");
            let signed = two.count("calls C_Sign");
            two.reaches("calls C_Sign", signed + 200);
            one.say("return");
            let signed = one.count("calls C_Sign");
            one.reaches("calls C_Sign", signed + 50);
            two.say("poison");
            two.reaches("initialized times", 2);
        });
        assert!(tally.errors.is_empty(), "{tally:?}\n{}", key.stats());
        assert_eq!(one.stats().violations() + two.stats().violations(), 0);
        key.close();
    });
}

#[test]
fn a_slow_token_is_hedged_by_another() {
    bench("a_slow_token_is_hedged_by_another", P256, "", |bench| {
        let second = bench.copy("second", "");
        let key = bench
            .builder(Key::P256)
            .also_at(bench.token.uri_through(Key::P256, &second))
            .sessions(Sessions::Fixed(2))
            .hedge_after(Duration::from_millis(20))
            .open()
            .unwrap();
        let (mut one, mut two) = (bench.control(), Faults::of(&second));
        // Either may get it first. Both hang, until the second one answers.
        for faults in [&mut one, &mut two] {
            faults.say("rule {name='stuck', functions=['C_Sign'], hang=true}");
        }
        let pending = key.sign(ECDSA, b"parked", &*bench.provider.random);
        one.reaches("hanging now", 1);
        two.reaches("hanging now", 1);
        let hedged = || key.stats().places.iter().position(|each| each.hedged == 1);
        eventually("one is hedged", || hedged().is_some());
        let first = hedged().unwrap();
        let all: u64 = key.stats().places.iter().map(|each| each.hedged).sum();
        assert_eq!(all, 1, "{}", key.stats());
        for faults in [&mut one, &mut two] {
            faults.say("drop stuck");
        }
        let mut both = [one, two];
        both[1 - first].say("release");
        wait(pending).unwrap();
        assert_eq!(both[first].count("hanging now"), 1);
        both[first].say("release");
        key.close();
    });
}

#[test]
fn a_full_queue_and_a_lost_token_go_to_the_fallback_key() {
    let test = "a_full_queue_and_a_lost_token_go_to_the_fallback_key";
    bench(test, P256, "", |bench| {
        // The same key, reached another way.
        let second = bench.copy("second", "");
        let uri = bench.token.uri_through(Key::P256, &second);
        let other = Pkcs11Key::builder(uri, &bench.provider).open().unwrap();
        let builder = bench.builder(Key::P256).fallback(Arc::new(other.clone()));
        let key = builder.open().unwrap();
        let mut faults = bench.control();
        faults.say("remove keyway");
        // From the first one on, which the lost token had got, and nobody waits.
        let start = Instant::now();
        bench.sign(&key, ECDSA).unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(key.stats().fallback, 1);
        bench.sign(&key, ECDSA).unwrap();
        assert_eq!(key.stats().fallback, 2);
        faults.say("return keyway");
        eventually("the token is used again", || key.stats().places[0].up);
        let done = key.stats().places[0].done;
        bench.sign(&key, ECDSA).unwrap();
        assert!(key.stats().places[0].done > done);
        key.close();

        // And what a full queue has no room for.
        let builder = bench.builder(Key::P256).fallback(Arc::new(other.clone()));
        let key = builder
            .sessions(Sessions::Fixed(1))
            .queue(1)
            .open()
            .unwrap();
        faults.say("rule {name='stuck', functions=['C_Sign'], hang=true}");
        let sign = || key.sign(ECDSA, b"message", &*bench.provider.random);
        let inside = sign();
        faults.reaches("hanging now", 1);
        let waiting = sign();
        assert_eq!(key.load(), Load::Full);
        bench.sign(&key, ECDSA).unwrap();
        assert_eq!((key.stats().fallback, key.stats().rejected), (1, 1));
        faults.say("drop stuck");
        faults.say("release");
        for op in [inside, waiting] {
            wait(op).unwrap();
        }
        assert_eq!(key.stats().fallback, 1);
        key.close();
        other.close();
    });
}

#[test]
fn who_hangs_while_trying_the_token_is_relieved() {
    let test = "who_hangs_while_trying_the_token_is_relieved";
    bench(test, P256, "", |bench| {
        let builder = bench.builder(Key::P256).sessions(Sessions::Fixed(4));
        let key = builder.hang_limit(Duration::from_secs(2)).open().unwrap();
        let mut faults = bench.control();
        // Four threads, so that three of them wait while one tries the token.
        let tally = bench.load(&key, ECDSA, 6, || faults.reaches("calls C_Sign", 50));
        assert!(tally.errors.is_empty(), "{tally:?}");
        faults.say("rule {name='stuck', functions=['C_OpenSession'], hang=true, when={times=1}}");
        faults.say("poison");
        let pending = key.sign(ECDSA, b"parked", &*bench.provider.random);
        faults.reaches("hanging now", 1);
        eventually("it is given up", || key.stats().places[0].abandoned >= 1);
        faults.say("cure");
        // By one of those that waited; the one that hangs is still away.
        wait(pending).unwrap();
        assert_eq!(faults.count("hanging now"), 1);
        faults.say("release");
        eventually("nothing hangs", || key.stats().places[0].hanging == 0);
        key.close();
    });
}

#[test]
fn a_key_that_is_not_there_costs_no_session() {
    let test = "a_key_that_is_not_there_costs_no_session";
    bench(test, P256, "seed = 1", |bench| {
        let sessions = Sessions::Fixed(1);
        let key = bench.builder(Key::P256).sessions(sessions).open().unwrap();
        bench.sign(&key, ECDSA).unwrap();
        let mut faults = bench.control();
        let before = faults.count("sessions open");
        for _ in 0..3 {
            let error = bench.builder(Key::Rsa2048).open().unwrap_err();
            assert!(matches!(error.reason(), Reason::NoObject { .. }), "{error}");
        }
        assert_eq!(faults.count("sessions open"), before);
        key.close();
    });
}

#[test]
fn one_library_under_two_names_is_one_module() {
    let test = "one_library_under_two_names_is_one_module";
    bench(test, P256, "seed = 1", |bench| {
        let other = bench.dir.join("other-name.so");
        fs::hard_link(&bench.module, &other).unwrap();
        let other = bench.token.uri_through(Key::P256, &other);
        let first = bench.builder(Key::P256).open().unwrap();
        let second = Pkcs11Key::builder(other, &bench.provider).open().unwrap();
        let mut faults = bench.control();
        first.close();
        assert_eq!(faults.count("calls C_Finalize"), 0);
        bench.sign(&second, ECDSA).unwrap();
        second.close();
        assert_eq!(faults.count("calls C_Initialize"), 1);
        assert_eq!(faults.count("calls C_Finalize"), 1);
    });
}

#[test]
fn an_end_does_not_wait_for_a_module_that_hangs() {
    let test = "an_end_does_not_wait_for_a_module_that_hangs";
    bench(test, P256, "", |bench| {
        let builder = bench.builder(Key::P256);
        let key = builder.hang_limit(Duration::from_secs(1)).open().unwrap();
        bench.sign(&key, ECDSA).unwrap();
        let mut faults = bench.control();
        faults.say("rule {name='stuck', functions=['C_Finalize'], hang=true}");
        let start = Instant::now();
        key.close();
        // Two hang limits and a half second, on a busy machine.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_eq!(faults.count("hanging now"), 1);
        faults.say("release");
        eventually("it has ended", || faults.count("hanging now") == 0);
    });
}

#[test]
fn what_is_under_way_is_done_though_its_key_is_dropped() {
    let test = "what_is_under_way_is_done_though_its_key_is_dropped";
    bench(test, P256, "", |bench| {
        let key = bench.builder(Key::P256).open().unwrap();
        let pending: Vec<_> = (0..50)
            .map(|_| key.sign(ECDSA, b"parked", &*bench.provider.random))
            .collect();
        drop(key);
        for op in pending {
            wait(op).unwrap();
        }
    });
}
