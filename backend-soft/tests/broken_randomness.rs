//! Sources of randomness that fail or are stuck: an error that names them, and no hanging.

use crypto_api::{Error, Implementation, NamedGroup, SecureRandom, SignatureScheme};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};

#[derive(Debug)]
struct Away;

fn away() -> Error {
    Error::Unavailable {
        backend: "test",
        detail: "unplugged".into(),
    }
}

const TEST: Implementation = Implementation {
    backend: "test",
    detail: "",
};

impl SecureRandom for Away {
    fn fill(&self, _: &mut [u8]) -> Result<(), Error> {
        Err(away())
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}

/// Gives one byte for ever.
#[derive(Debug)]
struct Stuck(u8);

impl SecureRandom for Stuck {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        out.fill(self.0);
        Ok(())
    }

    fn implementation(&self) -> Implementation {
        TEST
    }
}

fn rsa() -> PrivateKeyDer<'static> {
    PrivatePkcs1KeyDer::from(&include_bytes!("keys/rsa-2048.pkcs1.der")[..]).into()
}

fn p256() -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(&include_bytes!("keys/p256.pkcs8.der")[..]).into()
}

#[test]
fn the_reason_of_a_failed_source_is_kept() {
    let provider = backend_soft::provider();
    for group in &provider.groups {
        let id = group.id();
        assert_eq!(group.start(&Away).spin().err(), Some(away()), "{id}");
        let client = group.start(&*provider.random).spin().unwrap();
        assert_eq!(
            group.respond(client.share(), &Away).spin().err(),
            Some(away()),
            "{id}"
        );
    }
    for (key, scheme) in [
        (rsa(), SignatureScheme::RSA_PSS_RSAE_SHA256),
        (p256(), SignatureScheme::ECDSA_SECP256R1_SHA256),
    ] {
        let key = provider.load_key(&key).unwrap();
        assert_eq!(key.sign(scheme, b"", &Away).spin(), Err(away()));
    }
}

#[test]
fn a_stuck_source_ends_in_an_error() {
    let provider = backend_soft::provider();
    let stuck = |outcome: Option<Error>| {
        assert!(
            matches!(
                outcome,
                Some(Error::Backend {
                    backend: "soft",
                    ..
                })
            ),
            "{outcome:?}"
        );
    };
    // No scalar is zero, none is above the order.
    for id in [NamedGroup::SECP256R1, NamedGroup::SECP384R1] {
        let group = provider.group(id).unwrap();
        stuck(group.start(&Stuck(0)).spin().err());
        stuck(group.start(&Stuck(0xff)).spin().err());
    }
    // No blinding factor is zero, none is above the modulus.
    let key = provider.load_key(&rsa()).unwrap();
    let scheme = SignatureScheme::RSA_PSS_RSAE_SHA256;
    stuck(key.sign(scheme, b"", &Stuck(0)).spin().err());
    stuck(key.sign(scheme, b"", &Stuck(0xff)).spin().err());
}
