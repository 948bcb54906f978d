//! Records with something wrong in them, and records where they do not belong.

use alloc::vec;
use alloc::vec::Vec;

use crypto_api::{CipherSuite, NamedGroup};

use super::support::*;
use super::wiretap::*;
use crate::config::{ClientSettings, ServerSettings};
use crate::{AlertDescription, Connection, Error, Event, Misbehaviour};

const CCS: u8 = 20;
const ALERT: u8 = 21;

/// A pair with a real AEAD and one small group.
fn pair() -> (Connection, Connection) {
    let provider = |seed| {
        repeating_provider(seed)
            .only_suites(&[CipherSuite::TLS_AES_128_GCM_SHA256])
            .and_then(|provider| provider.only_groups(&[NamedGroup::X25519]))
            .unwrap()
    };
    let ours = provider(1);
    let theirs = provider(2);
    let certified = certified(&theirs);
    let settings = ClientSettings::new(ours.into(), alloc::sync::Arc::new(TrustsKeys));
    let client = client(settings);
    let settings = ServerSettings::new(theirs.into(), alloc::sync::Arc::new(certified));
    (client, server(settings))
}

/// The flights of an undisturbed handshake.
fn flights((mut client, mut server): (Connection, Connection)) -> Vec<(Sender, Vec<u8>)> {
    let mut flights = Vec::new();
    let end = shake_through(&mut client, &mut server, |sender, flight| {
        flights.push((sender, flight.clone()));
        flight
    });
    assert_eq!(end, End::Established);
    flights
}

/// A handshake whose flight number `at` becomes `changed` on the way.
fn with_flight(pair: (Connection, Connection), at: usize, changed: &[u8]) -> End {
    let (mut client, mut server) = pair;
    let mut number = 0;
    shake_through(&mut client, &mut server, |_, flight| {
        let this = number;
        number += 1;
        if this == at { changed.to_vec() } else { flight }
    })
}

/// Where the records of a flight begin, and where the last one ends.
fn borders(flight: &[u8]) -> Vec<usize> {
    let mut borders = vec![0];
    let mut at = 0;
    while at < flight.len() {
        at += 5 + usize::from(u16::from_be_bytes([flight[at + 3], flight[at + 4]]));
        borders.push(at);
    }
    borders
}

#[test]
fn no_byte_of_a_record_changes() {
    for (at, (_, flight)) in flights(pair()).iter().enumerate() {
        let borders = borders(flight);
        for place in 0..flight.len() {
            let start = *borders.iter().rfind(|start| **start <= place).unwrap();
            let mut changed = flight.clone();
            changed[place] ^= 1;
            let end = with_flight(pair(), at, &changed);
            // legacy_record_version is ignored (RFC 9846, section 5.1) where it is not
            // covered by a tag.
            let expected = matches!(place - start, 1 | 2) && flight[start] != DATA;
            assert_eq!(
                end == End::Established,
                expected,
                "flight {at}, byte {place}"
            );
        }
    }
}

/// Cut in any two places, unprotected messages are the same messages.
#[test]
fn messages_in_any_fragments() {
    let flights = flights(pair());
    let cut = |record: &Record, step: usize| {
        let pieces = record.content.chunks(step);
        pieces
            .map(|piece| Record::plain(HANDSHAKE, piece))
            .collect::<Vec<_>>()
    };
    for at in [0, 1] {
        let flight = &flights[at].1;
        let (hello, rest) = flight.split_at(borders(flight)[1]);
        let hello = &records(hello)[0];
        for step in 1..hello.content.len() {
            let changed = [&join(&cut(hello, step)), rest].concat();
            assert_eq!(with_flight(pair(), at, &changed), End::Established);
        }
        // Nothing may come between them.
        let mut pieces = cut(hello, 50);
        for (content_type, content) in [(ALERT, &[1, 90][..]), (CCS, &[1]), (DATA, &[7; 30])] {
            pieces.insert(1, Record::plain(content_type, content));
            let changed = [&join(&pieces), rest].concat();
            let end = with_flight(pair(), at, &changed);
            let End::Refused(_, error) = end else {
                panic!("{end:?}");
            };
            assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
            pieces.remove(1);
        }
        // Nor may a fragment be empty.
        pieces.insert(1, Record::plain(HANDSHAKE, &[]));
        let end = with_flight(pair(), at, &[&join(&pieces), rest].concat());
        assert!(matches!(end, End::Refused(..)), "{end:?}");
    }
}

/// Protected messages too: one byte per record, or all in as few as there are.
#[test]
fn protected_messages_in_any_fragments() {
    let pair = || (legible_client(false), legible_server());
    let flights = flights(pair());
    for step in [1, 2, 3, 50, 1000] {
        for (at, (_, flight)) in flights.iter().enumerate() {
            let mut sequence = 0;
            let mut changed = Vec::new();
            for record in records(flight) {
                match record.tag {
                    Some(key) => changed.extend(record.content.chunks(step).map(|piece| {
                        sequence += 1;
                        Record::protected(HANDSHAKE, piece, tag(key, sequence - 1))
                    })),
                    None => changed.push(record),
                }
            }
            let end = with_flight(pair(), at, &join(&changed));
            assert_eq!(end, End::Established, "flight {at} in steps of {step}");
        }
    }
}

#[test]
fn records_missing_twice_and_swapped() {
    for (at, (_, flight)) in flights(pair()).iter().enumerate() {
        let borders = borders(flight);
        let records: Vec<&[u8]> = borders.windows(2).map(|w| &flight[w[0]..w[1]]).collect();
        for n in 0..records.len() {
            // The dummy may be missing, or come twice.
            let dummy = records[n][0] == CCS;
            let mut missing = records.clone();
            missing.remove(n);
            let end = with_flight(pair(), at, &missing.concat());
            assert_eq!(end == End::Established, dummy, "flight {at} without {n}");
            let mut twice = records.clone();
            twice.insert(n, records[n]);
            let end = with_flight(pair(), at, &twice.concat());
            assert_eq!(end == End::Established, dummy, "flight {at} with {n} twice");
            if n > 0 {
                let mut swapped = records.clone();
                swapped.swap(n - 1, n);
                let end = with_flight(pair(), at, &swapped.concat());
                // A dummy may stand before the ServerHello, but not behind a Finished.
                let expected = at == 1 && n == 1;
                assert_eq!(
                    end == End::Established,
                    expected,
                    "flight {at}, {n} swapped"
                );
            }
            // Cut short, with the length put right.
            let mut short = records.clone();
            let mut cut = records[n][..records[n].len() - 1].to_vec();
            let [.., a, b] = (cut.len() - 5).to_be_bytes();
            cut[3..5].copy_from_slice(&[a, b]);
            short[n] = &cut;
            let end = with_flight(pair(), at, &short.concat());
            assert_ne!(end, End::Established, "flight {at}, {n} cut short");
        }
    }
}

#[test]
fn change_cipher_spec_at_each_point() {
    let dummy = Record::plain(CCS, &[1]).bytes();
    let wrong = Error::from(Misbehaviour::ChangeCipherSpec);
    for (at, (sender, flight)) in flights(pair()).iter().enumerate() {
        for border in borders(flight) {
            let insert = |record: &[u8]| {
                let changed = [&flight[..border], record, &flight[border..]].concat();
                with_flight(pair(), at, &changed)
            };
            // RFC 9846, section 5: after the first ClientHello, before the peer's Finished.
            let before_hello = at == 0 && border == 0;
            let after_finished = at > 0 && border == flight.len();
            let end = insert(&dummy);
            if before_hello || after_finished {
                assert_eq!(end, End::Refused(*sender, wrong.clone()), "{at}, {border}");
            } else {
                assert_eq!(end, End::Established, "flight {at}, byte {border}");
            }
            for content in [&[0][..], &[2], &[1, 1], &[]] {
                let end = insert(&Record::plain(CCS, content).bytes());
                assert_eq!(end, End::Refused(*sender, wrong.clone()), "{content:?}");
            }
            if !before_hello {
                let end = insert(&dummy.repeat(5));
                assert!(matches!(end, End::Refused(..)), "{end:?}");
            }
        }
    }
}

#[test]
fn alerts_at_each_point() {
    let flights = flights((legible_client(false), legible_server()));
    for (at, (sender, flight)) in flights.iter().enumerate() {
        for border in borders(flight) {
            for description in 0..=255 {
                // Protected where the records around are, under the number of the next.
                let behind = records(&flight[border..]);
                let alert = match behind.first().and_then(|record| record.tag) {
                    Some(tag) => Record::protected(ALERT, &[2, description], tag),
                    None if border == flight.len() && at > 0 => continue,
                    None => Record::plain(ALERT, &[2, description]),
                };
                let changed = [&flight[..border], &alert.bytes(), &flight[border..]].concat();
                let (mut client, mut server) = (legible_client(false), legible_server());
                let mut number = 0;
                let mut outcome = None;
                drive(&mut client).unwrap();
                // By hand: nobody is told of an alert.
                while outcome.is_none() {
                    let (from, to) = match flights[number].0 {
                        Sender::Client => (&mut client, &mut server),
                        Sender::Server => (&mut server, &mut client),
                    };
                    let mut sent = take_output(from);
                    if number == at {
                        sent = changed.clone();
                    }
                    let fed = feed(to, &sent);
                    if number == at {
                        outcome = Some(fed.map(|_| take_output(to)));
                    }
                    number += 1;
                }
                let outcome = outcome.unwrap();
                let description = AlertDescription(description);
                if *sender == Sender::Server && alert.tag.is_none() && border > 0 {
                    // Behind its ServerHello a server has keys.
                    let error = outcome.unwrap_err();
                    assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
                } else if description == AlertDescription::USER_CANCELED {
                    // Ignored; a protected one took the sequence number of the next record.
                    let taken = alert.tag.is_some();
                    let spent = Err(crypto_api::Error::BadTag.into());
                    assert_eq!(outcome.is_err(), taken, "flight {at}, byte {border}");
                    assert!(!taken || outcome == spent);
                } else {
                    let heard = Err(Error::AlertReceived(description));
                    assert_eq!(outcome, heard, "flight {at}, byte {border}, {sender:?}");
                }
            }
        }
    }
}

#[test]
fn application_data_in_the_handshake() {
    let pair = || (legible_client(false), legible_server());
    for (at, (sender, flight)) in flights(pair()).iter().enumerate() {
        for border in borders(flight) {
            let behind = records(&flight[border..]);
            let Some(tag) = behind.first().map(|record| record.tag.unwrap_or_default()) else {
                continue;
            };
            for content in [&b"early"[..], &[]] {
                let data = Record::protected(DATA, content, tag).bytes();
                let changed = [&flight[..border], &data, &flight[border..]].concat();
                let end = with_flight(pair(), at, &changed);
                assert!(
                    matches!(end, End::Refused(by, _) if by == *sender),
                    "{end:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_follows_in_the_record_before_a_key_change() {
    let pair = || (legible_client(false), legible_server());
    let crosses = Error::from(Misbehaviour::KeyChangeInMessage);
    // Behind ClientHello, ServerHello and both Finished.
    for (at, (sender, flight)) in flights(pair()).iter().enumerate() {
        let records = records(flight);
        let last_of_kind = |protected: bool| {
            let is = |record: &Record| {
                record.content_type == HANDSHAKE && record.tag.is_some() == protected
            };
            records.iter().rposition(is)
        };
        for n in [last_of_kind(false), last_of_kind(true)]
            .into_iter()
            .flatten()
        {
            for more in [&[8][..], &[8, 0, 0, 0]] {
                let mut records = records.clone();
                records[n].content.extend_from_slice(more);
                let end = with_flight(pair(), at, &join(&records));
                assert_eq!(end, End::Refused(*sender, crosses.clone()), "{at}, {n}");
            }
        }
    }
}

/// An established pair.
fn established() -> (Connection, Connection) {
    let (mut client, mut server) = (legible_client(false), legible_server());
    let end = shake_messages(&mut client, &mut server, |_, _| {});
    assert_eq!(end, End::Established);
    (client, server)
}

/// What a client says to a record that came in the place of the server's next.
fn told(content_type: u8, content: &[u8]) -> Result<Vec<u8>, Error> {
    let (mut client, mut server) = established();
    let [next] = <[Record; 1]>::try_from(records(&seal(&mut server, b"x"))).unwrap();
    let tag = next.tag.unwrap();
    feed(
        &mut client,
        &Record::protected(content_type, content, tag).bytes(),
    )
}

#[test]
fn inner_types_and_lengths() {
    let full = vec![7; 1 << 14];
    assert_eq!(told(DATA, &full), Ok(full.clone()));
    assert_eq!(told(DATA, &[]), Ok(vec![]));
    let overflow = Error::from(Misbehaviour::RecordOverflow);
    assert_eq!(
        told(DATA, &[&full[..], &[7]].concat()),
        Err(overflow.clone())
    );
    // Padding counts, too: 2^14 bytes and the type.
    let padded = |content: &[u8]| told(0, &[content, &vec![0; 1 << 14]].concat());
    assert_eq!(padded(&[7, DATA]), Err(overflow.clone()));
    // Content and type in the front, zeros behind: legible records write the type last.
    assert_eq!(told(0, &[7, DATA, 0, 0]), Ok(vec![7]));
    assert_eq!(told(0, &[0; 9]), Err(Misbehaviour::NoContentType.into()));
    assert_eq!(told(0, &[]), Err(Misbehaviour::NoContentType.into()));
    let (mut client, _) = established();
    let over = [DATA, 3, 3, 0x41, 1];
    assert_eq!(
        client.receive(&mut over.to_vec(), NOW),
        Err(overflow.clone())
    );
    let over = Record::plain(HANDSHAKE, &vec![1; (1 << 14) + 1]).bytes();
    let (_, mut server) = pair();
    assert_eq!(feed(&mut server, &over), Err(overflow));
    // Types of no record at all, and those that are not protected.
    for content_type in (0..=255).filter(|kind| !matches!(kind, 0 | ALERT..=DATA)) {
        let error = told(content_type, &[1]).unwrap_err();
        assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
    }
    assert!(told(HANDSHAKE, &[]).is_err());
    let empty = told(ALERT, &[]).unwrap_err();
    assert_eq!(empty.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
    for alert in [&[2][..], &[2, 40, 2], &[1, 0, 1, 0]] {
        assert_eq!(told(ALERT, alert), Err(Error::Decode("alert")));
    }
}

#[test]
fn plain_records_after_the_keys() {
    for (content_type, content) in [
        (HANDSHAKE, &[24, 0, 0, 1, 0][..]),
        (ALERT, &[1, 0]),
        (ALERT, &[1, 90]),
        (ALERT, &[2, 40]),
        (CCS, &[1]),
        (DATA, b"not sealed at all, but longer than a tag"),
    ] {
        for side in [Sender::Client, Sender::Server] {
            let (mut client, mut server) = established();
            // As the first thing after the handshake, and after a change of keys.
            for updated in [false, true] {
                let to = match side {
                    Sender::Client => &mut server,
                    Sender::Server => &mut client,
                };
                assert!(!to.is_handshaking());
                if updated {
                    (client, server) = established();
                    let (from, to) = match side {
                        Sender::Client => (&mut client, &mut server),
                        Sender::Server => (&mut server, &mut client),
                    };
                    from.update_keys(false).unwrap();
                    let update = take_output(from);
                    feed(to, &update).unwrap();
                }
                let to = match side {
                    Sender::Client => &mut server,
                    Sender::Server => &mut client,
                };
                let error = feed(to, &Record::plain(content_type, content).bytes()).unwrap_err();
                let heard = matches!(error, Error::AlertReceived(_));
                assert!(!heard, "{content_type} {content:?}: {error:?}");
                assert!(error.alert().is_some());
            }
        }
    }
}

#[test]
fn what_follows_close_notify_is_dropped() {
    let (mut client, mut server) = established();
    server.close();
    let mut input = take_output(&mut server);
    let closing = input.len();
    input.extend_from_slice(b"garbage that is no record");
    let received = client.receive(&mut input, NOW).unwrap();
    assert_eq!(
        (received.consumed, received.event),
        (input.len(), Event::Closed)
    );
    assert!(closing < input.len());
    let received = client.receive(&mut [0; 9], NOW).unwrap();
    assert_eq!((received.consumed, received.event), (9, Event::Closed));
    client.eof().unwrap();
}
