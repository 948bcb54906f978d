//! Record protection (RFC 5116): AES-GCM and ChaCha20-Poly1305.

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use aes_gcm::aes::{Aes128Enc, Aes256Enc};
use crypto_api::{
    Error, Implementation, NONCE_LEN, RecordAead, RecordOpener, RecordSealer, SealRecord, check_len,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{cpu, random::failed};

/// Length in bytes of the tag of each of these algorithms.
const TAG_LEN: usize = 16;

/// AES-128-GCM (NIST SP 800-38D).
#[derive(Clone, Copy, Debug, Default)]
pub struct Aes128Gcm;

/// AES-256-GCM (NIST SP 800-38D).
#[derive(Clone, Copy, Debug, Default)]
pub struct Aes256Gcm;

/// ChaCha20-Poly1305 (RFC 8439).
#[derive(Clone, Copy, Debug, Default)]
pub struct ChaCha20Poly1305;

impl RecordAead for Aes128Gcm {
    fn key_len(&self) -> usize {
        16
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
        Ok(Key::<AesGcm<Aes128Enc, U12>>::new(self, key, iv)?)
    }

    fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
        Ok(Key::<AesGcm<Aes128Enc, U12>>::new(self, key, iv)?)
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::aes_gcm())
    }
}

impl RecordAead for Aes256Gcm {
    fn key_len(&self) -> usize {
        32
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
        Ok(Key::<AesGcm<Aes256Enc, U12>>::new(self, key, iv)?)
    }

    fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
        Ok(Key::<AesGcm<Aes256Enc, U12>>::new(self, key, iv)?)
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::aes_gcm())
    }
}

impl RecordAead for ChaCha20Poly1305 {
    fn key_len(&self) -> usize {
        32
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
        Ok(Key::<chacha20poly1305::ChaCha20Poly1305>::new(
            self, key, iv,
        )?)
    }

    fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
        Ok(Key::<chacha20poly1305::ChaCha20Poly1305>::new(
            self, key, iv,
        )?)
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::chacha20_poly1305())
    }
}

/// One direction's key with its static IV; either use of it.
///
/// `ZeroizeOnDrop` on the cipher is the promise of its crate that the key wipes itself.
struct Key<A: ZeroizeOnDrop> {
    cipher: A,
    iv: Zeroizing<[u8; NONCE_LEN]>,
}

impl<A: ZeroizeOnDrop + KeyInit + AeadInOut<NonceSize = U12, TagSize = U16>> Key<A> {
    fn new(
        algorithm: &dyn RecordAead,
        key: &[u8],
        iv: &[u8; NONCE_LEN],
    ) -> Result<Box<Self>, Error> {
        check_len("AEAD key", algorithm.key_len(), key.len())?;
        Ok(Box::new(Self {
            cipher: A::new_from_slice(key).map_err(|error| failed("set an AEAD key", error))?,
            iv: Zeroizing::new(*iv),
        }))
    }

    /// RFC 9846, section 5.3.
    fn nonce(&self, sequence: u64) -> Nonce<A> {
        let mut nonce = *self.iv;
        for (to, from) in nonce.iter_mut().rev().zip(sequence.to_le_bytes()) {
            *to ^= from;
        }
        nonce.into()
    }
}

impl<A> RecordSealer for Key<A>
where
    A: ZeroizeOnDrop + KeyInit + AeadInOut<NonceSize = U12, TagSize = U16> + Send + Sync,
{
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), Error> {
        let (sequence, aad) = (record.sequence, record.aad);
        let (text, tag_out) = record.gather(TAG_LEN)?;
        match self
            .cipher
            .encrypt_inout_detached(&self.nonce(sequence), aad, (&mut *text).into())
        {
            Ok(tag) => {
                tag_out.copy_from_slice(&tag);
                Ok(())
            }
            Err(error) => {
                text.zeroize();
                Err(failed("seal a record", error))
            }
        }
    }
}

impl<A> RecordOpener for Key<A>
where
    A: ZeroizeOnDrop + KeyInit + AeadInOut<NonceSize = U12, TagSize = U16> + Send + Sync,
{
    fn open(&mut self, sequence: u64, aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error> {
        let Some((text, tag)) = in_out.split_last_chunk_mut::<TAG_LEN>() else {
            return Err(Error::BadTag);
        };
        // These ciphers check the tag before they decrypt the first byte, so nothing of the
        // plaintext is in `text` when they refuse it.
        self.cipher
            .decrypt_inout_detached(
                &self.nonce(sequence),
                aad,
                (&mut *text).into(),
                &Tag::<A>::from(*tag),
            )
            .map_err(|_| Error::BadTag)?;
        Ok(text.len())
    }
}
