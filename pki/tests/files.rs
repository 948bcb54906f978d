//! Files: what is loaded, and the one line that each fault gets.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::*;
use crypto_api::{Error as Backend, SignatureScheme};
use pki::{
    Error, Origin, TrustAnchors, certified_key, load_certificates, load_certified_key, load_crls,
    load_private_key,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tls_core::ConfigError;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn pem(label: &str, content: &str) -> String {
    format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
}

/// A certificate and its key, in PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = end_entity(&["a.example"]).self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Asserts that an error is one line that begins with the file and contains `words`.
#[track_caller]
fn names<T>(outcome: Result<T, Error>, path: &Path, words: &[&str]) -> Error {
    let Err(error) = outcome else {
        panic!("should fail")
    };
    let text = error.to_string();
    assert!(text.starts_with(path.to_str().unwrap()), "{text}");
    assert!(!text.contains('\n'), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    error
}

#[test]
fn a_pair_loads_from_two_files_or_one() {
    let files = Files::new();
    let provider = backend_soft::provider();
    let (certificate, key) = pair();
    let cert_file = files.put("cert.pem", &certificate);
    let key_file = files.put("key.pem", &key);
    let both = files.put("both.pem", format!("a comment\n{key}{certificate}"));
    for (cert_file, key_file) in [(&cert_file, &key_file), (&both, &both)] {
        let certified = load_certified_key(cert_file, key_file, &provider).unwrap();
        assert_eq!(certified.chain().len(), 1);
        assert_eq!(
            certified.key().schemes(),
            [SignatureScheme::ECDSA_SECP256R1_SHA256]
        );
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let files = Files::new();
    let provider = backend_soft::provider();
    let cert_file = files.put("cert.pem", pair().0);
    let key_file = files.put("key.pem", pair().1);
    let error = names(
        load_certified_key(&cert_file, &key_file, &provider),
        &cert_file,
        &["key.pem", "private key does not belong to the certificate"],
    );
    assert!(matches!(error, Error::Pair { .. }), "{error:?}");
    assert_eq!(ConfigError::from(error), ConfigError::KeyMismatch);
}

#[test]
fn every_certificate_of_a_chain_must_parse() {
    let provider = backend_soft::provider();
    let (certificate, key) = pair();
    let key = pki::parse_private_key(key.as_bytes(), &provider).unwrap();
    let mut chain = pki::parse_certificates(certificate.as_bytes()).unwrap();
    assert!(certified_key(chain.clone(), Arc::clone(&key)).is_ok());
    assert_eq!(
        certified_key(vec![], Arc::clone(&key)).unwrap_err(),
        ConfigError::EmptyChain
    );
    chain.push(CertificateDer::from(vec![0x30, 0]));
    let error = certified_key(chain, key).unwrap_err().to_string();
    assert!(
        error.contains("(chain position 1) cannot be parsed"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let files = Files::new();
    let provider = backend_soft::provider();
    let nowhere = files.0.path().join("nowhere.pem");
    let words = ["cannot be read", "No such file"];
    let unreadable = |error| assert!(matches!(error, Error::Unreadable { .. }));
    unreadable(names(load_certificates(&nowhere), &nowhere, &words));
    unreadable(names(
        load_private_key(&nowhere, &provider),
        &nowhere,
        &words,
    ));
    unreadable(names(load_crls(&nowhere), &nowhere, &words));
    unreadable(names(
        TrustAnchors::from_pem_file(&nowhere),
        &nowhere,
        &words,
    ));
    unreadable(names(
        load_certificates(files.0.path()),
        files.0.path(),
        &["cannot be read"],
    ));
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let files = Files::new();
    let provider = backend_soft::provider();
    let (certificate, key) = pair();
    let cert_file = files.put("cert.pem", &certificate);
    let key_file = files.put("key.pem", &key);
    let nothing = |error| assert!(matches!(error, Error::NothingFound { .. }));

    nothing(names(
        load_private_key(&cert_file, &provider),
        &cert_file,
        &["no private key", "but CERTIFICATE"],
    ));
    for outcome in [
        load_certificates(&key_file).map(|_| ()),
        TrustAnchors::from_pem_file(&key_file).map(|_| ()),
    ] {
        let words = ["no PEM certificate", "but PRIVATE KEY"];
        nothing(names(outcome, &key_file, &words));
    }
    nothing(names(
        load_crls(&cert_file),
        &cert_file,
        &["no PEM revocation list", "but CERTIFICATE"],
    ));

    let foreign = files.put("ssh.pem", pem("OPENSSH PRIVATE KEY", "AAAA"));
    nothing(names(
        load_private_key(&foreign, &provider),
        &foreign,
        &["no private key", "OPENSSH PRIVATE KEY"],
    ));
    let text = files.put("text.pem", "hello\n");
    nothing(names(load_certificates(&text), &text, &["no PEM section"]));
    let empty = files.put("empty.pem", "");
    nothing(names(load_certificates(&empty), &empty, &["empty"]));
    let der = pki::parse_certificates(certificate.as_bytes()).unwrap();
    let der = files.put("cert.der", &der[0]);
    nothing(names(load_certificates(&der), &der, &["DER", "openssl"]));
}

#[test]
fn damage_is_named_and_no_key_quoted() {
    let files = Files::new();
    let provider = backend_soft::provider();
    let damaged = |error| assert!(matches!(error, Error::BadPem { .. }));
    let cut = files.put("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    damaged(names(
        load_certificates(&cut),
        &cut,
        &["damaged PEM", "end of section CERTIFICATE is missing"],
    ));
    let start = files.put("start.pem", "-----BEGIN CERTIFICATE---\nAAAA\n");
    damaged(names(load_certificates(&start), &start, &["damaged PEM"]));
    let key = files.put("key.pem", pem("PRIVATE KEY", "c2VjcmV0!"));
    let error = names(
        load_private_key(&key, &provider),
        &key,
        &["damaged PEM", "not base64"],
    );
    assert!(!format!("{error} {error:?}").contains("c2Vj"));
    damaged(error);

    let anchors = files.put(
        "anchors.pem",
        format!("{}{}", pair().0, pem("CERTIFICATE", "MAA=")),
    );
    let error = names(
        TrustAnchors::from_pem_file(&anchors),
        &anchors,
        &["certificate 2 cannot be used"],
    );
    assert!(matches!(error, Error::BadItem { position: 1, .. }));
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let files = Files::new();
    let provider = backend_soft::provider();
    let pkcs8 = files.put("pkcs8.pem", pem("ENCRYPTED PRIVATE KEY", "AAAA"));
    let traditional = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA";
    let traditional = files.put("rsa.pem", pem("RSA PRIVATE KEY", traditional));
    for path in [&pkcs8, &traditional] {
        let error = names(
            load_private_key(path, &provider),
            path,
            &["encrypted", "openssl pkcs8"],
        );
        let origin = Origin::from(path.as_path());
        assert_eq!(error, Error::EncryptedKey { origin });
    }

    let two = files.put("two.pem", format!("{}{}", pair().1, pair().1));
    let error = names(load_private_key(&two, &provider), &two, &["2 private keys"]);
    assert!(matches!(error, Error::SeveralKeys { count: 2, .. }));

    // A damaged key, and one of a kind that nobody knows.
    let bad = files.put("bad.pem", pem("PRIVATE KEY", "MAA="));
    let error = names(load_private_key(&bad, &provider), &bad, &["private key"]);
    assert!(matches!(error, Error::Key { .. }), "{error:?}");
    let mut keyless = backend_soft::provider();
    keyless.key_loaders.clear();
    let good = files.put("good.pem", pair().1);
    let error = names(load_private_key(&good, &keyless), &good, &["no backend"]);
    assert!(matches!(
        error,
        Error::Key {
            reason: Backend::Unsupported(_),
            ..
        }
    ));
}

#[test]
fn every_kind_of_certificate_finds_its_key() {
    let provider = backend_soft::provider();
    for algorithm in [&PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        let loaded = pki::parse_private_key(key.serialize_pem().as_bytes(), &provider).unwrap();
        assert_eq!(
            loaded.public_key().unwrap().as_ref(),
            key.subject_public_key_info()
        );
        assert!(certified_key(vec![certificate.der().clone()], loaded).is_ok());
    }
}

#[test]
fn revocation_lists_load() {
    let files = Files::new();
    let root = Authority::root("the root");
    let (first, second) = (root.crl(&[1], 2027), root.crl(&[2], 2028));
    let armour = |der: &[u8]| {
        let base64 = Command::new("base64")
            .arg(files.put("crl.der", der))
            .output()
            .unwrap();
        pem("X509 CRL", String::from_utf8(base64.stdout).unwrap().trim())
    };
    let both = format!("{}{}", armour(&first), armour(&second));
    let path = files.put("crls.pem", &both);
    assert_eq!(load_crls(&path).unwrap(), [first, second]);
    assert_eq!(pki::parse_crls(both.as_bytes()).unwrap().len(), 2);
}

/// Runs in a process of its own: see below.
#[test]
#[ignore = "started by the test of the system's store"]
fn child_of_system_store() {
    match TrustAnchors::system() {
        Ok(found) => println!("usable {} skipped {:?}", found.anchors.len(), found.skipped),
        Err(error) => println!("error {error}"),
    }
}

#[test]
fn the_systems_store_is_taken_from_the_environment() {
    let files = Files::new();
    let system = |file: &Path| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child_of_system_store",
                "--ignored",
                "--nocapture",
            ])
            .env_remove("SSL_CERT_DIR")
            .env("SSL_CERT_FILE", file)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let certificates = format!("{}{}{}", pair().0, pem("CERTIFICATE", "MAA="), pair().0);
    let text = system(&files.put("store.pem", certificates));
    assert!(text.contains("usable 2 skipped [BadItem"), "{text}");
    let text = system(&files.put("bad.pem", pem("CERTIFICATE", "MAA=")));
    assert!(
        text.contains("error system certificate store: no usable"),
        "{text}"
    );
    let text = system(&files.0.path().join("nowhere.pem"));
    assert!(
        text.contains("nowhere.pem") && text.contains("ca-certificates"),
        "{text}"
    );
}
