//! The few forms of DER (X.690) that keys come in.
//!
//! Libcrypto's decoders try every format that is loaded, for each key. What a TLS peer or a
//! key file may hold is little enough to be read here.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// A constructed, context-specific element with number `n`.
pub(crate) const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// Reads elements one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element. `None` if its tag is not `tag` or it is damaged.
    pub(crate) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&first, rest) = self.0.split_first()?;
        if first != tag {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // The length in as many bytes as `first` says, and in no more than needed
            // (X.690, section 10.1). No key has a length of more than three bytes.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 3))?;
                let len = bytes
                    .iter()
                    .fold(0, |len, byte| len << 8 | usize::from(*byte));
                let shortest = *bytes.first()? != 0 && len > 0x7f;
                if !shortest {
                    return None;
                }
                (len, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(content)
    }

    /// A reader for the content of the next element, a sequence.
    pub(crate) fn sequence(&mut self) -> Option<Self> {
        self.element(SEQUENCE).map(Self)
    }

    /// The magnitude of the next element, an integer that is not negative: without leading
    /// zeros, empty for zero.
    pub(crate) fn unsigned(&mut self) -> Option<&'a [u8]> {
        match self.element(INTEGER)? {
            [0] => Some(&[]),
            // A zero in front only where the number would read as negative without it.
            [0, rest @ ..] => rest
                .first()
                .is_some_and(|byte| *byte >= 0x80)
                .then_some(rest),
            number @ [0x01..=0x7f, ..] => Some(number),
            _ => None,
        }
    }

    /// The next element if its tag is `tag`; if it is not, nothing is read.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) {
            self.element(tag).map(Some)
        } else {
            Some(None)
        }
    }
}

/// The bytes of a bit string whose content is `content`, if it has whole bytes.
pub(crate) fn whole_bytes(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, bytes @ ..] => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        let element = |der: &[u8]| Reader::new(der).element(OCTET_STRING).map(<[u8]>::len);
        let with = |head: &[u8], len: usize| [head, &vec![7; len]].concat();
        assert_eq!(element(&with(&[4, 0x7f], 0x7f)), Some(0x7f));
        assert_eq!(element(&with(&[4, 0x81, 0x80], 0x80)), Some(0x80));
        assert_eq!(element(&with(&[4, 0x82, 1, 0], 0x100)), Some(0x100));
        assert_eq!(
            element(&with(&[4, 0x83, 1, 0, 0], 0x1_0000)),
            Some(0x1_0000)
        );
        assert_eq!(element(&with(&[4, 0x81, 0x7f], 0x7f)), None);
        assert_eq!(element(&with(&[4, 0x82, 0, 0x80], 0x80)), None);
        assert_eq!(element(&with(&[4, 0x80], 8)), None);
        assert_eq!(element(&with(&[4, 0x84, 0, 0, 0, 8], 8)), None);
        assert_eq!(element(&with(&[4, 9], 8)), None);
        assert_eq!(element(&[4]), None);
        assert_eq!(element(&[]), None);
        assert_eq!(element(&[2, 0]), None);
    }

    #[test]
    fn integers_have_one_form() {
        let unsigned = |content: &[u8]| {
            let der = [&[INTEGER, u8::try_from(content.len()).unwrap()], content].concat();
            Reader::new(&der).unsigned().map(<[u8]>::to_vec)
        };
        assert_eq!(unsigned(&[0]), Some(vec![]));
        assert_eq!(unsigned(&[1, 0]), Some(vec![1, 0]));
        assert_eq!(unsigned(&[0, 0x80]), Some(vec![0x80]));
        assert_eq!(unsigned(&[0, 0x7f]), None);
        assert_eq!(unsigned(&[0x80]), None);
        assert_eq!(unsigned(&[]), None);
    }
}
