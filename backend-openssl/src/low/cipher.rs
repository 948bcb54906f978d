//! AEAD cipher contexts that keep their key and get a nonce per record.
//!
//! `openssl::cipher_ctx` asks the provider for lengths and modes in every call. Here the
//! ciphers are known to be AEADs that work like stream ciphers: as many bytes come out of a
//! call as go in. [`Key::new`] checks that once.

use std::ffi::c_int;
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::cipher::CipherRef;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl_sys as ffi;

use super::check;

pub(crate) const NONCE_LEN: usize = 12;
pub(crate) const TAG_LEN: usize = 16;

/// Which way a key works; it cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Seal,
    Open,
}

/// A key of an AEAD cipher for one direction. Libcrypto wipes it when dropped.
pub(crate) struct Key(CipherCtx);

impl Key {
    /// # Panics
    /// If `key` is not as long as the cipher wants it, or the cipher is not an AEAD with
    /// 12-byte nonces that works like a stream cipher: both are known before.
    pub(crate) fn new(
        cipher: &CipherRef,
        key: &[u8],
        direction: Direction,
    ) -> Result<Self, ErrorStack> {
        assert_eq!(cipher.block_size(), 1);
        assert_eq!(cipher.iv_length(), NONCE_LEN);
        assert_eq!(cipher.key_length(), key.len());
        let mut ctx = CipherCtx::new()?;
        match direction {
            Direction::Seal => ctx.encrypt_init(Some(cipher), Some(key), None)?,
            Direction::Open => ctx.decrypt_init(Some(cipher), Some(key), None)?,
        }
        Ok(Self(ctx))
    }

    /// Starts a record.
    pub(crate) fn start(&mut self, nonce: &[u8; NONCE_LEN], aad: &[u8]) -> Result<(), ErrorStack> {
        // SAFETY: the context is live and borrowed mutably; null cipher and key and
        // direction -1 mean "as before"; the nonce is read to the length that the cipher
        // has (checked in `new` to be 12) before the call returns.
        check(unsafe {
            ffi::EVP_CipherInit_ex(
                self.0.as_ptr(),
                ptr::null(),
                ptr::null_mut(),
                ptr::null(),
                nonce.as_ptr(),
                -1,
            )
        })?;
        if aad.is_empty() {
            return Ok(());
        }
        let mut written = 0;
        let aad_len = length(aad)?;
        // SAFETY: live context; `aad` is readable for `aad_len` bytes; without an output an
        // AEAD cipher takes its input as additional data and writes nothing.
        check(unsafe {
            ffi::EVP_CipherUpdate(
                self.0.as_ptr(),
                ptr::null_mut(),
                &mut written,
                aad.as_ptr(),
                aad_len,
            )
        })
    }

    /// Encrypts or decrypts `input` into `output`.
    ///
    /// # Panics
    /// If the two are not of the same length.
    pub(crate) fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), ErrorStack> {
        assert_eq!(input.len(), output.len());
        let mut written = 0;
        let len = length(input)?;
        // SAFETY: live context; `input` is readable for `len` bytes; a cipher of block size
        // 1 (checked in `new`) writes exactly as many, and `output` has at least `len`.
        check(unsafe {
            ffi::EVP_CipherUpdate(
                self.0.as_ptr(),
                output.as_mut_ptr(),
                &mut written,
                input.as_ptr(),
                len,
            )
        })
    }

    /// Encrypts or decrypts `data` where it lies.
    pub(crate) fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), ErrorStack> {
        let mut written = 0;
        let len = length(data)?;
        let data = data.as_mut_ptr();
        // SAFETY: as in `update`; libcrypto allows input and output to be the same memory,
        // and both pointers come from the same mutable borrow.
        check(unsafe { ffi::EVP_CipherUpdate(self.0.as_ptr(), data, &mut written, data, len) })
    }

    /// Ends a sealed record and writes its tag.
    pub(crate) fn tag(&mut self, tag: &mut [u8; TAG_LEN]) -> Result<(), ErrorStack> {
        self.finish()?;
        self.0.tag(tag)
    }

    /// Ends an opened record: `Ok(false)` if `tag` is not its tag.
    pub(crate) fn verify(&mut self, tag: &[u8; TAG_LEN]) -> Result<bool, ErrorStack> {
        self.0.set_tag(tag)?;
        // A failure here is a wrong tag: with some versions of libcrypto the queue then
        // holds a reason and with others nothing.
        Ok(self.finish().is_ok())
    }

    fn finish(&mut self) -> Result<(), ErrorStack> {
        let mut written = 0;
        // A cipher of block size 1 has nothing to write at its end, but the pointer must
        // not be null.
        let mut nothing = [0; TAG_LEN];
        // SAFETY: live context; `nothing` is writable and longer than the cipher's block.
        check(unsafe { ffi::EVP_CipherFinal(self.0.as_ptr(), nothing.as_mut_ptr(), &mut written) })
    }
}

/// A length as libcrypto counts it; an error without a reason from 2 GiB on, where no record
/// reaches.
fn length(bytes: &[u8]) -> Result<c_int, ErrorStack> {
    c_int::try_from(bytes.len()).map_err(|_| ErrorStack::get())
}
