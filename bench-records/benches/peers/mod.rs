//! Records of TLS 1.3, sealed and opened by the kernels of this CPU and by other libraries.
//!
//! Each seals the text and a byte of content type under a header of five bytes. The peers that
//! work in place have no copy to make, which a TLS stack makes for them; the others go from
//! one buffer to another.

// Each benchmark uses its own part of this.
#![allow(dead_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead as aws;
use crypto_api::{CipherSuite, OpenRecord, RecordAead, SealRecord, Suite, Trailer};
use ring::aead as ring_aead;

const HEADER: [u8; 5] = [23, 3, 3, 64, 17];
/// The static IV of whoever makes nonces from sequence numbers.
const NONCE: [u8; 12] = [1; 12];
/// Bytes of records that are sealed once and then opened one after the other, before they
/// are sealed again: as many as the first cache has room for.
const RING: usize = 16_384;

pub(crate) const SUITES: [CipherSuite; 4] = [
    CipherSuite::TLS_AES_128_GCM_SHA256,
    CipherSuite::TLS_AES_256_GCM_SHA384,
    CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_AES_128_CCM_SHA256,
];

/// Something that is done so many times; says how long that took.
pub(crate) type Work = Box<dyn FnMut(u64) -> Duration>;

/// What one implementation does with records of one length.
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) set_up: Work,
    pub(crate) seal: Work,
    pub(crate) open: Work,
}

fn timed(mut once: impl FnMut() + 'static) -> Work {
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            once();
        }
        start.elapsed()
    })
}

/// Seals one record after the other, as they are numbered.
fn sealing(mut seal: impl FnMut(u64) + 'static) -> Work {
    let mut sequence = 0;
    timed(move || {
        seal(sequence);
        sequence += 1;
    })
}

/// Opens records of `len` bytes one after the other, as they are numbered. What is timed is the
/// opening alone: they are sealed in between.
fn opening(
    len: usize,
    mut seal: impl FnMut(u64, &mut [u8]) + 'static,
    mut open: impl FnMut(u64, &mut [u8]) + 'static,
) -> Work {
    let count = (RING / len).clamp(1, 64);
    let mut ring = vec![vec![0; len]; count];
    let mut first = 0;
    Box::new(move |times| {
        let (mut left, mut took) = (times, Duration::ZERO);
        while left > 0 {
            let now = left.min(count as u64);
            let records = &mut ring[..now as usize];
            for (sequence, record) in (first..).zip(&mut *records) {
                seal(sequence, record);
            }
            let start = Instant::now();
            for (sequence, record) in (first..).zip(records) {
                open(sequence, record);
            }
            took += start.elapsed();
            first += now;
            left -= now;
        }
        took
    })
}

/// The nonce of a record, for those who take nonces.
fn nonce(sequence: u64) -> [u8; 12] {
    let mut nonce = NONCE;
    for (byte, of_sequence) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
        *byte ^= of_sequence;
    }
    nonce
}

/// The kernels first, then OpenSSL and RustCrypto through their backends.
pub(crate) fn backends(id: CipherSuite) -> Vec<Suite> {
    let mut suites = backend_aesni::kernels_unchecked();
    suites.extend(backend_openssl::provider().suites);
    suites.extend(backend_soft::provider().suites);
    suites.retain(|suite| suite.id == id);
    suites
}

/// Everyone who has the suite: the kernels, the widest first, then the peers.
pub(crate) fn contenders(id: CipherSuite, len: usize) -> Vec<Contender> {
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
    let text = vec![1; len];
    let sealer = || {
        let (text, mut sealer) = (text.clone(), aead.sealer(&key, &NONCE).unwrap());
        move |sequence, out: &mut [u8]| {
            let mut record = SealRecord {
                sequence,
                aad: &HEADER,
                payload: text[..].into(),
                trailer: Trailer::content_type(23),
                out,
            };
            sealer.seal(&mut record).unwrap();
        }
    };
    let (mut seal, seal_again) = (sealer(), sealer());
    let mut opener = aead.opener(&key, &NONCE).unwrap();
    let mut out = vec![0; len + 1 + tag_len];
    Contender {
        name: aead.implementation().to_string(),
        open: opening(out.len(), seal_again, move |sequence, in_out| {
            opener.open(sequence, &HEADER, in_out).unwrap();
        }),
        seal: sealing(move |sequence| {
            seal(sequence, &mut out);
            black_box(&mut out);
        }),
        // What was made stays where it is: taking it elsewhere is the caller's time.
        set_up: timed(move || {
            assert!(black_box(&aead.sealer(black_box(&key), &NONCE)).is_ok());
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
            let nonce = |sequence| Nonce::assume_unique_for_key(nonce(sequence));
            let aad = || Aad::from(HEADER);
            let (sealer, seal_again, opener) = (make(), make(), make());
            let mut text = vec![1; len + 1];
            let sealed = text.len() + algorithm.tag_len();
            Contender {
                name: stringify!($name).replace('_', "-"),
                set_up: timed(move || {
                    black_box(&make());
                }),
                seal: sealing(move |sequence| {
                    let tag = sealer.seal_in_place_separate_tag(nonce(sequence), aad(), &mut text);
                    let _ = black_box(tag.unwrap());
                }),
                open: opening(
                    sealed,
                    move |sequence, out| {
                        let (text, to) = out.split_at_mut(len + 1);
                        text.fill(1);
                        let tag =
                            seal_again.seal_in_place_separate_tag(nonce(sequence), aad(), text);
                        to.copy_from_slice(tag.unwrap().as_ref());
                    },
                    move |sequence, in_out| {
                        opener
                            .open_in_place(nonce(sequence), aad(), in_out)
                            .unwrap();
                    },
                ),
            }
        }
    };
}
like_ring!(aws_lc_rs, aws);
like_ring!(ring, ring_aead);

fn graviola(key_len: usize, len: usize) -> Contender {
    use graviola::aead::AesGcm;

    let make = move || AesGcm::new(black_box(&[7; 32][..key_len]));
    let (sealer, seal_again, opener) = (make(), make(), make());
    let (mut text, mut tag) = (vec![1; len + 1], [0; 16]);
    Contender {
        name: "graviola".into(),
        open: opening(
            text.len() + tag.len(),
            move |sequence, out| {
                let (text, tag) = out.split_at_mut(len + 1);
                text.fill(1);
                let tag = tag.first_chunk_mut().expect("a tag's length");
                seal_again.encrypt(&nonce(sequence), &HEADER, text, tag);
            },
            move |sequence, in_out| {
                let (text, tag) = in_out.split_at_mut(len + 1);
                let opened = opener.decrypt(&nonce(sequence), &HEADER, text, tag);
                opened.unwrap();
            },
        ),
        set_up: timed(move || {
            black_box(&make());
        }),
        seal: sealing(move |sequence| {
            sealer.encrypt(&nonce(sequence), &HEADER, &mut text, &mut tag);
            black_box(&tag);
        }),
    }
}

/// Makes the work of a batch: of records one by one, if the last argument says so.
pub(crate) type MakeBatch = fn(&dyn RecordAead, usize, usize, bool) -> Work;

pub(crate) fn seal_batch(
    aead: &dyn RecordAead,
    count: usize,
    len: usize,
    one_by_one: bool,
) -> Work {
    let key = vec![7; aead.key_len()];
    let mut sealer = aead.sealer(&key, &NONCE).unwrap();
    let text = vec![1; len];
    let full = len + 1 + aead.tag_len();
    let mut out = vec![0; count * full];
    sealing(move |at| {
        let numbers = at * count as u64..;
        let mut records: Vec<_> = out
            .chunks_exact_mut(full)
            .zip(numbers)
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

pub(crate) fn open_batch(
    aead: &dyn RecordAead,
    count: usize,
    len: usize,
    one_by_one: bool,
) -> Work {
    let key = vec![7; aead.key_len()];
    let mut sealer = aead.sealer(&key, &NONCE).unwrap();
    let mut opener = aead.opener(&key, &NONCE).unwrap();
    let text = vec![1; len];
    let full = len + 1 + aead.tag_len();
    let seal = move |at: u64, out: &mut [u8]| {
        let numbers = at * count as u64..;
        for (out, sequence) in out.chunks_exact_mut(full).zip(numbers) {
            let mut record = SealRecord {
                sequence,
                aad: &HEADER,
                payload: text[..].into(),
                trailer: Trailer::content_type(23),
                out,
            };
            sealer.seal(&mut record).unwrap();
        }
    };
    opening(count * full, seal, move |at, in_out| {
        let numbers = at * count as u64..;
        let mut records: Vec<_> = in_out
            .chunks_exact_mut(full)
            .zip(numbers)
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
