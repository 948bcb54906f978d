//! Logins and lookups: those that hang, keys that want the PIN for each signature, and PINs that
//! are refused or exchanged.

mod common;

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use backend_pkcs11::{Code, Load, OpenError, Pin, PinError, Pkcs11Key, Reason, Sessions, Stats};
use common::{Bench, bench, eventually};
use crypto_api::SignatureScheme as S;
use test_tokens::{Key, LABEL, PIN};

const P256: &[Key] = &[Key::P256];
const ECDSA: S = S::ECDSA_SECP256R1_SHA256;

/// One call of these functions hangs after the token has lost its login; only its own thread
/// is given up, and the other threads sign.
fn one_call_hangs(bench: &Bench, functions: &str) {
    let key = bench
        .builder(Key::P256)
        .sessions(Sessions::Fixed(4))
        .hang_limit(Duration::from_secs(2))
        .open()
        .unwrap();
    let mut faults = bench.control();
    let tally = bench.load(&key, ECDSA, 6, || {
        faults.reaches("calls C_Sign", 50);
        faults.say(&format!(
            "rule {{name='stuck', functions=['{functions}'], hang=true, when={{times=1}}}}"
        ));
        faults.say("lose-sessions");
        faults.reaches("hanging now", 1);
        let done = key.stats().places[0].done;
        eventually("the others sign", || {
            key.stats().places[0].done > done + 200
        });
        eventually("it is given up", || key.stats().places[0].abandoned == 1);
    });
    assert!(tally.errors.is_empty(), "{tally:?}");
    assert_eq!(faults.count("hanging now"), 1);
    assert_eq!(key.stats().places[0].abandoned, 1, "{}", key.stats());
    // What it was about to find out is known by now, and it spoils nothing.
    faults.say("release");
    eventually("nothing hangs", || key.stats().places[0].hanging == 0);
    bench.sign(&key, ECDSA).unwrap();
    assert_eq!(faults.stats().violations(), 0);
    key.close();
    assert_eq!(faults.count("sessions open"), 0);
}

#[test]
fn a_login_that_hangs_holds_up_nobody_else() {
    let test = "a_login_that_hangs_holds_up_nobody_else";
    bench(test, P256, "", |bench| one_call_hangs(&bench, "C_Login"));
}

#[test]
fn a_lookup_that_hangs_holds_up_nobody_else() {
    let test = "a_lookup_that_hangs_holds_up_nobody_else";
    bench(test, P256, "", |bench| {
        one_call_hangs(&bench, "C_FindObjects");
    });
}

#[test]
fn a_login_that_hangs_holds_up_no_other_opening() {
    let test = "a_login_that_hangs_holds_up_no_other_opening";
    let script = "[[rule]]\nname = 'stuck'\nfunctions = ['C_Login']\nhang = true\n\
                  when = { times = 1 }";
    bench(test, P256, script, |bench| {
        let builder = || {
            let builder = bench.builder(Key::P256);
            builder.hang_limit(Duration::from_secs(1))
        };
        let first = builder().open_async();
        let socket = bench.module.with_extension("sock");
        eventually("it listens", || UnixStream::connect(&socket).is_ok());
        let mut faults = bench.control();
        faults.reaches("hanging now", 1);
        let second = builder().open().unwrap();
        bench.sign(&second, ECDSA).unwrap();
        assert_eq!(faults.count("hanging now"), 1);
        faults.say("release");
        let first = first.wait().unwrap();
        bench.sign(&first, ECDSA).unwrap();
        first.close();
        second.close();
        assert_eq!(faults.count("sessions open"), 0);
    });
}

const ALWAYS: [(Key, S); 2] = [
    (Key::AlwaysP256, ECDSA),
    (Key::AlwaysRsa2048, S::RSA_PSS_RSAE_SHA256),
];

#[test]
fn keys_that_want_the_pin_for_each_signature() {
    let test = "keys_that_want_the_pin_for_each_signature";
    bench(test, &ALWAYS.map(|(key, _)| key), "", |bench| {
        for (name, scheme) in ALWAYS {
            let key = bench
                .builder(name)
                .sessions(Sessions::Fixed(4))
                .open()
                .unwrap();
            let mut faults = bench.control();
            let before = faults.stats();
            let signed = before.get("calls C_Sign");
            let tally = bench.load(&key, scheme, 6, || {
                faults.reaches("calls C_Sign", signed + 300);
            });
            assert!(tally.errors.is_empty(), "{tally:?}");
            let after = faults.stats();
            let more = |counter| after.get(counter) - before.get(counter);
            // A login for each, and no look at how the token is doing in between.
            assert_eq!(more("calls C_Sign"), more("calls C_Login"));
            assert_eq!(after.get("code C_Sign CKR_USER_NOT_LOGGED_IN"), 0);
            // It is the token that wants it: a login that does not reach it is missed there.
            faults.say("rule {name='lost', functions=['C_Login'], codes=['CKR_OK']}");
            bench.sign(&key, scheme).unwrap_err();
            assert!(faults.count("code C_Sign CKR_USER_NOT_LOGGED_IN") > 0);
            faults.say("clear");
            eventually("it signs again", || bench.sign(&key, scheme).is_ok());
            key.close();
            faults.say("reset");
        }
    });
}

/// Not even until its thread is given up.
#[test]
fn a_login_for_an_operation_that_hangs_holds_up_no_other() {
    let test = "a_login_for_an_operation_that_hangs_holds_up_no_other";
    bench(test, &[Key::AlwaysP256], "", |bench| {
        let key = bench
            .builder(Key::AlwaysP256)
            .sessions(Sessions::Fixed(4))
            .hang_limit(Duration::from_secs(600))
            .deadline(Duration::from_secs(600))
            .open()
            .unwrap();
        let mut faults = bench.control();
        let tally = bench.load(&key, ECDSA, 6, || {
            faults.reaches("calls C_Sign", 50);
            faults.say("rule {name='stuck', functions=['C_Login'], hang=true, when={times=1}}");
            faults.reaches("hanging now", 1);
            let done = key.stats().places[0].done;
            eventually("the others sign", || {
                key.stats().places[0].done > done + 200
            });
            assert_eq!(faults.count("hanging now"), 1);
            faults.say("release");
        });
        assert!(tally.errors.is_empty(), "{tally:?}");
        key.close();
    });
}

/// Each thread that presents it costs a try, and a token has three.
#[test]
fn a_pin_that_is_no_longer_right_costs_two_tries() {
    let test = "a_pin_that_is_no_longer_right_costs_two_tries";
    bench(test, &[Key::AlwaysP256], "", |bench| {
        let key = bench
            .builder(Key::AlwaysP256)
            .sessions(Sessions::Fixed(8))
            .open()
            .unwrap();
        let mut faults = bench.control();
        let tally = bench.load(&key, ECDSA, 8, || {
            faults.reaches("calls C_Sign", 50);
            faults.say(
                "rule {name='changed', functions=['C_Login'], codes=['CKR_PIN_INCORRECT'], \
                 latency_ms=30.0}",
            );
            faults.reaches("rule changed", 1);
            thread::sleep(Duration::from_millis(500));
        });
        assert!(tally.errors.keys().all(|error| error.contains("PIN")));
        let tries = faults.count("rule changed");
        assert!((1..=2).contains(&tries), "{tries}");
        key.close();
    });
}

/// A locked token and one at its last try are not asked, and the message says which key and
/// what to do, without the PIN.
#[test]
fn a_locked_pin_is_named_and_left_alone() {
    let test = "a_locked_pin_is_named_and_left_alone";
    bench(test, P256, "pin = { tries = 3, failed = 3 }", |bench| {
        let refused = || {
            let error = bench.builder(Key::P256).open().unwrap_err();
            let text = error.to_string();
            let start = format!("pkcs11:token={LABEL};object=p256?module-path=");
            assert!(text.starts_with(&start), "{text}");
            assert!(!text.contains("pin-value") && !text.contains(PIN), "{text}");
            text
        };
        let text = refused();
        let locked = "the token's PIN is locked after too many wrong ones: its security officer";
        assert!(text.contains(locked), "{text}");
        let mut faults = bench.control();
        faults.say("set pin={tries=3, failed=2}");
        let text = refused();
        let last = "one more wrong PIN would lock the token, so none is tried";
        assert!(text.contains(last), "{text}");
        assert_eq!(faults.count("calls C_Login"), 0);
        // One that tells by its answer alone.
        faults.say("set pin={tries=0}");
        faults.say("rule {name='locked', functions=['C_Login'], codes=['CKR_PIN_LOCKED']}");
        let text = refused();
        assert!(text.contains(locked), "{text}");
        let text = refused();
        let latched = "this PIN was refused before (CKR_PIN_LOCKED) and is not tried again";
        assert!(text.contains(latched), "{text}");
        assert_eq!(faults.count("calls C_Login"), 1);
    });
}

/// The counters tell why a token is down: each answer to a PIN once, whatever it was.
#[test]
fn every_answer_to_a_pin_is_counted_once() {
    let test = "every_answer_to_a_pin_is_counted_once";
    bench(test, P256, "", |bench| {
        // The second one in this order: it refuses the PIN for good.
        for code in ["CKR_USER_PIN_NOT_INITIALIZED", "CKR_PIN_LOCKED"] {
            let key = bench.builder(Key::P256).open().unwrap();
            let mut faults = bench.control();
            let rule = "functions=['C_Login'], when={times=1}";
            faults.say(&format!("rule {{name='pin', {rule}, codes=['{code}']}}"));
            faults.say("lose-sessions");
            let error = bench.sign(&key, ECDSA).unwrap_err().to_string();
            assert!(error.contains("PIN"), "{error}");
            let counted = |stats: &Stats| {
                let codes = &stats.places[0].codes;
                let mut found = codes.iter().filter(|(each, _)| each.name() == Some(code));
                found.next().map(|(_, count)| *count)
            };
            let stats = key.stats();
            assert_eq!(counted(&stats), Some(1), "{code}: {stats}");
            key.close();
        }
    });
}

/// The handles of private objects end with the login, whoever makes the next one.
#[test]
fn no_handle_is_used_after_its_login() {
    bench("no_handle_is_used_after_its_login", P256, "", |bench| {
        let key = bench
            .builder(Key::P256)
            .sessions(Sessions::Fixed(4))
            .open()
            .unwrap();
        let mut faults = bench.control();
        let tally = bench.load(&key, ECDSA, 6, || {
            for _ in 0..20 {
                faults.say("lose-sessions");
                let done = key.stats().places[0].done;
                eventually("it signs again", || key.stats().places[0].done > done + 20);
            }
        });
        assert!(tally.errors.is_empty(), "{tally:?}");
        let codes = &key.stats().places[0].codes;
        let lost = Code(0xb3); // CKR_SESSION_HANDLE_INVALID
        assert!(codes.keys().all(|code| *code == lost), "{codes:?}");
        key.close();
    });
}

fn pin_refused(result: Result<Pkcs11Key, OpenError>) -> PinError {
    match result.map(drop).unwrap_err().reason() {
        Reason::Pin(error) => error.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_last_try_of_a_pin_is_left_to_people() {
    let script = "pin = { tries = 3, failed = 2 }";
    bench(
        "the_last_try_of_a_pin_is_left_to_people",
        P256,
        script,
        |bench| {
            let error = pin_refused(bench.builder(Key::P256).open());
            println!("{error}");
            let mut faults = bench.control();
            assert_eq!(faults.count("calls C_Login"), 0);
            // A locked one is not tried either.
            faults.say("set pin={tries=3, failed=3}");
            let locked = pin_refused(bench.builder(Key::P256).open());
            println!("{locked}");
            assert_ne!(error, locked);
            assert_eq!(faults.count("calls C_Login"), 0);
            faults.say("set pin={tries=3, failed=1}");
            bench.builder(Key::P256).open().unwrap().close();
        },
    );
}

#[test]
fn a_refused_pin_is_not_tried_again() {
    let script = "pin = { tries = 10 }";
    bench("a_refused_pin_is_not_tried_again", P256, script, |bench| {
        let key = bench.builder(Key::P256).open().unwrap();
        let mut faults = bench.control();
        let wrong = bench
            .uri(Key::P256)
            .replace("pin-value=1234", "pin-value=4321");
        // The PIN was changed behind the program's back, and the login is gone.
        faults.say("rule {name='changed', functions=['C_Login'], codes=['CKR_PIN_INCORRECT']}");
        let logins = faults.count("calls C_Login");
        faults.say("lose-sessions");
        for _ in 0..5 {
            let error = bench.sign(&key, ECDSA).unwrap_err();
            // It is told at once, and not that the time is over.
            assert!(error.to_string().contains("PIN"), "{error}");
            assert!(!error.to_string().contains("1234"), "{error}");
        }
        eventually("it is down", || key.load() == Load::Down);
        thread::sleep(Duration::from_millis(300));
        let stats = key.stats();
        assert_eq!(faults.count("calls C_Login"), logins + 1, "{stats}");
        assert_eq!((stats.expired, stats.failed + stats.rejected), (0, 5));
        let place = &stats.places[0];
        assert!(!place.up, "{stats}");
        let codes: Vec<_> = place.codes.iter().collect();
        let incorrect = codes
            .iter()
            .filter(|(code, _)| code.name() == Some("CKR_PIN_INCORRECT"));
        let incorrect: u64 = incorrect.map(|(_, count)| **count).sum();
        assert_eq!(incorrect, 1, "{codes:?}");
        key.close();
        let error = Pkcs11Key::builder(wrong, &bench.provider)
            .open()
            .unwrap_err();
        assert!(!error.to_string().contains("4321"), "{error}");
    });
}

/// Changes the PIN in the token, as its keeper does: from another process.
fn change_pin(bench: &Bench, old: &str, new: &str) {
    let output = Command::new("pkcs11-tool")
        .arg("--module")
        .arg(&bench.token.module)
        .args([
            "--token-label",
            &bench.token.label,
            "--login",
            "--change-pin",
        ])
        .args(["--pin", old, "--new-pin", new])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_changed_pin_is_read_anew() {
    bench("a_changed_pin_is_read_anew", P256, "", |bench| {
        let file = bench.dir.join("pin");
        fs::write(&file, PIN).unwrap();
        let uri = bench
            .uri(Key::P256)
            .replace(&format!("pin-value={PIN}&"), "");
        let builder = Pkcs11Key::builder(uri, &bench.provider).pin(Pin::file(&file));
        let key = builder.open().unwrap();
        let mut faults = bench.control();
        let up = |key: &Pkcs11Key| key.stats().places[0].up;

        // The file first, or soon enough: nobody notices.
        change_pin(&bench, PIN, "second-98431");
        fs::write(&file, "second-98431").unwrap();
        faults.say("poison");
        bench.sign(&key, ECDSA).unwrap();
        assert_eq!(faults.count("initialized times"), 2);
        assert_eq!(key.stats().failed, 0);

        // The file late: an error until then, and one wrong try at the token.
        change_pin(&bench, "second-98431", "third-98431");
        let logins = faults.count("calls C_Login");
        faults.say("poison");
        let error = bench.sign(&key, ECDSA).unwrap_err().to_string();
        assert!(error.contains("PIN"), "{error}");
        eventually("it is down", || !up(&key));
        thread::sleep(Duration::from_millis(1500));
        assert_eq!(faults.count("calls C_Login"), logins + 1, "{}", key.stats());
        assert!(!up(&key));
        fs::write(&file, "third-98431\n").unwrap();
        eventually("it is up", || up(&key));
        bench.sign(&key, ECDSA).unwrap();
        key.close();
    });
}
