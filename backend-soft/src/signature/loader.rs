//! Encoded private keys: which kind one is, and the key made of it.

use std::sync::Arc;

use crypto_api::{Error, Implementation, KeyLoader, SigningKey};
use p256::NistP256;
use p256::elliptic_curve::ALGORITHM_OID as EC_PUBLIC_KEY;
use p256::pkcs8::der::Decode;
use p256::pkcs8::{AssociatedOid, Document, EncodePublicKey, ObjectIdentifier, PrivateKeyInfoRef};
use p384::NistP384;
use rustls_pki_types::PrivateKeyDer;
use sec1::{EcParameters, EcPrivateKey};

use super::{ecdsa, ed25519, rsa};
use crate::{cpu, random::failed};

/// Loads RSA (2048 to 8192 bits), P-256, P-384 and Ed25519 keys, from PKCS#8 (RFC 5958,
/// also version 1), SEC1 (RFC 5915) and PKCS#1 (RFC 8017).
#[derive(Clone, Copy, Debug, Default)]
pub struct PrivateKeys;

impl KeyLoader for PrivateKeys {
    fn load(&self, key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, Error> {
        match key {
            PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(der) => sec1(der.secret_sec1_der()),
            PrivateKeyDer::Pkcs1(der) => {
                Ok(Arc::new(rsa::Rsa::from_pkcs1(der.secret_pkcs1_der())?))
            }
            _ => Err(Error::Unsupported("this encoding of private keys")),
        }
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation("RustCrypto, in memory")
    }
}

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const UNKNOWN_CURVE: Error =
    Error::Unsupported("EC private keys of a curve other than P-256 and P-384");
const DAMAGED_EC: Error =
    Error::BadKey("EC key is damaged, out of range, or not of its public half");

fn pkcs8(der: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    let info = PrivateKeyInfoRef::from_der(der)
        .map_err(|_| Error::BadKey("not a PKCS#8 private key in DER"))?;
    match info.algorithm.oid {
        RSA_ENCRYPTION => Ok(Arc::new(rsa::Rsa::from_pkcs1(info.private_key.as_bytes())?)),
        EC_PUBLIC_KEY => match info.algorithm.parameters_oid() {
            Ok(NistP256::OID) => p256(info.try_into()),
            Ok(NistP384::OID) => p384(info.try_into()),
            _ => Err(UNKNOWN_CURVE),
        },
        ed25519_dalek::pkcs8::ALGORITHM_OID => {
            let key = ed25519_dalek::SigningKey::try_from(info)
                .map_err(|_| Error::BadKey("Ed25519 key is damaged or not of its public half"))?;
            Ok(Arc::new(ed25519::Ed25519::new(key)?))
        }
        _ => Err(Error::Unsupported(
            "private keys other than RSA, P-256, P-384 and Ed25519",
        )),
    }
}

fn sec1(der: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    let key =
        EcPrivateKey::from_der(der).map_err(|_| Error::BadKey("not a SEC1 private key in DER"))?;
    match key.parameters {
        Some(EcParameters::NamedCurve(NistP256::OID)) => p256(key.try_into()),
        Some(EcParameters::NamedCurve(NistP384::OID)) => p384(key.try_into()),
        Some(_) => Err(UNKNOWN_CURVE),
        // RFC 5915, section 3 demands the parameters; without them the curve is unknown.
        None => Err(Error::BadKey("SEC1 key does not name its curve")),
    }
}

fn p256<E>(key: Result<p256::SecretKey, E>) -> Result<Arc<dyn SigningKey>, Error> {
    Ok(Arc::new(ecdsa::P256::new(&key.map_err(|_| DAMAGED_EC)?)?))
}

fn p384<E>(key: Result<p384::SecretKey, E>) -> Result<Arc<dyn SigningKey>, Error> {
    Ok(Arc::new(ecdsa::P384::new(&key.map_err(|_| DAMAGED_EC)?)?))
}

/// The SubjectPublicKeyInfo of a public key.
pub(super) fn spki(key: &impl EncodePublicKey) -> Result<Vec<u8>, Error> {
    key.to_public_key_der()
        .map(Document::into_vec)
        .map_err(|error| failed("encode a public key", error))
}

pub(super) fn wrong_scheme() -> Error {
    Error::Unsupported("this signature scheme with this private key")
}
