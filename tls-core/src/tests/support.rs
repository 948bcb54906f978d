//! What the tests share: peers without X.509, and the wire between them.
//!
//! The core parses no certificate, so the tests do without: a "certificate" here is the
//! bare public key (SubjectPublicKeyInfo), and verifiers take it for what it says.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use crypto_api::{
    CipherSuite, CryptoProvider, Implementation, NamedGroup, Op, Payload, SecureRandom, SigningKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};

use super::slow::{slow_client, slow_server};
use crate::config::{CertifiedKey, ClientConfig, ClientSettings, ServerConfig, ServerSettings};
use crate::verify::{CertificateChain, ClientVerifier, ServerVerifier, VerifiedPeer};
use crate::{AlertDescription, CertificateError, CertificateProblem, Connection, Error, Event};

/// An Ed25519 key for tests: the example of RFC 8410, section 10.3.
pub(crate) const ED25519_PKCS8: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    0xd4, 0xee, 0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69, 0xf8, 0xad,
    0x3a, 0xfe, 0x7c, 0x28, 0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f, 0x44, 0x75, 0x58, 0x42,
];

pub(crate) const NOW: UnixTime =
    UnixTime::since_unix_epoch(core::time::Duration::from_secs(1_700_000_000));

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(backend_soft::provider())
}

/// A key with its bare public key for a certificate.
pub(crate) fn certified(provider: &CryptoProvider) -> Arc<CertifiedKey> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(ED25519_PKCS8));
    certify(provider.load_key(&der).unwrap())
}

pub(crate) fn certify(key: Arc<dyn SigningKey>) -> Arc<CertifiedKey> {
    let spki = key.public_key().unwrap().as_ref().to_vec();
    let chain = Arc::from(vec![CertificateDer::from(spki)]);
    Arc::new(CertifiedKey::new(chain, key).unwrap())
}

/// Trusts any bare public key, but one that is empty or asks for it.
#[derive(Debug)]
pub(crate) struct TrustsKeys;

impl TrustsKeys {
    fn verify(chain: &CertificateChain) -> Result<VerifiedPeer, Error> {
        let spki = chain.first().unwrap().as_ref();
        for (asks, problem) in [
            (&b"refuse me"[..], CertificateProblem::UnknownIssuer),
            (b"deny me", CertificateProblem::AccessDenied),
        ] {
            if spki.starts_with(asks) {
                return Err(Error::Certificate(CertificateError {
                    problem,
                    detail: "it asked for it".to_string(),
                }));
            }
        }
        Ok(VerifiedPeer {
            public_key: SubjectPublicKeyInfoDer::from(spki.to_vec()),
        })
    }
}

impl ServerVerifier for TrustsKeys {
    fn verify_server(
        &self,
        chain: &CertificateChain,
        _: &ServerName<'static>,
        _: UnixTime,
    ) -> Op<VerifiedPeer, Error> {
        Op::Ready(Self::verify(chain))
    }
}

impl ClientVerifier for TrustsKeys {
    fn verify_client(&self, chain: &CertificateChain, _: UnixTime) -> Op<VerifiedPeer, Error> {
        Op::Ready(Self::verify(chain))
    }
}

pub(crate) fn server_settings() -> ServerSettings {
    let provider = provider();
    let certified = certified(&provider);
    ServerSettings::new(provider, Arc::new(certified))
}

pub(crate) fn client_settings() -> ClientSettings {
    ClientSettings::new(provider(), Arc::new(TrustsKeys))
}

pub(crate) fn server(settings: ServerSettings) -> Connection {
    Connection::server(Arc::new(ServerConfig::new(settings).unwrap()))
}

pub(crate) fn client(settings: ClientSettings) -> Connection {
    let name = ServerName::try_from("server.example").unwrap();
    Connection::client(Arc::new(ClientConfig::new(settings).unwrap()), name).unwrap()
}

/// A provider with these and no others.
pub(crate) fn only(suites: &[CipherSuite], groups: &[NamedGroup]) -> Arc<CryptoProvider> {
    let provider = backend_soft::provider().only_suites(suites).unwrap();
    Arc::new(provider.only_groups(groups).unwrap())
}

/// Takes all that waits to be sent.
pub(crate) fn take_output(from: &mut Connection) -> Vec<u8> {
    let bytes = from.output().to_vec();
    from.output_sent(bytes.len());
    bytes
}

/// Polls until nothing is pending; returns how often.
pub(crate) fn drive(connection: &mut Connection) -> Result<usize, Error> {
    let mut cx = Context::from_waker(Waker::noop());
    for polls in 0..1000 {
        match connection.poll(&mut cx) {
            Poll::Ready(outcome) => return outcome.map(|()| polls),
            Poll::Pending => {}
        }
    }
    panic!("an operation never becomes ready");
}

/// Feeds `bytes` to `to`, driving what is pending; returns the application data in them.
pub(crate) fn feed(to: &mut Connection, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut input = bytes.to_vec();
    let mut rest = &mut input[..];
    let mut data = Vec::new();
    loop {
        let received = to.receive(rest, NOW)?;
        let behind = match received.event {
            Event::Data(range) => {
                data.extend_from_slice(&rest[range]);
                false
            }
            Event::Suspended => {
                drive(to)?;
                false
            }
            Event::NeedInput { .. } | Event::Closed => true,
        };
        rest = &mut rest[received.consumed..];
        if behind {
            assert!(rest.is_empty(), "part of a record is left");
            return Ok(data);
        }
    }
}

/// What both sides sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) client: Vec<u8>,
    pub(crate) server: Vec<u8>,
}

impl Streams {
    /// Takes what both sides have to say now.
    fn take(&mut self, client: &mut Connection, server: &mut Connection) -> (Vec<u8>, Vec<u8>) {
        let (to_server, to_client) = (take_output(client), take_output(server));
        self.client.extend_from_slice(&to_server);
        self.server.extend_from_slice(&to_client);
        (to_server, to_client)
    }

    /// Carries bytes to and fro until both are silent.
    fn shake(&mut self, client: &mut Connection, server: &mut Connection) -> Result<(), Error> {
        drive(client)?;
        loop {
            let (to_server, to_client) = self.take(client, server);
            if to_server.is_empty() && to_client.is_empty() {
                return Ok(());
            }
            feed(server, &to_server)?;
            feed(client, &to_client)?;
        }
    }
}

/// Carries bytes to and fro until both are silent.
pub(crate) fn shake(client: &mut Connection, server: &mut Connection) -> Result<Streams, Error> {
    let mut streams = Streams::default();
    streams.shake(client, server).map(|()| streams)
}

/// A handshake that is over.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    /// All bytes, alerts included.
    pub(crate) streams: Streams,
    /// Or the error of the side that failed, and what the other one made of its alert.
    pub(crate) outcome: Result<(), (Error, Option<Error>)>,
}

impl Handshake {
    pub(crate) fn new(mut client: Connection, mut server: Connection) -> Self {
        let mut streams = Streams::default();
        let outcome = streams.shake(&mut client, &mut server).map_err(|error| {
            let (to_server, to_client) = streams.take(&mut client, &mut server);
            let outcomes = [feed(&mut server, &to_server), feed(&mut client, &to_client)];
            let alert = outcomes
                .into_iter()
                .filter_map(Result::err)
                .find(|other| matches!(other, Error::AlertReceived(_)));
            (error, alert)
        });
        Self {
            client,
            server,
            streams,
            outcome,
        }
    }

    /// The connections, which must be established.
    #[track_caller]
    pub(crate) fn established(self) -> (Connection, Connection) {
        assert_eq!(self.outcome, Ok(()));
        (self.client, self.server)
    }

    /// The error, of which the other side must have been told by this alert.
    #[track_caller]
    pub(crate) fn refused(self, alert: AlertDescription) -> Error {
        let (error, told) = self.outcome.expect_err("handshake succeeded");
        assert_eq!(error.alert(), Some(alert), "{error}");
        assert_eq!(told, Some(Error::AlertReceived(alert)), "{error}");
        error
    }
}

/// A handshake with each operation ready, and again with each pending for some polls: both
/// must send the same bytes and end in the same way.
pub(crate) fn handshakes(
    client_settings: impl Fn() -> ClientSettings,
    server_settings: impl Fn() -> ServerSettings,
) -> [Handshake; 2] {
    let repeating = |provider: &CryptoProvider, seed| {
        let random = Repeating::new(seed);
        Arc::new(CryptoProvider {
            random,
            ..provider.clone()
        })
    };
    let both = [0, 3].map(|polls| {
        let mut ours = client_settings();
        ours.provider = repeating(&ours.provider, 1);
        let mut theirs = server_settings();
        theirs.provider = repeating(&theirs.provider, 2);
        Handshake::new(
            client(slow_client(ours, polls)),
            server(slow_server(theirs, polls)),
        )
    });
    let [ready, pending] = &both;
    assert_eq!(ready.outcome, pending.outcome);
    assert!(ready.streams == pending.streams, "the bytes differ");
    both
}

/// An established pair.
pub(crate) fn established() -> (Connection, Connection) {
    let mut client = client(client_settings());
    let mut server = server(server_settings());
    shake(&mut client, &mut server).unwrap();
    (client, server)
}

/// Seals `data` whole.
pub(crate) fn seal(from: &mut Connection, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; from.output().len() + from.sealed_len(data.len()) + 1000];
    let sealed = from.seal(Payload::from(data), &mut out).unwrap();
    assert_eq!(sealed.consumed, data.len());
    out.truncate(sealed.written);
    out
}

/// Sends data both ways and checks that it comes out.
pub(crate) fn exchange_data(client: &mut Connection, server: &mut Connection) {
    for len in [1, 100, 16_384, 16_385, 100_000] {
        let data: Vec<u8> = (0..len).map(|n: usize| (n % 251) as u8).collect();
        let sealed = seal(client, &data);
        assert!(feed(server, &sealed).unwrap() == data);
        let sealed = seal(server, &data);
        assert!(feed(client, &sealed).unwrap() == data);
    }
}

/// Randomness that repeats, so that a handshake does: a counter, hashed.
#[derive(Debug)]
pub(crate) struct Repeating {
    seed: u8,
    counter: AtomicU32,
}

impl Repeating {
    pub(crate) fn new(seed: u8) -> Arc<Self> {
        let counter = AtomicU32::new(0);
        Arc::new(Self { seed, counter })
    }
}

impl SecureRandom for Repeating {
    fn fill(&self, out: &mut [u8]) -> Result<(), crypto_api::Error> {
        let hashes = backend_soft::provider().hashes;
        for chunk in out.chunks_mut(32) {
            let count = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let block = hashes[0].hash.hash(&[&[self.seed], &count])?;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: "test",
            detail: "repeats itself",
        }
    }
}

/// A provider whose randomness repeats itself.
pub(crate) fn repeating_provider(seed: u8) -> CryptoProvider {
    CryptoProvider {
        random: Repeating::new(seed),
        ..backend_soft::provider()
    }
}
