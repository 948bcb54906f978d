//! Throw-away certificates: an authority, and a server's or a client's certificate by it.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, date_time_ymd,
};
use rsa::pkcs8::EncodePrivateKey as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The names that a generated server certificate is for.
pub(crate) const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The kind of key in a certificate, and in that of the authority above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256,
    /// RSA with a modulus of 2,048 bits.
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 3] = [Self::EcdsaP256, Self::Rsa2048, Self::Ed25519];

    /// The name to show.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::Rsa2048 => "RSA-2048",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Server,
    Client,
}

/// A certificate with its private key, and the authority that vouches for it.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The authority's certificate: the peer's trust anchor.
    pub(crate) ca_der: CertificateDer<'static>,
    /// The same in PEM, for other programs.
    pub(crate) ca_pem: String,
    /// The chain to send: the end entity's certificate alone.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The same in PEM, for other programs.
    pub(crate) chain_pem: String,
    /// The end entity's private key (PKCS#8).
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            ca_der: self.ca_der.clone(),
            ca_pem: self.ca_pem.clone(),
            chain: self.chain.clone(),
            chain_pem: self.chain_pem.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// A server's identity for [`SERVER_NAMES`], valid for 30 days, under an authority of its
/// own.
///
/// # Errors
/// If the system gives no randomness.
pub(crate) fn generate(kind: KeyKind) -> Result<Identity> {
    issue(kind, Purpose::Server)
}

/// A client's identity, valid for 30 days, under an authority of its own.
///
/// # Errors
/// If the system gives no randomness.
pub(crate) fn generate_client(kind: KeyKind) -> Result<Identity> {
    issue(kind, Purpose::Client)
}

fn issue(kind: KeyKind, purpose: Purpose) -> Result<Identity> {
    let whose = match purpose {
        Purpose::Server => "server",
        Purpose::Client => "client",
    };
    let context = || format!("cannot generate an {} {whose} certificate", kind.name());

    let ca_key = key_pair(kind, Role::Authority).with_context(context)?;
    let mut ca = params(&format!("bench-server throw-away {whose} authority"))?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_cert = ca.self_signed(&ca_key).with_context(context)?;

    let key = key_pair(kind, Role::EndEntity).with_context(context)?;
    let mut leaf = params(&format!("bench-server throw-away {whose}"))?;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![match purpose {
        Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    if purpose == Purpose::Server {
        let names: Vec<String> = SERVER_NAMES.map(String::from).into();
        leaf.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    }
    let cert = leaf
        .signed_by(&key, &Issuer::from_params(&ca, &ca_key))
        .with_context(context)?;

    Ok(Identity {
        ca_der: ca_cert.der().clone(),
        ca_pem: ca_cert.pem(),
        chain: vec![cert.der().clone()],
        chain_pem: cert.pem(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    })
}

/// Parameters with a name, valid from an hour ago: clocks differ.
fn params(common_name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the system's clock is before 1970")?;
    let hour = Duration::from_secs(3600);
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(hour);
    params.not_after = params.not_before + 30 * 24 * hour;
    Ok(params)
}

#[derive(Clone, Copy)]
enum Role {
    Authority,
    EndEntity,
}

fn key_pair(kind: KeyKind, role: Role) -> Result<KeyPair> {
    Ok(match kind {
        KeyKind::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        KeyKind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519)?,
        KeyKind::Rsa2048 => {
            let der = PrivatePkcs8KeyDer::from(rsa_key(role)?);
            KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256)?
        }
    })
}

/// An RSA key (PKCS#8) per role and process: looking for its primes takes up to a second.
fn rsa_key(role: Role) -> Result<&'static [u8]> {
    static KEYS: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    let slot = match role {
        Role::Authority => &KEYS[0],
        Role::EndEntity => &KEYS[1],
    };
    if let Some(key) = slot.get() {
        return Ok(key);
    }
    let key = rsa::PrivateKey::new(&mut rand_core::UnwrapErr(getrandom::SysRng), 2048)?;
    let der = key.to_pkcs8_der()?.as_bytes().to_vec();
    Ok(slot.get_or_init(|| der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_key_that_the_certificate_names() {
        for kind in KeyKind::ALL {
            for identity in [generate(kind).unwrap(), generate_client(kind).unwrap()] {
                let PrivateKeyDer::Pkcs8(key) = &identity.key else {
                    panic!("not PKCS#8");
                };
                let pair = KeyPair::try_from(key).unwrap();
                let public = rcgen::PublicKeyData::subject_public_key_info(&pair);
                let leaf = &identity.chain[0];
                assert!(leaf.windows(public.len()).any(|part| part == public));
                assert!(identity.ca_pem.starts_with("-----BEGIN CERTIFICATE-----"));
                assert_ne!(identity.ca_der, *leaf);
            }
        }
    }

    #[test]
    fn the_search_for_rsa_keys_is_done_once() {
        let first = rsa_key(Role::EndEntity).unwrap();
        assert_eq!(rsa_key(Role::EndEntity).unwrap().as_ptr(), first.as_ptr());
        assert_ne!(rsa_key(Role::Authority).unwrap(), first);
    }
}
