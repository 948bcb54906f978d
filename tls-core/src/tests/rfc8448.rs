//! The handshakes of RFC 8448, byte for byte, in both roles.
//!
//! Each side draws the recorded randomness and is fed the other side's recorded records; all
//! that it sends must be what was recorded. Reproduced are sections 3, 5, 6 and 7; section 4
//! resumes a session.
//!
//! A few messages are composed differently here, with other extensions or in another order:
//! ClientHello, HelloRetryRequest (with a cookie), EncryptedExtensions and
//! CertificateRequest. For these the recorded ones are sent. One thing differs in the end: the
//! server of section 3 sends a session ticket under its application keys and ours does not.
//! [`the_ticket_as_a_record`] seals it, and where our server plays, another record takes the
//! ticket's sequence number.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;

use crypto_api::{
    CipherSuite, CryptoProvider, Digest, HashAlgorithm, HashFunctions, Implementation, NONCE_LEN,
    NamedGroup, Op, Payload, RecordAead, RecordOpener, RecordSealer, SecureRandom, SharedSecret,
    SignatureScheme, SigningKey, Suite,
};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName,
    SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime, alg_id,
};

use super::support::{client, drive, feed, seal, server, take_output};
use super::wiretap::AtFirstPoll;
use crate::Error;
use crate::config::{CertifiedKey, ClientAuth, ClientSettings, KeyLog, ServerSettings};
use crate::record::{WriteProtection, seal_records, sealed_len};
use crate::tls13::schedule::{EarlySecret, Log, TrafficSecret};
use crate::verify::{CertificateChain, ClientVerifier, ServerVerifier, VerifiedPeer};
use crate::wire::ContentType;

const SIMPLE: &str = include_str!("data/rfc8448/simple.txt");
const RETRY: &str = include_str!("data/rfc8448/retry.txt");
const CLIENT_AUTH: &str = include_str!("data/rfc8448/client_auth.txt");
const COMPATIBILITY: &str = include_str!("data/rfc8448/compatibility.txt");

#[test]
fn simple_as_client() {
    let log = play_client(&Trace::read(SIMPLE));
    assert_eq!(log, recorded_secrets());
}

#[test]
fn simple_as_server() {
    let log = play_server(&Trace::read(SIMPLE));
    assert_eq!(log, recorded_secrets());
}

#[test]
fn retry_as_client() {
    play_client(&Trace::read(RETRY));
}

#[test]
fn retry_as_server() {
    play_server(&Trace::read(RETRY));
}

#[test]
fn client_authentication_as_client() {
    play_client(&Trace::read(CLIENT_AUTH));
}

#[test]
fn client_authentication_as_server() {
    play_server(&Trace::read(CLIENT_AUTH));
}

#[test]
fn compatibility_mode_as_client() {
    play_client(&Trace::read(COMPATIBILITY));
}

#[test]
fn compatibility_mode_as_server() {
    play_server(&Trace::read(COMPATIBILITY));
}

fn play_client(trace: &Trace) -> Secrets {
    let log = Arc::new(Secrets::default());
    let mut provider = trace.provider("client_random_drawn", Peer::Server);
    // The share comes later, so that there is a connection to give the recorded messages to
    // before it sends any.
    for group in &mut provider.groups {
        *group = Arc::new(AtFirstPoll(group.clone()));
    }
    let mut settings = ClientSettings::new(Arc::new(provider), Arc::new(FindsKey));
    settings.key_shares = vec![NamedGroup::X25519];
    settings.middlebox_compatibility = !trace.client_session_id().is_empty();
    settings.key_log = Some(log.clone());
    if trace.has("client_certificate") {
        settings.certificates = Some(Arc::new(trace.identity(
            "client_certificate",
            SignatureScheme::RSA_PSS_RSAE_SHA256,
            (trace.signed_by_client(), trace.get("client_signature")),
        )));
    }
    let mut client = client(settings);
    client.substitutes = trace.some(&["client_hello"]);
    drive(&mut client).unwrap();

    let hello = take_output(&mut client);
    let recorded = trace.get("client_hello_record");
    assert_bytes("ClientHello", &hello, recorded);

    if trace.has("hello_retry_request") {
        client.substitutes = trace.some(&["second_client_hello"]);
        feed(&mut client, trace.get("hello_retry_request_record")).unwrap();
        let hello = take_output(&mut client);
        let recorded = trace.get("second_client_hello_record");
        assert_bytes("second ClientHello", &hello, recorded);
    }
    feed(&mut client, trace.get("server_hello_record")).unwrap();
    feed(&mut client, trace.get("server_flight_records")).unwrap();
    assert!(!client.is_handshaking());
    let flight = take_output(&mut client);
    assert_bytes("second flight", &flight, trace.get("client_flight_records"));

    if trace.has("application_data") {
        let data = trace.get("application_data");
        feed(&mut client, trace.get("new_session_ticket_record")).unwrap();
        let sealed = seal(&mut client, data);
        assert_bytes("data", &sealed, trace.get("client_data_record"));
        let came = feed(&mut client, trace.get("server_data_record")).unwrap();
        assert_bytes("data of the server", &came, data);
    }
    client.close();
    let closing = take_output(&mut client);
    assert_bytes("close_notify", &closing, trace.get("client_close_record"));
    feed(&mut client, trace.get("server_close_record")).unwrap();
    client.eof().unwrap();
    drop(client);
    Arc::into_inner(log).unwrap()
}

fn play_server(trace: &Trace) -> Secrets {
    let log = Arc::new(Secrets::default());
    let provider = trace.provider("server_random_drawn", Peer::Client);
    let identity = trace.identity(
        "server_certificate",
        trace.server_scheme(),
        (trace.signed_by_server(), trace.server_signature()),
    );
    let mut settings = ServerSettings::new(Arc::new(provider), Arc::new(identity));
    settings.key_log = Some(log.clone());
    if trace.has("client_certificate") {
        settings.client_auth = ClientAuth::Required(Arc::new(FindsKey));
    }
    let mut server = server(settings);
    server.substitutes = trace.some(&[
        "hello_retry_request",
        "encrypted_extensions",
        "certificate_request",
    ]);

    feed(&mut server, trace.get("client_hello_record")).unwrap();
    if trace.has("hello_retry_request") {
        let retry = take_output(&mut server);
        let recorded = trace.get("hello_retry_request_record");
        assert_bytes("HelloRetryRequest", &retry, recorded);
        feed(&mut server, trace.get("second_client_hello_record")).unwrap();
    }
    let flight = take_output(&mut server);
    let hello = trace.get("server_hello_record");
    assert_bytes("ServerHello", &flight[..hello.len()], hello);
    let recorded = trace.get("server_flight_records");
    assert_bytes("flight", &flight[hello.len()..], recorded);
    feed(&mut server, trace.get("client_flight_records")).unwrap();
    assert!(!server.is_handshaking());
    assert!(server.output().is_empty());

    if trace.has("application_data") {
        let data = trace.get("application_data");
        seal(&mut server, b"in place of the ticket");
        let came = feed(&mut server, trace.get("client_data_record")).unwrap();
        assert_bytes("data of the client", &came, data);
        let sealed = seal(&mut server, data);
        assert_bytes("data", &sealed, trace.get("server_data_record"));
    }
    feed(&mut server, trace.get("client_close_record")).unwrap();
    server.eof().unwrap();
    server.close();
    let closing = take_output(&mut server);
    assert_bytes("close_notify", &closing, trace.get("server_close_record"));
    drop(server);
    Arc::into_inner(log).unwrap()
}

/// The key schedule of section 3 by itself, down to keys and IVs.
#[test]
fn key_schedule() {
    let trace = Trace::read(SIMPLE);
    let logged = Secrets::default();
    let client_random = trace.get("client_hello")[6..38].try_into().unwrap();
    let log = Log {
        to: Some(&logged),
        client_random: &client_random,
    };
    let shared = SharedSecret::from(trace.get("shared_secret"));
    let handshake = EarlySecret::new(sha256())
        .and_then(|early| early.into_handshake(&shared))
        .unwrap();
    let hellos = trace.transcript(&[]);
    let (client, server) = handshake.traffic(&hellos, &log).unwrap();
    trace.check_keys("client_handshake", &client);
    trace.check_keys("server_handshake", &server);

    let server_signed = [
        "encrypted_extensions",
        "server_certificate",
        "server_certificate_verify",
    ];
    let finished = server.finished(&trace.transcript(&server_signed)).unwrap();
    assert!(finished == trace.get("server_finished")[4..]);
    let flight = [&server_signed[..], &["server_finished"]].concat();
    let until_finished = trace.transcript(&flight);
    let finished = client.finished(&until_finished).unwrap();
    assert!(finished == trace.get("client_finished")[4..]);

    let (client, server, exporter) = handshake
        .into_master()
        .and_then(|master| master.into_traffic(&until_finished, &log))
        .unwrap();
    trace.check_keys("client_application", &client);
    trace.check_keys("server_application", &server);
    assert_eq!(logged, recorded_secrets());
    // The RFC exports nothing. Computed of its exporter secret with Python's hmac and hashlib.
    let mut exported = [0; 48];
    exporter
        .export(b"EXPERIMENTAL", b"context", &mut exported)
        .unwrap();
    let expected = u128::to_be_bytes;
    assert_eq!(exported[..16], expected(0x88c27b64a196f1fceddaaf874d7695f2));
    assert_eq!(
        exported[16..32],
        expected(0x76d9c7eee204d52caa52d7fb789edf0d)
    );
    assert_eq!(exported[32..], expected(0x925d35367dd70807a4047fce9d69a2cf));

    the_ticket_as_a_record(&trace, &server);
}

/// The record of the ticket that our server does not send.
fn the_ticket_as_a_record(trace: &Trace, secret: &TrafficSecret) {
    let ticket = trace.get("new_session_ticket");
    let suite = suite();
    let mut write = WriteProtection::plain();
    write.set(secret.write_keys(&suite).unwrap());
    let mut record = vec![0; sealed_len(&write, ticket.len(), 1 << 14)];
    seal_records(
        &mut write,
        ContentType::HANDSHAKE,
        Payload::from(ticket),
        1 << 14,
        1,
        &mut record,
    )
    .unwrap();
    let recorded = trace.get("new_session_ticket_record");
    assert_bytes("NewSessionTicket", &record, recorded);
}

/// Compares bytes that are too many to be shown whole.
#[track_caller]
fn assert_bytes(what: &str, ours: &[u8], recorded: &[u8]) {
    let differ = ours.iter().zip(recorded).position(|(a, b)| a != b);
    assert_eq!(differ, None, "{what} differs at this byte");
    assert_eq!(ours.len(), recorded.len(), "{what} has another length");
}

fn sha256() -> HashFunctions {
    let provider = backend_soft::provider();
    provider.hash(HashAlgorithm::Sha256).unwrap().clone()
}

fn suite() -> Suite {
    let provider = backend_soft::provider();
    let suite = provider.suite(CipherSuite::TLS_AES_128_GCM_SHA256);
    suite.unwrap().clone()
}

/// A recorded handshake: values by name.
struct Trace(BTreeMap<&'static str, Vec<u8>>);

/// Whose signatures a provider is to verify.
#[derive(Clone, Copy)]
enum Peer {
    Client,
    Server,
}

impl Trace {
    /// Reads a file of `data/rfc8448`: a name, and its value in hex on indented lines.
    fn read(text: &'static str) -> Self {
        let mut values: BTreeMap<_, Vec<u8>> = BTreeMap::new();
        let mut name = "";
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(hex) = line.strip_prefix("  ") {
                let bytes = (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
                values.entry(name).or_default().extend(bytes);
            } else {
                name = line;
            }
        }
        Self(values)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn get(&self, name: &str) -> &[u8] {
        self.0.get(name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Those of `names` that there are.
    fn some(&self, names: &[&str]) -> Vec<Vec<u8>> {
        names
            .iter()
            .filter_map(|name| self.0.get(name).cloned())
            .collect()
    }

    fn client_session_id(&self) -> &[u8] {
        let hello = self.get("client_hello");
        &hello[39..39 + usize::from(hello[38])]
    }

    fn server_scheme(&self) -> SignatureScheme {
        let verify = self.get("server_certificate_verify");
        SignatureScheme(u16::from_be_bytes([verify[4], verify[5]]))
    }

    fn server_signature(&self) -> &[u8] {
        &self.get("server_certificate_verify")[8..]
    }

    /// The transcript's hash over the hellos and the messages of these names.
    fn transcript(&self, names: &[&str]) -> Digest {
        let hash = |parts: &[&[u8]]| sha256().hash.hash(parts).unwrap();
        let first = self.get("client_hello");
        let first_hash = hash(&[first]);
        let mut messages = if self.has("hello_retry_request") {
            // RFC 9846, section 4.5.1: message_hash in the place of the first ClientHello.
            let retry = self.get("hello_retry_request");
            let second = self.get("second_client_hello");
            vec![&[254, 0, 0, 32][..], &first_hash, retry, second]
        } else {
            vec![first]
        };
        messages.push(self.get("server_hello"));
        messages.extend(names.iter().map(|name| self.get(name)));
        hash(&messages)
    }

    /// What the server's signature is over.
    fn signed_by_server(&self) -> Vec<u8> {
        let mut names = vec!["encrypted_extensions"];
        names.extend(Some("certificate_request").filter(|name| self.has(name)));
        names.push("server_certificate");
        let context = &b"TLS 1.3, server CertificateVerify\0"[..];
        [&[b' '; 64], context, &self.transcript(&names)].concat()
    }

    /// What the client's signature is over.
    fn signed_by_client(&self) -> Vec<u8> {
        let names = [
            "encrypted_extensions",
            "certificate_request",
            "server_certificate",
            "server_certificate_verify",
            "server_finished",
            "client_certificate",
        ];
        let context = &b"TLS 1.3, client CertificateVerify\0"[..];
        [&[b' '; 64], context, &self.transcript(&names)].concat()
    }

    /// The certificate in a recorded Certificate message, which has just one.
    fn certificate(&self, message: &str) -> &[u8] {
        let message = self.get(message);
        // Header, context, length of the list and of the entry; extensions of the entry.
        &message[4 + 1 + 3 + 3..message.len() - 2]
    }

    /// A certificate with a key that makes the recorded signature, and no other.
    fn identity(
        &self,
        certificate: &str,
        scheme: SignatureScheme,
        (content, signature): (Vec<u8>, &[u8]),
    ) -> Arc<CertifiedKey> {
        let der = self.certificate(certificate).to_vec();
        let key = RecordedKey {
            schemes: [scheme],
            content,
            signature: signature.to_vec(),
        };
        let chain = Arc::from(vec![CertificateDer::from(der)]);
        Arc::new(CertifiedKey::new(chain, Arc::new(key)).unwrap())
    }

    /// A provider that draws what was drawn, and offers what is chosen.
    fn provider(&self, drawn: &str, peer: Peer) -> CryptoProvider {
        let retries = self.has("hello_retry_request");
        let groups: &[NamedGroup] = match peer {
            Peer::Client if retries => &[NamedGroup::SECP256R1],
            _ => &[NamedGroup::X25519, NamedGroup::SECP256R1],
        };
        let mut provider = backend_soft::provider()
            .only_suites(&[CipherSuite::TLS_AES_128_GCM_SHA256])
            .and_then(|provider| provider.only_groups(groups))
            .unwrap();
        provider.random = Arc::new(Script(Mutex::new(
            self.get(drawn).iter().copied().collect(),
        )));
        let (certificate, content, signature) = match peer {
            Peer::Client if !self.has("client_certificate") => return provider,
            Peer::Client => (
                self.certificate("client_certificate"),
                self.signed_by_client(),
                self.get("client_signature"),
            ),
            // The one key that is not RSA is verified for real.
            Peer::Server if self.server_scheme() != SignatureScheme::RSA_PSS_RSAE_SHA256 => {
                return provider;
            }
            Peer::Server => (
                self.certificate("server_certificate"),
                self.signed_by_server(),
                self.server_signature(),
            ),
        };
        let entry = provider
            .verification
            .iter_mut()
            .find(|entry| entry.scheme == Some(SignatureScheme::RSA_PSS_RSAE_SHA256))
            .unwrap();
        let spki = SubjectPublicKeyInfoDer::from(spki_of(certificate));
        let key = crypto_api::PublicKey::from_spki(&spki).unwrap().key;
        entry.algorithm = Box::leak(Box::new(RecordedSignature {
            key: key.to_vec(),
            content,
            signature: signature.to_vec(),
        }));
        provider
    }

    /// Compares the keys made of `secret` with those recorded for `whose` direction.
    fn check_keys(&self, whose: &str, secret: &TrafficSecret) {
        let capture = Arc::new(Capture {
            inner: suite().aead,
            keys: Mutex::default(),
        });
        let suite = Suite {
            aead: capture.clone(),
            ..suite()
        };
        secret.sealer(&suite).unwrap();
        secret.opener(&suite).unwrap();
        let recorded = (
            self.get(&[whose, "_key"].concat()).to_vec(),
            self.get(&[whose, "_iv"].concat()).to_vec(),
        );
        let keys = capture.keys.lock().unwrap();
        assert_eq!(*keys, [recorded.clone(), recorded], "{whose}");
    }
}

/// Secrets by the labels under which they are logged.
#[derive(Debug, Default)]
struct Secrets(Mutex<Vec<(String, Vec<u8>)>>);

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        *self.0.lock().unwrap() == *other.0.lock().unwrap()
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]) {
        let hello = Trace::read(SIMPLE);
        if secret == hello.get("client_handshake_traffic_secret") {
            assert_eq!(client_random, &hello.get("client_hello")[6..38]);
        }
        let entry = (label.to_string(), secret.to_vec());
        self.0.lock().unwrap().push(entry);
    }
}

/// The secrets of section 3.
fn recorded_secrets() -> Secrets {
    let trace = Trace::read(SIMPLE);
    let secrets = [
        "client_handshake_traffic_secret",
        "server_handshake_traffic_secret",
        "client_traffic_secret_0",
        "server_traffic_secret_0",
        "exporter_secret",
    ];
    let entry = |name: &str| (name.to_ascii_uppercase(), trace.get(name).to_vec());
    Secrets(Mutex::new(secrets.map(entry).to_vec()))
}

const TEST: Implementation = Implementation {
    backend: "test",
    detail: "recorded",
};

/// Randomness as recorded, and not a byte more.
#[derive(Debug)]
struct Script(Mutex<VecDeque<u8>>);

impl SecureRandom for Script {
    fn fill(&self, out: &mut [u8]) -> Result<(), crypto_api::Error> {
        let mut script = self.0.lock().unwrap();
        out.fill_with(|| script.pop_front().expect("nothing more was drawn"));
        Ok(())
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}

/// A key that makes one signature: RSA-PSS and ECDSA are randomised.
#[derive(Debug)]
struct RecordedKey {
    schemes: [SignatureScheme; 1],
    content: Vec<u8>,
    signature: Vec<u8>,
}

impl SigningKey for RecordedKey {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        None
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8], _: &dyn SecureRandom) -> Op<Vec<u8>> {
        assert_eq!(scheme, self.schemes[0]);
        assert_bytes("content to be signed", message, &self.content);
        Op::ok(self.signature.clone())
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}

/// Stands in for the verification of RSA-PSS: the keys of RFC 8448 have 1024 bits, fewer
/// than any backend accepts. It takes the recorded signature by the recorded key over the
/// content that the recorded messages give, and nothing else.
#[derive(Debug)]
struct RecordedSignature {
    key: Vec<u8>,
    content: Vec<u8>,
    signature: Vec<u8>,
}

impl SignatureVerificationAlgorithm for RecordedSignature {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let same = public_key == self.key && message == self.content && signature == self.signature;
        same.then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_PSS_SHA256
    }
}

/// The public key in a certificate of the traces, found by how the two kinds there begin.
fn spki_of(certificate: &[u8]) -> Vec<u8> {
    // SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING } with 1024 bits.
    const RSA: (&[u8], usize) = (
        b"\x30\x81\x9f\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
        162,
    );
    // SEQUENCE { SEQUENCE { ecPublicKey, secp256r1 }, BIT STRING }
    const P256: (&[u8], usize) = (b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", 91);
    [RSA, P256]
        .into_iter()
        .find_map(|(start, len)| {
            let at = certificate.windows(start.len()).position(|w| w == start)?;
            Some(certificate[at..at + len].to_vec())
        })
        .expect("a certificate of the traces")
}

/// Trusts the certificates of the traces.
#[derive(Debug)]
struct FindsKey;

impl FindsKey {
    fn verify(chain: &CertificateChain) -> Op<VerifiedPeer, Error> {
        Op::ok(VerifiedPeer {
            public_key: SubjectPublicKeyInfoDer::from(spki_of(&chain[0])),
        })
    }
}

impl ServerVerifier for FindsKey {
    fn verify_server(
        &self,
        chain: &CertificateChain,
        _: &ServerName<'static>,
        _: UnixTime,
    ) -> Op<VerifiedPeer, Error> {
        Self::verify(chain)
    }
}

impl ClientVerifier for FindsKey {
    fn verify_client(&self, chain: &CertificateChain, _: UnixTime) -> Op<VerifiedPeer, Error> {
        Self::verify(chain)
    }
}

/// An AEAD that writes down its keys and IVs.
#[derive(Debug)]
struct Capture {
    inner: Arc<dyn RecordAead>,
    keys: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Capture {
    fn note(&self, key: &[u8], iv: &[u8]) {
        let entry = (key.to_vec(), iv.to_vec());
        self.keys.lock().unwrap().push(entry);
    }
}

impl RecordAead for Capture {
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
        self.note(key, iv);
        self.inner.sealer(key, iv)
    }

    fn opener(
        &self,
        key: &[u8],
        iv: &[u8; NONCE_LEN],
    ) -> Result<Box<dyn RecordOpener>, crypto_api::Error> {
        self.note(key, iv);
        self.inner.opener(key, iv)
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}
