//! The NIST curves, set up once each.

use std::sync::OnceLock;

use crypto_api::{Error, NamedGroup};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;

use crate::error::failed;

/// P-256 (secp256r1).
pub(crate) static P256: Curve = Curve::new("P-256", NamedGroup::SECP256R1, 32);
/// P-384 (secp384r1).
pub(crate) static P384: Curve = Curve::new("P-384", NamedGroup::SECP384R1, 48);

/// A prime curve of FIPS 186.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) id: NamedGroup,
    /// Length in bytes of coordinates and of private keys.
    pub(crate) len: usize,
    setup: OnceLock<Result<Setup, Error>>,
}

/// What libcrypto needs to compute on a curve.
pub(crate) struct Setup {
    pub(crate) group: EcGroup,
    /// The order of the group: private keys are below it.
    pub(crate) order: BigNum,
}

impl std::fmt::Debug for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Curve {
    const fn new(name: &'static str, id: NamedGroup, len: usize) -> Self {
        Self {
            name,
            id,
            len,
            setup: OnceLock::new(),
        }
    }

    /// The curve, ready to compute on.
    pub(crate) fn setup(&self) -> Result<&Setup, Error> {
        let make = || {
            let nid = match self.id {
                NamedGroup::SECP256R1 => Nid::X9_62_PRIME256V1,
                _ => Nid::SECP384R1,
            };
            let group = EcGroup::from_curve_name(nid)?;
            let mut order = BigNum::new()?;
            let mut ctx = BigNumContext::new()?;
            group.order(&mut order, &mut ctx)?;
            Ok(Setup { group, order })
        };
        self.setup
            .get_or_init(|| make().map_err(failed("set up a curve")))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Length in bytes of an uncompressed point (SEC 1, section 2.3.3), the only form that
    /// TLS 1.3 and RFC 5480 certificates of today use.
    pub(crate) const fn point_len(&self) -> usize {
        1 + 2 * self.len
    }

    /// Reads a public key. `None` if it is not an uncompressed point of the curve.
    pub(crate) fn point(&self, bytes: &[u8], setup: &Setup) -> Option<EcPoint> {
        /// What precedes the coordinates of an uncompressed point.
        const UNCOMPRESSED: u8 = 4;
        if bytes.len() != self.point_len() || bytes.first() != Some(&UNCOMPRESSED) {
            return None;
        }
        let read = || -> Result<EcPoint, ErrorStack> {
            let mut ctx = BigNumContext::new()?;
            // This refuses a point that is not on the curve; the cofactor is 1.
            EcPoint::from_bytes(&setup.group, bytes, &mut ctx)
        };
        read().ok()
    }
}
