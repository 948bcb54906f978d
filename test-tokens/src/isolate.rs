//! Tests that run in a process of their own.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::Kind;

/// Holds the folder's path in a test's own process.
const VARIABLE: &str = "TEST_TOKENS_DIR";
/// Longer than any such test takes, on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `body` in a process of its own, in a new folder and with the environment of a token
/// in it. `test` is the name of the calling test, which this process starts again alone.
///
/// # Panics
/// If the process fails, crashes, takes longer than two minutes, or runs no test.
pub fn isolated(test: &str, kind: Kind, body: impl FnOnce(&Path)) {
    isolated_within(LIMIT, test, kind, body);
}

/// The same, with a limit of its own on the time that it takes.
///
/// # Panics
/// If the process fails, crashes, takes longer, or runs no test.
pub fn isolated_within(limit: Duration, test: &str, kind: Kind, body: impl FnOnce(&Path)) {
    if let Some(dir) = directory() {
        body(&dir);
        // That the test came to its end, and was found at all.
        fs::write(dir.join("done"), "").expect("the folder is ours");
        wait_for_signing_threads();
        return;
    }
    let dir = TempDir::new().expect("a folder for temporary files");
    let mut environment = kind.environment(dir.path());
    environment.push((VARIABLE, dir.path().into()));
    let ended = run(test, limit, dir.path(), environment);
    let output = fs::read_to_string(dir.path().join("output")).unwrap_or_default();
    tell(&output);
    if let Err(why) = ended {
        panic!("{test}, in a process of its own: {why}");
    }
    let done = dir.path().join("done").exists();
    assert!(done, "no test is named `{test}`, or it did not run");
}

/// Prints what a test's process has said. What it has left out is always to be seen: a test
/// that passes is silent otherwise, as its harness keeps what is printed and not what is
/// written to standard error itself.
fn tell(output: &str) {
    let mut stderr = std::io::stderr();
    for line in output.lines() {
        if line.starts_with("skipped: ") {
            // Without a standard error, nobody looks.
            let _ = writeln!(stderr, "{line}");
        } else {
            println!("{line}");
        }
    }
}

/// A key that was dropped, and not closed, has threads that are still about to end. A module's
/// destructors, which run when the process ends, must not meet them.
fn wait_for_signing_threads() {
    let is_signing = |task: std::io::Result<fs::DirEntry>| {
        let name = task.and_then(|task| fs::read_to_string(task.path().join("comm")));
        // The fault module's own, which listens, never ends.
        name.is_ok_and(|name| name.starts_with("pkcs11-") && !name.starts_with("pkcs11-fault"))
    };
    let end = Instant::now() + Duration::from_secs(5);
    while let Ok(mut tasks) = fs::read_dir("/proc/self/task")
        && tasks.any(is_signing)
        && Instant::now() < end
    {
        thread::sleep(Duration::from_millis(5));
    }
}

/// The folder of a test that runs in a process of its own.
pub fn directory() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from)
}

fn run(
    test: &str,
    limit: Duration,
    dir: &Path,
    environment: Vec<(&'static str, OsString)>,
) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    // To a file, because a pipe that nobody empties would stop a talkative test.
    let output = File::create(dir.join("output")).map_err(text)?;
    let mut child = Command::new(env::current_exe().map_err(text)?)
        .args([test, "--exact", "--include-ignored", "--nocapture"])
        .envs(environment)
        .stdin(Stdio::null())
        .stderr(output.try_clone().map_err(text)?)
        .stdout(output)
        .spawn()
        .map_err(text)?;
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().map_err(text)? {
            return if status.success() {
                Ok(())
            } else {
                Err(status.to_string())
            };
        }
        if Instant::now() > end {
            child.kill().map_err(text)?;
            child.wait().map_err(text)?;
            return Err(format!("still running after {limit:?}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The fault-injecting module of this workspace, which cargo builds beside every test that
/// depends on the package `pkcs11-fault`.
///
/// # Panics
/// If it is not there: the package that is tested lacks the dependency.
pub fn fault_module() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let name = format!(
        "{}pkcs11_fault{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    );
    // Tests lie in `deps`, other programs above it.
    let dirs = program.ancestors().skip(1).take(2);
    let places: Vec<_> = dirs
        .flat_map(|dir| [dir.join(&name), dir.join("deps").join(&name)])
        .collect();
    let found = places.iter().find(|place| place.is_file());
    found.unwrap_or_else(|| panic!("no {places:?}")).clone()
}
