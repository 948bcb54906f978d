//! We are the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use keyway::{Credentials, ServerBuilder, ServerConfig, Stream, Trust};

use super::backends;
use super::identity::{Identities, KINDS};
use super::programs::{PATIENCE, Running};

/// A server for one connection: answers each line with the line in capitals, until `quit`.
/// Its end says what was negotiated, or what went wrong.
struct Server {
    port: String,
    end: JoinHandle<Result<String, String>>,
}

impl Server {
    fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let end = thread::spawn(move || {
            let (transport, _) = listener.accept().unwrap();
            serve(config, transport).map_err(|error| error.to_string())
        });
        Self { port, end }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn finish(self) -> Result<String, String> {
        self.end.join().unwrap()
    }
}

fn serve(config: Arc<ServerConfig>, transport: TcpStream) -> std::io::Result<String> {
    transport.set_read_timeout(Some(PATIENCE))?;
    let mut stream = Stream::server(config, transport);
    stream.handshake()?;
    let connection = stream.connection();
    let summary = format!(
        "{} {} {} client certificates: {}",
        connection.suite().unwrap(),
        connection.group().unwrap(),
        connection.signature_scheme().unwrap(),
        connection
            .peer_certificates()
            .map_or(0, |chain| chain.len())
    );
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        if line.starts_with("quit") {
            break;
        }
        if line.starts_with("GET ") {
            let body = "hello from keyway\n";
            let stream = stream.get_mut();
            write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            break;
        }
        if line.starts_with("update") {
            stream
                .get_mut()
                .update_keys(true)
                .map_err(std::io::Error::other)?;
        }
        stream.get_mut().write_all(line.to_uppercase().as_bytes())?;
        line.clear();
    }
    let mut stream = stream.into_inner();
    stream.close()?;
    // Until the peer has closed too, or has gone.
    let _ = stream.read_to_end(&mut Vec::new());
    Ok(summary)
}

fn credentials(kind: &str) -> Credentials {
    let identities = Identities::get();
    Credentials::files(identities.path(kind, "pem"), identities.path(kind, "key"))
}

fn ca() -> Trust {
    Trust::file(Identities::get().path("ca", "pem"))
}

/// `openssl s_client` that trusts our authority and insists on it.
fn s_client(server: &Server, more: &[&str]) -> Running {
    let (address, ca) = (server.address(), Identities::get().text("ca", "pem"));
    let mut args = vec!["s_client", "-connect", &address, "-CAfile", &ca];
    args.extend([
        "-verify_return_error",
        "-verify_hostname",
        "localhost",
        "-servername",
    ]);
    args.extend(["localhost", "-tls1_3"]);
    args.extend(more);
    Running::start("openssl", &args)
}

/// `gnutls-cli` with TLS 1.3 alone.
fn gnutls_cli(server: &Server, priority: &str, more: &[&str]) -> Running {
    let ca = Identities::get().text("ca", "pem");
    let priority = format!("NORMAL:-VERS-ALL:+VERS-TLS1.3{priority}");
    let mut args = vec![
        "--port",
        &server.port,
        "--x509cafile",
        &ca,
        "--priority",
        &priority,
    ];
    args.extend([
        "--verify-hostname",
        "localhost",
        "--sni-hostname",
        "localhost",
    ]);
    args.extend(more);
    args.push("127.0.0.1");
    Running::start("gnutls-cli", &args)
}

/// Types lines and sees them come back, then quits.
fn converse(mut program: Running) -> String {
    program.type_in("first line\n");
    program.wait_for("FIRST LINE");
    program.type_in("second line\n");
    program.wait_for("SECOND LINE");
    program.type_in("quit\n");
    program.finish().1
}

const SUITES: [(&str, &str); 4] = [
    ("TLS_AES_128_GCM_SHA256", ":-CIPHER-ALL:+AES-128-GCM"),
    ("TLS_AES_256_GCM_SHA384", ":-CIPHER-ALL:+AES-256-GCM"),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        ":-CIPHER-ALL:+CHACHA20-POLY1305",
    ),
    ("TLS_AES_128_CCM_SHA256", ":-CIPHER-ALL:+AES-128-CCM"),
];

/// Names of the groups: ours, OpenSSL's, GnuTLS's.
const GROUPS: [(&str, &str, &str); 3] = [
    ("X25519", "X25519", ":-GROUP-ALL:+GROUP-X25519"),
    ("SECP256R1", "P-256", ":-GROUP-ALL:+GROUP-SECP256R1"),
    ("SECP384R1", "P-384", ":-GROUP-ALL:+GROUP-SECP384R1"),
];

#[test]
fn suites_and_groups_with_openssl_and_gnutls() {
    for (backend, provider) in backends() {
        let config = || {
            let builder = ServerBuilder::new().provider(provider.clone());
            builder.certificate(credentials("p256")).build().unwrap()
        };
        for (suite, gnutls_suite) in SUITES {
            for (group, openssl_group, gnutls_group) in GROUPS {
                let expected = format!("{suite} {group} ECDSA_SECP256R1_SHA256");
                let server = Server::start(config());
                converse(s_client(
                    &server,
                    &["-ciphersuites", suite, "-groups", openssl_group],
                ));
                let summary = server.finish().unwrap();
                assert!(summary.starts_with(&expected), "{backend}: {summary}");

                let server = Server::start(config());
                converse(gnutls_cli(
                    &server,
                    &format!("{gnutls_suite}{gnutls_group}"),
                    &[],
                ));
                let summary = server.finish().unwrap();
                assert!(summary.starts_with(&expected), "{backend}: {summary}");
            }
        }
    }
}

#[test]
fn kinds_of_certificates_with_openssl_and_gnutls() {
    for (backend, provider) in backends() {
        for kind in KINDS {
            let scheme = match kind {
                "p256" => "ECDSA_SECP256R1_SHA256",
                "p384" => "ECDSA_SECP384R1_SHA384",
                "rsa" => "RSA_PSS_RSAE_SHA256",
                _ => "ED25519",
            };
            for gnutls in [false, true] {
                let builder = ServerBuilder::new().provider(provider.clone());
                let config = builder.certificate(credentials(kind)).build().unwrap();
                let server = Server::start(config);
                converse(if gnutls {
                    gnutls_cli(&server, "", &[])
                } else {
                    s_client(&server, &[])
                });
                let summary = server.finish().unwrap();
                assert!(summary.contains(scheme), "{backend}, {kind}: {summary}");
            }
        }
    }
}

#[test]
fn hello_retry_request_to_openssl_and_gnutls() {
    for (_, provider) in backends() {
        for gnutls in [false, true] {
            let builder = ServerBuilder::new()
                .provider(provider.clone())
                .groups(["SECP384R1"]);
            let server = Server::start(builder.certificate(credentials("p256")).build().unwrap());
            // Both send a share in the first of their groups, which is another.
            converse(if gnutls {
                let groups = ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP384R1";
                gnutls_cli(&server, groups, &["--single-key-share"])
            } else {
                s_client(&server, &["-groups", "X25519:P-384"])
            });
            assert!(server.finish().unwrap().contains("SECP384R1"));
        }
    }
}

#[test]
fn client_certificates_of_openssl_and_gnutls() {
    let identities = Identities::get();
    for (backend, provider) in backends() {
        for kind in KINDS {
            let (cert, key) = (identities.text(kind, "pem"), identities.text(kind, "key"));
            for gnutls in [false, true] {
                let builder = ServerBuilder::new()
                    .provider(provider.clone())
                    .require_client_certificate(ca());
                let config = builder.certificate(credentials("p256")).build().unwrap();
                let server = Server::start(config);
                converse(if gnutls {
                    let files = ["--x509certfile", &cert, "--x509keyfile", &key];
                    gnutls_cli(&server, "", &files)
                } else {
                    s_client(&server, &["-cert", &cert, "-key", &key])
                });
                let summary = server.finish().unwrap();
                assert!(
                    !summary.ends_with("certificates: 0"),
                    "{backend}: {summary}"
                );
            }
        }
    }
}

#[test]
fn a_missing_client_certificate_is_told_to_openssl() {
    let config = ServerBuilder::new()
        .require_client_certificate(ca())
        .certificate(credentials("p256"))
        .build()
        .unwrap();
    let server = Server::start(config);
    let mut program = s_client(&server, &[]);
    // By the alert's name, or by its number if the name is not known.
    program.wait_for("certificate required");
    let error = server.finish().unwrap_err();
    assert!(error.contains("no certificate"), "{error}");
}

#[test]
fn a_client_that_trusts_another_authority_says_so() {
    let config = ServerBuilder::new()
        .certificate(credentials("p256"))
        .build()
        .unwrap();
    let server = Server::start(config);
    let (address, ca) = (server.address(), Identities::get().text("other-ca", "pem"));
    let args = [
        "s_client",
        "-connect",
        &address,
        "-CAfile",
        &ca,
        "-verify_return_error",
    ];
    let program = Running::start("openssl", &args);
    let error = server.finish().unwrap_err();
    assert!(error.contains("alert unknown_ca"), "{error}");
    assert!(!program.finish().0);
}

#[test]
fn an_older_version_is_refused_by_name() {
    let config = ServerBuilder::new()
        .certificate(credentials("p256"))
        .build()
        .unwrap();
    let server = Server::start(config);
    let address = server.address();
    let mut program = Running::start("openssl", &["s_client", "-connect", &address, "-tls1_2"]);
    program.wait_for("alert protocol version");
    let error = server.finish().unwrap_err();
    assert!(error.contains("TLS 1.3 is required"), "{error}");
}

#[test]
fn key_updates_with_openssl_both_ways() {
    for (_, provider) in backends() {
        let builder = ServerBuilder::new().provider(provider);
        let server = Server::start(builder.certificate(credentials("p256")).build().unwrap());
        let mut program = s_client(&server, &[]);
        program.type_in("before\n");
        program.wait_for("BEFORE");
        // A line of `K`, read by itself, makes s_client update and request an update; `k`
        // only update.
        for (updates, command) in (1..).zip(["K\n", "k\n", "K\n"]) {
            program.type_in(command);
            program.wait_until("another KEYUPDATE", |printed| {
                (printed.matches("KEYUPDATE").count() == updates).then_some(())
            });
        }
        program.type_in("update ours\n");
        program.wait_for("UPDATE OURS");
        program.type_in("after\n");
        program.wait_for("AFTER");
        program.type_in("quit\n");
        program.finish();
        server.finish().unwrap();
    }
}

#[test]
fn application_protocol_with_openssl_and_gnutls() {
    for gnutls in [false, true] {
        let builder = ServerBuilder::new().alpn(["h2", "http/1.1"]);
        let server = Server::start(builder.certificate(credentials("p256")).build().unwrap());
        let printed = converse(if gnutls {
            gnutls_cli(&server, "", &["--alpn", "http/1.1"])
        } else {
            s_client(&server, &["-alpn", "http/1.1"])
        });
        assert!(printed.contains("http/1.1"), "{printed}");
        server.finish().unwrap();
    }
}

#[test]
fn a_page_for_curl() {
    let ca = Identities::get().text("ca", "pem");
    for (_, provider) in backends() {
        for kind in KINDS {
            let builder = ServerBuilder::new().provider(provider.clone());
            let server = Server::start(builder.certificate(credentials(kind)).build().unwrap());
            let url = format!("https://localhost:{}/", server.port);
            let resolve = format!("localhost:{}:127.0.0.1", server.port);
            let args = [
                "--silent",
                "--show-error",
                "--cacert",
                &ca,
                "--resolve",
                &resolve,
                &url,
            ];
            let (well, printed) = Running::start("curl", &args).finish();
            assert!(well && printed == "hello from keyway\n", "{printed}");
            server.finish().unwrap();
        }
    }
}
