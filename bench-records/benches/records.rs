//! Records of TLS 1.3: the kernels of this CPU beside other libraries.
//!
//! `cargo bench -p bench-records --bench records -- 'AES_128_GCM.*/16384'` measures full
//! records alone. Set `KEYWAY_AESNI_OFF` to compare narrower kernels with the peers. Who wants
//! ratios takes the benchmark `ratios`, in which all have their turns.

mod peers;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use peers::{MakeBatch, SUITES, backends, contenders, open_batch, seal_batch};

const LENGTHS: [usize; 7] = [16, 64, 256, 1024, 1400, 4096, 16384];
/// Records of a batch, and their lengths.
const BATCHES: [(usize, usize); 4] = [(16, 64), (16, 1400), (8, 1400), (8, 16384)];

fn records(c: &mut Criterion) {
    for id in SUITES {
        for len in LENGTHS {
            for way in ["seal", "open"] {
                let mut group = c.benchmark_group(format!("{way} {id}"));
                group.throughput(Throughput::Bytes(len as u64));
                for contender in contenders(id, len) {
                    let mut work = match way {
                        "seal" => contender.seal,
                        _ => contender.open,
                    };
                    let name = BenchmarkId::new(contender.name, len);
                    group.bench_function(name, |b| b.iter_custom(&mut work));
                }
            }
        }
    }
}

fn batches(c: &mut Criterion) {
    for id in SUITES {
        for (count, len) in BATCHES {
            for (way, work) in [("seal", seal_batch as MakeBatch), ("open", open_batch)] {
                let mut group = c.benchmark_group(format!("batch {way} {id}"));
                group.throughput(Throughput::Bytes((count * len) as u64));
                for suite in backends(id) {
                    for one_by_one in [false, true] {
                        let how = if one_by_one { "one by one" } else { "batch" };
                        let name = format!("{}, {how}", suite.aead.implementation());
                        let name = BenchmarkId::new(name, format!("{count} x {len}"));
                        let mut work = work(&*suite.aead, count, len, one_by_one);
                        group.bench_function(name, |b| b.iter_custom(&mut work));
                    }
                }
            }
        }
    }
}

fn keys(c: &mut Criterion) {
    for id in SUITES {
        let mut group = c.benchmark_group(format!("key set-up {id}"));
        for mut contender in contenders(id, 0) {
            group.bench_function(contender.name, |b| b.iter_custom(&mut contender.set_up));
        }
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
}

criterion_group!(name = benches; config = short(); targets = records, batches, keys);
criterion_main!(benches);
