//! Protecting records: keys, sequence numbers and limits (RFC 9846, sections 5.2 to 5.5).

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use crypto_api::{RecordOpener, RecordSealer};

use super::ahead::Ahead;
use super::{HEADER_LEN, MAX_PLAINTEXT};
use crate::wire::{ContentType, TLS10, TLS12};
use crate::{Error, Misbehaviour};

/// One direction's protection of what is sent. Before there are keys, records go out plain.
pub(crate) struct WriteProtection {
    pub(super) keys: Option<WriteKeys>,
    /// What unprotected records say in legacy_record_version.
    pub(super) plain_version: u16,
    /// Whether sealing has failed, see [`is_broken`](Self::is_broken).
    pub(super) broken: bool,
}

/// Keys that seal.
pub(crate) struct WriteKeys {
    pub(super) sealer: Box<dyn RecordSealer>,
    /// The sequence number of the next record.
    pub(super) sequence: u64,
    /// How many records these keys may seal.
    pub(super) limit: u64,
    pub(super) tag_len: usize,
}

impl WriteKeys {
    /// Keys that have sealed nothing yet and may seal `limit` records.
    pub(crate) fn new(sealer: Box<dyn RecordSealer>, tag_len: usize, limit: u64) -> Self {
        Self {
            sealer,
            sequence: 0,
            limit,
            tag_len,
        }
    }
}

impl WriteProtection {
    pub(crate) fn plain() -> Self {
        Self {
            keys: None,
            plain_version: TLS12,
            broken: false,
        }
    }

    /// Marks unprotected records as an initial ClientHello's, or not: servers exist that
    /// take no other version there (RFC 9846, section 5.1).
    pub(crate) fn set_initial(&mut self, initial: bool) {
        self.plain_version = if initial { TLS10 } else { TLS12 };
    }

    /// Goes over to new keys; sequence numbers start at zero again.
    pub(crate) fn set(&mut self, keys: WriteKeys) {
        self.keys = Some(keys);
    }

    /// Forgets the keys. Nothing may be sent any more: it would go out unprotected.
    pub(crate) fn forget(&mut self) {
        self.keys = None;
        self.broken = true;
    }

    /// Whether sealing has failed. Then it is not known which sequence numbers were used, and
    /// one more record could use one twice: nothing may be sent any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// How many more records may be sealed before the keys must be updated. One is kept
    /// back for the KeyUpdate itself.
    pub(crate) fn records_left(&self) -> u64 {
        match &self.keys {
            None => u64::MAX,
            Some(keys) => keys.limit.saturating_sub(keys.sequence).saturating_sub(1),
        }
    }

    /// How much a record is longer than its payload.
    pub(crate) fn overhead(&self) -> usize {
        match &self.keys {
            None => HEADER_LEN,
            // The content type moves behind the payload.
            Some(keys) => HEADER_LEN + 1 + keys.tag_len,
        }
    }
}

impl fmt::Debug for WriteProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sequence = self.keys.as_ref().map(|keys| keys.sequence);
        f.debug_struct("WriteProtection")
            .field("sequence", &sequence)
            .finish()
    }
}

/// A record's header.
pub(super) fn header(content_type: ContentType, version: u16, len: usize) -> [u8; HEADER_LEN] {
    let [major, minor] = version.to_be_bytes();
    // Callers keep within the limit of 2^14 and 256 bytes.
    let [.., a, b] = len.to_be_bytes();
    [content_type.0, major, minor, a, b]
}

/// One direction's protection of what is received.
pub(crate) struct ReadProtection {
    keys: Option<ReadKeys>,
    /// Bytes of early data that may still be skipped.
    early_data: usize,
    /// Whether any record was opened, under whatever keys.
    has_opened: bool,
}

struct ReadKeys {
    opener: Box<dyn RecordOpener>,
    sequence: u64,
    ahead: Ahead,
}

/// What came out of a protected record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Content of this type, of this length, at the front of the record's body.
    Content(ContentType, usize),
    /// Nothing: early data that is not wanted.
    Skipped,
}

impl ReadProtection {
    pub(crate) fn plain() -> Self {
        Self {
            keys: None,
            early_data: 0,
            has_opened: false,
        }
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.keys.is_none()
    }

    /// Whether any protected record was ever opened. From then on the peer has keys, and
    /// nothing that is not protected is from it.
    pub(crate) fn has_opened(&self) -> bool {
        self.has_opened
    }

    /// Goes over to new keys; sequence numbers start at zero again.
    pub(crate) fn set(&mut self, opener: Box<dyn RecordOpener>) {
        self.keys = Some(ReadKeys {
            opener,
            sequence: 0,
            ahead: Ahead::default(),
        });
    }

    /// Forgets the keys. Nothing may be received any more: it would be taken unprotected.
    pub(crate) fn forget(&mut self) {
        self.keys = None;
    }

    /// Skips up to `bytes` of records that do not open: the client sent early data that
    /// this server will not read (RFC 9846, section 4.3.10).
    pub(crate) fn skip_early_data(&mut self, bytes: usize) {
        self.early_data = bytes;
    }

    /// Opens the body of a record of type application_data in place, the first of `input`.
    ///
    /// With `ahead` set, whole records behind it may be opened too: they then wait, opened,
    /// for their turn.
    pub(crate) fn open(
        &mut self,
        header: &[u8; HEADER_LEN],
        input: &mut [u8],
        body: Range<usize>,
        ahead: bool,
    ) -> Result<Opened, Error> {
        let body_len = body.len();
        let Some(keys) = &mut self.keys else {
            return self.skip(body_len).ok_or(
                Misbehaviour::UnexpectedMessage {
                    expected: "a handshake message",
                    got: ContentType::APPLICATION_DATA.0,
                }
                .into(),
            );
        };
        let opened = match keys.ahead.take(header)? {
            Some(len) => Ok(len),
            None if ahead => keys.ahead.open(&mut *keys.opener, keys.sequence, input),
            None => {
                let body = input.get_mut(body.clone()).unwrap_or_default();
                keys.opener.open(keys.sequence, header, body)
            }
        };
        let plaintext_len = match opened {
            Ok(len) => len,
            Err(crypto_api::Error::BadTag) => {
                return self.skip(body_len).ok_or(crypto_api::Error::BadTag.into());
            }
            Err(error) => return Err(error.into()),
        };
        // A peer that has sent 2^64 records has broken the limits long before.
        keys.sequence = keys
            .sequence
            .checked_add(1)
            .ok_or(Misbehaviour::Flood("records under one key"))?;
        self.early_data = 0;
        self.has_opened = true;
        // The content type is the last byte that is not zero (RFC 9846, section 5.4).
        let body = input.get(body).unwrap_or_default();
        let plaintext = body.get(..plaintext_len).unwrap_or_default();
        let end = plaintext.iter().rposition(|byte| *byte != 0);
        let (len, content_type) = end
            .and_then(|end| plaintext.get(end).map(|byte| (end, ContentType(*byte))))
            .ok_or(Misbehaviour::NoContentType)?;
        // With content type and padding it may have one byte more (section 5.2).
        if plaintext_len > MAX_PLAINTEXT + 1 {
            return Err(Misbehaviour::RecordOverflow.into());
        }
        Ok(Opened::Content(content_type, len))
    }

    fn skip(&mut self, len: usize) -> Option<Opened> {
        // Only until the first record that opens.
        self.early_data = self.early_data.checked_sub(len.max(1))?;
        Some(Opened::Skipped)
    }
}

impl fmt::Debug for ReadProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sequence = self.keys.as_ref().map(|keys| keys.sequence);
        f.debug_struct("ReadProtection")
            .field("sequence", &sequence)
            .finish()
    }
}
