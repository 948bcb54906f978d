//! Logins and lookups: those that hang, and keys that want the PIN for each signature.

mod common;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use backend_pkcs11::Sessions;
use common::{Bench, bench, eventually};
use crypto_api::SignatureScheme as S;
use test_tokens::Key;

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
