//! What is wrong with a message, and the alert that says so.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::support::*;
use super::wiretap::*;
use crate::{AlertDescription as Alert, CertificateProblem, Error, Misbehaviour, Parameter};

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

    // legacy_version is that of TLS 1.2 (RFC 9846, sections 4.2.2 and 4.2.3).
    for legacy in [0x0300, 0x0302, 0x0304, 0x7f1c] {
        for at in [CLIENT_HELLO, SERVER_HELLO] {
            let expected = Misbehaviour::LegacyVersion(legacy).into();
            let changed = with_legacy_version(&all[at].1, legacy);
            check(at, &changed, expected, Alert::PROTOCOL_VERSION);
            // Without TLS 1.3 there is nothing in common, whatever it is.
            let older = with_legacy_version(&edit(&all[at].1, without(43)), legacy);
            check(at, &older, version.clone(), Alert::PROTOCOL_VERSION);
        }
    }
    // A client that has been refused with TLS 1.3 (RFC 7507, section 3).
    let refused_before = with_suite(&hello(with(43, &[2, 3, 3])), 0x5600);
    let fallback = Misbehaviour::InappropriateFallback.into();
    let alert = Alert::INAPPROPRIATE_FALLBACK;
    check(CLIENT_HELLO, &refused_before, fallback, alert);

    let hello = |change| extension(SERVER_HELLO, change);
    for mark in [b"DOWNGRD\x01", b"DOWNGRD\x00"] {
        let mut downgraded = hello(without(43));
        downgraded[30..38].copy_from_slice(mark);
        let expected = Misbehaviour::Downgrade.into();
        check(
            SERVER_HELLO,
            &downgraded,
            expected,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    for (changed, expected, alert) in [
        (hello(without(43)), version, Alert::PROTOCOL_VERSION),
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
            request(with(47, &[0, 0])),
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
        // One that was sent, but has no answer in a certificate (section 4.3).
        (
            CERTIFICATE,
            with_body(11, &[0, 0, 0, 10, 0, 0, 1, 7, 0, 4, 0, 16, 0, 0]),
            illegal("extension of another message"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            CLIENT_CERTIFICATE,
            with_body(11, &[0, 0, 0, 10, 0, 0, 1, 7, 0, 4, 0, 13, 0, 0]),
            illegal("extension of another message"),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            CLIENT_CERTIFICATE,
            with_body(11, &[0, 0, 0, 10, 0, 0, 1, 7, 0, 4, 0, 16, 0, 0]),
            Misbehaviour::UnsupportedExtension(16).into(),
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

/// A hello with another legacy_version.
fn with_legacy_version(hello: &[u8], version: u16) -> Vec<u8> {
    let mut changed = hello.to_vec();
    changed[4..6].copy_from_slice(&version.to_be_bytes());
    changed
}

/// A ClientHello with one more suite, in front.
fn with_suite(hello: &[u8], suite: u16) -> Vec<u8> {
    let at = 39 + usize::from(hello[38]);
    let len = 2 + u16::from_be_bytes([hello[at], hello[at + 1]]);
    let front = [len.to_be_bytes(), suite.to_be_bytes()].concat();
    with_body(1, &[&hello[4..at], &front, &hello[at + 2..]].concat())
}

/// What a peer may add or order as it likes, and what it is to ignore.
#[test]
fn unknown_extensions_and_any_order() {
    let all = all_messages(false);
    // server_name, which only a CertificateRequest of RFC 9261 has a use for.
    let named = edit(&all[CERTIFICATE_REQUEST].1, with(0, &[]));
    let end = changed_by_sender(false, &all, CERTIFICATE_REQUEST, &named);
    assert_eq!(end, End::Established);
    // Values that nobody knows (RFC 8701), in front of those that are known.
    let grease = edit(&all[CLIENT_HELLO].1, |list: &mut List| {
        for (id, content) in list {
            let (len, value): (usize, &[u8]) = match id {
                43 => (1, &[0x7a, 0x7a]),
                10 | 13 | 50 => (2, &[0x7a, 0x7a]),
                51 => (2, &[0x7a, 0x7a, 0, 1, 0]),
                16 => (2, &[2, 0x7a, 0x7a]),
                _ => continue,
            };
            content.splice(len..len, value.iter().copied());
            content[len - 1] += value.len() as u8;
        }
    });
    let grease = with_suite(&with_suite(&grease, 0x7a7a), 0x5600);
    let end = changed_by_sender(false, &all, CLIENT_HELLO, &grease);
    assert_eq!(end, End::Established);
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
    // A share of the first group was sent; the second was not offered.
    for group in [23, 24] {
        let asked = edit(request, with(51, &[0, group]));
        assert_eq!(refused(1, &asked), pointless);
    }
    let version = Misbehaviour::MissingExtension("supported_versions");
    assert_eq!(refused(1, &edit(request, without(43))), version.into());
    let legacy = Misbehaviour::LegacyVersion(0x0302);
    let changed = with_legacy_version(request, 0x0302);
    assert_eq!(refused(1, &changed), legacy.into());
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
    // Version and suite stay those of the request (section 4.2.4).
    let illegal = |name| Error::from(Misbehaviour::IllegalParameter(name));
    let settled = illegal("version of ServerHello, not that of HelloRetryRequest");
    assert_eq!(refused(3, &edit(&all[3].1, without(43))), settled);
    let mut changed = all[3].1.clone();
    let suite = 39 + usize::from(changed[38]);
    assert_eq!(changed[suite..suite + 2], [0x13, 1]);
    changed[suite + 1] = 3;
    let settled = illegal("cipher suite of ServerHello, not that of HelloRetryRequest");
    assert_eq!(refused(3, &changed), settled);

    let hello = &all[2].1;
    for (changed, field) in [
        (edit(hello, without(0)), "server_name"),
        (edit(hello, with(13, &[0, 2, 8, 7])), "signature_algorithms"),
        (
            edit(hello, with(10, &[0, 4, 0, 29, 0, 24])),
            "supported_groups",
        ),
        (edit(hello, without(50)), "signature_algorithms_cert"),
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
fn messages_after_the_handshake() {
    let ticket = [
        &[0; 8][..],
        &[1, 7, 0, 2, 7, 7],
        &[0, 8, 0, 42, 0, 0, 0x0a, 0x0a, 0, 0],
    ]
    .concat();
    let (mut client, mut say) = established_client();
    assert_eq!(
        feed(&mut client, &say(HANDSHAKE, &with_body(4, &ticket))),
        Ok(vec![])
    );
    let refused = |content: &[u8]| {
        let (mut client, mut say) = established_client();
        feed(&mut client, &say(HANDSHAKE, content)).unwrap_err()
    };
    for len in 0..ticket.len() {
        let error = refused(&with_body(4, &ticket[..len]));
        assert_eq!(error.alert(), Some(Alert::DECODE_ERROR), "{len} bytes");
    }
    for id in [0, 10, 13, 16, 41, 43, 44, 45, 47, 50, 51] {
        let known = [&ticket[..14], &[0, 4, 0, id, 0, 0]].concat();
        let elsewhere = Misbehaviour::IllegalParameter("extension of another message");
        assert_eq!(refused(&with_body(4, &known)), elsewhere.into(), "{id}");
    }
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
