//! What a client says at first, and what a server makes of it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;

use crypto_api::{CipherSuite, NamedGroup, Op, SignatureScheme};
use rustls_pki_types::{CertificateDer, Der, ServerName, UnixTime};

use super::support::*;
use crate::config::{
    CertificateRequestInfo, CertificateSelector, CertificatesByName, CertifiedKey, ClientAuth,
    ClientCertificateSelector, ClientConfig, ClientHelloInfo,
};
use crate::verify::{CertificateChain, ClientVerifier, VerifiedPeer};
use crate::wire::codec::Write;
use crate::wire::hello::RETRY_RANDOM;
use crate::{AlertDescription, Connection, Error, Misbehaviour, Parameter};

/// Each name has a certificate of its own, here a chain that is longer by one.
#[test]
fn certificates_by_name() {
    let longer = |by: usize| {
        let certified = certified(&provider());
        let mut chain = certified.chain().to_vec();
        chain.resize(1 + by, CertificateDer::from(vec![7]));
        Arc::new(CertifiedKey::new(Arc::from(chain), certified.key().clone()).unwrap())
    };
    let by_name = || {
        CertificatesByName::new()
            .with("*.Example", longer(1))
            .with("exact.example", longer(2))
            .with("Other.org", longer(3))
    };
    let unknown = Error::NoCommon(Parameter::ServerName);
    let none = Error::from(Misbehaviour::MissingExtension("server_name"));
    for (name, with_default, expected) in [
        (Some("server.example"), false, Ok(2)),
        (Some("exact.example"), false, Ok(3)),
        (Some("Exact.Example."), false, Ok(3)),
        (Some("other.org"), false, Ok(4)),
        (Some("other.org"), true, Ok(4)),
        (Some("example"), false, Err(&unknown)),
        (Some("two.deep.example"), false, Err(&unknown)),
        (Some("two.deep.example"), true, Ok(1)),
        (None, true, Ok(1)),
        (None, false, Err(&none)),
    ] {
        let mut settings = server_settings();
        settings.certificates = match with_default {
            true => Arc::new(by_name().with_default(longer(0))),
            false => Arc::new(by_name()),
        };
        let server = server(settings);
        let mut settings = client_settings();
        settings.send_server_name = name.is_some();
        let config = Arc::new(ClientConfig::new(settings).unwrap());
        let asked = ServerName::try_from(name.unwrap_or("any.example")).unwrap();
        let client = Connection::client(config, asked).unwrap();
        let handshake = Handshake::new(client, server);
        match expected {
            Ok(len) => {
                let (client, _) = handshake.established();
                assert_eq!(client.peer_certificates().unwrap().len(), len, "{name:?}");
            }
            Err(expected) => {
                // Section 9.2: which alert it is depends on whether there was a name.
                let alert = match name {
                    Some(_) => AlertDescription::UNRECOGNIZED_NAME,
                    None => AlertDescription::MISSING_EXTENSION,
                };
                assert_eq!(handshake.refused(alert), *expected);
            }
        }
    }
}

/// Notes what it is told.
#[derive(Debug)]
struct Curious(Arc<CertifiedKey>, Arc<Mutex<Vec<String>>>);

impl CertificateSelector for Curious {
    fn select(&self, hello: &ClientHelloInfo<'_>) -> Op<Arc<CertifiedKey>, Error> {
        self.1.lock().unwrap().push(format!("{hello:?}"));
        Op::ok(self.0.clone())
    }
}

#[test]
fn a_selector_is_told_what_the_client_says() {
    let heard = Arc::default();
    let ours = || {
        let mut settings = client_settings();
        settings.provider = only(
            &[
                CipherSuite::TLS_AES_256_GCM_SHA384,
                CipherSuite::TLS_AES_128_GCM_SHA256,
            ],
            &[NamedGroup::X25519, NamedGroup::SECP256R1],
        );
        settings.key_shares = vec![NamedGroup::SECP256R1];
        settings.signature_schemes = vec![SignatureScheme::ED25519];
        settings.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        settings
    };
    let theirs = || {
        let mut settings = server_settings();
        let certified = certified(&settings.provider);
        settings.certificates = Arc::new(Curious(certified, Arc::clone(&heard)));
        settings
    };
    for handshake in handshakes(ours, theirs) {
        handshake.established();
    }
    let expected = format!(
        "{:?}",
        ClientHelloInfo {
            server_name: Some("server.example"),
            signature_schemes: &[SignatureScheme::ED25519],
            certificate_schemes: Some(&provider().verification_schemes()),
            alpn: &ours().alpn,
            cipher_suites: &[
                CipherSuite::TLS_AES_256_GCM_SHA384,
                CipherSuite::TLS_AES_128_GCM_SHA256,
            ],
            groups: &[NamedGroup::X25519, NamedGroup::SECP256R1],
        }
    );
    assert_eq!(*heard.lock().unwrap(), [expected.clone(), expected]);
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

/// A verifier with names of authorities, and a selector that notes which came.
#[derive(Debug)]
struct Names(Vec<Der<'static>>);

impl ClientVerifier for Names {
    fn verify_client(&self, chain: &CertificateChain, now: UnixTime) -> Op<VerifiedPeer, Error> {
        TrustsKeys.verify_client(chain, now)
    }

    fn authorities(&self) -> &[Der<'static>] {
        &self.0
    }
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Vec<Vec<u8>>>>);

impl ClientCertificateSelector for Arc<Heard> {
    fn select(&self, request: &CertificateRequestInfo<'_>) -> Op<Option<Arc<CertifiedKey>>, Error> {
        self.0.lock().unwrap().push(request.authorities.to_vec());
        Op::ok(None)
    }
}

/// The list is not empty and nor is a name in it (RFC 9846, section 4.3.4), and it fits its
/// extension.
#[test]
fn authorities_are_named_if_there_are_any() {
    let (none, one) = (|| vec![], || b"one".to_vec());
    let long = || vec![7; 0xe000];
    for (names, expected) in [
        (vec![], vec![]),
        (vec![none()], vec![]),
        (vec![long()], vec![]),
        (vec![none(), one(), long(), one()], vec![one(), one()]),
    ] {
        let heard = Arc::new(Heard::default());
        let ours = || {
            let mut settings = client_settings();
            settings.certificates = Some(Arc::new(heard.clone()));
            settings
        };
        let theirs = || {
            let mut settings = server_settings();
            let names = names.iter().cloned().map(Der::from).collect();
            settings.client_auth = ClientAuth::Optional(Arc::new(Names(names)));
            settings
        };
        for handshake in handshakes(ours, theirs) {
            handshake.established();
        }
        assert_eq!(*heard.0.lock().unwrap(), [expected.clone(), expected]);
    }
}
