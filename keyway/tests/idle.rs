//! What an idle connection holds on the heap, C code's share included.
//!
//! Alone in its program, with the system's allocator and nothing beside it: glibc says how much
//! of the whole heap is in use.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use malloc_info::info::{SystemType, TotalType};

use keyway::Stream;
use support::{Configs, Pipe, each_configs, pattern, streams, talk};

/// Bytes that are allocated and not freed, with the allocator's own overhead.
fn heap_in_use() -> usize {
    let info = malloc_info::malloc_info().unwrap();
    let total = |kind: TotalType| -> usize {
        let of_kind = info.total.iter().filter(|total| total.r#type == kind);
        of_kind.map(|total| total.size).sum()
    };
    let mut current = info.system.iter();
    let current = current.find(|one| one.r#type == SystemType::Current);
    let held = current.unwrap().size + total(TotalType::Mmap);
    held - total(TotalType::Fast) - total(TotalType::Rest)
}

#[test]
fn an_idle_stream_holds_four_kibibytes_at_most() {
    for (name, configs) in each_configs() {
        let each = heap_of_each(&configs);
        let whole = each + size_of::<Stream<Pipe>>();
        println!("{name}: idle stream: {each} bytes on the heap, {whole} with itself");
        assert!(whole <= 4096, "{name}: {whole} bytes");
    }
}

/// The heap that a stream holds after it has sent and received, its pipe's included.
fn heap_of_each(configs: &Configs) -> usize {
    const STREAMS: usize = 400;
    let data = pattern(16_384);
    let mut into = data.clone();
    let mut idle = Vec::with_capacity(STREAMS);
    let mut fill = |count| {
        for _ in 0..count {
            let (mut server, mut client) = streams(configs);
            talk(&mut server, &mut client, &data, &mut into);
            // Short ones in a row may make a backend keep something for those behind them.
            for _ in 0..5 {
                talk(&mut server, &mut client, &data[..60], &mut into);
            }
            server.get_mut().shrink();
            client.get_mut().shrink();
            idle.push((server, client));
        }
    };
    // What is made once, and what the allocator keeps at hand.
    fill(STREAMS / 4);
    let before = heap_in_use();
    fill(STREAMS / 2);
    (heap_in_use() - before) / STREAMS
}
