//! How the server ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyway::{ClientBuilder, ServerName, Stream, Trust};
use socket2::{Domain, Socket, Type};

use crate::harness::{Server, until};

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
        until("an idle connection", || {
            let status = server.status();
            (status["server"]["connections"]["open"] == 2).then_some(())
        });
        server.signal(signal);
        let address = server.address;
        let counters = server.stopped();
        // What does not close when it is asked to is cut off in the end.
        assert!(!counters.contains("cut off"), "{counters}");
        // The idle one, and curl's if it was still about to close.
        let stopping = format!("stopping: SIG{signal}; ");
        assert!(counters.starts_with(&stopping), "{counters}");
        assert!(!counters.contains("; 0 connections to end"), "{counters}");
        assert!(counters.contains(" accepted, 0 open\n"), "{counters}");
        assert!(counters.contains(" completed, 0 failed\n"), "{counters}");
        assert!(counters.contains("handshake latency  p50 "), "{counters}");
        assert!(!counters.contains("failed connection"), "{counters}");
        assert!(!std::path::Path::new(&ca).exists(), "{ca} is left");
        assert!(TcpStream::connect(address).is_err());
        let _ = idle.kill();
        let _ = idle.wait();
    }
}

#[test]
fn an_answer_under_way_is_finished_first() {
    // Far more than lies in buffers between the two, the client's being small.
    const SIZE: u64 = 32_000_000;
    let mut server = Server::start([]);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(65_536).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let trust = Trust::file(server.ca());
    let config = ClientBuilder::new().trust(trust).build().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = Stream::client(config, name, TcpStream::from(socket)).unwrap();
    let request = format!("GET /bytes/{SIZE} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();

    // The answer comes until the buffers are full, and there it stands.
    let mut before = 0;
    let sent = until("the answer stands still", || {
        let sent = server.status()["server"]["bytes"]["sent"].as_u64().unwrap();
        let grown = sent - std::mem::replace(&mut before, sent);
        // The status itself is a few thousand bytes.
        (sent > 100_000 && grown < 10_000).then_some(sent)
    });
    assert!(sent < SIZE / 2, "{sent} bytes are not under way any more");
    server.signal("TERM");
    let stopping = server.next_line();
    assert!(!stopping.contains("; 0 connections to end"), "{stopping}");

    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert_eq!((answer.len() - head) as u64, SIZE);
    let counters = server.stopped();
    assert!(!counters.contains("cut off"), "{counters}");
    assert!(!counters.contains("failed connection"), "{counters}");
}

#[test]
fn a_duration_is_kept() {
    let begun = Instant::now();
    let server = Server::start(["--duration", "0.5", "--threads", "1"]);
    let rest = server.stopped();
    assert!(rest.starts_with("stopping: the time is over; 0 connections"));
    assert!(begun.elapsed() >= Duration::from_millis(500));
}
