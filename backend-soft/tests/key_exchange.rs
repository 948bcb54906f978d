//! What is drawn is the private key, so a handshake can be replayed byte for byte.

use std::sync::Mutex;

use crypto_api::{Error, Implementation, NamedGroup, SecureRandom};

/// Gives out what it was made of, once.
#[derive(Debug)]
struct Script(Mutex<Vec<u8>>);

impl Script {
    fn new(parts: &[&[u8]]) -> Self {
        Self(Mutex::new(parts.concat()))
    }
}

impl SecureRandom for Script {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        let mut left = self.0.lock().unwrap();
        out.copy_from_slice(&left[..out.len()]);
        left.drain(..out.len());
        Ok(())
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: "test",
            detail: "script",
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.lock().unwrap().is_empty(), "not all was drawn");
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

// RFC 7748, section 6.1.
const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const ALICE_PUBLIC: &str = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
const BOB: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
const BOB_PUBLIC: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const SHARED: &str = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

#[test]
fn x25519_of_the_rfc() {
    let provider = backend_soft::provider();
    let group = provider.group(NamedGroup::X25519).unwrap();
    let client = group.start(&Script::new(&[&hex(ALICE)])).spin().unwrap();
    assert_eq!(client.share(), hex(ALICE_PUBLIC));
    let server = group
        .respond(client.share(), &Script::new(&[&hex(BOB)]))
        .spin()
        .unwrap();
    assert_eq!(server.share, hex(BOB_PUBLIC));
    assert_eq!(server.secret.as_bytes(), hex(SHARED));
    let secret = client.complete(&server.share).spin().unwrap();
    assert_eq!(secret.as_bytes(), hex(SHARED));
}

#[test]
fn x25519mlkem768_puts_ml_kem_first() {
    let provider = backend_soft::provider();
    let group = provider.group(NamedGroup::X25519MLKEM768).unwrap();
    let script = Script::new(&[&[1; 64], &hex(ALICE)]);
    let client = group.start(&script).spin().unwrap();
    assert_eq!(client.share().len(), 1216);
    assert_eq!(client.share()[1184..], hex(ALICE_PUBLIC));
    let script = Script::new(&[&[2; 32], &hex(BOB)]);
    let server = group.respond(client.share(), &script).spin().unwrap();
    assert_eq!(server.share.len(), 1120);
    assert_eq!(server.share[1088..], hex(BOB_PUBLIC));
    assert_eq!(server.secret.as_bytes().len(), 64);
    assert_eq!(server.secret.as_bytes()[32..], hex(SHARED));
    let secret = client.complete(&server.share).spin().unwrap();
    assert_eq!(secret, server.secret);
}

/// FIPS 203, section 7.2: coefficients of an encapsulation key are below 3329.
#[test]
fn x25519mlkem768_refuses_unreduced_coefficients() {
    let provider = backend_soft::provider();
    let group = provider.group(NamedGroup::X25519MLKEM768).unwrap();
    let client = group.start(&*provider.random).spin().unwrap();
    let mut share = client.share().to_vec();
    share[..3].fill(0xff);
    assert_eq!(
        group.respond(&share, &*provider.random).spin().err(),
        Some(Error::BadPeerShare)
    );
}

/// The other encodings of the same point (SEC 1, section 2.3.3): TLS 1.3 has one.
#[test]
fn points_are_uncompressed() {
    let provider = backend_soft::provider();
    for (id, len) in [(NamedGroup::SECP256R1, 65), (NamedGroup::SECP384R1, 97)] {
        let group = provider.group(id).unwrap();
        let client = group.start(&*provider.random).spin().unwrap();
        let share = client.share();
        assert_eq!((share.len(), share[0]), (len, 4), "{id}");
        let x_len = (len - 1) / 2;
        let odd = share[len - 1] & 1;
        let compressed = [&[2 + odd], &share[1..=x_len]].concat();
        let compact = [&[5], &share[1..=x_len]].concat();
        let hybrid = [&[6 + odd], &share[1..]].concat();
        for wrong in [&compressed[..], &compact, &hybrid, &[0], &[], &[4]] {
            assert_eq!(
                group.respond(wrong, &*provider.random).spin().err(),
                Some(Error::BadPeerShare),
                "{id}"
            );
        }
        group.respond(share, &*provider.random).spin().unwrap();
    }
}
