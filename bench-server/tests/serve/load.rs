//! The load generator, against this server and against others.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{
    Files, Nginx, OpensslServer, Server, arg, at_last, bench_server, run, text, with_few_files,
};

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
    at_last(|| {
        let results = server.load([&rate[..], &["--connections", "3"]].concat());
        without_failures(&results);
        let done = count(&results, "operations.done");
        let not_done = count(&results, "operations.not_done_in_time");
        assert_eq!(count(&results, "operations.due"), 60);
        assert_eq!(done + not_done, 60);
        (done >= 50)
            .then_some(())
            .ok_or_else(|| format!("few are done in time: {results}"))
    });
}

#[test]
fn a_rate_that_is_too_high_shows_in_the_latency() {
    let server = Server::start([]);
    at_last(|| {
        let results = server.load(short(&["--mode", "handshake", "--rate", "1000000"]));
        let done = count(&results, "operations.done");
        assert_eq!(
            count(&results, "operations.not_done_in_time") + done,
            1_000_000
        );
        // Those done last were due a few milliseconds after the start, a second ago.
        let slowest = results["operations"]["latency"]["max_us"].as_f64().unwrap();
        (slowest > 800_000.0)
            .then_some(())
            .ok_or_else(|| format!("the last ended early: {results}"))
    });
}

#[test]
fn a_warm_up_does_not_count() {
    let server = Server::start([]);
    let args = ["--mode", "request", "--connections", "1"];
    let time = ["--warm-up", "1", "--duration", "1"];
    at_last(|| {
        let results = server.load([args, time].concat());
        without_failures(&results);
        if count(&results, "operations.done_in_warm_up") == 0 {
            return Err(format!("nothing was done in the warm-up: {results}"));
        }
        // The only handshake was before the first request.
        assert_eq!(count(&results, "handshakes.done"), 0, "{results}");
        Ok(())
    });
}

#[test]
fn thousands_of_connections_are_answered() {
    const CONNECTIONS: u64 = 2000;
    // Fewer than a shell usually lets a program have: both have to ask for more.
    const FILES: u32 = 256;
    let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
    if hard < CONNECTIONS + 500 {
        println!("skipped: thousands of connections: {hard} file descriptors are allowed");
        return;
    }
    // Connections take the requests in turn, and the first of each opens it. A busy machine
    // needs longer until all are open.
    for seconds in [8, 20, 45] {
        let serve = bench_server(["serve", "--listen", "127.0.0.1:0"]);
        let server = Server::spawn(with_few_files(FILES, &serve));
        let mut load = bench_server(["load", "--json", "-", "--ca", server.ca()]);
        load.args(["--connect", &server.address.to_string()])
            .args(["--connections", &CONNECTIONS.to_string()])
            .args(["--mode", "request", "--path", "/bytes/10"])
            .args(["--group", "x25519", "--rate", "400"])
            .args(["--duration", &seconds.to_string()]);
        let output = run(&mut with_few_files(FILES, &load), b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let results: Value = serde_json::from_slice(&output.stdout).unwrap();
        without_failures(&results);
        let done = count(&results, "operations.done");
        assert_eq!(count(&results, "bytes.received"), 10 * done);
        let opened = count(&results, "handshakes.done");
        if opened < CONNECTIONS {
            println!("{opened} were opened within {seconds} s");
            continue;
        }
        assert_eq!(opened, CONNECTIONS, "{results}");
        assert!(done >= CONNECTIONS, "{results}");
        let counters = server.stop();
        // And the one that looked whether the server is there.
        let accepted = format!("{} accepted, 0 open", CONNECTIONS + 1);
        assert!(counters.contains(&accepted), "{counters}");
        assert!(!counters.contains("failed "), "{counters}");
        return;
    }
    panic!("not all connections were opened");
}

#[test]
fn results_go_to_the_file_even_if_nobody_reads_the_text() {
    let server = Server::start([]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    let address = server.address.to_string();
    let mut command = bench_server(["load", "--connect", &address, "--ca", server.ca()]);
    command.args(SHORT).args(["--json", arg(&file)]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("cannot write to the standard output"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    let results = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    without_failures(&results);
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

#[test]
fn nginx_is_put_under_load_as_well() {
    let Some(program) = Nginx::program() else {
        println!("skipped: nginx: not installed");
        return;
    };
    let files = Files::server();
    let server = Nginx::start(&program, &files);
    let address = server.address.to_string();
    for mode in ["handshake", "request"] {
        let mut command = bench_server(["load", "--connect", &address, "--ca", arg(&files.ca)]);
        command.args(SHORT).args(["--mode", mode, "--json", "-"]);
        let output = run(&mut command, b"");
        assert!(output.status.success(), "{mode}: {}", text(&output.stderr));
        let results: Value = serde_json::from_slice(&output.stdout).unwrap();
        without_failures(&results);
        if mode == "request" {
            let done = count(&results, "operations.done");
            assert_eq!(count(&results, "bytes.received"), 6 * done);
            // It keeps connections for a thousand requests.
            assert!(
                count(&results, "handshakes.done") <= 4 + done / 1000,
                "{results}"
            );
        }
    }
}
