//! X25519MLKEM768: ML-KEM-768 (FIPS 203) and X25519 side by side
//! (draft-ietf-tls-ecdhe-mlkem). The ML-KEM part stands first in shares and in the secret.

use crypto_api::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, KeyExchangeResponse, NamedGroup,
    Op, SecureRandom, SharedSecret,
};
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, Decapsulate, Key, KeyExport, Seed};
use zeroize::Zeroize;

use super::x25519;
use crate::{cpu, random::draw};

/// Length in bytes of an encapsulation key of ML-KEM-768.
const ENCAPSULATION_KEY_LEN: usize = 1184;
/// Length in bytes of a ciphertext of ML-KEM-768.
const CIPHERTEXT_LEN: usize = 1088;
/// Length in bytes of the secret of each part.
const SECRET_LEN: usize = 32;

/// X25519MLKEM768. The client's share has 1216 bytes, the server's 1120, the secret 64.
///
/// What is drawn: the client's ML-KEM seed (64 bytes, `d` then `z`) or the server's message
/// (32 bytes), then the X25519 private key (32 bytes).
#[derive(Clone, Copy, Debug, Default)]
pub struct X25519MlKem768;

impl KeyExchangeGroup for X25519MlKem768 {
    fn id(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        Active::generate(random)
            .map(|active| Box::new(active) as Box<dyn ActiveKeyExchange>)
            .into()
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        respond(peer_share, random).into()
    }

    fn implementation(&self) -> Implementation {
        cpu::implementation("RustCrypto ml-kem, curve25519-dalek")
    }
}

fn respond(peer_share: &[u8], random: &dyn SecureRandom) -> Result<KeyExchangeResponse, Error> {
    let (key, peer) = peer_share
        .split_first_chunk::<ENCAPSULATION_KEY_LEN>()
        .ok_or(Error::BadPeerShare)?;
    // Refuses coefficients that are not reduced: the modulus check of FIPS 203, section 7.2.
    let key = EncapsulationKey::new(&Key::<EncapsulationKey>::from(*key))
        .map_err(|_| Error::BadPeerShare)?;

    let message = draw::<32>(random)?;
    let mut drawn = B32::from(*message);
    let (ciphertext, mut kem_secret) = key.encapsulate_deterministic(&drawn);
    drawn.zeroize();
    let secret = x25519::KeyPair::generate(random).and_then(|pair| {
        let secret = combine(&kem_secret, pair.agree(peer)?.as_bytes());
        Ok((pair, secret))
    });
    kem_secret.zeroize();
    let (pair, secret) = secret?;

    Ok(KeyExchangeResponse {
        share: [&ciphertext[..], pair.public.as_bytes()].concat(),
        secret,
    })
}

fn combine(kem: &[u8], x25519: &[u8]) -> SharedSecret {
    // Room for all of it at once: a vector that grows leaves a copy behind.
    let mut secret = Vec::with_capacity(2 * SECRET_LEN);
    secret.extend_from_slice(kem);
    secret.extend_from_slice(x25519);
    SharedSecret::new(secret)
}

struct Active {
    kem: DecapsulationKey,
    x25519: x25519::KeyPair,
    share: Vec<u8>,
}

impl Active {
    fn generate(random: &dyn SecureRandom) -> Result<Self, Error> {
        let seed = draw::<64>(random)?;
        let kem = DecapsulationKey::from_seed(Seed::from(*seed));
        let x25519 = x25519::KeyPair::generate(random)?;
        let share = [
            &kem.encapsulation_key().to_bytes()[..],
            x25519.public.as_bytes(),
        ]
        .concat();
        Ok(Self { kem, x25519, share })
    }

    fn agree(&self, peer_share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, peer) = peer_share
            .split_first_chunk::<CIPHERTEXT_LEN>()
            .ok_or(Error::BadPeerShare)?;
        let x25519 = self.x25519.agree(peer)?;
        // A forged ciphertext gives a secret that nobody has (FIPS 203, section 6.3), so
        // there is no failure here: the handshake's first record does not open.
        let mut kem_secret = self.kem.decapsulate(&(*ciphertext).into());
        let secret = combine(&kem_secret, x25519.as_bytes());
        kem_secret.zeroize();
        Ok(secret)
    }
}

impl ActiveKeyExchange for Active {
    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn share(&self) -> &[u8] {
        &self.share
    }

    fn complete(self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret> {
        self.agree(peer_share).into()
    }
}
