//! ECDH on the NIST curves (RFC 9846, section 7.4.2).
//!
//! On bare points: through `EVP` a key pair is exported to a provider and algorithms are
//! looked up for each operation. Libcrypto multiplies a point by a single secret scalar in
//! constant time whichever way it is asked.

use crypto_api::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, KeyExchangeResponse, NamedGroup,
    Op, SecureRandom, SharedSecret,
};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcPoint, PointConversionForm};
use openssl::error::ErrorStack;
use zeroize::Zeroizing;

use crate::curve::{Curve, Setup};
use crate::error::failed;
use crate::low::ec::SecretPoint;

/// ECDH on one curve.
#[derive(Debug)]
pub(super) struct Ecdh(pub(super) &'static Curve);

impl KeyExchangeGroup for Ecdh {
    fn id(&self) -> NamedGroup {
        self.0.id
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        let pair = KeyPair::new(self.0, random);
        Op::Ready(pair.map(|pair| Box::new(pair) as Box<dyn ActiveKeyExchange>))
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        let respond = || {
            let pair = KeyPair::new(self.0, random)?;
            let secret = pair.agree(peer_share)?;
            Ok(KeyExchangeResponse {
                share: pair.share,
                secret,
            })
        };
        Op::Ready(respond())
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}

/// A private key that is wiped when dropped.
struct Scalar(BigNum);

impl Drop for Scalar {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// An ephemeral key pair.
struct KeyPair {
    curve: &'static Curve,
    private: Scalar,
    share: Vec<u8>,
}

impl KeyPair {
    fn new(curve: &'static Curve, random: &dyn SecureRandom) -> Result<Self, Error> {
        let setup = curve.setup()?;
        let private = private_key(curve, setup, random)?;
        let share = || {
            let mut ctx = BigNumContext::new()?;
            let mut point = EcPoint::new(&setup.group)?;
            point.mul_generator2(&setup.group, &private.0, &mut ctx)?;
            point.to_bytes(&setup.group, PointConversionForm::UNCOMPRESSED, &mut ctx)
        };
        let share = share().map_err(failed("make an ECDH key pair"))?;
        Ok(Self {
            curve,
            private,
            share,
        })
    }

    fn agree(&self, peer_share: &[u8]) -> Result<SharedSecret, Error> {
        let setup = self.curve.setup()?;
        let peer = self
            .curve
            .point(peer_share, setup)
            .ok_or(Error::BadPeerShare)?;
        let point = || -> Result<_, ErrorStack> {
            let mut ctx = BigNumContext::new()?;
            let mut point = SecretPoint::new(&setup.group)?;
            let point = point.get();
            point.mul2(&setup.group, &peer, &self.private.0, &mut ctx)?;
            point.to_bytes(&setup.group, PointConversionForm::UNCOMPRESSED, &mut ctx)
        };
        let point = point()
            .map(Zeroizing::new)
            .map_err(failed("agree on an ECDH secret"))?;
        // The secret is the x coordinate. A product of a valid point and a valid scalar is
        // never the point at infinity, whose encoding would be shorter.
        point
            .get(1..1 + self.curve.len)
            .map(SharedSecret::from)
            .ok_or(Error::BadPeerShare)
    }
}

/// A uniform number from 1 to the order less 1 (FIPS 186-5, appendix A.2.2).
fn private_key(curve: &Curve, setup: &Setup, random: &dyn SecureRandom) -> Result<Scalar, Error> {
    let mut bytes = Zeroizing::new([0; 48]);
    let (bytes, _) = bytes.split_at_mut(curve.len);
    // A candidate is refused with probability 2^-32 on P-256 and 2^-190 on P-384: more
    // than a few in a row mean that the source is broken.
    for _ in 0..8 {
        random.fill(bytes)?;
        let mut number = BigNum::from_slice(bytes)
            .map(Scalar)
            .map_err(failed("make a private key"))?;
        number.0.set_const_time();
        if number.0.num_bits() > 0 && number.0.ucmp(&setup.order).is_lt() {
            return Ok(number);
        }
    }
    Err(Error::Backend {
        backend: crate::NAME,
        operation: "make a private key",
        detail: "the source of randomness repeats values that cannot be a key".into(),
    })
}

impl ActiveKeyExchange for KeyPair {
    fn group(&self) -> NamedGroup {
        self.curve.id
    }

    fn share(&self) -> &[u8] {
        &self.share
    }

    fn complete(self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret> {
        Op::Ready(self.agree(peer_share))
    }
}
