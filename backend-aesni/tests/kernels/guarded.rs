//! Not one byte is touched outside of what a kernel is given: every slice lies against a page
//! that must not be accessed, first with its end and then with its beginning.

use std::ptr;

use crypto_api::{Error, OpenRecord, SealRecord, Trailer};

use crate::{Numbers, Secrets};

/// Pages between two that must not be accessed.
struct Guarded {
    base: *mut u8,
    page: usize,
    /// Bytes between the guards.
    room: usize,
}

impl Guarded {
    fn new(at_least: usize) -> Self {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let room = at_least.next_multiple_of(page);
        // SAFETY: a new mapping of its own.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                room + 2 * page,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let base: *mut u8 = base.cast();
        // SAFETY: inside the mapping.
        let middle = unsafe { base.add(page) };
        // SAFETY: whole pages of the mapping.
        let outcome =
            unsafe { libc::mprotect(middle.cast(), room, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(outcome, 0);
        Self { base, page, room }
    }

    /// `len` bytes against the guard at the end or at the beginning.
    fn slice(&mut self, len: usize, at_end: bool) -> &mut [u8] {
        assert!(len <= self.room);
        let at = self.page + if at_end { self.room - len } else { 0 };
        // SAFETY: between the guards.
        let start = unsafe { self.base.add(at) };
        // SAFETY: readable and writable, zeros at first, and borrowed from `self` alone.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which nobody borrows any more.
        let outcome = unsafe { libc::munmap(self.base.cast(), self.room + 2 * self.page) };
        assert_eq!(outcome, 0);
    }
}

const LONGEST: usize = 17_000;

#[test]
fn nothing_outside_is_touched() {
    let mut places = [(); 3].map(|()| Guarded::new(LONGEST + 100));
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(5);
        let aead = &*kernel.aead;
        let secrets = Secrets::new(&mut numbers, aead);
        let some = (0..30).map(|_| numbers.up_to(LONGEST)).collect::<Vec<_>>();
        for len in (0..=700).chain([16_384, 16_385]).chain(some) {
            for at_end in [true, false] {
                let [text, aad, out] = &mut places;
                let text = text.slice(len, at_end);
                text.copy_from_slice(&numbers.bytes(len));
                let aad = aad.slice([5, 13, 0, 16, 33][len % 5], at_end);
                let out = out.slice(len + 1 + aead.tag_len(), at_end);
                let mut record = SealRecord {
                    sequence: 3,
                    aad,
                    payload: (&*text).into(),
                    trailer: Trailer::content_type(23),
                    out,
                };
                let mut sealer = aead.sealer(&secrets.key, &secrets.iv).unwrap();
                sealer.seal(&mut record).unwrap();
                let mut opener = aead.opener(&secrets.key, &secrets.iv).unwrap();
                assert_eq!(opener.open(3, aad, out), Ok(len + 1));
                assert_eq!(out[..len], *text);
            }
        }
    }
}

/// The records of a batch, each against its guard.
#[test]
fn nor_by_a_batch() {
    const COUNT: usize = 19;
    let mut places: Vec<_> = (0..2 * COUNT).map(|_| Guarded::new(4096)).collect();
    for kernel in backend_aesni::kernels_unchecked() {
        let mut numbers = Numbers(6);
        let aead = &*kernel.aead;
        let secrets = Secrets::new(&mut numbers, aead);
        for round in 0..40 {
            let (texts, outs) = places.split_at_mut(COUNT);
            let most = [30, 300, 2000][round % 3];
            // Of some, all have the same length.
            let all = numbers.up_to(most);
            let lens = (0..COUNT)
                .map(|_| match round % 4 {
                    0 | 1 => all,
                    _ => numbers.up_to(most),
                })
                .collect::<Vec<_>>();
            let at_end = round % 2 == 0;
            // The type is behind the text: in the last place there is, or in a vector of its own.
            let trailer = match round % 8 {
                0..4 => Trailer::default(),
                _ => Trailer::content_type(23),
            };
            let more = trailer.len() + aead.tag_len();
            let mut records: Vec<_> = texts
                .iter_mut()
                .zip(outs)
                .zip(&lens)
                .zip(0..)
                .map(|(((text, out), len), sequence)| SealRecord {
                    sequence,
                    aad: &[23, 3, 3, 0, 0],
                    payload: (&*text.slice(*len, at_end)).into(),
                    trailer,
                    out: out.slice(*len + more, at_end),
                })
                .collect();
            let mut sealer = aead.sealer(&secrets.key, &secrets.iv).unwrap();
            sealer.seal_batch(&mut records).unwrap();
            let mut opener = aead.opener(&secrets.key, &secrets.iv).unwrap();
            let mut records: Vec<_> = records
                .into_iter()
                .map(|record| OpenRecord {
                    sequence: record.sequence,
                    aad: record.aad,
                    in_out: record.out,
                    plaintext_len: 0,
                })
                .collect();
            // One is put back, or wiped.
            let bad = round % (COUNT + 1);
            if let Some(record) = records.get_mut(bad) {
                record.sequence ^= 1 << 40;
            }
            let mut done = 0;
            while done < bad {
                done += opener.open_batch(&mut records[done..]).unwrap();
            }
            assert_eq!(done, bad);
            if bad < COUNT {
                let outcome = opener.open_batch(&mut records[bad..]);
                assert_eq!(outcome, Err(Error::BadTag));
            }
            for (record, len) in records[..bad].iter().zip(&lens) {
                assert_eq!(record.plaintext_len, *len + trailer.len());
            }
        }
    }
}
