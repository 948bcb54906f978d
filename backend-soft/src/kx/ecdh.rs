//! ECDH on the curves of NIST (RFC 9846, section 7.4.2; SEC 1).

use crypto_api::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, KeyExchangeResponse, NamedGroup,
    Op, SecureRandom, SharedSecret,
};
use p256::NistP256;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize};
use p256::elliptic_curve::{PublicKey, SecretKey};
use p384::NistP384;
use zeroize::Zeroizing;

use crate::{cpu, random::failed};

/// ECDH on P-256. Shares are uncompressed points of 65 bytes.
///
/// The private key is the first 32 bytes drawn that are below the order of the curve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Secp256r1;

/// ECDH on P-384. Shares are uncompressed points of 97 bytes.
///
/// The private key is the first 48 bytes drawn that are below the order of the curve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Secp384r1;

impl KeyExchangeGroup for Secp256r1 {
    fn id(&self) -> NamedGroup {
        NamedGroup::SECP256R1
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        start::<NistP256>(self.id(), random).into()
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        respond::<NistP256>(peer_share, random).into()
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::PORTABLE)
    }
}

impl KeyExchangeGroup for Secp384r1 {
    fn id(&self) -> NamedGroup {
        NamedGroup::SECP384R1
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        start::<NistP384>(self.id(), random).into()
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        respond::<NistP384>(peer_share, random).into()
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::PORTABLE)
    }
}

fn start<C>(
    group: NamedGroup,
    random: &dyn SecureRandom,
) -> Result<Box<dyn ActiveKeyExchange>, Error>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let private = generate::<C>(random)?;
    let share = share(&private);
    Ok(Box::new(Active {
        group,
        private,
        share,
    }))
}

fn respond<C>(peer_share: &[u8], random: &dyn SecureRandom) -> Result<KeyExchangeResponse, Error>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let private = generate::<C>(random)?;
    Ok(KeyExchangeResponse {
        share: share(&private),
        secret: agree(&private, peer_share)?,
    })
}

/// Draws a private key by rejection (FIPS 186-5, appendix A.2.2).
///
/// A sound source is refused once in 2^32 draws; one that is refused this often is broken,
/// and must not hold a handshake forever.
fn generate<C: CurveArithmetic>(random: &dyn SecureRandom) -> Result<SecretKey<C>, Error> {
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let mut bytes = Zeroizing::new(FieldBytes::<C>::default());
        random.fill(&mut bytes)?;
        if let Ok(key) = SecretKey::from_bytes(&bytes) {
            return Ok(key);
        }
    }
    Err(failed(
        "generate an ECDH key",
        "the randomness gave no scalar below the order of the curve",
    ))
}

fn share<C>(private: &SecretKey<C>) -> Vec<u8>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    private
        .public_key()
        .to_sec1_point(false)
        .as_bytes()
        .to_vec()
}

/// The x coordinate, with its leading zeros (RFC 9846, section 7.4.2).
fn agree<C>(private: &SecretKey<C>, peer_share: &[u8]) -> Result<SharedSecret, Error>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    // TLS 1.3 knows the uncompressed form only (RFC 9846, section 4.3.8.2); the decoder
    // would take others.
    const UNCOMPRESSED: u8 = 4;
    if peer_share.first() != Some(&UNCOMPRESSED) {
        return Err(Error::BadPeerShare);
    }
    let peer = PublicKey::<C>::from_sec1_bytes(peer_share).map_err(|_| Error::BadPeerShare)?;
    Ok(private
        .diffie_hellman(&peer)
        .raw_secret_bytes()
        .as_slice()
        .into())
}

struct Active<C: CurveArithmetic> {
    group: NamedGroup,
    private: SecretKey<C>,
    share: Vec<u8>,
}

impl<C> ActiveKeyExchange for Active<C>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    fn group(&self) -> NamedGroup {
        self.group
    }

    fn share(&self) -> &[u8] {
        &self.share
    }

    fn complete(self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret> {
        agree(&self.private, peer_share).into()
    }
}
