//! A key that is exchanged while it is in use.

use backend_pkcs11::{Builder, Reason, RotatingKey};
use crypto_api::SigningKey;
use test_tokens::{Key, Kind, Token, isolated};

#[test]
fn keys_are_exchanged_while_requests_are_under_way() {
    let test = "keys_are_exchanged_while_requests_are_under_way";
    isolated(test, Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &[Key::P256, Key::P384]) else {
            return;
        };
        let provider = backend_soft::provider();
        let builder = |key| Builder::new(token.uri(key), &provider);
        let rotating = RotatingKey::open(builder(Key::P256)).unwrap();
        let first = rotating.current();
        let sign = |key: &dyn SigningKey| key.sign(key.schemes()[0], b"message", &*provider.random);
        let pending: Vec<_> = (0..50).map(|_| sign(&first)).collect();

        rotating.replace(builder(Key::P384)).unwrap();
        let second = rotating.current();
        assert_ne!(first.public_key(), second.public_key());
        assert_ne!(first.certificate_chain()[0], second.certificate_chain()[0]);
        // What was under way with the old key is done, though its last handle is gone.
        drop(first);
        for op in pending {
            assert!(op.spin().is_ok());
        }
        assert!(sign(&second).spin().is_ok());

        rotating.reload().unwrap();
        let third = rotating.current();
        assert_eq!(third.public_key(), second.public_key());
        assert_eq!(third.stats().requests, 0);
        assert!(sign(&third).spin().is_ok());

        // One that cannot be opened changes nothing.
        let gone = token.uri(Key::P384).replace("p384", "gone");
        let error = rotating.replace(Builder::new(gone, &provider)).unwrap_err();
        assert!(matches!(error.reason(), Reason::NoObject { .. }), "{error}");
        rotating.reload().unwrap();
        assert_eq!(rotating.current().public_key(), second.public_key());
    });
}
