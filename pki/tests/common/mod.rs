//! Authorities and certificates for the tests, made anew in each run.

#![allow(dead_code)] // Each test file uses its part.

use std::sync::Arc;
use std::time::Duration;

use crypto_api::Op;
use pki::{PathValidator, TrustAnchors};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use tls_core::verify::{ClientVerifier, ServerVerifier, VerifiedPeer};
use tls_core::{CertificateError, CertificateProblem, Error};

/// 2026-06-01T00:00:00Z, when all of the tests take place.
pub(crate) const NOW: u64 = 1_780_272_000;

pub(crate) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

/// An authority that issues certificates.
pub(crate) struct Authority {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        Self {
            der: params.self_signed(&key).unwrap().der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn below(&self, name: &str) -> Self {
        self.below_with(authority(name))
    }

    pub(crate) fn below_with(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self {
            der: self.issue(&params, &key),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn issue(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> CertificateDer<'static> {
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }

    /// A certificate for a key that nobody needs.
    pub(crate) fn leaf(&self, params: &CertificateParams) -> CertificateDer<'static> {
        self.issue(params, &KeyPair::generate().unwrap())
    }

    /// A revocation list of these serial numbers, to be replaced in `next_year`.
    pub(crate) fn crl(
        &self,
        serials: &[u64],
        next_year: i32,
    ) -> CertificateRevocationListDer<'static> {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(next_year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: date_time_ymd(2025, 6, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().der().clone()
    }
}

fn named(params: &mut CertificateParams, name: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
}

/// An authority's certificate, valid in 2026.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    named(&mut params, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// An end entity's certificate for these names, valid in 2026, with serial number 0x0539.
pub(crate) fn end_entity(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    named(&mut params, "the leaf");
    params.serial_number = Some(SerialNumber::from(1337));
    params
}

pub(crate) fn validator(roots: &[&Authority]) -> PathValidator {
    let mut anchors = TrustAnchors::new();
    for root in roots {
        anchors.add(&root.der).unwrap();
    }
    PathValidator::new(anchors, &backend_soft::provider()).unwrap()
}

pub(crate) fn verify_server(
    verifier: &dyn ServerVerifier,
    chain: &[CertificateDer<'static>],
    name: &str,
) -> Result<VerifiedPeer, Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    finished(verifier.verify_server(&Arc::from(chain), &name, now()))
}

pub(crate) fn verify_client(
    verifier: &dyn ClientVerifier,
    chain: &[CertificateDer<'static>],
) -> Result<VerifiedPeer, Error> {
    finished(verifier.verify_client(&Arc::from(chain), now()))
}

fn finished<T>(op: Op<T, Error>) -> Result<T, Error> {
    match op {
        Op::Ready(outcome) => outcome,
        Op::Pending(_) => panic!("nothing here has to wait"),
    }
}

/// Asserts that a chain was refused for `problem`, in words that contain all of `words`.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    outcome: Result<T, Error>,
    problem: CertificateProblem,
    words: &[&str],
) {
    let Error::Certificate(CertificateError {
        problem: found,
        detail,
    }) = outcome.expect_err("should be refused")
    else {
        panic!("not a certificate's error");
    };
    assert_eq!(found, problem, "{detail}");
    for word in words {
        assert!(detail.contains(word), "no {word:?} in: {detail}");
    }
    assert!(!detail.contains('\n'), "more than one line: {detail}");
}
