//! Record protection: sealing, and the errors of a caller.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{cut, has_plaintext, opening, pattern};
use crate::{Error, NONCE_LEN, Payload, RecordOpener, RecordSealer, SealRecord, Suite, Trailer};

/// Checks the record protection of a cipher suite, both directions.
///
/// # Panics
/// When a check fails.
pub fn suite(suite: &Suite) {
    let key = Key::new(suite, 1);
    key_lengths(&key);
    seals_and_opens_every_length(&key);
    slices_do_not_matter(&key);
    sequence_goes_into_the_nonce(&key);
    wrong_output_length(&key);
    seal_batch(&key);
    opening::forgeries(&key);
    opening::additional_data(&key);
    opening::other_keys(&key);
    opening::short_records(&key);
    opening::open_batch(&key);
    opening::open_batch_with_a_forgery(&key);
    opening::open_batch_across_a_key_update(&key);
}

/// The header of a TLS 1.3 record, as additional data.
pub(super) const AAD: &[u8] = &[23, 3, 3, 0x40, 0x11];

/// A key of the suite under test.
pub(super) struct Key<'a> {
    /// For messages.
    pub(super) name: String,
    pub(super) suite: &'a Suite,
    pub(super) key: Vec<u8>,
    pub(super) iv: [u8; NONCE_LEN],
    pub(super) tag_len: usize,
}

impl<'a> Key<'a> {
    pub(super) fn new(suite: &'a Suite, seed: u64) -> Self {
        let mut iv = [0; NONCE_LEN];
        iv.copy_from_slice(&pattern(seed + 1000, NONCE_LEN));
        Self {
            name: format!("{} from {}", suite.id, suite.aead.implementation()),
            suite,
            key: pattern(seed, suite.aead.key_len()),
            iv,
            tag_len: suite.aead.tag_len(),
        }
    }

    pub(super) fn sealer(&self) -> Box<dyn RecordSealer> {
        self.suite
            .aead
            .sealer(&self.key, &self.iv)
            .unwrap_or_else(|error| panic!("{}: no sealer: {error}", self.name))
    }

    pub(super) fn opener(&self) -> Box<dyn RecordOpener> {
        self.suite
            .aead
            .opener(&self.key, &self.iv)
            .unwrap_or_else(|error| panic!("{}: no opener: {error}", self.name))
    }

    /// Seals with `sealer`, or panics.
    fn seal_with(
        &self,
        sealer: &mut dyn RecordSealer,
        sequence: u64,
        aad: &[u8],
        payload: Payload<'_>,
        trailer: Trailer,
    ) -> Vec<u8> {
        let mut out = vec![0xa5; payload.len() + trailer.len() + self.tag_len];
        let mut record = SealRecord {
            sequence,
            aad,
            payload,
            trailer,
            out: &mut out,
        };
        sealer.seal(&mut record).unwrap_or_else(|error| {
            panic!("{}: seal of {} bytes: {error}", self.name, payload.len())
        });
        out
    }

    /// Seals with a key of its own, in one slice and without a trailer.
    pub(super) fn seal(&self, sequence: u64, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let sealer = &mut *self.sealer();
        self.seal_with(sealer, sequence, aad, plaintext.into(), Trailer::default())
    }
}

/// Every short length, and those on either side of what blocks, vectors of blocks and TLS
/// records end at: 2^14 + 256 is the longest ciphertext that a peer may send.
fn lengths() -> BTreeSet<usize> {
    let around = |step: usize, end: usize| {
        (step..=end)
            .step_by(step)
            .flat_map(|len| [len - 1, len, len + 1])
    };
    (0..=300)
        .chain(around(16, 1024))
        .chain(around(64, 4096))
        .chain(around(256, 16_640))
        .filter(|len| *len <= 16_640)
        .collect()
}

fn key_lengths(key: &Key<'_>) {
    let (name, right) = (&key.name, key.key.len());
    for len in (0..=64).filter(|len| *len != right) {
        let wrong = pattern(2, len);
        for error in [
            key.suite.aead.sealer(&wrong, &key.iv).err(),
            key.suite.aead.opener(&wrong, &key.iv).err(),
        ] {
            assert!(
                matches!(error, Some(Error::WrongLength { .. })),
                "{name}: a key of {len} bytes instead of {right} gives {error:?}"
            );
        }
    }
}

fn seals_and_opens_every_length(key: &Key<'_>) {
    let name = &key.name;
    let (mut sealer, mut other) = (key.sealer(), key.sealer());
    let mut opener = key.opener();
    for (sequence, len) in (0..).zip(lengths()) {
        let plaintext = pattern(sequence, len);
        let whole = Payload::from(&plaintext[..]);
        let sealed = key.seal_with(&mut *sealer, sequence, AAD, whole, Trailer::default());
        assert!(
            !has_plaintext(&sealed, &plaintext),
            "{name}: the ciphertext of {len} bytes shows the plaintext"
        );

        // A second key object that gets the same bytes in pieces.
        let pieces = cut(&plaintext, &[1, 0, 15, 64, 5, 256, 100, 1000]);
        let pieces = Payload::from_slices(&pieces);
        let again = key.seal_with(&mut *other, sequence, AAD, pieces, Trailer::default());
        assert!(
            sealed == again,
            "{name}: {len} bytes in pieces seal to other bytes than in one"
        );

        // One bit that is wrong, at another place for each length.
        let mut forged = sealed.clone();
        let at = len.wrapping_mul(0x9e37_79b9) % forged.len();
        forged[at] ^= 1 << (len % 8);
        opening::refuses(key, &mut *opener, sequence, AAD, &mut forged, &plaintext);

        let mut opened = sealed;
        let n = opener.open(sequence, AAD, &mut opened);
        assert_eq!(n, Ok(len), "{name}: open of {len} bytes");
        assert!(
            opened[..len] == plaintext,
            "{name}: {len} bytes do not open to what was sealed"
        );
    }
}

fn slices_do_not_matter(key: &Key<'_>) {
    let name = &key.name;
    let mut sealer = key.sealer();
    let bytes = pattern(3, 1000);
    let trailers = [
        Trailer::default(),
        Trailer::content_type(23),
        Trailer {
            content_type: Some(22),
            padding: 1,
        },
        Trailer {
            content_type: Some(21),
            padding: 300,
        },
        Trailer {
            content_type: None,
            padding: 9,
        },
    ];
    for trailer in trailers {
        for len in [
            0, 1, 2, 15, 16, 17, 31, 63, 64, 127, 128, 255, 256, 511, 999,
        ] {
            let payload = &bytes[..len];
            let mut plaintext = payload.to_vec();
            plaintext.extend(trailer.content_type);
            plaintext.resize(plaintext.len() + trailer.padding, 0);
            let expected = key.seal(9, AAD, &plaintext);
            for lengths in [
                &[1][..],
                &[2],
                &[0, 3],
                &[7, 16, 0, 0, 1],
                &[16],
                &[48, 64],
                &[100, 3],
                &[255, 257],
                &[2000],
            ] {
                let pieces = cut(payload, lengths);
                let payload = Payload::from_slices(&pieces);
                let sealed = key.seal_with(&mut *sealer, 9, AAD, payload, trailer);
                assert!(
                    sealed == expected,
                    "{name}: {len} bytes in pieces of {lengths:?} with {trailer:?} seal to \
                     other bytes than in one"
                );
                // A window over the pieces, as a long write is cut into records.
                let (head, tail) = payload.split_at(len / 3);
                for (part, range) in [(head, 0..len / 3), (tail, len / 3..len)] {
                    let sealed = key.seal_with(&mut *sealer, 9, AAD, part, Trailer::default());
                    assert!(
                        sealed == key.seal(9, AAD, &bytes[range.clone()]),
                        "{name}: the bytes {range:?} as a window over slices seal to other \
                         bytes than in one"
                    );
                }
            }
        }
    }
}

fn sequence_goes_into_the_nonce(key: &Key<'_>) {
    let name = &key.name;
    let plaintext = pattern(4, 100);
    let sequences = [
        0,
        1,
        0xff,
        0x0102_0304_0506_0708,
        u64::from(u32::MAX),
        1 << 32,
        1 << 63,
        u64::MAX,
    ];
    let mut seen = BTreeSet::new();
    for sequence in sequences {
        let sealed = key.seal(sequence, AAD, &plaintext);
        // RFC 9846, section 5.3: big-endian, on the right, XORed into the IV.
        let mut iv = key.iv;
        for (byte, part) in iv[4..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= part;
        }
        let first = Key {
            name: name.clone(),
            key: key.key.clone(),
            iv,
            ..*key
        };
        assert!(
            sealed == first.seal(0, AAD, &plaintext),
            "{name}: sequence number {sequence:#x} does not make the nonce of RFC 9846"
        );
        let mut opened = sealed.clone();
        assert_eq!(
            key.opener().open(sequence, AAD, &mut opened),
            Ok(100),
            "{name}: open with sequence number {sequence:#x}"
        );
        assert!(
            seen.insert(sealed),
            "{name}: sequence number {sequence:#x} seals as another one did"
        );
    }
}

fn wrong_output_length(key: &Key<'_>) {
    let name = &key.name;
    let mut sealer = key.sealer();
    let plaintext = pattern(5, 500);
    for len in [0, 1, 16, 64, 500] {
        let plaintext = &plaintext[..len];
        let right = len + 1 + key.tag_len;
        for wrong in [0, 1, len, len + 1, right - 1, right + 1, right + 16, 2000] {
            let mut out = vec![0xa5; wrong];
            let mut record = SealRecord {
                sequence: 0,
                aad: AAD,
                payload: plaintext.into(),
                trailer: Trailer::content_type(23),
                out: &mut out,
            };
            let outcome = sealer.seal(&mut record);
            assert!(
                matches!(
                    outcome,
                    Err(Error::WrongLength { expected, got, .. })
                        if expected == right && got == wrong
                ),
                "{name}: an output of {wrong} bytes instead of {right} gives {outcome:?}"
            );
            assert!(
                !has_plaintext(&out, plaintext),
                "{name}: a seal that failed leaves plaintext in its output"
            );
        }
        let sealed = key.seal_with(
            &mut *sealer,
            0,
            AAD,
            plaintext.into(),
            Trailer::content_type(23),
        );
        let mut whole = plaintext.to_vec();
        whole.push(23);
        assert!(
            sealed == key.seal(0, AAD, &whole),
            "{name}: after a seal that failed the key seals to other bytes"
        );
    }
}

/// Lengths of the records of a batch: some for vectors, some for what is left of them.
pub(super) fn batch_lengths(count: usize) -> Vec<usize> {
    let lengths = [1400, 0, 16_384, 1, 16, 65, 300, 4096, 15, 129, 16_385];
    lengths.into_iter().cycle().take(count).collect()
}

/// How many records there may be in a batch.
pub(super) const BATCHES: [usize; 8] = [0, 1, 2, 3, 4, 8, 11, 33];

fn seal_batch(key: &Key<'_>) {
    let name = &key.name;
    let mut sealer = key.sealer();
    for count in BATCHES {
        let plaintexts: Vec<_> = (0..)
            .zip(batch_lengths(count))
            .map(|(seed, len)| pattern(seed, len))
            .collect();
        let trailer = Trailer {
            content_type: Some(23),
            padding: count,
        };
        let mut expected = Vec::new();
        let mut one_by_one = key.sealer();
        for (n, plaintext) in (0..).zip(&plaintexts) {
            let sequence = u64::MAX - 7 * n;
            let aad = &AAD[..plaintext.len() % (AAD.len() + 1)];
            expected.push(key.seal_with(
                &mut *one_by_one,
                sequence,
                aad,
                plaintext[..].into(),
                trailer,
            ));
        }
        let pieces: Vec<_> = plaintexts
            .iter()
            .map(|plaintext| cut(plaintext, &[1000, 17, 1]))
            .collect();
        let mut outs: Vec<_> = expected
            .iter()
            .map(|sealed| vec![0; sealed.len()])
            .collect();
        let mut records: Vec<_> = (0..)
            .zip(&pieces)
            .zip(&mut outs)
            .map(|((n, pieces), out)| {
                let payload = Payload::from_slices(pieces);
                SealRecord {
                    sequence: u64::MAX - 7 * n,
                    aad: &AAD[..payload.len() % (AAD.len() + 1)],
                    payload,
                    trailer,
                    out,
                }
            })
            .collect();
        let outcome = sealer.seal_batch(&mut records);
        assert_eq!(outcome, Ok(()), "{name}: seal of a batch of {count}");
        assert!(
            outs == expected,
            "{name}: a batch of {count} seals to other bytes than its records one by one"
        );

        // A batch of which one record has no room for its tag.
        for broken in 0..count.min(4) {
            let mut outs: Vec<_> = expected
                .iter()
                .map(|sealed| vec![0; sealed.len()])
                .collect();
            outs[broken].pop();
            let mut records: Vec<_> = (0..)
                .zip(&plaintexts)
                .zip(&mut outs)
                .map(|((sequence, plaintext), out)| SealRecord {
                    sequence,
                    aad: AAD,
                    payload: plaintext[..].into(),
                    trailer,
                    out,
                })
                .collect();
            let outcome = sealer.seal_batch(&mut records);
            assert!(
                matches!(outcome, Err(Error::WrongLength { .. })),
                "{name}: a batch with too short an output gives {outcome:?}"
            );
            assert!(
                !outs
                    .iter()
                    .zip(&plaintexts)
                    .any(|(out, plaintext)| has_plaintext(out, plaintext)),
                "{name}: a batch that failed leaves plaintext in its outputs"
            );
        }
    }
}
