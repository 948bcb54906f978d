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
        // Full records before the last one can go as a batch.
        let full = max + overhead;
        let batch = (rest.len() / max)
            .min(room / full)
            .min(BATCH)
            .min(usize::try_from(most).unwrap_or(BATCH));
        let (count, len, written) = match &mut write.keys {
            Some(keys) if batch > 1 => {
                let out = out.get_mut(..batch * full).unwrap_or_default();
                keys.seal_batch(content_type, rest, max, out)?;
                (batch, batch * max, batch * full)
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

    /// Seals full records of `max` bytes into `out`, as many as just fit into it.
    fn seal_batch(
        &mut self,
        content_type: ContentType,
        payload: Payload<'_>,
        max: usize,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let aad = header(ContentType::APPLICATION_DATA, TLS12, max + 1 + self.tag_len);
        let full = HEADER_LEN + max + 1 + self.tag_len;
        let count = out.len() / full;
        let mut places = out.chunks_exact_mut(full);
        let mut rest = payload;
        let sequence = self.sequence;
        let mut records: [SealRecord<'_>; BATCH] = array::from_fn(|n| {
            let (piece, behind) = rest.split_at(max);
            rest = behind;
            let body = match places.next().and_then(<[u8]>::split_first_chunk_mut) {
                Some((head, body)) => {
                    *head = aad;
                    body
                }
                None => &mut [],
            };
            SealRecord {
                // The limit on records per key keeps this far from wrapping.
                sequence: sequence.wrapping_add(n as u64),
                aad: &aad,
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
