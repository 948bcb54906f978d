//! Extensions: the list that hellos and other messages carry, and the contents that more
//! than one message has.

use alloc::vec::Vec;

use crypto_api::SignatureScheme;

use super::ExtensionType;
use super::codec::{Reader, Write};
use crate::{Error, Misbehaviour, limits};

/// A list of extensions, split and checked for duplicates (RFC 9846, section 4.3).
#[derive(Debug)]
pub(crate) struct Extensions<'a> {
    entries: Vec<(ExtensionType, &'a [u8])>,
}

impl<'a> Extensions<'a> {
    /// Reads the list with its length.
    pub(crate) fn read(reader: &mut Reader<'a>, part: &'static str) -> Result<Self, Error> {
        let mut list = reader.nested16(part)?;
        let mut entries: Vec<(ExtensionType, &'a [u8])> = Vec::with_capacity(16);
        while !list.is_empty() {
            let kind = ExtensionType(list.u16()?);
            let content = list.vec16()?;
            if entries.len() == limits::EXTENSIONS {
                return Err(Misbehaviour::TooMany("extensions").into());
            }
            if entries.iter().any(|(known, _)| *known == kind) {
                return Err(Misbehaviour::DuplicateExtension(kind.0).into());
            }
            entries.push((kind, content));
        }
        Ok(Self { entries })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ExtensionType, &'a [u8])> {
        self.entries.iter().copied()
    }

    pub(crate) fn get(&self, kind: ExtensionType, part: &'static str) -> Option<Reader<'a>> {
        self.iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, content)| Reader::new(content, part))
    }

    /// Parses one extension to its end, if it is there.
    pub(crate) fn parse<T>(
        &self,
        kind: ExtensionType,
        part: &'static str,
        parse: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let Some(mut reader) = self.get(kind, part) else {
            return Ok(None);
        };
        let value = parse(&mut reader)?;
        reader.end()?;
        Ok(Some(value))
    }

    /// Refuses extensions that an answer must not carry: those that were not asked for, and
    /// those that belong elsewhere (RFC 9846, section 4.3).
    pub(crate) fn only(
        &self,
        asked: impl Fn(ExtensionType) -> bool,
        allowed_here: &[ExtensionType],
    ) -> Result<(), Error> {
        for (kind, _) in self.iter() {
            if !asked(kind) {
                return Err(Misbehaviour::UnsupportedExtension(kind.0).into());
            }
            if !allowed_here.contains(&kind) {
                return Err(Misbehaviour::IllegalParameter("extension of another message").into());
            }
        }
        Ok(())
    }

    /// Refuses extensions that are known and belong to other messages, where unknown ones
    /// are to be ignored (RFC 9846, section 4.3).
    pub(crate) fn none_of(&self, elsewhere: &[ExtensionType]) -> Result<(), Error> {
        if self.iter().any(|(kind, _)| elsewhere.contains(&kind)) {
            return Err(Misbehaviour::IllegalParameter("extension of another message").into());
        }
        Ok(())
    }
}

/// Appends one extension.
pub(crate) fn put(out: &mut Vec<u8>, kind: ExtensionType, content: impl FnOnce(&mut Vec<u8>)) {
    out.put_u16(kind.0);
    out.nest16(content);
}

/// Appends a list of signature schemes as signature_algorithms or signature_algorithms_cert.
pub(crate) fn put_schemes(out: &mut Vec<u8>, kind: ExtensionType, schemes: &[SignatureScheme]) {
    put(out, kind, |out| {
        out.nest16(|out| schemes.iter().for_each(|scheme| out.put_u16(scheme.0)));
    });
}

/// Appends a list of protocol names (RFC 7301, section 3.1).
pub(crate) fn put_alpn<'a>(out: &mut Vec<u8>, names: impl Iterator<Item = &'a [u8]>) {
    put(out, ExtensionType::ALPN, |out| {
        out.nest16(|out| names.for_each(|name| out.nest8(|out| out.put(name))));
    });
}

/// Reads a list of protocol names: at least one, none empty.
pub(crate) fn read_alpn(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let mut list = reader.nested16("ALPN")?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let name = list.vec8()?;
        if name.is_empty() {
            return Err(Error::Decode("ALPN"));
        }
        if names.len() == limits::ALPN_NAMES {
            return Err(Misbehaviour::TooMany("application protocols").into());
        }
        names.push(name.to_vec());
    }
    if names.is_empty() {
        return Err(Error::Decode("ALPN"));
    }
    Ok(names)
}
