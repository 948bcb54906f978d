//! Revocation lists: what they revoke, and what happens where they say nothing.

mod common;

use common::*;
use pki::{
    Error, ExpirationPolicy, PathValidator, RevocationCheckDepth, RevocationPolicy,
    UnknownStatusPolicy,
};
use rcgen::SerialNumber;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use tls_core::CertificateProblem as P;

struct World {
    root: Authority,
    middle: Authority,
    chain: [CertificateDer<'static>; 2],
}

/// A leaf with serial number 1337 below an authority with serial number 7.
fn world() -> World {
    let root = Authority::root("the root");
    let mut params = authority("the middle");
    params.serial_number = Some(SerialNumber::from(7));
    let middle = root.below_with(params);
    let leaf = middle.leaf(&end_entity(&["a.example"]));
    let chain = [leaf, middle.der.clone()];
    World {
        root,
        middle,
        chain,
    }
}

fn checking(
    world: &World,
    crls: &[CertificateRevocationListDer<'_>],
    policy: RevocationPolicy,
) -> PathValidator {
    let validator = validator(&[&world.root]);
    validator.with_revocation(crls, policy).unwrap()
}

#[test]
fn the_revoked_certificate_is_named() {
    let world = world();
    let lists = |root: &[u64], middle: &[u64]| {
        let crls = [world.root.crl(root, 2027), world.middle.crl(middle, 2027)];
        checking(&world, &crls, RevocationPolicy::default())
    };
    // Serial numbers count only in the list of their issuer.
    let good = lists(&[1337], &[7]);
    assert!(verify_server(&good, &world.chain, "a.example").is_ok());
    assert!(verify_client(&good, &world.chain).is_ok());

    let leaf = lists(&[], &[7, 1337]);
    let words = [
        "CN=the leaf (end entity, serial 05:39)",
        "revoked by CN=the middle",
    ];
    refused(
        verify_server(&leaf, &world.chain, "a.example"),
        P::Revoked,
        &words,
    );
    refused(verify_client(&leaf, &world.chain), P::Revoked, &words);

    refused(
        verify_server(&lists(&[7], &[]), &world.chain, "a.example"),
        P::Revoked,
        &[
            "CN=the middle (chain position 1, serial 07)",
            "revoked by CN=the root",
        ],
    );
}

#[test]
fn unknown_status_is_refused_unless_allowed() {
    let world = world();
    let of_root = [world.root.crl(&[], 2027)];
    let of_middle = [world.middle.crl(&[], 2027)];
    let strict = RevocationPolicy::default();
    refused(
        verify_server(
            &checking(&world, &of_root, strict),
            &world.chain,
            "a.example",
        ),
        P::RevocationUnknown,
        &[
            "CN=the leaf (end entity",
            "no revocation list of CN=the middle",
        ],
    );
    refused(
        verify_server(
            &checking(&world, &of_middle, strict),
            &world.chain,
            "a.example",
        ),
        P::RevocationUnknown,
        &["CN=the middle (chain position 1", "list of CN=the root"],
    );
    let allowing = RevocationPolicy {
        unknown_status: UnknownStatusPolicy::Allow,
        ..strict
    };
    let validator = checking(&world, &of_root, allowing);
    assert!(verify_server(&validator, &world.chain, "a.example").is_ok());
    let end_entity_only = RevocationPolicy {
        depth: RevocationCheckDepth::EndEntity,
        ..strict
    };
    let validator = checking(&world, &of_middle, end_entity_only);
    assert!(verify_server(&validator, &world.chain, "a.example").is_ok());
}

#[test]
fn an_old_list_is_refused_unless_allowed() {
    let world = world();
    let crls = [world.root.crl(&[], 2027), world.middle.crl(&[], 2026)];
    let strict = RevocationPolicy::default();
    refused(
        verify_server(&checking(&world, &crls, strict), &world.chain, "a.example"),
        P::RevocationUnknown,
        &[
            "CN=the leaf (end entity",
            "list of CN=the middle",
            "replaced by 2026-01-01T00:00:00Z",
        ],
    );
    let ignoring = RevocationPolicy {
        expired_list: ExpirationPolicy::Ignore,
        ..strict
    };
    let validator = checking(&world, &crls, ignoring);
    assert!(verify_server(&validator, &world.chain, "a.example").is_ok());
}

#[test]
fn a_forged_list_proves_nothing() {
    let world = world();
    let forger = world.root.below("the middle");
    let crls = [world.root.crl(&[], 2027), forger.crl(&[], 2027)];
    refused(
        verify_server(
            &checking(&world, &crls, RevocationPolicy::default()),
            &world.chain,
            "a.example",
        ),
        P::RevocationUnknown,
        &[
            "CN=the leaf (end entity",
            "list of CN=the middle",
            "signature does not verify",
        ],
    );
}

#[test]
fn lists_must_be_there_and_well_formed() {
    let world = world();
    let validator = || validator(&[&world.root]);
    let policy = RevocationPolicy::default();
    let error = validator().with_revocation(&[], policy).unwrap_err();
    assert!(matches!(error, Error::NothingFound { .. }), "{error}");
    let crls = [
        world.root.crl(&[], 2027),
        CertificateRevocationListDer::from(vec![0x30, 0]),
    ];
    let error = validator().with_revocation(&crls, policy).unwrap_err();
    assert!(
        matches!(error, Error::BadItem { position: 1, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("revocation list 2 cannot"),
        "{error}"
    );
}
