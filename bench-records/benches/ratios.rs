//! The kernels of this CPU and the best of the other libraries, in turns, as ratios.
//!
//! `cargo bench -p bench-records --bench ratios`, or with `-- GCM` behind it for the suites
//! whose name has that in it. Each figure is the best of many short runs; everyone has a turn
//! before anyone has the next, so that what else the machine does disturbs all alike.

mod peers;

use std::env;
use std::time::{Duration, Instant};

use crypto_api::CipherSuite;
use peers::{Contender, MakeBatch, SUITES, Work, backends, contenders, open_batch, seal_batch};

const LENGTHS: [usize; 7] = [16, 64, 256, 1024, 1400, 4096, 16384];
/// Records of a batch, and their lengths.
const BATCHES: [(usize, usize); 3] = [(16, 1400), (8, 1400), (8, 16384)];
/// How long one turn takes, about.
const TURN: Duration = Duration::from_micros(60);
/// How long the turns of one table's column go on.
const COLUMN: Duration = Duration::from_millis(900);

fn main() {
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    for id in SUITES {
        let name = id.to_string();
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        for (way, work) in [
            (
                "seal",
                (|contender| contender.seal) as fn(Contender) -> Work,
            ),
            ("open", |contender| contender.open),
        ] {
            let title = format!("{way} {id}: ns per record, by bytes of data");
            let columns: Vec<_> = LENGTHS
                .iter()
                .map(|&len| of_length(id, len, work))
                .collect();
            print(&title, &LENGTHS.map(|len| len.to_string()), &columns);
        }
        let column = of_length(id, 0, |contender| contender.set_up);
        print(&format!("key set-up {id}: ns"), &["ns".into()], &[column]);
        for (way, work) in [("seal", seal_batch as MakeBatch), ("open", open_batch)] {
            let title = format!("{way} {id}: ns per batch, records x bytes of data");
            let columns = BATCHES.map(|(count, len)| of_batch(id, count, len, work));
            print(
                &title,
                &BATCHES.map(|(count, len)| format!("{count} x {len}")),
                &columns,
            );
        }
    }
}

/// Names, and the shortest time of each in nanoseconds.
struct Column(Vec<(String, f64)>);

fn of_length(id: CipherSuite, len: usize, work: fn(Contender) -> Work) -> Column {
    let everyone = contenders(id, len).into_iter();
    in_turns(
        everyone
            .map(|each| (each.name.clone(), work(each)))
            .collect(),
    )
}

fn of_batch(id: CipherSuite, count: usize, len: usize, work: MakeBatch) -> Column {
    let mut everyone = Vec::new();
    for suite in backends(id) {
        for one_by_one in [false, true] {
            let how = if one_by_one { "one by one" } else { "batch" };
            let name = format!("{}, {how}", suite.aead.implementation());
            everyone.push((name, work(&*suite.aead, count, len, one_by_one)));
        }
    }
    in_turns(everyone)
}

fn in_turns(mut everyone: Vec<(String, Work)>) -> Column {
    // Warm, and as many times as make a turn.
    let times: Vec<u64> = everyone
        .iter_mut()
        .map(|(_, work)| {
            let mut times = 1;
            while work(times) < TURN {
                times *= 2;
            }
            times
        })
        .collect();
    let mut shortest = vec![f64::INFINITY; everyone.len()];
    let start = Instant::now();
    while start.elapsed() < COLUMN {
        for (((_, work), times), shortest) in everyone.iter_mut().zip(&times).zip(&mut shortest) {
            let took = work(*times).as_secs_f64() * 1e9 / *times as f64;
            *shortest = shortest.min(took);
        }
    }
    Column(
        everyone
            .into_iter()
            .map(|(name, _)| name)
            .zip(shortest)
            .collect(),
    )
}

/// A table: times, and behind each of a kernel how many times as fast as the best peer it is.
fn print(title: &str, heads: &[String], columns: &[Column]) {
    println!("\n{title}; (x) as fast as the best peer");
    print!("{:<44}", "");
    for head in heads {
        print!("{head:>17}");
    }
    println!();
    let rows = columns.first().map_or(0, |column| column.0.len());
    for row in 0..rows {
        let name = &columns[0].0[row].0;
        print!("{name:<44}");
        for Column(column) in columns {
            let best = column
                .iter()
                .filter(|(name, _)| !name.starts_with("aesni"))
                .fold(f64::INFINITY, |best, (_, time)| best.min(*time));
            let time = column[row].1;
            print!("{time:>9.1} {:>6.2}x", best / time);
        }
        println!();
    }
}
