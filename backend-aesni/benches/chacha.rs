//! ChaCha20-Poly1305 records: the kernels of this CPU beside aws-lc-rs and ring.
//!
//! `cargo bench -p backend-aesni --bench chacha -- 16384` measures full records alone.

use aws_lc_rs::aead as aws;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crypto_api::{CipherSuite, SealRecord, Suite, Trailer};
use ring::aead as ring_aead;

const HEADER: [u8; 5] = [23, 3, 3, 64, 17];
const LENGTHS: [usize; 8] = [16, 64, 256, 512, 1024, 1400, 4096, 16384];

fn kernels() -> Vec<Suite> {
    let mut kernels = backend_aesni::kernels();
    kernels.retain(|suite| suite.id == CipherSuite::TLS_CHACHA20_POLY1305_SHA256);
    kernels
}

/// Every implementation seals what TLS 1.3 does: the text and a byte of content type.
fn seal(c: &mut Criterion) {
    for len in LENGTHS {
        let mut group = c.benchmark_group(format!("seal {len}"));
        group.throughput(Throughput::Bytes(len as u64));
        let text = vec![1; len];
        for suite in kernels() {
            let mut sealer = suite.aead.sealer(&[7; 32], &[1; 12]).unwrap();
            let mut out = vec![0; len + 17];
            let mut sequence = 0;
            group.bench_function(suite.aead.implementation().to_string(), |b| {
                b.iter(|| {
                    sequence += 1;
                    let mut record = SealRecord {
                        sequence,
                        aad: &HEADER,
                        payload: text[..].into(),
                        trailer: Trailer::content_type(23),
                        out: &mut out,
                    };
                    sealer.seal(&mut record).unwrap();
                });
            });
        }
        let key = aws::UnboundKey::new(&aws::CHACHA20_POLY1305, &[7; 32]).unwrap();
        let key = aws::LessSafeKey::new(key);
        let mut in_out = vec![1; len + 1];
        group.bench_function("aws-lc-rs", |b| {
            b.iter(|| {
                let nonce = aws::Nonce::assume_unique_for_key([1; 12]);
                let aad = aws::Aad::from(HEADER);
                key.seal_in_place_separate_tag(nonce, aad, &mut in_out)
                    .unwrap()
            });
        });
        let key = ring_aead::UnboundKey::new(&ring_aead::CHACHA20_POLY1305, &[7; 32]).unwrap();
        let key = ring_aead::LessSafeKey::new(key);
        group.bench_function("ring", |b| {
            b.iter(|| {
                let nonce = ring_aead::Nonce::assume_unique_for_key([1; 12]);
                let aad = ring_aead::Aad::from(HEADER);
                key.seal_in_place_separate_tag(nonce, aad, &mut in_out)
                    .unwrap()
            });
        });
    }
}

criterion_group!(benches, seal);
criterion_main!(benches);
