//! Runs the kernels for ARM on this machine, whatever it is, in an emulator.

use anyhow::Result;

use crate::{shell, steps::Skipped, targets};

/// Statically linked, so that the emulator needs no libraries of that system.
const TARGET: &str = "aarch64-unknown-linux-musl";

/// The emulator; its CPU has every feature that there is a kernel for.
pub(crate) const EMULATOR: &str = "qemu-aarch64";

/// Tests `backend-aesni`, which compares its kernels with `backend-soft` on the same CPU.
pub(crate) fn run() -> Result<()> {
    if !shell::on_path(EMULATOR) {
        return Err(Skipped::Missing(format!("{EMULATOR} is not installed")).into());
    }
    if !targets::is_there(TARGET) {
        let why = format!("rustup could not add the target {TARGET}");
        return Err(Skipped::Missing(why).into());
    }
    shell::run_tests(
        shell::cargo()
            .args(["test", "-p", "backend-aesni", "--lib", "--tests"])
            .args(["--target", TARGET])
            // Rust's own linker, so that no C compiler for ARM is needed.
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", EMULATOR),
    )
}
