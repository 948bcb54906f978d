//! The conformance kit is worth something only if it finds faults: each of these backends
//! has one, laid over good parts.

use std::panic::catch_unwind;
use std::sync::Arc;

use backend_soft::provider;
use crypto_api::{
    ActiveKeyExchange, CipherSuite, CryptoProvider, Digest, Error, Hash, HashAlgorithm,
    HashContext, HashFunctions, Hmac, Implementation, KeyExchangeGroup, KeyExchangeResponse,
    NONCE_LEN, NamedGroup, Op, OpenRecord, Payload, ProviderFault, RecordAead, RecordOpener,
    RecordSealer, SealRecord, Secret, SecureRandom, SharedSecret, Suite, Trailer, conformance,
};

/// What a check says when it fails.
fn found(check: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let Err(message) = catch_unwind(check) else {
        return "nothing".into();
    };
    match message.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => "a panic without words".into(),
    }
}

/// What is wrong with a record protection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    IgnoresAdditionalData,
    IgnoresTheSequence,
    LeavesPlaintextOfForgeries,
    LeavesPlaintextWhenSealingFails,
    ForgetsPieces,
    TakesAnyOutputLength,
    OpensAheadWithoutRestoring,
    CountsUnopenedRecords,
    SealsBatchesUnderOneSequence,
}

/// AES-128-GCM with a fault.
#[derive(Debug)]
struct Faulty(Arc<dyn RecordAead>, Fault);

struct FaultySealer(Box<dyn RecordSealer>, Fault);
struct FaultyOpener(Box<dyn RecordOpener>, Fault, Box<dyn RecordSealer>);

impl RecordAead for Faulty {
    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
        Ok(Box::new(FaultySealer(self.0.sealer(key, iv)?, self.1)))
    }

    fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
        let sealer = self.0.sealer(key, iv)?;
        Ok(Box::new(FaultyOpener(
            self.0.opener(key, iv)?,
            self.1,
            sealer,
        )))
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation()
    }
}

impl RecordSealer for FaultySealer {
    fn seal(&mut self, record: &mut SealRecord<'_>) -> Result<(), Error> {
        let payload = record.payload.iter().collect::<Vec<_>>().concat();
        let mut payload = Payload::from(&payload[..]);
        let (mut aad, mut sequence, mut out) = (record.aad, record.sequence, &mut *record.out);
        match self.1 {
            Fault::IgnoresAdditionalData => aad = &[],
            Fault::IgnoresTheSequence => sequence = 0,
            // Takes what lies in one piece only.
            Fault::ForgetsPieces if record.payload.as_slice().is_none() => {
                payload = Payload::from(&[][..]);
                let len = record.trailer.len() + 16;
                out = &mut out[..len];
            }
            Fault::TakesAnyOutputLength => {
                let len = (payload.len() + record.trailer.len() + 16).min(out.len());
                out = &mut out[..len];
            }
            Fault::LeavesPlaintextWhenSealingFails => {
                let len = payload.len().min(out.len());
                payload.copy_to(&mut out[..len]);
            }
            _ => {}
        }
        self.0.seal(&mut SealRecord {
            sequence,
            aad,
            payload,
            trailer: record.trailer,
            out,
        })
    }

    fn seal_batch(&mut self, records: &mut [SealRecord<'_>]) -> Result<(), Error> {
        let first = records.first().map_or(0, |record| record.sequence);
        for record in records {
            if self.1 == Fault::SealsBatchesUnderOneSequence {
                record.sequence = first;
            }
            self.seal(record)?;
        }
        Ok(())
    }
}

impl RecordOpener for FaultyOpener {
    fn open(&mut self, sequence: u64, aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error> {
        let aad = match self.1 {
            Fault::IgnoresAdditionalData => &[],
            _ => aad,
        };
        let sequence = match self.1 {
            Fault::IgnoresTheSequence => 0,
            _ => sequence,
        };
        let forged = in_out.to_vec();
        let outcome = self.0.open(sequence, aad, in_out);
        if outcome.is_err() && self.1 == Fault::LeavesPlaintextOfForgeries {
            // Counter mode: the ciphertext sealed again is the plaintext.
            let len = forged.len().saturating_sub(16);
            let mut again = vec![0; forged.len().max(16)];
            self.2.seal(&mut SealRecord {
                sequence,
                aad,
                payload: Payload::from(&forged[..len]),
                trailer: Trailer::default(),
                out: &mut again[..len + 16],
            })?;
            in_out[..len].copy_from_slice(&again[..len]);
        }
        outcome
    }

    fn open_batch(&mut self, records: &mut [OpenRecord<'_>]) -> Result<usize, Error> {
        let count = records.len();
        let mut opened = 0;
        for record in records {
            let sealed = record.in_out.to_vec();
            match self.open(record.sequence, record.aad, record.in_out) {
                Ok(len) => record.plaintext_len = len,
                Err(error) if opened == 0 => return Err(error),
                Err(_) => {
                    match self.1 {
                        // As one must with a forged record, but this may be under another key.
                        Fault::OpensAheadWithoutRestoring => record.in_out.fill(0),
                        _ => record.in_out.copy_from_slice(&sealed),
                    }
                    break;
                }
            }
            opened += 1;
        }
        Ok(match self.1 {
            Fault::CountsUnopenedRecords => count,
            _ => opened,
        })
    }
}

#[test]
fn faults_of_record_protection() {
    let good = provider();
    let good = good.suite(CipherSuite::TLS_AES_128_GCM_SHA256).unwrap();
    for (fault, message) in [
        (Fault::None, "nothing"),
        (Fault::IgnoresAdditionalData, "a forged record"),
        (Fault::IgnoresTheSequence, "does not make the nonce"),
        (Fault::LeavesPlaintextOfForgeries, "is left in the buffer"),
        (Fault::LeavesPlaintextWhenSealingFails, "leaves plaintext"),
        (Fault::ForgetsPieces, "seal to other bytes"),
        (Fault::TakesAnyOutputLength, "an output of"),
        (Fault::OpensAheadWithoutRestoring, "changed records behind"),
        (Fault::CountsUnopenedRecords, "does not open to what was"),
        (
            Fault::SealsBatchesUnderOneSequence,
            "than its records one by one",
        ),
    ] {
        let suite = Suite {
            aead: Arc::new(Faulty(good.aead.clone(), fault)),
            ..good.clone()
        };
        let found = found(std::panic::AssertUnwindSafe(|| conformance::suite(&suite)));
        assert!(found.contains(message), "{fault:?} is found as: {found}");
    }
}

/// SHA-256 whose contexts are not independent, and HMAC that does not hash long keys.
#[derive(Debug)]
struct FaultyHash(Arc<dyn Hash>);
#[derive(Debug)]
struct FaultyHmac(Arc<dyn Hmac>);
/// Begins anew after a digest.
struct Restarts(Arc<dyn Hash>, std::sync::Mutex<Box<dyn HashContext>>);

impl Hash for FaultyHash {
    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn start(&self) -> Result<Box<dyn HashContext>, Error> {
        let context = self.0.start()?.into();
        Ok(Box::new(Restarts(self.0.clone(), context)))
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, Error> {
        self.0.hash(parts)
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation()
    }
}

impl HashContext for Restarts {
    fn update(&mut self, data: &[u8]) {
        self.1.lock().unwrap().update(data);
    }

    fn digest(&self) -> Result<Digest, Error> {
        let mut context = self.1.lock().unwrap();
        std::mem::replace(&mut *context, self.0.start()?).digest()
    }
}

impl Hmac for FaultyHmac {
    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn mac(&self, key: &[u8], parts: &[&[u8]]) -> Result<Secret, Error> {
        self.0.mac(&key[..key.len().min(64)], parts)
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation()
    }
}

#[test]
fn faults_of_hash_functions() {
    let good = provider();
    let good = good.hash(HashAlgorithm::Sha256).unwrap();
    let hash = HashFunctions {
        hash: Arc::new(FaultyHash(good.hash.clone())),
        ..good.clone()
    };
    let hmac = HashFunctions::new(good.hash.clone(), Arc::new(FaultyHmac(good.hmac.clone())));
    for (functions, message) in [
        (good, "nothing"),
        (&hash, "asked twice"),
        (&hmac, "a key of 65 bytes"),
    ] {
        let found = found(std::panic::AssertUnwindSafe(|| {
            conformance::hash_functions(functions);
        }));
        assert!(found.contains(message), "{message}: found as: {found}");
    }
}

/// X25519 that takes the point of order one, as RFC 7748 alone would let it.
#[derive(Debug)]
struct TakesZero(Arc<dyn KeyExchangeGroup>);

impl KeyExchangeGroup for TakesZero {
    fn id(&self) -> NamedGroup {
        self.0.id()
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        self.0.start(random)
    }

    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        let zero = peer_share.iter().all(|byte| *byte == 0);
        match self.0.respond(peer_share, random).spin() {
            Err(Error::BadPeerShare) if zero && peer_share.len() == 32 => {
                Op::ok(KeyExchangeResponse {
                    share: vec![9; 32],
                    secret: SharedSecret::new(vec![0; 32]),
                })
            }
            outcome => Op::Ready(outcome),
        }
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation()
    }
}

#[test]
fn faults_of_key_exchange() {
    let good = provider();
    let group = TakesZero(good.group(NamedGroup::X25519).unwrap().clone());
    let message = found(std::panic::AssertUnwindSafe(|| {
        conformance::group(&group, &*good.random);
    }));
    assert!(message.contains("a point of low order"), "{message}");
}

/// The same number again and again.
#[derive(Debug)]
struct NotRandom;

impl SecureRandom for NotRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        out.fill(4);
        Ok(())
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: "test",
            detail: "four",
        }
    }
}

#[test]
fn the_self_test_names_what_failed() {
    let failing = |provider: CryptoProvider| match provider.self_test() {
        Err(ProviderFault::SelfTest {
            algorithm, detail, ..
        }) => (algorithm, detail),
        outcome => panic!("{outcome:?}"),
    };
    let expect = |provider, algorithm: &str, detail: &str| {
        let expected = (algorithm.to_string(), detail.to_string());
        assert_eq!(failing(provider), expected);
    };
    let good = provider();
    assert_eq!(good.self_test(), Ok(()));

    let mut bad = provider();
    bad.random = Arc::new(NotRandom);
    expect(bad, "randomness", "two draws are the same");

    let mut bad = provider();
    for suite in &mut bad.suites {
        if suite.id == CipherSuite::TLS_AES_256_GCM_SHA384 {
            suite.aead = Arc::new(Faulty(suite.aead.clone(), Fault::IgnoresTheSequence));
        }
    }
    expect(
        bad,
        "TLS_AES_256_GCM_SHA384",
        "sealed to a wrong ciphertext",
    );

    let mut bad = provider();
    for functions in &mut bad.hashes {
        functions.hash = Arc::new(FaultyHash(functions.hash.clone()));
    }
    expect(bad, "SHA256", "wrong digest in pieces");

    let mut bad = provider();
    for group in &mut bad.groups {
        if group.id() == NamedGroup::X25519 {
            *group = Arc::new(TakesZero(group.clone()));
        }
    }
    expect(bad, "X25519", "responds to a bad share");

    // What verifies with one hash does not with another.
    let mut bad = provider();
    let p256 = |entry: &&crypto_api::Verification| {
        entry.algorithm.public_key_alg_id() == rustls_pki_types::alg_id::ECDSA_P256
            && entry.algorithm.signature_alg_id() == rustls_pki_types::alg_id::ECDSA_SHA256
    };
    let p256 = *good.verification.iter().find(p256).unwrap();
    bad.verification = vec![crypto_api::Verification {
        algorithm: Box::leak(Box::new(ClaimsSha384(p256.algorithm))),
        ..p256
    }];
    expect(
        bad,
        "ECDSA_SECP256R1_SHA256",
        "refuses a published signature",
    );
}

/// Verifies with SHA-256 under the name of SHA-384.
#[derive(Debug)]
struct ClaimsSha384(&'static dyn rustls_pki_types::SignatureVerificationAlgorithm);

impl rustls_pki_types::SignatureVerificationAlgorithm for ClaimsSha384 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), rustls_pki_types::InvalidSignature> {
        self.0.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> rustls_pki_types::AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> rustls_pki_types::AlgorithmIdentifier {
        rustls_pki_types::alg_id::ECDSA_SHA384
    }
}

#[test]
fn two_providers_are_compared() {
    let good = provider();
    let compared = conformance::agree(&good, &provider());
    for name in [
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        "SHA384",
        "X25519MLKEM768",
        "SECP384R1",
        "ED25519",
        "RSA_PSS_RSAE_SHA256",
    ] {
        assert!(compared.iter().any(|other| other == name), "{name}");
    }
    let mut bad = provider();
    bad.suites[0].aead = Arc::new(Faulty(
        bad.suites[0].aead.clone(),
        Fault::IgnoresAdditionalData,
    ));
    let message = found(std::panic::AssertUnwindSafe(|| {
        conformance::agree(&good, &bad);
    }));
    assert!(message.contains("to different records"), "{message}");
}
