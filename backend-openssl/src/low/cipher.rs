//! AEAD cipher contexts that keep their key and get a nonce per record.
//!
//! `openssl::cipher_ctx` asks the provider for lengths and modes in every call. Here the
//! ciphers are known to be AEADs that work like stream ciphers: as many bytes come out of a
//! call as go in. [`Key::new`] checks that once.

use std::ffi::c_int;
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::cipher::CipherRef;
use openssl::cipher_ctx::{CipherCtx, CipherCtxRef};
use openssl::error::ErrorStack;
use openssl_sys as ffi;

use super::check;

pub(crate) const NONCE_LEN: usize = 12;

/// Length in bytes of an AEAD's block, as libcrypto counts it when it ends a record.
const BLOCK_LEN: usize = 16;

/// Which way a key works; it cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Seal,
    Open,
}

/// How a cipher takes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In as many pieces as one likes.
    Stream,
    /// CCM: in one piece whose length is said before the additional data, because the
    /// first block that is authenticated holds it (NIST SP 800-38C, appendix A.2.1). When
    /// opening, the tag must be there before the text is.
    OnePiece,
}

/// A key of an AEAD cipher for one direction. Libcrypto wipes it when dropped.
pub(crate) struct Key {
    ctx: CipherCtx,
    mode: Mode,
}

impl Key {
    /// # Panics
    /// If `key` is not as long as the cipher wants it, or the cipher is not an AEAD with
    /// 12-byte nonces that works like a stream cipher: both are known before.
    pub(crate) fn new(
        cipher: &CipherRef,
        mode: Mode,
        tag_len: usize,
        key: &[u8],
        direction: Direction,
    ) -> Result<Self, ErrorStack> {
        assert_eq!(cipher.block_size(), 1);
        assert_eq!(cipher.key_length(), key.len());
        let mut ctx = CipherCtx::new()?;
        let init = match direction {
            Direction::Seal => CipherCtxRef::encrypt_init,
            Direction::Open => CipherCtxRef::decrypt_init,
        };
        match mode {
            Mode::Stream => {
                assert_eq!(cipher.iv_length(), NONCE_LEN);
                init(&mut ctx, Some(cipher), Some(key), None)?;
            }
            Mode::OnePiece => {
                // Both lengths are part of what the key is set for.
                init(&mut ctx, Some(cipher), None, None)?;
                ctx.set_iv_length(NONCE_LEN)?;
                ctx.set_tag_length(tag_len)?;
                init(&mut ctx, None, Some(key), None)?;
            }
        }
        Ok(Self { ctx, mode })
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Starts a record whose text has `text_len` bytes.
    pub(crate) fn start(
        &mut self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text_len: usize,
    ) -> Result<(), ErrorStack> {
        // SAFETY: the context is live and borrowed mutably; null cipher and key and
        // direction -1 mean "as before"; the nonce is read to the length that the context
        // has (checked in `new` to be 12) before the call returns.
        check(unsafe {
            ffi::EVP_CipherInit_ex(
                self.ctx.as_ptr(),
                ptr::null(),
                ptr::null_mut(),
                ptr::null(),
                nonce.as_ptr(),
                -1,
            )
        })?;
        if self.mode == Mode::OnePiece {
            self.ctx.set_data_len(text_len)?;
        }
        if aad.is_empty() {
            return Ok(());
        }
        let mut written = 0;
        let aad_len = length(aad)?;
        // SAFETY: live context; `aad` is readable for `aad_len` bytes; without an output an
        // AEAD cipher takes its input as additional data and writes nothing.
        check(unsafe {
            ffi::EVP_CipherUpdate(
                self.ctx.as_ptr(),
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
                self.ctx.as_ptr(),
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
        check(unsafe { ffi::EVP_CipherUpdate(self.ctx.as_ptr(), data, &mut written, data, len) })
    }

    /// Ends a sealed record and writes its tag.
    pub(crate) fn tag(&mut self, tag: &mut [u8]) -> Result<(), ErrorStack> {
        self.finish()?;
        self.ctx.tag(tag)
    }

    /// Opens a record where it lies: `Ok(false)` if `tag` is not its tag.
    pub(crate) fn open(
        &mut self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<bool, ErrorStack> {
        // A failure of the step that checks the tag is a wrong tag: with some versions of
        // libcrypto the queue then holds a reason and with others nothing.
        match self.mode {
            Mode::Stream => {
                self.start(nonce, aad, text.len())?;
                if !text.is_empty() {
                    self.update_in_place(text)?;
                }
                self.ctx.set_tag(tag)?;
                Ok(self.finish().is_ok())
            }
            Mode::OnePiece => {
                self.ctx.set_tag(tag)?;
                self.start(nonce, aad, text.len())?;
                Ok(self.update_in_place(text).is_ok())
            }
        }
    }

    fn finish(&mut self) -> Result<(), ErrorStack> {
        let mut written = 0;
        // A cipher of block size 1 has nothing to write at its end, but the pointer must
        // not be null.
        let mut nothing = [0; BLOCK_LEN];
        // SAFETY: live context; `nothing` is writable and longer than the cipher's block.
        check(unsafe {
            ffi::EVP_CipherFinal(self.ctx.as_ptr(), nothing.as_mut_ptr(), &mut written)
        })
    }
}

/// A length as libcrypto counts it; an error without a reason from 2 GiB on, where no record
/// reaches.
fn length(bytes: &[u8]) -> Result<c_int, ErrorStack> {
    c_int::try_from(bytes.len()).map_err(|_| ErrorStack::get())
}
