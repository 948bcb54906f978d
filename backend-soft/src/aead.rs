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

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_api::{Payload, Trailer};

    const ALL: [&dyn RecordAead; 3] = [&Aes128Gcm, &Aes256Gcm, &ChaCha20Poly1305];
    const IV: [u8; NONCE_LEN] = [0xa5; NONCE_LEN];
    const HEADER: [u8; 5] = [23, 3, 3, 1, 1];

    fn key(algorithm: &dyn RecordAead) -> Vec<u8> {
        (0..).take(algorithm.key_len()).collect()
    }

    fn seal(
        algorithm: &dyn RecordAead,
        iv: &[u8; NONCE_LEN],
        sequence: u64,
        text: &[u8],
    ) -> Vec<u8> {
        let mut out = vec![0xee; text.len() + TAG_LEN];
        algorithm
            .sealer(&key(algorithm), iv)
            .unwrap()
            .seal(&mut SealRecord {
                sequence,
                aad: &HEADER,
                payload: Payload::from(text),
                trailer: Trailer::default(),
                out: &mut out,
            })
            .unwrap();
        out
    }

    /// An idle connection has one key for each direction and must fit in 4 KiB.
    #[test]
    fn a_key_is_small() {
        let sizes = [
            size_of::<Key<AesGcm<Aes128Enc, U12>>>(),
            size_of::<Key<AesGcm<Aes256Enc, U12>>>(),
            size_of::<Key<chacha20poly1305::ChaCha20Poly1305>>(),
        ];
        assert!(sizes.iter().all(|&size| size <= 1280), "{sizes:?}");
    }

    #[test]
    fn the_sequence_number_goes_into_the_nonce() {
        let sequence = 0x0102_0304_0506_0708_u64;
        let mut nonce = IV;
        for (at, byte) in (4..).zip(sequence.to_be_bytes()) {
            nonce[at] ^= byte;
        }
        for algorithm in ALL {
            assert_eq!(
                seal(algorithm, &IV, sequence, b"text"),
                seal(algorithm, &nonce, 0, b"text"),
            );
        }
    }

    #[test]
    fn a_forged_record_leaves_no_plaintext() {
        let text: Vec<u8> = (0..=255).cycle().take(3000).collect();
        for algorithm in ALL {
            let sealed = seal(algorithm, &IV, 1, &text);
            let mut opener = algorithm.opener(&key(algorithm), &IV).unwrap();
            for at in [0, 1500, 2999, 3000, 3015] {
                let mut forged = sealed.clone();
                forged[at] ^= 1;
                let before = forged.clone();
                assert_eq!(opener.open(1, &HEADER, &mut forged), Err(Error::BadTag));
                assert_eq!(forged, before, "touched after byte {at} was forged");
            }
            for len in 0..TAG_LEN {
                assert_eq!(
                    opener.open(1, &HEADER, &mut sealed.clone()[..len]),
                    Err(Error::BadTag)
                );
            }
            // The key still works.
            let mut record = sealed.clone();
            assert_eq!(opener.open(1, &HEADER, &mut record), Ok(text.len()));
            assert_eq!(record[..text.len()], text);
        }
    }

    /// RFC 8439, section 2.8.2.
    #[test]
    fn chacha20_poly1305_of_the_rfc() {
        let key: Vec<u8> = (0x80..0xa0).collect();
        let iv = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you \
                     only one tip for the future, sunscreen would be it.";
        let mut out = vec![0; text.len() + TAG_LEN];
        ChaCha20Poly1305
            .sealer(&key, &iv)
            .unwrap()
            .seal(&mut SealRecord {
                sequence: 0,
                aad: &[
                    0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
                ],
                payload: Payload::from(&text[..]),
                trailer: Trailer::default(),
                out: &mut out,
            })
            .unwrap();
        assert_eq!(out[..4], [0xd3, 0x1a, 0x8d, 0x34]);
        assert_eq!(
            out[text.len()..],
            [
                0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60,
                0x06, 0x91
            ]
        );
    }
}
