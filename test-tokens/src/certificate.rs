//! Certificates for keys that live in tokens.

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, PKeyRef, Private, Public},
    x509::{
        X509, X509Builder, X509NameBuilder, X509NameRef,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
    },
};

/// A certificate authority of two steps, made anew: a root that is to be trusted, and an
/// issuer below it, whose certificate travels in the chain.
#[derive(Debug)]
pub struct Authority {
    root: X509,
    issuer: X509,
    key: PKey<Private>,
    next_serial: u32,
}

impl Authority {
    /// Makes one.
    pub fn new() -> Result<Self, String> {
        Self::make().map_err(|error| error.to_string())
    }

    fn make() -> Result<Self, ErrorStack> {
        let (root_key, key) = (p256()?, p256()?);
        let root_name = name("keyway test root")?;
        let root = authority(&root_name, &root_key, &root_name, &root_key, 1)?;
        let issuer_name = name("keyway test issuer")?;
        let issuer = authority(&issuer_name, &key, &root_name, &root_key, 2)?;
        Ok(Self {
            root,
            issuer,
            key,
            next_serial: 3,
        })
    }

    /// The root's certificate in DER.
    pub fn root(&self) -> Result<Vec<u8>, String> {
        self.root.to_der().map_err(|error| error.to_string())
    }

    /// The issuer's certificate in DER.
    pub fn issuer(&self) -> Result<Vec<u8>, String> {
        self.issuer.to_der().map_err(|error| error.to_string())
    }

    /// A server's certificate in DER, for the public key `spki` (SubjectPublicKeyInfo, DER).
    pub fn issue(&mut self, subject: &str, spki: &[u8]) -> Result<Vec<u8>, String> {
        self.sign(subject, spki).map_err(|error| error.to_string())
    }

    fn sign(&mut self, subject: &str, spki: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let key: PKey<Public> = PKey::public_key_from_der(spki)?;
        let subject = name(subject)?;
        let serial = self.next_serial;
        self.next_serial += 1;
        let mut builder = begin(&subject, &key, self.issuer.subject_name(), serial)?;
        builder.append_extension(BasicConstraints::new().build()?)?;
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .ip("127.0.0.1")
            .build(&builder.x509v3_context(Some(&self.issuer), None))?;
        builder.append_extension(names)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        builder.build().to_der()
    }
}

fn p256() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn name(common: &str) -> Result<openssl::x509::X509Name, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common)?;
    Ok(name.build())
}

fn authority(
    subject: &X509NameRef,
    key: &PKeyRef<Private>,
    issuer: &X509NameRef,
    issuer_key: &PKeyRef<Private>,
    serial: u32,
) -> Result<X509, ErrorStack> {
    let public = PKey::public_key_from_der(&key.public_key_to_der()?)?;
    let mut builder = begin(subject, &public, issuer, serial)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)?;
    builder.sign(issuer_key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn begin(
    subject: &X509NameRef,
    key: &PKeyRef<Public>,
    issuer: &X509NameRef,
    serial: u32,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = BigNum::from_u32(serial)?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    let yesterday = Asn1Time::from_unix(now() - 86_400)?;
    builder.set_not_before(&yesterday)?;
    let in_a_month = Asn1Time::days_from_now(30)?;
    builder.set_not_after(&in_a_month)?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
