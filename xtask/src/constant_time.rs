//! Runs the kernels under valgrind, which sees when a branch or an address depends on a secret.

use anyhow::Result;

use crate::{shell, steps::Skipped};

/// The program that follows the secrets.
pub(crate) const VALGRIND: &str = "valgrind";

/// Tests `backend-aesni` as it is released: what the compiler made of the source is what
/// counts, and checks for overflow, which a release has none of, are branches too.
pub(crate) fn run() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        let why = "the requests to valgrind are those of x86-64 Linux";
        return Err(Skipped::Impossible(why.into()).into());
    }
    if !shell::on_path(VALGRIND) {
        return Err(Skipped::Missing(format!("{VALGRIND} is not installed")).into());
    }
    // The test itself counts the errors: it makes some on purpose, to see that it can.
    let runner = format!("{VALGRIND} --quiet --error-limit=no --num-callers=6");
    shell::run_tests(
        shell::cargo()
            // So that a report names lines.
            .args(["--config", "profile.release.package.backend-aesni.debug=1"])
            .args(["test", "--release", "-p", "backend-aesni", "--lib"])
            .args(["--", "--ignored", "--nocapture", "constant_time"])
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner),
    )
}
