//! The comparison as a program: what it prints, what it writes, how it refuses.

use std::process::{Command, Output};

fn bench_server(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench-server"))
        .args(arguments)
        .output()
        .expect("bench-server starts")
}

/// The one line of an error, without the program's name.
fn refusal(arguments: &[&str]) -> String {
    let output = bench_server(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    let text = String::from_utf8(output.stderr).unwrap();
    let line = text.strip_prefix("bench-server: ").expect(&text);
    assert_eq!(line.matches('\n').count(), 1, "{text}");
    line.trim_end().to_owned()
}

#[test]
fn refusals_say_what_and_where() {
    assert_eq!(
        refusal(&["--filter", "no-such-row"]),
        "no row has all words of --filter [\"no-such-row\"]: --list shows their names"
    );
    let line = refusal(&["--quick", "--html", "/no/such/folder/page.html"]);
    assert!(
        line.starts_with("cannot write /no/such/folder/page.html: No such file"),
        "{line}"
    );
    let line = refusal(&["--json", "/no/such/folder/results.json"]);
    assert!(
        line.starts_with("cannot write /no/such/folder/results.json: No such file"),
        "{line}"
    );
    // Refused by the parser of the command line, which says how it is written.
    for arguments in [&["--threads", "0"][..], &["--seconds", "soon"], &["--fast"]] {
        assert_eq!(
            bench_server(arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_list_has_every_axis() {
    let output = bench_server(&["--list", "--threads", "2"]);
    assert!(output.status.success());
    let names = String::from_utf8(output.stdout).unwrap();
    for part in [
        "handshake-server: ECDSA P-256: keyway ",
        "handshake-client: RSA-2048: keyway ",
        "handshake-server: Ed25519, both sides: keyway ",
        "send-aes-128-gcm: 64 B: keyway ",
        "receive-chacha20-poly1305: 16384 B: keyway ",
        "alone-seal: AES-256-GCM: ",
        "tcp-latency: p99: keyway ",
        "tcp-kinds: RSA-2048, both sides: keyway ",
        "tcp-aes-128-gcm: 64 B: keyway ",
        "tcp-chacha20-poly1305: 16384 B: keyway ",
        "tcp-handshake: 2 pairs: keyway ",
        "threads-handshake: 2 threads: keyway ",
        "threads-bulk: 1 thread: keyway ",
        "memory: per connection: keyway ",
    ] {
        assert!(names.contains(part), "{part} is missing in\n{names}");
    }
    if cfg!(feature = "peers") {
        for peer in ["libssl", "rustls aws-lc-rs", "rustls ring"] {
            for row in ["send-aes-128-gcm: 64 B", "tcp-kinds: ECDSA P-256"] {
                assert!(names.contains(&format!("{row}: {peer}\n")), "{row}: {peer}");
            }
        }
    }
}

#[test]
fn a_filtered_run_measures_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("r.json"), folder.path().join("r.html"));
    let output = bench_server(&[
        "compare",
        "--quick",
        "--seconds",
        "4",
        "--filter",
        "1024 aes-128",
        "--filter",
        "tcp-latency",
        "--filter",
        "memory",
        "--json",
        json.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
    ]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");

    let table = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Sending, AES-128-GCM, GB/s",
        "Latency over loopback TCP",
        "keyway",
    ] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("<svg") && page.ends_with("</html>\n"));

    let results: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(results["failures"], serde_json::json!([]));
    let grids = results["grids"].as_array().unwrap();
    let sections: Vec<_> = grids
        .iter()
        .map(|grid| grid["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        sections,
        [
            "send-aes-128-gcm",
            "receive-aes-128-gcm",
            "tcp-handshake",
            "tcp-latency",
            "memory"
        ]
    );
    for grid in grids {
        for row in grid["rows"].as_array().unwrap() {
            for cell in row["cells"].as_array().unwrap() {
                let median = cell["median"].as_f64().unwrap();
                assert!(median > 0.0, "{row}");
                if grid["id"] != "tcp-latency" {
                    assert!(cell["min"].as_f64().unwrap() <= median);
                    assert!(cell["max"].as_f64().unwrap() >= median);
                }
                let base = row["contender"] == results["baseline"];
                assert_eq!(cell["ratio"].is_null(), base, "{row}");
            }
        }
    }
}

#[test]
fn json_alone_goes_to_the_standard_output() {
    let output = bench_server(&[
        "--quick",
        "--seconds",
        "1",
        "--filter",
        "alone chacha",
        "--json",
        "-",
    ]);
    assert!(output.status.success());
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let grid = &results["grids"][0];
    assert_eq!(grid["id"], "alone-seal");
    assert_eq!(grid["columns"], serde_json::json!(["ChaCha20-Poly1305"]));
    assert!(!grid["rows"].as_array().unwrap().is_empty());
}
