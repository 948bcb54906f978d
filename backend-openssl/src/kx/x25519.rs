//! X25519 (RFC 7748).

use std::cell::RefCell;

use crypto_api::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, KeyExchangeResponse, NamedGroup,
    Op, SecureRandom, SharedSecret, refuse_all_zero,
};
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private, Public};
use openssl::pkey_ctx::{PkeyCtx, PkeyCtxRef};
use zeroize::Zeroizing;

use crate::error::failed;
use crate::low;

/// Length of private keys, shares and secrets in bytes.
pub(super) const LEN: usize = low::x25519::LEN;

/// The u-coordinate of the base point (RFC 7748, section 4.1), little-endian.
const BASE_POINT: [u8; LEN] = {
    let mut u = [0; LEN];
    u[0] = 9;
    u
};

/// The group X25519.
#[derive(Debug)]
pub(super) struct X25519;

/// Whether libcrypto has it.
pub(super) fn available() -> bool {
    PKey::private_key_from_raw_bytes(&[1; LEN], Id::X25519).is_ok()
}

impl KeyExchangeGroup for X25519 {
    fn id(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        Op::Ready(KeyPair::new(random).map(|pair| Box::new(pair) as Box<dyn ActiveKeyExchange>))
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        let respond = || {
            let mut pair = KeyPair::new(random)?;
            let secret = SharedSecret::new(pair.agree(peer_share)?.to_vec());
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

/// An ephemeral key pair, held by the context that multiplies points by the private key.
/// Libcrypto wipes the private key when dropped.
pub(super) struct KeyPair {
    ctx: PkeyCtx<Private>,
    pub(super) share: Vec<u8>,
}

impl KeyPair {
    pub(super) fn new(random: &dyn SecureRandom) -> Result<Self, Error> {
        let mut private = Zeroizing::new([0; LEN]);
        random.fill(&mut *private)?;
        Self::of(&mut private).map_err(failed("make an X25519 key pair"))
    }

    /// The public key is the private one times the base point (RFC 7748, section 6.1), and
    /// is computed as such: libcrypto's function for that point alone is slower than its
    /// function for all points. The key that does it says that its public half is the base
    /// point, which nothing reads.
    fn of(private: &mut [u8; LEN]) -> Result<Self, ErrorStack> {
        let mut placeholder = BASE_POINT;
        let key = low::x25519::key(private, &mut placeholder)?;
        let mut ctx = PkeyCtx::new(&key)?;
        ctx.derive_init()?;
        let mut share = vec![0; LEN];
        multiply(&mut ctx, &BASE_POINT, &mut share)?;
        Ok(Self { ctx, share })
    }

    pub(super) fn agree(&mut self, peer_share: &[u8]) -> Result<Zeroizing<[u8; LEN]>, Error> {
        if peer_share.len() != LEN {
            return Err(Error::BadPeerShare);
        }
        let mut secret = Zeroizing::new([0; LEN]);
        // Every share of this length is valid but those of small order, with which the
        // secret would be zero; libcrypto refuses to derive that.
        multiply(&mut self.ctx, peer_share, &mut *secret).map_err(|_| Error::BadPeerShare)?;
        refuse_all_zero(&*secret)?;
        Ok(secret)
    }
}

/// Writes `point` times the private key of `ctx` to `product`.
///
/// The context goes on holding the key that the point was put into, which its thread goes on
/// changing: it must never derive again without a point of its own being set first.
fn multiply(
    ctx: &mut PkeyCtxRef<Private>,
    point: &[u8],
    product: &mut [u8],
) -> Result<(), ErrorStack> {
    thread_local! {
        /// To make a key of each point takes libcrypto a microsecond, to put another point
        /// into a key next to nothing.
        static KEY: RefCell<Option<PKey<Public>>> = const { RefCell::new(None) };
    }
    let mut derive = |key: &mut Option<PKey<Public>>| {
        let key = match key {
            Some(key) => {
                low::pkey::set_public_key(key, point)?;
                key
            }
            None => key.insert(PKey::public_key_from_raw_bytes(point, Id::X25519)?),
        };
        low::pkey::set_peer(ctx, key)?;
        ctx.derive(Some(&mut *product))?;
        Ok(())
    };
    // Where a thread ends, its key may be gone while a connection of its own is not.
    match KEY.try_with(|key| derive(&mut key.borrow_mut())) {
        Ok(result) => result,
        Err(_) => derive(&mut None),
    }
}

impl ActiveKeyExchange for KeyPair {
    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn share(&self) -> &[u8] {
        &self.share
    }

    fn complete(mut self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret> {
        Op::Ready(
            self.agree(peer_share)
                .map(|secret| SharedSecret::new(secret.to_vec())),
        )
    }
}
