//! How the server ends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Server, text};

#[test]
fn a_signal_closes_idle_connections_and_prints_the_counters() {
    for signal in ["TERM", "INT"] {
        let server = Server::start([]);
        let ca = server.ca().to_owned();
        // Connected and idle, until the server says close_notify.
        let idle = Command::new("sh")
            .args(["-c", &format!("sleep 40 | {}", server.command("openssl"))])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut idle = idle.unwrap();
        let begun = Instant::now();
        while server.status()["server"]["connections"]["open"] != 2 {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
        let begun = Instant::now();
        server.signal(signal);
        let address = server.address;
        let counters = server.stopped();
        assert!(begun.elapsed() < Duration::from_secs(4), "it took too long");
        // The idle one, and curl's if it was still about to close.
        let stopping = format!("stopping: SIG{signal}; ");
        assert!(counters.starts_with(&stopping), "{counters}");
        assert!(!counters.contains("; 0 connections to end"), "{counters}");
        assert!(counters.contains(" accepted, 0 open\n"), "{counters}");
        assert!(counters.contains(" completed, 0 failed\n"), "{counters}");
        assert!(counters.contains("handshake latency  p50 "), "{counters}");
        assert!(!counters.contains("failed connection"), "{counters}");
        assert!(!std::path::Path::new(&ca).exists(), "{ca} is left");
        assert!(std::net::TcpStream::connect(address).is_err());
        let _ = idle.kill();
        let _ = idle.wait();
    }
}

#[test]
fn an_answer_under_way_is_finished_first() {
    let server = Server::start([]);
    let url = format!("https://{}/bytes/3000000", server.address);
    // Slow enough to be under way for a second.
    let curl = Command::new("curl")
        .args(["-sS", "--limit-rate", "2500000", "-o", "/dev/null"])
        .args(["-w", "%{size_download}", "--cacert", server.ca(), &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while server.status()["server"]["connections"]["open"] != 2 {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    let counters = server.stop();
    assert!(!counters.contains("cut off"), "{counters}");
    let output = curl.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "3000000");
}

#[test]
fn a_duration_is_kept() {
    let begun = Instant::now();
    let server = Server::start(["--duration", "0.5", "--threads", "1"]);
    let rest = server.stopped();
    assert!(rest.starts_with("stopping: the time is over; 0 connections"));
    assert!(begun.elapsed() >= Duration::from_millis(500));
}
