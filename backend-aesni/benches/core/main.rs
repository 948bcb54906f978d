//! How near the kernels of AES-GCM, and that of ChaCha20-Poly1305 on AVX-512, come to what this
//! CPU can do at all.
//!
//! The limit is measured: rounds of AES and carry-less products in the number that GCM needs,
//! and nothing else, in registers of each width. With four products for a vector of blocks
//! (schoolbook) or with three (Karatsuba), whichever is faster. A kernel has to load, count,
//! reverse, add, reduce and store besides. That of ChaCha20-Poly1305 is its rounds with the
//! products of Poly1305 beside them; each is measured alone, too.
//!
//! `cargo bench -p backend-aesni --bench core`. Each figure is the best of many short runs,
//! taken in turns, so that what else the machine does disturbs all alike.

#![deny(unsafe_code)]

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod chacha20_poly1305;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod low;

#[cfg(target_arch = "x86_64")]
fn main() {
    x86::main();
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("there is a bare core for x86-64 only");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::time::{Duration, Instant};

    use crypto_api::{CipherSuite, RecordAead, SealRecord, Trailer};

    use crate::chacha20_poly1305;
    use crate::low::Core;

    /// Data of a full record.
    const LEN: usize = 16_384;
    const HEADER: [u8; 5] = [23, 3, 3, 64, 17];
    /// How often each subject has its turn, and how many records that are timed together: the
    /// clock takes a part of a single one's time, and would bring all ratios nearer to one.
    const TURNS: usize = 1600;
    const RECORDS: usize = 16;
    /// The same for opening, which takes a record of its own each time: as many as the first
    /// cache has room for.
    const OPENED: usize = 2;

    /// How long `work` takes, if it is done so many times without a break.
    fn time(times: usize, mut work: impl FnMut()) -> Duration {
        let start = Instant::now();
        for _ in 0..times {
            work();
        }
        start.elapsed() / times as u32
    }

    /// Something that is timed, and the shortest time so far.
    struct Subject {
        name: String,
        /// Works on `bytes`, and says how long it took.
        work: Box<dyn FnMut() -> Duration>,
        bytes: usize,
        shortest: Duration,
    }

    impl Subject {
        fn new(name: String, bytes: usize, work: impl FnMut() -> Duration + 'static) -> Self {
            Self {
                name,
                work: Box::new(work),
                bytes,
                shortest: Duration::MAX,
            }
        }

        fn turn(&mut self) {
            self.shortest = self.shortest.min((self.work)());
        }

        fn gigabytes_per_second(&self) -> f64 {
            self.bytes as f64 / self.shortest.as_nanos() as f64
        }
    }

    pub(crate) fn main() {
        println!("AES-GCM, {LEN} bytes of data; GB/s, and of the bare core\n");
        for core in Core::all() {
            for (id, rounds) in [
                (CipherSuite::TLS_AES_128_GCM_SHA256, 10),
                (CipherSuite::TLS_AES_256_GCM_SHA384, 14),
            ] {
                compare(core, id, rounds);
            }
        }
        if let Some(core) = chacha20_poly1305::Core::detect() {
            println!("\nChaCha20-Poly1305, {LEN} bytes of data; GB/s, and of the last bare core\n");
            compare_chacha20_poly1305(core);
        }
    }

    /// How a kernel says that it has registers of that width.
    fn has_width(aead: &dyn RecordAead, width: usize) -> bool {
        let detail = aead.implementation().detail;
        match width {
            128 => !detail.contains("VAES"),
            256 => detail.contains("AVX2"),
            _ => detail.contains("AVX-512"),
        }
    }

    fn compare(core: Core, id: CipherSuite, rounds: usize) {
        let mut cores: Vec<_> = [4, 3]
            .into_iter()
            .map(|products| {
                let name = format!("bare core, {products} products");
                let strides = LEN.div_ceil(core.stride());
                Subject::new(name, strides * core.stride(), move || {
                    time(RECORDS, || core.run(rounds, products, strides))
                })
            })
            .collect();
        let kernel = backend_aesni::kernels_unchecked()
            .into_iter()
            .find(|suite| suite.id == id && has_width(&*suite.aead, core.width));
        let mut kernels = kernel.map_or_else(Vec::new, |suite| of_kernel(&*suite.aead));
        take_turns(&mut cores, &mut kernels);
        println!("{id}, {} bits", core.width);
        let best = |best: f64, core: &Subject| best.max(core.gigabytes_per_second());
        print(&cores, &kernels, cores.iter().fold(0.0, best));
    }

    fn compare_chacha20_poly1305(core: chacha20_poly1305::Core) {
        let passes = LEN / chacha20_poly1305::PASS;
        let subject = |name: &str, work: fn(chacha20_poly1305::Core, usize)| {
            let work = move || time(RECORDS, || work(core, passes));
            Subject::new(name.to_owned(), LEN, work)
        };
        let mut cores = vec![
            subject("rounds alone", chacha20_poly1305::Core::rounds),
            subject("products alone", chacha20_poly1305::Core::products),
            subject("rounds and products", chacha20_poly1305::Core::both),
        ];
        let id = CipherSuite::TLS_CHACHA20_POLY1305_SHA256;
        let kernel = backend_aesni::kernels_unchecked()
            .into_iter()
            .find(|suite| suite.id == id && has_width(&*suite.aead, 512));
        let mut kernels = kernel.map_or_else(Vec::new, |suite| of_kernel(&*suite.aead));
        take_turns(&mut cores, &mut kernels);
        let limit = cores.last().map_or(0.0, Subject::gigabytes_per_second);
        print(&cores, &kernels, limit);
    }

    fn take_turns(cores: &mut [Subject], kernels: &mut [Subject]) {
        for _ in 0..TURNS {
            for subject in cores.iter_mut().chain(&mut *kernels) {
                subject.turn();
            }
        }
    }

    fn print(cores: &[Subject], kernels: &[Subject], limit: f64) {
        for subject in cores.iter().chain(kernels) {
            let speed = subject.gigabytes_per_second();
            let percent = 100.0 * speed / limit;
            println!("  {:<36} {speed:>6.2} {percent:>5.0} %", subject.name);
        }
        if kernels.is_empty() {
            println!("  its kernel is ruled out");
        }
    }

    /// Sealing and opening.
    fn of_kernel(aead: &dyn RecordAead) -> Vec<Subject> {
        let (key, iv) = (vec![7; aead.key_len()], [1; 12]);
        let mut sealer = aead.sealer(&key, &iv).expect("a key of its length");
        let mut opener = aead.opener(&key, &iv).expect("a key of its length");
        let text = vec![1; LEN];
        let mut out = vec![0; LEN + 1 + aead.tag_len()];
        let mut seal = move |out: &mut [u8]| {
            let mut record = SealRecord {
                sequence: 9,
                aad: &HEADER,
                payload: text[..].into(),
                trailer: Trailer::content_type(23),
                out,
            };
            sealer.seal(&mut record).expect("an output of its length");
        };
        seal(&mut out);
        let sealed = out.clone();
        // Opening leaves no record that could be opened again.
        let mut copies = vec![out.clone(); OPENED];
        let detail = aead.implementation().detail;
        vec![
            Subject::new(format!("{detail}: seal"), LEN, move || {
                time(RECORDS, || seal(&mut out))
            }),
            Subject::new(format!("{detail}: open"), LEN, move || {
                for copy in &mut copies {
                    copy.copy_from_slice(&sealed);
                }
                let mut copies = copies.iter_mut();
                time(OPENED, || {
                    let copy = copies.next().expect("one for each time");
                    opener.open(9, &HEADER, copy).expect("a good record");
                })
            }),
        ]
    }
}
