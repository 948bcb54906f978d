//! Records in a row under one key: what a kernel keeps from one for the next must not show.

use std::collections::HashMap;

use crypto_api::{
    Error, OpenRecord, Payload, RecordAead, RecordOpener, RecordSealer, SealRecord, Trailer,
};

use crate::{Numbers, Secrets, soft};

const AAD: [u8; 5] = [23, 3, 3, 0, 0];

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// The next record, of so many bytes.
    Next(usize),
    /// The one before once more, with so many bytes; when opening, forged the first time.
    Again(usize),
    /// One whose turn it is not.
    Later(usize),
    /// A batch of the next ones.
    Batch(&'static [usize]),
}

/// Lengths that take 2, 3, 4 and 6 blocks of ChaCha20, and those that are not short.
const STEPS: [Step; 9] = [
    Step::Next(20),
    Step::Next(64),
    Step::Next(129),
    Step::Next(300),
    Step::Next(400),
    Step::Again(50),
    Step::Later(60),
    Step::Batch(&[30, 40]),
    Step::Batch(&[70]),
];

/// A direction and its opposite, with what `backend-soft` makes of the same records.
struct Pair {
    by: String,
    sealer: Box<dyn RecordSealer>,
    opener: Box<dyn RecordOpener>,
    sequence: u64,
}

/// The sealed records that were asked for, as it takes longer to make them than to test.
struct Known<'a> {
    secrets: &'a Secrets,
    theirs: &'a dyn RecordAead,
    text: Vec<u8>,
    sealed: HashMap<(u64, usize), Vec<u8>>,
}

impl Known<'_> {
    fn sealed(&mut self, sequence: u64, len: usize) -> Vec<u8> {
        let Self {
            secrets,
            theirs,
            text,
            sealed,
        } = self;
        let seal = || {
            let payload = Payload::from(&text[..len]);
            let trailer = Trailer::default();
            secrets.seal(*theirs, sequence, &AAD, payload, trailer)
        };
        sealed.entry((sequence, len)).or_insert_with(seal).clone()
    }
}

fn record<'a>(sequence: u64, text: &'a [u8], out: &'a mut [u8]) -> SealRecord<'a> {
    SealRecord {
        sequence,
        aad: &AAD,
        payload: text.into(),
        trailer: Trailer::default(),
        out,
    }
}

impl Pair {
    fn new(ours: &dyn RecordAead, secrets: &Secrets, sequence: u64) -> Self {
        Self {
            by: ours.implementation().to_string(),
            sealer: ours.sealer(&secrets.key, &secrets.iv).unwrap(),
            opener: ours.opener(&secrets.key, &secrets.iv).unwrap(),
            sequence,
        }
    }

    fn step(&mut self, known: &mut Known<'_>, step: Step) {
        match step {
            Step::Next(len) => self.one(known, len, false),
            Step::Again(len) => {
                self.sequence = self.sequence.saturating_sub(1);
                self.one(known, len, true);
            }
            Step::Later(len) => {
                self.sequence += 3;
                self.one(known, len, false);
            }
            Step::Batch(lens) => self.batch(known, lens),
        }
    }

    fn one(&mut self, known: &mut Known<'_>, len: usize, with_forgery: bool) {
        let by = &self.by;
        let expected = known.sealed(self.sequence, len);
        let mut out = vec![0xee; expected.len()];
        let mut record = record(self.sequence, &known.text[..len], &mut out);
        self.sealer.seal(&mut record).unwrap();
        assert!(out == expected, "{by}: {len} bytes are sealed differently");
        if with_forgery {
            let mut forged = expected;
            *forged.last_mut().unwrap() ^= 1;
            let opened = self.opener.open(self.sequence, &AAD, &mut forged);
            assert_eq!(opened, Err(Error::BadTag), "{by}");
            assert!(forged[..len].iter().all(|byte| *byte == 0), "{by}");
        }
        let opened = self.opener.open(self.sequence, &AAD, &mut out);
        assert_eq!(opened, Ok(len), "{by}: {len} bytes");
        assert!(out[..len] == known.text[..len], "{by}: {len} bytes");
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn batch(&mut self, known: &mut Known<'_>, lens: &[usize]) {
        let by = &self.by;
        let numbers = || self.sequence..;
        let expected: Vec<_> = (numbers().zip(lens))
            .map(|(sequence, len)| known.sealed(sequence, *len))
            .collect();
        let mut outs: Vec<_> = expected.iter().map(|out| vec![0; out.len()]).collect();
        let mut records: Vec<_> = (numbers().zip(lens).zip(&mut outs))
            .map(|((sequence, len), out)| record(sequence, &known.text[..*len], out))
            .collect();
        self.sealer.seal_batch(&mut records).unwrap();
        assert!(outs == expected, "{by}: {lens:?}");
        let mut records: Vec<_> = (numbers().zip(&mut outs))
            .map(|(sequence, in_out)| OpenRecord {
                sequence,
                aad: &AAD,
                in_out,
                plaintext_len: 0,
            })
            .collect();
        let mut opened = 0;
        while opened < records.len() {
            opened += self.opener.open_batch(&mut records[opened..]).unwrap();
        }
        for (out, len) in outs.iter().zip(lens) {
            assert!(out[..*len] == known.text[..*len], "{by}: {lens:?}");
        }
        self.sequence += lens.len() as u64;
    }
}

fn each(mut work: impl FnMut(&dyn RecordAead, &Secrets, &mut Known<'_>)) {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(11);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let secrets = &Secrets::new(&mut numbers, ours);
        let known = &mut Known {
            secrets,
            theirs,
            text: numbers.bytes(500),
            sealed: HashMap::new(),
        };
        work(ours, secrets, known);
    }
}

/// Every order of four steps, from the first record on and behind a row of short ones.
#[test]
fn every_order() {
    each(|ours, secrets, known| {
        for before in [0, 3] {
            for order in 0..STEPS.len().pow(4) {
                let mut pair = Pair::new(ours, secrets, 0);
                (0..before).for_each(|_| pair.step(known, Step::Next(40)));
                let mut rest = order;
                for _ in 0..4 {
                    pair.step(known, STEPS[rest % STEPS.len()]);
                    rest /= STEPS.len();
                }
            }
        }
    });
}

/// Long rows of one length, which more than one pass is made for.
#[test]
fn long_rows() {
    each(|ours, secrets, known| {
        for len in (0..=400).step_by(13) {
            let mut pair = Pair::new(ours, secrets, 5);
            (0..40).for_each(|_| pair.step(known, Step::Next(len)));
        }
    });
}

/// Sequence numbers whose low half overflows amid a row, and the last ones of all.
#[test]
fn rows_of_great_numbers() {
    each(|ours, secrets, known| {
        for len in [10, 64, 200] {
            for from in 0..40 {
                for end in [1 << 32, 3 << 32, u64::MAX] {
                    let mut pair = Pair::new(ours, secrets, end - from);
                    (0..=from).for_each(|_| pair.step(known, Step::Next(len)));
                    if end != u64::MAX {
                        (0..5).for_each(|_| pair.step(known, Step::Next(len)));
                    }
                }
            }
        }
    });
}
