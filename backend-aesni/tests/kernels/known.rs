//! Known answers, Wycheproof's vectors, and the promises of the traits.

use crypto_api::{CryptoProvider, conformance, wycheproof};

#[test]
fn published_answers() {
    for suite in backend_aesni::kernels_unchecked() {
        let by = suite.aead.implementation();
        let provider = CryptoProvider {
            suites: vec![suite],
            ..backend_soft::provider()
        };
        provider
            .self_test()
            .unwrap_or_else(|error| panic!("{by}: {error}"));
    }
}

#[test]
fn wycheproof_vectors() {
    for suite in backend_aesni::kernels_unchecked() {
        let by = suite.aead.implementation();
        println!("{by}: {}", wycheproof::suite(&suite));
    }
}

#[test]
fn what_the_traits_promise() {
    for suite in backend_aesni::kernels_unchecked() {
        println!("{}: {}", suite.id, suite.aead.implementation());
        conformance::suite(&suite);
    }
}

/// The best kernel of a suite is the first, and there is one of each.
#[test]
fn the_best_are_among_them() {
    let kernels = backend_aesni::kernels();
    for best in backend_aesni::suites() {
        let first = kernels.iter().find(|kernel| kernel.id == best.id).unwrap();
        assert_eq!(first.aead.implementation(), best.aead.implementation());
    }
    let ids = |suites: &[crypto_api::Suite]| {
        let mut ids: Vec<_> = suites.iter().map(|suite| suite.id).collect();
        ids.dedup();
        ids
    };
    assert_eq!(ids(&kernels), ids(&backend_aesni::suites()));
}
