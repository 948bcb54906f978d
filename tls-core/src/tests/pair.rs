//! Both roles against each other: what is negotiated, what is refused, how it ends.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;

use crypto_api::{CipherSuite, CryptoProvider, NamedGroup, ProviderFault, SignatureScheme};
use rustls_pki_types::CertificateDer;

use super::support::*;
use super::wiretap::{Odd, headers};
use crate::config::{CertifiedKey, ClientAuth, ClientConfig, KeyLog, Limits, ServerConfig};
use crate::{AlertDescription, CertificateProblem, ConfigError, Connection, Error, Parameter};

#[test]
fn full_handshake_and_data() {
    for handshake in handshakes(client_settings, server_settings) {
        let (mut client, mut server) = handshake.established();
        assert!(!client.is_handshaking() && !server.is_handshaking());
        for connection in [&client, &server] {
            assert_eq!(
                connection.suite(),
                Some(CipherSuite::TLS_AES_128_GCM_SHA256)
            );
            assert_eq!(connection.group(), Some(NamedGroup::X25519MLKEM768));
            assert_eq!(
                connection.signature_scheme(),
                Some(SignatureScheme::ED25519)
            );
            assert_eq!(connection.alpn(), None);
        }
        assert_eq!(server.server_name(), Some("server.example"));
        assert_eq!(client.peer_certificates().unwrap().len(), 1);
        assert!(server.peer_certificates().is_none());
        exchange_data(&mut client, &mut server);
    }
}

#[test]
fn every_suite_with_every_group() {
    let all = backend_soft::provider();
    for suite in &all.suites {
        for group in &all.groups {
            let settings = || {
                let mut settings = client_settings();
                settings.provider = only(&[suite.id], &[group.id()]);
                settings.key_shares = vec![group.id()];
                settings
            };
            for handshake in handshakes(settings, server_settings) {
                let (mut client, mut server) = handshake.established();
                assert_eq!(server.suite(), Some(suite.id));
                assert_eq!(server.group(), Some(group.id()));
                exchange_data(&mut client, &mut server);
            }
        }
    }
}

#[test]
fn retry_for_a_share() {
    for key_shares in [vec![], vec![NamedGroup::SECP384R1]] {
        for compatible in [true, false] {
            let ours = || {
                let mut settings = client_settings();
                settings.key_shares = key_shares.clone();
                settings.middlebox_compatibility = compatible;
                settings
            };
            let theirs = || {
                let mut settings = server_settings();
                let provider = backend_soft::provider();
                settings.provider = Arc::new(provider.only_groups(&[NamedGroup::X25519]).unwrap());
                settings
            };
            for mut handshake in handshakes(ours, theirs) {
                let streams = core::mem::take(&mut handshake.streams);
                let (mut client, mut server) = handshake.established();
                assert_eq!(client.group(), Some(NamedGroup::X25519));
                exchange_data(&mut client, &mut server);
                // One dummy each, and none without a session id to echo.
                let dummies = |stream: &[u8]| {
                    let dummy = [20, 3, 3, 0, 1, 1];
                    stream.windows(6).filter(|window| *window == dummy).count()
                };
                assert_eq!(dummies(&streams.server), usize::from(compatible));
                assert!(dummies(&streams.client) >= usize::from(compatible));
                assert!(compatible || dummies(&streams.client) == 0);
                // Only the first record says TLS 1.0 (RFC 9846, section 5.1).
                let plain = |stream: &[u8]| -> Vec<u8> {
                    let records = headers(stream).into_iter();
                    records.map(|[_, _, minor, ..]| minor).collect()
                };
                assert_eq!(plain(&streams.client)[0], 1);
                assert!(plain(&streams.client)[1..].iter().all(|minor| *minor == 3));
                assert!(plain(&streams.server).iter().all(|minor| *minor == 3));
            }
        }
    }
}

#[test]
fn nothing_in_common() {
    let aes = [CipherSuite::TLS_AES_128_GCM_SHA256];
    let chacha = [CipherSuite::TLS_CHACHA20_POLY1305_SHA256];
    let (x25519, p256) = ([NamedGroup::X25519], [NamedGroup::SECP256R1]);
    for (our_suites, their_groups, what) in [
        (chacha, x25519, Parameter::CipherSuite),
        (aes, p256, Parameter::Group),
    ] {
        let ours = || {
            let mut settings = client_settings();
            settings.provider = only(&our_suites, &x25519);
            settings.key_shares = x25519.to_vec();
            settings
        };
        let theirs = || {
            let mut settings = server_settings();
            settings.provider = only(&aes, &their_groups);
            settings
        };
        for handshake in handshakes(ours, theirs) {
            let error = handshake.refused(AlertDescription::HANDSHAKE_FAILURE);
            assert_eq!(error, Error::NoCommon(what));
        }
    }
    // The server's only key is an Ed25519 one.
    let ours = || {
        let mut settings = client_settings();
        settings.signature_schemes = vec![SignatureScheme::ECDSA_SECP256R1_SHA256];
        settings
    };
    for handshake in handshakes(ours, server_settings) {
        let error = handshake.refused(AlertDescription::HANDSHAKE_FAILURE);
        assert_eq!(error, Error::NoCommon(Parameter::SignatureScheme));
    }
}

#[test]
fn application_protocols() {
    let protocols =
        |names: &[&str]| -> Vec<Vec<u8>> { names.iter().map(|n| n.as_bytes().to_vec()).collect() };
    for (ours, theirs, agreed) in [
        (
            &["h2", "http/1.1"][..],
            &["http/1.1", "h2"][..],
            Ok(Some("http/1.1")),
        ),
        (&["h2"], &[], Ok(None)),
        (&[], &["h2"], Ok(None)),
        (
            &["spdy"],
            &["h2"],
            Err(AlertDescription::NO_APPLICATION_PROTOCOL),
        ),
    ] {
        let client = || {
            let mut settings = client_settings();
            settings.alpn = protocols(ours);
            settings
        };
        let server = || {
            let mut settings = server_settings();
            settings.alpn = protocols(theirs);
            settings
        };
        for handshake in handshakes(client, server) {
            match agreed {
                Ok(agreed) => {
                    let (client, server) = handshake.established();
                    assert_eq!(client.alpn(), agreed.map(str::as_bytes));
                    assert_eq!(server.alpn(), agreed.map(str::as_bytes));
                }
                Err(alert) => {
                    let error = handshake.refused(alert);
                    assert_eq!(error, Error::NoCommon(Parameter::ApplicationProtocol));
                }
            }
        }
    }
}

#[test]
fn client_authentication() {
    let verifier = || Arc::new(TrustsKeys);
    let required = ClientAuth::Required(verifier());
    let optional = ClientAuth::Optional(verifier());
    for (auth, with_key, works) in [
        (&ClientAuth::None, true, true),
        (&optional, true, true),
        (&optional, false, true),
        (&required, true, true),
        (&required, false, false),
    ] {
        let ours = || {
            let mut settings = client_settings();
            if with_key {
                settings.certificates = Some(Arc::new(certified(&settings.provider)));
            }
            settings
        };
        let theirs = || {
            let mut settings = server_settings();
            settings.client_auth = auth.clone();
            settings
        };
        for handshake in handshakes(ours, theirs) {
            if works {
                let (mut client, mut server) = handshake.established();
                let shown = server.peer_certificates().is_some();
                assert_eq!(shown, with_key && auth.verifier().is_some());
                exchange_data(&mut client, &mut server);
            } else {
                let error = handshake.refused(AlertDescription::CERTIFICATE_REQUIRED);
                let Error::Certificate(error) = error else {
                    panic!("another error: {error}");
                };
                assert_eq!(error.problem, CertificateProblem::Missing);
            }
        }
    }
}

/// The right chain for the verifier's eye, and a key that is not its.
fn bad_identity(spki: &[u8], provider: &CryptoProvider) -> Arc<CertifiedKey> {
    let chain = Arc::from(vec![CertificateDer::from(spki.to_vec())]);
    let key = certified(provider).key().clone();
    Arc::new(CertifiedKey::new(chain, key).unwrap())
}

#[test]
fn certificates_are_verified() {
    let provider = provider();
    let mut other_key = certified(&provider).chain()[0].to_vec();
    *other_key.last_mut().unwrap() ^= 1;
    for (spki, alert) in [
        (&b"refuse me"[..], AlertDescription::UNKNOWN_CA),
        (b"deny me", AlertDescription::ACCESS_DENIED),
        (b"not a key", AlertDescription::DECODE_ERROR),
        (&other_key, AlertDescription::DECRYPT_ERROR),
    ] {
        let bad = || Arc::new(bad_identity(spki, &provider));
        let bad_server = || {
            let mut settings = server_settings();
            settings.certificates = bad();
            settings
        };
        for handshake in handshakes(client_settings, bad_server) {
            handshake.refused(alert);
        }
        let bad_client = || {
            let mut settings = client_settings();
            settings.certificates = Some(bad());
            settings
        };
        let theirs = || {
            let mut settings = server_settings();
            settings.client_auth = ClientAuth::Required(Arc::new(TrustsKeys));
            settings
        };
        for handshake in handshakes(bad_client, theirs) {
            handshake.refused(alert);
        }
    }
}

#[test]
fn both_sides_export_the_same() {
    let (mut client, server) = established();
    let export = |connection: &Connection, label: &[u8], context: &[u8], len| {
        let mut out = vec![0; len];
        connection.export(label, context, &mut out).map(|()| out)
    };
    let one = export(&client, b"EXPERIMENTAL", b"context", 77).unwrap();
    assert_eq!(
        export(&server, b"EXPERIMENTAL", b"context", 77).unwrap(),
        one
    );
    assert_ne!(export(&server, b"EXPERIMENTAL", b"", 77).unwrap(), one);
    assert_ne!(export(&server, b"OTHER", b"context", 77).unwrap(), one);
    assert!(export(&server, &[b'x'; 250], b"", 1).is_err());
    assert!(export(&server, b"x", b"", 255 * 32 + 1).is_err());
    assert!(export(&server, b"x", &[7; 100_000], 255 * 32).is_ok());
    // A failed connection has forgotten its secrets (RFC 9846, section 6).
    let error = feed(
        &mut client,
        &[
            23, 3, 3, 0, 17, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        ],
    );
    let error = error.unwrap_err();
    assert_eq!(export(&client, b"x", b"", 1), Err(error));
    assert!(client.suite().is_some());
}

#[derive(Debug, Default)]
struct Log(Mutex<Vec<(String, Vec<u8>)>>);

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8; 32], secret: &[u8]) {
        self.0
            .lock()
            .unwrap()
            .push((label.to_string(), secret.to_vec()));
    }
}

#[test]
fn both_sides_log_the_same_secrets() {
    let (ours, theirs) = (Arc::new(Log::default()), Arc::new(Log::default()));
    let mut settings = client_settings();
    settings.key_log = Some(ours.clone());
    let mut client = client(settings);
    let mut settings = server_settings();
    settings.key_log = Some(theirs.clone());
    shake(&mut client, &mut server(settings)).unwrap();
    let ours = ours.0.lock().unwrap();
    assert_eq!(*ours, *theirs.0.lock().unwrap());
    let labels: Vec<&str> = ours.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "SERVER_TRAFFIC_SECRET_0",
            "EXPORTER_SECRET"
        ]
    );
}

#[test]
fn small_records() {
    let settings = || {
        let mut settings = server_settings();
        settings.limits = Limits {
            record_payload: 64,
            ..Limits::default()
        };
        settings
    };
    for handshake in handshakes(client_settings, settings) {
        for [.., a, b] in headers(&handshake.streams.server) {
            assert!(u16::from_be_bytes([a, b]) <= 64 + 17);
        }
        let (mut client, mut server) = handshake.established();
        exchange_data(&mut client, &mut server);
    }
}

#[test]
fn nonsense_is_refused_when_configured() {
    let refused = |settings| ClientConfig::new(settings).unwrap_err();
    let mut settings = client_settings();
    settings.key_shares = vec![NamedGroup::X448];
    assert_eq!(
        refused(settings),
        ConfigError::KeyShareWithoutGroup(NamedGroup::X448)
    );
    let mut settings = client_settings();
    settings.key_shares = vec![NamedGroup::X25519; 2];
    assert_eq!(
        refused(settings),
        ConfigError::KeyShareTwice(NamedGroup::X25519)
    );
    let mut settings = client_settings();
    settings.signature_schemes = vec![SignatureScheme::ED448];
    assert_eq!(
        refused(settings),
        ConfigError::NoSuchScheme(SignatureScheme::ED448)
    );
    // PKCS#1 v1.5 is for certificates only (RFC 9846, section 4.3.3).
    let certificates_only = vec![SignatureScheme::RSA_PKCS1_SHA256];
    let mut settings = client_settings();
    settings.signature_schemes = certificates_only.clone();
    assert!(matches!(refused(settings), ConfigError::Limit(_)));
    let mut settings = server_settings();
    settings.signature_schemes = certificates_only;
    assert!(ServerConfig::new(settings.clone()).is_ok());
    settings.client_auth = ClientAuth::Optional(Arc::new(TrustsKeys));
    assert!(matches!(
        ServerConfig::new(settings),
        Err(ConfigError::Limit(_))
    ));
    for (key_len, tag_len, fits) in [(32, 255, true), (33, 16, false), (16, 256, false)] {
        let mut settings = client_settings();
        let mut provider = backend_soft::provider();
        provider.suites[0].aead = Arc::new(Odd { key_len, tag_len });
        let fault = ProviderFault::AeadSize(provider.suites[0].id);
        settings.provider = Arc::new(provider);
        let outcome = ClientConfig::new(settings).map(drop);
        assert_eq!(outcome.is_ok(), fits);
        assert!(fits || outcome == Err(ConfigError::Provider(fault)));
    }
    let mut settings = client_settings();
    settings.alpn = vec![vec![]];
    assert_eq!(refused(settings), ConfigError::ApplicationProtocol);
    let mut settings = client_settings();
    settings.alpn = vec![vec![b'x'; 255]; 300];
    assert_eq!(refused(settings), ConfigError::TooManyApplicationProtocols);

    let mut settings = server_settings();
    settings.limits.record_payload = 16_385;
    assert!(matches!(
        ServerConfig::new(settings),
        Err(ConfigError::Limit(_))
    ));
    let mut settings = server_settings();
    let mut broken = backend_soft::provider();
    broken.hashes.clear();
    settings.provider = Arc::new(broken);
    assert!(matches!(
        ServerConfig::new(settings),
        Err(ConfigError::Provider(_))
    ));
    let key = certified(&provider()).key().clone();
    assert!(matches!(
        CertifiedKey::new(Arc::from(vec![]), key),
        Err(ConfigError::EmptyChain)
    ));
}
