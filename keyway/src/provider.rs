//! Presets and mixes: which backend computes what.
//!
//! Backends are linked by cargo features. [`fastest`] takes the fastest of them for each
//! algorithm; [`by_name`] understands a text such as `openssl+records=soft`, for programs
//! that let their users choose. Anything finer is done by hand on the
//! [`CryptoProvider`] value:
//!
//! ```
//! # #[cfg(feature = "soft")] {
//! use keyway::provider;
//! use keyway::CipherSuite;
//!
//! let mixed = provider::fastest()?
//!     .with_random_from(&provider::soft())
//!     .only_suites(&[CipherSuite::TLS_CHACHA20_POLY1305_SHA256])?;
//! println!("{}", mixed.table());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crypto_api::{CipherSuite, CryptoProvider, NamedGroup, Suite};

use crate::SetupError;

/// A linked backend.
struct Backend {
    name: &'static str,
    supplies: Supplies,
}

/// What a backend has.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "a kind of backend may not be linked")]
enum Supplies {
    /// Every operation.
    All(fn() -> CryptoProvider),
    /// Records, in the suites that this CPU has the instructions for.
    Records(fn() -> Vec<Suite>),
}

/// Those that are linked, the fastest first.
const LINKED: &[Backend] = &[
    #[cfg(feature = "aesni")]
    Backend {
        name: "aesni",
        supplies: Supplies::Records(backend_aesni::suites),
    },
    #[cfg(feature = "openssl")]
    Backend {
        name: "openssl",
        supplies: Supplies::All(backend_openssl::provider),
    },
    #[cfg(feature = "soft")]
    Backend {
        name: "soft",
        supplies: Supplies::All(backend_soft::provider),
    },
];

/// The groups in the order in which the presets prefer them: the post-quantum hybrid where a
/// backend supplies it, because what is recorded today can be broken later, then by speed.
const GROUPS: &[NamedGroup] = &[
    NamedGroup::X25519MLKEM768,
    NamedGroup::X25519,
    NamedGroup::SECP256R1,
    NamedGroup::SECP384R1,
];

/// The names of the backends that are linked, the fastest first.
pub fn linked() -> Vec<&'static str> {
    LINKED.iter().map(|backend| backend.name).collect()
}

/// For each algorithm the fastest backend that is linked and has it.
///
/// Groups are preferred in the order X25519MLKEM768, X25519, secp256r1, secp384r1, whoever
/// computes them. Suites are preferred in the order AES-128-GCM, AES-256-GCM,
/// ChaCha20-Poly1305 on a CPU with AES instructions, else with ChaCha20-Poly1305 first;
/// AES-128-CCM is the last resort, and its variant with short tags
/// [waits to be named](crate::ClientBuilder::suites).
///
/// # Errors
/// [`SetupError::NoBackend`] if none is linked.
pub fn fastest() -> Result<CryptoProvider, SetupError> {
    let mut fastest: Option<CryptoProvider> = None;
    let mut records = Vec::new();
    for backend in LINKED.iter().rev() {
        match (backend.supplies, fastest.take()) {
            (Supplies::All(provider), None) => fastest = Some(provider()),
            (Supplies::All(provider), Some(rest)) => {
                let faster = provider();
                let take = |rest, operation: &Operation| operation.take(rest, &faster);
                fastest = Some(Operation::ALL.iter().fold(rest, take));
            }
            (Supplies::Records(suites), rest) => {
                records.push(suites());
                fastest = rest;
            }
        }
    }
    let provider = fastest.ok_or(SetupError::NoBackend)?;
    let provider = records
        .into_iter()
        .fold(provider, CryptoProvider::with_suites);
    Ok(in_preferred_order(provider))
}

/// The portable backend alone.
#[cfg(feature = "soft")]
pub fn soft() -> CryptoProvider {
    in_preferred_order(backend_soft::provider())
}

/// Records in CPU instructions where this CPU has them, and the portable backend for
/// everything else.
#[cfg(all(feature = "aesni", feature = "soft"))]
pub fn aesni() -> CryptoProvider {
    in_preferred_order(backend_soft::provider().with_suites(backend_aesni::suites()))
}

/// OpenSSL's libcrypto alone.
#[cfg(feature = "openssl")]
pub fn openssl() -> CryptoProvider {
    in_preferred_order(backend_openssl::provider())
}

/// A mix of backends described by a text.
///
/// The text is a list of terms between `,` or `+`. A term is `OPERATION=BACKEND`, or
/// `rest=BACKEND`, or simply `BACKEND`, which means the same. Operations are `records`,
/// `kx`, `hash`, `signatures` and `random`; backends are those of [`linked`], and `fastest`,
/// which is also the rest if none is named. `aesni` supplies records only. An algorithm that the named backend does not
/// have is still taken from the rest.
///
/// ```
/// # #[cfg(feature = "soft")] {
/// let provider = keyway::provider::by_name("records=soft,rest=fastest")?;
/// assert_eq!(provider.suites[0].aead.implementation().backend, "soft");
///
/// let error = keyway::provider::by_name("hard").unwrap_err();
/// assert!(error.to_string().contains("linked are:"));
/// # }
/// # Ok::<(), keyway::SetupError>(())
/// ```
///
/// # Errors
/// [`SetupError::UnknownBackend`], [`SetupError::UnknownOperation`], [`SetupError::BadMix`],
/// or [`SetupError::NoBackend`].
pub fn by_name(spec: &str) -> Result<CryptoProvider, SetupError> {
    let bad = |reason| SetupError::BadMix {
        spec: spec.into(),
        reason,
    };
    let mut rest = None;
    let mut chosen: Vec<(Operation, Source)> = Vec::new();
    for term in spec.split([',', '+']).map(str::trim) {
        if term.is_empty() {
            return Err(bad("a term is empty"));
        }
        let (operation, backend) = term.split_once('=').unwrap_or(("rest", term));
        let (operation, backend) = (operation.trim(), backend.trim());
        if operation == "rest" {
            if rest.is_some() {
                return Err(bad("the rest is given twice"));
            }
            rest = match one(backend)? {
                Source::All(provider) => Some(provider),
                Source::Records(_) => return Err(records_only(backend)),
            };
            continue;
        }
        let operation = Operation::from_name(operation)?;
        if chosen.iter().any(|(known, _)| *known == operation) {
            return Err(bad("an operation is given twice"));
        }
        let source = one(backend)?;
        if matches!(source, Source::Records(_)) && operation != Operation::Records {
            return Err(records_only(backend));
        }
        chosen.push((operation, source));
    }
    let mut provider = match rest {
        Some(provider) => provider,
        None => fastest()?,
    };
    for (operation, source) in chosen {
        provider = match source {
            Source::All(backend) => operation.take(provider, &backend),
            Source::Records(suites) => provider.with_suites(suites),
        };
    }
    Ok(in_preferred_order(provider))
}

/// What a backend that was named supplies here.
enum Source {
    All(CryptoProvider),
    Records(Vec<Suite>),
}

fn one(name: &str) -> Result<Source, SetupError> {
    if name == "fastest" {
        return fastest().map(Source::All);
    }
    LINKED
        .iter()
        .find(|backend| backend.name == name)
        .map(|backend| match backend.supplies {
            Supplies::All(provider) => Source::All(provider()),
            Supplies::Records(suites) => Source::Records(suites()),
        })
        .ok_or_else(|| SetupError::UnknownBackend {
            asked: name.into(),
            linked: linked(),
        })
}

fn records_only(backend: &str) -> SetupError {
    SetupError::RecordsOnly {
        backend: backend.into(),
    }
}

/// What a backend can be chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Records,
    KeyExchange,
    Hash,
    Signatures,
    Random,
}

impl Operation {
    const ALL: &[Self] = &[
        Self::Records,
        Self::KeyExchange,
        Self::Hash,
        Self::Signatures,
        Self::Random,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::KeyExchange => "kx",
            Self::Hash => "hash",
            Self::Signatures => "signatures",
            Self::Random => "random",
        }
    }

    pub(crate) fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|operation| operation.name()).collect()
    }

    fn from_name(name: &str) -> Result<Self, SetupError> {
        Self::ALL
            .iter()
            .copied()
            .find(|operation| operation.name() == name)
            .ok_or_else(|| SetupError::UnknownOperation { asked: name.into() })
    }

    /// `provider` with this operation from `backend`.
    fn take(self, provider: CryptoProvider, backend: &CryptoProvider) -> CryptoProvider {
        match self {
            Self::Records => provider.with_suites_from(backend),
            Self::KeyExchange => provider.with_groups_from(backend),
            Self::Hash => provider.with_hashes_from(backend),
            Self::Signatures => provider.with_signatures_from(backend),
            Self::Random => provider.with_random_from(backend),
        }
    }
}

/// What only one backend has would else stand last, however good it is.
fn in_preferred_order(mut provider: CryptoProvider) -> CryptoProvider {
    let rank = |id: NamedGroup| GROUPS.iter().position(|known| *known == id);
    provider
        .groups
        .sort_by_key(|group| rank(group.id()).unwrap_or(GROUPS.len()));
    let aes = has_aes_instructions();
    provider.suites.sort_by_key(|suite| match suite.id {
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256 if !aes => 0,
        CipherSuite::TLS_AES_128_GCM_SHA256 => 1,
        CipherSuite::TLS_AES_256_GCM_SHA384 => 2,
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256 => 3,
        CipherSuite::TLS_AES_128_CCM_SHA256 => 5,
        CipherSuite::TLS_AES_128_CCM_8_SHA256 => 6,
        _ => 4,
    });
    provider
}

/// Whether AES-GCM is computed by instructions; in software ChaCha20-Poly1305 is faster.
fn has_aes_instructions() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(spec: &str) -> String {
        by_name(spec).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_in_a_mix_are_named() {
        let linked = linked().join(", ");
        let help = if linked.is_empty() {
            ", nor is any other; enable a cargo feature of keyway: soft, openssl".into()
        } else {
            format!("; linked are: {linked}")
        };
        assert_eq!(
            message("hard"),
            format!("provider: backend \"hard\" is not linked{help}")
        );
        assert_eq!(
            message("records=hard"),
            format!("provider: backend \"hard\" is not linked{help}")
        );
        assert_eq!(
            message("tickets=soft"),
            "provider: unknown operation \"tickets\"; \
             there are: records, kx, hash, signatures, random, rest"
        );
        assert_eq!(message(""), "provider: in \"\": a term is empty");
    }

    #[cfg(feature = "soft")]
    #[test]
    fn nothing_is_said_twice() {
        assert_eq!(
            message("soft+soft"),
            "provider: in \"soft+soft\": the rest is given twice"
        );
        assert_eq!(
            message("kx=soft,kx=soft"),
            "provider: in \"kx=soft,kx=soft\": an operation is given twice"
        );
    }

    #[cfg(feature = "soft")]
    #[test]
    fn the_preset_is_whole_and_in_order() {
        let provider = fastest().unwrap();
        provider.check().unwrap();
        let groups: Vec<_> = provider.groups.iter().map(|group| group.id()).collect();
        assert_eq!(groups, GROUPS);
        assert_eq!(provider.suites.len(), 5);
        assert_eq!(soft().groups.len(), 4);
    }

    /// What the preset takes records from, if the linked kernels run on this CPU.
    #[cfg(all(feature = "soft", feature = "openssl"))]
    fn fastest_records() -> Option<&'static str> {
        #[cfg(feature = "aesni")]
        if !backend_aesni::suites().is_empty() {
            return Some("aesni");
        }
        None
    }

    #[cfg(all(feature = "soft", feature = "aesni"))]
    #[test]
    fn records_in_instructions_where_the_cpu_has_them() {
        for provider in [aesni(), by_name("soft+records=aesni").unwrap()] {
            provider.check().unwrap();
            assert_eq!(provider.suites.len(), soft().suites.len());
            for suite in backend_aesni::suites() {
                let taken = provider.suite(suite.id).unwrap().aead.implementation();
                assert_eq!(taken, suite.aead.implementation());
            }
            assert_eq!(provider.random.implementation().backend, "soft");
        }
        for mix in ["aesni", "kx=aesni", "records=soft,rest=aesni"] {
            assert_eq!(
                message(mix),
                "provider: backend \"aesni\" supplies records only: records=aesni"
            );
        }
    }

    #[cfg(not(any(feature = "soft", feature = "openssl")))]
    #[test]
    fn without_backends_the_preset_says_so() {
        assert_eq!(
            fastest().unwrap_err().to_string(),
            "provider: no backend is linked that supplies everything; \
             enable a cargo feature of keyway: soft, openssl"
        );
    }

    #[cfg(all(feature = "soft", feature = "openssl"))]
    #[test]
    fn each_operation_comes_from_its_backend() {
        // What each operation of the provider is computed by.
        fn backends(provider: &CryptoProvider) -> [&'static str; 5] {
            [
                provider.suites[0].aead.implementation().backend,
                provider
                    .group(NamedGroup::X25519)
                    .unwrap()
                    .implementation()
                    .backend,
                provider.hashes[0].hash.implementation().backend,
                provider.key_loaders[0].implementation().backend,
                provider.random.implementation().backend,
            ]
        }
        let (soft, openssl) = ("soft", "openssl");
        let mut all = [openssl; 5];
        assert_eq!(backends(&by_name("openssl").unwrap()), all);
        all[0] = fastest_records().unwrap_or(openssl);
        assert_eq!(backends(&fastest().unwrap()), all);
        for (at, operation) in Operation::names().into_iter().enumerate() {
            let mut expected = [openssl; 5];
            expected[at] = soft;
            let mixed = by_name(&format!("openssl+{operation}=soft")).unwrap();
            mixed.check().unwrap();
            assert_eq!(backends(&mixed), expected, "{operation}");
        }
        let mixed = by_name("records = openssl, rest = soft").unwrap();
        assert_eq!(backends(&mixed), [openssl, soft, soft, soft, soft]);
    }
}
