//! What all kernels share: a key as the record layer sees it.

use crypto_api::{
    Error, Implementation, NONCE_LEN, OpenRecord, RecordAead, RecordOpener, RecordSealer,
    SealRecord, check_len,
};

use crate::BACKEND;
use crate::low::depth::Depths;
use crate::low::wipe;

/// An AEAD algorithm on one set of CPU features, with one key.
///
/// Lengths are checked by [`Key`] before a kernel sees them. Dropping a kernel wipes its key.
/// IVs are secret, and nonces are made from them: a kernel makes its own, where it will wipe
/// what it leaves on the stack.
pub(crate) trait Kernel: Sized + Send + Sync + 'static {
    /// The bytes of a key.
    type Key: KeyBytes;
    /// Length of the tag in bytes.
    const TAG_LEN: usize;
    /// The longest text of a record in bytes, where the algorithm has a limit within reach.
    const TEXT_MAX: usize = usize::MAX;
    /// What the capability table says: the CPU features in use.
    const DETAIL: &'static str;
    /// The proof that the CPU has them.
    type Token: Copy + Send + Sync + core::fmt::Debug + 'static;

    /// How deep its operations' frames go.
    fn depths() -> &'static Depths;

    /// A kernel without a key.
    fn blank(token: Self::Token) -> Self;

    /// Expands a key, once. It is not done while a kernel is made because what is made is
    /// moved, and what is moved is left behind.
    fn set_key(&mut self, key: &Self::Key);

    /// Seals one record: `record.out` has the length that it must have.
    fn seal(&mut self, iv: &Iv, record: &mut SealRecord<'_>);

    /// Opens a record that has a tag in place and returns whether the tag is right. If it is
    /// not, what stands in the place of the text is to be wiped by the caller.
    fn open(&mut self, iv: &Iv, record: &mut OpenRecord<'_>) -> bool;

    /// Seals several records; every `out` has the length that it must have.
    fn seal_batch(&mut self, iv: &Iv, records: &mut [SealRecord<'_>]) {
        for record in records {
            self.seal(iv, record);
        }
    }

    /// Opens records, of which each has a tag, from the first on as long as the tags are right;
    /// returns how many. The others are left as they were, but the first, if it is bad, is to
    /// be wiped by the caller.
    fn open_batch(&mut self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> usize {
        match records.first_mut() {
            Some(first) => usize::from(self.open(iv, first)),
            None => 0,
        }
    }
}

/// A key: an array of bytes.
pub(crate) trait KeyBytes {
    /// Length in bytes.
    const LEN: usize;

    /// `bytes`, if they are as many.
    fn of(bytes: &[u8]) -> Option<&Self>;
}

impl<const N: usize> KeyBytes for [u8; N] {
    const LEN: usize = N;

    fn of(bytes: &[u8]) -> Option<&Self> {
        bytes.try_into().ok()
    }
}

/// The text of a record that has a tag, and the tag.
pub(crate) fn split_tag<K: Kernel>(in_out: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    in_out.split_at_mut(in_out.len() - K::TAG_LEN)
}

/// The static IV of a direction, and zeros: four bytes of padding would hold what was there
/// before, and would not be wiped.
pub(crate) struct Iv([u8; NONCE_LEN + 4]);

impl Drop for Iv {
    fn drop(&mut self) {
        wipe::bytes(&mut self.0);
    }
}

impl Iv {
    /// The nonce of a record (RFC 9846, section 5.3).
    #[inline]
    pub(crate) fn nonce(&self, sequence: u64) -> [u8; NONCE_LEN] {
        let [nonce @ .., _, _, _, _] = self.nonce_block(sequence).to_le_bytes();
        nonce
    }

    /// The same in front of four zeros, in the order of memory: in registers from the start,
    /// because what is written in two pieces is slow to be read in one.
    #[inline]
    pub(crate) fn nonce_block(&self, sequence: u64) -> u128 {
        u128::from_le_bytes(self.0) ^ u128::from(sequence.swap_bytes()) << 32
    }
}

#[cfg(test)]
impl From<[u8; NONCE_LEN]> for Iv {
    fn from(iv: [u8; NONCE_LEN]) -> Self {
        let mut whole = [0; NONCE_LEN + 4];
        whole[..NONCE_LEN].copy_from_slice(&iv);
        Self(whole)
    }
}

/// One direction's key with its static IV; either use of it.
struct Key<K> {
    kernel: K,
    iv: Iv,
}

impl<K: Kernel> Key<K> {
    fn new(token: K::Token, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<Self>, Error> {
        let Some(key) = K::Key::of(key) else {
            return Err(Error::WrongLength {
                what: "AEAD key",
                expected: K::Key::LEN,
                got: key.len(),
            });
        };
        // Memory first: what is made before it is there is moved, which takes longer than some
        // key schedules.
        let memory = Box::new_uninit();
        let blank = Self {
            kernel: K::blank(token),
            iv: Iv([0; NONCE_LEN + 4]),
        };
        let mut boxed = Box::write(memory, blank);
        boxed.iv.0[..NONCE_LEN].copy_from_slice(iv);
        // Last, for it wipes registers.
        boxed.kernel.set_key(key);
        Ok(boxed)
    }
}

fn check_out<K: Kernel>(record: &SealRecord<'_>) -> Result<(), Error> {
    let expected = record.sealed_len(K::TAG_LEN);
    check_len("output of seal", expected, record.out.len())?;
    let len = record.plaintext_len();
    if len > K::TEXT_MAX {
        return check_len("longest text of a record", K::TEXT_MAX, len);
    }
    Ok(())
}

impl<K: Kernel> RecordSealer for Key<K> {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), Error> {
        check_out::<K>(record)?;
        self.kernel.seal(&self.iv, record);
        Ok(())
    }

    fn seal_batch(&mut self, records: &mut [SealRecord<'_>]) -> Result<(), Error> {
        records.iter().try_for_each(check_out::<K>)?;
        self.kernel.seal_batch(&self.iv, records);
        Ok(())
    }
}

impl<K: Kernel> RecordOpener for Key<K> {
    fn open(&mut self, sequence: u64, aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error> {
        let text_len = in_out.len().checked_sub(K::TAG_LEN).ok_or(Error::BadTag)?;
        if text_len > K::TEXT_MAX {
            // No such record can have been sealed.
            in_out.fill(0);
            return Err(Error::BadTag);
        }
        let mut record = OpenRecord {
            sequence,
            aad,
            in_out,
            plaintext_len: 0,
        };
        if !self.kernel.open(&self.iv, &mut record) {
            return Err(forged::<K>(&mut record));
        }
        Ok(text_len)
    }

    fn open_batch(&mut self, records: &mut [OpenRecord<'_>]) -> Result<usize, Error> {
        let lens = K::TAG_LEN..=K::TAG_LEN.saturating_add(K::TEXT_MAX);
        let sound = |record: &OpenRecord<'_>| lens.contains(&record.in_out.len());
        match records {
            [] => return Ok(0),
            [first, ..] if !sound(first) => {
                return self.open(first.sequence, first.aad, first.in_out);
            }
            _ => {}
        }
        // The others have their turn.
        let end = records.iter().take_while(|record| sound(record)).count();
        let records = records.get_mut(..end).unwrap_or_default();
        let opened = self.kernel.open_batch(&self.iv, records);
        for record in records.iter_mut().take(opened) {
            record.plaintext_len = record.in_out.len() - K::TAG_LEN;
        }
        match (opened, records) {
            (0, [first, ..]) => Err(forged::<K>(first)),
            _ => Ok(opened),
        }
    }
}

/// Wipes what was decrypted of a record whose tag is wrong.
#[cold]
fn forged<K: Kernel>(record: &mut OpenRecord<'_>) -> Error {
    split_tag::<K>(record.in_out).0.fill(0);
    Error::BadTag
}

/// A [`Kernel`] as an algorithm: makes its keys.
pub(crate) struct Aead<K: Kernel>(pub(crate) K::Token);

impl<K: Kernel> core::fmt::Debug for Aead<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Aead").field(&K::DETAIL).finish()
    }
}

impl<K: Kernel> RecordAead for Aead<K> {
    fn key_len(&self) -> usize {
        K::Key::LEN
    }

    fn tag_len(&self) -> usize {
        K::TAG_LEN
    }

    fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
        Ok(Key::<K>::new(self.0, key, iv)?)
    }

    fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
        Ok(Key::<K>::new(self.0, key, iv)?)
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: BACKEND,
            detail: K::DETAIL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes texts of up to 100 bytes, and checks that it gets no others.
    struct Fake;

    impl Kernel for Fake {
        type Key = [u8; 1];
        const TAG_LEN: usize = 4;
        const TEXT_MAX: usize = 100;
        const DETAIL: &'static str = "a fake";
        type Token = ();

        fn depths() -> &'static Depths {
            static DEPTHS: Depths = Depths::unknown();
            &DEPTHS
        }

        fn blank((): ()) -> Self {
            Self
        }

        fn set_key(&mut self, _: &Self::Key) {}

        fn seal(&mut self, _: &Iv, record: &mut SealRecord<'_>) {
            assert!(record.plaintext_len() <= 100);
        }

        fn open(&mut self, _: &Iv, record: &mut OpenRecord<'_>) -> bool {
            assert!((4..=104).contains(&record.in_out.len()));
            true
        }
    }

    /// What the counter of blocks is not enough for is not sealed, and was sealed by nobody.
    #[test]
    fn no_kernel_sees_a_text_that_is_too_long() {
        let mut key = Key::<Fake>::new((), &[0], &[0; NONCE_LEN]).unwrap();
        let text = [1; 101];
        for len in [99, 100, 101] {
            let mut out = vec![7; len + 4];
            let mut records = [SealRecord {
                sequence: 0,
                aad: &[],
                payload: text[..len].into(),
                trailer: crypto_api::Trailer::default(),
                out: &mut out,
            }];
            let one = key.seal(&mut records[0]);
            assert_eq!(key.seal_batch(&mut records), one);
            let too_long = Error::WrongLength {
                what: "longest text of a record",
                expected: 100,
                got: 101,
            };
            let expected = if len > 100 { Err(too_long) } else { Ok(()) };
            assert_eq!(one, expected);

            let opened = key.open(0, &[], &mut out.clone());
            assert_eq!(
                opened,
                if len > 100 {
                    Err(Error::BadTag)
                } else {
                    Ok(len)
                }
            );
            let mut first = [7; 50];
            let record = |in_out| OpenRecord {
                sequence: 0,
                aad: &[],
                in_out,
                plaintext_len: 0,
            };
            let mut records = [record(&mut first), record(&mut out)];
            assert_eq!(key.open_batch(&mut records), Ok(1));
            let opened = key.open_batch(&mut records[1..]);
            assert_eq!(opened, if len > 100 { Err(Error::BadTag) } else { Ok(1) });
            assert!(len <= 100 || out.iter().all(|byte| *byte == 0));
        }
    }

    /// An idle connection has one key for each direction.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_key_is_small() {
        use crate::low::x86::gcm;

        let sizes = [
            size_of::<Key<gcm::aesni::Aes128Gcm>>(),
            size_of::<Key<gcm::vaes::Aes128Gcm>>(),
            size_of::<Key<gcm::avx512::Aes128Gcm>>(),
        ];
        assert!(sizes.iter().all(|&size| size <= 704), "{sizes:?}");
        assert!(size_of::<Key<gcm::avx512::Aes256Gcm>>() <= 768);
    }
}
