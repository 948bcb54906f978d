//! What a connection costs: no allocation per record, next to nothing when idle.
//!
//! Alone in its program: the allocator of the whole program counts here.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use keyway::crypto::Payload;
use keyway::pki_types::UnixTime;
use keyway::tls::Event;
use keyway::{ClientConfig, Connection, ServerConfig, Stream};
use support::{Pipe, configs, localhost, pattern};

type Configs = (Arc<ServerConfig>, Arc<ClientConfig>);

/// Moves the output of one connection into the other.
fn pass(from: &mut Connection, to: &mut Connection) {
    let mut bytes = from.output().to_vec();
    from.output_sent(bytes.len());
    let mut at = 0;
    loop {
        let received = to.receive(&mut bytes[at..], UnixTime::now()).unwrap();
        at += received.consumed;
        if let Event::NeedInput { .. } = received.event {
            assert_eq!(at, bytes.len());
            return;
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
    let (mut server, mut client) = connections(&configs());
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
    assert_eq!(counted.count_total, 0);
}

fn streams((server, client): &Configs) -> (Stream<Pipe>, Stream<Pipe>) {
    let (near, far) = Pipe::pair();
    let mut server = Stream::server(server.clone(), far);
    let mut client = Stream::client(client.clone(), localhost(), near).unwrap();
    // Neither side blocks; each waits for the other.
    for _ in 0..3 {
        let _ = client.handshake();
        let _ = server.handshake();
    }
    client.handshake().unwrap();
    server.handshake().unwrap();
    (server, client)
}

/// There and back again.
fn talk(server: &mut Stream<Pipe>, client: &mut Stream<Pipe>, data: &[u8], into: &mut [u8]) {
    let (mut from, mut to) = (client, server);
    for _ in 0..2 {
        assert_eq!(from.write(data).unwrap(), data.len());
        let into = &mut into[..data.len()];
        to.read_exact(into).unwrap();
        assert!(into == data);
        // Nothing more: the buffers are let go.
        assert!(to.read(&mut [0]).is_err());
        (from, to) = (to, from);
    }
}

#[test]
fn streams_allocate_nothing_per_record() {
    let (mut server, mut client) = streams(&configs());
    let data = pattern(16_384);
    let mut into = data.clone();
    let mut work = || {
        for len in [1, 100, 5000, 16_384] {
            talk(&mut server, &mut client, &data[..len], &mut into);
        }
    };
    work();
    let counted = allocation_counter::measure(|| (0..250).for_each(|_| work()));
    assert_eq!(counted.count_total, 0);
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
    const STREAMS: usize = 64;
    let configs = configs();
    let data = pattern(16_384);
    let mut into = data.clone();
    let mut idle = Vec::with_capacity(STREAMS / 2);
    let mut fill = |count| {
        for _ in 0..count {
            let (mut server, mut client) = streams(&configs);
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
    println!("idle stream: {each} bytes on the heap, {whole} with itself");
    assert!(whole <= 4096, "{whole} bytes");
}
