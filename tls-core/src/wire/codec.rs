//! Reading and writing TLS presentation language (RFC 9846, section 3).

use alloc::vec::Vec;

use crate::Error;

/// Reads a message from front to back. Every method fails with [`Error::Decode`] and the
/// name of the part when the bytes run out; none can panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// What is being read, for the error.
    part: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { bytes, part }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn malformed(&self) -> Error {
        Error::Decode(self.part)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(self.malformed())?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(self.malformed())?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Result<usize, Error> {
        self.array()
            .map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    /// A vector with a length of one byte.
    pub(crate) fn vec8(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u8()?.into();
        self.take(len)
    }

    /// A vector with a length of two bytes.
    pub(crate) fn vec16(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u16()?.into();
        self.take(len)
    }

    /// A vector with a length of three bytes.
    pub(crate) fn vec24(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u24()?;
        self.take(len)
    }

    /// A vector with a length of two bytes, as something to read from.
    pub(crate) fn nested16(&mut self, part: &'static str) -> Result<Self, Error> {
        self.vec16().map(|bytes| Self::new(bytes, part))
    }

    /// A list of 16-bit values with a length of two bytes, at least one value.
    pub(crate) fn list16<T: From<u16>>(&mut self) -> Result<Vec<T>, Error> {
        let bytes = self.vec16()?;
        self.values16(bytes)
    }

    /// A list of 16-bit values with a length of one byte, at least one value.
    pub(crate) fn list8<T: From<u16>>(&mut self) -> Result<Vec<T>, Error> {
        let bytes = self.vec8()?;
        self.values16(bytes)
    }

    fn values16<T: From<u16>>(&self, bytes: &[u8]) -> Result<Vec<T>, Error> {
        let (pairs, []) = bytes.as_chunks::<2>() else {
            return Err(self.malformed());
        };
        if pairs.is_empty() {
            return Err(self.malformed());
        }
        Ok(pairs
            .iter()
            .map(|pair| u16::from_be_bytes(*pair).into())
            .collect())
    }

    /// Demands that everything was read.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }
}

/// Appends to a message. Lengths are those of our own making and always fit; should one
/// not, the message is cut and the peer refuses it, but nothing panics.
pub(crate) trait Write {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put(&mut self, bytes: &[u8]);
    /// Appends what `content` writes, behind its length in one byte.
    fn nest8(&mut self, content: impl FnOnce(&mut Self));
    /// Appends what `content` writes, behind its length in two bytes.
    fn nest16(&mut self, content: impl FnOnce(&mut Self));
    /// Appends what `content` writes, behind its length in three bytes.
    fn nest24(&mut self, content: impl FnOnce(&mut Self));
}

impl Write for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn nest8(&mut self, content: impl FnOnce(&mut Self)) {
        nest::<1>(self, content);
    }

    fn nest16(&mut self, content: impl FnOnce(&mut Self)) {
        nest::<2>(self, content);
    }

    fn nest24(&mut self, content: impl FnOnce(&mut Self)) {
        nest::<3>(self, content);
    }
}

fn nest<const LEN: usize>(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; LEN]);
    content(out);
    let written = out.get_mut(at..).unwrap_or_default();
    let Some((place, content)) = written.split_first_chunk_mut::<LEN>() else {
        return;
    };
    let len = content.len().to_be_bytes();
    debug_assert!(len.iter().rev().skip(LEN).all(|byte| *byte == 0));
    if let Some((_, low)) = len.split_last_chunk::<LEN>() {
        *place = *low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_written_is_read() {
        let mut out = vec![];
        out.put_u8(7);
        out.nest16(|out| {
            out.nest8(|out| out.put(b"abc"));
            out.put(&[1, 2, 3]);
        });
        out.nest24(|out| out.put_u16(0x0102));
        assert_eq!(out, [7, 0, 7, 3, b'a', b'b', b'c', 1, 2, 3, 0, 0, 2, 1, 2]);
        let mut reader = Reader::new(&out, "test");
        assert_eq!(reader.u8(), Ok(7));
        let mut inner = reader.nested16("inner").unwrap();
        assert_eq!(inner.vec8(), Ok(&b"abc"[..]));
        assert_eq!(inner.u24(), Ok(0x01_02_03));
        assert_eq!(inner.end(), Ok(()));
        assert_eq!(reader.vec24(), Ok(&[1, 2][..]));
        assert_eq!(reader.u8(), Err(Error::Decode("test")));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn lists_have_whole_values() {
        let mut odd = Reader::new(&[0, 3, 1, 2, 3], "odd");
        assert_eq!(odd.list16::<u16>(), Err(Error::Decode("odd")));
        let mut empty = Reader::new(&[0, 0], "empty");
        assert_eq!(empty.list16::<u16>(), Err(Error::Decode("empty")));
        let mut short = Reader::new(&[0, 4, 1, 2], "short");
        assert_eq!(short.list16::<u16>(), Err(Error::Decode("short")));
        let mut good = Reader::new(&[4, 1, 2, 3, 4], "good");
        assert_eq!(good.list8::<u16>(), Ok(vec![0x0102, 0x0304]));
    }
}
