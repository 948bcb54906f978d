//! Finding the records in a stream of bytes.

use core::ops::Range;

use super::{HEADER_LEN, MAX_CIPHERTEXT, MAX_PLAINTEXT};
use crate::wire::ContentType;
use crate::{Error, Misbehaviour};

/// What stands at the front of the bytes received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deframed {
    /// A whole record.
    Record {
        content_type: ContentType,
        /// The header as received: additional data of the AEAD.
        header: [u8; HEADER_LEN],
        /// Where its body lies.
        body: Range<usize>,
    },
    /// The beginning of one; this many bytes are missing.
    Incomplete(usize),
}

/// Looks at the front of `input`. `first` says that nothing was received before, so that a
/// peer that does not speak TLS can be called that.
pub(crate) fn deframe(input: &[u8], first: bool) -> Result<Deframed, Error> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_LEN>() else {
        return Ok(Deframed::Incomplete(HEADER_LEN.saturating_sub(input.len())));
    };
    // legacy_record_version is ignored for all purposes (RFC 9846, section 5.1).
    let [content_type, _, _, len @ ..] = *header;
    let content_type = ContentType(content_type);
    let known = matches!(
        content_type,
        ContentType::CHANGE_CIPHER_SPEC
            | ContentType::ALERT
            | ContentType::HANDSHAKE
            | ContentType::APPLICATION_DATA
    );
    if !known {
        if first {
            return Err(Error::NotTls(*header));
        }
        return Err(Misbehaviour::UnexpectedMessage {
            expected: "a record",
            got: content_type.0,
        }
        .into());
    }
    let len = usize::from(u16::from_be_bytes(len));
    let limit = match content_type {
        ContentType::APPLICATION_DATA => MAX_CIPHERTEXT,
        _ => MAX_PLAINTEXT,
    };
    if len > limit {
        return Err(Misbehaviour::RecordOverflow.into());
    }
    match len.checked_sub(rest.len()) {
        None | Some(0) => Ok(Deframed::Record {
            content_type,
            header: *header,
            body: HEADER_LEN..len.saturating_add(HEADER_LEN),
        }),
        Some(missing) => Ok(Deframed::Incomplete(missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn waits_for_the_whole_record() {
        let record = [22, 3, 3, 0, 3, 1, 2, 3, 99];
        for (cut, missing) in [(0, 5), (1, 4), (4, 1), (5, 3), (7, 1)] {
            let found = deframe(&record[..cut], true).unwrap();
            assert_eq!(found, Deframed::Incomplete(missing), "{cut} bytes");
        }
        let Ok(Deframed::Record { body, .. }) = deframe(&record, true) else {
            panic!("no record");
        };
        assert_eq!(record[body], [1, 2, 3]);
    }

    #[test]
    fn names_what_is_not_tls() {
        assert_eq!(deframe(b"GET / HTTP", true), Err(Error::NotTls(*b"GET /")));
        assert!(matches!(
            deframe(b"GET / HTTP", false),
            Err(Error::Misbehaved(Misbehaviour::UnexpectedMessage {
                got: b'G',
                ..
            }))
        ));
    }

    #[test]
    fn ignores_the_version() {
        for version in [0, 0x0200, 0x0301, 0x0304, 0xffff_u16] {
            let [major, minor] = version.to_be_bytes();
            let found = deframe(&[22, major, minor, 0, 1, 7], true);
            assert!(matches!(found, Ok(Deframed::Record { .. })), "{version}");
        }
    }

    #[test]
    fn bounds_the_length() {
        let head = |kind, len: usize| {
            let [.., a, b] = len.to_be_bytes();
            vec![kind, 3, 3, a, b]
        };
        let overflow = Err(Error::Misbehaved(Misbehaviour::RecordOverflow));
        assert_eq!(
            deframe(&head(22, 16384), true),
            Ok(Deframed::Incomplete(16384))
        );
        assert_eq!(deframe(&head(22, 16385), true), overflow);
        assert_eq!(
            deframe(&head(23, 16640), true),
            Ok(Deframed::Incomplete(16640))
        );
        assert_eq!(deframe(&head(23, 16641), true), overflow);
    }
}
