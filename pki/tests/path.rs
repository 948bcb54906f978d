//! Path validation: what is accepted, and what a refusal says.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use crypto_api::{CryptoProvider, SignatureScheme};
use pki::dangerous::AcceptAny;
use pki::{PathValidator, TrustAnchors};
use rcgen::{
    BasicConstraints, DistinguishedName, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    NameConstraints, PKCS_ED25519, PublicKeyData, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
};
use tls_core::CertificateProblem as P;
use tls_core::verify::ClientVerifier;

const LEAF: &str = "certificate of CN=the leaf (end entity, serial 05:39)";

#[test]
fn a_chain_over_intermediates_is_accepted_in_any_order() {
    let root = Authority::root("the root");
    let upper = root.below("the upper");
    let lower = upper.below("the lower");
    let key = KeyPair::generate().unwrap();
    let leaf = lower.issue(&end_entity(&["a.example"]), &key);
    let validator = validator(&[&root]);
    // RFC 9846, section 4.4.2: the order beyond the first is not to be relied on.
    for chain in [
        vec![leaf.clone(), lower.der.clone(), upper.der.clone()],
        vec![leaf.clone(), upper.der.clone(), lower.der.clone()],
        vec![
            leaf.clone(),
            root.der.clone(),
            upper.der.clone(),
            lower.der.clone(),
        ],
    ] {
        let peer = verify_server(&validator, &chain, "a.example").unwrap();
        assert_eq!(peer.public_key.as_ref(), key.subject_public_key_info());
    }
}

#[test]
fn a_missing_intermediate_is_named() {
    let root = Authority::root("the root");
    let upper = root.below("the upper");
    let lower = upper.below("the lower");
    let leaf = lower.leaf(&end_entity(&["a.example"]));
    let validator = validator(&[&root]);
    refused(
        verify_server(&validator, std::slice::from_ref(&leaf), "a.example"),
        P::UnknownIssuer,
        &[LEAF, "issued by CN=the lower", "intermediate"],
    );
    refused(
        verify_server(&validator, &[leaf, lower.der.clone()], "a.example"),
        P::UnknownIssuer,
        &["CN=the lower (chain position 1", "issued by CN=the upper"],
    );
}

#[test]
fn an_unknown_root_is_named() {
    let (root, other) = (Authority::root("the root"), Authority::root("another"));
    let leaf = root.leaf(&end_entity(&["a.example"]));
    refused(
        verify_server(
            &validator(&[&other]),
            std::slice::from_ref(&leaf),
            "a.example",
        ),
        P::UnknownIssuer,
        &[LEAF, "issued by CN=the root"],
    );
    refused(
        verify_server(
            &validator(&[&other]),
            &[leaf, root.der.clone()],
            "a.example",
        ),
        P::UnknownIssuer,
        &[
            "CN=the root (chain position 1",
            "issued itself",
            "not a trust anchor",
        ],
    );
}

#[test]
fn dates_are_enforced_everywhere_and_shown() {
    let root = Authority::root("the root");
    let mut params = end_entity(&["a.example"]);
    params.not_after = date_time_ymd(2026, 5, 31);
    refused(
        verify_server(&validator(&[&root]), &[root.leaf(&params)], "a.example"),
        P::Expired,
        &[
            LEAF,
            "expired on 2026-05-31T00:00:00Z",
            "2026-06-01T00:00:00Z now",
        ],
    );
    let mut params = end_entity(&["a.example"]);
    params.not_before = date_time_ymd(2026, 6, 2);
    refused(
        verify_server(&validator(&[&root]), &[root.leaf(&params)], "a.example"),
        P::NotYetValid,
        &[
            LEAF,
            "valid from 2026-06-02T00:00:00Z",
            "2026-06-01T00:00:00Z now",
        ],
    );
    let mut params = authority("the old one");
    params.not_after = date_time_ymd(2026, 2, 1);
    let old = root.below_with(params);
    let chain = [old.leaf(&end_entity(&["a.example"])), old.der.clone()];
    refused(
        verify_server(&validator(&[&root]), &chain, "a.example"),
        P::Expired,
        &["CN=the old one (chain position 1", "2026-02-01T00:00:00Z"],
    );
}

#[test]
fn names_and_addresses_must_match() {
    let root = Authority::root("the root");
    let validator = validator(&[&root]);
    let names = ["a.example", "*.b.example", "192.0.2.7", "2001:db8::7"];
    let leaf = [root.leaf(&end_entity(&names))];
    for name in [
        "a.example",
        "A.EXAMPLE",
        "x.b.example",
        "192.0.2.7",
        "2001:db8::7",
    ] {
        assert!(verify_server(&validator, &leaf, name).is_ok(), "{name}");
    }
    for name in [
        "b.example",
        "x.y.b.example",
        "x.a.example",
        "192.0.2.8",
        "2001:db8::8",
    ] {
        let outcome = verify_server(&validator, &leaf, name);
        let words = [
            LEAF,
            name,
            "but for a.example, *.b.example, 192.0.2.7, 2001:db8::7",
        ];
        refused(outcome, P::WrongName, &words);
    }
    // The subject is no name of a host (RFC 9525, section 2).
    refused(
        verify_server(&validator, &[root.leaf(&end_entity(&[]))], "a.example"),
        P::WrongName,
        &[LEAF, "a.example", "subjectAltName"],
    );
}

#[test]
fn purposes_are_kept_apart() {
    let root = Authority::root("the root");
    let validator = validator(&[&root]);
    let mut params = end_entity(&["a.example"]);
    let any = [root.leaf(&params)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server = [root.leaf(&params)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = [root.leaf(&params)];

    assert!(verify_server(&validator, &any, "a.example").is_ok());
    assert!(verify_client(&validator, &any).is_ok());
    assert!(verify_server(&validator, &server, "a.example").is_ok());
    assert!(verify_client(&validator, &client).is_ok());
    refused(
        verify_server(&validator, &client, "a.example"),
        P::WrongPurpose,
        &[LEAF, "not for servers", "lists clientAuth"],
    );
    refused(
        verify_client(&validator, &server),
        P::WrongPurpose,
        &[LEAF, "not for clients", "lists serverAuth"],
    );
}

#[test]
fn authorities_and_end_entities_are_kept_apart() {
    let root = Authority::root("the root");
    let mut params = end_entity(&["a.example"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    refused(
        verify_server(&validator(&[&root]), &[root.leaf(&params)], "a.example"),
        P::WrongPurpose,
        &[LEAF, "CA:TRUE"],
    );
    let mut params = authority("no authority");
    params.is_ca = IsCa::ExplicitNoCa;
    let imposter = root.below_with(params);
    let chain = [
        imposter.leaf(&end_entity(&["a.example"])),
        imposter.der.clone(),
    ];
    refused(
        verify_server(&validator(&[&root]), &chain, "a.example"),
        P::WrongPurpose,
        &["CN=no authority (chain position 1", "CA:TRUE is missing"],
    );
}

#[test]
fn constraints_of_authorities_hold() {
    let root = Authority::root("the root");
    let mut params = authority("the narrow one");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("b.example".into())],
        excluded_subtrees: vec![],
    });
    let narrow = root.below_with(params);
    let chain = [narrow.leaf(&end_entity(&["a.example"])), narrow.der.clone()];
    refused(
        verify_server(&validator(&[&root]), &chain, "a.example"),
        P::Other,
        &[LEAF, "name constraints"],
    );
    let chain = [
        narrow.leaf(&end_entity(&["x.b.example"])),
        narrow.der.clone(),
    ];
    assert!(verify_server(&validator(&[&root]), &chain, "x.b.example").is_ok());

    let mut params = authority("the last one");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let last = root.below_with(params);
    let beyond = last.below("beyond");
    let leaf = beyond.leaf(&end_entity(&["a.example"]));
    refused(
        verify_server(
            &validator(&[&root]),
            &[leaf, beyond.der.clone(), last.der.clone()],
            "a.example",
        ),
        P::Other,
        &["CN=the last one (chain position 2", "path length"],
    );
}

#[test]
fn a_self_signed_certificate_can_be_an_anchor() {
    let key = KeyPair::generate().unwrap();
    let own = end_entity(&["a.example"])
        .self_signed(&key)
        .unwrap()
        .der()
        .clone();
    let anchors = TrustAnchors::from_certificates(std::slice::from_ref(&own)).unwrap();
    let trusting = PathValidator::new(anchors, &backend_soft::provider()).unwrap();
    assert!(verify_server(&trusting, std::slice::from_ref(&own), "a.example").is_ok());
    refused(
        verify_server(
            &validator(&[&Authority::root("the root")]),
            &[own],
            "a.example",
        ),
        P::UnknownIssuer,
        &[LEAF, "issued itself", "not a trust anchor"],
    );
}

#[test]
fn a_broken_signature_is_found_where_it_is() {
    let root = Authority::root("the root");
    let middle = root.below("the middle");
    let leaf = middle.leaf(&end_entity(&["a.example"]));
    let spoil = |der: &CertificateDer<'_>| {
        let mut der = der.to_vec();
        // The last byte is the signature's.
        *der.last_mut().unwrap() ^= 1;
        CertificateDer::from(der)
    };
    refused(
        verify_server(
            &validator(&[&root]),
            &[spoil(&leaf), middle.der.clone()],
            "a.example",
        ),
        P::BadSignature,
        &[LEAF, "the key of CN=the middle"],
    );
    refused(
        verify_server(
            &validator(&[&root]),
            &[leaf.clone(), spoil(&middle.der)],
            "a.example",
        ),
        P::BadSignature,
        &["CN=the middle (chain position 1", "the key of CN=the root"],
    );
    // Another authority that took the same name.
    let forged = Authority::root("the root");
    refused(
        verify_server(
            &validator(&[&forged]),
            &[leaf, middle.der.clone()],
            "a.example",
        ),
        P::BadSignature,
        &[
            "CN=the middle (chain position 1",
            "another authority of that name",
        ],
    );
}

#[test]
fn only_the_providers_algorithms_verify() {
    let mut provider: CryptoProvider = backend_soft::provider();
    provider
        .verification
        .retain(|entry| entry.scheme == Some(SignatureScheme::ED25519));
    let root = Authority::root("the root");
    let anchors = TrustAnchors::from_certificates(std::slice::from_ref(&root.der)).unwrap();
    let ed25519_only = PathValidator::new(anchors, &provider).unwrap();
    refused(
        verify_server(
            &ed25519_only,
            &[root.leaf(&end_entity(&["a.example"]))],
            "a.example",
        ),
        P::Unsupported,
        &[LEAF, "ecdsa-with-SHA256", "no backend"],
    );
    // The end entity's own key is the handshake's business, not the path's.
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let leaf = root.issue(&end_entity(&["a.example"]), &key);
    assert!(verify_server(&validator(&[&root]), &[leaf], "a.example").is_ok());
}

#[test]
fn garbage_is_refused_wherever_it_is() {
    let root = Authority::root("the root");
    let middle = root.below("the middle");
    let leaf = middle.leaf(&end_entity(&["a.example"]));
    let validator = validator(&[&root]);
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    refused(
        verify_server(&validator, std::slice::from_ref(&garbage), "a.example"),
        P::BadEncoding,
        &["certificate (end entity)"],
    );
    refused(
        verify_server(&validator, &[leaf.clone(), garbage.clone()], "a.example"),
        P::BadEncoding,
        &["certificate (chain position 1)"],
    );
    // It does not matter beside a good path.
    let chain = [leaf.clone(), garbage, middle.der.clone()];
    assert!(verify_server(&validator, &chain, "a.example").is_ok());
    refused(verify_server(&validator, &[], "a.example"), P::Missing, &[]);
    refused(verify_client(&validator, &[]), P::Missing, &[]);

    // Every cut and every spoilt byte: refused, and no panic on the way to the words.
    for cut in 0..leaf.len() {
        let chain = [
            CertificateDer::from(leaf[..cut].to_vec()),
            middle.der.clone(),
        ];
        refused(
            verify_server(&validator, &chain, "a.example"),
            P::BadEncoding,
            &[],
        );
    }
    for at in 0..leaf.len() {
        let mut spoilt = leaf.to_vec();
        spoilt[at] ^= 0x10;
        let chain = [CertificateDer::from(spoilt), middle.der.clone()];
        assert!(
            verify_server(&validator, &chain, "a.example").is_err(),
            "byte {at}"
        );
    }
}

#[test]
fn hostile_names_do_not_get_into_logs() {
    let root = Authority::root("the root");
    let mut params = end_entity(&["a.example"]);
    params.distinguished_name = DistinguishedName::new();
    let name = format!("x\n2026 root logged in\u{202e}{}", "y".repeat(4000));
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let outcome = verify_server(&validator(&[&root]), &[root.leaf(&params)], "b.example");
    let text = outcome.as_ref().unwrap_err().to_string();
    assert!(text.len() < 500 && !text.contains('\u{202e}'), "{text}");
    refused(outcome, P::WrongName, &["CN=x"]);

    params.distinguished_name = DistinguishedName::new();
    refused(
        verify_server(&validator(&[&root]), &[root.leaf(&params)], "b.example"),
        P::WrongName,
        &["certificate of a.example (end entity"],
    );
}

#[test]
fn huge_serial_numbers_do_not_fill_logs() {
    let root = Authority::root("the root");
    let mut params = end_entity(&["a.example"]);
    params.serial_number = Some(SerialNumber::from(vec![0x5a; 4000]));
    let outcome = verify_server(&validator(&[&root]), &[root.leaf(&params)], "b.example");
    let text = outcome.as_ref().unwrap_err().to_string();
    assert!(text.len() < 500, "{text}");
    refused(outcome, P::WrongName, &["serial 5a:5a:", "5a...)"]);
}

/// Counts how often it is asked.
#[derive(Debug)]
struct Counting {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    count: &'static AtomicUsize,
}

impl SignatureVerificationAlgorithm for Counting {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.algorithm
            .verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// Trusts `root`; with the number of signatures that were verified.
fn counting(root: &Authority) -> (PathValidator, &'static AtomicUsize) {
    let count: &AtomicUsize = Box::leak(Box::default());
    let mut provider = backend_soft::provider();
    for entry in &mut provider.verification {
        let algorithm = entry.algorithm;
        entry.algorithm = Box::leak(Box::new(Counting { algorithm, count }));
    }
    let anchors = TrustAnchors::from_certificates(std::slice::from_ref(&root.der)).unwrap();
    (PathValidator::new(anchors, &provider).unwrap(), count)
}

/// Nobody has vouched for whoever sends a bad chain: to say what is wrong with it must not
/// cost much.
#[test]
fn to_explain_a_refusal_takes_few_signatures() {
    let root = Authority::root("the root");
    let (validator, count) = counting(&root);
    // Made from the top down, by so many authorities with names from `name`.
    let chain = |count: usize, name: fn(usize) -> String| {
        let mut authorities = vec![Authority::root(&name(count))];
        for number in (1..count).rev() {
            let above = authorities.last().unwrap();
            authorities.push(above.below(&name(number)));
        }
        let lowest = authorities.last().unwrap();
        let leaf = lowest.leaf(&end_entity(&["a.example"]));
        let above = authorities.iter().rev().map(|one| one.der.clone());
        [leaf].into_iter().chain(above).collect::<Vec<_>>()
    };

    // All links hold, and the chain ends nowhere: each is looked at once.
    let deep = chain(6, |number| format!("number {number}"));
    let outcome = verify_server(&validator, &deep, "a.example");
    refused(
        outcome,
        P::UnknownIssuer,
        &["CN=number 6 (chain position 6"],
    );
    assert_eq!(count.swap(0, Ordering::Relaxed), 6);

    // Deeper than any path may be.
    let deeper = chain(20, |number| format!("number {number}"));
    let outcome = verify_server(&validator, &deeper, "a.example");
    refused(outcome, P::Other, &["too much work"]);
    assert_eq!(count.swap(0, Ordering::Relaxed), 7);

    // All have one name: each could be the issuer of each.
    let tangled = chain(12, |_| "the same".into());
    let outcome = verify_server(&validator, &tangled, "a.example");
    refused(outcome, P::Other, &[LEAF, "too much work"]);
    assert_eq!(count.swap(0, Ordering::Relaxed), 8);

    // What is accepted takes what it takes.
    let upper = root.below("the upper");
    let lower = upper.below("the lower");
    let leaf = lower.leaf(&end_entity(&["a.example"]));
    let chain = [leaf, lower.der.clone(), upper.der.clone()];
    assert!(verify_server(&validator, &chain, "a.example").is_ok());
    assert_eq!(count.swap(0, Ordering::Relaxed), 3);
}

#[test]
fn authorities_are_the_anchors_names() {
    let (a, b) = (Authority::root("a"), Authority::root("b"));
    let validator = validator(&[&a, &b]);
    let names = validator.authorities();
    assert_eq!(names.len(), 2);
    // Name ::= SEQUENCE { SET { SEQUENCE { commonName, UTF8String "a" } } }
    let name = [0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, b'a'];
    assert_eq!(names[0].as_ref(), name);
    assert!(validator.without_authorities().authorities().is_empty());
}

#[test]
fn nobody_to_trust_is_an_error_at_once() {
    let error = PathValidator::new(TrustAnchors::new(), &backend_soft::provider()).unwrap_err();
    assert_eq!(error, pki::Error::NoAnchors);
    let mut provider = backend_soft::provider();
    provider.verification.clear();
    let root = Authority::root("the root");
    let anchors = TrustAnchors::from_certificates(&[root.der]).unwrap();
    let error = PathValidator::new(anchors, &provider).unwrap_err();
    assert_eq!(error, pki::Error::NoVerification);
}

#[test]
fn the_dangerous_one_accepts_any_certificate_but_no_garbage() {
    let key = KeyPair::generate().unwrap();
    let mut params = end_entity(&["a.example"]);
    params.not_after = date_time_ymd(2026, 2, 1);
    let chain = [params.self_signed(&key).unwrap().der().clone()];
    let any = AcceptAny::dangerous_without_authentication();
    for peer in [
        verify_server(&any, &chain, "b.example").unwrap(),
        verify_client(&any, &chain).unwrap(),
    ] {
        assert_eq!(peer.public_key.as_ref(), key.subject_public_key_info());
    }
    let garbage = [CertificateDer::from(vec![0x30])];
    refused(
        verify_server(&any, &garbage, "b.example"),
        P::BadEncoding,
        &["certificate (end entity)"],
    );
    refused(verify_client(&any, &[]), P::Missing, &[]);
}
