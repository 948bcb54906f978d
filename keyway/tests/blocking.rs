//! The blocking stream: over TCP, and over a transport that would rather not.

mod support;

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use keyway::{ClientConfig, ServerConfig, Stream};
use support::{
    Authority, Pipe, brittle_configs, configs, localhost, pattern, slow_configs, tcp, tls_error,
};

/// Both ends over TCP, the server's in a thread of its own.
fn over_tcp<R: Send>(
    configs: (Arc<ServerConfig>, Arc<ClientConfig>),
    server: impl FnOnce(Stream<std::net::TcpStream>) -> R + Send,
    client: impl FnOnce(Stream<std::net::TcpStream>),
) -> R {
    let (near, far) = tcp();
    thread::scope(|scope| {
        let served = scope.spawn(|| server(Stream::server(configs.0, far)));
        client(Stream::client(configs.1, localhost(), near).unwrap());
        served.join().unwrap()
    })
}

#[test]
fn half_close_in_both_directions() {
    let served = over_tcp(
        configs(),
        |mut stream| {
            let mut asked = String::new();
            stream.read_to_string(&mut asked).unwrap();
            // The client has closed its direction; ours is open.
            stream.write_all(b"answer to ").unwrap();
            stream.write_all(asked.as_bytes()).unwrap();
            stream.close().unwrap();
            assert_eq!(stream.connection().server_name(), Some("localhost"));
            asked
        },
        |mut stream| {
            stream.handshake().unwrap();
            stream.handshake().unwrap();
            assert_eq!(
                stream.connection().peer_certificates().map(|c| c.len()),
                Some(1)
            );
            stream.write_all(b"question").unwrap();
            stream.close().unwrap();
            stream.close().unwrap();
            let error = stream.write(b"more").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "answer to question");
            // And the end stays the end.
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        },
    );
    assert_eq!(served, "question");
}

#[test]
fn a_cut_stream_is_not_an_end() {
    over_tcp(
        configs(),
        |mut stream| {
            let mut read = [0; 8];
            stream.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"complete");
            let error = stream.read(&mut read).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert_eq!(tls_error(&error), &keyway::Error::Truncated);
            // It stays an error.
            let again = stream.read(&mut read).unwrap_err();
            assert_eq!(again.kind(), ErrorKind::UnexpectedEof);
        },
        |mut stream| stream.write_all(b"complete").unwrap(),
    );
}

#[test]
fn a_peer_that_leaves_in_the_handshake() {
    let (near, far) = Pipe::pair();
    let mut server = Stream::server(configs().0, far);
    near.end();
    let error = server.handshake().unwrap_err();
    assert_eq!(tls_error(&error), &keyway::Error::Truncated);
    assert_eq!(
        server.handshake().unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
}

#[test]
fn much_data_both_ways_at_once() {
    let data = pattern(24 << 20);
    let sent = &data;
    over_tcp(
        configs(),
        |mut stream| {
            let mut got = Vec::with_capacity(sent.len());
            stream.read_to_end(&mut got).unwrap();
            assert!(got == *sent);
            for part in sent.chunks(1 << 20) {
                stream.write_all(part).unwrap();
            }
            stream.close().unwrap();
        },
        |mut stream| {
            stream.write_all(sent).unwrap();
            stream.close().unwrap();
            let mut at = 0;
            loop {
                let part = stream.fill_buf().unwrap();
                if part.is_empty() {
                    break;
                }
                assert!(part == &sent[at..at + part.len()]);
                at += part.len();
                let used = part.len();
                stream.consume(used);
            }
            assert_eq!(at, sent.len());
        },
    );
}

#[test]
fn small_reads_and_writes() {
    let data = pattern(3000);
    let sent = &data;
    over_tcp(
        configs(),
        |mut stream| {
            let mut got = Vec::new();
            let mut part = [0; 3];
            assert_eq!(stream.read(&mut []).unwrap(), 0);
            while let n @ 1.. = stream.read(&mut part).unwrap() {
                got.extend_from_slice(&part[..n]);
            }
            assert_eq!(got, *sent);
        },
        |mut stream| {
            assert_eq!(stream.write(&[]).unwrap(), 0);
            for part in sent.chunks(7) {
                let (head, tail) = part.split_at(part.len() / 2);
                let slices = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)];
                assert_eq!(stream.write_vectored(&slices).unwrap(), part.len());
            }
            stream.flush().unwrap();
            stream.close().unwrap();
        },
    );
}

#[test]
fn the_peer_learns_why() {
    let mismatch = (configs().0, configs().1);
    over_tcp(
        mismatch,
        |mut stream| {
            let error = stream.handshake().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
            assert_eq!(
                tls_error(&error),
                &keyway::Error::AlertReceived(keyway::tls::AlertDescription::UNKNOWN_CA)
            );
        },
        |mut stream| {
            let error = stream.handshake().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(
                matches!(tls_error(&error), keyway::Error::Certificate(_)),
                "{error}"
            );
            // What failed stays failed, in both directions.
            assert!(stream.handshake().is_err());
            assert_eq!(
                stream.write(b"x").unwrap_err().kind(),
                ErrorKind::InvalidData
            );
            assert_eq!(
                stream.read(&mut [0]).unwrap_err().kind(),
                ErrorKind::InvalidData
            );
        },
    );
}

#[test]
fn a_peer_that_is_not_tls() {
    let (near, far) = Pipe::pair();
    near.inject(b"GET / HTTP/1.1\r\n\r\n");
    let mut server = Stream::server(configs().0, far);
    let error = server.handshake().unwrap_err();
    assert_eq!(tls_error(&error), &keyway::Error::NotTls(*b"GET /"));
    assert!(near.waiting() > 0, "the alert was sent before");
}

#[test]
fn a_full_transport_does_not_hide_the_error() {
    let (near, far) = Pipe::pair();
    // No room at all.
    far.inject(&[0; 20_000]);
    near.inject(b"GET / HTTP/1.1\r\n\r\n");
    let mut server = Stream::server(configs().0, far.clone());
    for _ in 0..3 {
        let error = server.handshake().unwrap_err();
        assert_eq!(tls_error(&error), &keyway::Error::NotTls(*b"GET /"));
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(tls_error(&error), &keyway::Error::NotTls(*b"GET /"));
    }
    // The alert waits until there is room.
    assert_eq!(server.flush().unwrap_err().kind(), ErrorKind::WouldBlock);
    far.lose();
    server.flush().unwrap();
    assert_eq!(near.waiting(), 7);
}

#[test]
fn a_handshake_that_was_given_up_is_an_error() {
    let (near, far) = Pipe::pair();
    let (server, client) = configs();
    let mut client = Stream::client(client, localhost(), near).unwrap();
    client.close().unwrap();
    for _ in 0..2 {
        let error = client.handshake().unwrap_err();
        assert!(matches!(tls_error(&error), keyway::Error::Usage(_)));
        let error = client.read(&mut [0]).unwrap_err();
        assert!(matches!(tls_error(&error), keyway::Error::Usage(_)));
        let error = client.write(b"x").unwrap_err();
        assert!(matches!(tls_error(&error), keyway::Error::Usage(_)));
    }
    let mut server = Stream::server(server, far);
    server.close().unwrap();
    let error = server.handshake().unwrap_err();
    assert!(matches!(tls_error(&error), keyway::Error::Usage(_)));
}

/// Both ends over a pipe that never blocks, their handshake done.
fn over_pipe(
    (server, client): (Arc<ServerConfig>, Arc<ClientConfig>),
) -> (Stream<Pipe>, Stream<Pipe>) {
    let (near, far) = Pipe::pair();
    let mut server = Stream::server(server, far);
    let mut client = Stream::client(client, localhost(), near).unwrap();
    while client.connection().is_handshaking() || server.connection().is_handshaking() {
        blocks(client.handshake());
        blocks(server.handshake());
    }
    (server, client)
}

#[test]
fn what_has_come_is_read_before_the_error() {
    let (server, client, broken) = brittle_configs();
    let (mut server, mut client) = over_pipe((server, client));
    client.write_all(b"all of it").unwrap();
    assert_eq!(server.fill_buf().unwrap(), b"all of it");
    server.consume(4);
    broken.store(true, Ordering::Relaxed);
    let error = server.write(b"x").unwrap_err();
    assert!(matches!(tls_error(&error), keyway::Error::Crypto(_)));
    let mut rest = [0; 5];
    server.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"of it");
    let error = server.read(&mut rest).unwrap_err();
    assert!(matches!(tls_error(&error), keyway::Error::Crypto(_)));
}

/// Whether it would block; any other error is a failed test.
fn blocks<R>(outcome: io::Result<R>) -> Option<R> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// Sends all of `data`, then closes; one step per call.
struct Sender<'a> {
    data: &'a [u8],
    closed: bool,
}

impl Sender<'_> {
    fn step(&mut self, stream: &mut Stream<Pipe>) {
        if !self.data.is_empty() {
            if let Some(n) = blocks(stream.write(self.data)) {
                self.data = &self.data[n..];
            }
        } else if !self.closed && blocks(stream.flush()).is_some() {
            self.closed = blocks(stream.close()).is_some();
        }
    }
}

#[test]
fn every_call_can_be_made_again() {
    let (server, client) = configs();
    let up = pattern(150_000);
    let down = pattern(90_001);
    for both in [true, false] {
        let (near, far) = Pipe::pair();
        let far = if both { far.fitful() } else { far };
        let mut client = Stream::client(client.clone(), localhost(), near.fitful()).unwrap();
        let mut server = Stream::server(server.clone(), far);
        let mut sending = [&up, &down].map(|data| Sender {
            data,
            closed: false,
        });
        let mut got = [Vec::new(), Vec::new()];
        let mut ended = [false; 2];
        let mut refusals = 0;
        for _ in 0..1_000_000 {
            for (side, stream) in [&mut client, &mut server].into_iter().enumerate() {
                sending[side].step(stream);
                let mut part = [0; 5000];
                match blocks(stream.read(&mut part)) {
                    Some(0) => ended[side] = true,
                    Some(n) => got[side].extend_from_slice(&part[..n]),
                    None => refusals += 1,
                }
            }
            if ended == [true; 2] && sending.iter().all(|sender| sender.closed) {
                break;
            }
        }
        assert_eq!(ended, [true; 2]);
        assert!(refusals > 100, "the transport was too kind");
        assert!(got[1] == up && got[0] == down);
    }
}

#[test]
fn keys_change_on_the_way() {
    let data = pattern(200_000);
    let sent = &data;
    over_tcp(
        configs(),
        |mut stream| {
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == *sent);
            stream.write_all(b"done").unwrap();
            stream.close().unwrap();
        },
        |mut stream| {
            assert!(stream.update_keys(false).is_err());
            stream.handshake().unwrap();
            for part in sent.chunks(20_000) {
                stream.write_all(part).unwrap();
                stream.update_keys(true).unwrap();
            }
            stream.close().unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "done");
        },
    );
}

#[test]
fn many_threads_share_one_configuration() {
    let (server, client) = configs();
    thread::scope(|scope| {
        for number in 0..16_u8 {
            let (server, client) = (server.clone(), client.clone());
            scope.spawn(move || {
                over_tcp(
                    (server, client),
                    |mut stream| io::copy(&mut stream, &mut io::sink()).unwrap(),
                    |mut stream| {
                        stream.write_all(&[number; 50_000]).unwrap();
                        stream.close().unwrap();
                    },
                )
            });
        }
    });
}

#[test]
fn the_thread_sleeps_while_the_key_thinks() {
    let (server, client, desk) = slow_configs();
    let asked = &desk;
    let polls = over_tcp(
        (server, client),
        |mut stream| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    while asked.waiting().0 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                    thread::sleep(Duration::from_millis(100));
                    let polls = asked.waiting().1;
                    asked.allow();
                    // Twice for the two wakers, and once or twice for stray wake-ups.
                    assert!(polls <= 4, "{polls} polls while nothing happened");
                });
                stream.handshake().unwrap();
            });
            stream.write_all(b"signed").unwrap();
            stream.close().unwrap();
            asked.waiting().1
        },
        |mut stream| {
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert_eq!(said, "signed");
        },
    );
    assert!(polls >= 2);
    assert_eq!(desk.waiting().0, 0);
}

#[test]
fn mutual_authentication() {
    let authority = Authority::new();
    let strangers = Authority::new();
    let server = keyway::ServerBuilder::new()
        .certificate(authority.issue("localhost").credentials())
        .require_client_certificate(keyway::Trust::pem(authority.pem()))
        .build()
        .unwrap();
    let client = || keyway::ClientBuilder::new().trust(keyway::Trust::pem(authority.pem()));
    let known = client()
        .certificate(authority.issue("alice.test").credentials())
        .build()
        .unwrap();
    over_tcp(
        (server.clone(), known),
        |mut stream| {
            stream.handshake().unwrap();
            assert!(stream.connection().peer_certificates().is_some());
            stream.close().unwrap();
        },
        |mut stream| assert_eq!(stream.read(&mut [0]).unwrap(), 0),
    );
    let stranger = client()
        .certificate(strangers.issue("mallory.test").credentials())
        .build()
        .unwrap();
    for refused in [client().build().unwrap(), stranger] {
        over_tcp(
            (server.clone(), refused),
            |mut stream| {
                let error = stream.handshake().unwrap_err();
                assert!(matches!(tls_error(&error), keyway::Error::Certificate(_)));
            },
            |mut stream| {
                // In TLS 1.3 a client learns it with its first read.
                let error = stream.read(&mut [0]).unwrap_err();
                assert!(matches!(tls_error(&error), keyway::Error::AlertReceived(_)));
            },
        );
    }
}
