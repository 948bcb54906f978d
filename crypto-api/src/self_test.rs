//! Known answers at start-up: one for each entry of a provider.

pub(crate) mod answers;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use rustls_pki_types::{SignatureVerificationAlgorithm, UnixTime};

use crate::{
    CryptoProvider, Error, HashFunctions, Implementation, KeyExchangeGroup, NONCE_LEN, NamedGroup,
    Payload, ProviderFault, SealRecord, SecureRandom, Suite, TicketProtector, Trailer,
};
use answers::RecordAnswer;

/// What went wrong, in words for [`ProviderFault::SelfTest`].
type Outcome = Result<(), String>;

impl CryptoProvider {
    /// Computes with every entry and compares with a published answer; an application
    /// calls it when it starts, certified modules demand it.
    ///
    /// - Each cipher suite seals a record, opens it, and refuses it after one bit flipped.
    /// - Each hash, HMAC and HKDF gives a published output.
    /// - Each group agrees with itself on a secret, and refuses a bad share in both roles.
    /// - Each signature verification accepts a published signature, and refuses it after
    ///   one bit flipped in signature or message.
    /// - Two draws of randomness differ, and a ticket opens to what it was made of.
    ///
    /// For groups there is no published answer to compare with: how a private key comes of
    /// randomness, and of whose, is the backend's affair. The features `conformance` and
    /// `wycheproof` have more for a backend's own tests. Of a suite or signature algorithm
    /// that this crate knows no answer for, only the consistency is tested, too. Key loaders are not: a loader has nothing to do without a
    /// key. It takes a few milliseconds. [`check`](CryptoProvider::check) is part of it.
    ///
    /// # Errors
    /// [`ProviderFault::SelfTest`] for the first entry that fails, and what
    /// [`check`](CryptoProvider::check) returns.
    pub fn self_test(&self) -> Result<(), ProviderFault> {
        self.check()?;
        for suite in &self.suites {
            let by = suite.aead.implementation();
            named(suite.id.to_string(), by, record(suite))?;
        }
        for functions in &self.hashes {
            let name = functions.algorithm().to_string();
            named(
                name.clone(),
                functions.hash.implementation(),
                hash(functions),
            )?;
            named(
                alloc::format!("HMAC-{name}"),
                functions.hmac.implementation(),
                hmac(functions),
            )?;
            named(
                alloc::format!("HKDF-{name}"),
                functions.hkdf.implementation(),
                hkdf(functions),
            )?;
        }
        named(
            "randomness".into(),
            self.random.implementation(),
            randomness(&*self.random),
        )?;
        for group in &self.groups {
            named(
                group.id().to_string(),
                group.implementation(),
                key_exchange(group, &*self.random),
            )?;
        }
        for entry in &self.verification {
            let name = entry.scheme.map_or_else(
                || "a signature algorithm of certificates".to_string(),
                |scheme| scheme.to_string(),
            );
            named(name, entry.implementation, verification(entry.algorithm))?;
        }
        if let Some(tickets) = &self.tickets {
            named(
                "tickets".into(),
                tickets.implementation(),
                ticket(&**tickets),
            )?;
        }
        Ok(())
    }
}

/// Says which entry an outcome is of.
fn named(
    algorithm: String,
    implementation: Implementation,
    outcome: Outcome,
) -> Result<(), ProviderFault> {
    outcome.map_err(|detail| ProviderFault::SelfTest {
        algorithm,
        implementation,
        detail,
    })
}

/// Says which step an error is of.
fn failed(step: &'static str) -> impl Fn(Error) -> String {
    move |error| alloc::format!("{step}: {error}")
}

fn ensure(holds: bool, otherwise: &'static str) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_string())
    }
}

/// A sequence number with a bit in every byte: the published nonce is split into it and an
/// IV, so that a backend that combines them wrongly is found out.
const SEQUENCE: u64 = 0x0102_0408_1020_4080;

/// The IV that [`SEQUENCE`] combines with into `nonce` (RFC 9846, section 5.3).
fn iv_of(nonce: &[u8; NONCE_LEN]) -> [u8; NONCE_LEN] {
    let mut iv = *nonce;
    for (byte, sequence) in iv.iter_mut().skip(4).zip(SEQUENCE.to_be_bytes()) {
        *byte ^= sequence;
    }
    iv
}

fn record(suite: &Suite) -> Outcome {
    match answers::RECORDS.iter().find(|a| a.suite == suite.id) {
        Some(answer) => record_with(suite, answer, true),
        None => {
            let key = vec![0x5a; suite.aead.key_len()];
            let answer = RecordAnswer {
                suite: suite.id,
                key: &key,
                nonce: [7; NONCE_LEN],
                aad: b"header",
                plaintext: b"a suite without a published answer",
                sealed: &[],
            };
            record_with(suite, &answer, false)
        }
    }
}

fn record_with(suite: &Suite, answer: &RecordAnswer<'_>, known: bool) -> Outcome {
    let iv = iv_of(&answer.nonce);
    let mut sealer = suite
        .aead
        .sealer(answer.key, &iv)
        .map_err(failed("make a sealing key"))?;
    let mut opener = suite
        .aead
        .opener(answer.key, &iv)
        .map_err(failed("make an opening key"))?;

    // The answer's plaintext as TLS has it: in pieces, the last byte as content type.
    let (last, payload) = answer
        .plaintext
        .split_last()
        .ok_or("a known answer without plaintext")?;
    let (head, tail) = payload.split_at(payload.len() / 3);
    let mut sealed = vec![0; answer.plaintext.len() + suite.aead.tag_len()];
    sealer
        .seal(&mut SealRecord {
            sequence: SEQUENCE,
            aad: answer.aad,
            payload: Payload::from_slices(&[head, tail]),
            trailer: Trailer::content_type(*last),
            out: &mut sealed,
        })
        .map_err(failed("seal"))?;
    if known {
        ensure(sealed == answer.sealed, "sealed to a wrong ciphertext")?;
    }
    let mut forged = sealed.clone();
    if let Some(byte) = forged.last_mut() {
        *byte ^= 1;
    }
    ensure(
        opener.open(SEQUENCE, answer.aad, &mut forged) == Err(Error::BadTag),
        "did not refuse a forged tag",
    )?;
    let len = opener
        .open(SEQUENCE, answer.aad, &mut sealed)
        .map_err(failed("open"))?;
    ensure(
        sealed.get(..len) == Some(answer.plaintext),
        "opened to a wrong plaintext",
    )
}

fn hash(functions: &HashFunctions) -> Outcome {
    let known = answers::of_hash(functions.algorithm());
    let (head, tail) = answers::HASHED.split_at(1);
    let digest = functions.hash.hash(&[head, tail]).map_err(failed("hash"))?;
    ensure(*digest == *known.digest, "wrong digest")?;
    let mut context = functions.hash.start().map_err(failed("start a hash"))?;
    context.update(head);
    let before = context.digest().map_err(failed("take a digest"))?;
    context.update(tail);
    let digest = context.digest().map_err(failed("take a digest"))?;
    ensure(before != digest, "a digest that does not change")?;
    ensure(*digest == *known.digest, "wrong digest in pieces")
}

fn hmac(functions: &HashFunctions) -> Outcome {
    let known = answers::of_hash(functions.algorithm());
    let (head, tail) = answers::MACED.split_at(5);
    let mac = functions
        .hmac
        .mac(answers::MAC_KEY, &[head, tail])
        .map_err(failed("compute a MAC"))?;
    ensure(mac == *known.mac, "wrong MAC")
}

fn hkdf(functions: &HashFunctions) -> Outcome {
    let known = &answers::of_hash(functions.algorithm()).hkdf;
    let prk = functions
        .hkdf
        .extract(known.salt, known.ikm)
        .map_err(failed("extract"))?;
    let mut okm = vec![0; known.okm.len()];
    let (head, tail) = known.info.split_at(known.info.len() / 2);
    functions
        .hkdf
        .expand(&prk, &[head, tail], &mut okm)
        .map_err(failed("expand"))?;
    ensure(okm == known.okm, "wrong output")
}

fn randomness(random: &dyn SecureRandom) -> Outcome {
    let mut draws = [[0; 32]; 2];
    for draw in &mut draws {
        random.fill(draw).map_err(failed("draw"))?;
    }
    let [first, second] = draws;
    ensure(first != second, "two draws are the same")
}

fn key_exchange(group: &Arc<dyn KeyExchangeGroup>, random: &dyn SecureRandom) -> Outcome {
    let start = || group.start(random).spin().map_err(failed("start"));
    let client = start()?;
    let share = client.share().to_vec();
    let server = group
        .respond(&share, random)
        .spin()
        .map_err(failed("respond"))?;
    let secret = client
        .complete(&server.share)
        .spin()
        .map_err(failed("complete"))?;
    ensure(secret == server.secret, "the two sides disagree")?;
    ensure(
        secret.as_bytes().iter().any(|byte| *byte != 0),
        "the secret is all zero",
    )?;

    let refusal = Err(Error::BadPeerShare);
    let answer = group.respond(&bad_share(group.id(), &share), random).spin();
    ensure(answer.map(drop) == refusal, "responds to a bad share")?;
    let outcome = start()?
        .complete(&bad_share(group.id(), &server.share))
        .spin();
    ensure(outcome.map(drop) == refusal, "completes with a bad share")
}

/// A share that the group must refuse, made of a good one.
fn bad_share(group: NamedGroup, good: &[u8]) -> Vec<u8> {
    let mut share = good.to_vec();
    match group {
        // Of the two points with this abscissa neither has this ordinate.
        NamedGroup::SECP256R1 | NamedGroup::SECP384R1 | NamedGroup::SECP521R1 => {
            if let Some(byte) = share.last_mut() {
                *byte ^= 1;
            }
        }
        // The point of order one (RFC 7748, section 6.1).
        NamedGroup::X25519 | NamedGroup::X448 => share.fill(0),
        NamedGroup::X25519MLKEM768 => {
            let x25519 = share.len().saturating_sub(32);
            share.get_mut(x25519..).unwrap_or_default().fill(0);
        }
        _ => {
            share.pop();
        }
    }
    share
}

fn verification(algorithm: &dyn SignatureVerificationAlgorithm) -> Outcome {
    let Some(answer) = answers::of_signature(algorithm) else {
        // Nothing of this algorithm is known but that it must not accept anything.
        let outcome = algorithm.verify_signature(&[0x5a; 64], b"message", &[0xa5; 64]);
        return ensure(outcome.is_err(), "accepts what is no signature");
    };
    algorithm
        .verify_signature(answer.public_key, answer.message, answer.signature)
        .map_err(|_| "refuses a published signature".to_string())?;
    // The last bit of an ECDSA signature is one of s, of the others one of the number.
    let forged = flip_last(answer.signature);
    ensure(
        algorithm
            .verify_signature(answer.public_key, answer.message, &forged)
            .is_err(),
        "accepts a forged signature",
    )?;
    let other = flip_last(answer.message);
    ensure(
        algorithm
            .verify_signature(answer.public_key, &other, answer.signature)
            .is_err(),
        "accepts the signature of another message",
    )
}

fn flip_last(bytes: &[u8]) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    if let Some(byte) = flipped.last_mut() {
        *byte ^= 1;
    }
    flipped
}

fn ticket(tickets: &dyn TicketProtector) -> Outcome {
    let state = b"session state";
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let ticket = tickets
        .protect(state, now)
        .spin()
        .map_err(failed("protect"))?;
    let opened = tickets
        .unprotect(&ticket, now)
        .spin()
        .map_err(failed("unprotect"))?;
    ensure(
        opened.is_some_and(|opened| **opened == state[..]),
        "a ticket opens to something else",
    )?;
    let forged = tickets
        .unprotect(&flip_last(&ticket), now)
        .spin()
        .map_err(failed("unprotect"))?;
    ensure(forged.is_none(), "opens a forged ticket")
}
