//! A backend that opens and seals several records at once: what comes out is what came out
//! before.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use crypto_api::{
    CryptoProvider, Implementation, NONCE_LEN, OpenRecord, RecordAead, RecordOpener, RecordSealer,
    SealRecord,
};

use super::support::*;
use crate::{AlertDescription, Connection, Error, Event};

/// Opens whatever it is given, as far as it is good.
#[derive(Debug)]
struct Eager {
    inner: Arc<dyn RecordAead>,
    /// The most records that were opened, or sealed, in one call.
    most: Arc<AtomicUsize>,
}

struct EagerSealer {
    inner: Box<dyn RecordSealer>,
    most: Arc<AtomicUsize>,
}

impl RecordSealer for EagerSealer {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), crypto_api::Error> {
        self.inner.seal(record)
    }

    fn seal_batch(&mut self, records: &mut [SealRecord<'_>]) -> Result<(), crypto_api::Error> {
        self.most.fetch_max(records.len(), Ordering::Relaxed);
        self.inner.seal_batch(records)
    }
}

struct EagerOpener {
    inner: Box<dyn RecordOpener>,
    most: Arc<AtomicUsize>,
}

impl RecordAead for Eager {
    fn key_len(&self) -> usize {
        self.inner.key_len()
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn sealer(
        &self,
        key: &[u8],
        iv: &[u8; NONCE_LEN],
    ) -> Result<Box<dyn RecordSealer>, crypto_api::Error> {
        Ok(Box::new(EagerSealer {
            inner: self.inner.sealer(key, iv)?,
            most: self.most.clone(),
        }))
    }

    fn opener(
        &self,
        key: &[u8],
        iv: &[u8; NONCE_LEN],
    ) -> Result<Box<dyn RecordOpener>, crypto_api::Error> {
        Ok(Box::new(EagerOpener {
            inner: self.inner.opener(key, iv)?,
            most: self.most.clone(),
        }))
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: "test",
            detail: "eager",
        }
    }
}

impl RecordOpener for EagerOpener {
    fn open(
        &mut self,
        sequence: u64,
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<usize, crypto_api::Error> {
        self.inner.open(sequence, aad, in_out)
    }

    fn open_batch(&mut self, records: &mut [OpenRecord<'_>]) -> Result<usize, crypto_api::Error> {
        for (at, record) in records.iter_mut().enumerate() {
            let sealed = record.in_out.to_vec();
            match self.open(record.sequence, record.aad, record.in_out) {
                Ok(len) => record.plaintext_len = len,
                Err(error) if at == 0 => return Err(error),
                Err(_) => {
                    record.in_out.copy_from_slice(&sealed);
                    self.most.fetch_max(at, Ordering::Relaxed);
                    return Ok(at);
                }
            }
        }
        self.most.fetch_max(records.len(), Ordering::Relaxed);
        Ok(records.len())
    }
}

/// A client, and a server that opens eagerly.
fn pair() -> (Connection, Connection, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let mut provider: CryptoProvider = backend_soft::provider();
    for suite in &mut provider.suites {
        suite.aead = Arc::new(Eager {
            inner: suite.aead.clone(),
            most: most.clone(),
        });
    }
    let mut settings = server_settings();
    settings.provider = Arc::new(provider);
    let (mut client, mut server) = (client(client_settings()), server(settings));
    shake(&mut client, &mut server).unwrap();
    exchange_data(&mut client, &mut server);
    (client, server, most)
}

/// Many records of a few bytes each, and what they carry.
fn small_records(from: &mut Connection, count: u8) -> (Vec<Vec<u8>>, Vec<u8>) {
    let texts = (0..count).map(|n| vec![n; usize::from(n) * 3 + 1]);
    let (records, texts): (Vec<_>, Vec<_>) = texts.map(|text| (seal(from, &text), text)).unzip();
    (records, texts.concat())
}

#[test]
fn data_comes_out_in_order() {
    let (mut client, mut server, most) = pair();
    let (records, text) = small_records(&mut client, 50);
    assert!(feed(&mut server, &records.concat()).unwrap() == text);
    assert_eq!(most.load(Ordering::Relaxed), 8);
    exchange_data(&mut client, &mut server);
}

/// What is behind the KeyUpdate is under other keys.
#[test]
fn keys_change_among_them() {
    let (mut client, mut server, most) = pair();
    for before in 0..10 {
        let (mut records, mut text) = small_records(&mut client, before);
        client.update_keys(before % 2 == 0).unwrap();
        records.push(take_output(&mut client));
        let (behind, more) = small_records(&mut client, 10);
        records.extend(behind);
        text.extend(more);
        assert!(feed(&mut server, &records.concat()).unwrap() == text);
        let answer = take_output(&mut server);
        feed(&mut client, &answer).unwrap();
    }
    assert!(most.load(Ordering::Relaxed) > 1);
    exchange_data(&mut client, &mut server);
}

#[test]
fn what_is_before_a_forgery_comes_out() {
    for bad in 0..10 {
        let (mut client, mut server, _) = pair();
        let (mut records, text) = small_records(&mut client, 10);
        *records[bad].last_mut().unwrap() ^= 1;
        let mut input = records.concat();
        let (mut rest, mut data) = (&mut input[..], Vec::new());
        let error = loop {
            match server.receive(rest, NOW) {
                Ok(received) => {
                    let Event::Data(range) = received.event else {
                        panic!("{:?}", received.event);
                    };
                    data.extend_from_slice(&rest[range]);
                    rest = &mut rest[received.consumed..];
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.alert(), Some(AlertDescription::BAD_RECORD_MAC));
        let whole: usize = (0..bad).map(|n| n * 3 + 1).sum();
        assert_eq!(data, text[..whole], "{bad}");
    }
}

/// The caller moves what is left to the front of a buffer, and more comes behind it.
#[test]
fn what_is_left_may_move_and_grow() {
    for step in [1, 7, 100, 333] {
        let (mut client, mut server, _) = pair();
        let (records, text) = small_records(&mut client, 60);
        let (mut buffer, mut data) = (Vec::new(), Vec::new());
        for piece in records.concat().chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                let received = server.receive(&mut buffer, NOW).unwrap();
                let done = matches!(received.event, Event::NeedInput { .. });
                if let Event::Data(range) = received.event {
                    data.extend_from_slice(&buffer[range]);
                }
                buffer.drain(..received.consumed);
                if done {
                    break;
                }
            }
        }
        assert!(data == text && buffer.is_empty(), "{step}");
    }
}

/// Ciphertext where plaintext is expected would be handed out as data.
#[test]
fn what_is_left_must_not_be_put_back_as_it_came() {
    let (mut client, mut server, _) = pair();
    let (records, _) = small_records(&mut client, 3);
    let stream = records.concat();
    let mut input = stream.clone();
    let received = server.receive(&mut input, NOW).unwrap();
    assert_eq!(received.consumed, records[0].len());
    assert!(input[received.consumed..] != stream[received.consumed..]);
    let mut as_it_came = stream[received.consumed..].to_vec();
    let error = server.receive(&mut as_it_came, NOW).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
}

/// A write is one batch, the short record at its end included, as far as a batch goes.
#[test]
fn a_write_is_one_batch() {
    let full = 1 << 14;
    for (len, most) in [
        (full, 0),
        (full + 1, 2),
        (3 * full, 3),
        (3 * full + 700, 4),
        (7 * full + 1, 8),
        (8 * full + 1, 8),
        (9 * full + 1, 8),
    ] {
        let (mut client, mut server, sealed) = pair();
        sealed.store(0, Ordering::Relaxed);
        let data: Vec<u8> = (0..=250).cycle().take(len).collect();
        let stream = seal(&mut server, &data);
        assert_eq!(sealed.load(Ordering::Relaxed), most, "{len}");
        assert_eq!(stream.len(), server.sealed_len(len));
        assert!(feed(&mut client, &stream).unwrap() == data);
    }
}
