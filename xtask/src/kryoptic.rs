//! Builds kryoptic, a PKCS#11 token in Rust, for the tests of tokens.
//!
//! It is a package of its own in the target folder: the workspace's lock file and licences
//! need not know of it. It wants clang's library, and an OpenSSL built from source, as Edwards
//! curves want 3.2 and ML-DSA 3.5: that of the workspace, if clippy or a test has built it, or
//! else one of its own. Where it does not build, this step is skipped and the tests say that
//! they skip the token.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

[profile.dev]
debug = false

[workspace]
"#;

pub(crate) fn run() -> Result<()> {
    let target = shell::metadata()?.target_directory.into_std_path_buf();
    let tools = target.join("tools");
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
    if let Some(openssl) = built_openssl(&target.join("debug")) {
        build
            .env("OPENSSL_NO_VENDOR", "1")
            .env("OPENSSL_DIR", openssl)
            .env("OPENSSL_STATIC", "1");
    }
    shell::run(&mut build).map_err(|error| Skipped::Missing(format!("{error:#}")).into())
}

/// Where the feature `vendored` has installed OpenSSL most recently, if it has.
fn built_openssl(profile: &Path) -> Option<PathBuf> {
    fs::read_dir(profile.join("build"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("out/openssl-build/install")))
        // The last library that is installed.
        .filter(|folder| folder.join("lib/libssl.a").is_file())
        .max_by_key(|folder| folder.metadata().and_then(|data| data.modified()).ok())
}
