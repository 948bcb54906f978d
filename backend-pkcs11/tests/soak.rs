//! Random faults for a while: about twenty seconds here, and as long as the environment's
//! `KEYWAY_SOAK_SECONDS` says by hand.
//!
//! ```sh
//! KEYWAY_SOAK_SECONDS=600 cargo test -p backend-pkcs11 --test soak -- --nocapture
//! ```

mod common;

use std::{
    env,
    time::{Duration, Instant},
};

use backend_pkcs11::Sessions;
use common::{Faults, bench_within, eventually, most_threads, threads};
use crypto_api::SignatureScheme;
use test_tokens::Key;

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;

/// Numbers that look random and are the same each time (xorshift, by Marsaglia).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// One fault: what is said to bring it and to end it.
const FAULTS: &[(&str, &str)] = &[
    ("remove", "return"),
    ("remove keyway", "return keyway"),
    ("poison", "cure"),
    ("poison CKR_GENERAL_ERROR", "cure"),
    ("lose-sessions", "clear"),
    ("set sessions=2", "set sessions=0"),
    ("set capacity=1", "set capacity=0"),
    (
        "rule {name='slow', functions=['C_Sign'], latency_ms={lognormal={median=3, sigma=1}}}",
        "clear",
    ),
    (
        "rule {name='stuck', functions=['C_Sign'], hang=true, when={times=2}}",
        "release",
    ),
    (
        "rule {name='stuck', functions=['C_OpenSession', 'C_Sign'], hang_ms=400, \
         when={probability=0.05}}",
        "clear",
    ),
    (
        "rule {name='liar', functions=['C_Sign'], signature='flip', when={probability=0.1}}",
        "clear",
    ),
    (
        "rule {name='liar', functions=['C_Sign'], signature='other-key', when={every=7}}",
        "clear",
    ),
    (
        "rule {name='storm', codes=['CKR_DEVICE_ERROR', 'CKR_GENERAL_ERROR', \
         'CKR_SESSION_HANDLE_INVALID', 'CKR_SESSION_CLOSED', 'CKR_FUNCTION_FAILED', \
         'CKR_DEVICE_MEMORY', 'CKR_USER_NOT_LOGGED_IN'], when={probability=0.1}}",
        "clear",
    ),
    (
        "rule {name='lost', functions=['C_Sign'], codes=['CKR_DEVICE_ERROR'], at='after', \
         when={every=20}}",
        "clear",
    ),
    (
        "rule {name='sick', functions=['C_Initialize'], codes=['CKR_GENERAL_ERROR'], \
         when={times=3}}",
        "poison",
    ),
];

/// How long it may take from when the token answers to the next signature: in so many of 100
/// cases, at most so long.
const STRICT: [(usize, Duration); 2] = [
    (50, Duration::from_millis(100)),
    (90, Duration::from_millis(100)),
];
const GENEROUS: [(usize, Duration); 2] =
    [(50, Duration::from_secs(1)), (100, Duration::from_secs(20))];

#[test]
fn random_faults() {
    let seconds = env::var("KEYWAY_SOAK_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    let by_hand = seconds.is_some();
    let length = Duration::from_secs(seconds.unwrap_or(20));
    let limit = length + Duration::from_secs(100);
    bench_within(
        limit,
        "random_faults",
        &[Key::P256],
        "handles = 'unique'",
        |bench| {
            let builder = bench
                .builder(Key::P256)
                .sessions(Sessions::Adaptive { min: 1, max: 8 });
            let builder = builder.deadline(Duration::from_secs(3));
            let key = builder
                .hang_limit(Duration::from_millis(500))
                .open()
                .unwrap();
            let mut faults = bench.control();
            bench.sign(&key, ECDSA).unwrap();
            let (before, end) = (threads(), Instant::now() + length);
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
            let mut recoveries = Vec::new();
            // The load panics at a wrong signature.
            let tally = bench.load(&key, ECDSA, 6, || {
                while Instant::now() < end {
                    let (bring, finish) = FAULTS[dice.roll(FAULTS.len())];
                    faults.say(bring);
                    std::thread::sleep(Duration::from_millis(50 + dice.roll(300) as u64));
                    faults.say(finish);
                    heal(&mut faults);
                    // From here on the token answers: how long until a signature is done?
                    let (healed, mut told) = (Instant::now(), false);
                    let done = key.stats().places[0].done;
                    eventually(&format!("a signature after `{bring}`"), || {
                        let done = key.stats().places[0].done > done;
                        if !told && healed.elapsed() > Duration::from_secs(15) {
                            told = true;
                            println!("no signature for long: {}", key.stats());
                        }
                        done
                    });
                    recoveries.push((healed.elapsed(), bring));
                }
            });
            recoveries.sort();
            println!("{} signatures, {} faults", tally.good, recoveries.len());
            for (error, count) in &tally.errors {
                println!("{count:>6}  {error}");
            }
            let at = |part: usize| recoveries[(recoveries.len() - 1) * part / 100];
            for part in [50, 90, 99, 100] {
                let (time, fault) = at(part);
                println!("recovered within {time:>8.1?} in {part:>3} of 100 cases ({fault})");
            }
            // By hand, on a machine that has nothing else to do, this is the 100 ms that are
            // promised; elsewhere it must not be out of all proportion.
            for (part, limit) in if by_hand { STRICT } else { GENEROUS } {
                let (time, fault) = at(part);
                let verdict = if time <= limit { "pass" } else { "FAIL" };
                println!("{verdict}: {part:>3} of 100 within {limit:.1?}: {time:.1?} ({fault})");
                assert!(
                    time <= limit,
                    "{part} of 100 took up to {time:.1?} ({fault})"
                );
            }
            println!("{}", key.stats());
            let stats = faults.stats();
            for (name, count) in stats.iter() {
                println!("  {name} {count}");
            }
            assert!(tally.good > 0);
            assert_eq!(stats.violations(), 0);

            // Nothing is left over: no thread that hangs, no thread too many, no session.
            eventually("nothing hangs", || key.stats().places[0].hanging == 0);
            for _ in 0..20 {
                bench.sign(&key, ECDSA).unwrap();
            }
            // The system still counts a thread for a moment after it has been joined.
            let most = before + most_threads(8);
            eventually("no thread too many", || threads() <= most);
            key.close();
            assert_eq!(faults.count("sessions open"), 0);
            eventually("its threads are gone", || threads() < before);
        },
    );
}

/// Ends whatever faults there are, except a poison, which the backend has to cure.
fn heal(faults: &mut Faults) {
    for line in [
        "clear",
        "release",
        "return",
        "set sessions=0",
        "set capacity=0",
    ] {
        faults.say(line);
    }
}
