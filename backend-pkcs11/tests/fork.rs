//! A process that forks: the child's copy of a key, of a protector of tickets and of a key
//! that is being opened says so, whatever it is asked, instead of hanging or working with the
//! parent's session; and the child can open the key for itself.
//!
//! SoftHSM with `library.reset_on_fork` forgets its sessions in the child, as a module that
//! talks to a device has to.

use std::future::Future;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use backend_pkcs11::{Builder, Load, Pkcs11Key, Pkcs11Tickets, Reason};
use crypto_api::{CryptoProvider, Error, Op, SignatureScheme, SigningKey, TicketProtector};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType};
use pkcs11_fault::{Control, Script};
use rustls_pki_types::UnixTime;
use test_tokens::{Key, Kind, Token, fault_module};

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;

fn main() -> ExitCode {
    let Some(dir) = std::env::var_os("FORK_TOKEN") else {
        return start();
    };
    let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir.as_ref(), &[Key::P256]) else {
        return ExitCode::SUCCESS;
    };
    // After the token was made, which does not need it.
    let configuration = std::env::var_os("SOFTHSM2_CONF").unwrap();
    let mut file = std::fs::File::options()
        .append(true)
        .open(configuration)
        .unwrap();
    writeln!(file, "library.reset_on_fork = true").unwrap();
    drop(file);

    let provider = backend_soft::provider();
    let key = Pkcs11Key::builder(token.uri(Key::P256), &provider)
        .open()
        .unwrap();
    make_hmac_key(&token);
    sign(&key, &provider).unwrap();
    a_child_opens_the_key_for_itself(&key, &token, &provider);
    a_child_is_answered_whatever_it_asks(&key, &provider);
    a_child_does_not_wait_for_a_signature(&key, &provider);
    forks_while_threads_sign(&key, &provider);
    tickets_in_a_child(&token, &provider);
    key.close();
    forks_while_a_login_hangs(&token, dir.as_ref(), &provider);
    println!("all children were content");
    ExitCode::SUCCESS
}

/// Runs `body` in a forked child, which has to end well and soon.
fn in_child(body: impl FnOnce()) {
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_secs(30));
                eprintln!("a child hangs");
                std::process::abort();
            });
            let outcome = catch_unwind(AssertUnwindSafe(body));
            // Not by an exit, which would run the module's destructors: threads of the parent
            // were inside when it forked, and what they held is held for ever here.
            let end = if outcome.is_ok() { "true" } else { "false" };
            panic!("{}", Command::new(end).exec());
        }
        fork::Fork::Parent(child) => assert_eq!(fork::waitpid(child).unwrap(), 0),
    }
}

fn a_child_opens_the_key_for_itself(key: &Pkcs11Key, token: &Token, provider: &CryptoProvider) {
    let before = key.stats().places[0].done;
    let copy = key.clone();
    in_child(move || {
        let refused = sign(&copy, provider).unwrap_err();
        assert!(refused.contains("has forked since"), "{refused}");
        let own = Pkcs11Key::builder(token.uri(Key::P256), provider)
            .open()
            .unwrap();
        sign(&own, provider).unwrap();
        assert_eq!(own.stats().places[0].done, 1);
        // The copy's end disturbs nobody.
        drop(copy);
        sign(&own, provider).unwrap();
        own.close();
    });
    sign(key, provider).unwrap();
    assert_eq!(key.stats().places[0].done, before + 1);
}

/// What a child can ask of a key of its parent's, and what it is told.
fn ask_all(key: Pkcs11Key, provider: &CryptoProvider) {
    let stats = key.stats();
    let place = &stats.places[0];
    // What was counted until the fork, perhaps in the middle of a request; nothing is going
    // on here.
    assert!(stats.requests > 0 && place.done > 0, "{stats}");
    assert!(!place.up && stats.queued == 0, "{stats}");
    assert_eq!((place.in_flight, place.threads), (0, 0), "{stats}");
    assert!(stats.to_string().contains(" DOWN: done "), "{stats}");
    assert_eq!(key.load(), Load::Down);
    // What was found out when the key was opened stays true.
    assert!(key.uri().starts_with("pkcs11:") && format!("{key:?}").contains(key.uri()));
    assert_eq!(key.schemes(), [SCHEME]);
    assert!(key.public_key().is_some() && !key.certificate_chain().is_empty());
    assert_eq!(key.implementation().backend, "pkcs11");
    let Op::Ready(Err(Error::Backend { detail, .. })) =
        key.sign(SCHEME, b"message", &*provider.random)
    else {
        panic!("not refused at once");
    };
    assert!(detail.contains("open it again in the child"), "{detail}");
    let copy = key.clone();
    let start = Instant::now();
    key.close();
    copy.close();
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "it was waited for"
    );
}

/// What is under way while the process forks is the parent's.
fn a_child_does_not_wait_for_a_signature(key: &Pkcs11Key, provider: &CryptoProvider) {
    for _ in 0..20 {
        let asked = || key.sign(SCHEME, b"message", &*provider.random);
        let (under_way, given_up) = (asked(), asked());
        let Op::Pending(mut under_way) = under_way else {
            panic!("done at once");
        };
        let mut cx = Context::from_waker(Waker::noop());
        in_child(|| {
            let Poll::Ready(Err(error)) = under_way.poll(&mut cx) else {
                panic!("the child waits for the parent's token");
            };
            assert!(error.to_string().contains("has forked since"), "{error}");
            drop(given_up);
        });
        let signature = Op::Pending(under_way).spin().unwrap();
        assert!(signature.len() >= 68);
    }
}

fn a_child_is_answered_whatever_it_asks(key: &Pkcs11Key, provider: &CryptoProvider) {
    let done = key.stats().places[0].done;
    let copy = key.clone();
    in_child(move || {
        assert_eq!(copy.stats().places[0].done, done);
        ask_all(copy, provider);
    });
    // A fork of the fork.
    let copy = key.clone();
    in_child(move || in_child(move || ask_all(copy, provider)));
    sign(key, provider).unwrap();
}

/// Locks that are held while the process forks stay so in the child.
fn forks_while_threads_sign(key: &Pkcs11Key, provider: &CryptoProvider) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    sign(key, provider).unwrap();
                    let _ = (key.stats(), key.load());
                }
            });
        }
        // The load ends also if a child fails.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..50 {
                let copy = key.clone();
                in_child(move || ask_all(copy, provider));
            }
        }));
        stop.store(true, Relaxed);
        outcome.unwrap();
    });
}

/// In the token that the process is logged in to.
fn make_hmac_key(token: &Token) {
    let context = Pkcs11::new(&token.module).unwrap();
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    let session = context.open_rw_session(slot).unwrap();
    let template = [
        Attribute::Token(true),
        Attribute::Label("tickets".into()),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::ValueLen(32.into()),
        Attribute::Sign(true),
    ];
    session
        .generate_key(&Mechanism::GenericSecretKeyGen, &template)
        .unwrap();
    session.close().unwrap();
}

/// Neither what is known of a period nor what is being computed is the child's.
fn tickets_in_a_child(token: &Token, provider: &CryptoProvider) {
    let uri = token.uri(Key::P256).replace("p256", "tickets");
    let open = || Builder::new(uri.clone(), provider);
    let tickets = Pkcs11Tickets::open(open(), provider, 3600).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(500_000 * 3600 + 1800));
    let next = UnixTime::since_unix_epoch(Duration::from_secs(500_001 * 3600 + 1800));
    let ticket = tickets.protect(b"state", now).spin().unwrap();
    let under_way = tickets.protect(b"state", next);
    assert!(matches!(under_way, Op::Pending(_)));
    let copy = tickets.clone();
    in_child(|| {
        assert!(copy.stats().requests > 0);
        let refused = [
            copy.unprotect(&ticket, now).spin().unwrap_err(),
            copy.protect(b"state", next).spin().unwrap_err(),
            under_way.spin().unwrap_err(),
        ];
        for error in refused {
            assert!(error.to_string().contains("has forked since"), "{error}");
        }
        copy.close();
        let own = Pkcs11Tickets::open(open(), provider, 3600).unwrap();
        let state = own.unprotect(&ticket, now).spin().unwrap().unwrap();
        assert_eq!(&state[..], b"state");
        own.close();
    });
    let state = tickets.unprotect(&ticket, now).spin().unwrap().unwrap();
    assert_eq!(&state[..], b"state");
    tickets.close();
}

/// What a thread of the parent is at, the child does not wait for.
fn forks_while_a_login_hangs(token: &Token, dir: &Path, provider: &CryptoProvider) {
    let script = "[[rule]]\nname = 'stuck'\nfunctions = ['C_Login']\nhang = true\n\
                  when = { times = 1 }";
    let mut script = Script::parse(script).unwrap();
    script.module = Some(token.module.clone());
    script.socket = Some(dir.join("fault.sock"));
    std::fs::write(dir.join("fault.toml"), script.to_toml()).unwrap();
    let uri = token.uri_through(Key::P256, &fault_module());
    let builder = || {
        let builder = Pkcs11Key::builder(uri.clone(), provider);
        builder.hang_limit(Duration::from_secs(3600))
    };
    let mut hanging = Some(builder().open_async());
    let mut control = loop {
        std::thread::sleep(Duration::from_millis(1));
        if let Ok(control) = Control::connect(&dir.join("fault.sock")) {
            break control;
        }
    };
    while control.stats().unwrap().get("hanging now") == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    in_child(|| {
        let mut copy = hanging.take().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let polled = std::pin::Pin::new(&mut copy).poll(&mut cx);
        let waited = copy.wait();
        for refused in [
            polled.map(Result::unwrap_err),
            Poll::Ready(waited.unwrap_err()),
        ] {
            let Poll::Ready(refused) = refused else {
                panic!("the child waits for the parent's thread");
            };
            assert_eq!(*refused.reason(), Reason::Forked);
        }
        let own = builder().open().unwrap();
        sign(&own, provider).unwrap();
        own.close();
    });
    control.say("release").unwrap();
    let key = hanging.take().unwrap().wait().unwrap();
    sign(&key, provider).unwrap();
    key.close();
}

fn sign(key: &Pkcs11Key, provider: &CryptoProvider) -> Result<(), String> {
    let signature = key
        .blocking()
        .sign(SCHEME, b"message", &*provider.random)
        .spin();
    let signature = signature.map_err(|error| error.to_string())?;
    assert!(signature.len() >= 68);
    Ok(())
}

/// The token's environment must be there when the process starts.
fn start() -> ExitCode {
    let dir = std::env::temp_dir().join(format!("keyway-fork-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .envs(Kind::SoftHsm.environment(&dir))
        .env("FORK_TOKEN", &dir)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
    let skipped = text.contains("skipped: ");
    assert!(skipped || text.contains("all children were content"));
    println!("test a_forked_child_opens_the_key_for_itself ... ok");
    ExitCode::SUCCESS
}
