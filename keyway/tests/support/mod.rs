//! What the tests share: certificates, configurations, a transport that never does what is
//! convenient, and a key that takes its time.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test uses some of it"
)]

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use keyway::crypto::{
    Error, Implementation, Op, PendingOp, RecordAead, RecordOpener, RecordSealer, SealRecord,
    SecureRandom, SignatureScheme, SigningKey,
};
use keyway::pki::parse_certificates;
use keyway::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use keyway::{
    ClientBuilder, ClientConfig, Credentials, ServerBuilder, ServerConfig, ServerName, Stream,
    Trust, provider,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

/// An authority, made for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, PEM.
pub struct Pair {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        // Two of the same name could not be told apart by it.
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for the host `name`, good for servers and clients.
    pub fn issue(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_string()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    pub fn credentials(&self) -> Credentials {
        Credentials::pem(&self.chain, &self.key)
    }

    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        parse_certificates(self.chain.as_bytes()).unwrap()
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        use keyway::pki_types::pem::PemObject;
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// A server and a client that go together.
pub type Configs = (Arc<ServerConfig>, Arc<ClientConfig>);

/// A server for `localhost`, and a client that trusts it.
pub fn configs() -> Configs {
    let authority = Authority::new();
    let server = ServerBuilder::new()
        .certificate(authority.issue("localhost").credentials())
        .build()
        .unwrap();
    let client = ClientBuilder::new()
        .trust(Trust::pem(authority.pem()))
        .build()
        .unwrap();
    (server, client)
}

/// The same for each linked backend with each of its suites, by name. A backend that supplies
/// records alone has the rest from the fastest.
pub fn each_configs() -> Vec<(String, Configs)> {
    let authority = Authority::new();
    let pair = authority.issue("localhost");
    let mut each = Vec::new();
    for backend in provider::linked() {
        let provider = provider::by_name(backend)
            .or_else(|_| provider::by_name(&format!("records={backend}")));
        let provider = Arc::new(provider.unwrap());
        for suite in &provider.suites {
            let server = ServerBuilder::new()
                .provider(provider.clone())
                .suites([suite.id])
                .certificate(pair.credentials());
            let client = ClientBuilder::new()
                .provider(provider.clone())
                .suites([suite.id])
                .trust(Trust::pem(authority.pem()));
            let name = format!("{backend}, {}", suite.id);
            each.push((name, (server.build().unwrap(), client.build().unwrap())));
        }
    }
    each
}

/// Two ends of a TCP connection over loopback.
pub fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// The error of TLS inside an I/O error.
pub fn tls_error(error: &io::Error) -> &keyway::Error {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref())
        .unwrap_or_else(|| panic!("not an error of TLS: {error:?}"))
}

/// Bytes that are not all the same.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// One end of a pipe in memory that never blocks.
#[derive(Clone, Debug)]
pub struct Pipe {
    incoming: Arc<Mutex<Line>>,
    outgoing: Arc<Mutex<Line>>,
    fitful: Option<u32>,
}

#[derive(Debug, Default)]
struct Line {
    bytes: VecDeque<u8>,
    closed: bool,
}

impl Pipe {
    pub fn pair() -> (Self, Self) {
        let [one, other] = [(); 2].map(|()| Arc::new(Mutex::new(Line::default())));
        let near = Self {
            incoming: one.clone(),
            outgoing: other.clone(),
            fitful: None,
        };
        let far = Self {
            incoming: other,
            outgoing: one,
            fitful: None,
        };
        (near, far)
    }

    /// Every second call would block, and the others do only a little.
    pub fn fitful(mut self) -> Self {
        self.fitful = Some(1);
        self
    }

    /// Ends what this side sends.
    pub fn end(&self) {
        self.outgoing.lock().unwrap().closed = true;
    }

    /// Drops what this side has sent and the other has not read.
    pub fn lose(&self) {
        self.outgoing.lock().unwrap().bytes.clear();
    }

    /// Sends bytes as they are.
    pub fn inject(&self, bytes: &[u8]) {
        self.outgoing.lock().unwrap().bytes.extend(bytes);
    }

    /// Lets memory go that is not in use.
    pub fn shrink(&self) {
        for line in [&self.incoming, &self.outgoing] {
            line.lock().unwrap().bytes.shrink_to_fit();
        }
    }

    /// How many bytes wait for this side.
    pub fn waiting(&self) -> usize {
        self.incoming.lock().unwrap().bytes.len()
    }

    /// How many of `len` bytes the next call may move.
    fn allowed(&mut self, len: usize) -> io::Result<usize> {
        let Some(turn) = &mut self.fitful else {
            return Ok(len);
        };
        *turn = turn.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        match *turn >> 16 & 7 {
            0..=3 => Err(io::ErrorKind::WouldBlock.into()),
            4 => Err(io::ErrorKind::Interrupted.into()),
            5 => Ok(len.min(1)),
            6 => Ok(len.min(7)),
            _ => Ok(len.min(3000)),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.allowed(into.len())?;
        let mut line = self.incoming.lock().unwrap();
        if line.bytes.is_empty() {
            return if line.closed {
                Ok(0)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        }
        line.bytes.read(&mut into[..most])
    }
}

impl Write for Pipe {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let most = self.allowed(from.len())?;
        let mut line = self.outgoing.lock().unwrap();
        // Room for little more than a record.
        let room = 20_000_usize.saturating_sub(line.bytes.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = most.min(room);
        line.bytes.extend(&from[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.allowed(0).map(drop)
    }
}

/// Both ends of a connection over a pipe, the handshake done.
pub fn streams((server, client): &Configs) -> (Stream<Pipe>, Stream<Pipe>) {
    let (near, far) = Pipe::pair();
    let mut server = Stream::server(server.clone(), far);
    let mut client = Stream::client(client.clone(), localhost(), near).unwrap();
    // Neither side blocks; each waits for the other.
    for _ in 0..3 {
        let _ = client.handshake();
        let _ = server.handshake();
    }
    client.handshake().unwrap();
    server.handshake().unwrap();
    (server, client)
}

/// There and back again.
pub fn talk(server: &mut Stream<Pipe>, client: &mut Stream<Pipe>, data: &[u8], into: &mut [u8]) {
    let (mut from, mut to) = (client, server);
    for _ in 0..2 {
        assert_eq!(from.write(data).unwrap(), data.len());
        let into = &mut into[..data.len()];
        to.read_exact(into).unwrap();
        assert!(into == data);
        // Nothing more: the buffers are let go.
        assert!(to.read(&mut [0]).is_err());
        (from, to) = (to, from);
    }
}

/// A key that signs when another thread says so.
#[derive(Debug)]
pub struct SlowKey {
    key: Arc<dyn SigningKey>,
    asked: Arc<Desk>,
}

/// Where signatures wait.
#[derive(Debug, Default)]
pub struct Desk {
    state: Mutex<DeskState>,
}

#[derive(Debug, Default)]
struct DeskState {
    /// Requests that nobody has dropped.
    waiting: usize,
    /// How often a waiting request was looked at.
    polls: usize,
    allowed: bool,
    waker: Option<Waker>,
}

impl Desk {
    /// Requests under way, and how often they were looked at.
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.waiting, state.polls)
    }

    /// Lets all signatures through.
    pub fn allow(&self) {
        let mut state = self.state.lock().unwrap();
        state.allowed = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

struct Waiting {
    key: Arc<dyn SigningKey>,
    scheme: SignatureScheme,
    message: Vec<u8>,
    random: Arc<dyn SecureRandom>,
    desk: Arc<Desk>,
}

impl PendingOp<Vec<u8>> for Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        let mut state = self.desk.state.lock().unwrap();
        state.polls += 1;
        if !state.allowed {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        Poll::Ready(
            self.key
                .sign(self.scheme, &self.message, &*self.random)
                .spin(),
        )
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.desk.state.lock().unwrap().waiting -= 1;
    }
}

impl SigningKey for SlowKey {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.key.schemes()
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8], _: &dyn SecureRandom) -> Op<Vec<u8>> {
        self.asked.state.lock().unwrap().waiting += 1;
        Op::Pending(Box::new(Waiting {
            key: self.key.clone(),
            scheme,
            message: message.to_vec(),
            random: provider::fastest().unwrap().random,
            desk: self.asked.clone(),
        }))
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: "test",
            detail: "slow",
        }
    }
}

/// A server whose signatures wait at the desk, and a client that trusts it.
pub fn slow_configs() -> (Arc<ServerConfig>, Arc<ClientConfig>, Arc<Desk>) {
    let authority = Authority::new();
    let pair = authority.issue("localhost");
    let key = provider::fastest()
        .unwrap()
        .load_key(&pair.private_key())
        .unwrap();
    let desk = Arc::new(Desk::default());
    let slow = Arc::new(SlowKey {
        key,
        asked: desk.clone(),
    });
    let server = ServerBuilder::new()
        .certificate(Credentials::der_with_key(pair.certificates(), slow))
        .build()
        .unwrap();
    let client = ClientBuilder::new()
        .trust(Trust::pem(authority.pem()))
        .build()
        .unwrap();
    (server, client, desk)
}

/// A record protection whose sealing keys stop working when the switch is thrown.
#[derive(Debug)]
struct Brittle {
    aead: Arc<dyn RecordAead>,
    broken: Arc<AtomicBool>,
}

struct BrittleSealer {
    sealer: Box<dyn RecordSealer>,
    broken: Arc<AtomicBool>,
}

impl RecordAead for Brittle {
    fn key_len(&self) -> usize {
        self.aead.key_len()
    }

    fn tag_len(&self) -> usize {
        self.aead.tag_len()
    }

    fn sealer(&self, key: &[u8], iv: &[u8; 12]) -> Result<Box<dyn RecordSealer>, Error> {
        Ok(Box::new(BrittleSealer {
            sealer: self.aead.sealer(key, iv)?,
            broken: self.broken.clone(),
        }))
    }

    fn opener(&self, key: &[u8], iv: &[u8; 12]) -> Result<Box<dyn RecordOpener>, Error> {
        self.aead.opener(key, iv)
    }

    fn implementation(&self) -> Implementation {
        self.aead.implementation()
    }
}

impl RecordSealer for BrittleSealer {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), Error> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::Backend {
                backend: "test",
                operation: "seal",
                detail: "switched off".into(),
            });
        }
        self.sealer.seal(record)
    }
}

/// A server whose sealing keys stop working when the switch is thrown, and a client that
/// trusts it.
pub fn brittle_configs() -> (Arc<ServerConfig>, Arc<ClientConfig>, Arc<AtomicBool>) {
    let authority = Authority::new();
    let broken = Arc::new(AtomicBool::new(false));
    let mut provider = provider::fastest().unwrap();
    for suite in &mut provider.suites {
        suite.aead = Arc::new(Brittle {
            aead: suite.aead.clone(),
            broken: broken.clone(),
        });
    }
    let server = ServerBuilder::new()
        .provider(provider)
        .certificate(authority.issue("localhost").credentials())
        .build()
        .unwrap();
    let client = ClientBuilder::new()
        .trust(Trust::pem(authority.pem()))
        .build()
        .unwrap();
    (server, client, broken)
}
