//! Private keys: loading them, signing with them, and loading what is none.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};

use super::test_keys::{KEYS, TestKey, WEAK_RSA_PKCS8, X25519_PKCS8};
use super::{NoRandom, cut, pattern};
use crate::{CryptoProvider, Error, KeyLoader, PublicKey, SignatureScheme, SigningKey};

/// Checks a loader with test keys of every kind that TLS knows. Of a kind that the loader
/// does not know nothing is asked but that it says so. What the keys sign is verified with
/// `provider`, which also supplies randomness.
///
/// Returns the schemes that were signed with.
///
/// # Panics
/// When a check fails.
pub fn key_loader(loader: &dyn KeyLoader, provider: &CryptoProvider) -> Vec<SignatureScheme> {
    let subject = Subject {
        name: format!("private keys from {}", loader.implementation()),
        loader,
        provider,
    };
    let mut schemes = Vec::new();
    for test_key in &KEYS {
        let loaded: Vec<_> = test_key
            .encodings()
            .filter_map(|(encoding, der)| {
                let what = format!("{}, {} in {encoding}", subject.name, test_key.name);
                match loader.load(&der) {
                    Ok(key) => Some((what, key, der)),
                    Err(Error::Unsupported(_)) => None,
                    Err(error) => panic!("{what}: {error}"),
                }
            })
            .collect();
        assert!(
            loaded.is_empty() || loaded.len() == test_key.encodings().count(),
            "{}: loads {} in some encodings and not in others",
            subject.name,
            test_key.name
        );
        for (what, key, der) in &loaded {
            subject.signs(what, &**key, test_key);
            subject.damaged(what, der);
        }
        if let Some((what, key, _)) = loaded.first() {
            subject.signs_on_many_threads(what, key);
            schemes.extend(key.schemes());
        }
    }
    subject.no_keys();
    schemes
}

/// A loader under test.
struct Subject<'a> {
    name: String,
    loader: &'a dyn KeyLoader,
    provider: &'a CryptoProvider,
}

/// Whether the signature verifies; `None` if the provider does not know the algorithm.
fn verifies(
    provider: &CryptoProvider,
    scheme: SignatureScheme,
    spki: &SubjectPublicKeyInfoDer<'_>,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let key = PublicKey::from_spki(spki).expect("a public key is a SubjectPublicKeyInfo");
    let algorithm = provider.verification(scheme, key.algorithm)?;
    let outcome = algorithm.verify_signature(key.key, message, signature);
    Some(outcome.is_ok())
}

impl Subject<'_> {
    fn signs(&self, what: &str, key: &dyn SigningKey, test_key: &TestKey) {
        let random = &*self.provider.random;
        let spki = SubjectPublicKeyInfoDer::from(test_key.spki);
        if let Some(public_key) = key.public_key() {
            assert!(public_key == spki, "{what}: has another public key");
        }
        assert!(
            test_key
                .schemes
                .iter()
                .any(|scheme| key.schemes().contains(scheme)),
            "{what}: signs with {:?} and none of {:?}",
            key.schemes(),
            test_key.schemes
        );
        for scheme in key.schemes() {
            for len in [0, 1, 32, 200, 70_000] {
                let message = pattern(40, len);
                let signature = key
                    .sign(*scheme, &message, random)
                    .spin()
                    .unwrap_or_else(|error| panic!("{what}: sign with {scheme}: {error}"));
                let good = verifies(self.provider, *scheme, &spki, &message, &signature);
                assert!(
                    good != Some(false),
                    "{what}: what it signs with {scheme} does not verify"
                );
                let mut other = message.clone();
                other.push(0);
                let good = verifies(self.provider, *scheme, &spki, &other, &signature);
                assert!(
                    good != Some(true),
                    "{what}: what it signs with {scheme} verifies with another message"
                );
            }
            let outcome = key.sign(*scheme, b"message", &NoRandom).spin();
            assert!(
                matches!(outcome, Ok(_) | Err(Error::Backend { .. })),
                "{what}: signing with {scheme} without randomness gives {outcome:?}"
            );
        }
        for scheme in (0..=u16::MAX).map(SignatureScheme) {
            // All that have a name, and some that have none.
            let asked = scheme.name().is_some() || scheme.0 % 4099 == 0;
            if asked && !key.schemes().contains(&scheme) {
                let outcome = key.sign(scheme, b"message", random).spin();
                assert!(
                    matches!(outcome, Err(Error::Unsupported(_))),
                    "{what}: signing with {scheme} gives {outcome:?}"
                );
            }
        }
    }

    fn signs_on_many_threads(&self, what: &str, key: &Arc<dyn SigningKey>) {
        let Some(scheme) = key.schemes().first().copied() else {
            return;
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..8 {
                        let message = pattern(thread * 100 + n, 64);
                        let signature = key
                            .sign(scheme, &message, &*self.provider.random)
                            .spin()
                            .unwrap_or_else(|error| panic!("{what}: on a thread: {error}"));
                        assert!(
                            !matches!(
                                self.of_its_own(&**key, scheme, &message, &signature),
                                Some(false)
                            ),
                            "{what}: what it signs on one of several threads does not verify"
                        );
                    }
                });
            }
        });
    }

    /// Whether a signature verifies under the public key that the key states.
    fn of_its_own(
        &self,
        key: &dyn SigningKey,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        verifies(
            self.provider,
            scheme,
            &key.public_key()?,
            message,
            signature,
        )
    }

    /// Damage to an encoding is an error, or makes another key that is consistent with
    /// itself (a private key may be any number, and not every byte of the encoding counts).
    /// A key that signs what its public key does not verify gives itself away: with RSA
    /// one such signature is enough to factor the modulus.
    fn damaged(&self, what: &str, der: &PrivateKeyDer<'_>) {
        let bytes = der.secret_der();
        let rebuilt = |bytes: Vec<u8>| match der {
            PrivateKeyDer::Pkcs8(_) => PrivateKeyDer::Pkcs8(bytes.into()),
            PrivateKeyDer::Sec1(_) => PrivateKeyDer::Sec1(bytes.into()),
            _ => PrivateKeyDer::Pkcs1(bytes.into()),
        };
        for len in 0..bytes.len() {
            let outcome = self.loader.load(&rebuilt(bytes[..len].to_vec()));
            assert!(
                outcome.is_err(),
                "{what}: loads the first {len} bytes of it"
            );
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        let outcome = self.loader.load(&rebuilt(longer));
        assert!(outcome.is_err(), "{what}: loads it with a byte behind");

        // Checking an RSA key takes milliseconds, so fewer of its bits are tried.
        let step = if bytes.len() > 500 { 53 } else { 1 };
        for bit in (0..bytes.len() * 8).step_by(step) {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(key) = self.loader.load(&rebuilt(flipped)) else {
                continue;
            };
            let Some(scheme) = key.schemes().first().copied() else {
                continue;
            };
            let random = &*self.provider.random;
            if let Ok(signature) = key.sign(scheme, b"message", random).spin() {
                assert!(
                    self.of_its_own(&*key, scheme, b"message", &signature) != Some(false),
                    "{what}: with bit {} of byte {} changed it loads, and signs what its \
                     public key does not verify",
                    bit % 8,
                    bit / 8
                );
            }
        }
    }

    fn no_keys(&self) {
        let name = &self.name;
        let outcome = self
            .loader
            .load(&PrivateKeyDer::Pkcs8(WEAK_RSA_PKCS8.into()));
        assert!(
            matches!(outcome, Err(Error::BadKey(_) | Error::Unsupported(_))),
            "{name}: an RSA key of 1024 bits gives {outcome:?}"
        );
        let outcome = self.loader.load(&PrivateKeyDer::Pkcs8(X25519_PKCS8.into()));
        assert!(
            matches!(outcome, Err(Error::Unsupported(_))),
            "{name}: an X25519 key gives {outcome:?}"
        );
        for len in 0..=300usize {
            let garbage = pattern(41, len);
            // Also behind the beginning of a sequence that is as long as it says.
            let mut sequence = Vec::from([0x30, 0x82]);
            sequence.extend((len as u16).to_be_bytes());
            sequence.extend(&garbage);
            for bytes in [garbage, sequence] {
                for der in [
                    PrivateKeyDer::Pkcs8(bytes.clone().into()),
                    PrivateKeyDer::Sec1(bytes.clone().into()),
                    PrivateKeyDer::Pkcs1(bytes.into()),
                ] {
                    let outcome = self.loader.load(&der);
                    assert!(outcome.is_err(), "{name}: loads {len} bytes of garbage");
                }
            }
        }
        // A key under the name of another encoding, and the pieces of a key: no matter
        // whether it loads, but it must not panic.
        for test_key in &KEYS {
            for (_, der) in test_key.encodings() {
                let bytes = der.secret_der();
                let _ = self.loader.load(&PrivateKeyDer::Pkcs8(bytes.into()));
                let _ = self.loader.load(&PrivateKeyDer::Sec1(bytes.into()));
                let _ = self.loader.load(&PrivateKeyDer::Pkcs1(bytes.into()));
                for piece in cut(bytes, &[26, 7, 40, 100]) {
                    let _ = self.loader.load(&PrivateKeyDer::Pkcs8(piece.into()));
                }
            }
        }
    }
}
