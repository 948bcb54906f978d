//! ECDSA on P-256 and P-384.

use std::fmt;
use std::sync::Arc;

use crypto_api::{
    Error, HashAlgorithm, Implementation, NamedGroup, Op, SecureRandom, SignatureScheme, SigningKey,
};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcKey, EcPoint, PointConversionForm};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::curve::Curve;
use crate::error::failed;
use crate::hash::digest;

/// A key on one curve, with the hash function that TLS pairs with it.
struct Key {
    key: EcKey<Private>,
    scheme: [SignatureScheme; 1],
    hash: HashAlgorithm,
    public: SubjectPublicKeyInfoDer<'static>,
}

/// Loads the private key `scalar`; `public` is its point if the encoding has it.
pub(super) fn load(
    curve: &'static Curve,
    scalar: &[u8],
    public: Option<&[u8]>,
) -> Result<Arc<dyn SigningKey>, Error> {
    // RFC 5915, section 3: as long as the order, leading zeros included.
    if scalar.len() != curve.len {
        return Err(Error::BadKey("its length is not that of its curve"));
    }
    let setup = curve.setup()?;
    let make = || -> Result<_, ErrorStack> {
        let mut scalar = BigNum::from_slice(scalar)?;
        scalar.set_const_time();
        let mut ctx = BigNumContext::new()?;
        let mut point = EcPoint::new(&setup.group)?;
        point.mul_generator2(&setup.group, &scalar, &mut ctx)?;
        let key = EcKey::from_private_components(&setup.group, &scalar, &point);
        scalar.clear();
        let key = key?;
        let sound = key.check_key().is_ok();
        let encoded = point.to_bytes(&setup.group, PointConversionForm::UNCOMPRESSED, &mut ctx)?;
        Ok((key, sound, encoded))
    };
    let (key, sound, encoded) = make().map_err(failed("load an ECDSA key"))?;
    if !sound {
        return Err(Error::BadKey("it is not a private key of its curve"));
    }
    if public.is_some_and(|public| public != encoded) {
        return Err(Error::BadKey("its public half is that of another key"));
    }
    let (scheme, hash) = match curve.id {
        NamedGroup::SECP256R1 => (
            SignatureScheme::ECDSA_SECP256R1_SHA256,
            HashAlgorithm::Sha256,
        ),
        _ => (
            SignatureScheme::ECDSA_SECP384R1_SHA384,
            HashAlgorithm::Sha384,
        ),
    };
    let public = PKey::from_ec_key(key.clone())
        .map_err(failed("load an ECDSA key"))
        .and_then(|key| super::public_half(&key))?;
    Ok(Arc::new(Key {
        key,
        scheme: [scheme],
        hash,
        public,
    }))
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::debug(f, &self.scheme)
    }
}

impl SigningKey for Key {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.clone())
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &self.scheme
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        _random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        if !self.scheme.contains(&scheme) {
            return Op::err(Error::Unsupported("signature scheme of an ECDSA key"));
        }
        let sign = |digest: &[u8]| EcdsaSig::sign(digest, &self.key)?.to_der();
        Op::Ready(
            digest(self.hash, message)
                .and_then(|digest| sign(&digest).map_err(failed("sign with ECDSA"))),
        )
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}
