//! One key signs in many threads at a time.

use std::thread;

use crypto_api::PublicKey;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

#[test]
fn threads_share_an_rsa_key() {
    let provider = backend_openssl::provider();
    let der = PKey::from_rsa(Rsa::generate(2048).unwrap())
        .and_then(|key| key.private_key_to_pkcs8())
        .unwrap();
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der));
    let key = provider.load_key(&der).unwrap();
    let spki = key.public_key().unwrap();
    let public = PublicKey::from_spki(&spki).unwrap();
    thread::scope(|scope| {
        for n in 0..12_u8 {
            let (key, provider, public) = (&key, &provider, &public);
            scope.spawn(move || {
                for (i, &scheme) in (0..=255_u8).zip(key.schemes().iter().cycle()) {
                    let message = [n, i];
                    let signature = key.sign(scheme, &message, &*provider.random).spin();
                    provider
                        .verification(scheme, public.algorithm)
                        .unwrap()
                        .verify_signature(public.key, &message, &signature.unwrap())
                        .unwrap();
                }
            });
        }
    });
}
