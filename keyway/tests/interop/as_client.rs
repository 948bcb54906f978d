//! We are the client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use keyway::{ClientBuilder, ClientConfig, Credentials, ServerName, Stream, Trust};

use super::backends;
use super::identity::{Identities, KINDS};
use super::programs::{PATIENCE, Running};

/// A server program and its port.
struct Peer {
    program: Running,
    port: u16,
}

/// `openssl s_server` on a port that it chooses.
fn s_server(kind: &str, more: &[&str]) -> Peer {
    let identities = Identities::get();
    let (cert, key) = (identities.text(kind, "pem"), identities.text(kind, "key"));
    let mut args = vec![
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        &cert,
        "-key",
        &key,
    ];
    args.extend(["-tls1_3", "-naccept", "1"]);
    args.extend(more);
    let mut program = Running::start("openssl", &args);
    let port = accepting_port(&mut program);
    Peer { program, port }
}

/// The port that `s_server` says it listens on.
fn accepting_port(program: &mut Running) -> u16 {
    const BEFORE: &str = "ACCEPT 127.0.0.1:";
    program.wait_until("its port", |printed| {
        let (_, rest) = printed.split_once(BEFORE)?;
        let (port, _) = rest.split_once('\n')?;
        port.trim().parse().ok()
    })
}

fn trusting() -> ClientBuilder {
    ClientBuilder::new().trust(Trust::file(Identities::get().path("ca", "pem")))
}

fn connect(config: Arc<ClientConfig>, port: u16) -> std::io::Result<Stream<TcpStream>> {
    let transport = TcpStream::connect(("127.0.0.1", port))?;
    transport.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = Stream::client(config, name, transport).map_err(std::io::Error::other)?;
    stream.handshake()?;
    Ok(stream)
}

/// Gets the status page of `s_server -www`.
fn get_page(stream: &mut Stream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut page = Vec::new();
    stream.read_to_end(&mut page).unwrap();
    let page = String::from_utf8_lossy(&page).into_owned();
    assert!(page.starts_with("HTTP/1.0 200"), "{page}");
    page
}

const SUITES: [&str; 4] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
];

/// Our name of a group and OpenSSL's.
const GROUPS: [(&str, &str); 3] = [
    ("X25519", "X25519"),
    ("SECP256R1", "P-256"),
    ("SECP384R1", "P-384"),
];

#[test]
fn suites_and_groups_of_openssl() {
    for (backend, provider) in backends() {
        for suite in SUITES {
            for (group, openssl_group) in GROUPS {
                let flags = ["-www", "-ciphersuites", suite, "-groups", openssl_group];
                let peer = s_server("p256", &flags);
                // The share is in the first group, so that the others take a retry.
                let builder = trusting().provider(provider.clone()).key_shares(["X25519"]);
                let mut stream = connect(builder.build().unwrap(), peer.port).unwrap();
                assert_eq!(
                    stream.connection().suite().unwrap().to_string(),
                    suite,
                    "{backend}"
                );
                assert_eq!(
                    stream.connection().group().unwrap().to_string(),
                    group,
                    "{backend}"
                );
                assert!(get_page(&mut stream).contains(suite));
            }
        }
    }
}

#[test]
fn kinds_of_certificates_of_openssl() {
    for (backend, provider) in backends() {
        for kind in KINDS {
            let peer = s_server(kind, &["-www"]);
            let config = trusting().provider(provider.clone()).build().unwrap();
            let mut stream = connect(config, peer.port)
                .unwrap_or_else(|error| panic!("{backend}, {kind}: {error}"));
            get_page(&mut stream);
        }
    }
}

#[test]
fn client_certificates_for_openssl() {
    let identities = Identities::get();
    let ca = identities.text("ca", "pem");
    for (backend, provider) in backends() {
        for kind in KINDS {
            let flags = [
                "-www",
                "-Verify",
                "1",
                "-CAfile",
                &ca,
                "-verify_return_error",
            ];
            let peer = s_server("p256", &flags);
            let (cert, key) = (identities.path(kind, "pem"), identities.path(kind, "key"));
            let builder = trusting().provider(provider.clone());
            let config = builder
                .certificate(Credentials::files(cert, key))
                .build()
                .unwrap();
            let mut stream = connect(config, peer.port).unwrap();
            let page = get_page(&mut stream);
            assert!(
                page.contains("Client certificate"),
                "{backend}, {kind}: {page}"
            );
        }
        // Without one, the server's alert comes with the first data.
        let peer = s_server("p256", &["-Verify", "1", "-CAfile", &ca]);
        let config = trusting().provider(provider.clone()).build().unwrap();
        let mut stream = connect(config, peer.port).unwrap();
        let error = stream.read(&mut [0]).unwrap_err().to_string();
        assert!(error.contains("certificate_required"), "{error}");
    }
}

#[test]
fn key_updates_with_openssl() {
    for (_, provider) in backends() {
        let mut peer = s_server("p256", &[]);
        let config = trusting().provider(provider).build().unwrap();
        let mut stream = connect(config, peer.port).unwrap();
        let mut read = [0; 6];
        for request in [true, false, true] {
            stream.update_keys(request).unwrap();
            stream.write_all(b"to you\n").unwrap();
            stream.flush().unwrap();
            peer.program.type_in("to me\n");
            stream.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"to me\n");
        }
        // A line of `K`, read by itself, makes s_server update and request an update. It has
        // read it when something comes, and that is the KeyUpdate: what it sent before is read.
        peer.program.type_in("K\n");
        assert_eq!(stream.get_ref().peek(&mut [0]).unwrap(), 1);
        peer.program.type_in("to me\n");
        stream.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"to me\n");
        stream.write_all(b"the end\n").unwrap();
        peer.program.wait_for("the end");
    }
}

#[test]
fn an_unknown_authority_is_refused_and_told() {
    let mut peer = s_server("p256", &[]);
    let trust = Trust::file(Identities::get().path("other-ca", "pem"));
    let config = ClientBuilder::new().trust(trust).build().unwrap();
    let error = connect(config, peer.port).unwrap_err().to_string();
    assert!(error.contains("unknown issuer"), "{error}");
    peer.program.wait_for("unknown ca");
}

#[test]
fn an_older_server_is_refused_by_name() {
    let identities = Identities::get();
    let (cert, key) = (
        identities.text("p256", "pem"),
        identities.text("p256", "key"),
    );
    let args = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        &cert,
        "-key",
        &key,
        "-tls1_2",
    ];
    let mut program = Running::start("openssl", &args);
    let port = accepting_port(&mut program);
    let error = connect(trusting().build().unwrap(), port)
        .unwrap_err()
        .to_string();
    assert!(error.contains("protocol_version"), "{error}");
}

/// `gnutls-serv` listens on every address of its host, so it gets a host of its own: a
/// network namespace with nothing but a loopback interface, in which this test runs again.
#[test]
fn gnutls_serv_in_a_network_of_its_own() {
    const INSIDE: &str = "KEYWAY_TEST_IN_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return with_gnutls_serv();
    }
    let this = std::env::current_exe().unwrap();
    let again = format!(
        "ip link set lo up && exec {:?} --exact as_client::gnutls_serv_in_a_network_of_its_own --nocapture",
        this.display().to_string()
    );
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", &again])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (package util-linux) starts");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn with_gnutls_serv() {
    let identities = Identities::get();
    let ca = identities.text("ca", "pem");
    for (backend, provider) in backends() {
        for kind in KINDS {
            for (group, gnutls_group) in [
                ("X25519", "GROUP-X25519"),
                ("SECP256R1", "GROUP-SECP256R1"),
                // With a retry.
                ("SECP384R1", "GROUP-SECP384R1"),
            ] {
                let (cert, key) = (identities.text(kind, "pem"), identities.text(kind, "key"));
                let port = free_port();
                let port_text = port.to_string();
                let priority = format!("NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+{gnutls_group}");
                let args = [
                    "--echo",
                    "--port",
                    &port_text,
                    "--x509certfile",
                    &cert,
                    "--x509keyfile",
                    &key,
                    "--x509cafile",
                    &ca,
                    "--require-client-cert",
                    "--verify-client-cert",
                    "--priority",
                    &priority,
                ];
                let _peer = Running::start("gnutls-serv", &args);
                wait_for_listener(port);
                let config = trusting()
                    .provider(provider.clone())
                    .key_shares(["X25519", "SECP256R1"])
                    .certificate(Credentials::files(
                        identities.path(kind, "pem"),
                        identities.path(kind, "key"),
                    ))
                    .build()
                    .unwrap();
                let mut stream = connect(config, port)
                    .unwrap_or_else(|error| panic!("{backend}, {kind}, {group}: {error}"));
                assert_eq!(stream.connection().group().unwrap().to_string(), group);
                stream.write_all(b"echo this\n").unwrap();
                let mut echo = [0; 10];
                stream.read_exact(&mut echo).unwrap();
                assert_eq!(&echo, b"echo this\n");
                stream.update_keys(true).unwrap();
                stream.write_all(b"echo that\n").unwrap();
                stream.read_exact(&mut echo).unwrap();
                assert_eq!(&echo, b"echo that\n");
                stream.close().unwrap();
            }
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn wait_for_listener(port: u16) {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "nothing listens on port {port}");
        thread::sleep(Duration::from_millis(10));
    }
}
