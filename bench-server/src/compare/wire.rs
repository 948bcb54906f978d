//! The buffer between two endpoints: what one has sent and the other has not yet taken.

/// A queue of bytes in one piece, that is filled at its back and drained at its front
/// without being cleared in between.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire {
    /// A queue with room for `capacity` bytes; it grows when it has to.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity],
            start: 0,
            end: 0,
        }
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that wait.
    pub(crate) fn filled(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Drops the first `n` bytes.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n.min(self.len());
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room for at least `n` bytes at the back; [`commit`](Self::commit) says how many came.
    pub(crate) fn spare(&mut self, n: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < n {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.bytes.len() - self.end < n {
                self.bytes.resize(self.end + n, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Appends the first `n` bytes of [`spare`](Self::spare).
    pub(crate) fn commit(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

impl std::io::Write for Wire {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.spare(data.len())[..data.len()].copy_from_slice(data);
        self.commit(data.len());
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads as from a non-blocking socket: nothing there is `WouldBlock`.
impl std::io::Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.is_empty() {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        let n = self.len().min(out.len());
        out[..n].copy_from_slice(&self.bytes[self.start..self.start + n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn bytes_come_out_in_order_across_growth_and_compaction() {
        let mut wire = Wire::with_capacity(4);
        let mut expected = std::collections::VecDeque::new();
        for n in 0..200_u8 {
            let chunk = vec![n; usize::from(n % 7) + 1];
            wire.write_all(&chunk).unwrap();
            expected.extend(chunk);
            let mut out = vec![0; usize::from(n % 5)];
            if !out.is_empty() && !wire.is_empty() {
                let read = wire.read(&mut out).unwrap();
                let want: Vec<u8> = expected.drain(..read).collect();
                assert_eq!(out[..read], want);
            }
        }
        assert_eq!(wire.filled(), expected.make_contiguous());
        wire.consume(usize::MAX);
        assert!(wire.is_empty());
        let error = wire.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}
