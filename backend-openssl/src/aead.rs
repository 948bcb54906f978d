//! Record protection.

use std::sync::{Arc, OnceLock};

use crypto_api::{
    CipherSuite, Error, Implementation, NONCE_LEN, RecordAead, RecordOpener, RecordSealer,
    SealRecord, Suite, check_len,
};
use openssl::cipher::Cipher;
use openssl::error::ErrorStack;
use zeroize::{Zeroize, Zeroizing};

use crate::error::failed;
use crate::low::cipher::{Direction, Key, Mode};

/// The cipher suites that libcrypto has ciphers for, the preferred one first. CCM, the
/// slowest by far, stands last.
pub fn suites() -> Vec<Suite> {
    [
        (CipherSuite::TLS_AES_128_GCM_SHA256, &AES_128_GCM),
        (CipherSuite::TLS_AES_256_GCM_SHA384, &AES_256_GCM),
        (
            CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
            &CHACHA20_POLY1305,
        ),
        (CipherSuite::TLS_AES_128_CCM_SHA256, &AES_128_CCM),
        (CipherSuite::TLS_AES_128_CCM_8_SHA256, &AES_128_CCM_8),
    ]
    .into_iter()
    .filter(|(_, aead)| aead.cipher().is_ok())
    .filter_map(|(id, aead)| Suite::new(id, Arc::new(aead)).ok())
    .collect()
}

static AES_128_GCM: Aead = Aead::new("AES-128-GCM", Mode::Stream, 16, 16);
static AES_256_GCM: Aead = Aead::new("AES-256-GCM", Mode::Stream, 32, 16);
static CHACHA20_POLY1305: Aead = Aead::new("ChaCha20-Poly1305", Mode::Stream, 32, 16);
static AES_128_CCM: Aead = Aead::new("AES-128-CCM", Mode::OnePiece, 16, 16);
static AES_128_CCM_8: Aead = Aead::new("AES-128-CCM", Mode::OnePiece, 16, 8);

/// An AEAD cipher, looked up in libcrypto once.
#[derive(Debug)]
struct Aead {
    /// Libcrypto's name for it.
    name: &'static str,
    mode: Mode,
    key_len: usize,
    tag_len: usize,
    cipher: OnceLock<Result<FetchedCipher, Error>>,
}

struct FetchedCipher(Cipher);

impl std::fmt::Debug for FetchedCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fetched")
    }
}

impl Aead {
    const fn new(name: &'static str, mode: Mode, key_len: usize, tag_len: usize) -> Self {
        Self {
            name,
            mode,
            key_len,
            tag_len,
            cipher: OnceLock::new(),
        }
    }

    fn cipher(&self) -> Result<&Cipher, Error> {
        let fetch = || Cipher::fetch(None, self.name, None).map(FetchedCipher);
        self.cipher
            .get_or_init(|| fetch().map_err(failed("find the cipher")))
            .as_ref()
            .map(|cipher| &cipher.0)
            .map_err(Clone::clone)
    }

    fn key(
        &self,
        key: &[u8],
        iv: &[u8; NONCE_LEN],
        direction: Direction,
    ) -> Result<RecordKey, Error> {
        check_len("key of the AEAD", self.key_len, key.len())?;
        let key = Key::new(self.cipher()?, self.mode, self.tag_len, key, direction)
            .map_err(failed("set a record key"))?;
        Ok(RecordKey {
            key,
            tag_len: self.tag_len,
            iv: Zeroizing::new(*iv),
        })
    }
}

impl RecordAead for &'static Aead {
    fn key_len(&self) -> usize {
        self.key_len
    }

    fn tag_len(&self) -> usize {
        self.tag_len
    }

    fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
        Ok(Box::new(self.key(key, iv, Direction::Seal)?))
    }

    fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
        Ok(Box::new(self.key(key, iv, Direction::Open)?))
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}

/// Up to this many bytes of plaintext are copied together and encrypted where they lie: a
/// call into the cipher for the content type alone costs more than moving them.
const GATHER_MAX: usize = 512;

/// One direction's key.
struct RecordKey {
    key: Key,
    tag_len: usize,
    iv: Zeroizing<[u8; NONCE_LEN]>,
}

impl RecordKey {
    /// The nonce of a record (RFC 9846, section 5.3). It is sent with TLS 1.2 and derived
    /// from public numbers and the IV else; the IV is what is wiped.
    fn nonce(&self, sequence: u64) -> [u8; NONCE_LEN] {
        let mut nonce = *self.iv;
        let (_, low) = nonce.split_at_mut(NONCE_LEN - 8);
        for (byte, number) in low.iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }

    /// Encrypts payload and trailer into the front of `out` and returns what is behind
    /// them: the place for the tag. `out` has the right length.
    fn encrypt<'a>(&mut self, record: &'a mut SealRecord<'_>) -> Result<&'a mut [u8], ErrorStack> {
        let (payload, trailer) = (record.payload, record.trailer);
        let (text, tag) = record
            .out
            .split_at_mut(record.payload.len() + trailer.len());
        let one_piece = self.key.mode() == Mode::OnePiece;
        if one_piece || text.len() <= GATHER_MAX {
            let (front, end) = text.split_at_mut(payload.len());
            payload.copy_to(front);
            trailer.write_to(end);
            if one_piece || !text.is_empty() {
                self.key.update_in_place(text)?;
            }
            return Ok(tag);
        }
        let mut rest = text;
        for piece in payload.iter() {
            let (to, behind) = rest.split_at_mut(piece.len());
            self.key.update(piece, to)?;
            rest = behind;
        }
        if !rest.is_empty() {
            trailer.write_to(rest);
            self.key.update_in_place(rest)?;
        }
        Ok(tag)
    }

    fn seal_into(&mut self, record: &mut SealRecord<'_>) -> Result<(), ErrorStack> {
        let nonce = self.nonce(record.sequence);
        self.key.start(&nonce, record.aad, record.plaintext_len())?;
        let tag = self.encrypt(record)?;
        self.key.tag(tag)
    }
}

impl RecordSealer for RecordKey {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), Error> {
        check_len(
            "output of seal",
            record.sealed_len(self.tag_len),
            record.out.len(),
        )?;
        self.seal_into(record).map_err(|stack| {
            record.out.zeroize();
            failed("seal a record")(stack)
        })
    }
}

impl RecordOpener for RecordKey {
    fn open(&mut self, sequence: u64, aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error> {
        let nonce = self.nonce(sequence);
        let text_len = in_out.len().checked_sub(self.tag_len);
        let (text, tag) = in_out.split_at_mut(text_len.ok_or(Error::BadTag)?);
        match self.key.open(&nonce, aad, text, tag) {
            Ok(true) => Ok(text.len()),
            Ok(false) => {
                text.zeroize();
                Err(Error::BadTag)
            }
            Err(stack) => {
                text.zeroize();
                Err(failed("open a record")(stack))
            }
        }
    }
}
