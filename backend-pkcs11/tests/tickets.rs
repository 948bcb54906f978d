//! Session tickets under an HMAC key in SoftHSM.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use backend_pkcs11::{Builder, Pkcs11Tickets, Reason};
use crypto_api::{Error, Op, TicketProtector, conformance};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use rustls_pki_types::UnixTime;
use test_tokens::{Key, Kind, PIN, Token, isolated};

const LIFETIME: u32 = 3600;

fn with_keys(test: &str, labels: &[&str], body: impl Fn(&dyn Fn(&str) -> String)) {
    isolated(test, Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &[Key::P256]) else {
            return;
        };
        // Another key keeps the module initialised for both.
        let provider = backend_soft::provider();
        let key = Builder::new(token.uri(Key::P256), &provider)
            .open()
            .unwrap();
        let context = Pkcs11::new(&token.module).unwrap();
        let slot = context.get_slots_with_initialized_token().unwrap()[0];
        let session = context.open_rw_session(slot).unwrap();
        let pin = AuthPin::new(PIN.into());
        // The whole process is logged in already.
        assert!(session.login(UserType::User, Some(&pin)).is_err());
        for label in labels {
            let template = [
                Attribute::Token(true),
                Attribute::Label((*label).into()),
                Attribute::KeyType(KeyType::GENERIC_SECRET),
                Attribute::ValueLen(32.into()),
                Attribute::Sign(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
            ];
            session
                .generate_key(&Mechanism::GenericSecretKeyGen, &template)
                .unwrap();
        }
        // Not while the module is finalised, which happens when the last key is dropped.
        session.close().unwrap();
        let module = token.module.display();
        let uri = |label: &str| {
            let path = format!("token=keyway;object={label};type=secret-key");
            format!("pkcs11:{path}?pin-value={PIN}&module-path={module}")
        };
        body(&uri);
        key.close();
    });
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[test]
fn what_every_protector_holds_to() {
    with_keys("what_every_protector_holds_to", &["tickets"], |uri| {
        let provider = backend_soft::provider();
        let tickets =
            Pkcs11Tickets::open(Builder::new(uri("tickets"), &provider), &provider, LIFETIME)
                .unwrap();
        conformance::tickets(&tickets);
        // However many tickets, the token worked once for the one or two periods.
        let done = tickets.stats().places[0].done;
        assert!((1..=3).contains(&done), "{done}");
    });
}

#[test]
fn the_token_works_once_per_period() {
    with_keys(
        "the_token_works_once_per_period",
        &["tickets", "other"],
        |uri| {
            let provider = backend_soft::provider();
            let open = |label| {
                Pkcs11Tickets::open(Builder::new(uri(label), &provider), &provider, LIFETIME)
                    .unwrap()
            };
            let tickets = open("tickets");
            let born = 500_000 * u64::from(LIFETIME) + 1800;
            let first = tickets.protect(b"state", at(born));
            assert!(matches!(first, Op::Pending(_)));
            let ticket = first.spin().unwrap();
            // From here on nothing has to wait, also not for what is forged or foreign.
            let state = tickets.unprotect(&ticket, at(born));
            let Op::Ready(Ok(Some(state))) = state else {
                panic!("{state:?}");
            };
            assert_eq!(&state[..], b"state");
            for far in [0, born - 2 * 3600, born + 2 * 3600, u64::MAX] {
                let late = tickets.unprotect(&ticket, at(far));
                assert!(matches!(late, Op::Ready(Ok(None))), "{far}");
            }
            for len in 0..ticket.len() {
                let cut = tickets.unprotect(&ticket[..len], at(born));
                assert!(matches!(cut, Op::Ready(Ok(None))), "{len}");
            }
            assert_eq!(tickets.stats().places[0].done, 1);

            // Another server with the same key opens it in the next period; one with another
            // key does not.
            let state = open("tickets").unprotect(&ticket, at(born + 3000)).spin();
            assert_eq!(&state.unwrap().unwrap()[..], b"state");
            let state = open("other").unprotect(&ticket, at(born)).spin().unwrap();
            assert!(state.is_none());
            let late = open("tickets").unprotect(&ticket, at(born + 3601)).spin();
            assert!(late.unwrap().is_none());
        },
    );
}

#[test]
fn all_who_come_at_once_wait_for_one() {
    let test = "all_who_come_at_once_wait_for_one";
    with_keys(test, &["tickets"], |uri| {
        let provider = backend_soft::provider();
        let builder = Builder::new(uri("tickets"), &provider);
        let tickets = Pkcs11Tickets::open(builder, &provider, LIFETIME).unwrap();
        let now = at(500_000 * u64::from(LIFETIME) + 1800);
        let many = || -> Vec<Op<Vec<u8>>> {
            let protect = |_| tickets.protect(b"state", now);
            (0..100).map(protect).collect()
        };
        // Nobody waits any more: it is taken out, or its result is there for the next.
        drop(many());
        let made = many();
        let asked = tickets.stats().requests;
        assert!((1..=2).contains(&asked), "{asked}");
        // The last ones wait for the one that the first has asked for, and who leaves does not
        // take it along.
        let mut made = made.into_iter();
        drop(made.next());
        let ticket = made.by_ref().last().unwrap().spin().unwrap();
        assert!(tickets.unprotect(&ticket, now).spin().unwrap().is_some());
        assert_eq!(tickets.stats().requests, asked);

        // Of the next period nothing is known, and what cannot be a ticket asks for nothing.
        let next = at(500_001 * u64::from(LIFETIME) + 1);
        let period = 500_001_u64.to_be_bytes();
        let forged = |len: usize| [&[1][..], &period, &vec![7; len]].concat();
        let short = tickets.unprotect(&forged(32 + 8 + 1 + 15), next);
        assert!(matches!(short, Op::Ready(Ok(None))));
        let waiting: Vec<_> = (0..100)
            .map(|_| tickets.unprotect(&forged(100), next))
            .collect();
        for op in waiting {
            assert!(op.spin().unwrap().is_none());
        }
        assert_eq!(tickets.stats().requests, asked + 1);
    });
}

/// Threads that sleep until they are woken, of which only one is by the token.
#[test]
fn who_sleeps_is_woken() {
    with_keys("who_sleeps_is_woken", &["tickets"], |uri| {
        let provider = backend_soft::provider();
        let builder = Builder::new(uri("tickets"), &provider);
        let tickets = Pkcs11Tickets::open(builder, &provider, LIFETIME).unwrap();
        for period in 500_000..500_020_u64 {
            let now = at(period * u64::from(LIFETIME) + 1800);
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| sleep_for(tickets.protect(b"state", now))))
                    .collect();
                for thread in threads {
                    thread.join().unwrap().unwrap();
                }
            });
        }
        assert_eq!(tickets.stats().places[0].done, 20);
    });
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn sleep_for<T>(op: Op<T>) -> Result<T, Error> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut pending = match op {
        Op::Ready(outcome) => return outcome,
        Op::Pending(pending) => pending,
    };
    loop {
        if let Poll::Ready(outcome) = pending.poll(&mut cx) {
            return outcome;
        }
        std::thread::park();
    }
}

#[test]
fn keys_that_cannot() {
    with_keys("keys_that_cannot", &["tickets", "other"], |uri| {
        let provider = backend_soft::provider();
        let open = |builder, lifetime| {
            let outcome = Pkcs11Tickets::open(builder, &provider, lifetime);
            outcome.expect_err("it was opened").reason().clone()
        };
        let builder = |label| Builder::new(uri(label), &provider);
        let none = open(builder("none"), LIFETIME);
        assert!(matches!(none, Reason::NoObject { .. }), "{none}");
        for lifetime in [0, 7 * 24 * 3600 + 1] {
            let reason = open(builder("tickets"), lifetime);
            assert!(matches!(reason, Reason::Setting(_)), "{reason}");
        }
        // What the URI says it is, it must be.
        for other in ["private", "data"] {
            let uri = uri("tickets").replace("type=secret-key", &format!("type={other}"));
            let reason = open(Builder::new(uri, &provider), LIFETIME);
            assert!(matches!(reason, Reason::WrongType { .. }), "{reason}");
        }
        // A second token must hold the same key.
        let two = open(builder("tickets").also_at(uri("other")), LIFETIME);
        assert_eq!(two, Reason::OtherKey);
    });
}
