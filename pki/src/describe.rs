//! Certificates, names, dates and algorithms as text for people.
//!
//! All of it comes from peers: it is escaped and cut, so that no error can forge a line of
//! a log or fill it.

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::{ObjectIdentifier, db::DB};
use x509_cert::der::{DateTime, Decode, Encode, Reader, SliceReader, Tag};
use x509_cert::name::Name;

/// The most characters shown of one text.
const LONGEST: usize = 160;
/// The most items shown of one list.
const MOST: usize = 8;
/// The most bytes shown of a serial number: authorities use no longer ones (RFC 5280,
/// section 4.1.2.2).
const SERIAL: usize = 20;

/// Escapes what is not printable and cuts what is too long.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == LONGEST {
            out.push_str("...");
            break;
        }
        match c {
            // Escaped already in distinguished names (RFC 4514, section 2.4).
            '"' | '\'' | '\\' => out.push(c),
            other => out.extend(other.escape_debug()),
        }
    }
    out
}

/// Joins a list, cut if it is long.
pub(crate) fn list<T: AsRef<str>>(items: impl Iterator<Item = T>) -> String {
    let mut items = items.fuse();
    let shown: Vec<_> = items
        .by_ref()
        .take(MOST)
        .map(|item| printable(item.as_ref()))
        .collect();
    let mut out = shown.join(", ");
    let more = items.count();
    if more > 0 {
        out.push_str(&format!(" and {more} more"));
    }
    out
}

/// A name of subjectAltName as webpki writes it, without the kind where that is plain.
pub(crate) fn san(presented: &str) -> &str {
    let inside = |before, after| presented.strip_prefix(before)?.strip_suffix(after);
    inside("DnsName(\"", "\")")
        .or_else(|| inside("IpAddress(", ")"))
        .unwrap_or(presented)
}

/// Which certificate of a chain: its subject, place and serial number.
pub(crate) fn certificate(der: &CertificateDer<'_>, position: usize) -> String {
    let place = match position {
        0 => "end entity".into(),
        other => format!("chain position {other}"),
    };
    let Ok(cert) = EndEntityCert::try_from(der) else {
        return format!("certificate ({place})");
    };
    let subject = match cert.subject() {
        // Nothing but subjectAltName (RFC 5280, section 4.1.2.6).
        [] => cert
            .valid_dns_names()
            .next()
            .map_or_else(|| "(no name)".into(), printable),
        subject => name(subject),
    };
    let serial = serial(cert.serial());
    format!("certificate of {subject} ({place}, serial {serial})")
}

/// A serial number in hexadecimal, cut if it is longer than it may be.
fn serial(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes
        .iter()
        .take(SERIAL)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let cut = if bytes.len() > SERIAL { "..." } else { "" };
    shown.join(":") + cut
}

/// A distinguished name, given as the content of its SEQUENCE, in the notation of RFC 4514.
pub(crate) fn name(content: &[u8]) -> String {
    sequence(content)
        .and_then(|der| Name::from_der(&der).ok())
        .filter(|name| !name.is_empty())
        .map_or_else(
            || "an unreadable name".into(),
            |name| printable(&name.to_string()),
        )
}

/// Puts the header of a SEQUENCE before its content.
pub(crate) fn sequence(content: &[u8]) -> Option<Vec<u8>> {
    AnyRef::new(Tag::Sequence, content).ok()?.to_der().ok()
}

/// A moment in UTC, to the second.
pub(crate) fn time(at: UnixTime) -> String {
    DateTime::from_unix_duration(std::time::Duration::from_secs(at.as_secs())).map_or_else(
        |_| format!("second {} after 1970", at.as_secs()),
        |date| date.to_string(),
    )
}

/// The name of an algorithm, given as the content of its AlgorithmIdentifier.
pub(crate) fn algorithm(content: &[u8]) -> String {
    let oid = SliceReader::new(content)
        .ok()
        .and_then(|mut reader| reader.decode::<ObjectIdentifier>().ok());
    match oid {
        Some(oid) => DB
            .by_oid(&oid)
            .map_or_else(|| oid.to_string(), str::to_owned),
        None => "an unreadable algorithm".into(),
    }
}

/// The name of a purpose in an extended key usage, given as the numbers of its identifier
/// (RFC 5280, section 4.2.1.12).
pub(crate) fn purpose(oid: &[usize]) -> String {
    match oid {
        [1, 3, 6, 1, 5, 5, 7, 3, 1] => "serverAuth".into(),
        [1, 3, 6, 1, 5, 5, 7, 3, 2] => "clientAuth".into(),
        other => {
            let numbers: Vec<_> = other.iter().map(usize::to_string).collect();
            numbers.join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_tamed() {
        assert_eq!(printable("CN=a\\, b"), "CN=a\\, b");
        assert_eq!(printable("a\nERROR b\u{202e}"), "a\\nERROR b\\u{202e}");
        let long = printable(&"x".repeat(5000));
        assert_eq!(long.len(), LONGEST + 3);
        let names = (0..20).map(|n| format!("n{n}"));
        assert_eq!(list(names), "n0, n1, n2, n3, n4, n5, n6, n7 and 12 more");
    }

    #[test]
    fn long_serial_numbers_are_cut() {
        assert_eq!(serial(&[5, 0x39]), "05:39");
        let whole = serial(&[0xab; 20]);
        assert_eq!(whole, ["ab"; 20].join(":"));
        assert_eq!(serial(&[0xab; 21]), format!("{whole}..."));
    }

    #[test]
    fn damaged_names_and_algorithms_have_words() {
        assert_eq!(name(&[0x31, 0xff]), "an unreadable name");
        assert_eq!(algorithm(&[0x06]), "an unreadable algorithm");
        // ecdsa-with-SHA256 and an identifier that nobody knows.
        assert_eq!(
            algorithm(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]),
            "ecdsa-with-SHA256"
        );
        assert_eq!(algorithm(&[0x06, 0x02, 0x2a, 0x03]), "1.2.3");
    }

    #[test]
    fn times_are_readable() {
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        assert_eq!(time(at(1_767_312_000)), "2026-01-02T00:00:00Z");
        assert_eq!(time(at(u64::MAX)), "second 18446744073709551615 after 1970");
    }
}
