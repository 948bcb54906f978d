//! Every token can be made, and says what it can't hold.

use test_tokens::{Key, Kind, Token, isolated};

fn made(test: &str, kind: Kind, expected: &[Key]) {
    isolated(test, kind, |dir| {
        let Some(token) = Token::make_or_skip(kind, dir, &Key::ALL) else {
            return;
        };
        assert_eq!(token.keys, expected);
        assert_eq!(token.missing.len(), Key::ALL.len() - expected.len());
        assert!(token.module.is_file());
    });
}

#[test]
fn soft_hsm() {
    made("soft_hsm", Kind::SoftHsm, &Key::ALL);
}

#[test]
fn nss() {
    let expected = [Key::Rsa2048, Key::P256, Key::P384, Key::P521];
    made("nss", Kind::Nss, &expected);
}

#[test]
fn remote() {
    made("remote", Kind::Remote, &Key::ALL);
}

#[test]
fn opencryptoki() {
    made("opencryptoki", Kind::OpenCryptoki, &[Key::Rsa2048]);
}

#[test]
fn kryoptic() {
    made("kryoptic", Kind::Kryoptic, &Key::ALL);
}

/// The label of a key that a token can't hold is in what it says.
#[test]
fn keys_that_few_tokens_hold() {
    let test = "keys_that_few_tokens_hold";
    isolated(test, Kind::SoftHsm, |dir| {
        let mut keys = Key::ML_DSA.to_vec();
        keys.push(Key::AlwaysP256);
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &keys) else {
            return;
        };
        assert_eq!(token.keys, [Key::AlwaysP256]);
        let missing: Vec<_> = token.missing.iter().map(ToString::to_string).collect();
        assert_eq!(missing.len(), 3);
        assert!(missing[0].contains("SoftHSM ml-dsa-44: no CKM_ML_DSA_KEY_PAIR_GEN"));
    });
}
