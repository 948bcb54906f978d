//! What goes to the recorder of the `metrics` crate: the counters, by key and token, and
//! nothing secret.

use std::process::Command;

use backend_pkcs11::Pkcs11Key;
use crypto_api::{SignatureScheme, SigningKey};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use test_tokens::{Key, Kind, LABEL, PIN, Token, isolated};

const DISTINCT: &str = "not-a-number";

#[test]
fn counters_reach_the_recorder() {
    isolated("counters_reach_the_recorder", Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &[Key::P256]) else {
            return;
        };
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        recorder.install().unwrap();
        let provider = backend_soft::provider();
        // A PIN that no number, time or address has in it by chance.
        let changed = Command::new("pkcs11-tool")
            .arg("--module")
            .arg(&token.module)
            .args(["--token-label", &token.label, "--login", "--change-pin"])
            .args(["--pin", PIN, "--new-pin", DISTINCT])
            .output()
            .unwrap();
        assert!(changed.status.success(), "{changed:?}");
        let uri = token.uri(Key::P256);
        let uri = uri.replace(
            &format!("pin-value={PIN}"),
            &format!("pin-value={DISTINCT}"),
        );
        let key = Pkcs11Key::builder(uri, &provider).open().unwrap();
        let blocking = key.blocking();
        for n in 0..7u8 {
            let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
            let signature = blocking.sign(scheme, &[n], &*provider.random);
            signature.spin().unwrap();
        }
        drop(blocking);
        key.close();
        let mut counted = Vec::new();
        for (name, _, _, value) in snapshotter.snapshot().into_vec() {
            let text = format!("{name:?} {value:?}");
            assert!(!text.contains(DISTINCT), "{text}");
            assert!(!text.contains("pin-value"), "{text}");
            let labels: Vec<_> = name.key().labels().collect();
            let has = |label: &str, part: &str| {
                let mut labels = labels.iter();
                labels.any(|each| each.key() == label && each.value().contains(part))
            };
            assert!(has("key", "object=p256"), "{text}");
            let name = name.key().name().to_owned();
            match (&*name, value) {
                ("pkcs11_requests_total", DebugValue::Counter(count)) => assert_eq!(count, 7),
                ("pkcs11_operations_total", DebugValue::Counter(count)) => {
                    assert_eq!(count, 7);
                    assert!(has("token", LABEL));
                }
                ("pkcs11_queue_wait_seconds", DebugValue::Histogram(times)) => {
                    assert_eq!(times.len(), 7);
                }
                ("pkcs11_token_seconds", DebugValue::Histogram(times)) => {
                    assert_eq!(times.len(), 7);
                    assert!(times.iter().all(|time| time.0 > 0.0 && time.0 < 10.0));
                }
                ("pkcs11_sessions_opened_total", DebugValue::Counter(count)) => {
                    assert!(count >= 1);
                }
                ("pkcs11_hanging" | "pkcs11_failed_total", value) => {
                    let nothing = matches!(value, DebugValue::Counter(0))
                        || matches!(value, DebugValue::Gauge(count) if count.0 == 0.0);
                    assert!(nothing, "{value:?}");
                }
                ("pkcs11_errors_total", value) => panic!("{value:?}"),
                _ => continue,
            }
            counted.push(name);
        }
        assert_eq!(counted.len(), 7, "{counted:?}");
    });
}
