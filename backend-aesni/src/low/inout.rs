//! Bytes to be read and bytes to be written, which may be the same.
//!
//! Sealing reads the caller's payload and writes records, opening works in place. An
//! [`InOut`] is either: kernels are written once, and every access stays inside.

use core::marker::PhantomData;

/// Bytes to be read, and as many or more to be written. They are the same bytes, or do not
/// overlap.
pub(crate) struct InOut<'a> {
    from: *const u8,
    to: *mut u8,
    len: usize,
    /// How many bytes more there are to be written.
    more: usize,
    lifetime: PhantomData<&'a mut [u8]>,
}

/// `N` bytes of an [`InOut`].
pub(crate) struct Chunk<'a, const N: usize> {
    from: *const u8,
    to: *mut u8,
    lifetime: PhantomData<&'a mut [u8; N]>,
}

impl<'a> InOut<'a> {
    /// Reads and writes `bytes`.
    #[inline]
    pub(crate) fn in_place(bytes: &'a mut [u8]) -> Self {
        let to = bytes.as_mut_ptr();
        Self {
            from: to,
            to,
            len: bytes.len(),
            more: 0,
            lifetime: PhantomData,
        }
    }

    /// Reads `from`, and writes `to`, which is as long or longer; if it is not, it limits both.
    #[inline]
    pub(crate) fn between(from: &'a [u8], to: &'a mut [u8]) -> Self {
        debug_assert!(from.len() <= to.len());
        Self {
            from: from.as_ptr(),
            to: to.as_mut_ptr(),
            len: from.len().min(to.len()),
            more: to.len().saturating_sub(from.len()),
            lifetime: PhantomData,
        }
    }

    /// How many bytes are to be read.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many bytes are to be written.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.len + self.more
    }

    /// Takes the first `N` bytes away, if there are as many.
    #[inline(always)]
    pub(crate) fn take<const N: usize>(&mut self) -> Option<Chunk<'a, N>> {
        if self.len < N {
            return None;
        }
        let chunk = Chunk {
            from: self.from,
            to: self.to,
            lifetime: PhantomData,
        };
        self.len -= N;
        // SAFETY: at least `N` bytes were left, so this is inside or one past the end.
        self.from = unsafe { self.from.add(N) };
        // SAFETY: as above.
        self.to = unsafe { self.to.add(N) };
        Some(chunk)
    }

    /// Takes the first `len` bytes away.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn skip(&mut self, len: usize) {
        assert!(len <= self.len);
        self.len -= len;
        // SAFETY: at least `len` bytes were left, so this is inside or one past the end.
        self.from = unsafe { self.from.add(len) };
        // SAFETY: as above.
        self.to = unsafe { self.to.add(len) };
    }

    /// The bytes to be read.
    #[inline]
    pub(crate) fn input(&self) -> &[u8] {
        // SAFETY: `from` is valid for `len` bytes, and while `self` is borrowed nobody writes.
        unsafe { core::slice::from_raw_parts(self.from, self.len) }
    }

    /// The place of the bytes to be written.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn output(&mut self) -> &mut [u8] {
        // SAFETY: `to` is valid for `len + more` bytes, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.to, self.room()) }
    }
}

impl<'a, const N: usize> Chunk<'a, N> {
    /// Reads and writes `bytes`.
    #[inline(always)]
    pub(crate) fn in_place(bytes: &'a mut [u8; N]) -> Self {
        let to = bytes.as_mut_ptr();
        Self {
            from: to,
            to,
            lifetime: PhantomData,
        }
    }

    /// The `M` bytes to be read at `at`.
    #[inline(always)]
    pub(crate) fn read<const M: usize>(&self, at: usize) -> &[u8; M] {
        assert!(at <= N && M <= N - at);
        // SAFETY: checked above. The reference ends before this chunk can be written to.
        let from = unsafe { self.from.add(at) };
        // SAFETY: as above; an array of bytes needs no alignment.
        unsafe { &*from.cast() }
    }

    /// The place of `M` bytes to be written at `at`.
    #[inline(always)]
    pub(crate) fn write<const M: usize>(&mut self, at: usize) -> &mut [u8; M] {
        assert!(at <= N && M <= N - at);
        // SAFETY: checked above. The reference borrows this chunk exclusively.
        let to = unsafe { self.to.add(at) };
        // SAFETY: as above; an array of bytes needs no alignment.
        unsafe { &mut *to.cast() }
    }

    /// What was written, or what stood there.
    #[inline(always)]
    pub(crate) fn into_written(self) -> &'a [u8; N] {
        // SAFETY: the place is valid for `N` bytes as long as `'a`, and nobody writes any more.
        unsafe { &*self.to.cast_const().cast() }
    }

    /// What was written last at `at`, or what stood there.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn written<const M: usize>(&self, at: usize) -> &[u8; M] {
        assert!(at <= N && M <= N - at);
        // SAFETY: checked above. The reference ends before this chunk can be written to.
        let to = unsafe { self.to.add(at) };
        // SAFETY: as above; the place is part of an initialised `&mut [u8]`.
        unsafe { &*to.cast_const().cast() }
    }
}
