//! Record protection (RFC 5116): AES-GCM, ChaCha20-Poly1305 and AES-CCM.

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::{U8, U12, U16};
use aes_gcm::aead::{AeadCore, AeadInOut, KeyInit, KeySizeUser, Nonce, Tag};
use aes_gcm::aes::{Aes128Enc, Aes256Enc};
use ccm::Ccm;
use crypto_api::{
    Error, Implementation, NONCE_LEN, RecordAead, RecordOpener, RecordSealer, SealRecord, check_len,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{cpu, random::failed};

/// An algorithm over the `Cipher` that computes it.
macro_rules! algorithm {
    ($(#[$doc:meta])* $name:ident, $cipher:ty, $detail:path) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl RecordAead for $name {
            fn key_len(&self) -> usize {
                <$cipher>::key_size()
            }

            fn tag_len(&self) -> usize {
                tag_len::<$cipher>()
            }

            fn sealer(
                &self,
                key: &[u8],
                iv: &[u8; NONCE_LEN],
            ) -> Result<Box<dyn RecordSealer>, Error> {
                Ok(Key::<$cipher>::new(key, iv)?)
            }

            fn opener(
                &self,
                key: &[u8],
                iv: &[u8; NONCE_LEN],
            ) -> Result<Box<dyn RecordOpener>, Error> {
                Ok(Key::<$cipher>::new(key, iv)?)
            }

            fn implementation(&self) -> Implementation {
                cpu::implementation($detail())
            }
        }
    };
}

algorithm! {
    /// AES-128-GCM (NIST SP 800-38D).
    Aes128Gcm, AesGcm<Aes128Enc, U12>, cpu::aes_gcm
}

algorithm! {
    /// AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm, AesGcm<Aes256Enc, U12>, cpu::aes_gcm
}

algorithm! {
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha20Poly1305, chacha20poly1305::ChaCha20Poly1305, cpu::chacha20_poly1305
}

algorithm! {
    /// AES-128-CCM (NIST SP 800-38C) with tags of 16 bytes.
    Aes128Ccm, Ccm<Aes128Enc, U16, U12>, cpu::aes
}

algorithm! {
    /// AES-128-CCM with tags of 8 bytes, of which one forgery in 2^64 passes.
    Aes128Ccm8, Ccm<Aes128Enc, U8, U12>, cpu::aes
}

/// An AEAD with the nonces of TLS that wipes its key when it is dropped.
trait Cipher: KeyInit + AeadInOut<NonceSize = U12> + Send + Sync + 'static {}

// `ZeroizeOnDrop` is the promise of a type's crate that it wipes itself.
impl<C> Cipher for AesGcm<C, U12> where
    Self: KeyInit + AeadInOut<NonceSize = U12> + ZeroizeOnDrop + Send + Sync + 'static
{
}

impl Cipher for chacha20poly1305::ChaCha20Poly1305 where Self: ZeroizeOnDrop {}

// `Ccm` does not promise it, but holds nothing besides its block cipher, which does.
impl Cipher for Ccm<Aes128Enc, U16, U12> where Aes128Enc: ZeroizeOnDrop {}
impl Cipher for Ccm<Aes128Enc, U8, U12> where Aes128Enc: ZeroizeOnDrop {}

/// Length in bytes of the tag.
fn tag_len<A: AeadCore>() -> usize {
    Tag::<A>::default().len()
}

/// One direction's key with its static IV; either use of it.
struct Key<A> {
    cipher: A,
    iv: Zeroizing<[u8; NONCE_LEN]>,
}

impl<A: Cipher> Key<A> {
    fn new(key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<Self>, Error> {
        check_len("AEAD key", A::key_size(), key.len())?;
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

impl<A: Cipher> RecordSealer for Key<A> {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), Error> {
        let (sequence, aad) = (record.sequence, record.aad);
        let (text, tag_out) = record.gather(tag_len::<A>())?;
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

impl<A: Cipher> RecordOpener for Key<A> {
    fn open(&mut self, sequence: u64, aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error> {
        let text_len = in_out
            .len()
            .checked_sub(tag_len::<A>())
            .ok_or(Error::BadTag)?;
        let (text, tag) = in_out.split_at_mut(text_len);
        let tag = Tag::<A>::try_from(&*tag).map_err(|_| Error::BadTag)?;
        // GCM and ChaCha20-Poly1305 check the tag before they decrypt the first byte; CCM,
        // whose tag is over the plaintext, decrypts and then wipes what it refuses.
        self.cipher
            .decrypt_inout_detached(&self.nonce(sequence), aad, (&mut *text).into(), &tag)
            .map_err(|_| Error::BadTag)?;
        Ok(text_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_api::{Payload, Trailer};

    const ALL: [&dyn RecordAead; 5] = [
        &Aes128Gcm,
        &Aes256Gcm,
        &ChaCha20Poly1305,
        &Aes128Ccm,
        &Aes128Ccm8,
    ];
    const TAG_LEN: usize = 16;
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
        let mut out = vec![0xee; text.len() + algorithm.tag_len()];
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
            size_of::<Key<Ccm<Aes128Enc, U16, U12>>>(),
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
            for at in [0, 1500, 2999, 3000, sealed.len() - 1] {
                let mut forged = sealed.clone();
                forged[at] ^= 1;
                let before = forged.clone();
                assert_eq!(opener.open(1, &HEADER, &mut forged), Err(Error::BadTag));
                let wiped = forged[..text.len()].iter().all(|byte| *byte == 0);
                assert!(forged == before || wiped, "after byte {at} was forged");
            }
            for len in 0..algorithm.tag_len() {
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
