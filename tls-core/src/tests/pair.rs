//! Both roles against each other: what is negotiated, what is refused, how it ends.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;

use crypto_api::{CipherSuite, CryptoProvider, NamedGroup, Payload, SignatureScheme};
use rustls_pki_types::CertificateDer;

use super::support::*;
use crate::config::{
    CertificatesByName, CertifiedKey, ClientAuth, ClientConfig, KeyLog, Limits, ServerConfig,
};
use crate::wire::codec::Write;
use crate::wire::hello::RETRY_RANDOM;
use crate::{
    AlertDescription, CertificateProblem, ConfigError, Connection, Error, Event, Misbehaviour,
    Parameter,
};

fn established() -> (Connection, Connection) {
    let mut client = client(client_settings());
    let mut server = server(server_settings());
    shake(&mut client, &mut server).unwrap();
    (client, server)
}

#[test]
fn full_handshake_and_data() {
    let (mut client, mut server) = established();
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

#[test]
fn every_suite_with_every_group() {
    let all = backend_soft::provider();
    for suite in &all.suites {
        for group in &all.groups {
            let only = |provider: CryptoProvider| {
                let provider = provider.only_suites(&[suite.id]).unwrap();
                Arc::new(provider.only_groups(&[group.id()]).unwrap())
            };
            let mut settings = client_settings();
            settings.provider = only(backend_soft::provider());
            settings.key_shares = vec![group.id()];
            let mut client = client(settings);
            let mut server = server(server_settings());
            shake(&mut client, &mut server).unwrap();
            assert_eq!(server.suite(), Some(suite.id));
            assert_eq!(server.group(), Some(group.id()));
            exchange_data(&mut client, &mut server);
        }
    }
}

#[test]
fn retry_for_a_share() {
    for key_shares in [vec![], vec![NamedGroup::SECP384R1]] {
        for compatible in [true, false] {
            let mut settings = client_settings();
            settings.key_shares = key_shares.clone();
            settings.middlebox_compatibility = compatible;
            let mut client = client(settings);
            let mut settings = server_settings();
            let provider = backend_soft::provider();
            settings.provider = Arc::new(provider.only_groups(&[NamedGroup::X25519]).unwrap());
            let mut server = server(settings);
            let streams = shake(&mut client, &mut server).unwrap();
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
        }
    }
}

#[test]
fn nothing_in_common() {
    let provider = |suites: &[CipherSuite], groups: &[NamedGroup]| {
        let provider = backend_soft::provider().only_suites(suites).unwrap();
        Arc::new(provider.only_groups(groups).unwrap())
    };
    let aes = [CipherSuite::TLS_AES_128_GCM_SHA256];
    let chacha = [CipherSuite::TLS_CHACHA20_POLY1305_SHA256];
    let (x25519, p256) = ([NamedGroup::X25519], [NamedGroup::SECP256R1]);
    for (ours, theirs, what) in [
        (
            provider(&aes, &x25519),
            provider(&chacha, &x25519),
            Parameter::CipherSuite,
        ),
        (
            provider(&aes, &x25519),
            provider(&aes, &p256),
            Parameter::Group,
        ),
    ] {
        let mut settings = client_settings();
        settings.key_shares = vec![ours.groups[0].id()];
        settings.provider = ours;
        let mut client = client(settings);
        let mut settings = server_settings();
        settings.provider = theirs;
        let mut server = server(settings);
        let (error, alert) = shake_and_fail(&mut client, &mut server);
        assert_eq!(error, Error::NoCommon(what));
        let expected = Error::AlertReceived(AlertDescription::HANDSHAKE_FAILURE);
        assert_eq!(alert, Some(expected));
    }
    // The server's only key is an Ed25519 one.
    let mut settings = client_settings();
    settings.signature_schemes = vec![SignatureScheme::ECDSA_SECP256R1_SHA256];
    let (error, _) = shake_and_fail(&mut client(settings), &mut server(server_settings()));
    assert_eq!(error, Error::NoCommon(Parameter::SignatureScheme));
}

#[test]
fn application_protocols() {
    let protocols = |names: &[&str]| names.iter().map(|n| n.as_bytes().to_vec()).collect();
    for (ours, theirs, agreed) in [
        (
            &["h2", "http/1.1"][..],
            &["http/1.1", "h2"][..],
            Some("http/1.1"),
        ),
        (&["h2"], &[], None),
        (&[], &["h2"], None),
    ] {
        let mut settings = client_settings();
        settings.alpn = protocols(ours);
        let mut client = client(settings);
        let mut settings = server_settings();
        settings.alpn = protocols(theirs);
        let mut server = server(settings);
        shake(&mut client, &mut server).unwrap();
        assert_eq!(client.alpn(), agreed.map(str::as_bytes));
        assert_eq!(server.alpn(), agreed.map(str::as_bytes));
    }
    let mut settings = client_settings();
    settings.alpn = protocols(&["spdy"]);
    let mut client = client(settings);
    let mut settings = server_settings();
    settings.alpn = protocols(&["h2"]);
    let (error, alert) = shake_and_fail(&mut client, &mut server(settings));
    assert_eq!(error, Error::NoCommon(Parameter::ApplicationProtocol));
    let expected = Error::AlertReceived(AlertDescription::NO_APPLICATION_PROTOCOL);
    assert_eq!(alert, Some(expected));
}

#[test]
fn certificates_by_name() {
    let provider = provider();
    let ours = certified(&provider);
    let mut settings = server_settings();
    settings.certificates = Arc::new(
        CertificatesByName::new()
            .with("*.Example", ours.clone())
            .with("other.org", ours),
    );
    let config = Arc::new(ServerConfig::new(settings).unwrap());
    let mut server = Connection::server(config.clone());
    shake(&mut client(client_settings()), &mut server).unwrap();

    let mut settings = client_settings();
    settings.send_server_name = false;
    let (error, alert) = shake_and_fail(&mut client(settings), &mut Connection::server(config));
    assert_eq!(error, Misbehaviour::MissingExtension("server_name").into());
    let expected = Error::AlertReceived(AlertDescription::MISSING_EXTENSION);
    assert_eq!(alert, Some(expected));
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
        let mut settings = client_settings();
        if with_key {
            settings.certificates = Some(Arc::new(certified(&settings.provider)));
        }
        let mut client = client(settings);
        let mut settings = server_settings();
        settings.client_auth = auth.clone();
        let mut server = server(settings);
        if works {
            shake(&mut client, &mut server).unwrap();
            let shown = server.peer_certificates().is_some();
            assert_eq!(shown, with_key && auth.verifier().is_some());
            exchange_data(&mut client, &mut server);
        } else {
            let (error, alert) = shake_and_fail(&mut client, &mut server);
            let Error::Certificate(error) = error else {
                panic!("another error: {error}");
            };
            assert_eq!(error.problem, CertificateProblem::Missing);
            let expected = Error::AlertReceived(AlertDescription::CERTIFICATE_REQUIRED);
            assert_eq!(alert, Some(expected));
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
        (b"not a key", AlertDescription::DECODE_ERROR),
        (&other_key, AlertDescription::DECRYPT_ERROR),
    ] {
        let mut settings = server_settings();
        settings.certificates = Arc::new(bad_identity(spki, &provider));
        let mut bad_server = server(settings);
        let (error, told) = shake_and_fail(&mut client(client_settings()), &mut bad_server);
        assert_eq!(error.alert(), Some(alert));
        assert_eq!(told, Some(Error::AlertReceived(alert)));

        let mut settings = client_settings();
        settings.certificates = Some(Arc::new(bad_identity(spki, &provider)));
        let mut bad_client = client(settings);
        let mut settings = server_settings();
        settings.client_auth = ClientAuth::Required(Arc::new(TrustsKeys));
        let (error, told) = shake_and_fail(&mut bad_client, &mut server(settings));
        assert_eq!(error.alert(), Some(alert));
        assert_eq!(told, Some(Error::AlertReceived(alert)));
    }
}

#[test]
fn both_sides_export_the_same() {
    let (client, server) = established();
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
fn key_updates() {
    let (mut client, mut server) = established();
    for request in [false, true, true] {
        client.update_keys(request).unwrap();
        exchange_data(&mut client, &mut server);
        server.update_keys(request).unwrap();
        exchange_data(&mut client, &mut server);
    }
    // Both at once.
    client.update_keys(true).unwrap();
    server.update_keys(true).unwrap();
    shake(&mut client, &mut server).unwrap();
    exchange_data(&mut client, &mut server);
}

#[test]
fn one_answer_for_many_requests() {
    let (mut client, mut server) = established();
    for _ in 0..5 {
        client.update_keys(true).unwrap();
        client.forget_request();
        let update = take_output(&mut client);
        feed(&mut server, &update).unwrap();
    }
    let answer = take_output(&mut server);
    let one_record = 5 + 5 + 1 + 16;
    assert_eq!(answer.len(), one_record);
    feed(&mut client, &answer).unwrap();
    exchange_data(&mut client, &mut server);
}

#[test]
fn floods_end() {
    let (mut client, mut server) = established();
    let error = (0..1000).find_map(|_| {
        client.update_keys(false).unwrap();
        let update = take_output(&mut client);
        feed(&mut server, &update).err()
    });
    let Some(Error::Misbehaved(Misbehaviour::Flood(_))) = error else {
        panic!("no flood seen: {error:?}");
    };
}

/// A sender that asks for new keys now and then, and a receiver that only answers.
#[test]
fn answers_are_no_flood() {
    let (mut client, mut server) = established();
    for _ in 0..200 {
        server.update_keys(true).unwrap();
        // A second request waits for the answer to the first.
        server.update_keys(true).unwrap();
        let sealed = seal(&mut server, b"a part of a long download");
        feed(&mut client, &sealed).unwrap();
        let answer = take_output(&mut client);
        assert_eq!(answer.len(), 5 + 5 + 1 + 16);
        feed(&mut server, &answer).unwrap();
    }
}

#[test]
fn shares_go_out_in_the_order_of_the_groups() {
    let mut settings = client_settings();
    settings.key_shares = vec![NamedGroup::SECP384R1, NamedGroup::X25519];
    let config = ClientConfig::new(settings).unwrap();
    let sorted = [NamedGroup::X25519, NamedGroup::SECP384R1];
    assert_eq!(config.settings().key_shares, sorted);
}

/// A HelloRetryRequest with nothing but a cookie.
fn retry_with_cookie(session_id: &[u8], cookie: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.put_u8(2);
    message.nest24(|out| {
        out.put_u16(0x0303);
        out.put(&RETRY_RANDOM);
        out.nest8(|out| out.put(session_id));
        out.put_u16(CipherSuite::TLS_AES_128_GCM_SHA256.0);
        out.put_u8(0);
        out.nest16(|out| {
            out.put(&[0, 43, 0, 2, 3, 4, 0, 44]);
            out.nest16(|out| out.nest16(|out| out.put(cookie)));
        });
    });
    let mut records = Vec::new();
    for part in message.chunks(16_384) {
        records.put(&[22, 3, 3]);
        records.nest16(|out| out.put(part));
    }
    records
}

#[test]
fn cookies_are_echoed_up_to_a_length() {
    for (len, works) in [
        (1, true),
        (300, true),
        (0x8000, true),
        (0x8001, false),
        (0xff00, false),
    ] {
        let mut client = client(client_settings());
        let hello = take_output(&mut client);
        let session_id = &hello[44..76];
        let cookie = vec![0xc0; len];
        let outcome = feed(&mut client, &retry_with_cookie(session_id, &cookie));
        assert_eq!(outcome.is_ok(), works, "{len}: {outcome:?}");
        let sent: Vec<u8> = take_output(&mut client);
        let cookies = sent.iter().filter(|byte| **byte == 0xc0).count();
        assert!(!works || cookies >= len);
    }
}

#[test]
fn names_that_are_no_host_names() {
    for (name, answer) in [
        ("../../etc/passwd", Err(AlertDescription::ILLEGAL_PARAMETER)),
        ("two\nlines", Err(AlertDescription::ILLEGAL_PARAMETER)),
        (".", Err(AlertDescription::ILLEGAL_PARAMETER)),
        ("192.168.1.1", Ok(None)),
        ("Host.Example", Ok(Some("host.example"))),
    ] {
        let mut client = client(client_settings());
        let hello = take_output(&mut client);
        let mut message = Vec::new();
        with_server_name(&hello[5..], name, &mut message);
        let mut record = vec![22, 3, 1];
        record.nest16(|out| out.put(&message));
        let mut server = server(server_settings());
        let outcome = feed(&mut server, &record);
        match answer {
            Err(alert) => assert_eq!(outcome.unwrap_err().alert(), Some(alert), "{name}"),
            // The client's transcript is another, so that its Finished does not come.
            Ok(_) => assert!(outcome.is_ok(), "{name}: {outcome:?}"),
        }
    }
}

/// A copy of a ClientHello with another server_name; ours is the first extension.
fn with_server_name(hello: &[u8], name: &str, out: &mut Vec<u8>) {
    let old = [b"\0\0\0\x13\0\x11\0\0\x0e" as &[u8], b"server.example"].concat();
    let at = hello
        .windows(old.len())
        .position(|window| window == old)
        .unwrap();
    out.put_u8(1);
    out.nest24(|out| {
        out.put(&hello[4..at - 2]);
        out.nest16(|out| {
            out.put(&[0, 0]);
            out.nest16(|out| {
                out.nest16(|out| {
                    out.put_u8(0);
                    out.nest16(|out| out.put(name.as_bytes()));
                });
            });
            out.put(&hello[at + old.len()..]);
        });
    });
}

#[test]
fn keys_are_updated_at_the_limit() {
    let mut provider = backend_soft::provider();
    for suite in &mut provider.suites {
        suite.seal_limit = 5;
    }
    let mut settings = client_settings();
    settings.provider = Arc::new(provider);
    let mut client = client(settings);
    let mut server = server(server_settings());
    shake(&mut client, &mut server).unwrap();
    // 100 records: 25 generations of keys.
    for n in 0..100u8 {
        let sealed = seal(&mut client, &[n; 10]);
        assert_eq!(feed(&mut server, &sealed).unwrap(), [n; 10]);
    }
    // And within one write.
    let data = vec![7; 40 * 16384];
    let sealed = seal(&mut client, &data);
    assert!(feed(&mut server, &sealed).unwrap() == data);
}

#[test]
fn closing_one_way_and_both() {
    let (mut client, mut server) = established();
    client.close();
    let goodbye = take_output(&mut client);
    feed(&mut server, &goodbye).unwrap();
    let mut out = [0; 100];
    let refused = client.seal(Payload::from(&b"more"[..]), &mut out);
    assert_eq!(refused, Err(Error::Usage("data after close")));
    // The other direction is still open.
    let sealed = seal(&mut server, b"last words");
    assert_eq!(feed(&mut client, &sealed).unwrap(), b"last words");
    server.eof().unwrap();
    assert_eq!(client.eof(), Err(Error::Truncated));

    let (mut client, mut server) = established();
    server.close();
    let goodbye = take_output(&mut server);
    feed(&mut client, &goodbye).unwrap();
    client.eof().unwrap();
    let received = client.receive(&mut [1, 2, 3], NOW).unwrap();
    assert_eq!((received.consumed, received.event), (3, Event::Closed));
}

#[test]
fn truncation_in_the_handshake() {
    let mut client = client(client_settings());
    assert_eq!(client.eof(), Err(Error::Truncated));
    assert!(server(server_settings()).eof().is_err());
}

#[test]
fn giving_up_the_handshake() {
    let mut client = client(client_settings());
    let mut server = server(server_settings());
    let hello = take_output(&mut client);
    feed(&mut server, &hello).unwrap();
    client.close();
    let goodbye = take_output(&mut client);
    let error = feed(&mut server, &goodbye).unwrap_err();
    assert_eq!(error, Error::AlertReceived(AlertDescription::CLOSE_NOTIFY));
}

/// Once the peer has keys, an alert without protection is someone else's: a forged
/// close_notify would cut the stream off unseen.
#[test]
fn plain_alerts_are_not_taken_from_a_peer_with_keys() {
    let forged = [21, 3, 3, 0, 2, 1, AlertDescription::CLOSE_NOTIFY.0];
    let attack = |to: &mut Connection| {
        let error = feed(to, &forged).unwrap_err();
        let unexpected = matches!(
            error,
            Error::Misbehaved(Misbehaviour::UnexpectedMessage { got: 21, .. })
        );
        assert!(unexpected, "{error}");
    };
    let (mut client, mut server) = established();
    attack(&mut client);
    attack(&mut server);
    let (mut client, mut server) = established();
    client.update_keys(true).unwrap();
    shake(&mut client, &mut server).unwrap();
    attack(&mut client);
    attack(&mut server);
}

#[test]
fn a_peer_that_is_not_tls() {
    let mut server = server(server_settings());
    let error = feed(&mut server, b"GET / HTTP/1.1\r\n").unwrap_err();
    assert_eq!(error, Error::NotTls(*b"GET /"));
    assert!(error.to_string().contains("GET /"));
    // The connection stays dead.
    assert_eq!(feed(&mut server, b"GET / HTTP/1.1\r\n").unwrap_err(), error);
}

#[test]
fn short_outputs_take_what_fits() {
    let (mut client, mut server) = established();
    client.update_keys(false).unwrap();
    let data = vec![9; 50_000];
    let mut rest = Payload::from(&data[..]);
    let mut stream = Vec::new();
    for room in (0..).step_by(7) {
        let mut out = vec![0; room % 20_000];
        let sealed = client.seal(rest, &mut out).unwrap();
        stream.extend_from_slice(&out[..sealed.written]);
        rest = rest.split_at(sealed.consumed).1;
        if rest.is_empty() {
            break;
        }
    }
    assert!(feed(&mut server, &stream).unwrap() == data);
}

#[test]
fn small_records() {
    let mut settings = server_settings();
    settings.limits = Limits {
        record_payload: 64,
        ..Limits::default()
    };
    let mut client = client(client_settings());
    let mut server = server(settings);
    let streams = shake(&mut client, &mut server).unwrap();
    let mut rest = &streams.server[..];
    while let [_, _, _, a, b, ..] = rest {
        let len = usize::from(u16::from_be_bytes([*a, *b]));
        assert!(len <= 64 + 17);
        rest = &rest[5 + len..];
    }
    exchange_data(&mut client, &mut server);
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
