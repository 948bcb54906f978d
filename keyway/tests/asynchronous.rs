//! The asynchronous stream: over TCP, and over a narrow pipe in memory.

mod support;

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use keyway::tokio::{Acceptor, Connector, TlsStream};
use keyway::{ClientConfig, ServerConfig};
use support::{brittle_configs, configs, localhost, pattern, slow_configs, tls_error};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf,
    split,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Client and server, their handshake done, over a pipe that holds `room` bytes.
async fn pair(
    configs: (Arc<ServerConfig>, Arc<ClientConfig>),
    room: usize,
) -> (TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
    let (near, far) = tokio::io::duplex(room);
    let (server, client) = (Acceptor::new(configs.0), Connector::new(configs.1));
    let (client, server) = tokio::join!(client.connect(localhost(), near), server.accept(far));
    (client.unwrap(), server.unwrap())
}

#[tokio::test]
async fn over_tcp_with_half_close() {
    let (server, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (transport, _) = listener.accept().await.unwrap();
        let mut stream = Acceptor::new(server).accept(transport).await.unwrap();
        let mut asked = String::new();
        stream.read_to_string(&mut asked).await.unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let transport = TcpStream::connect(address).await.unwrap();
    let connector = Connector::from(client);
    let mut stream = connector.connect(localhost(), transport).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.write(b"more").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "question");
    served.await.unwrap();
}

/// Both sides send far more than the pipe holds, each with a reading and a writing task: if
/// one task's wake-up were lost to the other, this would never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_in_tasks_of_their_own() {
    for room in [1000, 70_000] {
        let (client, server) = pair(configs(), room).await;
        let mut tasks = Vec::new();
        for stream in [client, server] {
            let (mut reader, mut writer) = split(stream);
            tasks.push(tokio::spawn(async move {
                let mut got = Vec::new();
                reader.read_to_end(&mut got).await.unwrap();
                assert!(got == pattern(2 << 20));
            }));
            tasks.push(tokio::spawn(async move {
                writer.write_all(&pattern(2 << 20)).await.unwrap();
                writer.shutdown().await.unwrap();
            }));
        }
        for task in tasks {
            timeout(Duration::from_secs(30), task)
                .await
                .expect("a task hangs")
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_cancelled_read_loses_nothing() {
    let (mut client, mut server) = pair(configs(), 64).await;
    let data = pattern(5000);
    let send = async {
        for part in data.chunks(11) {
            client.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
    };
    let receive = async {
        let mut got = Vec::new();
        let mut cancelled = 0;
        loop {
            let mut part = [0; 100];
            // The read is asked once and then dropped, if it is not ready.
            let n = tokio::select! {
                biased;
                n = server.read(&mut part) => n.unwrap(),
                () = std::future::ready(()) => {
                    cancelled += 1;
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            if n == 0 {
                break;
            }
            got.extend_from_slice(&part[..n]);
        }
        (got, cancelled)
    };
    let ((), (got, cancelled)) = tokio::join!(send, receive);
    assert!(got == data);
    assert!(cancelled > 10, "only {cancelled} reads were cancelled");
}

/// The future that writes is dropped while the transport is full. What it has sealed goes out
/// with whatever the same task does next.
#[tokio::test]
async fn a_cancelled_flush_goes_on_with_the_next_read() {
    let (mut client, server) = pair(configs(), 64).await;
    client.write_all(&pattern(1000)).await.unwrap();
    let cut = timeout(Duration::from_millis(20), client.flush()).await;
    assert!(cut.is_err(), "the pipe held everything");
    let served = tokio::spawn(answer(server));
    let answer = timeout(Duration::from_secs(5), client.read_u8()).await;
    assert_eq!(answer.expect("the rest never left").unwrap(), b'!');
    served.await.unwrap();
}

/// The same with a task for each direction: the one that reads has been waiting for long.
#[tokio::test]
async fn a_cancelled_flush_goes_on_with_a_reader_that_waits() {
    let (client, server) = pair(configs(), 64).await;
    let (mut reader, mut writer) = split(client);
    let answered = tokio::spawn(async move { reader.read_u8().await.unwrap() });
    tokio::task::yield_now().await;
    writer.write_all(&pattern(1000)).await.unwrap();
    let cut = timeout(Duration::from_millis(20), writer.flush()).await;
    assert!(cut.is_err(), "the pipe held everything");
    let served = tokio::spawn(answer(server));
    let answered = timeout(Duration::from_secs(5), answered).await;
    assert_eq!(answered.expect("the rest never left").unwrap(), b'!');
    served.await.unwrap();
}

/// Reads the thousand bytes of the two tests above and answers.
async fn answer(mut server: TlsStream<DuplexStream>) {
    let mut got = vec![0; 1000];
    server.read_exact(&mut got).await.unwrap();
    assert!(got == pattern(1000));
    server.write_all(b"!").await.unwrap();
    server.flush().await.unwrap();
}

/// The peer sends rubbish and reads nothing: there is no room for the alert, and both tasks
/// are to learn what happened all the same.
#[tokio::test]
async fn a_peer_that_does_not_read_cannot_hide_the_error() {
    let (client, server) = pair(configs(), 300).await;
    let (mut reader, mut writer) = split(server);
    let mut raw = client.into_inner();
    let reading = tokio::spawn(async move { (reader.read_u8().await.unwrap_err(), reader) });
    let writing = tokio::spawn(async move {
        let error = writer.write_all(&pattern(200_000)).await.unwrap_err();
        (error, writer)
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!reading.is_finished() && !writing.is_finished());
    raw.write_all(&[[23, 3, 3, 0, 32].as_slice(), &[0; 32]].concat())
        .await
        .unwrap();
    let reading = timeout(Duration::from_secs(5), reading).await;
    let (error, reader) = reading.expect("the reader hangs").unwrap();
    let bad = keyway::Error::Crypto(keyway::crypto::Error::BadTag);
    assert_eq!(tls_error(&error), &bad);
    let writing = timeout(Duration::from_secs(5), writing).await;
    let (error, writer) = writing.expect("the writer hangs").unwrap();
    assert_eq!(tls_error(&error), &bad);

    // The alert goes out last, when there is room.
    let mut server = reader.unsplit(writer);
    let mut sent = Vec::new();
    let (ended, read) = tokio::join!(server.shutdown(), async {
        timeout(Duration::from_secs(5), raw.read_to_end(&mut sent)).await
    });
    ended.unwrap();
    read.expect("shut down").unwrap();
    let alert = [23, 3, 3, 0, 2 + 1 + 16];
    assert_eq!(sent[sent.len() - 24..][..5], alert);
}

/// A backend fails under the task that writes: the one that reads waits in vain, and is told.
#[tokio::test]
async fn a_failed_write_ends_the_wait_of_the_reader() {
    let (server, client, broken) = brittle_configs();
    let (_client, server) = pair((server, client), 4096).await;
    let (mut reader, mut writer) = split(server);
    let reading = tokio::spawn(async move { reader.read_u8().await.unwrap_err() });
    tokio::time::sleep(Duration::from_millis(20)).await;
    broken.store(true, Ordering::Relaxed);
    let error = writer.write(b"x").await.unwrap_err();
    assert!(matches!(tls_error(&error), keyway::Error::Crypto(_)));
    let reading = timeout(Duration::from_secs(5), reading).await;
    let error = reading.expect("the reader hangs").unwrap();
    assert!(matches!(tls_error(&error), keyway::Error::Crypto(_)));
}

/// A peer that has closed is heard of first by whoever writes. What it said before is still
/// on its way to the one who reads.
#[tokio::test]
async fn a_broken_pipe_does_not_hide_the_last_words() {
    let (server, client) = configs();
    let (near, far) = tokio::io::duplex(4096);
    let broken = Arc::new(AtomicBool::new(false));
    let near = Brittle(near, broken.clone());
    let (server, client) = (Acceptor::new(server), Connector::new(client));
    let (client, server) = tokio::join!(client.connect(localhost(), near), server.accept(far));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    broken.store(true, Ordering::Relaxed);
    let error = client.write(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let reading = tokio::spawn(async move { client.read(&mut [0]).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.shutdown().await.unwrap();
    let reading = timeout(Duration::from_secs(5), reading).await;
    assert_eq!(reading.expect("the reader hangs").unwrap().unwrap(), 0);
}

/// A pipe whose writing side can be broken.
struct Brittle(DuplexStream, Arc<AtomicBool>);

impl AsyncRead for Brittle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Brittle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.1.load(Ordering::Relaxed) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_cut_stream_is_not_an_end() {
    let (mut client, mut server) = pair(configs(), 4096).await;
    client.write_all(b"complete").await.unwrap();
    client.flush().await.unwrap();
    drop(client);
    assert_eq!(server.fill_buf().await.unwrap(), b"complete");
    server.consume(8);
    let error = server.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(tls_error(&error), &keyway::Error::Truncated);
}

#[tokio::test]
async fn the_peer_learns_why() {
    let (server, client) = (Acceptor::new(configs().0), Connector::new(configs().1));
    // Narrow, but there is room for the alert: behind a peer that reads.
    let (near, far) = tokio::io::duplex(100);
    let (client, server) = tokio::join!(client.connect(localhost(), near), server.accept(far));
    let (client, server) = (client.unwrap_err(), server.unwrap_err());
    assert!(
        matches!(tls_error(&client), keyway::Error::Certificate(_)),
        "{client}"
    );
    assert_eq!(
        tls_error(&server),
        &keyway::Error::AlertReceived(keyway::tls::AlertDescription::UNKNOWN_CA)
    );
}

#[tokio::test]
async fn slices_and_flushes() {
    let (mut client, mut server) = pair(configs(), 70_000).await;
    assert!(client.is_write_vectored());
    let slices = [
        IoSlice::new(b"one "),
        IoSlice::new(b""),
        IoSlice::new(b"two"),
    ];
    assert_eq!(client.write_vectored(&slices).await.unwrap(), 7);
    assert_eq!(client.write(&[]).await.unwrap(), 0);
    client.flush().await.unwrap();
    let mut got = [0; 7];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"one two");
    // Nothing has come: reading waits, and does not end.
    let nothing = timeout(Duration::from_millis(20), server.read_u8()).await;
    assert!(nothing.is_err());
}

#[tokio::test]
async fn keys_change_on_the_way() {
    let (mut client, mut server) = pair(configs(), 500).await;
    let data = pattern(30_000);
    let send = async {
        for part in data.chunks(1000) {
            client.write_all(part).await.unwrap();
            client.update_keys(true).unwrap();
        }
        client.shutdown().await.unwrap();
        // The server's answers to the key changes come before its data.
        client.read_u8().await.unwrap()
    };
    let receive = async {
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        server.write_all(b"!").await.unwrap();
        server.shutdown().await.unwrap();
        got
    };
    let (answer, got) = tokio::join!(send, receive);
    assert_eq!(answer, b'!');
    assert!(got == data);
}

/// One thread for all: while the key thinks, it serves others.
#[tokio::test(flavor = "current_thread")]
async fn the_thread_is_free_while_the_key_thinks() {
    let (server, client, desk) = slow_configs();
    let slow = tokio::spawn(pair((server, client), 4096));
    while desk.waiting().0 == 0 {
        tokio::task::yield_now().await;
    }
    let (mut other, mut others) = pair(configs(), 4096).await;
    other.write_all(b"meanwhile").await.unwrap();
    let mut got = [0; 9];
    others.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"meanwhile");
    assert!(!slow.is_finished());
    let polls = desk.waiting().1;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(desk.waiting().1, polls, "polled without being woken");

    let answer = desk.clone();
    std::thread::spawn(move || answer.allow());
    let (mut client, mut server) = slow.await.unwrap();
    server.write_all(b"signed").await.unwrap();
    server.shutdown().await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "signed");
}

#[tokio::test]
async fn a_dropped_handshake_cancels_its_operation() {
    let (server, client, desk) = slow_configs();
    let slow = tokio::spawn(pair((server, client), 4096));
    while desk.waiting().0 == 0 {
        tokio::task::yield_now().await;
    }
    slow.abort();
    assert!(slow.await.unwrap_err().is_cancelled());
    assert_eq!(desk.waiting().0, 0);
}
