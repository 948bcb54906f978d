//! What a peer may repeat or lengthen, up to the bound and one more.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::iter;

use rustls_pki_types::CertificateDer;

use super::support::*;
use super::wiretap::*;
use crate::config::CertifiedKey;
use crate::{AlertDescription as Alert, Connection, Error, Misbehaviour, limits};

const CCS: u8 = 20;
const ALERT: u8 = 21;

/// An established client, told a number of times the same by its server.
struct Told<F> {
    client: Connection,
    say: F,
}

fn told() -> Told<impl FnMut(u8, &[u8]) -> Vec<u8>> {
    let (client, say) = established_client();
    Told { client, say }
}

impl<F: FnMut(u8, &[u8]) -> Vec<u8>> Told<F> {
    fn hear(&mut self, content_type: u8, content: &[u8]) -> Result<Vec<u8>, Error> {
        feed(&mut self.client, &(self.say)(content_type, content))
    }

    /// Hears it `most` times, and data then, twice over; and then once too often.
    fn hear_up_to(&mut self, most: u32, content_type: u8, content: &[u8]) -> Error {
        for _ in 0..2 {
            for n in 0..most {
                assert_eq!(self.hear(content_type, content), Ok(vec![]), "{n}");
            }
            assert_eq!(self.hear(DATA, b"x"), Ok(b"x".to_vec()));
        }
        for _ in 0..most {
            self.hear(content_type, content).unwrap();
        }
        self.hear(content_type, content).unwrap_err()
    }
}

fn flood(what: &'static str) -> Error {
    Misbehaviour::Flood(what).into()
}

fn too_many(what: &'static str) -> Error {
    Misbehaviour::TooMany(what).into()
}

#[test]
fn empty_records() {
    let error = told().hear_up_to(limits::EMPTY_RECORDS, DATA, &[]);
    assert_eq!(error, flood("empty records in a row"));
    assert_eq!(error.alert(), Some(Alert::UNEXPECTED_MESSAGE));
}

#[test]
fn tickets() {
    let ticket = with_body(4, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 2, 7, 7, 0, 0]);
    let error = told().hear_up_to(limits::TICKETS, HANDSHAKE, &ticket);
    assert_eq!(error, flood("session tickets without application data"));
    // Data in the other direction counts, too.
    let mut told = told();
    for n in 0..2 * limits::TICKETS {
        if n == limits::TICKETS {
            seal(&mut told.client, b"x");
        }
        told.hear(HANDSHAKE, &ticket).unwrap();
    }
}

#[test]
fn user_canceled() {
    let mut told = told();
    for _ in 0..limits::USER_CANCELED {
        told.hear(ALERT, &[1, 90]).unwrap();
        told.hear(DATA, b"x").unwrap();
    }
    let error = told.hear(ALERT, &[1, 90]).unwrap_err();
    assert_eq!(error, flood("user_canceled alerts"));
}

#[test]
fn key_updates() {
    let most = limits::KEY_UPDATES;
    let (mut client, mut server) = established();
    let mut update = |client: &mut Connection| {
        client.update_keys(false).unwrap();
        let update = take_output(client);
        feed(&mut server, &update)
    };
    for _ in 0..most {
        update(&mut client).unwrap();
    }
    let error = update(&mut client).unwrap_err();
    assert_eq!(error, flood("KeyUpdates without application data"));

    // Data in either direction counts.
    let (mut client, mut server) = established();
    for n in 0..3 * most {
        if n == most {
            let sealed = seal(&mut client, b"x");
            feed(&mut server, &sealed).unwrap();
        }
        if n == 2 * most {
            seal(&mut server, b"x");
        }
        client.update_keys(false).unwrap();
        let update = take_output(&mut client);
        feed(&mut server, &update).unwrap();
    }
}

#[test]
fn change_cipher_specs() {
    for (more, fits) in [(0, true), (1, false)] {
        let dummies = Record::plain(CCS, &[1]).bytes();
        let dummies = dummies.repeat(limits::CHANGE_CIPHER_SPECS as usize - 1 + more);
        let (mut client, mut server) = (legible_client(false), legible_server());
        let end = shake_through(&mut client, &mut server, |sender, flight| match sender {
            // It has one already.
            Sender::Server => [&dummies[..], &flight].concat(),
            Sender::Client => flight,
        });
        match fits {
            true => assert_eq!(end, End::Established),
            false => assert_eq!(
                end,
                End::Refused(Sender::Server, flood("change_cipher_spec records"))
            ),
        }
    }
}

/// How a handshake ends whose ClientHello is edited by its sender.
fn hello(edit_list: impl FnOnce(&mut List)) -> End {
    let all = all_messages(false);
    changed_by_sender(false, &all, 0, &edit(&all[0].1, edit_list))
}

/// A length in two bytes and what it is of.
fn listed(content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    [&len.to_be_bytes(), content].concat()
}

#[track_caller]
fn refused(end: &End, by: Sender, what: &'static str) {
    let error = too_many(what);
    assert_eq!(error.alert(), Some(Alert::ILLEGAL_PARAMETER));
    assert_eq!(*end, End::Refused(by, error));
}

#[test]
fn extensions() {
    let fill = |most: usize| {
        hello(move |list| {
            let unknown = (0x5000..).map(|id| (id, vec![]));
            let missing = most - list.len();
            list.extend(unknown.take(missing));
        })
    };
    // Our own ClientHello is read by the same reader.
    assert_eq!(fill(limits::EXTENSIONS), End::Established);
    refused(&fill(limits::EXTENSIONS + 1), Sender::Client, "extensions");
}

#[test]
fn application_protocols() {
    let offer = |most: usize| {
        let mut names = b"\x03two".to_vec();
        names.extend([1, b'x'].repeat(most - 1));
        hello(with(16, &listed(&names)))
    };
    assert_eq!(offer(limits::ALPN_NAMES), End::Established);
    let end = offer(limits::ALPN_NAMES + 1);
    refused(&end, Sender::Client, "application protocols");
}

#[test]
fn key_shares() {
    let offer = |most: usize| {
        let others = || (0x5000_u16..).take(most - 1).map(u16::to_be_bytes);
        hello(move |list| {
            for (id, content) in list {
                match id {
                    10 => {
                        let unknown = others().collect::<Vec<_>>().concat();
                        *content = listed(&[&[0, 29][..], &unknown].concat());
                    }
                    51 => {
                        let share = content[2..].to_vec();
                        let unknown = others().flat_map(|group| [group[0], group[1], 0, 1, 7]);
                        *content = listed(&share.into_iter().chain(unknown).collect::<Vec<_>>());
                    }
                    _ => {}
                }
            }
        })
    };
    assert_eq!(offer(limits::KEY_SHARES), End::Established);
    let end = offer(limits::KEY_SHARES + 1);
    refused(&end, Sender::Client, "key shares");
}

#[test]
fn authorities() {
    let all = all_messages(false);
    let request = |most: usize| {
        let changed = edit(&all[3].1, with(47, &listed(&[0, 1, 7].repeat(most))));
        changed_by_sender(false, &all, 3, &changed)
    };
    assert_eq!(request(limits::AUTHORITIES), End::Established);
    let end = request(limits::AUTHORITIES + 1);
    refused(&end, Sender::Server, "certificate authorities");
}

#[test]
fn certificates_in_a_chain() {
    for (more, fits) in [(0, true), (1, false)] {
        let long = || {
            let certified = certified(&provider());
            let mut chain = certified.chain().to_vec();
            chain.resize(limits::CHAIN + more, CertificateDer::from(vec![7]));
            let key = certified.key().clone();
            Arc::new(Arc::new(CertifiedKey::new(Arc::from(chain), key).unwrap()))
        };
        let settings = || {
            let mut settings = server_settings();
            settings.certificates = long();
            settings
        };
        for handshake in handshakes(client_settings, settings) {
            if fits {
                handshake.established();
            } else {
                let error = handshake.refused(Alert::ILLEGAL_PARAMETER);
                assert_eq!(error, too_many("certificates in a chain"));
            }
        }
    }
}

#[test]
fn handshake_messages() {
    let settings = || {
        let mut settings = server_settings();
        settings.limits.handshake_message = 4096;
        settings
    };
    for (len, fits) in [(1000, true), (8000, false)] {
        let long = || {
            let mut settings = client_settings();
            settings.alpn = iter::repeat_n(vec![b'x'; 200], len / 200).collect();
            settings
        };
        for handshake in handshakes(long, settings) {
            if fits {
                handshake.established();
            } else {
                let error = handshake.refused(Alert::ILLEGAL_PARAMETER);
                assert_eq!(error, Misbehaviour::MessageTooLong.into());
            }
        }
    }
}

/// Records of early data, whose bodies have this length together.
fn early_data(mut len: usize) -> Vec<u8> {
    let mut records = Vec::new();
    while len > 0 {
        let body = len.min(1 << 14);
        let [.., a, b] = body.to_be_bytes();
        records.extend([DATA, 3, 3, a, b]);
        records.extend(iter::repeat_n(7, body));
        len -= body;
    }
    records
}

/// A handshake whose client offers early data, and sends some behind flight number `at`.
fn with_early_data(retry: bool, resumes: bool, at: usize, data: &[u8]) -> End {
    let all = all_messages(retry);
    let offer = edit(&all[0].1, |list| {
        list.push((42, vec![]));
        if resumes {
            list.extend([(45, vec![1, 1]), (41, vec![0])]);
        }
    });
    let (mut client, mut server) = (legible_client(retry), legible_server());
    client.substitutes = vec![offer];
    let mut number = 0;
    shake_through(&mut client, &mut server, |_, flight| {
        number += 1;
        match number - 1 == at {
            true => [&flight, data].concat(),
            false => flight,
        }
    })
}

#[test]
fn early_data_is_skipped_up_to_a_length() {
    let most = limits::SKIPPED_EARLY_DATA;
    for retry in [false, true] {
        for len in [1, 1 << 14, most - 1, most] {
            let end = with_early_data(retry, true, 0, &early_data(len));
            assert_eq!(end, End::Established, "{len} bytes, retry: {retry}");
        }
        // A record without a body costs something, too.
        let empty = [DATA, 3, 3, 0, 0].repeat(most);
        assert_eq!(with_early_data(retry, true, 0, &empty), End::Established);
        for more in [
            early_data(most + 1),
            [&empty[..], &[DATA, 3, 3, 0, 0]].concat(),
        ] {
            let end = with_early_data(retry, true, 0, &more);
            assert!(matches!(end, End::Refused(Sender::Client, _)), "{end:?}");
        }
        // Not without a session to resume, which the data would belong to.
        let end = with_early_data(retry, false, 0, &early_data(100));
        assert!(matches!(end, End::Refused(Sender::Client, _)), "{end:?}");
    }
    // Not behind the second ClientHello (RFC 9846, section 4.3.10).
    let end = with_early_data(true, true, 2, &early_data(100));
    let expected = crypto_api::Error::BadTag.into();
    assert_eq!(end, End::Refused(Sender::Client, expected));
}

/// The first record that opens is the end of early data.
#[test]
fn early_data_is_not_skipped_amid_a_flight() {
    let all = all_messages(false);
    let offer = edit(&all[0].1, |list| {
        list.extend([(42, vec![]), (45, vec![1, 1]), (41, vec![0])]);
    });
    for (amid, expected) in [
        (false, End::Established),
        (
            true,
            End::Refused(Sender::Client, crypto_api::Error::BadTag.into()),
        ),
    ] {
        let (mut client, mut server) = (legible_client(false), legible_server());
        client.substitutes = vec![offer.clone()];
        let end = shake_through(&mut client, &mut server, |sender, flight| {
            let mut records = records(&flight);
            let Some(key) = records.last().and_then(|record| record.tag) else {
                return flight;
            };
            if sender == Sender::Server {
                return flight;
            }
            // In two records of its own.
            let whole = records.pop().unwrap();
            let (one, two) = whole.content.split_at(10);
            let one = Record::protected(HANDSHAKE, one, tag(key, 0)).bytes();
            let two = Record::protected(HANDSHAKE, two, tag(key, 1)).bytes();
            let early = early_data(100);
            let before = join(&records);
            match amid {
                true => [before, one, early, two].concat(),
                false => [before, early, one, two].concat(),
            }
        });
        assert_eq!(end, expected);
    }
}
