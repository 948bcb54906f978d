//! Runs the kernels under AddressSanitizer, which sees every access outside of what was
//! allocated, by one byte or by many.

use anyhow::Result;

use crate::{shell, steps::Skipped, targets};

/// The target whose standard library brings the sanitizer's runtime along, stable or not.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// That runtime, beside the target's libraries.
const RUNTIME: &str = "librustc-stable_rt.asan.a";

/// Tests `backend-aesni`.
///
/// Left out is the search for residue, which reads the stack below itself and brings an
/// allocator of its own: that is what a sanitizer is there to report. What a guard page cannot
/// see, an access between two allocations or on the stack, is seen here; Miri, which would see
/// more, knows few of the instructions.
pub(crate) fn run() -> Result<()> {
    if targets::host()? != TARGET {
        return Err(
            Skipped::Impossible(format!("the sanitizer's runtime is that of {TARGET}")).into(),
        );
    }
    if !targets::libraries(TARGET)?.join(RUNTIME).is_file() {
        return Err(Skipped::Impossible(format!("the toolchain has no {RUNTIME}")).into());
    }
    let folder = shell::metadata()?.target_directory.join("sanitizer");
    shell::run_tests(
        shell::cargo()
            .args(["test", "-p", "backend-aesni", "--lib", "--test", "kernels"])
            // With a target, what is built for this machine alone is built without it.
            .args(["--target", TARGET, "--target-dir", folder.as_str()])
            // The sanitizer has a stack of its own, whose depth is nobody's concern.
            .args(["--", "--skip", "low::depth"])
            .env("RUSTFLAGS", "-Zsanitizer=address")
            // A sanitizer is not stable yet, and the toolchain is.
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}
