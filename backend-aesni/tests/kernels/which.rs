//! Which kernels there are: all that this CPU can run, but for those that the environment rules
//! out, and none that fails its check.

use std::env;
use std::process::Command;

use crypto_api::{CipherSuite, Suite};

/// The variable that rules kernels out.
const OFF: &str = "KEYWAY_AESNI_OFF";

const AES_128_GCM: CipherSuite = CipherSuite::TLS_AES_128_GCM_SHA256;
const AES_256_GCM: CipherSuite = CipherSuite::TLS_AES_256_GCM_SHA384;
const CHACHA20: CipherSuite = CipherSuite::TLS_CHACHA20_POLY1305_SHA256;
const CCM: CipherSuite = CipherSuite::TLS_AES_128_CCM_SHA256;
const CCM_8: CipherSuite = CipherSuite::TLS_AES_128_CCM_8_SHA256;

/// All that it may name.
const NAMES: [&str; 8] = [
    "avx512f", "avx512", "vaes", "avx2", "aesni", "eor3", "armaes", "neon",
];

/// What runs programs of this architecture, where that is an emulator: as cargo is told.
#[cfg(target_arch = "aarch64")]
const RUNNER: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER";
#[cfg(not(target_arch = "aarch64"))]
const RUNNER: &str = "no such variable";

/// A suite, and what its kernel calls itself.
type Kernel = (CipherSuite, &'static str);

/// The kernels that there are, the best of each suite first.
#[cfg(target_arch = "x86_64")]
fn expected(off: impl Fn(&str) -> bool) -> Vec<Kernel> {
    macro_rules! has {
        ($($feature:tt),+) => { $(is_x86_feature_detected!($feature))&&+ };
    }
    let aes = has!("aes", "pclmulqdq", "ssse3", "sse4.1", "avx") && !off("aesni");
    let avx2 = has!("avx2") && !off("avx2");
    let avx512 = has!("avx512f", "avx512bw", "avx512vl") && avx2 && !off("avx512");
    let vaes = has!("vaes", "vpclmulqdq") && aes && avx2 && !off("vaes");
    let avx512f = has!("bmi2") && avx512 && !off("avx512f");

    let mut kernels = Vec::new();
    for id in [AES_128_GCM, AES_256_GCM] {
        kernels.push((vaes && avx512, id, "VAES, VPCLMULQDQ on AVX-512"));
        kernels.push((vaes, id, "VAES, VPCLMULQDQ on AVX2"));
        kernels.push((aes, id, "AES-NI, PCLMULQDQ"));
    }
    for id in [CCM, CCM_8] {
        let wide = "AES-NI, batches with VAES on AVX-512";
        kernels.push((vaes && avx512, id, wide));
        kernels.push((vaes, id, "AES-NI, batches with VAES on AVX2"));
        kernels.push((aes, id, "AES-NI"));
    }
    kernels.push((avx512f, CHACHA20, "AVX-512"));
    kernels.push((avx2, CHACHA20, "AVX2"));
    those_that_are(&kernels)
}

#[cfg(target_arch = "aarch64")]
fn expected(off: impl Fn(&str) -> bool) -> Vec<Kernel> {
    use std::arch::is_aarch64_feature_detected as has;

    if env::var_os(RUNNER).is_some() {
        // The emulator's CPU has them all.
        assert!(has!("neon") && has!("aes") && has!("pmull") && has!("sha3"));
    }
    let neon = has!("neon") && !off("neon");
    let aes = has!("aes") && has!("pmull") && neon && !off("armaes");
    let eor3 = has!("sha3") && aes && !off("eor3");

    let mut kernels = Vec::new();
    for id in [AES_128_GCM, AES_256_GCM] {
        kernels.push((eor3, id, "ARMv8 AES, PMULL, EOR3"));
        kernels.push((aes, id, "ARMv8 AES, PMULL"));
    }
    kernels.push((aes, CCM, "ARMv8 AES"));
    kernels.push((aes, CCM_8, "ARMv8 AES"));
    kernels.push((neon, CHACHA20, "NEON"));
    those_that_are(&kernels)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn expected(_: impl Fn(&str) -> bool) -> Vec<Kernel> {
    Vec::new()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn those_that_are(kernels: &[(bool, CipherSuite, &'static str)]) -> Vec<Kernel> {
    let there = kernels.iter().filter(|(is_there, ..)| *is_there);
    there.map(|&(_, id, detail)| (id, detail)).collect()
}

fn names(suites: &[Suite]) -> Vec<Kernel> {
    let mut names: Vec<_> = suites
        .iter()
        .map(|suite| (suite.id, suite.aead.implementation().detail))
        .collect();
    // By suite; the order within one stays.
    names.sort_by_key(|(id, _)| id.0);
    names
}

#[test]
fn those_that_this_cpu_can_run_and_the_environment_allows() {
    let off = env::var(OFF).unwrap_or_default().to_lowercase();
    let words: Vec<_> = off.split(',').map(str::trim).collect();
    let is_known = |word: &&str| word.is_empty() || NAMES.contains(word);
    let mut expected = match words.iter().all(is_known) {
        true => expected(|name| words.contains(&name)),
        false => Vec::new(),
    };
    expected.sort_by_key(|(id, _)| id.0);
    assert_eq!(names(&backend_aesni::kernels_unchecked()), expected);
    // None is wrong.
    assert_eq!(names(&backend_aesni::kernels()), expected);
    expected.dedup_by_key(|(id, _)| *id);
    assert_eq!(names(&backend_aesni::suites()), expected);
}

/// The variable is read once, so each value takes a process.
#[test]
fn what_the_environment_rules_out() {
    const EVERYTHING: &str = "avx2,aesni,neon";
    const VALUES: [&str; 17] = [
        "",
        "avx512f",
        "avx512",
        "vaes",
        "avx2",
        "aesni",
        "avx512,vaes",
        "avx512,aesni",
        " VAES, Avx512F ,",
        "aesni,avx2",
        "eor3",
        "armaes",
        "neon",
        "armaes,eor3",
        EVERYTHING,
        "a typing mistake",
        "avx512f,a typing mistake",
    ];
    // With that there is none, which is no error.
    assert!(expected(|name| EVERYTHING.contains(name)).is_empty());
    let this = env::current_exe().unwrap();
    for value in VALUES {
        let mut command = match env::var_os(RUNNER) {
            Some(runner) => Command::new(runner),
            None => Command::new(&this),
        };
        if env::var_os(RUNNER).is_some() {
            command.arg(&this);
        }
        let test = "which::those_that_this_cpu_can_run_and_the_environment_allows";
        let output = command.env(OFF, value).args(["--exact", test]).output();
        let output = output.unwrap_or_else(|error| panic!("{this:?}: {error}"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{OFF}={value:?}: {said}");
        assert!(said.contains("1 passed"), "{OFF}={value:?}: {said}");
    }
}
