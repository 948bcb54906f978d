//! What a program is told when a key cannot be opened: each names the key by its URI,
//! without the PIN.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

use backend_pkcs11::{Builder, OpenError, Pin, PinError, Pkcs11Key, Reason, Sessions};
use crypto_api::{SignatureScheme, SigningKey};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use test_tokens::{Key, Kind, LABEL, PIN, Token, isolated};

fn builder(uri: &str) -> Builder {
    Pkcs11Key::builder(uri, &backend_soft::provider())
}

fn refused(builder: Builder) -> OpenError {
    let error = builder.open().expect_err("the key was opened");
    let text = error.to_string();
    assert!(text.starts_with("pkcs11:"), "{text}");
    assert!(text.starts_with(error.uri()), "{text}");
    assert!(
        !text.contains("pin-value") && !text.contains("4711"),
        "{text}"
    );
    println!("{text}");
    error
}

/// OpenSC's tool, for objects that are out of the ordinary.
fn pkcs11_tool(token: &Token, arguments: &[&str]) {
    let status = Command::new("pkcs11-tool")
        .arg("--module")
        .arg(&token.module)
        .args(["--token-label", LABEL, "--login", "--pin", PIN])
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .expect("pkcs11-tool is installed (Debian: opensc)");
    assert!(status.success(), "pkcs11-tool {arguments:?}");
}

/// A key whose CKA_SIGN is false.
fn key_that_may_not_sign(token: &Token) {
    let context = Pkcs11::new(&token.module).unwrap();
    let slots = context.get_slots_with_initialized_token().unwrap();
    // The user is logged in, as the whole process is.
    let session = context.open_rw_session(slots[0]).unwrap();
    let named = [Attribute::Token(true), Attribute::Label("derives".into())];
    let p256 = vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let public = [&named[..], &[Attribute::EcParams(p256)]].concat();
    let may = [Attribute::Sign(false), Attribute::Derive(true)];
    let private = [&named[..], &may].concat();
    session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .unwrap();
}

fn soft_hsm(test: &str, keys: &[Key], body: impl Fn(&Token, &Path)) {
    isolated(test, Kind::SoftHsm, |dir| {
        if let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, keys) {
            body(&token, dir);
        }
    });
}

#[test]
fn no_module() {
    let error = refused(builder("pkcs11:object=a?pin-value=4711"));
    assert_eq!(*error.reason(), Reason::NoModule);
    assert_eq!(error.uri(), "pkcs11:object=a");

    let error = refused(builder(
        "pkcs11:object=a?pin-value=4711&module-path=/no/such.so",
    ));
    assert!(matches!(error.reason(), Reason::Load { .. }));
    let text = error.to_string();
    assert!(
        text.contains("cannot load the module /no/such.so: "),
        "{text}"
    );
    assert!(text.contains("No such file"), "{text}");

    // A library, and no module.
    let libc = [
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib/aarch64-linux-gnu/libm.so.6",
    ];
    if let Some(libc) = libc.iter().find(|path| Path::new(path).exists()) {
        let error = refused(builder("pkcs11:object=a").module(libc));
        let text = error.to_string();
        assert!(text.contains("no C_GetFunctionList"), "{text}");
    } else {
        // Not by a macro, whose output the harness keeps to itself.
        let mut stderr = std::io::stderr();
        let text = "skipped: a library that is no module: not where Debian has it";
        writeln!(stderr, "{text}").unwrap();
    }

    let error = refused(builder("pkcs11:objekt=a?pin-value=4711"));
    assert!(matches!(error.reason(), Reason::Uri(_)));
}

#[test]
fn settings_that_make_no_sense() {
    let uri = "pkcs11:object=a?module-path=/no/such.so";
    for builder in [
        builder(uri).sessions(Sessions::Fixed(0)),
        builder(uri).sessions(Sessions::Adaptive { min: 3, max: 2 }),
        builder(uri).queue(0),
        builder(uri).deadline(std::time::Duration::ZERO),
    ] {
        assert!(matches!(refused(builder).reason(), Reason::Setting(_)));
    }
}

/// The longest time there is means for ever, and is no reason to panic.
#[test]
fn times_without_end() {
    let never = std::time::Duration::MAX;
    let builder = builder("pkcs11:object=a?module-path=/no/such.so")
        .deadline(never)
        .hang_limit(never)
        .hedge_after(never)
        .retry_interval(never)
        .open_timeout(never);
    assert!(matches!(refused(builder).reason(), Reason::Load { .. }));
    soft_hsm("times_without_end", &[Key::P256], |token, _| {
        let key = Pkcs11Key::builder(token.uri(Key::P256), &backend_soft::provider())
            .deadline(never)
            .hang_limit(never)
            .hedge_after(never)
            .retry_interval(never)
            .open_timeout(never)
            .open()
            .unwrap();
        let provider = backend_soft::provider();
        let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
        let signed = key.blocking().sign(scheme, b"message", &*provider.random);
        signed.spin().unwrap();
        key.close();
    });
}

#[test]
fn tokens_and_pins() {
    soft_hsm("tokens_and_pins", &[Key::P256], |token, dir| {
        let module = token.module.display();
        let uri = |path: &str| format!("pkcs11:{path}?module-path={module}");

        let error =
            refused(builder(&uri("token=other;object=p256")).pin(Pin::value("4711".to_owned())));
        assert!(matches!(error.reason(), Reason::NoToken { .. }));
        let text = error.to_string();
        assert!(
            text.contains("no token fits; there are pkcs11:token=keyway"),
            "{text}"
        );

        let error = refused(builder(&uri("library-version=9.9;object=p256")));
        assert!(matches!(error.reason(), Reason::OtherLibrary { .. }));

        let here = uri("token=keyway;object=p256");
        let error = refused(builder(&here));
        assert_eq!(*error.reason(), Reason::Pin(PinError::Missing));

        let error = refused(builder(&format!("{here}&pin-value=4711")));
        assert!(matches!(error.reason(), Reason::Pin(PinError::Refused(_))));
        let text = error.to_string();
        assert!(
            text.contains("the token refused the PIN (CKR_PIN_INCORRECT)"),
            "{text}"
        );

        // The module stays in use by this key, and its token remembers.
        let good = builder(&format!("{here}&pin-value={PIN}")).open().unwrap();
        good.close();

        let file = dir.join("pin");
        for (content, fails) in [("1234\n", false), ("1234\r\n", false), ("\n", true)] {
            std::fs::write(&file, content).unwrap();
            let uri = format!("{here}&pin-source=file:{}", file.display());
            match builder(&uri).open() {
                Ok(key) => {
                    assert!(!fails);
                    key.close();
                }
                Err(error) => assert!(fails, "{error}"),
            }
        }
        let error = refused(builder(&format!("{here}&pin-source=/no/such/pin")));
        let text = error.to_string();
        assert!(
            text.contains("no PIN: /no/such/pin: No such file"),
            "{text}"
        );
        let error = refused(builder(&format!("{here}&pin-source=|/bin/echo")));
        let text = error.to_string();
        assert!(text.contains("names a program"), "{text}");
        let error = refused(builder(&format!("{here}&pin-source=env:NO_SUCH_PIN")));
        let text = error.to_string();
        assert!(text.contains("NO_SUCH_PIN is not set"), "{text}");
        let error = refused(builder(&here).pin(Pin::protected_path()));
        let text = error.to_string();
        assert!(text.contains("no protected authentication path"), "{text}");

        let asked = Pin::callback(|token| {
            assert_eq!(token, LABEL);
            Ok(PIN.to_owned().into())
        });
        builder(&here).pin(asked).open().unwrap().close();
        let error = refused(builder(&here).pin(Pin::callback(|_| Err("nobody is there".into()))));
        let text = error.to_string();
        assert!(text.contains("no PIN: nobody is there"), "{text}");
    });
}

/// A pipe gives its content once; a reload and a second place want it again.
#[test]
fn a_pin_from_a_descriptor() {
    soft_hsm("a_pin_from_a_descriptor", &[Key::P256], |token, _| {
        let module = token.module.display();
        let pipe = |pin: &str| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            writer.write_all(pin.as_bytes()).unwrap();
            reader
        };
        let reader = pipe("1234\n");
        let number = reader.as_raw_fd();
        let here = format!("pkcs11:token=keyway;object=p256?module-path={module}");
        let uri = format!("{here}&pin-source=fd:{number}");
        let twice = builder(&uri).also_at(uri.clone());
        let open = || twice.clone().open().unwrap();
        // As a key does that is exchanged for one of the same URI.
        let (first, second) = (open(), open());
        first.close();
        second.close();
        // It need not stay open either, nor be the pipe for ever.
        drop(reader);
        open().close();
        let nothing = pipe("");
        open().close();
        drop(nothing);

        // A program that passes a descriptor means what is there now.
        let reader = pipe("4711");
        let now = || Pin::descriptor(u32::try_from(reader.as_raw_fd()).unwrap());
        let error = refused(builder(&here).pin(now()));
        assert!(matches!(error.reason(), Reason::Pin(PinError::Refused(_))));
        // Which is nothing by now.
        let error = refused(builder(&here).pin(now())).to_string();
        assert!(error.contains("gave an empty PIN"), "{error}");
        let error = refused(builder(&format!("{here}&pin-source=fd:9999"))).to_string();
        assert!(error.contains("no PIN: file descriptor 9999: "), "{error}");
        let error = refused(builder(&format!("{here}&pin-source=fd:pin"))).to_string();
        assert!(error.contains("fd: needs a number"), "{error}");
    });
}

#[test]
fn a_pin_from_the_environment() {
    const TEST: &str = "a_pin_from_the_environment";
    const NAME: &str = "KEYWAY_TEST_PIN";
    if std::env::var_os(NAME).is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact"])
            .env(NAME, PIN)
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    soft_hsm(TEST, &[Key::P256], |token, _| {
        let module = token.module.display();
        let here = format!("pkcs11:token=keyway;object=p256?module-path={module}");
        let uri = format!("{here}&pin-source=env:{NAME}");
        builder(&uri).open().unwrap().close();
        let builder = builder(&here).pin(Pin::environment(NAME));
        builder.open().unwrap().close();
    });
}

#[test]
fn objects() {
    soft_hsm("objects", &[Key::P256, Key::Rsa2048], |token, _| {
        let module = token.module.display();
        let uri =
            |path: &str| format!("pkcs11:token=keyway;{path}?pin-value={PIN}&module-path={module}");
        let error = refused(builder(&uri("object=other")));
        assert!(matches!(error.reason(), Reason::NoObject { .. }));
        let text = error.to_string();
        assert!(text.contains("no private key fits; there are "), "{text}");
        assert!(
            text.contains("pkcs11:object=p256;id=%02;type=private"),
            "{text}"
        );

        let error = refused(builder(&uri("type=private")));
        assert!(matches!(error.reason(), Reason::ManyObjects { .. }));
        let text = error.to_string();
        assert!(text.contains("add id or object: "), "{text}");
        assert!(text.contains("object=rsa2048"), "{text}");

        // One of that label is there, and it is not what the URI says.
        for class in ["data", "secret-key"] {
            let error = refused(builder(&uri(&format!("object=p256;type={class}"))));
            assert!(matches!(error.reason(), Reason::WrongType { .. }));
            let text = error.to_string();
            let expected = format!("the URI's type={class} is not that of a private key");
            assert!(text.ends_with(&expected), "{text}");
        }

        // By CKA_ID, by certificate and by public key it is the same key.
        let by_label = builder(&token.uri(Key::P256)).open().unwrap();
        for path in ["id=%02", "object=p256;type=cert", "object=p256;type=public"] {
            let key = builder(&uri(path)).open().unwrap();
            use crypto_api::SigningKey;
            assert_eq!(key.public_key(), by_label.public_key(), "{path}");
            assert_eq!(key.certificate_chain(), by_label.certificate_chain());
        }

        // A second place must hold the same key.
        let error = refused(builder(&token.uri(Key::P256)).also_at(token.uri(Key::Rsa2048)));
        assert_eq!(*error.reason(), Reason::OtherKey);
        assert!(error.uri().contains("object=rsa2048"), "{error}");

        // A key that may derive only.
        key_that_may_not_sign(token);
        let error = refused(builder(&uri("object=derives")));
        assert_eq!(*error.reason(), Reason::NotForSigning);

        // A certificate under the key's CKA_ID and label that belongs to another key.
        let keypair = [
            "--keypairgen",
            "--key-type",
            "EC:prime256v1",
            "--usage-sign",
        ];
        let names = ["--id", "78", "--label", "stranger"];
        pkcs11_tool(token, &[&keypair[..], &names].concat());
        let file = std::env::temp_dir().join(format!("stranger-{}.der", std::process::id()));
        std::fs::write(&file, &by_label.certificate_chain()[0]).unwrap();
        let certificate = ["--type", "cert", "--write-object", file.to_str().unwrap()];
        pkcs11_tool(token, &[&certificate[..], &names].concat());
        std::fs::remove_file(&file).unwrap();
        let error = refused(builder(&uri("object=stranger;id=%78")));
        assert!(matches!(error.reason(), Reason::CertificateMismatch { .. }));
        let text = error.to_string();
        assert!(text.contains("belongs to another key"), "{text}");

        // The same from the program.
        let chain = by_label.certificate_chain().to_vec();
        let error = refused(builder(&token.uri(Key::Rsa2048)).certificates(chain.clone()));
        assert!(matches!(error.reason(), Reason::CertificateMismatch { .. }));
        let given = builder(&token.uri(Key::P256)).certificates(chain[..1].to_vec());
        assert_eq!(given.open().unwrap().certificate_chain(), &chain[..1]);
    });
}
