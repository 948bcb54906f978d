//! Two providers against each other.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::test_keys::KEYS;
use super::{cut, pattern};
use crate::{
    CryptoProvider, HashFunctions, KeyExchangeGroup, Payload, PublicKey, SealRecord, Suite, Trailer,
};

/// Checks that two providers compute the same: suites the same records, hash functions the
/// same outputs, groups the same secret with either as client, and that either verifies
/// what the other signs.
///
/// Returns the names of what both have and what was therefore compared, so that the caller
/// can tell whether it was what it meant: suites and hash functions by name, groups too,
/// signatures by scheme.
///
/// # Panics
/// When they differ.
pub fn agree(a: &CryptoProvider, b: &CryptoProvider) -> Vec<String> {
    let mut compared = Vec::new();
    for suite in &a.suites {
        if let Some(other) = b.suite(suite.id) {
            records(suite, other);
            records(other, suite);
            compared.push(suite.id.to_string());
        }
    }
    for functions in &a.hashes {
        if let Some(other) = b.hash(functions.algorithm()) {
            hashes(functions, other);
            compared.push(functions.algorithm().to_string());
        }
    }
    for group in &a.groups {
        if let Some(other) = b.group(group.id()) {
            for _ in 0..8 {
                key_exchange((a, &**group), (b, &**other));
                key_exchange((b, &**other), (a, &**group));
            }
            compared.push(group.id().to_string());
        }
    }
    signatures(a, b, &mut compared);
    signatures(b, a, &mut compared);
    compared
}

/// What `a` seals is what `b` seals, and `b` opens it.
fn records(a: &Suite, b: &Suite) {
    let name = format!(
        "{}: {} and {}",
        a.id,
        a.aead.implementation(),
        b.aead.implementation()
    );
    let working = |what: &str, error| -> ! { panic!("{name}: {what}: {error}") };
    for round in 0..300 {
        // Lengths of all magnitudes, up to the longest plaintext of TLS 1.3.
        let draw = pattern(round, 24);
        let word = |at: usize| usize::from(draw[at]) | usize::from(draw[at + 1]) << 8;
        let len = word(0) % (1 << (1 + round % 14)) + usize::from(draw[2] % 2);
        let aad = pattern(round + 1, usize::from(draw[3] % 40));
        let key = pattern(round + 2, a.aead.key_len());
        let mut iv = [0; 12];
        iv.copy_from_slice(&draw[4..16]);
        let sequence = u64::from_le_bytes(*draw.last_chunk().expect("8 of 24 bytes"));
        let plaintext = pattern(round + 3, len);
        let pieces = cut(&plaintext, &[1 + word(5) % 999, word(7) % 99]);
        let trailer = Trailer {
            content_type: Some(23),
            padding: usize::from(draw[9] % 20),
        };
        let seal = |suite: &Suite| {
            let mut out = vec![0; len + trailer.len() + suite.aead.tag_len()];
            let mut record = SealRecord {
                sequence,
                aad: &aad,
                payload: Payload::from_slices(&pieces),
                trailer,
                out: &mut out,
            };
            let sealed = suite
                .aead
                .sealer(&key, &iv)
                .and_then(|mut sealer| sealer.seal(&mut record));
            sealed.unwrap_or_else(|error| working("seal", error));
            out
        };
        let mut sealed = seal(a);
        assert!(
            sealed == seal(b),
            "{name}: seal {len} bytes with {trailer:?} to different records"
        );
        let opened = b
            .aead
            .opener(&key, &iv)
            .and_then(|mut opener| opener.open(sequence, &aad, &mut sealed))
            .unwrap_or_else(|error| working("open", error));
        assert!(
            sealed.get(..len) == Some(&plaintext[..]) && opened == len + trailer.len(),
            "{name}: what the first seals does not open with the second"
        );
    }
}

fn hashes(a: &HashFunctions, b: &HashFunctions) {
    let name = format!(
        "{}: {} and {}",
        a.algorithm(),
        a.hash.implementation(),
        b.hash.implementation()
    );
    for round in 0..300 {
        let draw = pattern(round, 8);
        let word = |at: usize| usize::from(draw[at]) | usize::from(draw[at + 1]) << 8;
        let message = pattern(round + 1, word(0) % (1 << (1 + round % 14)));
        let key = pattern(round + 2, word(2) % 300);
        let pieces = cut(&message, &[1 + word(4) % 500]);
        assert_eq!(a.hash.hash(&pieces), b.hash.hash(&pieces), "{name}: hash");
        let macs = [a, b].map(|functions| functions.hmac.mac(&key, &pieces));
        assert!(
            macs[0].is_ok() && macs[0] == macs[1],
            "{name}: HMAC differs"
        );
        let prks = [a, b].map(|functions| functions.hkdf.extract(&key, &message));
        assert!(
            prks[0].is_ok() && prks[0] == prks[1],
            "{name}: HKDF-Extract differs"
        );
        let [Ok(prk), _] = prks else { continue };
        let okms = [a, b].map(|functions| {
            let mut okm = vec![0; word(6) % 1000];
            let outcome = functions.hkdf.expand(&prk, &[&key, b"info"], &mut okm);
            outcome.map(|()| okm)
        });
        assert!(
            okms[0].is_ok() && okms[0] == okms[1],
            "{name}: HKDF-Expand differs"
        );
    }
}

/// A group with the provider that it is of.
type GroupOf<'a> = (&'a CryptoProvider, &'a dyn KeyExchangeGroup);

fn key_exchange((a, client): GroupOf<'_>, (b, server): GroupOf<'_>) {
    let name = format!(
        "{}: {} as client, {} as server",
        client.id(),
        client.implementation(),
        server.implementation()
    );
    let started = client
        .start(&*a.random)
        .spin()
        .unwrap_or_else(|error| panic!("{name}: start: {error}"));
    let response = server
        .respond(started.share(), &*b.random)
        .spin()
        .unwrap_or_else(|error| panic!("{name}: respond: {error}"));
    let secret = started
        .complete(&response.share)
        .spin()
        .unwrap_or_else(|error| panic!("{name}: complete: {error}"));
    assert!(secret == response.secret, "{name}: different secrets");
}

/// What `signer` signs with the test keys verifies with `verifier`.
fn signatures(signer: &CryptoProvider, verifier: &CryptoProvider, compared: &mut Vec<String>) {
    for test_key in &KEYS {
        let spki = SubjectPublicKeyInfoDer::from(test_key.spki);
        let public_key = PublicKey::from_spki(&spki).expect("test keys are well-formed");
        let key = test_key
            .encodings()
            .find_map(|(_, der)| signer.load_key(&der).ok());
        for scheme in key.iter().flat_map(|key| key.schemes()) {
            let Some(algorithm) = verifier.verification(*scheme, public_key.algorithm) else {
                continue;
            };
            for (key, len) in key.iter().cycle().zip([0, 1, 100, 130, 5000]) {
                let message = pattern(60, len);
                let signature = key
                    .sign(*scheme, &message, &*signer.random)
                    .spin()
                    .unwrap_or_else(|error| panic!("{scheme}: sign: {error}"));
                assert!(
                    algorithm
                        .verify_signature(public_key.key, &message, &signature)
                        .is_ok(),
                    "{scheme}: what {} signs does not verify with the other provider",
                    key.implementation()
                );
            }
            let name = scheme.to_string();
            if !compared.contains(&name) {
                compared.push(name);
            }
        }
    }
}
