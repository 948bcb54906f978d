//! A process that forks: the child's copy of a key says so instead of hanging or signing
//! with the parent's session, and the child can open the key for itself.
//!
//! SoftHSM with `library.reset_on_fork` forgets its sessions in the child, as a module that
//! talks to a device has to.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use backend_pkcs11::Pkcs11Key;
use crypto_api::{CryptoProvider, SignatureScheme, SigningKey};
use pkcs11_fault::{Control, Script};
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
    sign(&key, &provider).unwrap();
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            let refused = sign(&key, &provider).unwrap_err();
            assert!(refused.contains("has forked since"), "{refused}");
            let own = Pkcs11Key::builder(token.uri(Key::P256), &provider)
                .open()
                .unwrap();
            sign(&own, &provider).unwrap();
            assert_eq!(own.stats().places[0].done, 1);
            // The copy's end disturbs nobody.
            drop(key);
            sign(&own, &provider).unwrap();
            own.close();
            println!("the child is content");
            ExitCode::SUCCESS
        }
        fork::Fork::Parent(child) => {
            sign(&key, &provider).unwrap();
            fork::waitpid(child).unwrap();
            sign(&key, &provider).unwrap();
            assert_eq!(key.stats().places[0].done, 3);
            key.close();
            forks_while_a_login_hangs(&token, dir.as_ref(), &provider);
            ExitCode::SUCCESS
        }
    }
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
    let hanging = builder().open_async();
    let mut control = loop {
        std::thread::sleep(Duration::from_millis(1));
        if let Ok(control) = Control::connect(&dir.join("fault.sock")) {
            break control;
        }
    };
    while control.stats().unwrap().get("hanging now") == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            let own = builder().open().unwrap();
            sign(&own, provider).unwrap();
            own.close();
            println!("this child too");
            std::process::exit(0);
        }
        fork::Fork::Parent(child) => {
            fork::waitpid(child).unwrap();
            control.say("release").unwrap();
            let key = hanging.wait().unwrap();
            sign(&key, provider).unwrap();
            key.close();
        }
    }
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
    assert!(skipped || text.contains("the child is content") && text.contains("this child too"));
    println!("test a_forked_child_opens_the_key_for_itself ... ok");
    ExitCode::SUCCESS
}
