//! What all kernels share: a key as the record layer sees it.

use crypto_api::{
    Error, Implementation, NONCE_LEN, RecordAead, RecordOpener, RecordSealer, SealRecord, check_len,
};
use zeroize::Zeroizing;

use crate::BACKEND;
use crate::low::wipe;

/// An AEAD algorithm on one set of CPU features, with one key.
///
/// Lengths are checked by [`Key`] before a kernel sees them. Dropping a kernel wipes its key.
pub(crate) trait Kernel: Sized + Send + Sync + 'static {
    /// Length of the key in bytes.
    const KEY_LEN: usize;
    /// Length of the tag in bytes.
    const TAG_LEN: usize;
    /// The longest text of a record in bytes, where the algorithm has a limit within reach.
    const TEXT_MAX: usize = usize::MAX;
    /// What the capability table says: the CPU features in use.
    const DETAIL: &'static str;
    /// The proof that the CPU has them.
    type Token: Copy + Send + Sync + core::fmt::Debug + 'static;

    /// Expands a key of [`KEY_LEN`](Self::KEY_LEN) bytes.
    fn new(token: Self::Token, key: &[u8]) -> Self;

    /// Seals one record: `record.out` has the length that it must have.
    fn seal(&self, nonce: &[u8; NONCE_LEN], record: &mut SealRecord<'_>);

    /// Opens `text` in place if `tag` is its tag, else wipes it.
    ///
    /// `tag` has [`TAG_LEN`](Self::TAG_LEN) bytes.
    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Error>;

    /// Seals several records; every `out` has the length that it must have.
    fn seal_batch(&self, iv: &Iv, records: &mut [SealRecord<'_>]) {
        for record in records {
            self.seal(&iv.nonce(record.sequence), record);
        }
    }
}

/// The static IV of a direction.
pub(crate) struct Iv(Zeroizing<[u8; NONCE_LEN]>);

impl Iv {
    /// The nonce of a record (RFC 9846, section 5.3).
    #[inline]
    pub(crate) fn nonce(&self, sequence: u64) -> [u8; NONCE_LEN] {
        let mut nonce = *self.0;
        if let Some(last) = nonce.last_chunk_mut::<8>() {
            *last = (u64::from_be_bytes(*last) ^ sequence).to_be_bytes();
        }
        nonce
    }
}

/// One direction's key with its static IV; either use of it.
struct Key<K> {
    kernel: K,
    iv: Iv,
}

impl<K: Kernel> Key<K> {
    fn new(token: K::Token, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<Self>, Error> {
        check_len("AEAD key", K::KEY_LEN, key.len())?;
        let key = Self::boxed(token, key, iv);
        // On its way into the box the key was copied, and what is moved is not dropped.
        wipe::stack::<4096>();
        Ok(key)
    }

    #[inline(never)]
    fn boxed(token: K::Token, key: &[u8], iv: &[u8; NONCE_LEN]) -> Box<Self> {
        Box::new(Self {
            kernel: K::new(token, key),
            iv: Iv(Zeroizing::new(*iv)),
        })
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
        self.kernel.seal(&self.iv.nonce(record.sequence), record);
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
        let (text, tag) = in_out.split_at_mut(text_len);
        self.kernel.open(&self.iv.nonce(sequence), aad, text, tag)?;
        Ok(text_len)
    }
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
        K::KEY_LEN
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

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::Key;
    use crate::low::x86::gcm;

    /// An idle connection has one key for each direction.
    #[test]
    fn a_key_is_small() {
        let sizes = [
            size_of::<Key<gcm::aesni::Aes128Gcm>>(),
            size_of::<Key<gcm::vaes::Aes128Gcm>>(),
            size_of::<Key<gcm::avx512::Aes128Gcm>>(),
        ];
        assert!(sizes.iter().all(|&size| size <= 704), "{sizes:?}");
        assert!(size_of::<Key<gcm::avx512::Aes256Gcm>>() <= 768);
    }
}
