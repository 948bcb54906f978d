//! X25519 (RFC 7748).

use crypto_api::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, KeyExchangeResponse, NamedGroup,
    Op, SecureRandom, SharedSecret, refuse_all_zero,
};
use openssl::derive::Deriver;
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use zeroize::Zeroizing;

use crate::error::failed;

/// Length of private keys, shares and secrets in bytes.
pub(super) const LEN: usize = 32;

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
            let pair = KeyPair::new(random)?;
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

/// An ephemeral key pair. Libcrypto wipes the private key when dropped.
pub(super) struct KeyPair {
    key: PKey<Private>,
    pub(super) share: Vec<u8>,
}

impl KeyPair {
    pub(super) fn new(random: &dyn SecureRandom) -> Result<Self, Error> {
        let mut private = Zeroizing::new([0; LEN]);
        random.fill(&mut *private)?;
        let pair = || {
            let key = PKey::private_key_from_raw_bytes(&*private, Id::X25519)?;
            let share = key.raw_public_key()?;
            Ok(Self { key, share })
        };
        pair().map_err(failed("make an X25519 key pair"))
    }

    pub(super) fn agree(&self, peer_share: &[u8]) -> Result<Zeroizing<[u8; LEN]>, Error> {
        if peer_share.len() != LEN {
            return Err(Error::BadPeerShare);
        }
        let peer = PKey::public_key_from_raw_bytes(peer_share, Id::X25519)
            .map_err(failed("take an X25519 share"))?;
        let mut secret = Zeroizing::new([0; LEN]);
        // Every share of this length is valid but those of small order, with which the
        // secret would be zero; libcrypto refuses to derive that.
        self.derive(&peer, &mut secret)
            .map_err(|_| Error::BadPeerShare)?;
        refuse_all_zero(&*secret)?;
        Ok(secret)
    }

    fn derive(
        &self,
        peer: &PKey<openssl::pkey::Public>,
        secret: &mut [u8; LEN],
    ) -> Result<(), ErrorStack> {
        let mut deriver = Deriver::new(&self.key)?;
        deriver.set_peer_ex(peer, false)?;
        deriver.derive(secret)?;
        Ok(())
    }
}

impl ActiveKeyExchange for KeyPair {
    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn share(&self) -> &[u8] {
        &self.share
    }

    fn complete(self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret> {
        Op::Ready(
            self.agree(peer_share)
                .map(|secret| SharedSecret::new(secret.to_vec())),
        )
    }
}
