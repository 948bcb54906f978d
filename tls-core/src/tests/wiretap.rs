//! Reading and changing what goes over the wire, records and handshake messages.
//!
//! The records of these connections are protected by an AEAD that hides nothing and whose
//! tag depends on key and sequence number only. Whatever is changed in them is for the
//! handshake to notice.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use crypto_api::{
    ActiveKeyExchange, CipherSuite, CryptoProvider, Implementation, KeyExchangeGroup,
    KeyExchangeResponse, NONCE_LEN, NamedGroup, Op, PendingOp, RecordAead, RecordOpener,
    RecordSealer, SealRecord, SecureRandom,
};

use super::support::*;
use crate::config::{ClientAuth, ClientSettings, ServerSettings};
use crate::{Connection, Error, Event};

pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

const TEST: Implementation = Implementation {
    backend: "test",
    detail: "legible",
};

const TAG_LEN: usize = 16;

/// The AEAD that is none.
#[derive(Debug)]
struct Legible;

/// Its state: the key.
struct LegibleKey([u8; TAG_LEN]);

pub(crate) fn tag(key: [u8; TAG_LEN], sequence: u64) -> [u8; TAG_LEN] {
    (u128::from_be_bytes(key) ^ u128::from(sequence)).to_be_bytes()
}

impl RecordAead for Legible {
    fn key_len(&self) -> usize {
        TAG_LEN
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn sealer(
        &self,
        key: &[u8],
        _: &[u8; NONCE_LEN],
    ) -> Result<Box<dyn RecordSealer>, crypto_api::Error> {
        Ok(Box::new(LegibleKey(key.try_into().unwrap())))
    }

    fn opener(
        &self,
        key: &[u8],
        _: &[u8; NONCE_LEN],
    ) -> Result<Box<dyn RecordOpener>, crypto_api::Error> {
        Ok(Box::new(LegibleKey(key.try_into().unwrap())))
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}

impl RecordSealer for LegibleKey {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), crypto_api::Error> {
        let sequence = record.sequence;
        let (_, place) = record.gather(TAG_LEN)?;
        place.copy_from_slice(&tag(self.0, sequence));
        Ok(())
    }
}

impl RecordOpener for LegibleKey {
    fn open(
        &mut self,
        sequence: u64,
        _: &[u8],
        in_out: &mut [u8],
    ) -> Result<usize, crypto_api::Error> {
        let plaintext = in_out.strip_suffix(&tag(self.0, sequence));
        Ok(plaintext.ok_or(crypto_api::Error::BadTag)?.len())
    }
}

/// An AEAD with lengths of any kind, that is never used.
#[derive(Debug)]
pub(crate) struct Odd {
    pub(crate) key_len: usize,
    pub(crate) tag_len: usize,
}

impl RecordAead for Odd {
    fn key_len(&self) -> usize {
        self.key_len
    }

    fn tag_len(&self) -> usize {
        self.tag_len
    }

    fn sealer(
        &self,
        _: &[u8],
        _: &[u8; NONCE_LEN],
    ) -> Result<Box<dyn RecordSealer>, crypto_api::Error> {
        Err(crypto_api::Error::Unsupported("odd"))
    }

    fn opener(
        &self,
        _: &[u8],
        _: &[u8; NONCE_LEN],
    ) -> Result<Box<dyn RecordOpener>, crypto_api::Error> {
        Err(crypto_api::Error::Unsupported("odd"))
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}

/// A record, protected if it has a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) content_type: u8,
    pub(crate) content: Vec<u8>,
    pub(crate) tag: Option<[u8; TAG_LEN]>,
}

impl Record {
    pub(crate) fn plain(content_type: u8, content: &[u8]) -> Self {
        Self {
            content_type,
            content: content.to_vec(),
            tag: None,
        }
    }

    pub(crate) fn protected(content_type: u8, content: &[u8], tag: [u8; TAG_LEN]) -> Self {
        Self {
            tag: Some(tag),
            ..Self::plain(content_type, content)
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (content_type, body) = match self.tag {
            None => (self.content_type, self.content.clone()),
            Some(tag) => {
                let body = [&self.content[..], &[self.content_type], &tag].concat();
                (DATA, body)
            }
        };
        let [.., a, b] = body.len().to_be_bytes();
        [&[content_type, 3, 3, a, b], &body[..]].concat()
    }
}

/// The headers of the records that any connection sent.
pub(crate) fn headers(mut bytes: &[u8]) -> Vec<[u8; 5]> {
    let mut headers = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<5>() {
        let [.., a, b] = *header;
        bytes = &rest[usize::from(u16::from_be_bytes([a, b]))..];
        headers.push(*header);
    }
    headers
}

/// Splits what a legible connection sent.
pub(crate) fn records(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let [content_type, _, _, a, b, rest @ ..] = bytes {
        let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes([*a, *b])));
        bytes = rest;
        records.push(match content_type {
            &DATA => {
                let (inner, tag) = body.split_last_chunk::<TAG_LEN>().unwrap();
                let (content_type, content) = inner.split_last().unwrap();
                Record::protected(*content_type, content, *tag)
            }
            plain => Record::plain(*plain, body),
        });
    }
    assert!(bytes.is_empty());
    records
}

pub(crate) fn join(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::bytes).collect()
}

/// Splits whole handshake messages.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let [_, a, b, c, ..] = bytes {
        let len = 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (message, rest) = bytes.split_at(len);
        messages.push(message.to_vec());
        bytes = rest;
    }
    messages
}

fn legible_provider(seed: u8, groups: &[NamedGroup]) -> CryptoProvider {
    let mut provider = repeating_provider(seed)
        .only_suites(&[
            CipherSuite::TLS_AES_128_GCM_SHA256,
            CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        ])
        .and_then(|provider| provider.only_groups(groups))
        .unwrap();
    for suite in &mut provider.suites {
        suite.aead = Arc::new(Legible);
    }
    provider
}

/// A client whose messages are the same each time. With `retry` its share is in a group that
/// the server does not have. It is ready when it is polled.
pub(crate) fn legible_client(retry: bool) -> Connection {
    let mut provider = match retry {
        true => legible_provider(1, &[NamedGroup::X25519, NamedGroup::SECP256R1]),
        false => legible_provider(1, &[NamedGroup::X25519]),
    };
    for group in &mut provider.groups {
        *group = Arc::new(AtFirstPoll(group.clone()));
    }
    let certified = certified(&provider);
    let mut settings = ClientSettings::new(Arc::new(provider), Arc::new(TrustsKeys));
    if retry {
        settings.key_shares = vec![NamedGroup::SECP256R1];
    }
    settings.alpn = vec![b"one".to_vec(), b"two".to_vec()];
    settings.certificates = Some(Arc::new(certified));
    client(settings)
}

/// A server whose messages are the same each time. It wants a certificate.
pub(crate) fn legible_server() -> Connection {
    let provider = legible_provider(2, &[NamedGroup::X25519]);
    let certified = certified(&provider);
    let mut settings = ServerSettings::new(Arc::new(provider), Arc::new(certified));
    settings.alpn = vec![b"two".to_vec()];
    settings.client_auth = ClientAuth::Required(Arc::new(TrustsKeys));
    server(settings)
}

/// A group whose key pairs are ready at the first poll, and not before, so that a test has
/// the connection in its hands before there is a ClientHello.
#[derive(Debug)]
pub(crate) struct AtFirstPoll(pub(crate) Arc<dyn KeyExchangeGroup>);

type Exchange = Box<dyn ActiveKeyExchange>;

impl KeyExchangeGroup for AtFirstPoll {
    fn id(&self) -> NamedGroup {
        self.0.id()
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Exchange> {
        match self.0.start(random) {
            Op::Ready(started) => Op::Pending(Box::new(Held(Some(started)))),
            pending => pending,
        }
    }

    fn respond(&self, share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        self.0.respond(share, random)
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}

struct Held(Option<Result<Exchange, crypto_api::Error>>);

impl PendingOp<Exchange, crypto_api::Error> for Held {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Result<Exchange, crypto_api::Error>> {
        Poll::Ready(self.0.take().expect("polled after it was ready"))
    }
}

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// How a handshake ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Established,
    /// Both wait for each other.
    Stuck,
    /// One side refused what this one sent.
    Refused(Sender, Error),
}

/// [`feed`] with bytes that need not be whole records.
fn offer(to: &mut Connection, mut bytes: Vec<u8>) -> Result<(), Error> {
    let mut rest = &mut bytes[..];
    loop {
        let received = to.receive(rest, NOW)?;
        rest = &mut rest[received.consumed..];
        match received.event {
            Event::Suspended => {
                drive(to)?;
            }
            Event::Data(_) => {}
            Event::NeedInput { .. } | Event::Closed => return Ok(()),
        }
    }
}

/// A handshake whose flights go through `tamper`. A side that refuses tells the other why.
pub(crate) fn shake_through(
    client: &mut Connection,
    server: &mut Connection,
    mut tamper: impl FnMut(Sender, Vec<u8>) -> Vec<u8>,
) -> End {
    if let Err(error) = drive(client) {
        // It could not even read its own.
        return End::Refused(Sender::Client, error);
    }
    loop {
        let mut silent = true;
        for sender in [Sender::Client, Sender::Server] {
            let (from, to) = match sender {
                Sender::Client => (&mut *client, &mut *server),
                Sender::Server => (&mut *server, &mut *client),
            };
            let flight = take_output(from);
            silent &= flight.is_empty();
            if flight.is_empty() {
                continue;
            }
            if let Err(error) = offer(to, tamper(sender, flight)) {
                let alert = error.alert().expect("an error of the peer's making");
                let told = take_output(to);
                assert!(!told.is_empty(), "nothing said of {error:?}");
                match feed(from, &told) {
                    Err(Error::AlertReceived(heard)) => {
                        assert_eq!(heard, alert);
                    }
                    // Keys that do not agree protect the alert, too.
                    Err(other) if other == error => {
                        assert_eq!(error, crypto_api::Error::BadTag.into());
                    }
                    other => panic!("{other:?} when told of {error:?}"),
                }
                return End::Refused(sender, error);
            }
        }
        if silent {
            return match client.is_handshaking() || server.is_handshaking() {
                true => End::Stuck,
                false => End::Established,
            };
        }
    }
}

/// [`shake_through`], message by message: records are cut again where a message has another
/// length.
pub(crate) fn shake_messages(
    client: &mut Connection,
    server: &mut Connection,
    mut tamper: impl FnMut(Sender, &mut Vec<u8>),
) -> End {
    shake_through(client, server, |sender, flight| {
        let mut records = records(&flight);
        for record in &mut records {
            if record.content_type == HANDSHAKE {
                let mut changed = Vec::new();
                for mut message in messages(&record.content) {
                    tamper(sender, &mut message);
                    changed.append(&mut message);
                }
                record.content = changed;
            }
        }
        records.retain(|record| !record.content.is_empty());
        join(&records)
    })
}

/// All handshake messages of a handshake, in order.
pub(crate) fn all_messages(retry: bool) -> Vec<(Sender, Vec<u8>)> {
    let mut all = Vec::new();
    let (mut client, mut server) = (legible_client(retry), legible_server());
    let end = shake_messages(&mut client, &mut server, |sender, message| {
        all.push((sender, message.clone()));
    });
    assert_eq!(end, End::Established);
    all
}

/// A handshake message.
pub(crate) fn with_body(kind: u8, body: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = body.len().to_be_bytes();
    [&[kind, a, b, c], body].concat()
}

/// What each byte of a message belongs to.
pub(crate) fn fields(message: &[u8]) -> Vec<String> {
    let mut fields = vec![String::from("header"); 4];
    let mut name = |what: &str, len: usize| {
        fields.extend((0..len).map(|_| String::from(what)));
        fields.len()
    };
    let extensions = match message[0] {
        kind @ (1 | 2) => {
            name("legacy_version", 2);
            name("random", 32);
            let mut at = name("session id", 1 + usize::from(message[38]));
            if kind == 1 {
                let len = u16::from_be_bytes([message[at], message[at + 1]]);
                at = name("cipher suites", 2 + usize::from(len));
                at = name("compression", 1 + usize::from(message[at]));
            } else {
                at = name("suite and compression", 3);
            }
            at
        }
        8 => 4,
        13 => name("context", 1),
        _ => {
            name("body", message.len() - 4);
            return fields;
        }
    };
    let mut at = extensions + name("length of extensions", 2) - extensions;
    while at < message.len() {
        let id = u16::from_be_bytes([message[at], message[at + 1]]);
        let len = u16::from_be_bytes([message[at + 2], message[at + 3]]);
        name(&format!("id of extension {id}"), 2);
        name(&format!("length of extension {id}"), 2);
        at = name(&format!("content of extension {id}"), usize::from(len));
    }
    fields
}

/// Extensions: id and content.
pub(crate) type List = Vec<(u16, Vec<u8>)>;
pub(crate) type Change = Box<dyn FnOnce(&mut List)>;

/// Edits the extensions of a message that has them at its end.
pub(crate) fn edit(message: &[u8], edit: impl FnOnce(&mut List)) -> Vec<u8> {
    let fields = fields(message);
    let at = fields.iter().position(|f| f == "length of extensions");
    let at = at.unwrap();
    let mut list = List::new();
    let mut rest = &message[at + 2..];
    while let [a, b, c, d, behind @ ..] = rest {
        let (content, behind) = behind.split_at(usize::from(u16::from_be_bytes([*c, *d])));
        list.push((u16::from_be_bytes([*a, *b]), content.to_vec()));
        rest = behind;
    }
    edit(&mut list);
    let mut bytes = Vec::new();
    for (id, content) in list {
        bytes.extend(id.to_be_bytes());
        bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(content);
    }
    let len = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    with_body(message[0], &[&message[4..at], &len, &bytes].concat())
}

pub(crate) fn without(id: u16) -> Change {
    Box::new(move |list| {
        let before = list.len();
        list.retain(|(kind, _)| *kind != id);
        assert_eq!(list.len() + 1, before);
    })
}

pub(crate) fn with(id: u16, content: &[u8]) -> Change {
    let content = content.to_vec();
    Box::new(move |list| {
        list.retain(|(kind, _)| *kind != id);
        list.push((id, content));
    })
}

pub(crate) fn twice(id: u16) -> Change {
    Box::new(move |list| {
        let found = list.iter().find(|(kind, _)| *kind == id).unwrap().clone();
        list.push(found);
    })
}

/// A handshake in which message number `at` becomes `changed` on the way.
pub(crate) fn changed_in_transit(retry: bool, at: usize, changed: &[u8]) -> End {
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
pub(crate) fn changed_by_sender(
    retry: bool,
    all: &[(Sender, Vec<u8>)],
    at: usize,
    changed: &[u8],
) -> End {
    let (mut client, mut server) = (legible_client(retry), legible_server());
    let sender = all[at].0;
    // Earlier messages of the same type stay as they are.
    let mut substitutes: Vec<Vec<u8>> = all[..at]
        .iter()
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

/// An established client, and how to say something in its server's name.
pub(crate) fn established_client() -> (Connection, impl FnMut(u8, &[u8]) -> Vec<u8>) {
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
