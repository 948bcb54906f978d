//! The same bytes as another implementation gives, whatever the shape of the record.

use crypto_api::{CipherSuite, Error, OpenRecord, Payload, RecordAead, SealRecord, Trailer};

use crate::{Numbers, Secrets, soft};

/// Every length up to this one, in bytes: more than two strides of the widest kernel, and more
/// than four passes of ChaCha20's, with what each leaves over.
fn every(id: CipherSuite) -> usize {
    match id {
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256 => 4200,
        _ => 1100,
    }
}

/// The longest record, in bytes.
const LONGEST: usize = 40_000;

const PLAIN: Trailer = Trailer {
    content_type: None,
    padding: 0,
};

#[test]
fn every_length_and_tail() {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(1);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let by = ours.implementation();
        let secrets = Secrets::new(&mut numbers, ours);
        let text = numbers.bytes(LONGEST);
        let longer = (0..60).map(|_| numbers.up_to(LONGEST)).collect::<Vec<_>>();
        for len in (0..=every(kernel.id))
            .chain([16_383, 16_384, 16_385, LONGEST])
            .chain(longer)
        {
            let (aad, sequence) = (numbers.bytes(5), numbers.next());
            let payload = Payload::from(&text[..len]);
            // Whole strides with a content type behind them, as of a full record, too.
            let trailer = if len % 2 == 0 && len % 256 != 0 {
                PLAIN
            } else {
                Trailer::content_type(23)
            };
            let sealed = secrets.seal(ours, sequence, &aad, payload, trailer);
            let expected = secrets.seal(theirs, sequence, &aad, payload, trailer);
            assert!(
                sealed == expected,
                "{by}: {len} bytes are sealed differently"
            );
            let opened = secrets.open(ours, sequence, &aad, &sealed);
            let opened = opened.unwrap_or_else(|error| panic!("{by}: {len} bytes: {error}"));
            assert!(
                opened[..len] == text[..len],
                "{by}: {len} bytes are opened differently"
            );
        }
    }
}

/// Counters of blocks carry: past 1 MiB those of AES have more than two bytes.
#[test]
fn a_record_whose_counters_carry() {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(7);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let by = ours.implementation();
        let secrets = Secrets::new(&mut numbers, ours);
        let text = numbers.bytes((1 << 20) + 5000);
        let payload = Payload::from(&text[..]);
        let sealed = secrets.seal(ours, 1, &[], payload, PLAIN);
        assert!(
            sealed == secrets.seal(theirs, 1, &[], payload, PLAIN),
            "{by}"
        );
        let opened = secrets.open(ours, 1, &[], &sealed);
        assert!(opened.is_ok_and(|opened| opened == text), "{by}");
    }
}

/// Ciphertext and additional data that make the sums of an authenticator as large as they get.
#[test]
fn ciphertext_of_ones_alone() {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(8);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let by = ours.implementation();
        for len in [64, 320, 1024, 5000] {
            for _ in 0..20 {
                let secrets = Secrets::new(&mut numbers, ours);
                let seal =
                    |aead, text: &[u8]| secrets.seal(aead, 2, &[0xff; 64], text.into(), PLAIN);
                let mut text = seal(theirs, &vec![0; len]);
                text.truncate(len);
                text.iter_mut().for_each(|byte| *byte ^= 0xff);
                let sealed = seal(ours, &text);
                assert!(
                    sealed[..len].iter().all(|byte| *byte == 0xff),
                    "{by}: {len}"
                );
                assert!(sealed == seal(theirs, &text), "{by}: {len}");
                let opened = secrets.open(ours, 2, &[0xff; 64], &sealed);
                assert!(opened.is_ok_and(|opened| opened == text), "{by}: {len}");
            }
        }
    }
}

/// Payloads and records at every distance from a boundary of 64 bytes, which do not touch what
/// is around them.
#[test]
fn every_alignment() {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(9);
        let ours = &*kernel.aead;
        let by = ours.implementation();
        let secrets = Secrets::new(&mut numbers, ours);
        for len in [40, 300, 2000] {
            let text = numbers.bytes(len);
            let expected = secrets.seal(ours, 1, &[5; 5], text[..].into(), PLAIN);
            for offset in 0..64 {
                let from = [vec![0; offset], text.clone()].concat();
                let mut buffer = vec![0xaa; offset + expected.len() + 64];
                let (front, out) = buffer.split_at_mut(offset);
                let (out, behind) = out.split_at_mut(expected.len());
                let mut sealer = ours.sealer(&secrets.key, &secrets.iv).unwrap();
                let mut record = SealRecord {
                    sequence: 1,
                    aad: &[5; 5],
                    payload: from[offset..].into(),
                    trailer: PLAIN,
                    out,
                };
                sealer.seal(&mut record).unwrap();
                assert!(*out == expected, "{by}: {len} at {offset}");
                let mut opener = ours.opener(&secrets.key, &secrets.iv).unwrap();
                assert_eq!(opener.open(1, &[5; 5], out), Ok(len));
                assert!(out[..len] == text, "{by}: {len} at {offset}");
                let mut around = front.iter().chain(&*behind);
                assert!(around.all(|byte| *byte == 0xaa), "{by}: {len} at {offset}");
            }
        }
    }
}

/// Additional data, slices, padding and the place in memory of any kind.
#[test]
fn every_shape() {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(2);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let by = ours.implementation();
        for _ in 0..400 {
            let secrets = Secrets::new(&mut numbers, ours);
            let most = [40, 300, 3000, 20_000][numbers.up_to(3)];
            let len = numbers.up_to(most);
            let start = numbers.up_to(63);
            let text = numbers.bytes(start + len);
            let most = [5, 13, 100][numbers.up_to(2)];
            let aad_len = numbers.up_to(most);
            let aad = numbers.bytes(aad_len);
            let sequence = numbers.next();
            let mut slices = Vec::new();
            let mut rest = &text[start..];
            for _ in 0..numbers.up_to(4) {
                let (slice, behind) = rest.split_at(numbers.up_to(rest.len()));
                slices.push(slice);
                rest = behind;
            }
            slices.push(rest);
            let payload = Payload::from_slices(&slices);
            let trailer = Trailer {
                content_type: Some(numbers.next() as u8),
                padding: [0, 0, 1, 20, 700][numbers.up_to(4)],
            };
            let sealed = secrets.seal(ours, sequence, &aad, payload, trailer);
            let expected = secrets.seal(theirs, sequence, &aad, payload, trailer);
            assert!(
                sealed == expected,
                "{by}: {slices:?}, {trailer:?}",
                slices = slices.iter().map(|s| s.len()).collect::<Vec<_>>()
            );
            let opened = secrets.open(ours, sequence, &aad, &sealed).unwrap();
            assert!(opened[..len] == text[start..], "{by}: opened");
        }
    }
}

#[test]
fn batches_of_every_shape() {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(3);
        let ours = &*kernel.aead;
        let by = ours.implementation();
        for round in 0..100 {
            let secrets = Secrets::new(&mut numbers, ours);
            let most = [20, 300, 1500, 17_000][round % 4];
            let count = numbers.up_to(if most > 2000 { 9 } else { 33 });
            let same = round % 3 == 0;
            let all = numbers.up_to(most);
            let texts: Vec<_> = (0..count)
                .map(|_| {
                    let len = if same { all } else { numbers.up_to(most) };
                    numbers.bytes(len)
                })
                .collect();
            let first = numbers.next() >> 1;
            let trailer = Trailer {
                padding: [0, 1, 0, 0, 200][round % 5],
                ..Trailer::content_type(23)
            };
            // Some in one piece, some in two.
            let pieces: Vec<_> = texts
                .iter()
                .map(|text| text.split_at(text.len() / [1, 1, 3][round % 3]))
                .map(|(front, back)| [front, back])
                .collect();
            let mut outs: Vec<_> = texts
                .iter()
                .map(|text| vec![0xee; text.len() + trailer.len() + ours.tag_len()])
                .collect();
            let headers: Vec<_> = outs
                .iter()
                .map(|out| [23, 3, 3, (out.len() >> 8) as u8, out.len() as u8])
                .collect();
            let mut records: Vec<_> = pieces
                .iter()
                .zip(&mut outs)
                .zip(&headers)
                .zip(first..)
                .map(|(((pieces, out), aad), sequence)| SealRecord {
                    sequence,
                    aad,
                    payload: Payload::from_slices(pieces),
                    trailer,
                    out,
                })
                .collect();
            ours.sealer(&secrets.key, &secrets.iv)
                .unwrap()
                .seal_batch(&mut records)
                .unwrap();
            for (((text, out), aad), sequence) in texts.iter().zip(&outs).zip(&headers).zip(first..)
            {
                let single = secrets.seal(ours, sequence, aad, text[..].into(), trailer);
                assert!(
                    *out == single,
                    "{by}: {count} records, one of {} bytes",
                    text.len()
                );
            }
            let bad = numbers.up_to(2 * count + 1);
            open_again(ours, &secrets, first, &headers, &texts, &mut outs, bad);
        }
    }
}

/// Lengths around which a kernel takes another path, each next to every other: what is put off
/// until the next record is under way must not depend on that one's length.
#[test]
fn batches_of_unequal_neighbours() {
    const LENGTHS: [usize; 22] = [
        0, 1, 16, 47, 48, 63, 64, 112, 175, 239, 240, 255, 256, 271, 272, 300, 400, 512, 529, 700,
        1400, 5000,
    ];
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(10);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let by = ours.implementation();
        let secrets = Secrets::new(&mut numbers, ours);
        let text = numbers.bytes(5000);
        for a in LENGTHS {
            // Every length with this one on either side.
            let lens: Vec<_> = LENGTHS.into_iter().flat_map(|b| [a, b]).collect();
            let texts: Vec<_> = lens.iter().map(|len| text[..*len].to_vec()).collect();
            let trailer = Trailer::content_type(23);
            let mut outs: Vec<_> = lens
                .iter()
                .map(|len| vec![0xee; len + 1 + ours.tag_len()])
                .collect();
            let headers: Vec<_> = (0..).zip(&lens).map(|(n, _)| [n, 3, 3, 0, 0]).collect();
            let mut records: Vec<_> = texts
                .iter()
                .zip(&mut outs)
                .zip(&headers)
                .zip(0..)
                .map(|(((text, out), aad), sequence)| SealRecord {
                    sequence,
                    aad,
                    payload: text[..].into(),
                    trailer,
                    out,
                })
                .collect();
            let mut sealer = ours.sealer(&secrets.key, &secrets.iv).unwrap();
            sealer.seal_batch(&mut records).unwrap();
            for (((text, out), aad), sequence) in texts.iter().zip(&outs).zip(&headers).zip(0..) {
                let expected = secrets.seal(theirs, sequence, aad, text[..].into(), trailer);
                assert!(*out == expected, "{by}: {} bytes beside {a}", text.len());
            }
            let bad = numbers.up_to(outs.len());
            open_again(ours, &secrets, 0, &headers, &texts, &mut outs, bad);
        }
    }
}

/// Records of the same shape, which a kernel may work on together: every length around those at
/// which it takes another path, every number of them, each one forged. One of another shape is
/// among some of them.
#[test]
fn batches_of_equal_records() {
    let lens = (100..300).chain([700, 1400, 1408, 3700, 4070, 4071, 4096, 5000]);
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(11);
        let (ours, theirs) = (&*kernel.aead, &*soft(kernel.id).aead);
        let by = ours.implementation();
        let secrets = Secrets::new(&mut numbers, ours);
        for (round, len) in lens.clone().enumerate() {
            let count = 2 + round % 9;
            let mut texts: Vec<_> = (0..count).map(|_| numbers.bytes(len)).collect();
            let header = numbers.bytes([5, 13, 16, 17, 0][round % 5]);
            let mut headers = vec![header; count];
            let other = numbers.up_to(count - 1);
            match round % 4 {
                1 => drop(texts[other].pop()),
                2 => headers[other].push(0),
                3 => headers[other].iter_mut().for_each(|byte| *byte ^= 4),
                _ => {}
            }
            let trailer = Trailer::content_type(23);
            let first = numbers.next() >> 1;
            let mut expected: Vec<_> = texts
                .iter()
                .zip(&headers)
                .zip(first..)
                .map(|((text, aad), sequence)| {
                    secrets.seal(theirs, sequence, aad, text[..].into(), trailer)
                })
                .collect();
            let mut outs: Vec<_> = expected.iter().map(|out| vec![0xee; out.len()]).collect();
            let mut records: Vec<_> = texts
                .iter()
                .zip(&mut outs)
                .zip(&headers)
                .zip(first..)
                .map(|(((text, out), aad), sequence)| SealRecord {
                    sequence,
                    aad,
                    payload: text[..].into(),
                    trailer,
                    out,
                })
                .collect();
            let mut sealer = ours.sealer(&secrets.key, &secrets.iv).unwrap();
            sealer.seal_batch(&mut records).unwrap();
            assert!(outs == expected, "{by}: {count} records of {len} bytes");
            let bad = numbers.up_to(count);
            open_again(ours, &secrets, first, &headers, &texts, &mut expected, bad);
        }
    }
}

/// Opens a batch of which the record number `bad` is forged, if there are as many.
fn open_again(
    ours: &dyn RecordAead,
    secrets: &Secrets,
    first: u64,
    headers: &[impl AsRef<[u8]>],
    texts: &[Vec<u8>],
    outs: &mut [Vec<u8>],
    bad: usize,
) {
    let by = ours.implementation();
    if let Some(last) = outs.get_mut(bad).and_then(|out| out.last_mut()) {
        *last ^= 0x80;
    }
    let sealed = outs.to_vec();
    let mut opener = ours.opener(&secrets.key, &secrets.iv).unwrap();
    let mut done = 0;
    while done < outs.len() {
        let mut records: Vec<_> = outs
            .iter_mut()
            .zip(headers)
            .zip(first..)
            .skip(done)
            .map(|((in_out, aad), sequence)| OpenRecord {
                sequence,
                aad: aad.as_ref(),
                in_out,
                plaintext_len: 0,
            })
            .collect();
        let outcome = opener.open_batch(&mut records);
        let lens: Vec<_> = records.iter().map(|record| record.plaintext_len).collect();
        if done == bad {
            assert_eq!(outcome, Err(Error::BadTag), "{by}");
            let text_len = outs[bad].len() - ours.tag_len();
            assert!(outs[bad][..text_len].iter().all(|byte| *byte == 0), "{by}");
            assert!(outs[bad + 1..] == sealed[bad + 1..], "{by}");
            return;
        }
        let opened = outcome.unwrap();
        assert!((1..=bad - done).contains(&opened), "{by}: {opened}");
        for (at, len) in (done..done + opened).zip(lens) {
            let (plaintext, _) = outs[at].split_at(len);
            let (text, trailer) = plaintext.split_at(texts[at].len());
            assert!(text == texts[at], "{by}: opened");
            let (content_type, padding) = trailer.split_first().unwrap();
            assert!(*content_type == 23 && padding.iter().all(|byte| *byte == 0));
        }
        done += opened;
        assert!(
            outs[done..] == sealed[done..],
            "{by}: record {done} of a batch"
        );
    }
}

/// Whatever bit is flipped, wherever.
#[test]
fn no_forgery_is_taken() {
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(4);
        let ours = &*kernel.aead;
        let by = ours.implementation();
        let secrets = Secrets::new(&mut numbers, ours);
        for len in [
            0, 1, 15, 16, 17, 63, 64, 100, 128, 255, 256, 257, 600, 1400, 5000,
        ] {
            let text = numbers.bytes(len);
            let aad = numbers.bytes(5);
            let sealed = secrets.seal(ours, 7, &aad, text[..].into(), PLAIN);
            let bits = 8 * sealed.len();
            let some = (0..200)
                .map(|_| numbers.up_to(bits - 1))
                .collect::<Vec<_>>();
            for bit in (0..bits).filter(|_| bits <= 1000).chain(some) {
                let mut forged = sealed.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(
                    secrets.open(ours, 7, &aad, &forged),
                    Err(Error::BadTag),
                    "{by}: bit {bit} of {len} bytes"
                );
            }
            for bit in 0..40 {
                let mut other = aad.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(
                    secrets.open(ours, 7, &other, &sealed),
                    Err(Error::BadTag),
                    "{by}"
                );
                assert_eq!(
                    secrets.open(ours, 7 ^ 1 << bit, &aad, &sealed),
                    Err(Error::BadTag),
                    "{by}"
                );
            }
            for short in 0..sealed.len() {
                assert_eq!(
                    secrets.open(ours, 7, &aad, &sealed[..short]),
                    Err(Error::BadTag),
                    "{by}"
                );
            }
        }
    }
}
