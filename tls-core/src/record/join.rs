//! Putting handshake messages together out of records (RFC 9846, section 5.1).

use alloc::vec::Vec;

use crate::wire::HandshakeType;
use crate::{Error, Misbehaviour};

/// Type and length in front of a handshake message.
const HEADER_LEN: usize = 4;

/// A whole handshake message.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub(crate) fn kind(&self) -> HandshakeType {
        HandshakeType(self.bytes.first().copied().unwrap_or_default())
    }

    /// All of it, as it enters the transcript.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }
}

/// Collects fragments and hands out whole messages. Holds no memory when it holds no bytes.
#[derive(Debug)]
pub(crate) struct Joiner {
    buffer: Vec<u8>,
    /// The longest body of a message.
    limit: usize,
}

impl Joiner {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            limit,
        }
    }

    /// Whether it stands between two messages.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) fn append(&mut self, fragment: &[u8]) {
        self.buffer.extend_from_slice(fragment);
    }

    /// The next message if it is whole.
    ///
    /// A message that will be too long is refused at its header, so no peer can make this
    /// hold more than the limit and one record.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, Error> {
        let Some(&[_, a, b, c]) = self.buffer.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if len > self.limit {
            return Err(Misbehaviour::MessageTooLong.into());
        }
        let end = len.saturating_add(HEADER_LEN);
        if self.buffer.len() < end {
            return Ok(None);
        }
        let rest = self.buffer.split_off(end);
        let bytes = core::mem::replace(&mut self.buffer, rest);
        Ok(Some(Message { bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_splits() {
        let stream = [1, 0, 0, 2, 10, 11, 20, 0, 0, 0, 8, 0, 0, 1, 12];
        for step in 1..=stream.len() {
            let mut joiner = Joiner::new(2);
            let mut found = Vec::new();
            for fragment in stream.chunks(step) {
                joiner.append(fragment);
                while let Some(message) = joiner.next().unwrap() {
                    found.push((message.kind().0, message.body().to_vec()));
                }
            }
            assert!(joiner.is_empty());
            let expected = [(1, [10, 11].to_vec()), (20, Vec::new()), (8, [12].to_vec())];
            assert_eq!(found, expected, "in steps of {step}");
        }
    }

    #[test]
    fn refuses_at_the_header() {
        let mut joiner = Joiner::new(2);
        joiner.append(&[1, 0, 0, 3]);
        assert_eq!(
            joiner.next().unwrap_err(),
            Misbehaviour::MessageTooLong.into()
        );
    }
}
