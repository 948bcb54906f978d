//! Handshakes of our own backends with each other. Of what Debian's programs speak,
//! X25519MLKEM768 is no part.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use keyway::crypto::conformance;
use keyway::{
    CipherSuite, ClientBuilder, ClientConfig, Credentials, CryptoProvider, NamedGroup,
    ServerBuilder, ServerConfig, ServerName, Stream, Trust, provider,
};

use super::identity::{Identities, KINDS};
use super::programs::PATIENCE;

/// What both backends have.
struct Common {
    suites: Vec<CipherSuite>,
    groups: Vec<NamedGroup>,
}

impl Common {
    fn of(soft: &CryptoProvider, openssl: &CryptoProvider) -> Self {
        let suites = soft.suites.iter().map(|suite| suite.id);
        let groups = soft.groups.iter().map(|group| group.id());
        let common = Self {
            suites: suites.filter(|id| openssl.suite(*id).is_some()).collect(),
            groups: groups.filter(|id| openssl.group(*id).is_some()).collect(),
        };
        assert_eq!(common.suites.len(), soft.suites.len());
        let hybrid = NamedGroup::X25519MLKEM768;
        let there = common.groups.contains(&hybrid);
        // The libcrypto that is built from source is recent.
        assert!(there || !cfg!(feature = "openssl-vendored"));
        if !there {
            let version = openssl.groups[0].implementation().detail;
            println!("skipped: {hybrid}: {version} has no ML-KEM");
        }
        common
    }
}

#[test]
fn every_suite_group_and_kind_of_key() {
    let (soft, openssl) = (Arc::new(provider::soft()), Arc::new(provider::openssl()));
    let common = Common::of(&soft, &openssl);
    for (server, client) in [(&openssl, &soft), (&soft, &openssl)] {
        for kind in KINDS {
            for &suite in &common.suites {
                for &group in &common.groups {
                    let (server, client) = configs(server, client, kind, suite, group);
                    handshake(server, client, suite, group);
                }
            }
        }
    }
}

/// Both sides show a certificate, so that each verifies what the other has signed.
fn configs(
    server: &Arc<CryptoProvider>,
    client: &Arc<CryptoProvider>,
    kind: &str,
    suite: CipherSuite,
    group: NamedGroup,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let identities = Identities::get();
    let path = |ending| identities.path(kind, ending);
    let credentials = || Credentials::files(path("pem"), path("key"));
    let trust = || Trust::file(identities.path("ca", "pem"));
    let server = ServerBuilder::new()
        .provider(server.clone())
        .suites([suite])
        .groups([group])
        .certificate(credentials())
        .require_client_certificate(trust());
    let client = ClientBuilder::new()
        .provider(client.clone())
        .suites([suite])
        .groups([group])
        .certificate(credentials())
        .trust(trust());
    (server.build().unwrap(), client.build().unwrap())
}

fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    suite: CipherSuite,
    group: NamedGroup,
) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let transport = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    transport.set_read_timeout(Some(PATIENCE)).unwrap();
    let served = thread::spawn(move || {
        let (transport, _) = listener.accept().unwrap();
        transport.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = Stream::server(server, transport);
        let mut asked = String::new();
        stream.read_to_string(&mut asked).unwrap();
        stream.write_all(asked.as_bytes()).unwrap();
        stream.close().unwrap();
    });
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = Stream::client(client, name, transport).unwrap();
    stream.write_all(b"from one to the other").unwrap();
    stream.close().unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "from one to the other");
    assert_eq!(stream.connection().suite(), Some(suite));
    assert_eq!(stream.connection().group(), Some(group));
    served.join().unwrap();
}

/// Below the protocol: the same bytes, the same secrets, the same verdicts.
#[test]
fn every_algorithm_agrees() {
    let (soft, openssl) = (provider::soft(), provider::openssl());
    let common = Common::of(&soft, &openssl);
    let compared = conformance::agree(&soft, &openssl);
    println!("{}", compared.join(", "));
    let suites = common.suites.iter().map(ToString::to_string);
    let groups = common.groups.iter().map(ToString::to_string);
    let schemes = ["ECDSA_SECP256R1_SHA256", "ED25519", "RSA_PSS_RSAE_SHA256"];
    let schemes = schemes.iter().map(ToString::to_string);
    for name in suites.chain(groups).chain(schemes) {
        assert!(compared.contains(&name), "{name}");
    }
}
