//! The minimum supported Rust version (MSRV): every package declares it, and nothing in the
//! tree of dependencies declares a newer one.
//!
//! Clippy sees when our own code uses a younger library item; an older compiler would also see
//! what this can't, a dependency that uses more than it declares.

use anyhow::{Result, bail};
use cargo_metadata::semver::Version;

use crate::shell;

/// What a package declares.
struct Package {
    name: String,
    /// Of this workspace, not from outside.
    own: bool,
    rust: Option<Version>,
}

/// Fails when a package of this workspace declares no MSRV or one of its own, or when a
/// dependency needs a newer Rust. Cargo's resolver prefers those that don't, but takes one if
/// there is no other.
pub(crate) fn run() -> Result<()> {
    let metadata = shell::metadata_with_dependencies()?;
    let own = |id| metadata.workspace_members.contains(id);
    let packages: Vec<_> = metadata
        .packages
        .iter()
        .map(|package| Package {
            name: format!("{} {}", package.name, package.version),
            own: own(&package.id),
            rust: package.rust_version.clone(),
        })
        .collect();
    let Some(msrv) = packages.iter().find(|p| p.own).and_then(|p| p.rust.clone()) else {
        bail!("the first package of the workspace declares no rust-version");
    };
    let faults = check(&packages, &msrv);
    if faults.is_empty() {
        println!(
            "{} packages, none needs more than Rust {msrv}",
            packages.len()
        );
        return Ok(());
    }
    for line in &faults {
        eprintln!("{line}");
    }
    bail!("packages that do not go with Rust {msrv}: {}", faults.len());
}

/// One line per package that does not go with `msrv`.
fn check(packages: &[Package], msrv: &Version) -> Vec<String> {
    let fault = |package: &Package| match &package.rust {
        None if package.own => Some("declares no rust-version".to_owned()),
        Some(rust) if package.own && rust != msrv => {
            Some(format!("declares {rust}, not the workspace's {msrv}"))
        }
        Some(rust) if rust > msrv => Some(format!("needs Rust {rust}")),
        _ => None,
    };
    packages
        .iter()
        .filter_map(|package| Some(format!("{}: {}", package.name, fault(package)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newer_or_silent_is_named() {
        let package = |name: &str, own, rust: Option<[u64; 3]>| Package {
            name: name.to_owned(),
            own,
            rust: rust.map(|[major, minor, patch]| Version::new(major, minor, patch)),
        };
        let packages = [
            package("good", true, Some([1, 89, 0])),
            package("silent", true, None),
            package("newer", true, Some([1, 90, 0])),
            package("older", true, Some([1, 80, 0])),
            package("modest dependency", false, Some([1, 60, 0])),
            package("silent dependency", false, None),
            package("new dependency", false, Some([1, 89, 1])),
        ];
        assert_eq!(
            check(&packages, &Version::new(1, 89, 0)),
            [
                "silent: declares no rust-version",
                "newer: declares 1.90.0, not the workspace's 1.89.0",
                "older: declares 1.80.0, not the workspace's 1.89.0",
                "new dependency: needs Rust 1.89.1",
            ]
        );
    }
}
