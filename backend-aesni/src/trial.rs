//! A kernel is tried before it is used.
//!
//! CPUs with the widest registers are the rarest, and emulators and microcode err there first: a
//! wrong kernel must not be what the first connection finds out. So each seals and opens records
//! whose outcome is known. And the frames that this build gives it are measured meanwhile, so
//! that what it leaves on the stack is wiped, and no more: see [`Depth`](crate::low::depth).

use crypto_api::{
    CipherSuite, Error, NONCE_LEN, OpenRecord, Payload, RecordAead, RecordOpener, RecordSealer,
    SealRecord, Suite, Trailer,
};

use crate::low::depth;
use crate::record::{Aead, Kernel, KeyBytes};

/// Whether a kernel seals as its suite should, and opens that again.
pub(crate) fn is_right(suite: &Suite) -> bool {
    // Of `sample`, by any other implementation.
    let expected = match suite.id {
        CipherSuite::TLS_AES_128_GCM_SHA256 => 0x1bfc_4189_e56e_fd11,
        CipherSuite::TLS_AES_256_GCM_SHA384 => 0x96e5_18cc_e6fb_58b7,
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256 => 0xc145_c820_32c8_8176,
        CipherSuite::TLS_AES_128_CCM_SHA256 => 0xa7d0_ebc2_9962_4c4d,
        CipherSuite::TLS_AES_128_CCM_8_SHA256 => 0xbe44_10d4_46fd_c6fa,
        _ => return false,
    };
    sample(&*suite.aead).is_ok_and(|sealed| digest(&sealed) == expected)
}

/// Fowler, Noll and Vo's (FNV-1a). No one chooses the bytes, so it need not withstand anyone.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Records of lengths that take every path of a kernel, sealed and opened again, one by one
/// and as a batch.
fn sample(aead: &dyn RecordAead) -> Result<Vec<u8>, Error> {
    const LENGTHS: [usize; 12] = [0, 30, 100, 150, 230, 255, 257, 300, 510, 700, 1400, 2100];
    let key = KEY.get(..aead.key_len()).unwrap_or_default();
    let mut sealer = aead.sealer(key, &[0xc3; 12])?;
    let mut opener = aead.opener(key, &[0xc3; 12])?;
    let texts = LENGTHS.map(pieces);
    let mut all = LENGTHS.map(|len| vec![0; Form::Typed.sealed_len(len, aead.tag_len())]);
    let mut one_by_one = Vec::new();
    for ((sequence, text), out) in (0..).zip(&texts).zip(&mut all) {
        sealer.seal(&mut Form::Typed.record(text, sequence, &HEADER, out))?;
        one_by_one.extend_from_slice(out);
        let len = opener.open(sequence, &HEADER, out)?;
        let opened = out.get(..len).and_then(|opened| opened.split_last());
        if opened.is_none_or(|(_, opened)| !TEXT.starts_with(opened)) {
            return Err(Error::BadTag);
        }
    }
    let mut batch: Vec<_> = (0..)
        .zip(&texts)
        .zip(&mut all)
        .map(|((sequence, text), out)| Form::Typed.record(text, sequence, &HEADER, out))
        .collect();
    sealer.seal_batch(&mut batch)?;
    if all.concat() != one_by_one {
        return Err(Error::BadTag);
    }
    let mut batch = to_open(&mut all, &HEADER);
    let mut done = 0;
    while let Some(rest) = batch.get_mut(done..).filter(|rest| !rest.is_empty()) {
        done += opener.open_batch(rest)?.max(1);
    }
    let good = |record: &OpenRecord<'_>| {
        let opened = record.in_out.get(..record.plaintext_len);
        let opened = opened.and_then(|opened| opened.split_last());
        opened.is_some_and(|(_, opened)| TEXT.starts_with(opened))
    };
    if !batch.iter().all(good) {
        return Err(Error::BadTag);
    }
    Ok(one_by_one)
}

/// What has frames to be measured.
pub(crate) trait Measured: Send + Sync {
    /// Finds out how much of the stack is to be wiped after each operation.
    ///
    /// # Errors
    /// When the kernel refuses what it sealed, or opens what is forged.
    fn measure(&self) -> Result<(), Error>;

    /// What was found out.
    #[cfg(test)]
    fn depths(&self) -> &'static depth::Depths;
}

impl<K: Kernel> Measured for Aead<K> {
    fn measure(&self) -> Result<(), Error> {
        // Before what is measured: allocating takes stack, too.
        let begin = || Ok((Box::new(K::blank(self.0)), Subject::new(self)?));
        K::depths().measure(begin, |(kernel, subject)| {
            if let Some(key) = KEY.get(..K::Key::LEN).and_then(K::Key::of) {
                depth::prepare();
                kernel.set_key(key);
            }
            subject.exercise()
        })
    }

    #[cfg(test)]
    fn depths(&self) -> &'static depth::Depths {
        K::depths()
    }
}

/// The longest text that is tried; shorter ones are its front.
static TEXT: [u8; TEXT_MAX] = {
    let mut text = [0; TEXT_MAX];
    let mut at = 0;
    while at < TEXT_MAX {
        text[at] = at as u8;
        at += 1;
    }
    text
};
const TEXT_MAX: usize = 5000;

/// What there is to be sealed.
#[derive(Clone, Copy)]
enum Form {
    /// One piece, and a content type behind it.
    Typed,
    /// One piece, and nothing behind it.
    Plain,
    /// Two pieces, a content type and padding.
    Padded,
}

const FORMS: [Form; 3] = [Form::Typed, Form::Plain, Form::Padded];

/// A text as a whole, and in two pieces.
type Pieces = (&'static [u8], [&'static [u8]; 2]);

impl Form {
    fn trailer(self) -> Trailer {
        match self {
            Self::Typed => Trailer::content_type(23),
            Self::Plain => Trailer::default(),
            Self::Padded => Trailer {
                padding: 3,
                ..Trailer::content_type(23)
            },
        }
    }

    fn sealed_len(self, len: usize, tag_len: usize) -> usize {
        len + self.trailer().len() + tag_len
    }

    fn record<'a>(
        self,
        pieces: &'a Pieces,
        sequence: u64,
        aad: &'a [u8],
        out: &'a mut [u8],
    ) -> SealRecord<'a> {
        let (text, pieces) = pieces;
        SealRecord {
            sequence,
            aad,
            payload: match self {
                Self::Typed | Self::Plain => (*text).into(),
                Self::Padded => Payload::from_slices(pieces),
            },
            trailer: self.trailer(),
            out,
        }
    }
}

/// What tag is to be verified.
#[derive(Clone, Copy)]
enum Tag {
    Right,
    Wrong,
}

/// A key for both directions.
struct Subject {
    sealer: Box<dyn RecordSealer>,
    opener: Box<dyn RecordOpener>,
    tag_len: usize,
    aad: &'static [u8],
}

impl Subject {
    fn new(aead: &dyn RecordAead) -> Result<Self, Error> {
        let key = KEY.get(..aead.key_len()).unwrap_or_default();
        let mut subject = Self {
            sealer: aead.sealer(key, &[0xc3; NONCE_LEN])?,
            opener: aead.opener(key, &[0xc3; NONCE_LEN])?,
            tag_len: aead.tag_len(),
            aad: &HEADER,
        };
        // What the first long record makes of a key is wiped apart, and so is the memory that
        // the second short one of a row is given.
        for (sequence, len) in [(0, TEXT_MAX), (1, 1), (2, 1)] {
            subject.record(Form::Typed, sequence, len, Tag::Right)?;
        }
        Ok(subject)
    }

    /// Has each operation done on all paths that may take more of the stack than others, as
    /// [`Depths::measure`](depth::Depths::measure) asks for.
    fn exercise(&mut self) -> Result<(), Error> {
        // Around the borders of blocks, registers, strides and passes, and where records get
        // long.
        const LENGTHS: [usize; 19] = [
            0, 1, 15, 16, 17, 33, 64, 100, 150, 230, 256, 300, 321, 511, 700, 1023, 1400, 2100,
            TEXT_MAX,
        ];
        for (sequence, len) in (0..).step_by(2).zip(LENGTHS) {
            self.record(Form::Typed, sequence, len, Tag::Wrong)?;
            for form in FORMS {
                self.record(form, sequence, len, Tag::Right)?;
            }
        }
        // In a row, keystream is made ahead.
        for len in [1, 100, 200, 300] {
            for tag in [Tag::Right, Tag::Wrong] {
                for sequence in 0..4 {
                    self.record(Form::Typed, sequence, len, tag)?;
                }
            }
        }
        for count in [1, 2, 3, 9, 17] {
            for len in [0, 16, 100, 300, 700, 1400] {
                self.batch(&vec![len; count])?;
            }
        }
        // No header of TLS, but the interface takes any.
        for aad in [0, 17, 45] {
            self.aad = TEXT.get(..aad).unwrap_or_default();
            for len in [0, 100, 700] {
                self.record(Form::Typed, 0, len, Tag::Wrong)?;
                self.record(Form::Typed, 0, len, Tag::Right)?;
                self.batch(&[len; 3])?;
            }
        }
        self.aad = &HEADER;
        self.batch(&[TEXT_MAX; 2])?;
        self.batch(&LENGTHS)
    }

    /// Seals a record and opens it.
    fn record(&mut self, form: Form, sequence: u64, len: usize, tag: Tag) -> Result<(), Error> {
        let text = pieces(len);
        let mut out = vec![0; form.sealed_len(len, self.tag_len)];
        let mut record = form.record(&text, sequence, self.aad, &mut out);
        depth::prepare();
        self.sealer.seal(&mut record)?;
        if let (Tag::Wrong, Some(last)) = (tag, out.last_mut()) {
            *last ^= 1;
        }
        depth::prepare();
        match (tag, self.opener.open(sequence, self.aad, &mut out)) {
            (Tag::Right, Ok(_)) | (Tag::Wrong, Err(Error::BadTag)) => Ok(()),
            _ => Err(Error::BadTag),
        }
    }

    /// Seals a batch in each form, and opens it: as it should be, and with a forgery at its
    /// begin, in its middle and at its end.
    fn batch(&mut self, lens: &[usize]) -> Result<(), Error> {
        let texts: Vec<_> = lens.iter().map(|len| pieces(*len)).collect();
        let middle = lens.len() / 2;
        for (form, forged) in [
            (Form::Typed, lens.len()),
            (Form::Typed, middle),
            (Form::Plain, lens.len() - 1),
            (Form::Padded, 0),
        ] {
            let sealed = |len: &usize| vec![0; form.sealed_len(*len, self.tag_len)];
            let mut all: Vec<_> = lens.iter().map(sealed).collect();
            let mut records: Vec<_> = (0..)
                .zip(&texts)
                .zip(&mut all)
                .map(|((sequence, text), out)| form.record(text, sequence, self.aad, out))
                .collect();
            depth::prepare();
            self.sealer.seal_batch(&mut records)?;
            if let Some(last) = all.get_mut(forged).and_then(|record| record.last_mut()) {
                *last ^= 1;
            }
            let mut records = to_open(&mut all, self.aad);
            depth::prepare();
            // Some of those in front of a forgery, or all.
            let is_right = match self.opener.open_batch(&mut records) {
                Ok(count) => (1..=forged).contains(&count),
                Err(error) => forged == 0 && error == Error::BadTag,
            };
            if !is_right {
                return Err(Error::BadTag);
            }
        }
        Ok(())
    }
}

/// A text of this length.
fn pieces(len: usize) -> Pieces {
    let text = TEXT.get(..len).unwrap_or_default();
    let (head, tail) = text.split_at(len / 3);
    (text, [head, tail])
}

/// The longest key; shorter ones are its front.
const KEY: [u8; 32] = [0x5a; 32];

/// Of every record that is tried.
const HEADER: [u8; 5] = [23, 3, 3, 0, 0];

/// The records of a batch, to be opened.
fn to_open<'a>(all: &'a mut [Vec<u8>], aad: &'a [u8]) -> Vec<OpenRecord<'a>> {
    let record = |(sequence, in_out)| OpenRecord {
        sequence,
        aad,
        in_out,
        plaintext_len: 0,
    };
    let bytes = all.iter_mut().map(Vec::as_mut_slice);
    (0..).zip(bytes).map(record).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crypto_api::Implementation;

    use super::*;
    use crate::kernels_unchecked;

    /// What the kernels are held against was not computed by them.
    #[test]
    fn the_known_answers_are_those_of_another_implementation() {
        let suites = backend_soft::provider().suites;
        for soft in &suites {
            let found = digest(&sample(&*soft.aead).unwrap());
            println!("{}: {found:#018x}", soft.id);
        }
        assert!(suites.iter().all(is_right));
    }

    /// Opens what it seals, but is another cipher.
    #[derive(Debug)]
    struct Wrong(Arc<dyn RecordAead>);

    impl Wrong {
        fn key(key: &[u8]) -> Vec<u8> {
            key.iter().map(|byte| byte ^ 1).collect()
        }
    }

    impl RecordAead for Wrong {
        fn key_len(&self) -> usize {
            self.0.key_len()
        }

        fn tag_len(&self) -> usize {
            self.0.tag_len()
        }

        fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
            self.0.sealer(&Self::key(key), iv)
        }

        fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
            self.0.opener(&Self::key(key), iv)
        }

        fn implementation(&self) -> Implementation {
            self.0.implementation()
        }
    }

    #[test]
    fn a_wrong_kernel_is_found_out() {
        for kernel in kernels_unchecked() {
            assert!(is_right(&kernel), "{}", kernel.aead.implementation());
            let wrong = Suite {
                aead: Arc::new(Wrong(Arc::clone(&kernel.aead))),
                ..kernel
            };
            assert!(sample(&*wrong.aead).is_ok());
            assert!(!is_right(&wrong), "{}", wrong.id);
        }
    }
}
