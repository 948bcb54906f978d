//! A token whose process is killed, again and again, under load.

mod common;

use std::time::{Duration, Instant};

use backend_pkcs11::{Pkcs11Key, Sessions};
use common::{Bench, eventually, most_threads, threads};
use crypto_api::SignatureScheme;
use test_tokens::{Key, Kind, Token, isolated};

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;

#[test]
fn a_killed_token_is_found_again() {
    isolated("a_killed_token_is_found_again", Kind::Remote, |dir| {
        let Some(mut token) = Token::make_or_skip(Kind::Remote, dir, &[Key::P256]) else {
            return;
        };
        let mut remote = token.remote.take().unwrap();
        let bench = Bench {
            dir: dir.to_owned(),
            module: token.module.clone(),
            token,
            provider: backend_soft::provider(),
        };
        let key = bench
            .builder(Key::P256)
            .sessions(Sessions::Fixed(4))
            .open()
            .unwrap();
        bench.sign(&key, ECDSA).unwrap();
        let before = threads();
        let place = |key: &Pkcs11Key| key.stats().places.remove(0);
        let signs_on = |since: u64| {
            eventually("it signs again", || place(&key).done > since + 20);
        };
        // Errors would end up here; there are none, as the token is back before a deadline.
        let tally = bench.load(&key, ECDSA, 6, || {
            for round in 1..=8 {
                signs_on(place(&key).done);
                let start = Instant::now();
                assert!(remote.kill().unwrap() > 0, "there was a process to kill");
                eventually("a fresh start", || place(&key).reinitialized >= round);
                eventually("it is up", || place(&key).up);
                println!("round {round}: lost and back in {:.1?}", start.elapsed());
            }
            // Away for a while, and no process to connect to.
            remote.stop().unwrap();
            eventually("it is down", || !place(&key).up);
            std::thread::sleep(Duration::from_millis(300));
            let done = place(&key).done;
            remote.start().unwrap();
            let start = Instant::now();
            eventually("it is up", || place(&key).done > done);
            println!("away and back: {:.1?} after it answered", start.elapsed());
            signs_on(done);
        });
        println!("{} signatures\n{}", tally.good, key.stats());
        assert!(tally.errors.is_empty(), "{tally:?}");
        assert!(tally.good > 100, "{tally:?}");
        let stats = place(&key);
        assert_eq!((stats.wrong, stats.hanging), (0, 0), "{stats:?}");
        assert!(stats.outages >= 9, "{stats:?}");
        // As many threads as before, give or take the signing ones that come and go, and those
        // that check; the system still counts one for a moment after its end.
        let most = before + most_threads(4);
        eventually("its threads are gone", || threads() <= most);
        key.close();
    });
}
