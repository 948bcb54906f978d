//! X25519 (RFC 7748).

use crypto_api::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, KeyExchangeResponse, NamedGroup,
    Op, SecureRandom, SharedSecret, refuse_all_zero,
};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{cpu, random::draw};

/// X25519. Its private keys are 32 bytes of randomness as drawn; shares have 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct X25519;

/// Length in bytes of a share and of a secret.
pub(super) const LEN: usize = 32;

impl KeyExchangeGroup for X25519 {
    fn id(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        KeyPair::generate(random)
            .map(|pair| Box::new(pair) as Box<dyn ActiveKeyExchange>)
            .into()
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        KeyPair::generate(random)
            .and_then(|pair| {
                Ok(KeyExchangeResponse {
                    share: pair.public.as_bytes().to_vec(),
                    secret: pair.agree(peer_share)?.as_bytes()[..].into(),
                })
            })
            .into()
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation(cpu::CURVE25519)
    }
}

pub(super) struct KeyPair {
    private: StaticSecret,
    pub(super) public: PublicKey,
}

impl KeyPair {
    pub(super) fn generate(random: &dyn SecureRandom) -> Result<Self, Error> {
        let private = StaticSecret::from(*draw::<LEN>(random)?);
        let public = PublicKey::from(&private);
        Ok(Self { private, public })
    }

    pub(super) fn agree(&self, peer: &[u8]) -> Result<x25519_dalek::SharedSecret, Error> {
        let peer: [u8; LEN] = peer.try_into().map_err(|_| Error::BadPeerShare)?;
        let secret = self.private.diffie_hellman(&PublicKey::from(peer));
        refuse_all_zero(secret.as_bytes())?;
        Ok(secret)
    }
}

impl ActiveKeyExchange for KeyPair {
    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn share(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn complete(self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret> {
        self.agree(peer_share)
            .map(|secret| secret.as_bytes()[..].into())
            .into()
    }
}
