//! Builds kryoptic, a PKCS#11 token in Rust, for the tests of tokens.
//!
//! It is a package of its own in the target folder: the workspace's lock file and licences
//! need not know of it. It wants clang's library, and brings OpenSSL of its own, as Edwards
//! curves want 3.2 and ML-DSA 3.5. Where it does not build, this step is skipped and the tests
//! say that they skip the token.

use std::fs;

use anyhow::{Context, Result};

use crate::{shell, steps::Skipped};

const MANIFEST: &str = r#"[package]
name = "kryoptic-for-tests"
edition = "2024"

[dependencies]
kryoptic = { version = "=1.5.4", default-features = false }
kryoptic-lib = { version = "=1.5.4", default-features = false, features = [
    "ecdsa", "eddsa", "hash_all", "mldsa", "openssl-sys", "rsa", "sqlitedb",
] }
openssl-sys = { version = "0.9", features = ["bindgen", "vendored"] }

[workspace]
"#;

pub(crate) fn run() -> Result<()> {
    let tools = shell::metadata()?
        .target_directory
        .into_std_path_buf()
        .join("tools");
    let package = tools.join("kryoptic-package");
    let write = |name: &str, text: &str| {
        let path = package.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(package.join("src"))?;
    write("Cargo.toml", MANIFEST)?;
    write("src/main.rs", "fn main() {}\n")?;
    let mut build = shell::cargo();
    build.args(["build", "--manifest-path"]);
    build.arg(package.join("Cargo.toml"));
    build.arg("--target-dir").arg(tools.join("kryoptic"));
    shell::run(&mut build).map_err(|error| Skipped::Missing(format!("{error:#}")).into())
}
