//! Record protection: authenticated encryption shaped for TLS records.
//!
//! A key protects one direction of one connection and is bound to its static IV, so a
//! caller passes sequence numbers and never nonces: the same number must not seal twice,
//! and the record layer that counts them sees to that.
//!
//! Buffers are the caller's. [`RecordSealer::seal`] gathers plaintext slices into the
//! caller's output, [`RecordOpener::open`] works in place. The batch entries hand a backend
//! several records at once, so that it can keep its vector units busy across their borders.

use alloc::boxed::Box;
use core::fmt;

use crate::{CipherSuite, Error, HashAlgorithm, Implementation};

/// Length in bytes of the nonces of every TLS 1.3 cipher suite (RFC 9846, section 5.3).
pub const NONCE_LEN: usize = 12;

/// An AEAD algorithm as a record protection (RFC 5116): makes keys for either direction.
pub trait RecordAead: Send + Sync + fmt::Debug {
    /// Length of the key in bytes.
    fn key_len(&self) -> usize;

    /// Length of the tag in bytes; a record grows by this much.
    fn tag_len(&self) -> usize;

    /// A key that seals.
    ///
    /// # Errors
    /// [`Error::WrongLength`] for a key of the wrong length, [`Error::Backend`] when the
    /// backend fails.
    fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error>;

    /// A key that opens.
    ///
    /// # Errors
    /// As for [`sealer`](RecordAead::sealer).
    fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}

/// One direction's key that seals records. Wipes itself when dropped.
pub trait RecordSealer: Send + Sync {
    /// Seals one record into `record.out`.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if `out` has not exactly [`SealRecord::sealed_len`] bytes,
    /// [`Error::Backend`] when the backend fails. After an error `out` holds no plaintext.
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), Error>;

    /// Seals several records, which may be of different lengths.
    ///
    /// # Errors
    /// As for [`seal`](RecordSealer::seal); no record of the batch may be sent then.
    fn seal_batch(&mut self, records: &mut [SealRecord<'_>]) -> Result<(), Error> {
        records.iter_mut().try_for_each(|record| self.seal(record))
    }
}

/// One direction's key that opens records. Wipes itself when dropped.
pub trait RecordOpener: Send + Sync {
    /// Opens ciphertext and tag in place; the plaintext is the first bytes of `in_out`, and
    /// their number is returned.
    ///
    /// # Errors
    /// [`Error::BadTag`] if the record is forged or too short to hold a tag: `in_out` then
    /// holds nothing of the plaintext. [`Error::Backend`] when the backend fails.
    fn open(&mut self, sequence: u64, aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error>;

    /// Opens the first records of a batch and returns how many, one at least.
    ///
    /// The records behind those are left as they were. A receiver needs that: the last
    /// record that was opened may carry a KeyUpdate, and what follows it is under a key
    /// that this one must not touch. A backend that opens ahead must therefore restore the
    /// ciphertext of a record that does not authenticate, unless it is the first.
    ///
    /// # Errors
    /// [`Error::BadTag`] if the first record does not open; see [`open`](RecordOpener::open).
    fn open_batch(&mut self, records: &mut [OpenRecord<'_>]) -> Result<usize, Error> {
        let Some(first) = records.first_mut() else {
            return Ok(0);
        };
        first.plaintext_len = self.open(first.sequence, first.aad, first.in_out)?;
        Ok(1)
    }
}

/// A record to be sealed.
#[derive(Debug)]
pub struct SealRecord<'a> {
    /// The number that is combined with the static IV into the nonce: as a 64-bit
    /// big-endian integer, padded on the left with zeros, XORed into it (RFC 9846, 5.3).
    /// TLS 1.2's explicit nonce goes here with an IV that ends in eight zeros.
    pub sequence: u64,
    /// Additional data: the record header.
    pub aad: &'a [u8],
    /// What the record carries.
    pub payload: Payload<'a>,
    /// What is encrypted behind the payload.
    pub trailer: Trailer,
    /// Where ciphertext and tag go; exactly [`sealed_len`](SealRecord::sealed_len) bytes.
    pub out: &'a mut [u8],
}

impl SealRecord<'_> {
    /// Length of the plaintext in bytes: payload and trailer.
    pub fn plaintext_len(&self) -> usize {
        self.payload.len().saturating_add(self.trailer.len())
    }

    /// Length that `out` must have, in bytes, under a tag of `tag_len` bytes.
    pub fn sealed_len(&self, tag_len: usize) -> usize {
        self.plaintext_len().saturating_add(tag_len)
    }

    /// Copies payload and trailer to the front of `out` and returns the two parts of `out`:
    /// the plaintext and the place for the tag. For backends that encrypt in place.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if `out` has not exactly the length it must have.
    pub fn gather(&mut self, tag_len: usize) -> Result<(&mut [u8], &mut [u8]), Error> {
        crate::error::check_len("output of seal", self.sealed_len(tag_len), self.out.len())?;
        let (plaintext, tag) = self
            .out
            .split_at_mut(self.payload.len() + self.trailer.len());
        let (payload, trailer) = plaintext.split_at_mut(self.payload.len());
        self.payload.copy_to(payload);
        self.trailer.write_to(trailer);
        Ok((plaintext, tag))
    }
}

/// What TLS 1.3 puts behind the payload under encryption: the real content type and zeros
/// that hide the length (TLSInnerPlaintext, RFC 9846, section 5.2). Nothing in TLS 1.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trailer {
    /// The real content type.
    pub content_type: Option<u8>,
    /// How many zeros follow it.
    pub padding: usize,
}

impl Trailer {
    /// A content type without padding.
    pub fn content_type(content_type: u8) -> Self {
        Self {
            content_type: Some(content_type),
            padding: 0,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        usize::from(self.content_type.is_some()).saturating_add(self.padding)
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes it to `out`, as much as fits.
    pub fn write_to(&self, out: &mut [u8]) {
        out.fill(0);
        if let (Some(content_type), Some(first)) = (self.content_type, out.first_mut()) {
            *first = content_type;
        }
    }
}

/// A record to be opened in place.
#[derive(Debug)]
pub struct OpenRecord<'a> {
    /// See [`SealRecord::sequence`].
    pub sequence: u64,
    /// Additional data: the record header.
    pub aad: &'a [u8],
    /// Ciphertext and tag, then the plaintext.
    pub in_out: &'a mut [u8],
    /// Set by [`RecordOpener::open_batch`]: how many bytes of `in_out` are plaintext.
    pub plaintext_len: usize,
}

/// Bytes to be sent that need not lie in one piece.
///
/// A write of several slices can be cut into records at any place without moving a byte or
/// allocating: the cut is a window over the same slices.
#[derive(Clone, Copy)]
pub struct Payload<'a>(Pieces<'a>);

#[derive(Clone, Copy)]
enum Pieces<'a> {
    One(&'a [u8]),
    Many {
        slices: &'a [&'a [u8]],
        /// Bytes of `slices` before the window.
        skip: usize,
        /// Bytes in the window.
        len: usize,
    },
}

impl<'a> Payload<'a> {
    /// All bytes of all slices, in order.
    pub fn from_slices(slices: &'a [&'a [u8]]) -> Self {
        match slices {
            [] => Self(Pieces::One(&[])),
            [one] => Self(Pieces::One(one)),
            _ => Self(Pieces::Many {
                slices,
                skip: 0,
                len: slices.iter().map(|slice| slice.len()).sum(),
            }),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self.0 {
            Pieces::One(slice) => slice.len(),
            Pieces::Many { len, .. } => len,
        }
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes as one slice, if they lie in one piece.
    pub fn as_slice(&self) -> Option<&'a [u8]> {
        match self.0 {
            Pieces::One(slice) => Some(slice),
            Pieces::Many { .. } => {
                let mut pieces = self.iter();
                match (pieces.next(), pieces.next()) {
                    (None, _) => Some(&[]),
                    (Some(piece), None) => Some(piece),
                    _ => None,
                }
            }
        }
    }

    /// The first `at` bytes and the rest; all and nothing if there are fewer.
    pub fn split_at(&self, at: usize) -> (Self, Self) {
        let at = at.min(self.len());
        match self.0 {
            Pieces::One(slice) => {
                let (head, tail) = slice.split_at(at);
                (Self(Pieces::One(head)), Self(Pieces::One(tail)))
            }
            Pieces::Many { slices, skip, len } => (
                Self(Pieces::Many {
                    slices,
                    skip,
                    len: at,
                }),
                Self(Pieces::Many {
                    slices,
                    skip: skip + at,
                    len: len - at,
                }),
            ),
        }
    }

    /// The pieces that are not empty, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (one, slices, mut skip, mut left): (&'a [u8], &'a [&'a [u8]], usize, usize) =
            match self.0 {
                Pieces::One(slice) => (slice, &[], 0, 0),
                Pieces::Many { slices, skip, len } => (&[], slices, skip, len),
            };
        let many = slices.iter().map(move |slice| {
            let slice = match slice.get(skip..) {
                Some(rest) => {
                    skip = 0;
                    rest
                }
                None => {
                    skip -= slice.len();
                    &[]
                }
            };
            let slice = slice.get(..left).unwrap_or(slice);
            left -= slice.len();
            slice
        });
        core::iter::once(one)
            .chain(many)
            .filter(|slice| !slice.is_empty())
    }

    /// Copies the bytes to the front of `out`, as many as fit.
    pub fn copy_to(&self, out: &mut [u8]) {
        let mut rest = out;
        for piece in self.iter() {
            let n = piece.len().min(rest.len());
            let (to, behind) = rest.split_at_mut(n);
            to.copy_from_slice(piece.get(..n).unwrap_or_default());
            rest = behind;
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(slice: &'a [u8]) -> Self {
        Self(Pieces::One(slice))
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Plaintext: only its length is shown.
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// A cipher suite of TLS 1.3: an AEAD with a hash, and how much one key may seal.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its code point.
    pub id: CipherSuite,
    /// The hash of its key schedule and transcript.
    pub hash: HashAlgorithm,
    /// Its record protection.
    pub aead: alloc::sync::Arc<dyn RecordAead>,
    /// How many records one key may seal before it must be updated (RFC 9846, section 5.5).
    pub seal_limit: u64,
}

impl Suite {
    /// The suite `id` with its standard hash and limit, over `aead`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a suite whose hash and limit this crate does not know; it
    /// can still be written as a struct. [`Error::WrongLength`] if `aead` has not the key or
    /// tag length of the suite.
    pub fn new(id: CipherSuite, aead: alloc::sync::Arc<dyn RecordAead>) -> Result<Self, Error> {
        // AES-GCM: 2^24.5 full-size records. ChaCha20-Poly1305: the sequence number is
        // used up first. CCM: the bound of the CBC-MAC, 2^23 records (RFC 9147, 4.5.3).
        let (hash, key_len, tag_len, seal_limit) = match id {
            CipherSuite::TLS_AES_128_GCM_SHA256 => (HashAlgorithm::Sha256, 16, 16, 23_726_566),
            CipherSuite::TLS_AES_256_GCM_SHA384 => (HashAlgorithm::Sha384, 32, 16, 23_726_566),
            CipherSuite::TLS_CHACHA20_POLY1305_SHA256 => {
                (HashAlgorithm::Sha256, 32, 16, u64::MAX - 1)
            }
            CipherSuite::TLS_AES_128_CCM_SHA256 => (HashAlgorithm::Sha256, 16, 16, 1 << 23),
            CipherSuite::TLS_AES_128_CCM_8_SHA256 => (HashAlgorithm::Sha256, 16, 8, 1 << 23),
            _ => return Err(Error::Unsupported("cipher suite")),
        };
        crate::error::check_len("key of the cipher suite's AEAD", key_len, aead.key_len())?;
        crate::error::check_len("tag of the cipher suite's AEAD", tag_len, aead.tag_len())?;
        Ok(Self {
            id,
            hash,
            aead,
            seal_limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn collect(payload: &Payload<'_>) -> Vec<u8> {
        payload.iter().flatten().copied().collect()
    }

    #[test]
    fn windows_over_slices() {
        let bytes: Vec<u8> = (0..40).collect();
        let slices = [&bytes[..7], &[], &bytes[7..8], &bytes[8..30], &bytes[30..]];
        let payload = Payload::from_slices(&slices);
        assert_eq!(payload.len(), 40);
        for a in 0..=40 {
            let (head, tail) = payload.split_at(a);
            assert_eq!(collect(&head), bytes[..a]);
            assert_eq!(collect(&tail), bytes[a..]);
            for b in 0..=tail.len() {
                let (mid, rest) = tail.split_at(b);
                assert_eq!(collect(&mid), bytes[a..a + b]);
                assert_eq!(collect(&rest), bytes[a + b..]);
                let mut out = [0; 40];
                mid.copy_to(&mut out);
                assert_eq!(out[..b], bytes[a..a + b]);
                if let Some(slice) = mid.as_slice() {
                    assert_eq!(slice, &bytes[a..a + b]);
                }
            }
        }
        assert_eq!(payload.split_at(99).0.len(), 40);
        assert_eq!(payload.split_at(7).0.as_slice(), Some(&bytes[..7]));
        assert_eq!(payload.as_slice(), None);
    }

    #[test]
    fn gather_writes_payload_type_and_padding() {
        let mut out = [0xff; 10];
        let mut record = SealRecord {
            sequence: 0,
            aad: &[],
            payload: Payload::from(&[1, 2, 3][..]),
            trailer: Trailer {
                content_type: Some(23),
                padding: 2,
            },
            out: &mut out,
        };
        let (plaintext, tag) = record.gather(4).unwrap();
        assert_eq!(plaintext, [1, 2, 3, 23, 0, 0]);
        assert_eq!(tag.len(), 4);
        assert_eq!(
            record.gather(5).unwrap_err(),
            Error::WrongLength {
                what: "output of seal",
                expected: 11,
                got: 10
            }
        );
    }
}
