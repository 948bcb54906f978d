//! Everything that may take time, taking time: the bytes must be the same.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};

use crypto_api::{
    CryptoProvider, Implementation, NamedGroup, Op, Payload, PendingOp, RecordAead, RecordOpener,
    RecordSealer, SealRecord, SecureRandom, SignatureScheme, SigningKey,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::slow::*;
use super::support::*;
use crate::config::{CertifiedKey, ClientAuth, ClientSettings, ServerSettings};
use crate::{AlertDescription, Connection, Error, Event};

/// A client with a certificate.
fn client_of(polls: usize) -> ClientSettings {
    let mut settings = ClientSettings::new(Arc::new(repeating_provider(1)), Arc::new(TrustsKeys));
    settings.certificates = Some(Arc::new(certified(&provider())));
    slow_client(settings, polls)
}

/// A server that wants one.
fn server_of(polls: usize) -> ServerSettings {
    let mut settings = ServerSettings::new(
        Arc::new(repeating_provider(2)),
        Arc::new(certified(&provider())),
    );
    settings.client_auth = ClientAuth::Required(Arc::new(TrustsKeys));
    slow_server(settings, polls)
}

/// All bytes of a handshake with client authentication and of a little data.
fn run(polls: usize, key_shares: &[NamedGroup], record_payload: usize) -> Streams {
    let mut settings = client_of(polls);
    settings.key_shares = key_shares.to_vec();
    settings.limits.record_payload = record_payload;
    let mut client = client(settings);
    let mut settings = server_of(polls);
    settings.limits.record_payload = record_payload;
    let mut server = server(settings);
    assert_eq!(client.is_suspended(), polls > 0 && !key_shares.is_empty());
    let mut streams = shake(&mut client, &mut server).unwrap();
    assert!(server.peer_certificates().is_some());
    streams.client.extend(seal(&mut client, b"to the server"));
    streams.server.extend(seal(&mut server, b"to the client"));
    streams
}

#[test]
fn same_bytes_ready_or_pending() {
    let shares: [&[NamedGroup]; 3] = [
        &[NamedGroup::X25519],
        &[NamedGroup::SECP256R1, NamedGroup::X25519],
        // A retry.
        &[],
    ];
    for key_shares in shares {
        for record_payload in [64, 16_384] {
            let ready = run(0, key_shares, record_payload);
            assert!(
                ready == run(0, key_shares, record_payload),
                "does not repeat"
            );
            for polls in [1, 2, 7] {
                let pending = run(polls, key_shares, record_payload);
                assert!(
                    pending == ready,
                    "{polls} polls, {key_shares:?}, {record_payload}"
                );
            }
        }
    }
}

/// Feeds a ClientHello to a server that has to wait three times: for the certificate, the
/// key exchange and the signature. Returns it as it waits for the last.
fn waiting_for_signature() -> (Connection, Connection) {
    let mut client = client(client_settings());
    let mut server = server(server_of(2));
    let mut hello = take_output(&mut client);
    let received = server.receive(&mut hello, NOW).unwrap();
    assert_eq!(received.consumed, hello.len());
    assert_eq!(received.event, Event::Suspended);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..5 {
        assert!(server.output().is_empty());
        assert!(server.poll(&mut cx).is_pending());
    }
    (client, server)
}

#[test]
fn sends_what_it_can_while_suspended() {
    let (mut client, mut server) = waiting_for_signature();
    // ServerHello and the dummy, but not the record that is not full yet.
    let early = take_output(&mut server);
    assert_eq!(early[0], 22);
    assert!(early.ends_with(&[20, 3, 3, 0, 1, 1]));
    feed(&mut client, &early).unwrap();
    assert!(server.is_suspended() && server.is_handshaking());
    drive(&mut server).unwrap();
    assert_eq!(server.output()[0], 23);
}

#[test]
fn takes_nothing_while_suspended() {
    let (_, mut server) = waiting_for_signature();
    let mut junk = *b"whatever, it is not looked at";
    for _ in 0..3 {
        let received = server.receive(&mut junk, NOW).unwrap();
        assert_eq!((received.consumed, received.event), (0, Event::Suspended));
    }
    drive(&mut server).unwrap();
    server.receive(&mut junk, NOW).unwrap_err();
}

#[test]
fn poll_of_an_idle_connection_is_ready() {
    let mut server = server(server_settings());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(server.poll(&mut cx), Poll::Ready(Ok(())));
}

/// A key whose operation never ends, and that notes when it is dropped; or ends badly.
#[derive(Debug)]
struct Hopeless {
    inner: Arc<dyn SigningKey>,
    dropped: Arc<AtomicBool>,
    fails: bool,
}

struct Forever(Arc<AtomicBool>);

impl PendingOp<Vec<u8>> for Forever {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Result<Vec<u8>, crypto_api::Error>> {
        Poll::Pending
    }
}

impl Drop for Forever {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl SigningKey for Hopeless {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.inner.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.inner.schemes()
    }

    fn sign(&self, _: SignatureScheme, _: &[u8], _: &dyn SecureRandom) -> Op<Vec<u8>> {
        if self.fails {
            let error = crypto_api::Error::Unavailable {
                backend: "test",
                detail: "gone".into(),
            };
            return delayed(Op::err(error), 3);
        }
        Op::Pending(Box::new(Forever(self.dropped.clone())))
    }

    fn implementation(&self) -> Implementation {
        IMPLEMENTATION
    }
}

fn hopeless_server(fails: bool) -> (Connection, Arc<AtomicBool>) {
    let dropped = Arc::new(AtomicBool::new(false));
    let provider = provider();
    let key = Hopeless {
        inner: certified(&provider).key().clone(),
        dropped: dropped.clone(),
        fails,
    };
    let settings = ServerSettings::new(provider, Arc::new(certify(Arc::new(key))));
    (server(settings), dropped)
}

#[test]
fn dropping_the_connection_cancels() {
    let (mut server, dropped) = hopeless_server(false);
    let mut hello = take_output(&mut client(client_settings()));
    let received = server.receive(&mut hello, NOW).unwrap();
    assert_eq!(received.event, Event::Suspended);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(server.poll(&mut cx).is_pending());
    assert!(!dropped.load(Ordering::Relaxed));
    drop(server);
    assert!(dropped.load(Ordering::Relaxed));
}

#[test]
fn the_end_of_the_transport_cancels() {
    let (mut server, dropped) = hopeless_server(false);
    let mut hello = take_output(&mut client(client_settings()));
    server.receive(&mut hello, NOW).unwrap();
    assert_eq!(server.eof(), Err(Error::Truncated));
    assert!(dropped.load(Ordering::Relaxed));
}

#[test]
fn a_failed_operation_is_an_internal_error() {
    let (server, _) = hopeless_server(true);
    let Handshake {
        mut server,
        outcome,
        ..
    } = Handshake::new(client(client_settings()), server);
    let (error, alert) = outcome.unwrap_err();
    assert!(matches!(
        error,
        Error::Crypto(crypto_api::Error::Unavailable { .. })
    ));
    let expected = Error::AlertReceived(AlertDescription::INTERNAL_ERROR);
    assert_eq!(alert, Some(expected));
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(server.poll(&mut cx), Poll::Ready(Err(error)));
}

/// The alert comes behind the rest of the message that the suspension held back.
#[test]
fn a_failure_amid_a_long_message() {
    let dropped = Arc::new(AtomicBool::new(false));
    let provider = provider();
    let inner = certified(&provider).key().clone();
    let spki = inner.public_key().unwrap().as_ref().to_vec();
    let key = Arc::new(Hopeless {
        inner,
        dropped,
        fails: true,
    });
    let long = rustls_pki_types::CertificateDer::from(alloc::vec![7; 40_000]);
    let chain = Arc::from([rustls_pki_types::CertificateDer::from(spki), long]);
    let certified = Arc::new(CertifiedKey::new(chain, key).unwrap());
    let server = server(ServerSettings::new(provider, Arc::new(certified)));
    Handshake::new(client(client_settings()), server).refused(AlertDescription::INTERNAL_ERROR);
}

/// What lies in one record behind the message that made a client wait is taken by the next
/// call, even if nothing has come since.
#[test]
fn what_came_in_one_record_waits_inside() {
    let mut client = client(slow_client(client_settings(), 2));
    let mut server = server(server_settings());
    drive(&mut client).unwrap();
    feed(&mut server, &take_output(&mut client)).unwrap();
    let mut flight = take_output(&mut server);
    let mut rest = &mut flight[..];
    loop {
        let received = client.receive(rest, NOW).unwrap();
        assert_eq!(received.event, Event::Suspended);
        rest = &mut rest[received.consumed..];
        drive(&mut client).unwrap();
        if rest.is_empty() {
            break;
        }
    }
    // The certificate is verified; its CertificateVerify and Finished were not yet looked at.
    assert!(client.is_handshaking() && client.output().is_empty());
    let received = client.receive(&mut [], NOW).unwrap();
    assert_eq!(received.event, Event::NeedInput { at_least: 5 });
    assert!(!client.is_handshaking());
    feed(&mut server, &take_output(&mut client)).unwrap();
    exchange_data(&mut client, &mut server);
}

/// An AEAD that makes a number of sealers, each of which seals a number of records, and then
/// fails.
#[derive(Debug)]
struct Failing {
    inner: Arc<dyn RecordAead>,
    sealers: AtomicUsize,
    records: usize,
}

impl Failing {
    fn provider(seed: u8, sealers: usize, records: usize) -> Arc<CryptoProvider> {
        let mut provider = repeating_provider(seed);
        for suite in &mut provider.suites {
            suite.aead = Arc::new(Self {
                inner: suite.aead.clone(),
                sealers: AtomicUsize::new(sealers),
                records,
            });
        }
        Arc::new(provider)
    }
}

fn worn_out() -> crypto_api::Error {
    crypto_api::Error::Backend {
        backend: "test",
        operation: "seal",
        detail: "worn out".into(),
    }
}

struct FailingSealer {
    inner: Box<dyn RecordSealer>,
    records: usize,
}

impl RecordAead for Failing {
    fn key_len(&self) -> usize {
        self.inner.key_len()
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn sealer(
        &self,
        key: &[u8],
        iv: &[u8; 12],
    ) -> Result<Box<dyn RecordSealer>, crypto_api::Error> {
        let used = |left: usize| left.checked_sub(1);
        self.sealers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, used)
            .map_err(|_| worn_out())?;
        Ok(Box::new(FailingSealer {
            inner: self.inner.sealer(key, iv)?,
            records: self.records,
        }))
    }

    fn opener(
        &self,
        key: &[u8],
        iv: &[u8; 12],
    ) -> Result<Box<dyn RecordOpener>, crypto_api::Error> {
        self.inner.opener(key, iv)
    }

    fn implementation(&self) -> Implementation {
        IMPLEMENTATION
    }
}

impl RecordSealer for FailingSealer {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), crypto_api::Error> {
        let left = self.records.checked_sub(1);
        self.records = left.ok_or_else(worn_out)?;
        self.inner.seal(record)
    }
}

/// One more record could use a sequence number twice: not even an alert goes out.
#[test]
fn nothing_is_sealed_after_a_failure() {
    let mut settings = client_settings();
    settings.provider = Failing::provider(3, 2, 3);
    let mut client = client(settings);
    shake(&mut client, &mut server(server_settings())).unwrap();
    let data = alloc::vec![1; 4 * 16_384];
    let mut out = alloc::vec![0; 100_000];
    let error = client.seal(Payload::from(&data[..]), &mut out).unwrap_err();
    assert!(matches!(
        error,
        Error::Crypto(crypto_api::Error::Backend { .. })
    ));
    assert!(client.output().is_empty());
    client.close();
    assert!(client.output().is_empty());
    assert_eq!(client.seal(Payload::from(&data[..]), &mut out), Err(error));
}

/// Keys are made before anything is sent under the old ones, so that the peer understands the
/// alert: with none, with those of the handshake, and with a KeyUpdate's.
#[test]
fn keys_that_cannot_be_made() {
    let alert = AlertDescription::INTERNAL_ERROR;
    for sealers in [0, 1] {
        let mut settings = client_settings();
        settings.provider = Failing::provider(4, sealers, 9);
        Handshake::new(client(settings), server(server_settings())).refused(alert);
        let mut settings = server_settings();
        settings.provider = Failing::provider(4, sealers, 9);
        Handshake::new(client(client_settings()), server(settings)).refused(alert);
    }
    let mut settings = client_settings();
    settings.provider = Failing::provider(4, 2, 9);
    let mut client = client(settings);
    let mut server = server(server_settings());
    shake(&mut client, &mut server).unwrap();
    let error = client.update_keys(false).unwrap_err();
    assert_eq!(error, worn_out().into());
    let told = take_output(&mut client);
    let heard = feed(&mut server, &told);
    assert_eq!(heard, Err(Error::AlertReceived(alert)));
}
