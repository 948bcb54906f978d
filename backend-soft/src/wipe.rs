//! Proof at compile time that what holds secrets wipes itself: RustCrypto does so only with
//! its `zeroize` features, and a dependency without them compiles as well.

use zeroize::ZeroizeOnDrop;

const fn wipes<T: ZeroizeOnDrop>() {}

const _: () = {
    wipes::<aes_gcm::Aes128Gcm>();
    wipes::<aes_gcm::Aes256Gcm>();
    wipes::<chacha20poly1305::ChaCha20Poly1305>();
    // HMAC has no promise of its own: it is two states of these.
    wipes::<sha2::Sha256>();
    wipes::<sha2::Sha384>();
    wipes::<x25519_dalek::StaticSecret>();
    wipes::<x25519_dalek::SharedSecret>();
    wipes::<p256::SecretKey>();
    wipes::<p256::ecdh::SharedSecret>();
    wipes::<p256::ecdsa::SigningKey>();
    wipes::<p384::SecretKey>();
    wipes::<p384::ecdh::SharedSecret>();
    wipes::<p384::ecdsa::SigningKey>();
    wipes::<ml_kem::ml_kem_768::DecapsulationKey>();
    wipes::<sha3::Sha3_512>();
    wipes::<shake::Shake256>();
    wipes::<ed25519_dalek::SigningKey>();
    wipes::<rsa::PrivateKey>();
};
