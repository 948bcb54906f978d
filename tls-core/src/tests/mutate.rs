//! Handshake messages with something wrong in them.
//!
//! Changed on the way, so that the transcripts differ, a message must never lead to an
//! established connection. Changed by its sender, so that they agree, it may only where the
//! protocol leaves the value to the sender.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::wiretap::*;
use crate::{AlertDescription as Alert, Error, Misbehaviour};

/// The alerts that a changed byte of this field may lead to. A value that is well formed and
/// allowed is told by what depends on the transcript: keys, signature or Finished.
fn alerts(kind: u8, field: &str) -> &'static [Alert] {
    const DECODE: Alert = Alert::DECODE_ERROR;
    const ILLEGAL: Alert = Alert::ILLEGAL_PARAMETER;
    const MISSING: Alert = Alert::MISSING_EXTENSION;
    const KEYS: Alert = Alert::BAD_RECORD_MAC;
    const SIGNATURE: Alert = Alert::DECRYPT_ERROR;
    match (kind, field) {
        // Another type; longer than the limit; too short for what is in it.
        (_, "header") => &[Alert::UNEXPECTED_MESSAGE, ILLEGAL, DECODE],
        (_, "legacy_version") => &[Alert::PROTOCOL_VERSION],
        (_, field) if field.starts_with("length of ") => &[DECODE],
        (1, "id of extension 43" | "content of extension 43") => &[Alert::PROTOCOL_VERSION, DECODE],
        // Now without the extension, or with another one changed from the first hello.
        (1, field) if field.starts_with("id of ") => &[MISSING, ILLEGAL],
        (1, "content of extension 10") => &[DECODE, ILLEGAL, Alert::HANDSHAKE_FAILURE],
        (1, "content of extension 51") => &[DECODE, ILLEGAL, KEYS],
        (1, _) => &[DECODE, ILLEGAL],
        (2, "id of extension 43") => &[MISSING, ILLEGAL],
        (2, "id of extension 51") => &[Alert::UNSUPPORTED_EXTENSION, ILLEGAL],
        // No longer that of a HelloRetryRequest, whose key_share has another form.
        (2, "random") => &[DECODE, KEYS],
        (2, "content of extension 51") => &[DECODE, ILLEGAL, KEYS],
        (2, _) => &[DECODE, ILLEGAL],
        (8, field) if field.starts_with("id of ") => &[Alert::UNSUPPORTED_EXTENSION],
        (8, _) => &[DECODE, ILLEGAL],
        (13, "id of extension 13") => &[MISSING],
        (20, _) => &[SIGNATURE],
        _ => &[DECODE, ILLEGAL, SIGNATURE],
    }
}

#[test]
fn no_byte_changes_on_the_way() {
    for (at, (_, message)) in all_messages(true).iter().enumerate() {
        let fields = fields(message);
        for place in 0..message.len() {
            for mask in [1, 0x80] {
                let mut changed = message.clone();
                changed[place] ^= mask;
                let field = &fields[place];
                let what = format!("message {at}, byte {place} ({field}) ^ {mask}");
                match changed_in_transit(true, at, &changed) {
                    End::Refused(_, error) => {
                        let alert = error.alert().unwrap();
                        let right = alerts(message[0], field).contains(&alert);
                        assert!(right, "{what}: {error:?}");
                    }
                    // It waits for the rest of a longer message.
                    End::Stuck => {
                        let grew = changed[place] > message[place];
                        assert!(grew && (1..4).contains(&place), "{what}");
                    }
                    End::Established => panic!("{what}"),
                }
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
                let end = changed_by_sender(retry, &all, at, &changed);
                let what = format!("message {at} sent with {} bytes: {end:?}", changed.len());
                assert!(matches!(end, End::Refused(..)), "{what}");
            }
        }
    }
}

/// Every byte one more, one less, the least and the most: whatever is a length, an id or a
/// number has all its wrong values. What is taken nonetheless is what is free.
#[test]
fn what_a_sender_may_choose() {
    let free = [
        // Suites other than the one chosen.
        "1: cipher suites",
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
    ];
    assert_eq!(chosen(false, 0..10), free);
}

/// With a retry, the second ClientHello is bound to the first one.
#[test]
fn what_a_sender_may_choose_in_a_retry() {
    let free = [
        // The share that is not used.
        "0: content of extension 51",
        "3: random",
    ];
    assert_eq!(chosen(true, 0..4), free);
}

/// The fields of these messages in which their sender may write something else.
fn chosen(retry: bool, places: Range<usize>) -> Vec<String> {
    let all = all_messages(retry);
    let mut free = BTreeSet::new();
    for at in places {
        let (sender, message) = &all[at];
        let fields = fields(message);
        for place in 4..message.len() {
            let byte = message[place];
            let values = BTreeSet::from([byte.wrapping_add(1), byte.wrapping_sub(1), 0, 0xff]);
            for value in values.into_iter().filter(|value| *value != byte) {
                let mut changed = message.clone();
                changed[place] = value;
                match changed_by_sender(retry, &all, at, &changed) {
                    End::Established => {
                        let which = if retry { at } else { message[0].into() };
                        free.insert((*sender as u8, which, fields[place].clone()));
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
    free.into_iter()
        .map(|(_, which, field)| format!("{which}: {field}"))
        .collect()
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
