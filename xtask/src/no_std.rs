//! Proves that crypto-api and tls-core need `core` and `alloc` and no more.
//!
//! The proof is a build for bare metal, where rustup can supply such a target. Where it cannot
//! (no rustup, no network), the host's own target is used with a sysroot from which the
//! standard library is left out: whatever crate in the tree still asks for `std` then fails
//! with "can't find crate for `std`". That is as strict about the standard library; only
//! differences in pointer width and atomics go unseen.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{shell, targets};

/// What must build without `std`.
const PACKAGES: &[&str] = &["crypto-api", "tls-core"];

/// A microcontroller's target: 32-bit pointers, no 64-bit atomics, no operating system.
const BARE_METAL: &str = "thumbv7em-none-eabi";

/// The libraries that a crate without `std` may find.
///
/// The last three are how the compiler's own crates name one another.
const KEPT: &[&str] = &[
    "libcore-",
    "liballoc-",
    "libcompiler_builtins-",
    "librustc_std_workspace_core-",
    "librustc_std_workspace_alloc-",
];

/// Builds [`PACKAGES`] without `std`.
pub(crate) fn run() -> Result<()> {
    if targets::is_there(BARE_METAL) {
        return shell::run(build().args(["--target", BARE_METAL]));
    }
    println!("no {BARE_METAL} here: using this machine's target, the standard library left out");
    let host = targets::host()?;
    let folder = shell::metadata()?
        .target_directory
        .into_std_path_buf()
        .join("sysroot-without-std");
    make_sysroot(&folder, &host)?;
    // With `--target` given, these flags reach neither build scripts nor procedural macros,
    // which are programs of the host and may use `std`.
    let flags = format!("--sysroot\u{1f}{}", folder.display());
    shell::run(
        build()
            .args(["--target", &host])
            .env("CARGO_ENCODED_RUSTFLAGS", flags),
    )
}

fn build() -> Command {
    let mut command = shell::cargo();
    command.args(["build", "--lib", "--no-default-features"]);
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    command
}

/// Lays out a sysroot for `target` in `folder` that holds `core` and `alloc` alone.
fn make_sysroot(folder: &Path, target: &str) -> Result<()> {
    let from = targets::libraries(target)?;
    let to = folder.join("lib/rustlib").join(target).join("lib");
    // Another toolchain's libraries would be found beside the right ones.
    if to.exists() {
        fs::remove_dir_all(&to).with_context(|| format!("cannot empty {}", to.display()))?;
    }
    fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut found = 0;
    for entry in fs::read_dir(&from).with_context(|| format!("cannot list {}", from.display()))? {
        let name = entry?.file_name();
        let Some(text) = name.to_str() else { continue };
        if KEPT.iter().any(|kept| text.starts_with(kept)) {
            fs::copy(from.join(&name), to.join(&name))
                .with_context(|| format!("cannot copy {text} into {}", to.display()))?;
            found += 1;
        }
    }
    if found == 0 {
        bail!("no core and alloc in {}", from.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles one line of Rust with a sysroot that lacks `std`.
    fn compiles(source: &str, folder: &Path) -> bool {
        let file = folder.join("lib.rs");
        fs::write(&file, source).unwrap();
        shell::succeeds(
            shell::rustc()
                .args([
                    "--crate-type",
                    "lib",
                    "--edition",
                    "2024",
                    "--emit",
                    "metadata",
                ])
                .arg("--sysroot")
                .arg(folder)
                .arg("--out-dir")
                .arg(folder)
                .arg(&file),
        )
    }

    #[test]
    fn the_stripped_sysroot_has_alloc_and_lacks_std() {
        let folder = std::env::temp_dir().join(format!("without-std-{}", std::process::id()));
        make_sysroot(&folder, &targets::host().unwrap()).unwrap();
        let alloc =
            "#![no_std] extern crate alloc; pub fn f() -> alloc::vec::Vec<u8> { alloc::vec![0] }";
        let std = "#![no_std] extern crate std; pub fn f() -> std::vec::Vec<u8> { std::vec![0] }";
        let hidden = "pub fn f() {}";
        let answers = [alloc, std, hidden].map(|source| compiles(source, &folder));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(answers, [true, false, false]);
    }
}
