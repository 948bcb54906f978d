//! Targets other than this machine's own.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell;

/// Whether the compiler can build for `target`, once rustup has had a chance to install it.
pub(crate) fn is_there(target: &str) -> bool {
    let installed = libraries(target).is_ok_and(|folder| folder.is_dir());
    installed || shell::succeeds(shell::command("rustup").args(["target", "add", target]))
}

/// Where the compiler keeps a target's libraries (whether it has them or not).
pub(crate) fn libraries(target: &str) -> Result<PathBuf> {
    let folder =
        shell::output(shell::rustc().args(["--print", "target-libdir", "--target", target]))?;
    Ok(folder.into())
}

/// The target of this machine.
pub(crate) fn host() -> Result<String> {
    shell::output(shell::rustc().args(["--print", "host-tuple"]))
}
