//! Encoded private keys: PKCS#8 (RFC 5958), SEC1 (RFC 5915) and PKCS#1 (RFC 8017).

use std::sync::Arc;

use crypto_api::{Error, Implementation, KeyLoader, SigningKey};
use rustls_pki_types::PrivateKeyDer;

use super::{ecdsa, ed25519, rsa};
use crate::curve::{Curve, P256, P384};
use crate::der::{self, Reader};

/// Loads RSA keys of 2048 to 8192 bits, ECDSA keys on P-256 and P-384, and Ed25519 keys.
pub fn key_loader() -> impl KeyLoader + Clone + use<> {
    Loader
}

#[derive(Clone, Copy, Debug)]
struct Loader;

impl KeyLoader for Loader {
    fn load(&self, key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, Error> {
        match key {
            PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(key) => sec1(key.secret_sec1_der(), None),
            PrivateKeyDer::Pkcs1(key) => rsa::load(key.secret_pkcs1_der()),
            _ => Err(Error::Unsupported("private key format")),
        }
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}

/// Contents of object identifiers.
mod oid {
    /// rsaEncryption (RFC 8017, appendix A.1).
    pub(super) const RSA_ENCRYPTION: &[u8] =
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    /// id-ecPublicKey (RFC 5480, section 2.1.1).
    pub(super) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    /// secp256r1 (RFC 5480, section 2.1.1.1).
    pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    /// secp384r1 (RFC 5480, section 2.1.1.1).
    pub(super) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    /// id-Ed25519 (RFC 8410, section 3).
    pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
}

/// A OneAsymmetricKey (RFC 5958, section 2). Its attributes are ignored.
fn pkcs8(der: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    const DAMAGED: Error = Error::BadKey("its PKCS#8 structure is damaged");
    let mut whole = Reader::new(der);
    let mut info = whole.sequence().ok_or(DAMAGED)?;
    // Version 2 adds the public key.
    let (Some([] | [1]), true) = (info.unsigned(), whole.is_empty()) else {
        return Err(DAMAGED);
    };
    let mut algorithm = info.sequence().ok_or(DAMAGED)?;
    let name = algorithm.element(der::OID).ok_or(DAMAGED)?;
    let key = info.element(der::OCTET_STRING).ok_or(DAMAGED)?;
    let public = public_key_of(info).ok_or(DAMAGED)?;
    match name {
        oid::RSA_ENCRYPTION => rsa::load(key),
        oid::EC_PUBLIC_KEY => {
            let curve = algorithm
                .element(der::OID)
                .ok_or(Error::BadKey("its curve is not a named one"))?;
            sec1(key, Some(named_curve(curve)?))
        }
        oid::ED25519 => {
            let mut key = Reader::new(key);
            let (Some(seed), true) = (key.element(der::OCTET_STRING), key.is_empty()) else {
                return Err(DAMAGED);
            };
            ed25519::load(seed, public)
        }
        _ => Err(Error::Unsupported("algorithm of the private key")),
    }
}

/// The public key of a OneAsymmetricKey of which `rest` follows the private key, if it is
/// there. The outer `None` is for what the structure does not allow.
///
/// Its tag is implicit in the RFC; some programs wrote it as an explicit one.
fn public_key_of(mut rest: Reader<'_>) -> Option<Option<&[u8]>> {
    const IMPLICIT: u8 = 0x81;
    rest.optional(der::context(0))?;
    let mut bits = rest.optional(IMPLICIT)?;
    if let Some(explicit) = rest.optional(der::context(1))? {
        bits = Some(Reader::new(explicit).element(der::BIT_STRING)?);
    }
    if !rest.is_empty() {
        return None;
    }
    match bits {
        Some(bits) => der::whole_bytes(bits).map(Some),
        None => Some(None),
    }
}

fn named_curve(oid: &[u8]) -> Result<&'static Curve, Error> {
    match oid {
        oid::P256 => Ok(&P256),
        oid::P384 => Ok(&P384),
        _ => Err(Error::Unsupported("curve of the private key")),
    }
}

/// An ECPrivateKey (RFC 5915, section 3) on `curve`, or on the one that it names.
fn sec1(der: &[u8], curve: Option<&'static Curve>) -> Result<Arc<dyn SigningKey>, Error> {
    const DAMAGED: Error = Error::BadKey("its SEC1 structure is damaged");
    let mut whole = Reader::new(der);
    let mut fields = whole.sequence().ok_or(DAMAGED)?;
    let (Some([1]), true) = (fields.unsigned(), whole.is_empty()) else {
        return Err(DAMAGED);
    };
    let scalar = fields.element(der::OCTET_STRING).ok_or(DAMAGED)?;
    let named = fields.optional(der::context(0)).ok_or(DAMAGED)?;
    let named = named
        .map(|name| Reader::new(name).element(der::OID).ok_or(DAMAGED))
        .transpose()?
        .map(named_curve)
        .transpose()?;
    let curve = match (curve, named) {
        (Some(outer), Some(inner)) if outer.id != inner.id => {
            return Err(Error::BadKey("it names two curves"));
        }
        (Some(curve), _) | (None, Some(curve)) => curve,
        (None, None) => return Err(Error::BadKey("it does not name its curve")),
    };
    let public = fields.optional(der::context(1)).ok_or(DAMAGED)?;
    let public = public
        .map(|explicit| {
            let bits = Reader::new(explicit).element(der::BIT_STRING)?;
            der::whole_bytes(bits)
        })
        .map(|bits| bits.ok_or(DAMAGED))
        .transpose()?;
    if !fields.is_empty() {
        return Err(DAMAGED);
    }
    ecdsa::load(curve, scalar, public)
}
