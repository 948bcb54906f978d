//! The server with other programs as its clients.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Files, Server, arg, run, text, until};

#[test]
fn curl_sees_the_status_page() {
    let server = Server::start([]);
    let page = server.curl("/", ["-i"]);
    let page = text(&page.stdout);
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert!(page.contains("<th>cipher suite<td>TLS_"), "{page}");
    assert!(page.contains("<th>ALPN<td>http/1.1"), "{page}");

    let status = server.status();
    let connection = &status["connection"];
    assert_eq!(connection["signature_scheme"], "ECDSA_SECP256R1_SHA256");
    assert_eq!(connection["client_certificates"], 0);
    assert_eq!(status["server"]["connections"]["accepted"], 2);
    assert_eq!(status["server"]["requests"], 2);
    // The one that asks; the server may still hear of the others' end.
    until("one connection is open", || {
        let status = server.status();
        (status["server"]["connections"]["open"] == 1).then_some(())
    });
    assert!(status["server"]["bytes"]["sent"].as_u64().unwrap() > 1000);
    assert!(!status["backends"].as_array().unwrap().is_empty());
}

#[test]
fn each_generated_kind_serves() {
    for (kind, scheme) in [
        ("rsa-2048", "RSA_PSS_RSAE_SHA256"),
        ("ecdsa-p256", "ECDSA_SECP256R1_SHA256"),
    ] {
        let server = Server::start(["--generate", kind]);
        assert_eq!(server.status()["connection"]["signature_scheme"], scheme);
    }
    // curl's own libraries may not offer Ed25519; s_client does.
    let server = Server::start(["--generate", "ed25519"]);
    let command = format!("{} -verify_return_error", server.command("openssl"));
    let output = run(Command::new("sh").args(["-c", &command]), b"");
    // Versions of openssl write the name differently.
    let shown = text(&output.stdout).to_lowercase();
    assert!(shown.contains("peer signature type: ed25519"), "{shown}");
}

#[test]
fn http_is_answered_as_it_should_be() {
    let server = Server::start([]);
    let code = |path: &str, args: &[&str]| {
        let ask = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
        let all = ask.iter().chain(args).copied();
        text(&server.curl(path, all).stdout)
    };
    assert_eq!(code("/bytes/0", &[]), "200 0");
    assert_eq!(code("/bytes/1000001", &[]), "200 1000001");
    assert!(code("/", &["--head"]).starts_with("200 "));
    assert!(code("/nothing", &[]).starts_with("404 "));
    assert!(code("/", &["-X", "DELETE"]).starts_with("405 "));
    assert!(code("/bytes/many", &[]).starts_with("400 "));
    let posted = server.curl("/bytes", ["--data-binary", "12345"]);
    assert_eq!(text(&posted.stdout), "5\n");

    // Kept alive: two answers on one connection.
    let before = server.status()["server"]["connections"]["accepted"].clone();
    let url = format!("https://{}/status.json", server.address);
    let output = run(
        Command::new("curl").args(["-sS", "--cacert", server.ca(), &url, &url]),
        b"",
    );
    let both = text(&output.stdout);
    assert_eq!(both.matches("\"connection\": {").count(), 2, "{both}");
    let accepted = server.status()["server"]["connections"]["accepted"].clone();
    assert_eq!(accepted.as_u64().unwrap(), before.as_u64().unwrap() + 2);
}

#[test]
fn a_request_that_is_none_gets_400() {
    let server = Server::start([]);
    let command = format!("{} -quiet -verify_quiet", server.command("openssl"));
    let output = run(
        Command::new("sh").args(["-c", &command]),
        b"this is no request\r\n\r\n",
    );
    let answer = text(&output.stdout);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(server.stop().contains("HTTP: message cannot be parsed: 1"));
}

#[test]
fn the_printed_commands_work_as_they_are() {
    let server = Server::start([]);
    let command = format!("{} -verify_return_error", server.command("openssl"));
    let output = run(Command::new("sh").args(["-c", &command]), b"");
    let shown = text(&output.stdout);
    assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");
    assert!(shown.contains("New, TLSv1.3"), "{shown}");

    let command = format!("{} -sS", server.command("curl"));
    let output = run(Command::new("sh").args(["-c", &command]), b"");
    assert!(text(&output.stdout).contains("<title>bench-server</title>"));
}

#[test]
fn an_echo_says_it_again() {
    let server = Server::start(["--echo"]);
    let command = format!(
        "{} -quiet -verify_quiet -no_ign_eof",
        server.command("openssl")
    );
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for line in ["hello\n", "and again\n"] {
        input.write_all(line.as_bytes()).unwrap();
        let mut heard = String::new();
        output.read_line(&mut heard).unwrap();
        assert_eq!(heard, line);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let counters = server.stop();
    assert!(counters.contains("bytes received     16\n"), "{counters}");
    assert!(counters.contains("bytes sent         16\n"), "{counters}");
    assert!(!counters.contains("failed connection"), "{counters}");
}

#[test]
fn a_client_ca_keeps_out_those_without_a_certificate() {
    let (client, stranger) = (Files::client(), Files::client());
    let server = Server::start(["--client-ca", arg(&client.ca)]);
    assert!(server.command("curl").contains(" --cert CLIENT.pem "));

    let refused = server.curl("/", []);
    assert!(!refused.status.success());
    assert!(refused.stdout.is_empty(), "{}", text(&refused.stdout));
    let as_stranger = ["--cert", arg(&stranger.cert), "--key", arg(&stranger.key)];
    assert!(!server.curl("/", as_stranger).status.success());

    let as_client = ["--cert", arg(&client.cert), "--key", arg(&client.key)];
    let accepted = server.curl("/status.json", as_client);
    let status: serde_json::Value = serde_json::from_slice(&accepted.stdout).unwrap();
    assert_eq!(status["connection"]["client_certificates"], 1);

    let counters = server.stop();
    assert!(counters.contains("1 completed, 2 failed"), "{counters}");
    for kind in ["missing", "unknown issuer"] {
        let line = format!("peer's certificate refused: {kind}: 1");
        assert!(counters.contains(&line), "{counters}");
    }
}

#[test]
fn an_optional_client_certificate_lets_in_those_without() {
    let client = Files::client();
    let server = Server::start(["--client-ca", arg(&client.ca), "--client-optional"]);
    assert_eq!(server.status()["connection"]["client_certificates"], 0);
}

#[test]
fn of_several_certificates_the_one_that_fits_is_shown() {
    let (ecdsa, rsa) = (Files::server(), Files::rsa_server());
    let server = Server::start([
        "--cert",
        arg(&ecdsa.cert),
        "--key",
        arg(&ecdsa.key),
        "--cert",
        arg(&rsa.cert),
        "--key",
        arg(&rsa.key),
    ]);
    for (offer, shown) in [
        ("ECDSA+SHA256", "Peer signature type: ECDSA"),
        ("RSA-PSS+SHA256", "Peer signature type: RSA-PSS"),
    ] {
        let command = format!("{} -sigalgs {offer}", server.command("openssl"));
        let output = run(Command::new("sh").args(["-c", &command]), b"");
        let output = text(&output.stdout);
        assert!(output.contains(shown), "{output}");
    }
}

#[test]
fn a_peer_that_is_not_tls_disturbs_nobody() {
    let server = Server::start(["--verbose"]);
    // It stays connected and silent during all of this.
    let silent = TcpStream::connect(server.address).unwrap();
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // An alert, in a record of its own: level fatal.
    plain.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&21), "{answer:?}");

    assert!(text(&server.curl("/", []).stdout).contains("<title>"));
    drop(silent);
    let counters = server.stop();
    let line = "failed handshake   peer does not speak TLS: 1\n";
    assert!(counters.contains(line), "{counters}");
}
