//! Running other programs from the root of the workspace.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

/// The root of the workspace.
///
/// Cargo says at run time where this package lies; what was true when it was built may be
/// another clone's folder, when both share a target folder.
pub(crate) fn root() -> PathBuf {
    let built_in = env!("CARGO_MANIFEST_DIR");
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| built_in.into());
    Path::new(&package).join("..")
}

/// A command that starts in the root of the workspace.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this program, so that a chosen toolchain stays chosen.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The compiler that [`cargo`] uses.
pub(crate) fn rustc() -> Command {
    command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// What cargo knows of this workspace's own packages.
pub(crate) fn metadata() -> Result<Metadata> {
    Ok(MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?)
}

/// The same, and what it knows of all that they depend on, on whatever target and with
/// whatever feature.
pub(crate) fn metadata_with_dependencies() -> Result<Metadata> {
    Ok(MetadataCommand::new()
        .current_dir(root())
        .features(CargoOpt::AllFeatures)
        .exec()?)
}

/// Whether a program of this name is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Shows the command, runs it and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// As [`run`] for tests: fails also if none ran, as when a filter fits nothing.
pub(crate) fn run_tests(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("$ {line}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let mut passed = 0;
    for printed in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let printed = printed.with_context(|| format!("cannot read what `{line}` prints"))?;
        println!("{printed}");
        passed += tests_passed(&printed);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    if passed == 0 {
        bail!("`{line}` ran no test");
    }
    Ok(())
}

/// How many tests passed, if this line of a test program's output sums them up.
fn tests_passed(line: &str) -> usize {
    let count = line
        .strip_prefix("test result: ok. ")
        .and_then(|rest| rest.split_once(" passed"))
        .map(|(count, _)| count.parse());
    match count {
        Some(Ok(count)) => count,
        _ => 0,
    }
}

/// Whether the command can be started and succeeds; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What the command prints, without the line end; fails unless it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("`{line}` printed something that is not UTF-8"))?;
    Ok(text.trim_end().to_owned())
}

/// The command as one would type it, its own environment variables in front.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let variables = command.get_envs().filter_map(|(name, value)| {
        // The separator of CARGO_ENCODED_RUSTFLAGS is no printable character.
        let value = value?.to_string_lossy().replace('\u{1f}', " ");
        Some(format!("{}='{value}'", name.to_string_lossy()))
    });
    let name = program.file_name().unwrap_or(program.as_os_str());
    let arguments = command.get_args().map(|word| word.to_string_lossy().into());
    variables
        .chain([name.to_string_lossy().into()])
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted() {
        let all = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out";
        let none = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 90 filtered out";
        let failed = "test result: FAILED. 7 passed; 1 failed; 0 ignored; 0 measured";
        let one = "test a_result ... ok";
        assert_eq!([all, none, failed, one].map(tests_passed), [12, 0, 0, 0]);
    }

    #[test]
    fn a_run_without_a_test_is_a_failure() {
        let echo = |text: &str| run_tests(command("echo").arg(text));
        echo("test result: ok. 1 passed; 0 failed").unwrap();
        let error = echo("test result: ok. 0 passed; 0 failed").unwrap_err();
        assert!(error.to_string().ends_with("ran no test"), "{error}");
        assert!(run_tests(&mut command("false")).is_err());
    }
}
