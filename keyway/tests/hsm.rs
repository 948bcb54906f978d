//! Servers whose key is in a token: SoftHSM's, behind a module that injects faults where a
//! test needs some. Each test is a process of its own, as a module is one per process.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use keyway::pkcs11::{Pin, Pkcs11Key, Sessions};
use keyway::pki_types::CertificateDer;
use keyway::tls::AlertDescription;
use keyway::tokio::{Acceptor, Connector, TlsStream};
use keyway::{
    ClientBuilder, ClientConfig, Connection, Credentials, Error, RotatingCertificate,
    ServerBuilder, SignatureScheme, Stream, Trust, provider,
};
use pkcs11_fault::{Control, Script};
use support::{localhost, tls_error};
use test_tokens::{Key, Kind, LABEL, PIN, Token, fault_module, isolated};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Runs `body` with a token that holds a P-256 key, if this machine can make one.
fn with_token(test: &str, body: impl FnOnce(&Path, &Token)) {
    isolated(test, Kind::SoftHsm, |dir| {
        if let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &[Key::P256]) {
            body(dir, &token);
        }
    });
}

fn client(token: &Token) -> Arc<ClientConfig> {
    let root = CertificateDer::from(token.root.clone());
    ClientBuilder::new()
        .trust(Trust::certificates([root]))
        .build()
        .unwrap()
}

/// The token's chain as a file.
fn chain_file(dir: &Path, token: &Token) -> PathBuf {
    let provider = provider::fastest().unwrap();
    let key = Pkcs11Key::builder(token.uri(Key::P256), &provider).open();
    let key = key.unwrap();
    let path = dir.join("chain.pem");
    let mut pem = String::new();
    for (at, certificate) in key.certificate_chain().iter().enumerate() {
        let der = dir.join(format!("{at}.der"));
        fs::write(&der, certificate).unwrap();
        let output = Command::new("openssl")
            .args(["x509", "-inform", "DER", "-in"])
            .arg(der)
            .output()
            .unwrap();
        pem.push_str(std::str::from_utf8(&output.stdout).unwrap());
    }
    fs::write(&path, pem).unwrap();
    path
}

#[test]
fn credentials_from_a_uri() {
    with_token("credentials_from_a_uri", |dir, token| {
        let uri = token.uri(Key::P256);
        let opened = Pkcs11Key::builder(&uri, &provider::fastest().unwrap());
        let opened = opened.open().unwrap();
        for credentials in [
            Credentials::pkcs11(&uri),
            Credentials::file_with_pkcs11(chain_file(dir, token), &uri),
            Credentials::from(opened),
        ] {
            let shown = format!("{credentials:?}");
            assert!(shown.contains("object=p256"), "{shown}");
            assert!(!shown.contains(PIN), "{shown}");
            let server = ServerBuilder::new().certificate(credentials);
            let server = server.build().unwrap();
            let (near, far) = support::tcp();
            std::thread::scope(|scope| {
                scope.spawn(|| Stream::server(server, far).handshake().unwrap());
                // The client trusts the root alone, so the whole chain has come.
                let mut stream = Stream::client(client(token), localhost(), near).unwrap();
                stream.handshake().unwrap();
            });
        }
    });
}

#[test]
fn what_is_wrong_names_the_option_and_the_key() {
    with_token(
        "what_is_wrong_names_the_option_and_the_key",
        |dir, token| {
            let refused = |credentials: Credentials| {
                let built = ServerBuilder::new().certificate(credentials).build();
                let message = built.unwrap_err().to_string();
                let start = "certificate: ";
                assert!(message.starts_with(start), "{message}");
                assert!(!message.contains('\n'), "{message}");
                assert!(!message.contains(&format!("={PIN}")), "{message}");
                message
            };
            let uri = token.uri(Key::P256);
            let other = uri.replace("object=p256", "object=other");
            let message = refused(Credentials::pkcs11(other));
            assert!(
                message.contains("object=other") && message.contains("no private key fits"),
                "{message}"
            );

            let stranger = dir.join("stranger.pem");
            fs::write(
                &stranger,
                support::Authority::new().issue("localhost").chain,
            )
            .unwrap();
            let message = refused(Credentials::file_with_pkcs11(&stranger, &uri));
            assert!(
                message.contains("stranger.pem with pkcs11:")
                    && message.contains("belongs to another key"),
                "{message}"
            );
            let missing = dir.join("missing.pem");
            let message = refused(Credentials::file_with_pkcs11(missing, &uri));
            assert!(message.contains("missing.pem: cannot be read"), "{message}");

            // A key without a certificate.
            let bare = dir.join("bare.pem");
            fs::write(&bare, support::Authority::new().issue("localhost").key).unwrap();
            let import = Command::new("softhsm2-util")
                .args(["--import", bare.to_str().unwrap(), "--token", LABEL])
                .args(["--label", "bare", "--id", "77", "--pin", PIN])
                .output()
                .unwrap();
            assert!(import.status.success(), "{import:?}");
            let bare = uri.replace("object=p256", "object=bare");
            let message = refused(Credentials::pkcs11(bare));
            assert!(
                message.contains("object=bare") && message.contains("holds no certificate"),
                "{message}"
            );
        },
    );
}

/// A server on one thread, its key behind the fault module, and its clients on another.
struct Bench {
    key: Pkcs11Key,
    control: Control,
    address: std::net::SocketAddr,
    connector: Connector,
    /// How the server's handshakes ended.
    ended: Arc<[AtomicUsize; 2]>,
}

impl Bench {
    fn start(dir: &Path, token: &Token, deadline: Duration) -> Self {
        let module = dir.join("fault.so");
        let script = Script {
            module: Some(token.module.clone()),
            socket: Some(dir.join("fault.sock")),
            ..Script::default()
        };
        fs::copy(fault_module(), &module).unwrap();
        fs::write(dir.join("fault.toml"), script.to_toml()).unwrap();
        let provider = provider::fastest().unwrap();
        let key = Pkcs11Key::builder(token.uri_through(Key::P256, &module), &provider)
            .sessions(Sessions::Fixed(4))
            .deadline(deadline)
            .hang_limit(Duration::from_secs(60))
            .open()
            .unwrap();
        let server = ServerBuilder::new()
            .provider(provider)
            .certificate(Credentials::from(key.clone()))
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let ended: Arc<[AtomicUsize; 2]> = Arc::default();
        let counted = ended.clone();
        std::thread::spawn(move || serve(listener, &Acceptor::new(server), &counted));
        Self {
            key,
            control: Control::connect(&dir.join("fault.sock")).unwrap(),
            address,
            connector: Connector::new(client(token)),
            ended,
        }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        self.connector.connect(localhost(), tcp).await
    }

    /// Starts `count` handshakes and waits until all of them wait for the token.
    async fn park(&self, count: usize) -> JoinSet<std::io::Result<TlsStream<TcpStream>>> {
        let before = self.requests();
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let (address, connector) = (self.address, self.connector.clone());
            clients.spawn(async move {
                let tcp = TcpStream::connect(address).await?;
                connector.connect(localhost(), tcp).await
            });
        }
        eventually(|| self.requests() == before + count as u64).await;
        clients
    }

    /// How many signatures the server has asked for: a number that only grows.
    fn requests(&self) -> u64 {
        self.key.stats().requests
    }
}

/// Echoes on the one thread that this runs on.
fn serve(listener: std::net::TcpListener, acceptor: &Acceptor, ended: &Arc<[AtomicUsize; 2]>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, ended) = (acceptor.clone(), ended.clone());
            tokio::spawn(async move {
                let accepted = acceptor.accept(tcp).await;
                ended[usize::from(accepted.is_err())].fetch_add(1, SeqCst);
                let Ok(mut stream) = accepted else { return };
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..n]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            });
        }
    });
}

async fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "never came true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn echo(stream: &mut TlsStream<TcpStream>) {
    let (data, mut back) = ([7; 3000], [0; 3000]);
    stream.write_all(&data).await.unwrap();
    stream.flush().await.unwrap();
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, data);
}

const PARKED: usize = 300;
const STALL: &str = r#"rule {name="stall", functions=["C_Sign"], hang=true}"#;

#[test]
fn handshakes_park_on_a_stalled_token_and_go_on_when_it_is_back() {
    let test = "handshakes_park_on_a_stalled_token_and_go_on_when_it_is_back";
    with_token(test, |dir, token| {
        let mut bench = Bench::start(dir, token, Duration::from_secs(60));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut other = bench.connect().await.unwrap();
            bench.control.say(STALL).unwrap();
            let mut clients = bench.park(PARKED).await;
            // The server's only thread is free for everybody else.
            for _ in 0..20 {
                echo(&mut other).await;
            }
            assert_eq!(clients.try_join_next().map(|_| ()), None);
            bench.control.say("drop stall").unwrap();
            bench.control.say("release").unwrap();
            while let Some(client) = clients.join_next().await {
                echo(&mut client.unwrap().unwrap()).await;
            }
        });
        let stats = bench.key.stats();
        assert_eq!(stats.requests, PARKED as u64 + 1, "{stats}");
        assert_eq!((stats.expired, stats.places[0].wrong), (0, 0), "{stats}");
        assert_eq!(bench.ended[0].load(SeqCst), PARKED + 1);
        assert_eq!(bench.ended[1].load(SeqCst), 0);
    });
}

#[test]
fn handshakes_end_with_an_alert_when_the_token_stays_away() {
    let test = "handshakes_end_with_an_alert_when_the_token_stays_away";
    with_token(test, |dir, token| {
        // Long enough for all of them to be there before the first one's time is over.
        let mut bench = Bench::start(dir, token, Duration::from_secs(15));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut other = bench.connect().await.unwrap();
            bench.control.say(STALL).unwrap();
            let mut clients = bench.park(PARKED).await;
            while let Some(client) = clients.join_next().await {
                let error = client.unwrap().unwrap_err();
                // The server's failure: not the client's, and not silence.
                let alert = Error::AlertReceived(AlertDescription::INTERNAL_ERROR);
                assert_eq!(*tls_error(&error), alert, "{error}");
            }
            echo(&mut other).await;
            bench.control.say("drop stall").unwrap();
            bench.control.say("release").unwrap();
            echo(&mut bench.connect().await.unwrap()).await;
        });
        let stats = bench.key.stats();
        assert_eq!(stats.expired, PARKED as u64, "{stats}");
    });
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let test = "a_client_that_leaves_takes_its_request_along";
    with_token(test, |dir, token| {
        let mut bench = Bench::start(dir, token, Duration::from_secs(60));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            bench.control.say(STALL).unwrap();
            let mut clients = bench.park(20).await;
            clients.shutdown().await;
            // While the token still hangs.
            eventually(|| bench.key.stats().cancelled == 20).await;
            assert_eq!(bench.key.stats().queued, 0, "{}", bench.key.stats());
            eventually(|| bench.ended[1].load(SeqCst) == 20).await;
            bench.control.say("drop stall").unwrap();
            bench.control.say("release").unwrap();
            echo(&mut bench.connect().await.unwrap()).await;
        });
        // Of the twenty only those that were inside.
        let signed = bench.control.stats().unwrap().get("calls C_Sign");
        assert!(signed <= 4 + 1 + AT_START, "{signed}");
    });
}

/// Signatures that are made when the key is opened.
const AT_START: u64 = 1;

#[test]
fn whoever_leaves_is_noticed_in_whatever_way() {
    let test = "whoever_leaves_is_noticed_in_whatever_way";
    with_token(test, |dir, token| {
        let mut bench = Bench::start(dir, token, Duration::from_secs(60));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            bench.control.say(STALL).unwrap();
            let mut parked = Vec::new();
            for waiting in 1..=5 {
                let mut tcp = TcpStream::connect(bench.address).await.unwrap();
                let client = Connection::client(client(token), localhost()).unwrap();
                tcp.write_all(client.output()).await.unwrap();
                eventually(|| bench.requests() == waiting).await;
                parked.push(tcp);
            }
            let [half, alert, reset, more, stays] = &mut parked[..] else {
                panic!("five");
            };
            half.shutdown().await.unwrap();
            eventually(|| bench.key.stats().cancelled == 1).await;
            // close_notify, though nobody has to say so.
            alert.write_all(&[21, 3, 3, 0, 2, 1, 0]).await.unwrap();
            alert.shutdown().await.unwrap();
            eventually(|| bench.key.stats().cancelled == 2).await;
            reset.set_zero_linger().unwrap();
            drop(std::mem::replace(
                reset,
                TcpStream::connect(bench.address).await.unwrap(),
            ));
            eventually(|| bench.key.stats().cancelled == 3).await;
            // What may be the rest of a handshake is looked at in its turn.
            more.write_all(&[23, 3, 3, 0, 20]).await.unwrap();
            more.write_all(&[0; 20]).await.unwrap();
            more.shutdown().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(bench.key.stats().cancelled, 3);
            bench.control.say("drop stall").unwrap();
            bench.control.say("release").unwrap();
            // ServerHello and what follows.
            assert_eq!(stays.read_u8().await.unwrap(), 22);
            eventually(|| bench.ended[1].load(SeqCst) == 4).await;
        });
    });
}

/// Backpressure: what a client sends while its handshake waits stays where it is.
#[tokio::test]
async fn what_is_sent_to_a_parked_handshake_is_not_taken_without_end() {
    let (server, client, desk) = support::slow_configs();
    let (mut near, far) = tokio::io::duplex(4000);
    let served = tokio::spawn(async move { Acceptor::new(server).accept(far).await });
    let client = Connection::client(client, localhost()).unwrap();
    near.write_all(client.output()).await.unwrap();
    while desk.waiting().0 == 0 {
        tokio::task::yield_now().await;
    }
    let mut sent = 0;
    while let Ok(n) = timeout(Duration::from_millis(200), near.write(&[0; 100])).await {
        sent += n.unwrap();
        assert!(sent < 100_000);
    }
    assert!((4096..=4096 + 4000).contains(&sent), "{sent}");
    // Its end stands behind that, and is not seen.
    drop(near);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(desk.waiting().0, 1);
    desk.allow();
    assert!(served.await.unwrap().is_err());
}

#[test]
fn a_key_is_exchanged_while_connections_go_on() {
    let test = "a_key_is_exchanged_while_connections_go_on";
    isolated(test, Kind::SoftHsm, |dir| {
        let keys = [Key::P256, Key::P384];
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &keys) else {
            return;
        };
        let provider = provider::fastest().unwrap();
        let pin = dir.join("pin");
        fs::write(&pin, PIN).unwrap();
        let builder = |key| {
            let uri = token.uri(key).replace(&format!("pin-value={PIN}&"), "");
            Pkcs11Key::builder(uri, &provider).pin(Pin::file(&pin))
        };
        let certificate = Arc::new(RotatingCertificate::open(builder(Key::P256)).unwrap());
        let server = ServerBuilder::new().certificate_selector(certificate.clone());
        let server = server.build().unwrap();
        let connect = || {
            let (near, far) = support::tcp();
            let server = server.clone();
            std::thread::spawn(move || {
                let mut stream = Stream::server(server, far);
                let mut byte = [0];
                while let Ok(1) = stream.read(&mut byte) {
                    stream.write_all(&byte).unwrap();
                    stream.flush().unwrap();
                }
            });
            let mut stream = Stream::client(client(&token), localhost(), near).unwrap();
            stream.handshake().unwrap();
            stream
        };
        let scheme = |stream: &Stream<_>| stream.connection().signature_scheme().unwrap();
        let mut old = connect();
        assert_eq!(scheme(&old), SignatureScheme::ECDSA_SECP256R1_SHA256);
        certificate.replace(builder(Key::P384)).unwrap();
        let new = connect();
        assert_eq!(scheme(&new), SignatureScheme::ECDSA_SECP384R1_SHA384);
        old.write_all(b"x").unwrap();
        old.flush().unwrap();
        old.read_exact(&mut [0]).unwrap();

        // What cannot be opened changes nothing.
        let error = certificate.replace(builder(Key::Ed448)).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("certificate_selector: pkcs11:") && message.contains("ed448"),
            "{message}"
        );
        certificate.reload().unwrap();
        let new = connect();
        assert_eq!(scheme(&new), SignatureScheme::ECDSA_SECP384R1_SHA384);
    });
}
