//! Records of TLS 1.3: the kernels of this CPU beside other libraries.
//!
//! Each seals the text and a byte of content type under a header of five bytes, and opens
//! what it has sealed. The peers that work in place have no copy to make, which a TLS stack
//! makes for them; the others go from one buffer to another.
//!
//! `cargo bench -p backend-aesni --bench records -- 'AES_128_GCM.*/16384'` measures full
//! records alone. Set `KEYWAY_AESNI_OFF` to compare narrower kernels with the peers.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::aead as aws;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crypto_api::{CipherSuite, OpenRecord, RecordAead, SealRecord, Suite, Trailer};
use ring::aead as ring_aead;

const HEADER: [u8; 5] = [23, 3, 3, 64, 17];
const NONCE: [u8; 12] = [1; 12];
const LENGTHS: [usize; 7] = [16, 64, 256, 1024, 1400, 4096, 16384];
/// Records of a batch, and their lengths.
const BATCHES: [(usize, usize); 4] = [(16, 64), (16, 1400), (8, 1400), (8, 16384)];

const SUITES: [CipherSuite; 4] = [
    CipherSuite::TLS_AES_128_GCM_SHA256,
    CipherSuite::TLS_AES_256_GCM_SHA384,
    CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_AES_128_CCM_SHA256,
];

/// Something that is timed.
type Work = Box<dyn FnMut()>;

/// What one implementation does with records of one length.
struct Contender {
    name: String,
    set_up: Work,
    seal: Work,
    open: Work,
}

/// The kernels first, then OpenSSL and RustCrypto through their backends.
fn backends(id: CipherSuite) -> Vec<Suite> {
    let mut suites = backend_aesni::kernels();
    suites.extend(backend_openssl::provider().suites);
    suites.extend(backend_soft::provider().suites);
    suites.retain(|suite| suite.id == id);
    suites
}

fn contenders(id: CipherSuite, len: usize) -> Vec<Contender> {
    let mut all: Vec<_> = backends(id)
        .iter()
        .map(|suite| backend(suite, len))
        .collect();
    let (of_aws_lc, of_ring) = match id {
        CipherSuite::TLS_AES_128_GCM_SHA256 => (&aws::AES_128_GCM, &ring_aead::AES_128_GCM),
        CipherSuite::TLS_AES_256_GCM_SHA384 => (&aws::AES_256_GCM, &ring_aead::AES_256_GCM),
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256 => {
            (&aws::CHACHA20_POLY1305, &ring_aead::CHACHA20_POLY1305)
        }
        _ => return all,
    };
    all.push(aws_lc_rs(of_aws_lc, len));
    all.push(ring(of_ring, len));
    if id != CipherSuite::TLS_CHACHA20_POLY1305_SHA256 {
        all.push(graviola(of_aws_lc.key_len(), len));
    }
    all
}

fn backend(suite: &Suite, len: usize) -> Contender {
    let aead = suite.aead.clone();
    let key = vec![7; aead.key_len()];
    let tag_len = aead.tag_len();
    let mut sealer = aead.sealer(&key, &NONCE).unwrap();
    let mut opener = aead.opener(&key, &NONCE).unwrap();
    let text = vec![1; len];
    let mut out = vec![0; len + 1 + tag_len];
    let mut seal = move |out: &mut [u8]| {
        let mut record = SealRecord {
            sequence: 9,
            aad: &HEADER,
            payload: text[..].into(),
            trailer: Trailer::content_type(23),
            out,
        };
        sealer.seal(&mut record).unwrap();
    };
    let mut sealed = out.clone();
    seal(&mut sealed);
    let mut in_out = sealed.clone();
    Contender {
        name: aead.implementation().to_string(),
        set_up: Box::new(move || {
            black_box(aead.sealer(black_box(&key), &NONCE).unwrap());
        }),
        seal: Box::new(move || {
            seal(&mut out);
            black_box(&mut out);
        }),
        open: Box::new(move || {
            in_out.copy_from_slice(&sealed);
            opener.open(9, &HEADER, &mut in_out).unwrap();
        }),
    }
}

/// aws-lc-rs and ring have the same interface.
macro_rules! like_ring {
    ($name:ident, $module:ident) => {
        fn $name(algorithm: &'static $module::Algorithm, len: usize) -> Contender {
            use $module::{Aad, LessSafeKey, Nonce, UnboundKey};

            let make = move || {
                let key = &[7; 32][..algorithm.key_len()];
                LessSafeKey::new(UnboundKey::new(algorithm, black_box(key)).unwrap())
            };
            let nonce = || Nonce::assume_unique_for_key(NONCE);
            let aad = || Aad::from(HEADER);
            let key = make();
            let mut sealed = vec![1; len + 1];
            key.seal_in_place_append_tag(nonce(), aad(), &mut sealed)
                .unwrap();
            let (mut text, mut in_out) = (vec![1; len + 1], sealed.clone());
            let sealer = make();
            Contender {
                name: stringify!($name).replace('_', "-"),
                set_up: Box::new(move || {
                    black_box(make());
                }),
                seal: Box::new(move || {
                    let tag = sealer.seal_in_place_separate_tag(nonce(), aad(), &mut text);
                    let _ = black_box(tag.unwrap());
                }),
                open: Box::new(move || {
                    in_out.copy_from_slice(&sealed);
                    key.open_in_place(nonce(), aad(), &mut in_out).unwrap();
                }),
            }
        }
    };
}
like_ring!(aws_lc_rs, aws);
like_ring!(ring, ring_aead);

fn graviola(key_len: usize, len: usize) -> Contender {
    use graviola::aead::AesGcm;

    let make = move || AesGcm::new(black_box(&[7; 32][..key_len]));
    let (sealer, opener) = (make(), make());
    let (mut text, mut tag) = (vec![1; len + 1], [0; 16]);
    let mut sealed = text.clone();
    sealer.encrypt(&NONCE, &HEADER, &mut sealed, &mut tag);
    let (mut in_out, expected) = (sealed.clone(), tag);
    Contender {
        name: "graviola".into(),
        set_up: Box::new(move || {
            black_box(make());
        }),
        seal: Box::new(move || {
            sealer.encrypt(&NONCE, &HEADER, &mut text, &mut tag);
            black_box(&tag);
        }),
        open: Box::new(move || {
            in_out.copy_from_slice(&sealed);
            opener
                .decrypt(&NONCE, &HEADER, &mut in_out, &expected)
                .unwrap();
        }),
    }
}

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
                    group.bench_function(name, |b| b.iter(&mut work));
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
                        group.bench_function(name, |b| b.iter(&mut work));
                    }
                }
            }
        }
    }
}

type MakeBatch = fn(&dyn RecordAead, usize, usize, bool) -> Work;

fn seal_batch(aead: &dyn RecordAead, count: usize, len: usize, one_by_one: bool) -> Work {
    let key = vec![7; aead.key_len()];
    let mut sealer = aead.sealer(&key, &NONCE).unwrap();
    let text = vec![1; len];
    let full = len + 1 + aead.tag_len();
    let mut out = vec![0; count * full];
    Box::new(move || {
        let mut records: Vec<_> = out
            .chunks_exact_mut(full)
            .zip(0..)
            .map(|(out, sequence)| SealRecord {
                sequence,
                aad: &HEADER,
                payload: text[..].into(),
                trailer: Trailer::content_type(23),
                out,
            })
            .collect();
        if one_by_one {
            for record in &mut records {
                sealer.seal(record).unwrap();
            }
        } else {
            sealer.seal_batch(&mut records).unwrap();
        }
    })
}

fn open_batch(aead: &dyn RecordAead, count: usize, len: usize, one_by_one: bool) -> Work {
    let key = vec![7; aead.key_len()];
    let mut sealer = aead.sealer(&key, &NONCE).unwrap();
    let mut opener = aead.opener(&key, &NONCE).unwrap();
    let text = vec![1; len];
    let full = len + 1 + aead.tag_len();
    let mut sealed = vec![0; count * full];
    for (out, sequence) in sealed.chunks_exact_mut(full).zip(0..) {
        let mut record = SealRecord {
            sequence,
            aad: &HEADER,
            payload: text[..].into(),
            trailer: Trailer::content_type(23),
            out,
        };
        sealer.seal(&mut record).unwrap();
    }
    let mut in_out = sealed.clone();
    Box::new(move || {
        in_out.copy_from_slice(&sealed);
        let mut records: Vec<_> = in_out
            .chunks_exact_mut(full)
            .zip(0..)
            .map(|(in_out, sequence)| OpenRecord {
                sequence,
                aad: &HEADER,
                in_out,
                plaintext_len: 0,
            })
            .collect();
        let mut done = 0;
        while done < count {
            let end = if one_by_one { done + 1 } else { count };
            done += opener.open_batch(&mut records[done..end]).unwrap();
        }
    })
}

fn keys(c: &mut Criterion) {
    for id in SUITES {
        let mut group = c.benchmark_group(format!("key set-up {id}"));
        for mut contender in contenders(id, 0) {
            group.bench_function(contender.name, |b| b.iter(&mut contender.set_up));
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
