//! Where libcrypto is configured not to hand out an algorithm, the provider does not have it.

use std::process::Command;

use crypto_api::{NamedGroup, SignatureScheme};

/// Only approved implementations, of which none is loaded.
const CONFIGURATION: &str = "openssl_conf = init
[init]
alg_section = algorithms
[algorithms]
default_properties = fips=yes
";

/// Set for the process in which libcrypto reads that configuration: it does so once.
const INSIDE: &str = "BACKEND_OPENSSL_TEST_ABSENT";

#[test]
fn what_libcrypto_lacks_is_absent() {
    if std::env::var_os(INSIDE).is_some() {
        let provider = backend_openssl::provider();
        assert!(provider.suites.is_empty());
        let hidden = [NamedGroup::X25519, NamedGroup::X25519MLKEM768];
        assert!(hidden.iter().all(|id| provider.group(*id).is_none()));
        let verifies = |scheme| provider.verification.iter().any(|v| v.scheme == scheme);
        assert!(!verifies(Some(SignatureScheme::ED25519)));
        // These need no provider of libcrypto's.
        assert!(provider.group(NamedGroup::SECP256R1).is_some());
        assert!(verifies(Some(SignatureScheme::ECDSA_SECP256R1_SHA256)));
        return;
    }
    let path = std::env::temp_dir().join(format!("keyway-absent-{}.cnf", std::process::id()));
    std::fs::write(&path, CONFIGURATION).unwrap();
    let outcome = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_libcrypto_lacks_is_absent"])
        .env("OPENSSL_CONF", &path)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    let failed = String::from_utf8_lossy(&outcome.stderr);
    let passed = outcome.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{failed}");
}
