//! The ChaCha20-Poly1305 kernels against `backend-soft` and Project Wycheproof's vectors.

use std::sync::Arc;

use crypto_api::{
    CipherSuite, CryptoProvider, Error, Payload, RecordAead, SealRecord, Suite, Trailer, wycheproof,
};

const TAG_LEN: usize = 16;

fn kernels() -> Vec<Suite> {
    let mut kernels = backend_aesni::kernels_unchecked();
    kernels.retain(|suite| suite.id == CipherSuite::TLS_CHACHA20_POLY1305_SHA256);
    kernels
}

/// The implementation that the kernels are compared with.
fn soft() -> Arc<dyn RecordAead> {
    let id = CipherSuite::TLS_CHACHA20_POLY1305_SHA256;
    let suites = backend_soft::provider().suites;
    suites
        .into_iter()
        .find(|suite| suite.id == id)
        .unwrap()
        .aead
}

/// Bytes that differ from one call to the next and are the same in every run.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        // Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// One record, as it is given to either side.
struct Case {
    key: Vec<u8>,
    iv: [u8; 12],
    sequence: u64,
    aad: Vec<u8>,
    payload: Vec<u8>,
    /// Where the payload is cut into slices.
    cuts: Vec<usize>,
    trailer: Trailer,
}

impl Case {
    fn new(random: &mut Bytes, aad_len: usize, len: usize, padding: usize, pieces: usize) -> Self {
        let mut cuts: Vec<usize> = (1..pieces).map(|_| random.below(len + 1)).collect();
        cuts.sort_unstable();
        Self {
            key: random.take(32),
            iv: random.take(12).try_into().unwrap(),
            sequence: random.next(),
            aad: random.take(aad_len),
            payload: random.take(len),
            cuts,
            trailer: Trailer {
                content_type: Some(23),
                padding,
            },
        }
    }

    fn slices(&self) -> Vec<&[u8]> {
        let mut slices = Vec::new();
        let mut from = 0;
        for &cut in self.cuts.iter().chain([&self.payload.len()]) {
            slices.push(&self.payload[from..cut]);
            from = cut;
        }
        slices
    }

    fn sealed_len(&self) -> usize {
        self.payload.len() + self.trailer.len() + TAG_LEN
    }

    fn seal(&self, aead: &dyn RecordAead) -> Vec<u8> {
        let mut out = vec![0xaa; self.sealed_len()];
        let slices = self.slices();
        aead.sealer(&self.key, &self.iv)
            .unwrap()
            .seal(&mut SealRecord {
                sequence: self.sequence,
                aad: &self.aad,
                payload: Payload::from_slices(&slices),
                trailer: self.trailer,
                out: &mut out,
            })
            .unwrap();
        out
    }

    fn open(&self, aead: &dyn RecordAead, record: &mut [u8]) -> Result<usize, Error> {
        aead.opener(&self.key, &self.iv)
            .unwrap()
            .open(self.sequence, &self.aad, record)
    }

    /// Seals and opens with `suite` and with `backend-soft`.
    fn check(&self, suite: &Suite) {
        let what = format!(
            "{}: {} bytes of AAD, {} of payload, {} of padding, cut at {:?}",
            suite.aead.implementation(),
            self.aad.len(),
            self.payload.len(),
            self.trailer.padding,
            self.cuts,
        );
        let expected = self.seal(&*soft());
        let mut record = self.seal(&*suite.aead);
        assert!(record == expected, "{what}: sealed");
        let len = self.open(&*suite.aead, &mut record).expect(&what);
        assert_eq!(len, self.payload.len() + self.trailer.len(), "{what}");
        let (payload, rest) = record.split_at(self.payload.len());
        assert!(payload == self.payload, "{what}: opened");
        assert_eq!(rest[0], 23, "{what}");
        assert!(
            rest[1..len - payload.len()].iter().all(|&byte| byte == 0),
            "{what}"
        );
    }
}

#[test]
fn every_short_length() {
    let mut random = Bytes(1);
    for suite in kernels() {
        for len in 0..=2100 {
            Case::new(&mut random, 5, len, 0, 1).check(&suite);
            let (aad_len, padding) = (random.below(65), random.below(300));
            let pieces = 1 + random.below(4);
            Case::new(&mut random, aad_len, len, padding, pieces).check(&suite);
        }
    }
}

#[test]
fn every_length_of_aad() {
    let mut random = Bytes(2);
    for suite in kernels() {
        for aad_len in 0..=64 {
            for len in [0, 1, 100, 319, 320, 1400] {
                Case::new(&mut random, aad_len, len, 0, 1).check(&suite);
            }
        }
    }
}

#[test]
fn long_records() {
    let mut random = Bytes(3);
    for suite in kernels() {
        for len in [16383, 16384, 16385] {
            Case::new(&mut random, 5, len, 0, 1).check(&suite);
        }
        for _ in 0..200 {
            let len = random.below(40_000);
            let pieces = 1 + random.below(3);
            let (aad_len, padding) = (random.below(20), random.below(3) * random.below(5000));
            Case::new(&mut random, aad_len, len, padding, pieces).check(&suite);
        }
    }
}

/// Text and AAD that make Poly1305's limbs as large as they get.
#[test]
fn carries() {
    let mut random = Bytes(4);
    for suite in kernels() {
        for len in [64, 320, 1024, 5000] {
            for _ in 0..20 {
                let mut case = Case::new(&mut random, 64, len, 0, 1);
                // Ciphertext of ones alone.
                let sealed = case.seal(&*soft());
                for (byte, sealed) in case.payload.iter_mut().zip(&sealed) {
                    *byte ^= !sealed;
                }
                case.aad.fill(0xff);
                assert!(case.seal(&*soft())[..len].iter().all(|&byte| byte == 0xff));
                case.check(&suite);
            }
        }
    }
}

/// Records at every distance from a boundary of 64 bytes.
#[test]
fn alignments() {
    let mut random = Bytes(5);
    for suite in kernels() {
        for len in [40, 300, 2000] {
            let case = Case::new(&mut random, 5, len, 0, 1);
            let expected = case.seal(&*soft());
            for offset in 0..64 {
                let mut from = vec![0; offset];
                from.extend(&case.payload);
                let mut buffer = vec![0xaa; offset + expected.len() + 64];
                let (out, behind) = buffer[offset..].split_at_mut(expected.len());
                let mut sealer = suite.aead.sealer(&case.key, &case.iv).unwrap();
                sealer
                    .seal(&mut SealRecord {
                        sequence: case.sequence,
                        aad: &case.aad,
                        payload: from[offset..].into(),
                        trailer: case.trailer,
                        out,
                    })
                    .unwrap();
                assert!(out == expected, "{len} at {offset}");
                case.open(&*suite.aead, out).unwrap();
                assert!(out[..len] == case.payload, "{len} at {offset}");
                assert!(behind.iter().all(|&byte| byte == 0xaa), "{len} at {offset}");
                assert!(buffer[..offset].iter().all(|&byte| byte == 0xaa));
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_found_and_nothing_is_left() {
    let mut random = Bytes(6);
    for suite in kernels() {
        for len in [0, 1, 63, 64, 300, 321, 600, 1023, 1500, 5000] {
            let case = Case::new(&mut random, 5, len, 0, 1);
            let sealed = case.seal(&*suite.aead);
            let step = if len < 700 { 1 } else { 61 };
            for bit in (0..8 * sealed.len()).step_by(step) {
                let mut record = sealed.clone();
                record[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(case.open(&*suite.aead, &mut record), Err(Error::BadTag));
                let text = &record[..len + 1];
                assert!(text.iter().all(|&byte| byte == 0), "{len}: bit {bit}");
            }
            let mut other = Case::new(&mut random, 0, 0, 0, 1);
            (other.key, other.iv) = (case.key.clone(), case.iv);
            (other.sequence, other.aad) = (case.sequence, case.aad.clone());
            other.aad[4] ^= 0x80;
            let mut record = sealed.clone();
            assert_eq!(other.open(&*suite.aead, &mut record), Err(Error::BadTag));
            other.aad = case.aad.clone();
            other.sequence ^= 1 << 40;
            let mut record = sealed.clone();
            assert_eq!(other.open(&*suite.aead, &mut record), Err(Error::BadTag));
        }
        let case = Case::new(&mut random, 5, 0, 0, 1);
        for len in 0..TAG_LEN {
            assert_eq!(
                case.open(&*suite.aead, &mut vec![0; len]),
                Err(Error::BadTag)
            );
        }
    }
}

#[test]
fn batches() {
    let mut random = Bytes(7);
    for suite in kernels() {
        for round in 0..200 {
            let count = random.below(20);
            let longest = [40, 100, 400, 1500, 5000][round % 5];
            let first = Case::new(&mut random, 0, 0, 0, 1);
            let cases: Vec<Case> = (0..count)
                .map(|_| {
                    let (aad_len, len) = (random.below(20), random.below(longest));
                    let (padding, pieces) =
                        (random.below(2) * random.below(500), 1 + random.below(3));
                    let mut case = Case::new(&mut random, aad_len, len, padding, pieces);
                    (case.key, case.iv) = (first.key.clone(), first.iv);
                    case
                })
                .collect();
            let slices: Vec<Vec<&[u8]>> = cases.iter().map(Case::slices).collect();
            let mut outs: Vec<Vec<u8>> = cases
                .iter()
                .map(|case| vec![0xaa; case.sealed_len()])
                .collect();
            let mut records: Vec<SealRecord<'_>> = cases
                .iter()
                .zip(&slices)
                .zip(&mut outs)
                .map(|((case, slices), out)| SealRecord {
                    sequence: case.sequence,
                    aad: &case.aad,
                    payload: Payload::from_slices(slices),
                    trailer: case.trailer,
                    out,
                })
                .collect();
            let mut sealer = suite.aead.sealer(&first.key, &first.iv).unwrap();
            sealer.seal_batch(&mut records).unwrap();
            drop(records);
            for (case, out) in cases.iter().zip(&outs) {
                assert!(
                    *out == case.seal(&*soft()),
                    "{}",
                    suite.aead.implementation()
                );
            }
        }
    }
}

#[test]
fn wycheproof_vectors() {
    for suite in kernels() {
        let provider = CryptoProvider {
            suites: vec![Suite {
                aead: Arc::clone(&suite.aead),
                ..suite.clone()
            }],
            ..backend_soft::provider()
        };
        let report = wycheproof::run(&CryptoProvider {
            groups: Vec::new(),
            verification: Vec::new(),
            ..provider
        });
        assert!(report.count("TLS_CHACHA20_POLY1305_SHA256") > 0);
    }
}
