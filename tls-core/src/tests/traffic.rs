//! After the handshake: key updates, and how it ends.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crypto_api::Payload;

use super::support::*;
use crate::{AlertDescription, Connection, Error, Event, Misbehaviour};

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
