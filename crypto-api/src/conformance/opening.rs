//! Record protection: what a peer can send.

use alloc::vec;
use alloc::vec::Vec;

use super::records::{AAD, BATCHES, Key, batch_lengths};
use super::{has_plaintext, pattern};
use crate::{Error, NONCE_LEN, OpenRecord, RecordOpener};

/// Checks that a forged record is refused and that nothing of its plaintext is left.
pub(super) fn refuses(
    key: &Key<'_>,
    opener: &mut dyn RecordOpener,
    sequence: u64,
    aad: &[u8],
    forged: &mut [u8],
    plaintext: &[u8],
) {
    let name = &key.name;
    let outcome = opener.open(sequence, aad, forged);
    assert_eq!(
        outcome,
        Err(Error::BadTag),
        "{name}: a forged record of {} bytes",
        plaintext.len()
    );
    assert!(
        !has_plaintext(forged, plaintext),
        "{name}: the plaintext of a forged record of {} bytes is left in the buffer",
        plaintext.len()
    );
}

pub(super) fn forgeries(key: &Key<'_>) {
    let mut opener = key.opener();
    for len in [0, 1, 16, 37] {
        let plaintext = pattern(10, len);
        let sealed = key.seal(7, AAD, &plaintext);
        // Every bit of ciphertext and tag.
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            refuses(key, &mut *opener, 7, AAD, &mut forged, &plaintext);
        }
        // Every bit of the header.
        for bit in 0..AAD.len() * 8 {
            let mut aad = AAD.to_vec();
            aad[bit / 8] ^= 1 << (bit % 8);
            refuses(key, &mut *opener, 7, &aad, &mut sealed.clone(), &plaintext);
        }
        // Every bit of the sequence number.
        for bit in 0..64 {
            let sequence = 7 ^ (1 << bit);
            let forged = &mut sealed.clone();
            refuses(key, &mut *opener, sequence, AAD, forged, &plaintext);
        }
        // Bytes cut off and bytes appended, at either end.
        for n in 1..=sealed.len() {
            refuses(
                key,
                &mut *opener,
                7,
                AAD,
                &mut sealed.clone()[n..],
                &plaintext[n.min(len)..],
            );
            let end = sealed.len() - n;
            refuses(
                key,
                &mut *opener,
                7,
                AAD,
                &mut sealed.clone()[..end],
                &plaintext,
            );
        }
        let mut longer = sealed.clone();
        longer.push(0);
        refuses(key, &mut *opener, 7, AAD, &mut longer, &plaintext);
        let mut longer = vec![0];
        longer.extend(&sealed);
        refuses(key, &mut *opener, 7, AAD, &mut longer, &plaintext);
    }
    // Long records take other ways through a backend: each byte of the tag, and some of
    // the ciphertext in every block of 64.
    for len in [1024, 16_385] {
        let plaintext = pattern(11, len);
        let sealed = key.seal(7, AAD, &plaintext);
        let in_tag = len..sealed.len();
        for at in (0..len)
            .step_by(if len > 4096 { 911 } else { 61 })
            .chain(in_tag)
        {
            let mut forged = sealed.clone();
            forged[at] ^= 0x80;
            refuses(key, &mut *opener, 7, AAD, &mut forged, &plaintext);
        }
    }
}

pub(super) fn additional_data(key: &Key<'_>) {
    let name = &key.name;
    let mut opener = key.opener();
    let bytes = pattern(12, 1000);
    let plaintext = pattern(13, 50);
    for len in (0..=70).chain([127, 128, 129, 255, 256, 257, 1000]) {
        let aad = &bytes[..len];
        let sealed = key.seal(3, aad, &plaintext);
        assert_eq!(
            opener.open(3, aad, &mut sealed.clone()),
            Ok(plaintext.len()),
            "{name}: open with {len} bytes of additional data"
        );
        let mut longer = aad.to_vec();
        longer.push(0);
        refuses(
            key,
            &mut *opener,
            3,
            &longer,
            &mut sealed.clone(),
            &plaintext,
        );
        if let Some((_, shorter)) = aad.split_last() {
            refuses(
                key,
                &mut *opener,
                3,
                shorter,
                &mut sealed.clone(),
                &plaintext,
            );
        }
    }
}

pub(super) fn other_keys(key: &Key<'_>) {
    let plaintext = pattern(14, 300);
    let sealed = key.seal(0, AAD, &plaintext);
    for bit in (0..key.key.len() * 8).step_by(7) {
        let mut other = Key::new(key.suite, 1);
        other.key[bit / 8] ^= 1 << (bit % 8);
        refuses(
            key,
            &mut *other.opener(),
            0,
            AAD,
            &mut sealed.clone(),
            &plaintext,
        );
    }
    for bit in 0..NONCE_LEN * 8 {
        let mut other = Key::new(key.suite, 1);
        other.iv[bit / 8] ^= 1 << (bit % 8);
        refuses(
            key,
            &mut *other.opener(),
            0,
            AAD,
            &mut sealed.clone(),
            &plaintext,
        );
    }
}

pub(super) fn short_records(key: &Key<'_>) {
    let mut opener = key.opener();
    for len in 0..=key.tag_len + 2 {
        refuses(key, &mut *opener, 0, AAD, &mut vec![0; len], &[]);
        refuses(key, &mut *opener, 0, AAD, &mut pattern(15, len), &[]);
    }
}

/// Records that a sender sealed, with the sequence numbers `0..`.
fn sealed_records(key: &Key<'_>, count: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let plaintexts: Vec<_> = (20..)
        .zip(batch_lengths(count))
        .map(|(seed, len)| pattern(seed, len))
        .collect();
    let sealed = (0..)
        .zip(&plaintexts)
        .map(|(sequence, plaintext)| key.seal(sequence, AAD, plaintext))
        .collect();
    (plaintexts, sealed)
}

fn open_records(buffers: &mut [Vec<u8>], first: u64) -> Vec<OpenRecord<'_>> {
    (first..)
        .zip(buffers)
        .map(|(sequence, in_out)| OpenRecord {
            sequence,
            aad: AAD,
            in_out,
            plaintext_len: 0,
        })
        .collect()
}

/// Opens as many of `buffers` as `opener` does, and checks them and what is behind them.
/// Returns how many, and the error that it stopped at.
fn open_all(
    key: &Key<'_>,
    opener: &mut dyn RecordOpener,
    buffers: &mut [Vec<u8>],
    plaintexts: &[Vec<u8>],
) -> (usize, Option<Error>) {
    let name = &key.name;
    let sealed = buffers.to_vec();
    let mut opened = 0;
    loop {
        let mut records = open_records(&mut buffers[opened..], opened as u64);
        if records.is_empty() {
            return (opened, None);
        }
        let count = records.len();
        let outcome = opener.open_batch(&mut records);
        let lengths: Vec<_> = records.iter().map(|record| record.plaintext_len).collect();
        let n = match outcome {
            Ok(n) => n,
            Err(error) => {
                assert!(
                    buffers[opened + 1..] == sealed[opened + 1..],
                    "{name}: a batch whose first record is bad: what is behind it was changed"
                );
                return (opened, Some(error));
            }
        };
        assert!(
            (1..=count).contains(&n),
            "{name}: opened {n} records of a batch of {count}"
        );
        for (at, len) in (opened..opened + n).zip(lengths) {
            assert!(
                buffers[at].get(..len) == Some(&plaintexts[at][..]),
                "{name}: record {at} of a batch does not open to what was sealed"
            );
        }
        opened += n;
        assert!(
            buffers[opened..] == sealed[opened..],
            "{name}: a batch changed records behind those that it says it opened"
        );
    }
}

pub(super) fn open_batch(key: &Key<'_>) {
    let name = &key.name;
    let mut opener = key.opener();
    assert_eq!(opener.open_batch(&mut []), Ok(0), "{name}: an empty batch");
    for count in BATCHES {
        let (plaintexts, mut buffers) = sealed_records(key, count);
        let outcome = open_all(key, &mut *opener, &mut buffers, &plaintexts);
        assert_eq!(outcome, (count, None), "{name}: a batch of {count}");
    }
}

/// Makes a bad record of a good one.
type Forge = fn(&mut Vec<u8>);

pub(super) fn open_batch_with_a_forgery(key: &Key<'_>) {
    let name = &key.name;
    let mut opener = key.opener();
    let count = 12;
    let (plaintexts, sealed) = sealed_records(key, count);
    let forgeries: [Forge; 5] = [
        |record| *record.last_mut().expect("a tag") ^= 1,
        |record| record[0] ^= 0x10,
        |record| record.truncate(record.len() / 2),
        |record| record.truncate(3),
        Vec::clear,
    ];
    for bad in 0..count {
        for forge in forgeries {
            let mut buffers = sealed.clone();
            forge(&mut buffers[bad]);
            let outcome = open_all(key, &mut *opener, &mut buffers, &plaintexts);
            assert_eq!(
                outcome,
                (bad, Some(Error::BadTag)),
                "{name}: a batch of {count} whose record {bad} is forged"
            );
            assert!(
                !has_plaintext(&buffers[bad], &plaintexts[bad]),
                "{name}: the plaintext of forged record {bad} of a batch is left in the buffer"
            );
        }
    }
}

/// The peer sends a KeyUpdate and goes on under its next key with sequence numbers from
/// zero: the records behind must come out of the batch as they were.
pub(super) fn open_batch_across_a_key_update(key: &Key<'_>) {
    let name = &key.name;
    let next = Key::new(key.suite, 2);
    let count = 9;
    for old in 1..count {
        let (mut plaintexts, mut buffers) = sealed_records(key, old);
        let (under_next, sealed_next) = sealed_records(&next, count - old);
        plaintexts.extend(under_next.iter().cloned());
        buffers.extend(sealed_next.iter().cloned());

        let mut opener = key.opener();
        let mut opened = 0;
        while opened < old {
            let mut records = open_records(&mut buffers[opened..], opened as u64);
            let n = opener
                .open_batch(&mut records)
                .unwrap_or_else(|error| panic!("{name}: a batch before a KeyUpdate: {error}"));
            opened += n.max(1);
        }
        assert_eq!(
            opened, old,
            "{name}: a batch opened records that are under the next key"
        );
        assert!(
            buffers[old..] == sealed_next[..],
            "{name}: a batch changed records that are under the next key"
        );
        let outcome = open_all(
            &next,
            &mut *next.opener(),
            &mut buffers[old..],
            &plaintexts[old..],
        );
        assert_eq!(outcome, (count - old, None), "{name}: after a KeyUpdate");
    }
}
