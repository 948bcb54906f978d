//! What is wrong before the first connection: one line on standard error, exit code 1.

use std::fs;
use std::net::TcpListener;

use crate::harness::{Files, Refusing, arg, bench_server, run, text};

/// Runs `bench-server` with `args`, and checks that it fails with one line that has each of
/// `parts` in it.
fn refused(args: &[&str], parts: &[&str]) {
    let output = run(&mut bench_server(args.iter().copied()), b"");
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{args:?}: {line}");
    assert!(line.starts_with("bench-server: "), "{args:?}: {line}");
    for part in parts {
        assert!(line.contains(part), "{args:?}: {line}");
    }
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

#[test]
fn serve_with_an_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_use = "Address already in use";
    refused(&["serve", "--listen", &address], &[&address, in_use]);
}

#[test]
fn serve_with_files_that_cannot_be_used() {
    let (files, others) = (Files::server(), Files::server());
    let (cert, key) = (arg(&files.cert), arg(&files.key));
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let serve = |args: &[&str], parts: &[&str]| refused(&[&listen, args].concat(), parts);

    let missing = "/nonexistent/cert.pem";
    let cannot = "cannot be read";
    serve(&["--cert", missing, "--key", key], &[missing, cannot]);
    serve(&["--cert", cert, "--key", missing], &[missing, cannot]);
    serve(&["--client-ca", missing], &[missing, cannot]);
    serve(
        &["--cert", cert, "--key", arg(&others.key)],
        &[cert, "does not belong"],
    );
    // A PEM file without a key in it.
    serve(&["--cert", cert, "--key", cert], &[cert, "no private key"]);
    serve(&["--cert", cert], &["--cert", "--key", "pairs"]);

    let damaged = files.ca.with_file_name("damaged.pem");
    fs::write(&damaged, "this is no PEM").unwrap();
    let damaged = arg(&damaged);
    serve(
        &["--cert", damaged, "--key", key],
        &[damaged, "certificate"],
    );
}

#[test]
fn unknown_backends() {
    let linked = "linked are: ";
    refused(&["serve", "--backend", "hard"], &["\"hard\"", linked]);
    let load = ["load", "--connect", "127.0.0.1:1", "--insecure"];
    let load = |args: &[&str], parts: &[&str]| refused(&[&load, args].concat(), parts);
    load(&["--backend", "soft+magic=soft"], &["\"magic\""]);
    load(&["--suite", "TLS_NONE"], &["TLS_NONE"]);
    load(&["--group", "CURVE9000"], &["CURVE9000"]);
}

#[test]
fn load_without_a_server() {
    let nobody = Refusing::new();
    let address = nobody.address.to_string();
    let refuses = "Connection refused";
    refused(
        &["load", "--insecure", "--connect", &address],
        &[&address, refuses],
    );
    refused(
        &["load", "--insecure", "--connect", "nowhere"],
        &["HOST:PORT"],
    );
    let missing = "/nonexistent/ca.pem";
    refused(
        &["load", "--ca", missing, "--connect", &address],
        &[missing, "cannot be read"],
    );
}

#[test]
fn load_with_a_file_that_cannot_be_written() {
    // Told before the server is looked for.
    let nobody = Refusing::new();
    let (address, file) = (nobody.address.to_string(), "/nonexistent/results.json");
    refused(
        &["load", "--insecure", "--connect", &address, "--json", file],
        &[file, "cannot be written", "No such file"],
    );
}
