//! Handshake messages with something wrong in them.
//!
//! Changed on the way, so that the transcripts differ, a message must never lead to an
//! established connection. Changed by its sender, so that they agree, it may only where the
//! protocol leaves the value to the sender.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::support::*;
use super::wiretap::*;
use crate::{
    AlertDescription as Alert, CertificateProblem, Connection, Error, Misbehaviour, Parameter,
};

/// A handshake in which message number `at` becomes `changed` on the way.
fn changed_in_transit(retry: bool, at: usize, changed: &[u8]) -> End {
    let mut number = 0;
    let (mut client, mut server) = (legible_client(retry), legible_server());
    shake_messages(&mut client, &mut server, |_, message| {
        if number == at {
            *message = changed.to_vec();
        }
        number += 1;
    })
}

/// A handshake in which its sender makes message number `at` `changed`.
fn changed_by_sender(retry: bool, all: &[(Sender, Vec<u8>)], at: usize, changed: &[u8]) -> End {
    let (mut client, mut server) = (legible_client(retry), legible_server());
    let sender = all[at].0;
    // Earlier messages of the same type stay as they are. The first ClientHello of a retry
    // is sent before there is a client to give it to.
    let mut substitutes: Vec<Vec<u8>> = all[..at]
        .iter()
        .skip(usize::from(retry))
        .filter(|(by, message)| *by == sender && message[0] == changed[0])
        .map(|(_, message)| message.clone())
        .collect();
    substitutes.push(changed.to_vec());
    match sender {
        Sender::Client => client.substitutes = substitutes,
        Sender::Server => server.substitutes = substitutes,
    }
    shake_messages(&mut client, &mut server, |_, _| {})
}

#[test]
fn no_byte_changes_on_the_way() {
    for (at, (_, message)) in all_messages(true).iter().enumerate() {
        for place in 0..message.len() {
            for mask in [1, 0x80] {
                let mut changed = message.clone();
                changed[place] ^= mask;
                let end = changed_in_transit(true, at, &changed);
                assert_ne!(end, End::Established, "message {at}, byte {place}");
            }
        }
    }
}

#[test]
fn nothing_is_cut_off_or_put_on() {
    for retry in [false, true] {
        let all = all_messages(retry);
        for (at, (_, message)) in all.iter().enumerate() {
            let mut variants: Vec<Vec<u8>> = (0..message.len() - 4)
                .map(|body| with_body(message[0], &message[4..4 + body]))
                .collect();
            variants.push(with_body(message[0], &[&message[4..], &[0]].concat()));
            for changed in variants {
                let end = changed_in_transit(retry, at, &changed);
                let what = format!("message {at} with {} bytes: {end:?}", changed.len());
                assert!(matches!(end, End::Refused(..)), "{what}");
                if retry && at == 0 {
                    continue;
                }
                let end = changed_by_sender(retry, &all, at, &changed);
                let what = format!("message {at} sent with {} bytes: {end:?}", changed.len());
                // A Finished of another length is a wrong one; all others have a form.
                assert!(matches!(end, End::Refused(..)), "{what}");
            }
        }
    }
}

/// Every byte one more, one less, the least and the most: whatever is a length, an id or a
/// number has all its wrong values. What is taken nonetheless is what is free.
#[test]
fn what_a_sender_may_choose() {
    let all = all_messages(false);
    let mut free = BTreeSet::new();
    for (at, (sender, message)) in all.iter().enumerate() {
        let fields = fields(message);
        for place in 4..message.len() {
            let byte = message[place];
            let values = BTreeSet::from([byte.wrapping_add(1), byte.wrapping_sub(1), 0, 0xff]);
            for value in values.into_iter().filter(|value| *value != byte) {
                let mut changed = message.clone();
                changed[place] = value;
                let end = changed_by_sender(false, &all, at, &changed);
                match end {
                    End::Established => {
                        free.insert((*sender as u8, message[0], fields[place].clone()));
                    }
                    End::Refused(_, error) => {
                        let alert = error.alert().unwrap();
                        assert_ne!(alert, Alert::INTERNAL_ERROR, "{error:?}");
                    }
                    End::Stuck => panic!("message {at}, byte {place}, value {value}"),
                }
            }
        }
    }
    let free: Vec<String> = free
        .into_iter()
        .map(|(_, kind, field)| format!("{kind}: {field}"))
        .collect();
    assert_eq!(
        free,
        [
            "1: content of extension 0",
            // Schemes other than the server's.
            "1: content of extension 13",
            // A protocol other than the one chosen.
            "1: content of extension 16",
            // Whatever the certificate's own signature may be, this test's has none.
            "1: content of extension 50",
            // Optional extensions become unknown ones.
            "1: id of extension 0",
            "1: id of extension 16",
            "1: id of extension 50",
            "1: random",
            "2: random",
            "13: content of extension 13",
            "13: content of extension 50",
            "13: id of extension 50",
        ]
    );
}

/// The place of each message in a handshake without a retry.
const CLIENT_HELLO: usize = 0;
const SERVER_HELLO: usize = 1;
const ENCRYPTED_EXTENSIONS: usize = 2;
const CERTIFICATE_REQUEST: usize = 3;
const CERTIFICATE: usize = 4;
const CERTIFICATE_VERIFY: usize = 5;
const FINISHED: usize = 6;
const CLIENT_CERTIFICATE: usize = 7;

#[test]
fn each_fault_has_its_alert() {
    let all = all_messages(false);
    let kinds: Vec<u8> = all.iter().map(|(_, message)| message[0]).collect();
    assert_eq!(kinds, [1, 2, 8, 13, 11, 15, 20, 11, 15, 20]);
    let check = |at: usize, changed: &[u8], expected: Error, alert: Alert| {
        for end in [
            changed_in_transit(false, at, changed),
            changed_by_sender(false, &all, at, changed),
        ] {
            assert_eq!(end, End::Refused(all[at].0, expected.clone()));
        }
        assert_eq!(expected.alert(), Some(alert));
    };
    let extension = |at: usize, change: Change| edit(&all[at].1, change);
    let missing = |name| Error::from(Misbehaviour::MissingExtension(name));
    let illegal = |name| Error::from(Misbehaviour::IllegalParameter(name));

    let version = Error::NoCommon(Parameter::Version);
    let share = [0, 29, 0, 1, 7];
    let hello = |change| extension(CLIENT_HELLO, change);
    for (changed, expected, alert) in [
        (hello(without(43)), version.clone(), Alert::PROTOCOL_VERSION),
        (
            hello(with(43, &[2, 3, 3])),
            version.clone(),
            Alert::PROTOCOL_VERSION,
        ),
        (
            hello(without(10)),
            missing("supported_groups"),
            Alert::MISSING_EXTENSION,
        ),
        (
            hello(without(13)),
            missing("signature_algorithms"),
            Alert::MISSING_EXTENSION,
        ),
        (
            hello(without(51)),
            missing("key_share"),
            Alert::MISSING_EXTENSION,
        ),
        (
            hello(twice(0)),
            Misbehaviour::DuplicateExtension(0).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(Box::new(|list: &mut List| list.insert(0, (41, vec![0])))),
            illegal("place of pre_shared_key"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(41, &[0])),
            missing("psk_key_exchange_modes"),
            Alert::MISSING_EXTENSION,
        ),
        (
            hello(with(45, &[0])),
            Error::Decode("psk_key_exchange_modes"),
            Alert::DECODE_ERROR,
        ),
        (
            hello(with(44, &[0, 0])),
            Error::Decode("cookie"),
            Alert::DECODE_ERROR,
        ),
        (
            hello(with(42, &[0])),
            Error::Decode("early_data"),
            Alert::DECODE_ERROR,
        ),
        (
            hello(with(16, &[0, 2, 1, b'x'])),
            Error::NoCommon(Parameter::ApplicationProtocol),
            Alert::NO_APPLICATION_PROTOCOL,
        ),
        (
            hello(with(16, &[0, 1, 0])),
            Error::Decode("ALPN"),
            Alert::DECODE_ERROR,
        ),
        (
            hello(with(13, &[0, 2, 4, 3])),
            Error::NoCommon(Parameter::SignatureScheme),
            Alert::HANDSHAKE_FAILURE,
        ),
        (
            hello(with(51, &[&[0, 10][..], &share, &share].concat())),
            illegal("key_share: a group twice"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(51, &[&[0, 5][..], &share].concat())),
            crypto_api::Error::BadPeerShare.into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(51, &[&[0, 36, 0, 29, 0, 32][..], &[0; 32]].concat())),
            crypto_api::Error::BadPeerShare.into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(51, &[0, 5, 0, 23, 0, 1, 7])),
            illegal("key_share: a group not offered"),
            Alert::ILLEGAL_PARAMETER,
        ),
    ] {
        check(CLIENT_HELLO, &changed, expected, alert);
    }

    let hello = |change| extension(SERVER_HELLO, change);
    let mut downgraded = hello(without(43));
    downgraded[30..38].copy_from_slice(b"DOWNGRD\x01");
    for (changed, expected, alert) in [
        (hello(without(43)), version, Alert::PROTOCOL_VERSION),
        (
            downgraded,
            Misbehaviour::Downgrade.into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(43, &[3, 3])),
            illegal("version of ServerHello"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(without(51)),
            missing("key_share"),
            Alert::MISSING_EXTENSION,
        ),
        (
            hello(twice(51)),
            Misbehaviour::DuplicateExtension(51).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(0x1234, &[])),
            Misbehaviour::UnsupportedExtension(0x1234).into(),
            Alert::UNSUPPORTED_EXTENSION,
        ),
        (
            hello(with(44, &[0, 1, 7])),
            Misbehaviour::UnsupportedExtension(44).into(),
            Alert::UNSUPPORTED_EXTENSION,
        ),
        (
            hello(with(16, &[0, 4, 3, b't', b'w', b'o'])),
            illegal("extension of another message"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(51, &[0, 23, 0, 1, 7])),
            illegal("group of ServerHello"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            hello(with(51, &[&[0, 29, 0, 32][..], &[0; 32]].concat())),
            crypto_api::Error::BadPeerShare.into(),
            Alert::ILLEGAL_PARAMETER,
        ),
    ] {
        check(SERVER_HELLO, &changed, expected, alert);
    }

    let encrypted = |change| extension(ENCRYPTED_EXTENSIONS, change);
    for (changed, expected, alert) in [
        (
            encrypted(with(0x1234, &[])),
            Misbehaviour::UnsupportedExtension(0x1234).into(),
            Alert::UNSUPPORTED_EXTENSION,
        ),
        (
            encrypted(with(42, &[])),
            Misbehaviour::UnsupportedExtension(42).into(),
            Alert::UNSUPPORTED_EXTENSION,
        ),
        (
            encrypted(with(51, &[])),
            illegal("extension of another message"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            encrypted(with(0, &[7])),
            Error::Decode("server_name"),
            Alert::DECODE_ERROR,
        ),
        (
            encrypted(with(16, &[0, 4, 1, b'a', 1, b'b'])),
            Error::Decode("ALPN"),
            Alert::DECODE_ERROR,
        ),
        (
            encrypted(with(16, &[0, 2, 1, b'a'])),
            illegal("ALPN"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            encrypted(twice(16)),
            Misbehaviour::DuplicateExtension(16).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
    ] {
        check(ENCRYPTED_EXTENSIONS, &changed, expected, alert);
    }

    let request = |change| extension(CERTIFICATE_REQUEST, change);
    for elsewhere in [10, 16, 41, 42, 43, 44, 45, 51] {
        let changed = request(with(elsewhere, &[]));
        let expected = illegal("extension of another message");
        check(
            CERTIFICATE_REQUEST,
            &changed,
            expected,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    let with_context = |at: usize| {
        let body = [&[1, 7], &all[at].1[5..]].concat();
        with_body(all[at].1[0], &body)
    };
    for (at, changed, expected, alert) in [
        (
            CERTIFICATE_REQUEST,
            request(without(13)),
            missing("signature_algorithms"),
            Alert::MISSING_EXTENSION,
        ),
        (
            CERTIFICATE_REQUEST,
            request(twice(13)),
            Misbehaviour::DuplicateExtension(13).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            CERTIFICATE_REQUEST,
            request(with(47, &[0, 2, 0, 0])),
            Error::Decode("certificate_authorities"),
            Alert::DECODE_ERROR,
        ),
        (
            CERTIFICATE_REQUEST,
            with_context(CERTIFICATE_REQUEST),
            illegal("context of CertificateRequest"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            CERTIFICATE,
            with_context(CERTIFICATE),
            illegal("context of Certificate"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            CERTIFICATE,
            with_body(11, &[0, 0, 0, 0]),
            Error::Decode("Certificate of the server, which is empty"),
            Alert::DECODE_ERROR,
        ),
        (
            CERTIFICATE,
            with_body(11, &[0, 0, 0, 5, 0, 0, 0, 0, 0]),
            Error::Decode("Certificate"),
            Alert::DECODE_ERROR,
        ),
        (
            CERTIFICATE,
            with_body(11, &[0, 0, 0, 10, 0, 0, 1, 7, 0, 4, 0, 5, 0, 0]),
            Misbehaviour::UnsupportedExtension(5).into(),
            Alert::UNSUPPORTED_EXTENSION,
        ),
        (
            CLIENT_CERTIFICATE,
            with_context(CLIENT_CERTIFICATE),
            illegal("context of Certificate"),
            Alert::ILLEGAL_PARAMETER,
        ),
    ] {
        check(at, &changed, expected, alert);
    }

    for verify in [CERTIFICATE_VERIFY, CLIENT_CERTIFICATE + 1] {
        let mut changed = all[verify].1.clone();
        *changed.last_mut().unwrap() ^= 1;
        check(
            verify,
            &changed,
            crypto_api::Error::BadSignature.into(),
            Alert::DECRYPT_ERROR,
        );
        // ecdsa_secp256r1_sha256, which the key cannot have made; rsa_pkcs1_sha256, which
        // no handshake of TLS 1.3 may use.
        for scheme in [0x0403_u16, 0x0401] {
            changed[4..6].copy_from_slice(&scheme.to_be_bytes());
            let wrong = Misbehaviour::WrongScheme(crypto_api::SignatureScheme(scheme));
            check(verify, &changed, wrong.into(), Alert::ILLEGAL_PARAMETER);
        }
    }
    for finished in [FINISHED, CLIENT_CERTIFICATE + 2] {
        let wrong = Error::from(Misbehaviour::WrongFinished);
        let body = with_body(20, &[7; 32]);
        check(finished, &body, wrong, Alert::DECRYPT_ERROR);
        for body in [&[7; 31][..], &[7; 33], &[]] {
            let malformed = Error::Decode("Finished");
            check(
                finished,
                &with_body(20, body),
                malformed,
                Alert::DECODE_ERROR,
            );
        }
    }

    let end = changed_by_sender(
        false,
        &all,
        CLIENT_CERTIFICATE,
        &with_body(11, &[0, 0, 0, 0]),
    );
    let End::Refused(Sender::Client, Error::Certificate(refused)) = end else {
        panic!("{end:?}");
    };
    assert_eq!(refused.problem, CertificateProblem::Missing);
}

/// What a peer may add or order as it likes, and what it is to ignore.
#[test]
fn unknown_extensions_and_any_order() {
    let all = all_messages(false);
    let grease = |list: &mut List| list.insert(0, (0x0a0a, vec![0]));
    for at in [CLIENT_HELLO, CERTIFICATE_REQUEST] {
        let changed = edit(&all[at].1, grease);
        assert_eq!(
            changed_by_sender(false, &all, at, &changed),
            End::Established
        );
    }
    for at in [CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS] {
        let changed = edit(&all[at].1, |list| list.reverse());
        assert_ne!(changed, all[at].1);
        assert_eq!(
            changed_by_sender(false, &all, at, &changed),
            End::Established
        );
        assert_ne!(changed_in_transit(false, at, &changed), End::Established);
    }
}

#[test]
fn retries() {
    let all = all_messages(true);
    let kinds: Vec<u8> = all.iter().take(4).map(|(_, message)| message[0]).collect();
    assert_eq!(kinds, [1, 2, 1, 2]);
    let refused = |at: usize, changed: &[u8]| match changed_by_sender(true, &all, at, changed) {
        End::Refused(by, error) if by == all[at].0 => error,
        other => panic!("{other:?}"),
    };
    let request = &all[1].1;
    // A cookie comes back, and a group may be left to it.
    let cookie = edit(request, with(44, &[0, 1, 7]));
    assert_eq!(changed_by_sender(true, &all, 1, &cookie), End::Established);
    let pointless = Error::from(Misbehaviour::PointlessRetry);
    assert_eq!(refused(1, &edit(request, without(51))), pointless);
    assert_eq!(refused(1, &edit(request, with(51, &[0, 23]))), pointless);
    let unasked = edit(request, with(0x1234, &[]));
    assert_eq!(
        refused(1, &unasked),
        Misbehaviour::UnsupportedExtension(0x1234).into()
    );
    let form = edit(request, with(51, &[0, 29, 0]));
    assert_eq!(refused(1, &form), Error::Decode("key_share"));
    // A second one, in the place of the ServerHello.
    let error = refused(3, request);
    assert_eq!(error.alert(), Some(Alert::UNEXPECTED_MESSAGE));

    let hello = &all[2].1;
    for (changed, field) in [
        (edit(hello, without(0)), "server_name"),
        (edit(hello, with(13, &[0, 2, 8, 7])), "signature_algorithms"),
        (
            edit(hello, with(10, &[0, 4, 0, 29, 0, 23])),
            "supported_groups",
        ),
        (edit(hello, without(16)), "ALPN"),
        (edit(hello, with(51, &[0, 0])), "key_share"),
        (edit(hello, with(42, &[])), "early_data"),
    ] {
        assert_eq!(
            refused(2, &changed),
            Misbehaviour::ChangedRetry(field).into()
        );
    }
    let mut changed = hello.clone();
    changed[6] ^= 1;
    assert_eq!(
        refused(2, &changed),
        Misbehaviour::ChangedRetry("random").into()
    );
}

#[test]
fn no_message_out_of_turn() {
    let all = all_messages(false);
    for (at, (sender, message)) in all.iter().enumerate() {
        for kind in (0..=255).filter(|kind| *kind != message[0]) {
            // The client need not be asked for a certificate.
            if (message[0], kind) == (11, 13) && *sender == Sender::Server
                || (message[0], kind) == (13, 11)
            {
                continue;
            }
            let end = changed_in_transit(false, at, &with_body(kind, &message[4..]));
            let End::Refused(by, error) = end else {
                panic!("{end:?}");
            };
            assert_eq!(by, *sender);
            let unexpected = matches!(
                error,
                Error::Misbehaved(Misbehaviour::UnexpectedMessage { got, .. }) if got == kind
            );
            assert!(unexpected, "message {at} as {kind}: {error:?}");
        }
        // Left out, and twice.
        let end = changed_in_transit(false, at, &[]);
        assert_ne!(end, End::Established, "without message {at}");
        let end = changed_in_transit(false, at, &[&message[..], message].concat());
        assert_ne!(end, End::Established, "message {at} twice");
    }
}

/// An established pair, and how to say something in the server's name.
fn established() -> (Connection, impl FnMut(u8, &[u8]) -> Vec<u8>) {
    let (mut client, mut server) = (legible_client(false), legible_server());
    let end = shake_messages(&mut client, &mut server, |_, _| {});
    assert_eq!(end, End::Established);
    let say = move |content_type, content: &[u8]| {
        let [mut record] = <[Record; 1]>::try_from(records(&seal(&mut server, b"x"))).unwrap();
        record.content_type = content_type;
        record.content = content.to_vec();
        record.bytes()
    };
    (client, say)
}

#[test]
fn messages_after_the_handshake() {
    let ticket = [
        &[0; 8][..],
        &[1, 7, 0, 2, 7, 7],
        &[0, 8, 0, 42, 0, 0, 0x0a, 0x0a, 0, 0],
    ]
    .concat();
    let (mut client, mut say) = established();
    assert_eq!(
        feed(&mut client, &say(HANDSHAKE, &with_body(4, &ticket))),
        Ok(vec![])
    );
    let refused = |content: &[u8]| {
        let (mut client, mut say) = established();
        feed(&mut client, &say(HANDSHAKE, content)).unwrap_err()
    };
    for len in 0..ticket.len() {
        let error = refused(&with_body(4, &ticket[..len]));
        assert_eq!(error.alert(), Some(Alert::DECODE_ERROR), "{len} bytes");
    }
    let known = [&ticket[..14], &[0, 4, 0, 51, 0, 0]].concat();
    let elsewhere = Misbehaviour::IllegalParameter("extension of another message");
    assert_eq!(refused(&with_body(4, &known)), elsewhere.into());
    assert_eq!(refused(&with_body(24, &[])), Error::Decode("KeyUpdate"));
    assert_eq!(refused(&with_body(24, &[0, 0])), Error::Decode("KeyUpdate"));
    let value = Misbehaviour::IllegalParameter("KeyUpdate");
    assert_eq!(refused(&with_body(24, &[2])), value.into());
    // Something behind it, that was sent under the old keys.
    let two = [with_body(24, &[0]), with_body(24, &[0])].concat();
    assert_eq!(refused(&two), Misbehaviour::KeyChangeInMessage.into());
    for kind in [0, 1, 2, 8, 11, 13, 15, 20, 254] {
        let error = refused(&with_body(kind, &ticket));
        assert_eq!(
            error.alert(),
            Some(Alert::UNEXPECTED_MESSAGE),
            "type {kind}"
        );
    }
}
