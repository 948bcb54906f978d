//! The load generator, against this server and against others.

use std::io::Write as _;
use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{Files, OpensslServer, Server, arg, bench_server, run, text};

/// A short measurement with few connections.
const SHORT: [&str; 4] = ["--duration", "1", "--connections", "4"];

fn short<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&SHORT, args].concat()
}

/// The count at a path such as `operations.done`.
fn count(results: &Value, path: &str) -> u64 {
    let value = path.split('.').fold(results, |value, name| &value[name]);
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{path}: {value} in {results}"))
}

fn without_failures(results: &Value) -> &Value {
    assert_eq!(results["failures"], serde_json::json!({}), "{results}");
    assert!(count(results, "operations.done") > 0, "{results}");
    results
}

#[test]
fn handshakes_are_counted_alike_on_both_sides() {
    let server = Server::start([]);
    let results = server.load(short(&["--mode", "handshake"]));
    without_failures(&results);
    let done = count(&results, "operations.done");
    assert_eq!(count(&results, "handshakes.done"), done);
    assert_eq!(count(&results, "operations.latency.count"), done);

    // The server also saw the first one, which only looks whether it is there, those that
    // ended too late to count, and this one.
    let seen = count(&server.status(), "server.handshakes.completed");
    assert!((done + 2..=done + 2 + 4).contains(&seen), "{seen}, {done}");
    let counters = server.stop();
    assert!(!counters.contains("failed handshake"), "{counters}");
    assert!(!counters.contains("failed connection"), "{counters}");
}

#[test]
fn requests_share_connections() {
    let server = Server::start([]);
    let results = server.load(short(&["--mode", "request", "--path", "/bytes/10"]));
    without_failures(&results);
    let done = count(&results, "operations.done");
    assert_eq!(count(&results, "handshakes.done"), 4);
    assert_eq!(count(&results, "bytes.received"), 10 * done);
    let requests = count(&server.status(), "server.requests");
    assert!((done + 1..=done + 1 + 4).contains(&requests));
    assert!(!server.stop().contains("failed connection"));
}

#[test]
fn bulk_goes_both_ways() {
    let server = Server::start([]);
    let bulk = ["--mode", "bulk", "--size", "300000"];
    let results = server.load(short(&bulk));
    let done = count(without_failures(&results), "operations.done");
    assert_eq!(count(&results, "bytes.received"), 300_000 * done);

    let results = server.load(short(&[&bulk[..], &["--direction", "send"]].concat()));
    let done = count(without_failures(&results), "operations.done");
    assert_eq!(count(&results, "bytes.sent"), 300_000 * done);
    let received = count(&server.status(), "server.bytes.received");
    assert!(received >= 300_000 * done);
}

#[test]
fn an_echo_is_compared() {
    let server = Server::start(["--echo"]);
    let results = server.load(short(&["--mode", "echo", "--size", "200000"]));
    let done = count(without_failures(&results), "operations.done");
    assert_eq!(count(&results, "bytes.sent"), 200_000 * done);
    assert_eq!(count(&results, "bytes.received"), 200_000 * done);
    assert!(!server.stop().contains("failed connection"));
}

#[test]
fn a_rate_is_kept() {
    let server = Server::start([]);
    let rate = ["--mode", "request", "--rate", "40", "--duration", "1.5"];
    let results = server.load([&rate[..], &["--connections", "3"]].concat());
    without_failures(&results);
    let done = count(&results, "operations.done");
    let not_done = count(&results, "operations.not_done_in_time");
    assert_eq!(count(&results, "operations.due"), 60);
    assert_eq!(done + not_done, 60);
    assert!(done >= 50, "{results}");
}

#[test]
fn a_rate_that_is_too_high_shows_in_the_latency() {
    let server = Server::start([]);
    let results = server.load(short(&["--mode", "handshake", "--rate", "1000000"]));
    let done = count(&results, "operations.done");
    assert_eq!(
        count(&results, "operations.not_done_in_time") + done,
        1_000_000
    );
    // Those done last were due a few milliseconds after the start, a second ago.
    let slowest = results["operations"]["latency"]["max_us"].as_f64().unwrap();
    assert!(slowest > 800_000.0, "{results}");
}

#[test]
fn suite_and_group_are_the_ones_asked_for() {
    let server = Server::start([]);
    for (suite, group) in [
        ("TLS_CHACHA20_POLY1305_SHA256", "SECP384R1"),
        ("TLS_AES_256_GCM_SHA384", "SECP256R1"),
    ] {
        let asked = ["--suite", suite, "--group", group];
        let results = server.load(short(&asked));
        without_failures(&results);
        let negotiated = results["negotiated"].as_str().unwrap();
        assert!(
            negotiated.starts_with(&format!("{suite}, {group}, ")),
            "{negotiated}"
        );
    }
}

#[test]
fn a_client_certificate_is_shown() {
    let (files, client) = (Files::server(), Files::client());
    let server = Server::start([
        "--cert",
        arg(&files.cert),
        "--key",
        arg(&files.key),
        "--client-ca",
        arg(&client.ca),
    ]);
    let address = server.address.to_string();
    let load = |args: &[&str]| {
        let mut command = bench_server(["load", "--connect", &address, "--ca", arg(&files.ca)]);
        run(command.args(SHORT).args(args), b"")
    };
    let output = load(&["--cert", arg(&client.cert), "--key", arg(&client.key)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("failures           none\n"));

    // Without one the client's side of the handshake ends well all the same.
    let output = load(&[]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("no operation succeeded: alert"), "{error}");
    assert!(error.contains("certificate_required"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_server_that_is_not_trusted_is_an_error_at_once() {
    let (server, other) = (Server::start([]), Files::server());
    let address = server.address.to_string();
    let output = run(
        &mut bench_server(["load", "--connect", &address, "--ca", arg(&other.ca)]),
        b"",
    );
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("unknown issuer"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_server_that_does_not_speak_tls_is_an_error_at_once() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap().to_string();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        // Until the client has gone.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let output = run(
        &mut bench_server(["load", "--connect", &address, "--insecure"]),
        b"",
    );
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("does not speak TLS"), "{error}");
    answer.join().unwrap();
}

#[test]
fn openssl_is_put_under_load_as_well() {
    let files = Files::server();
    let server = OpensslServer::start(&files, ["-www"]);
    let address = server.address.to_string();
    for mode in ["handshake", "request"] {
        let mut command = bench_server(["load", "--connect", &address, "--ca", arg(&files.ca)]);
        command.args(SHORT).args(["--mode", mode, "--json", "-"]);
        let output = run(&mut command, b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let results: Value = serde_json::from_slice(&output.stdout).unwrap();
        without_failures(&results);
        if mode == "request" {
            // It answers with a page and closes.
            let done = count(&results, "operations.done");
            assert!(count(&results, "bytes.received") > 1000 * done);
            assert!(count(&results, "handshakes.done") >= done);
        }
    }
}

#[test]
fn a_refusal_is_named_in_every_mode() {
    let (files, client) = (Files::server(), Files::client());
    let server = Server::start([
        "--cert",
        arg(&files.cert),
        "--key",
        arg(&files.key),
        "--client-ca",
        arg(&client.ca),
    ]);
    let address = server.address.to_string();
    for mode in ["request", "bulk", "echo"] {
        let mut command = bench_server(["load", "--connect", &address, "--ca", arg(&files.ca)]);
        let output = run(command.args(SHORT).args(["--mode", mode]), b"");
        let error = text(&output.stderr);
        assert!(error.contains("certificate_required"), "{mode}: {error}");
    }
}
