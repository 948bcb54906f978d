//! Buffers that a connection holds only while there is something in them.
//!
//! An idle connection must cost next to nothing, and a busy one must not allocate per
//! record. Both hold because buffers of the usual size go back to a small store of the
//! thread when they are empty, and come from there when they are needed.

use std::cell::RefCell;

use zeroize::Zeroize;

/// The usual size: four full records of TLS 1.3 with the largest tag in use.
pub(crate) const FULL: usize = 4 * (5 + 16_384 + 1 + 16);

/// The size to start with during a handshake, when anyone can make us hold one.
const SMALL: usize = 4096;

/// How many buffers a thread keeps.
const KEPT: usize = 8;

thread_local! {
    static STORE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes in order: some used up, then those that are filled, then room.
#[derive(Default)]
pub(crate) struct Buffer {
    /// Always initialised in full, so that taking it again costs no zero-fill.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// How far it was handed out to be changed in place. That is how plaintext gets in, and
    /// it is wiped before the memory goes: output is sealed already, and needs none of this.
    opened: usize,
}

impl Buffer {
    /// Whether nothing is filled.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where the filled part starts.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The filled part.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The filled part, to be changed in place.
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        self.opened = self.opened.max(self.end);
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Any part, the used-up one included, by position.
    pub(crate) fn at(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Marks `n` bytes at the front of the filled part as used up.
    pub(crate) fn use_up(&mut self, n: usize) {
        self.start = self.end.min(self.start.saturating_add(n));
    }

    /// Marks `n` bytes at the front of the room as filled.
    pub(crate) fn fill(&mut self, n: usize) {
        self.end = self.bytes.len().min(self.end.saturating_add(n));
    }

    /// Room of at least `least` bytes behind the filled part, which moves to the front.
    /// `size` is the size of the buffer if none is held yet.
    pub(crate) fn room(&mut self, least: usize, size: usize) -> &mut [u8] {
        let len = self.end - self.start;
        let wanted = len.saturating_add(least).max(size);
        if self.bytes.len() < wanted {
            let mut bytes = take(wanted);
            if let Some(front) = bytes.get_mut(..len) {
                front.copy_from_slice(self.filled());
            }
            give_back(std::mem::replace(&mut self.bytes, bytes), self.opened);
            self.opened = len;
        } else if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
        }
        self.start = 0;
        self.end = len;
        self.bytes.get_mut(len..).unwrap_or_default()
    }

    /// Room for bytes from someone who has proved nothing yet, and may announce much and send
    /// little: a small buffer, which doubles whenever it is full, up to the `wanted` bytes.
    /// So no more is held than twice of what has come.
    pub(crate) fn cautious_room(&mut self, wanted: usize) -> &mut [u8] {
        let len = self.end - self.start;
        let least = if len < self.bytes.len() {
            1
        } else {
            wanted.min(len)
        };
        self.room(least, SMALL)
    }

    /// Lets the memory go. Whatever was filled is lost.
    pub(crate) fn release(&mut self) {
        if !self.bytes.is_empty() {
            give_back(std::mem::take(&mut self.bytes), self.opened);
        }
        self.start = 0;
        self.end = 0;
        self.opened = 0;
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

fn take(size: usize) -> Vec<u8> {
    let kept = if size == FULL {
        // No store while the thread ends.
        STORE.try_with(|store| store.borrow_mut().pop())
    } else {
        Ok(None)
    };
    kept.ok().flatten().unwrap_or_else(|| vec![0; size])
}

/// Lets memory go whose first `opened` bytes may hold plaintext.
fn give_back(mut bytes: Vec<u8>, opened: usize) {
    if let Some(opened) = bytes.get_mut(..opened) {
        opened.zeroize();
    }
    if bytes.len() == FULL {
        let _ = STORE.try_with(|store| {
            let mut store = store.borrow_mut();
            if store.len() < KEPT {
                store.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8], size: usize) {
        buffer.room(bytes.len(), size)[..bytes.len()].copy_from_slice(bytes);
        buffer.fill(bytes.len());
    }

    #[test]
    fn keeps_what_is_filled_while_it_moves_and_grows() {
        let mut buffer = Buffer::default();
        put(&mut buffer, b"hello world", SMALL);
        buffer.use_up(6);
        assert_eq!(buffer.filled(), b"world");
        put(&mut buffer, &[b'x'; 5000], SMALL);
        assert_eq!(buffer.filled()[..6], *b"worldx");
        assert_eq!(buffer.filled().len(), 5005);
        put(&mut buffer, b"end", FULL);
        assert!(buffer.filled().ends_with(b"xend"));
        buffer.use_up(usize::MAX);
        assert!(buffer.is_empty());
        buffer.release();
        assert_eq!(buffer.held(), 0);
    }

    #[test]
    fn caution_doubles_what_is_full() {
        let mut buffer = Buffer::default();
        let mut sizes = Vec::new();
        for come in 0..10_000 {
            let room = buffer.cautious_room(10_000 - come);
            assert!(!room.is_empty());
            if sizes.last() != Some(&buffer.held()) {
                sizes.push(buffer.held());
            }
            buffer.fill(1);
        }
        assert_eq!(sizes, [SMALL, 2 * SMALL, 10_000]);
    }

    #[test]
    fn what_was_opened_is_wiped_before_anyone_gets_the_memory() {
        for more in [0, FULL] {
            let mut buffer = Buffer::default();
            put(&mut buffer, &[b'x'; 300], FULL);
            buffer.use_up(100);
            buffer.filled_mut()[..10].copy_from_slice(b"plain text");
            // Moved to the front, or into memory of a size that nobody keeps.
            buffer.room(more, FULL);
            let at = buffer.bytes.as_ptr();
            buffer.filled_mut().fill(b's');
            buffer.release();
            let mut other = Buffer::default();
            let room = other.room(1, FULL);
            assert_eq!(room.as_ptr() == at, more == 0);
            assert!(room.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn memory_goes_to_the_store_and_comes_back() {
        let mut buffer = Buffer::default();
        buffer.room(1, FULL);
        let at = buffer.bytes.as_ptr();
        buffer.release();
        let mut other = Buffer::default();
        other.room(1, FULL);
        assert_eq!(other.bytes.as_ptr(), at);
        for _ in 0..2 * KEPT {
            give_back(vec![0; FULL], 0);
        }
        assert_eq!(STORE.with(|store| store.borrow().len()), KEPT);
    }
}
