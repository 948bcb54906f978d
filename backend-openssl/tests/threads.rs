//! Threads that share a key, and threads that end.

use std::cell::RefCell;
use std::thread;

use crypto_api::{NamedGroup, PublicKey};
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

/// What a connection does that a thread keeps, and that is dropped with the thread's other
/// values.
struct AtTheEnd;

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        agree();
    }
}

fn agree() {
    let provider = backend_openssl::provider();
    let group = provider.group(NamedGroup::X25519).unwrap();
    let started = group.start(&*provider.random).spin().unwrap();
    let response = group
        .respond(started.share(), &*provider.random)
        .spin()
        .unwrap();
    let secret = started.complete(&response.share).spin().unwrap();
    assert_eq!(secret.as_bytes(), response.secret.as_bytes());
}

/// The value is there before anything of the backend's, so it goes after that.
#[test]
fn a_thread_that_ends_can_still_agree_on_keys() {
    thread_local! {
        static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }
    thread::spawn(|| {
        LAST.set(Some(AtTheEnd));
        agree();
    })
    .join()
    .unwrap();
}
