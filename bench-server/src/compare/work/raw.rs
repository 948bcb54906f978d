//! A backend's record protection without a stack around it.

use std::array;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use keyway::crypto::{
    CipherSuite, CryptoProvider, NONCE_LEN, OpenRecord, Payload, RecordOpener, RecordSealer,
    SealRecord, Trailer,
};

use super::bulk::{BURST, pattern};
use crate::compare::engine::Probe;

/// The header of a TLS record, which is the additional data.
const HEADER: usize = 5;

/// How many records the stack opens with one call when they lie there.
const BATCH: usize = 8;

/// Records of one size sealed and opened, in the buffers that `Bulk` would use: plaintext
/// in one place, a burst of ciphertext in another, header before each.
pub(crate) struct Raw {
    sealer: Box<dyn RecordSealer>,
    opener: Box<dyn RecordOpener>,
    tag_len: usize,
    sequence: u64,
    record: Vec<u8>,
    sealed: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(provider: &CryptoProvider, suite: CipherSuite, size: usize) -> Result<Self> {
        let aead = &provider.suite(suite).context("no such suite")?.aead;
        // A key for numbers, not for secrets.
        let key = pattern(aead.key_len());
        let iv = [7; NONCE_LEN];
        let step = HEADER + size + 1 + aead.tag_len();
        Ok(Self {
            sealer: aead.sealer(&key, &iv)?,
            opener: aead.opener(&key, &iv)?,
            tag_len: aead.tag_len(),
            sequence: 0,
            record: pattern(size),
            sealed: vec![0; step * (BURST / size).max(1)],
        })
    }

    fn step(&self) -> usize {
        HEADER + self.record.len() + 1 + self.tag_len
    }

    /// One call per record, as the stack does when each is sent by itself.
    fn seal(&mut self) -> Result<()> {
        let step = self.step();
        let len = u16::try_from(step - HEADER)?;
        for (slot, sequence) in self.sealed.chunks_exact_mut(step).zip(self.sequence..) {
            let (header, out) = slot.split_at_mut(HEADER);
            let [high, low] = len.to_be_bytes();
            header.copy_from_slice(&[23, 3, 3, high, low]);
            self.sealer.seal(&mut SealRecord {
                sequence,
                aad: header,
                payload: Payload::from(&*self.record),
                trailer: Trailer::content_type(23),
                out,
            })?;
        }
        Ok(())
    }

    /// A call per batch, as the stack does: a backend may open one alone, or all.
    fn open(&mut self) -> Result<usize> {
        let step = self.step();
        let mut bytes = 0;
        let mut sequences = self.sequence..;
        for batch in self.sealed.chunks_mut(BATCH * step) {
            let count = batch.len() / step;
            let mut slots = batch.chunks_exact_mut(step);
            // An array, since the stack allocates nothing either.
            let mut records: [OpenRecord<'_>; BATCH] = array::from_fn(|_| {
                let slot = slots
                    .next()
                    .and_then(|slot| slot.split_at_mut_checked(HEADER));
                let (header, in_out) = slot.unwrap_or_default();
                OpenRecord {
                    sequence: sequences.next().unwrap_or(u64::MAX),
                    aad: header,
                    in_out,
                    plaintext_len: 0,
                }
            });
            let mut rest = &mut records[..count];
            while !rest.is_empty() {
                let opened = self.opener.open_batch(rest)?;
                ensure!((1..=rest.len()).contains(&opened), "no record was opened");
                let (done, behind) = rest.split_at_mut(opened);
                // Without the content type.
                bytes += done
                    .iter()
                    .map(|record| record.plaintext_len - 1)
                    .sum::<usize>();
                rest = behind;
            }
        }
        Ok(bytes)
    }
}

/// Values: bytes of plaintext sealed per second, opened per second.
impl Probe for Raw {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let begin = Instant::now();
        let (mut total, mut seal, mut open) = (0, Duration::ZERO, Duration::ZERO);
        let records = self.sealed.len() / self.step();
        while total == 0 || begin.elapsed() < slice {
            let start = Instant::now();
            self.seal()?;
            let sealed = Instant::now();
            let bytes = self.open()?;
            open += sealed.elapsed();
            seal += sealed - start;
            ensure!(bytes == records * self.record.len(), "bytes are missing");
            self.sequence += records as u64;
            total += bytes;
        }
        let step = self.step();
        let whole = self
            .sealed
            .chunks_exact(step)
            .all(|slot| slot[HEADER..].starts_with(&self.record));
        ensure!(whole, "other data came out than went in");
        let rate = |spent: Duration| total as f64 / spent.as_secs_f64();
        Ok(vec![rate(seal), rate(open)])
    }
}
