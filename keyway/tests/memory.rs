//! What a connection costs: no allocation per record, next to nothing when idle.
//!
//! Alone in its program, whose allocator is one that counts: what Rust code allocates, for each
//! thread by itself, so that tests can run side by side. What C code allocates for itself, as
//! libcrypto does, is not seen here; `idle.rs` sees what of it a connection holds.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use keyway::crypto::{
    ActiveKeyExchange, Implementation, KeyExchangeGroup, KeyExchangeResponse, Op, Payload,
    SecureRandom, SigningKey,
};
use keyway::pki_types::{SubjectPublicKeyInfoDer, UnixTime};
use keyway::tls::Event;
use keyway::{
    ClientBuilder, Connection, Credentials, NamedGroup, ServerBuilder, SignatureScheme, Stream,
    Trust,
};
use support::{Authority, Configs, Pipe, configs, each_configs, localhost, pattern, streams, talk};

/// Moves the output of one connection into the other.
fn pass(from: &mut Connection, to: &mut Connection) {
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(from.poll(&mut cx), Poll::Ready(Ok(())));
    let mut bytes = from.output().to_vec();
    from.output_sent(bytes.len());
    let mut at = 0;
    loop {
        let received = to.receive(&mut bytes[at..], UnixTime::now()).unwrap();
        at += received.consumed;
        match received.event {
            Event::NeedInput { .. } => {
                assert_eq!(at, bytes.len());
                return;
            }
            Event::Suspended => assert_eq!(to.poll(&mut cx), Poll::Ready(Ok(()))),
            event => panic!("{event:?}"),
        }
    }
}

fn connections((server, client): &Configs) -> (Connection, Connection) {
    let mut server = Connection::server(server.clone());
    let mut client = Connection::client(client.clone(), localhost()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    (server, client)
}

#[test]
fn the_core_allocates_nothing_per_record() {
    for (name, configs) in each_configs() {
        the_core_allocates_nothing_with(&name, &configs);
    }
}

fn the_core_allocates_nothing_with(name: &str, configs: &Configs) {
    let (mut server, mut client) = connections(configs);
    let data = pattern(40_000);
    let slices = [&data[..9000], &data[9000..]];
    let mut wire = vec![0; client.sealed_len(data.len())];
    let mut records = 0;
    let mut send = |wire: &mut [u8]| {
        let sealed = client.seal(Payload::from_slices(&slices), wire).unwrap();
        assert_eq!(sealed.consumed, data.len());
        let mut at = 0;
        let mut got = 0;
        while at < sealed.written {
            let rest = &mut wire[at..sealed.written];
            let received = server.receive(rest, UnixTime::now()).unwrap();
            let Event::Data(range) = received.event else {
                panic!("{:?}", received.event);
            };
            assert!(rest[range.clone()] == data[got..got + range.len()]);
            got += range.len();
            at += received.consumed;
            records += 1;
        }
        assert_eq!(got, data.len());
    };
    send(&mut wire);
    let counted = allocation_counter::measure(|| (0..400).for_each(|_| send(&mut wire)));
    assert!(records > 1000);
    assert_eq!(counted.count_total, 0, "{name}");
}

/// How operations answer.
#[derive(Clone, Copy, Debug)]
enum Manner {
    AtOnce,
    InABox,
}

impl Manner {
    fn answer<T: Send + 'static>(self, op: Op<T>) -> Op<T> {
        match self {
            Self::AtOnce => op.then(|outcome| outcome),
            Self::InABox => Op::future(async { op.spin() }),
        }
    }
}

/// A key or a group whose operations answer in a certain manner.
#[derive(Debug)]
struct Mannered<T: ?Sized>(Manner, Arc<T>);

impl SigningKey for Mannered<dyn SigningKey> {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.1.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.1.schemes()
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        self.0.answer(self.1.sign(scheme, message, random))
    }

    fn implementation(&self) -> Implementation {
        self.1.implementation()
    }
}

impl KeyExchangeGroup for Mannered<dyn KeyExchangeGroup> {
    fn id(&self) -> NamedGroup {
        self.1.id()
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        self.0.answer(self.1.start(random))
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        self.0.answer(self.1.respond(peer_share, random))
    }

    fn implementation(&self) -> Implementation {
        self.1.implementation()
    }
}

#[test]
fn a_ready_operation_costs_no_allocation() {
    let counted = allocation_counter::measure(|| {
        let op: Op<u32> = Op::ok(20);
        let op = op.then(|outcome| outcome.map(|value| value + 1));
        assert!(matches!(op, Op::Ready(Ok(21))));
    });
    assert_eq!(counted.count_total, 0);

    // Nor does it in a handshake: through a layer of operations or without, it is the same.
    let authority = Authority::new();
    let pair = authority.issue("localhost");
    let handshake = |manner: Option<Manner>| {
        let mut provider = keyway::provider::fastest().unwrap();
        let mut key = provider.load_key(&pair.private_key()).unwrap();
        if let Some(manner) = manner {
            key = Arc::new(Mannered(manner, key));
            for group in &mut provider.groups {
                *group = Arc::new(Mannered(manner, group.clone()));
            }
        }
        let provider = Arc::new(provider);
        let server = ServerBuilder::new()
            .provider(provider.clone())
            .certificate(Credentials::der_with_key(pair.certificates(), key))
            .build()
            .unwrap();
        let client = ClientBuilder::new()
            .provider(provider)
            .trust(Trust::pem(authority.pem()))
            .build()
            .unwrap();
        let configs = (server, client);
        // What is made once.
        connections(&configs);
        allocation_counter::measure(|| drop(connections(&configs))).count_total
    };
    let [bare, ready, boxed] = [None, Some(Manner::AtOnce), Some(Manner::InABox)].map(handshake);
    println!("allocations of a handshake, both sides: {bare}, {ready} layered, {boxed} boxed");
    assert_eq!(ready, bare);
    // Key share, response and signature.
    assert!(boxed >= bare + 3);
}

#[test]
fn streams_allocate_nothing_per_record() {
    for (name, configs) in each_configs() {
        let (mut server, mut client) = streams(&configs);
        let data = pattern(16_384);
        let mut into = data.clone();
        let mut work = || {
            for len in [1, 100, 5000, 16_384] {
                talk(&mut server, &mut client, &data[..len], &mut into);
            }
        };
        work();
        let counted = allocation_counter::measure(|| (0..100).for_each(|_| work()));
        assert_eq!(counted.count_total, 0, "{name}");
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::io;
    use std::pin::{Pin, pin};

    use keyway::tokio::{Acceptor, Connector, TlsStream};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

    use super::*;

    /// A pipe that is not ready instead of refusing; nobody is woken.
    struct Quiet(Pipe);

    fn polled<R>(outcome: io::Result<R>) -> Poll<io::Result<R>> {
        match outcome {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            outcome => Poll::Ready(outcome),
        }
    }

    impl AsyncRead for Quiet {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            polled(self.0.read(into.initialize_unfilled())).map_ok(|n| into.advance(n))
        }
    }

    impl AsyncWrite for Quiet {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            from: &[u8],
        ) -> Poll<io::Result<usize>> {
            polled(self.0.write(from))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Asks once.
    fn now<R>(future: impl Future<Output = R>) -> Poll<R> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn streams((server, client): Configs) -> [TlsStream<Quiet>; 2] {
        let (near, far) = Pipe::pair();
        let (server, client) = (Acceptor::new(server), Connector::new(client));
        let both = async {
            let client = client.connect(localhost(), Quiet(near));
            tokio::join!(client, server.accept(Quiet(far)))
        };
        let mut both = pin!(both);
        loop {
            if let Poll::Ready((client, server)) = now(both.as_mut()) {
                return [client.unwrap(), server.unwrap()];
            }
        }
    }

    #[test]
    fn streams_allocate_nothing_per_record() {
        for (name, configs) in each_configs() {
            streams_allocate_nothing_with(&name, configs);
        }
    }

    fn streams_allocate_nothing_with(name: &str, configs: Configs) {
        let mut streams = streams(configs);
        let data = pattern(16_384);
        let mut into = data.clone();
        let mut work = || {
            for len in [1, 100, 5000, 16_384] {
                let [from, to] = &mut streams;
                let sent = now(from.write_all(&data[..len]));
                assert!(matches!(sent, Poll::Ready(Ok(()))));
                assert!(matches!(now(from.flush()), Poll::Ready(Ok(()))));
                let into = &mut into[..len];
                assert!(matches!(now(to.read_exact(into)), Poll::Ready(Ok(_))));
                assert!(into == &data[..len]);
                // Nothing more: the buffers are let go.
                assert!(now(to.read_u8()).is_pending());
                streams.reverse();
            }
        };
        (0..2).for_each(|_| work());
        let counted = allocation_counter::measure(|| (0..100).for_each(|_| work()));
        assert_eq!(counted.count_total, 0, "{name}");
    }
}

/// Anyone can make a server hold memory for a handshake: not more than they have paid for.
#[test]
fn a_handshake_holds_as_much_as_has_come() {
    let (near, far) = Pipe::pair();
    let mut server = Stream::server(configs().0, far);
    let mut wait = |bytes: &[u8]| {
        near.inject(bytes);
        let outcome = server.handshake().unwrap_err();
        assert_eq!(outcome.kind(), ErrorKind::WouldBlock);
        // What the pipe holds is not the server's.
        near.shrink();
    };
    // The header of a record of 16,384 bytes, the first of which is all that comes for now.
    let mut held = 0;
    let counted = allocation_counter::measure(|| wait(&[22, 3, 1, 64, 0, 1]));
    held += counted.bytes_current;
    assert!((1..=4096).contains(&held), "{held} bytes for 6");
    for come in (1006..16_006).step_by(1000) {
        let counted = allocation_counter::measure(|| wait(&[0; 1000]));
        held += counted.bytes_current;
        assert!(held >= come, "{held} bytes for {come}");
        assert!(held <= 4096.max(2 * come), "{held} bytes for {come}");
    }
}

#[test]
fn an_idle_stream_holds_no_buffer() {
    for (name, configs) in each_configs() {
        an_idle_stream_holds_no_buffer_with(&name, &configs);
    }
}

fn an_idle_stream_holds_no_buffer_with(name: &str, configs: &Configs) {
    const STREAMS: usize = 64;
    let data = pattern(16_384);
    let mut into = data.clone();
    let mut idle = Vec::with_capacity(STREAMS / 2);
    let mut fill = |count| {
        for _ in 0..count {
            let (mut server, mut client) = streams(configs);
            talk(&mut server, &mut client, &data, &mut into);
            server.get_mut().shrink();
            client.get_mut().shrink();
            idle.push((server, client));
        }
    };
    // What is made once, such as the thread's store of buffers.
    fill(1);
    let counted = allocation_counter::measure(|| fill(STREAMS / 2 - 1));
    let each = usize::try_from(counted.bytes_current).unwrap() / (STREAMS - 2);
    let whole = each + size_of::<Stream<Pipe>>();
    println!("{name}: idle stream: {each} bytes on the heap, {whole} with itself");
    assert!(whole <= 4096, "{name}: {whole} bytes");
}
