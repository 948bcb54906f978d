//! X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem): ML-KEM-768 and X25519 side by side.
//!
//! | | ML-KEM-768 | X25519 |
//! |---|---|---|
//! | client's share | encapsulation key, 1184 bytes | 32 bytes |
//! | server's share | ciphertext, 1088 bytes | 32 bytes |
//! | secret | 32 bytes | 32 bytes |

use crypto_api::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, KeyExchangeResponse, NamedGroup,
    Op, SecureRandom, SharedSecret,
};
use openssl::pkey::{PKey, Private};
use zeroize::Zeroizing;

use super::x25519;
use crate::error::failed;
use crate::low::kem;

/// The group X25519MLKEM768.
#[derive(Debug)]
pub(super) struct X25519MlKem768;

/// Whether libcrypto has both parts.
pub(super) fn available() -> bool {
    kem::available() && x25519::available()
}

/// The concatenation of the two secrets, ML-KEM's first.
fn join(kem: &[u8; kem::SECRET_LEN], ecdh: &[u8; x25519::LEN]) -> SharedSecret {
    SharedSecret::new([kem.as_slice(), ecdh].concat())
}

impl KeyExchangeGroup for X25519MlKem768 {
    fn id(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        Op::Ready(Started::new(random).map(|new| Box::new(new) as Box<dyn ActiveKeyExchange>))
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        Op::Ready(respond(peer_share, random))
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}

fn respond(peer_share: &[u8], random: &dyn SecureRandom) -> Result<KeyExchangeResponse, Error> {
    let (peer_kem, peer_ecdh) = peer_share
        .split_at_checked(kem::ENCAPSULATION_KEY_LEN)
        .ok_or(Error::BadPeerShare)?;
    if peer_ecdh.len() != x25519::LEN {
        return Err(Error::BadPeerShare);
    }
    let peer_kem = kem::encapsulation_key(peer_kem).map_err(|_| Error::BadPeerShare)?;
    let mut entropy = Zeroizing::new([0; kem::ENTROPY_LEN]);
    random.fill(&mut *entropy)?;
    let mut ciphertext = [0; kem::CIPHERTEXT_LEN];
    let mut kem_secret = Zeroizing::new([0; kem::SECRET_LEN]);
    kem::encapsulate(&peer_kem, &mut entropy, &mut ciphertext, &mut kem_secret)
        .map_err(failed("encapsulate with ML-KEM-768"))?;
    let mut pair = x25519::KeyPair::new(random)?;
    let ecdh_secret = pair.agree(peer_ecdh)?;
    Ok(KeyExchangeResponse {
        share: [ciphertext.as_slice(), &pair.share].concat(),
        secret: join(&kem_secret, &ecdh_secret),
    })
}

/// What the client keeps. Libcrypto wipes the private keys when dropped.
struct Started {
    kem: PKey<Private>,
    ecdh: x25519::KeyPair,
    share: Vec<u8>,
}

impl Started {
    fn new(random: &dyn SecureRandom) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; kem::SEED_LEN]);
        random.fill(&mut *seed)?;
        let kem = kem::key_pair(&mut seed).map_err(failed("make an ML-KEM-768 key pair"))?;
        let mut share = kem
            .raw_public_key()
            .map_err(failed("encode an ML-KEM-768 key"))?;
        let ecdh = x25519::KeyPair::new(random)?;
        share.extend_from_slice(&ecdh.share);
        Ok(Self { kem, ecdh, share })
    }

    fn finish(&mut self, peer_share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, peer_ecdh) = peer_share
            .split_at_checked(kem::CIPHERTEXT_LEN)
            .ok_or(Error::BadPeerShare)?;
        let ecdh_secret = self.ecdh.agree(peer_ecdh)?;
        let mut kem_secret = Zeroizing::new([0; kem::SECRET_LEN]);
        kem::decapsulate(&self.kem, ciphertext, &mut kem_secret)
            .map_err(failed("decapsulate with ML-KEM-768"))?;
        Ok(join(&kem_secret, &ecdh_secret))
    }
}

impl ActiveKeyExchange for Started {
    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn share(&self) -> &[u8] {
        &self.share
    }

    fn complete(mut self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret> {
        Op::Ready(self.finish(peer_share))
    }
}
