//! No secret stays behind in memory: not of a handshake that is over, not of a key that was
//! updated, not of a connection that failed or was dropped.
//!
//! The test looks through its own memory, as Linux shows it, with the stack of its thread left
//! out: what computations leave there is the backend's affair. Alone in its program, so that
//! no other thread's stack is among it.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use backend_soft::provider;
use crypto_api::{Implementation, Op, SecureRandom, SignatureScheme, SigningKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tls_core::config::{
    CertifiedKey, ClientAuth, ClientConfig, ClientSettings, KeyLog, ServerConfig, ServerSettings,
};
use tls_core::verify::{CertificateChain, ClientVerifier, ServerVerifier, VerifiedPeer};
use tls_core::{Connection, Error, Event};

/// Notes secrets by their labels, masked: a note is not to be found as the secret.
#[derive(Debug, Default)]
struct Notes(Mutex<BTreeMap<String, Vec<u8>>>);

const MASK: u8 = 0xff;

/// How many bytes of a secret are looked for, and how many before them are not: an allocator
/// writes its own into the beginning of what is freed.
const LOOKED_FOR: usize = 16;
const SKIPPED: usize = 16;

impl KeyLog for Notes {
    fn log(&self, label: &str, _: &[u8; 32], secret: &[u8]) {
        let part = secret.iter().skip(SKIPPED).take(LOOKED_FOR);
        let masked = part.map(|byte| byte ^ MASK).collect();
        self.0.lock().unwrap().insert(label.into(), masked);
    }
}

impl Notes {
    /// The labels of those secrets that lie somewhere in memory.
    fn found(&self) -> Vec<String> {
        let notes = self.0.lock().unwrap();
        assert_eq!(notes.len(), 5);
        let on_the_stack = 0u8;
        let stack = &raw const on_the_stack as u64;
        let memory = File::open("/proc/self/mem").unwrap();
        let mut found = BTreeSet::new();
        let mut buffer = vec![0; 1 << 20];
        for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = fields[0].split_once('-').unwrap();
            let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
            let file = fields.get(5).is_some_and(|name| name.starts_with('/'));
            let is_stack = (start..end).contains(&stack) || fields.get(5) == Some(&"[stack]");
            if !fields[1].starts_with("rw") || file || is_stack {
                continue;
            }
            // In pieces that overlap by what is looked for.
            let step = buffer.len() - LOOKED_FOR;
            for at in (start..end).step_by(step) {
                let len = usize::try_from(end - at).unwrap().min(buffer.len());
                let Ok(()) = memory.read_exact_at(&mut buffer[..len], at) else {
                    continue;
                };
                for (label, masked) in &*notes {
                    let is_it = |window: &[u8]| {
                        window
                            .iter()
                            .zip(masked)
                            .all(|(byte, masked)| byte ^ MASK == *masked)
                    };
                    if buffer[..len].windows(LOOKED_FOR).any(is_it) {
                        found.insert(label.clone());
                    }
                }
                // What was read is no longer to be found here.
                buffer[..len].fill(0);
            }
        }
        found.into_iter().collect()
    }
}

/// A key whose signature takes a poll, so that what the handshake needs later is boxed.
#[derive(Debug)]
struct Slow(Arc<dyn SigningKey>);

impl SigningKey for Slow {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.0.schemes()
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        let op = self.0.sign(scheme, message, random);
        Op::future(async { op.spin() })
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation()
    }
}

/// Trusts any bare public key.
#[derive(Debug)]
struct Trusting;

impl Trusting {
    fn verify(chain: &CertificateChain) -> Op<VerifiedPeer, Error> {
        Op::ok(VerifiedPeer {
            public_key: SubjectPublicKeyInfoDer::from(chain[0].to_vec()),
        })
    }
}

impl ServerVerifier for Trusting {
    fn verify_server(
        &self,
        chain: &CertificateChain,
        _: &ServerName<'static>,
        _: UnixTime,
    ) -> Op<VerifiedPeer, Error> {
        Self::verify(chain)
    }
}

impl ClientVerifier for Trusting {
    fn verify_client(&self, chain: &CertificateChain, _: UnixTime) -> Op<VerifiedPeer, Error> {
        Self::verify(chain)
    }
}

/// Carries what waits in `from` over to `to`.
fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
    let mut bytes = from.output().to_vec();
    from.output_sent(bytes.len());
    let mut rest = &mut bytes[..];
    loop {
        let received = to.receive(rest, UnixTime::now())?;
        rest = &mut rest[received.consumed..];
        match received.event {
            Event::Suspended => {
                while to
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
                {}
            }
            Event::NeedInput { .. } => return Ok(()),
            event => panic!("{event:?}"),
        }
    }
}

/// A client and a server, established, that know each other by the example key of RFC 8410,
/// section 10.3, with another private half.
fn pair(notes: &Arc<Notes>) -> (Connection, Connection) {
    let mut pkcs8 = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    pkcs8.extend([0x5a; 32]);
    let private_key = PrivateKeyDer::try_from(pkcs8).unwrap();
    let provider = Arc::new(provider());
    let key = provider.load_key(&private_key).unwrap();
    let chain = Arc::from([CertificateDer::from(key.public_key().unwrap().to_vec())]);
    let certified = Arc::new(CertifiedKey::new(chain, Arc::new(Slow(key))).unwrap());

    let mut settings = ServerSettings::new(provider.clone(), Arc::new(certified.clone()));
    settings.client_auth = ClientAuth::Required(Arc::new(Trusting));
    settings.key_log = Some(notes.clone());
    let mut server = Connection::server(Arc::new(ServerConfig::new(settings).unwrap()));

    let mut settings = ClientSettings::new(provider, Arc::new(Trusting));
    settings.certificates = Some(Arc::new(certified));
    let config = Arc::new(ClientConfig::new(settings).unwrap());
    let name = ServerName::try_from("server.example").unwrap();
    let mut client = Connection::client(config, name).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server).unwrap();
        carry(&mut server, &mut client).unwrap();
    }
    (client, server)
}

#[test]
fn no_secret_stays_behind() {
    // Of an established connection just what it needs lies in memory: this also shows that
    // what is there is found.
    let notes = Arc::new(Notes::default());
    let (mut client, mut server) = pair(&notes);
    let needed = [
        "CLIENT_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
    ];
    assert_eq!(notes.found(), needed);

    // New keys take the place of the old ones.
    client.update_keys(true).unwrap();
    carry(&mut client, &mut server).unwrap();
    carry(&mut server, &mut client).unwrap();
    assert_eq!(notes.found(), ["EXPORTER_SECRET"]);
    drop((client, server));
    assert!(notes.found().is_empty(), "dropped: {:?}", notes.found());

    // One side fails and tells the other; both forget, and can still be asked.
    let notes = Arc::new(Notes::default());
    let (mut client, mut server) = pair(&notes);
    let mut forged = [23, 3, 3, 0, 20].to_vec();
    forged.extend([7; 20]);
    server.receive(&mut forged, UnixTime::now()).unwrap_err();
    carry(&mut server, &mut client).unwrap_err();
    assert!(notes.found().is_empty(), "failed: {:?}", notes.found());
    for connection in [&client, &server] {
        assert!(connection.suite().is_some() && connection.peer_certificates().is_some());
        connection.export(b"label", b"", &mut [0; 32]).unwrap_err();
    }

    // The transport ends.
    let notes = Arc::new(Notes::default());
    let (mut client, mut server) = pair(&notes);
    client.eof().unwrap_err();
    server.eof().unwrap_err();
    assert!(notes.found().is_empty(), "cut off: {:?}", notes.found());
    drop((client, server));
}
