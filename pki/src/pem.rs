//! Certificates, keys and revocation lists out of PEM (RFC 7468).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crypto_api::{CryptoProvider, SigningKey};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::describe::printable;
use crate::{Error, Origin};

/// Loads all certificates of a PEM file, in their order: for a chain, the end entity's
/// first. Other sections, such as a private key, are passed over.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::NothingFound`] or [`Error::BadPem`], naming the file.
pub fn load_certificates(path: impl AsRef<Path>) -> Result<Vec<CertificateDer<'static>>, Error> {
    let path = path.as_ref();
    certificates(&read(path)?, &path.into())
}

/// As [`load_certificates`], from bytes.
///
/// # Errors
/// [`Error::NothingFound`] or [`Error::BadPem`].
pub fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    certificates(pem, &Origin::Memory)
}

/// Loads the private key of a PEM file (PKCS#8, SEC1 or PKCS#1) with the provider's key
/// loaders. Other sections, such as certificates, are passed over.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::NothingFound`], [`Error::BadPem`],
/// [`Error::EncryptedKey`], [`Error::SeveralKeys`] or, when no backend can use the key,
/// [`Error::Key`]; each names the file.
pub fn load_private_key(
    path: impl AsRef<Path>,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, Error> {
    let path = path.as_ref();
    private_key(&read(path)?, provider, &path.into())
}

/// As [`load_private_key`], from bytes. Wiping `pem` is left to its owner.
///
/// # Errors
/// Those of [`load_private_key`] but for the first.
pub fn parse_private_key(
    pem: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, Error> {
    private_key(pem, provider, &Origin::Memory)
}

/// Loads all certificate revocation lists of a PEM file.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::NothingFound`] or [`Error::BadPem`], naming the file.
pub fn load_crls(
    path: impl AsRef<Path>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let path = path.as_ref();
    sections(&read(path)?, "PEM revocation list", &path.into())
}

/// As [`load_crls`], from bytes.
///
/// # Errors
/// [`Error::NothingFound`] or [`Error::BadPem`].
pub fn parse_crls(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    sections(pem, "PEM revocation list", &Origin::Memory)
}

/// Reads a file that may hold a private key: the buffer wipes itself.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| Error::Unreadable {
            origin: path.into(),
            reason: error.to_string(),
        })
}

pub(crate) fn certificates(
    pem: &[u8],
    origin: &Origin,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    sections(pem, "PEM certificate", origin)
}

pub(crate) fn private_key(
    pem: &[u8],
    provider: &CryptoProvider,
    origin: &Origin,
) -> Result<Arc<dyn SigningKey>, Error> {
    // Before parsing: the older of the two forms is no base64 (RFC 1421, section 4.6.1.1).
    let encrypted = |line: &[u8]| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    };
    if pem.split(|byte| *byte == b'\n').any(encrypted) {
        return Err(Error::EncryptedKey {
            origin: origin.clone(),
        });
    }
    let keys: Vec<_> = sections::<PrivateKeyDer<'static>>(
        pem,
        "private key in PEM (PKCS#8, SEC1 or PKCS#1)",
        origin,
    )?
    .into_iter()
    .map(Zeroizing::new)
    .collect();
    match &keys[..] {
        [key] => provider.load_key(key).map_err(|reason| Error::Key {
            origin: origin.clone(),
            reason,
        }),
        _ => Err(Error::SeveralKeys {
            origin: origin.clone(),
            count: keys.len(),
        }),
    }
}

/// All sections of one kind; at least one.
fn sections<T: PemObject>(
    pem: &[u8],
    wanted: &'static str,
    origin: &Origin,
) -> Result<Vec<T>, Error> {
    let found = T::pem_slice_iter(pem)
        .collect::<Result<Vec<T>, _>>()
        .map_err(|error| Error::BadPem {
            origin: origin.clone(),
            reason: damage(&error),
        })?;
    if found.is_empty() {
        return Err(Error::NothingFound {
            origin: origin.clone(),
            wanted,
            found: contents(pem),
        });
    }
    Ok(found)
}

fn damage(error: &pem::Error) -> String {
    let text = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes));
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the end of section {} is missing", text(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("a section begins with {:?}", text(line))
        }
        // The parser's own words could quote the content, which may be a key.
        pem::Error::Base64Decode(_) => "a section is not base64".into(),
        other => other.to_string(),
    }
}

/// What a file holds instead of what was wanted.
fn contents(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "is empty".into();
    }
    let mut labels: Vec<String> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(rest) = line.strip_prefix(b"-----BEGIN ") else {
            continue;
        };
        let label = rest.split(|byte| *byte == b'-').next().unwrap_or_default();
        let label = printable(&String::from_utf8_lossy(label));
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    match (&labels[..], bytes) {
        // An ASN.1 SEQUENCE: all of the formats begin with one.
        ([], [0x30, ..]) => "what looks like DER; convert it to PEM with openssl".into(),
        ([], _) => "no PEM section at all".into(),
        (labels, _) => labels.join(", "),
    }
}
