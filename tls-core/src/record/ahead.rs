//! Opening several records at once, before it is the turn of most of them.

use core::array;

use crypto_api::{OpenRecord, RecordOpener};

use super::{Deframed, HEADER_LEN, deframe};
use crate::Error;
use crate::wire::ContentType;

/// How many at most: as many as backends work on side by side.
const BATCH: usize = 8;

/// What the version in the header of a record becomes that was opened ahead of its turn.
/// The input is the caller's: this is how bytes are known that were not left as they were,
/// and whose ciphertext would be taken for plaintext.
const OPENED: [u8; 2] = [0xff, 0xff];

/// The records behind the current one that lie open in the input.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Lengths of their plaintexts; no record has 2^16 bytes.
    lens: [u16; BATCH],
    next: usize,
    end: usize,
}

impl Ahead {
    /// Opens the first record of `input`, whose body has `first` bytes, and whole ones behind
    /// it. Returns the length of the first plaintext; [`take`](Self::take) has the others.
    pub(super) fn open(
        &mut self,
        opener: &mut dyn RecordOpener,
        sequence: u64,
        input: &mut [u8],
    ) -> Result<usize, crypto_api::Error> {
        let mut headers = [[0; HEADER_LEN]; BATCH];
        let mut lens = [0; BATCH];
        let mut count = 0;
        let mut rest = &*input;
        while let (Some(header_to), Some(len_to)) = (headers.get_mut(count), lens.get_mut(count)) {
            let Ok(Deframed::Record {
                content_type: ContentType::APPLICATION_DATA,
                header,
                body,
            }) = deframe(rest, false)
            else {
                break;
            };
            (*header_to, *len_to) = (header, body.len());
            count += 1;
            rest = rest.get(body.end..).unwrap_or_default();
        }
        if let ([header, ..], [len, ..], 1) = (&headers, lens, count) {
            let body = input.get_mut(HEADER_LEN..HEADER_LEN + len);
            return opener.open(sequence, header, body.unwrap_or_default());
        }

        let mut rest = &mut *input;
        let mut numbers = sequence..;
        let mut records: [OpenRecord<'_>; BATCH] = array::from_fn(|at| {
            let len = lens.get(at).copied().unwrap_or_default();
            let whole = if at < count { HEADER_LEN + len } else { 0 };
            let (record, behind) = core::mem::take(&mut rest).split_at_mut(whole);
            rest = behind;
            OpenRecord {
                // The limit on records per key keeps this far from its end.
                sequence: numbers.next().unwrap_or(u64::MAX),
                aad: headers.get(at).map_or(&[], |header| header),
                in_out: record.get_mut(HEADER_LEN..).unwrap_or_default(),
                plaintext_len: 0,
            }
        });
        let opened = opener.open_batch(records.get_mut(..count).unwrap_or_default())?;
        let opened = opened.min(count);

        let mut plaintexts = records.iter().map(|record| record.plaintext_len);
        let first = plaintexts.next().unwrap_or_default();
        for (to, len) in self.lens.iter_mut().zip(plaintexts) {
            *to = u16::try_from(len).unwrap_or(u16::MAX);
        }
        (self.next, self.end) = (0, opened.saturating_sub(1));
        let mut rest = input;
        for (at, len) in lens.iter().enumerate().take(opened) {
            let (record, behind) = rest.split_at_mut(HEADER_LEN + len);
            if let (Some(version), true) = (record.get_mut(1..3), at > 0) {
                version.copy_from_slice(&OPENED);
            }
            rest = behind;
        }
        Ok(first)
    }

    /// The length of the plaintext of the record with this header, if it lies open.
    pub(super) fn take(&mut self, header: &[u8; HEADER_LEN]) -> Result<Option<usize>, Error> {
        if self.next == self.end {
            return Ok(None);
        }
        if header.get(1..3) != Some(&OPENED) {
            return Err(Error::Usage(
                "bytes that were not consumed have to be left as they are",
            ));
        }
        let len = self.lens.get(self.next).copied().map(usize::from);
        self.next += 1;
        Ok(len)
    }
}
