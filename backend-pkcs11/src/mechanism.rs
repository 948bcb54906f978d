//! Which mechanism of a token makes which signature of TLS.

use crypto_api::{SecureRandom, SignatureScheme};
use cryptoki_sys as sys;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sys::{CK_MECHANISM_TYPE, CK_ULONG};

use crate::code::{Code, Failure};
use crate::der;
use crate::error::Reason;
use crate::low::Mechanism;
use crate::object::Kind;
use crate::pss;

/// A hash function, computed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The hash of `parts`, one behind the other.
    pub(crate) fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        fn over<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut context = D::new();
            parts.iter().for_each(|part| context.update(part));
            context.finalize().to_vec()
        }
        match self {
            Self::Sha256 => over::<Sha256>(parts),
            Self::Sha384 => over::<Sha384>(parts),
            Self::Sha512 => over::<Sha512>(parts),
        }
    }

    /// The hash's own mechanism and its MGF1: what a PSS parameter holds.
    fn parameter(self) -> (CK_MECHANISM_TYPE, sys::CK_RSA_PKCS_MGF_TYPE) {
        match self {
            Self::Sha256 => (sys::CKM_SHA256, sys::CKG_MGF1_SHA256),
            Self::Sha384 => (sys::CKM_SHA384, sys::CKG_MGF1_SHA384),
            Self::Sha512 => (sys::CKM_SHA512, sys::CKG_MGF1_SHA512),
        }
    }

    /// What stands before the digest in a DigestInfo (RFC 8017, section 9.2, note 1).
    fn digest_info(self) -> [u8; 19] {
        let (whole, last, len) = match self {
            Self::Sha256 => (0x31, 1, 0x20),
            Self::Sha384 => (0x41, 2, 0x30),
            Self::Sha512 => (0x51, 3, 0x40),
        };
        [
            0x30, whole, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 5, 0, 4, len,
        ]
    }
}

/// What a mechanism is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Message,
    Digest(Hash),
    /// The digest with its algorithm, for PKCS#1 v1.5.
    DigestInfo(Hash),
    /// The digest padded by EMSA-PSS for a modulus of so many bits.
    PssEncoded(Hash, usize),
}

/// What a mechanism gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// The signature as TLS carries it.
    Signature,
    /// r and s of ECDSA, one behind the other.
    Halves,
}

/// A way to make signatures of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) mechanism: Mechanism,
    /// For messages.
    pub(crate) name: &'static str,
    input: Input,
    output: Output,
}

impl Plan {
    /// What the mechanism gets for `message`.
    pub(crate) fn input(
        &self,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, Reason> {
        Ok(match self.input {
            Input::Message => message.to_vec(),
            Input::Digest(hash) => hash.of(&[message]),
            Input::DigestInfo(hash) => [&hash.digest_info()[..], &hash.of(&[message])].concat(),
            Input::PssEncoded(hash, bits) => {
                let mut salt = vec![0; hash.len()];
                random
                    .fill(&mut salt)
                    .map_err(|_| Reason::Setting("the provider's randomness failed"))?;
                pss::encode(hash, &hash.of(&[message]), &salt, bits).ok_or(Reason::Call(
                    Failure {
                        function: "EMSA-PSS",
                        code: Code::new(sys::CKR_KEY_SIZE_RANGE),
                    },
                ))?
            }
        })
    }

    /// The signature as TLS carries it, of what the mechanism gave.
    pub(crate) fn output(&self, raw: &[u8]) -> Result<Vec<u8>, Reason> {
        match self.output {
            Output::Signature => Ok(raw.to_vec()),
            Output::Halves => der::ecdsa_signature(raw).ok_or(Reason::WrongSignature),
        }
    }
}

/// The schemes for a kind of key, the preferred one first, each with the ways to make it,
/// the preferred one first: over a digest, so that little goes to the token; then with the
/// token hashing; then with the padding done here.
pub(crate) fn schemes(kind: Kind) -> Vec<(SignatureScheme, Vec<Plan>)> {
    let message = |name, mechanism| Plan {
        mechanism: Mechanism::Plain(mechanism),
        name,
        input: Input::Message,
        output: Output::Signature,
    };
    let ecdsa = |scheme, hash, name, combined| {
        let raw = Plan {
            mechanism: Mechanism::Plain(sys::CKM_ECDSA),
            name: "CKM_ECDSA",
            input: Input::Digest(hash),
            output: Output::Halves,
        };
        let combined = Plan {
            output: Output::Halves,
            ..message(name, combined)
        };
        vec![(scheme, vec![raw, combined])]
    };
    match kind {
        Kind::Rsa(bits) => rsa(bits),
        Kind::P256 => ecdsa(
            SignatureScheme::ECDSA_SECP256R1_SHA256,
            Hash::Sha256,
            "CKM_ECDSA_SHA256",
            sys::CKM_ECDSA_SHA256,
        ),
        Kind::P384 => ecdsa(
            SignatureScheme::ECDSA_SECP384R1_SHA384,
            Hash::Sha384,
            "CKM_ECDSA_SHA384",
            sys::CKM_ECDSA_SHA384,
        ),
        Kind::P521 => ecdsa(
            SignatureScheme::ECDSA_SECP521R1_SHA512,
            Hash::Sha512,
            "CKM_ECDSA_SHA512",
            sys::CKM_ECDSA_SHA512,
        ),
        Kind::Ed25519 => {
            let plain = message("CKM_EDDSA", sys::CKM_EDDSA);
            vec![(SignatureScheme::ED25519, vec![plain])]
        }
        Kind::Ed448 => {
            let plain = message("CKM_EDDSA", sys::CKM_EDDSA);
            // PKCS#11 3.1, section 6.3.16 wants parameters for Ed448; some tokens refuse them.
            let with_parameters = Plan {
                mechanism: Mechanism::EddsaWithParameters,
                name: "CKM_EDDSA with parameters",
                ..plain
            };
            vec![(SignatureScheme::ED448, vec![with_parameters, plain])]
        }
        Kind::MlDsa44 => {
            let plain = message("CKM_ML_DSA", sys::CKM_ML_DSA);
            vec![(SignatureScheme::MLDSA44, vec![plain])]
        }
        Kind::MlDsa65 => {
            let plain = message("CKM_ML_DSA", sys::CKM_ML_DSA);
            vec![(SignatureScheme::MLDSA65, vec![plain])]
        }
        Kind::MlDsa87 => {
            let plain = message("CKM_ML_DSA", sys::CKM_ML_DSA);
            vec![(SignatureScheme::MLDSA87, vec![plain])]
        }
    }
}

fn rsa(bits: usize) -> Vec<(SignatureScheme, Vec<Plan>)> {
    let pss = |hash: Hash, name, combined| {
        let (own, mgf) = hash.parameter();
        let parameters = |mechanism| Mechanism::Pss {
            mechanism,
            hash: own,
            mgf,
            salt_len: hash.len() as CK_ULONG,
        };
        let plan = |mechanism, name, input| Plan {
            mechanism,
            name,
            input,
            output: Output::Signature,
        };
        vec![
            plan(
                parameters(sys::CKM_RSA_PKCS_PSS),
                "CKM_RSA_PKCS_PSS",
                Input::Digest(hash),
            ),
            plan(parameters(combined), name, Input::Message),
            plan(
                Mechanism::Plain(sys::CKM_RSA_X_509),
                "CKM_RSA_X_509",
                Input::PssEncoded(hash, bits),
            ),
        ]
    };
    let pkcs1 = |hash: Hash, name, combined| {
        let plan = |mechanism, name, input| Plan {
            mechanism: Mechanism::Plain(mechanism),
            name,
            input,
            output: Output::Signature,
        };
        vec![
            plan(sys::CKM_RSA_PKCS, "CKM_RSA_PKCS", Input::DigestInfo(hash)),
            plan(combined, name, Input::Message),
        ]
    };
    vec![
        (
            SignatureScheme::RSA_PSS_RSAE_SHA256,
            pss(
                Hash::Sha256,
                "CKM_SHA256_RSA_PKCS_PSS",
                sys::CKM_SHA256_RSA_PKCS_PSS,
            ),
        ),
        (
            SignatureScheme::RSA_PSS_RSAE_SHA384,
            pss(
                Hash::Sha384,
                "CKM_SHA384_RSA_PKCS_PSS",
                sys::CKM_SHA384_RSA_PKCS_PSS,
            ),
        ),
        (
            SignatureScheme::RSA_PSS_RSAE_SHA512,
            pss(
                Hash::Sha512,
                "CKM_SHA512_RSA_PKCS_PSS",
                sys::CKM_SHA512_RSA_PKCS_PSS,
            ),
        ),
        // For TLS 1.2 alone (RFC 5246, section 7.4.1.4.1).
        (
            SignatureScheme::RSA_PKCS1_SHA256,
            pkcs1(
                Hash::Sha256,
                "CKM_SHA256_RSA_PKCS",
                sys::CKM_SHA256_RSA_PKCS,
            ),
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA384,
            pkcs1(
                Hash::Sha384,
                "CKM_SHA384_RSA_PKCS",
                sys::CKM_SHA384_RSA_PKCS,
            ),
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA512,
            pkcs1(
                Hash::Sha512,
                "CKM_SHA512_RSA_PKCS",
                sys::CKM_SHA512_RSA_PKCS,
            ),
        ),
    ]
}
