//! Cutting bytes into records, and sealing them into the caller's buffer.

use core::array;

use crypto_api::{Payload, SealRecord, Trailer};

use super::HEADER_LEN;
use super::protect::{WriteKeys, WriteProtection, header};
use crate::Error;
use crate::wire::{ContentType, TLS12};

/// How many records one call hands to a backend: enough to keep its vector units full
/// across record borders, few enough for the stack.
const BATCH: usize = 8;

/// What became of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// How many bytes of the payload were sealed.
    pub consumed: usize,
    /// How many bytes were written to the output.
    pub written: usize,
}

/// Length of `len` bytes as records of at most `max` bytes of payload.
pub(crate) fn sealed_len(write: &WriteProtection, len: usize, max: usize) -> usize {
    len + len.div_ceil(max) * write.overhead()
}

/// Seals as much of `payload` as fits into `out`, in records of at most `max` bytes, and at
/// most `most` records. After an error nothing in `out` may be sent, and nothing more sealed.
pub(crate) fn seal_records(
    write: &mut WriteProtection,
    content_type: ContentType,
    payload: Payload<'_>,
    max: usize,
    most: u64,
    out: &mut [u8],
) -> Result<Sealed, Error> {
    if write.broken {
        return Err(Error::Usage("sealing after it has failed"));
    }
    let outcome = seal_as_fits(write, content_type, payload, max, most, out);
    write.broken = outcome.is_err();
    outcome
}

fn seal_as_fits(
    write: &mut WriteProtection,
    content_type: ContentType,
    payload: Payload<'_>,
    max: usize,
    most: u64,
    out: &mut [u8],
) -> Result<Sealed, Error> {
    let overhead = write.overhead();
    let mut done = Sealed::default();
    let mut rest = payload;
    let mut most = most;
    while most > 0 && !rest.is_empty() {
        let Some(out) = out.get_mut(done.written..) else {
            break;
        };
        let room = out.len();
        let first = rest.len().min(max).min(room.saturating_sub(overhead));
        if first == 0 {
            break;
        }
        // Full records go as a batch, and with them the short one at the end of the payload.
        let full = max + overhead;
        let most_at_once = usize::try_from(most).unwrap_or(BATCH).min(BATCH);
        let fulls = (rest.len() / max).min(room / full).min(most_at_once);
        let short = match rest.len() - fulls * max {
            short if fulls == most_at_once || short + overhead > room - fulls * full => 0,
            short => short.min(max),
        };
        let batch = fulls + usize::from(short > 0);
        let (count, len, written) = match &mut write.keys {
            Some(keys) if batch > 1 => {
                let len = fulls * max + short;
                let written = len + batch * overhead;
                let out = out.get_mut(..written).unwrap_or_default();
                keys.seal_batch(content_type, rest.split_at(len).0, max, out)?;
                (batch, len, written)
            }
            keys => {
                // A short record only at the end, or where no full one fits.
                let out = out.get_mut(..first + overhead).unwrap_or_default();
                let (head, _) = rest.split_at(first);
                match keys {
                    Some(keys) => keys.seal(content_type, head, out)?,
                    None => write_plain(content_type, write.plain_version, head, out),
                }
                (1, first, first + overhead)
            }
        };
        done.consumed += len;
        done.written += written;
        rest = rest.split_at(len).1;
        most -= count as u64;
    }
    Ok(done)
}

/// Writes one unprotected record.
fn write_plain(content_type: ContentType, version: u16, payload: Payload<'_>, out: &mut [u8]) {
    if let Some((head, body)) = out.split_first_chunk_mut::<HEADER_LEN>() {
        *head = header(content_type, version, payload.len());
        payload.copy_to(body);
    }
}

impl WriteKeys {
    /// Seals one record; `out` has just its length.
    fn seal(
        &mut self,
        content_type: ContentType,
        payload: Payload<'_>,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let aad = header(
            ContentType::APPLICATION_DATA,
            TLS12,
            payload.len() + 1 + self.tag_len,
        );
        let Some((head, body)) = out.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(Error::Usage("no room for a record"));
        };
        *head = aad;
        self.sealer.seal(&mut SealRecord {
            sequence: self.sequence,
            aad: &aad,
            payload,
            trailer: Trailer::content_type(content_type.0),
            out: body,
        })?;
        self.sequence += 1;
        Ok(())
    }

    /// Seals records of `max` bytes, the last of which may be shorter, into `out`, which has
    /// just their length.
    fn seal_batch(
        &mut self,
        content_type: ContentType,
        payload: Payload<'_>,
        max: usize,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let count = payload.len().div_ceil(max);
        let full = HEADER_LEN + max + 1 + self.tag_len;
        let piece_len = |n: usize| max.min(payload.len().saturating_sub(n * max));
        let headers: [_; BATCH] = array::from_fn(|n| {
            let len = piece_len(n) + 1 + self.tag_len;
            header(ContentType::APPLICATION_DATA, TLS12, len)
        });
        let mut places = out.chunks_mut(full).zip(&headers);
        let mut rest = payload;
        let sequence = self.sequence;
        let mut records: [SealRecord<'_>; BATCH] = array::from_fn(|n| {
            let (piece, behind) = rest.split_at(max);
            rest = behind;
            let (aad, body): (&[u8], &mut [u8]) = match places.next() {
                Some((place, header)) => match place.split_first_chunk_mut() {
                    Some((head, body)) => {
                        *head = *header;
                        (header, body)
                    }
                    None => (header, &mut []),
                },
                None => (&[], &mut []),
            };
            SealRecord {
                // The limit on records per key keeps this far from wrapping.
                sequence: sequence.wrapping_add(n as u64),
                aad,
                payload: piece,
                trailer: Trailer::content_type(content_type.0),
                out: body,
            }
        });
        if let Some(records) = records.get_mut(..count) {
            self.sealer.seal_batch(records)?;
        }
        self.sequence += count as u64;
        Ok(())
    }
}
