//! The one test command: every check, in the order in which a mistake is cheapest to find.

use std::{
    env, fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Error, Result, bail};
use clap::{Args, builder::PossibleValuesParser};

use crate::{arm, arrows, constant_time, kryoptic, msrv, no_std, sanitizer, setup, shell};

/// What to run of [`STEPS`].
#[derive(Args)]
pub(crate) struct Selection {
    /// Run this step alone (may be given more than once)
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Leave the slow steps out
    #[arg(long, conflicts_with = "only")]
    quick: bool,
}

struct Step {
    name: &'static str,
    what: &'static str,
    slow: bool,
    run: fn() -> Result<()>,
}

/// The reason why a step could not run here. On a desk that is no failure, and the summary says
/// it. In CI nobody reads the summary of what has passed: there a step is skipped only if no
/// installation would help.
#[derive(Debug)]
pub(crate) enum Skipped {
    /// Something that can be installed is not there.
    Missing(String),
    /// This kind of machine can't do it.
    Impossible(String),
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(why) | Self::Impossible(why)) = self;
        write!(f, "skipped: {why}")
    }
}

impl std::error::Error for Skipped {}

/// Every step. `test` and `test-all` differ in more than breadth: the first links the system's
/// OpenSSL, the second (feature `vendored`) a recent one that knows ML-KEM.
const STEPS: &[Step] = &[
    Step {
        name: "setup",
        what: "what the tests need is installed",
        slow: false,
        run: setup::run,
    },
    Step {
        name: "fmt",
        what: "rustfmt has nothing to say",
        slow: false,
        run: || cargo("fmt --all --check"),
    },
    Step {
        name: "arrows",
        what: "packages depend on what they may",
        slow: false,
        run: arrows::run,
    },
    Step {
        name: "msrv",
        what: "every package says its MSRV, and nothing it depends on needs a newer Rust",
        slow: false,
        run: msrv::run,
    },
    Step {
        name: "clippy",
        what: "no warning on any target; no library item younger than the MSRV",
        slow: false,
        run: || cargo("clippy --workspace --all-targets -- -D warnings"),
    },
    Step {
        name: "no-std",
        what: "crypto-api and tls-core build without std",
        slow: false,
        run: no_std::run,
    },
    Step {
        name: "kryoptic",
        what: "a PKCS#11 token in Rust, for the tests of tokens, where it builds",
        slow: true,
        run: kryoptic::run,
    },
    Step {
        name: "test",
        what: "unit and integration tests, with the system's OpenSSL",
        slow: false,
        run: || {
            let features = "keyway/openssl,keyway/tokio";
            cargo(&format!(
                "test --workspace --exclude bench-server --lib --bins --tests --features {features}"
            ))
        },
    },
    Step {
        name: "deny",
        what: "licences, sources and bans of every dependency",
        slow: true,
        run: deny,
    },
    Step {
        name: "clippy-sets",
        what: "no warning with no feature and with all of them",
        slow: true,
        run: clippy_sets,
    },
    Step {
        name: "test-all",
        what: "what links OpenSSL again, with a recent one, and the benchmark with its peers",
        slow: true,
        run: || {
            let packages = "-p backend-openssl -p keyway -p bench-server";
            cargo(&format!(
                "test {packages} --lib --bins --tests --all-features"
            ))
        },
    },
    Step {
        name: "arm",
        what: "the kernels for ARM, in an emulator",
        slow: true,
        run: arm::run,
    },
    Step {
        name: "constant-time",
        what: "no branch and no address in the kernels depends on a secret, says valgrind",
        slow: true,
        run: constant_time::run,
    },
    Step {
        name: "sanitizer",
        what: "no kernel touches memory beside what it is given, says AddressSanitizer",
        slow: true,
        run: sanitizer::run,
    },
    Step {
        name: "residue",
        what: "no kernel leaves a secret on the stack, however it is released",
        slow: true,
        run: residue,
    },
    Step {
        name: "doctest",
        what: "the examples in the documentation run",
        slow: true,
        run: || cargo("test --workspace --doc --all-features"),
    },
    Step {
        name: "doc",
        what: "the documentation builds without a warning",
        slow: true,
        run: doc,
    },
    Step {
        name: "examples",
        what: "the example programs build, and those that end by themselves run",
        slow: true,
        run: examples,
    },
    Step {
        name: "bench",
        what: "the benchmark runs as the README starts it",
        slow: true,
        run: || cargo("run --release -p bench-server -- --quick"),
    },
];

fn names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|step| step.name)
}

impl Selection {
    fn has(&self, step: &Step) -> bool {
        if self.only.is_empty() {
            !(self.quick && step.slow)
        } else {
            self.only.iter().any(|name| name == step.name)
        }
    }
}

/// Runs the selected steps, then says how each ended and how long it took.
///
/// A failure does not hide the later ones: the other steps still run, except after a failed
/// `setup`, without which the tests would fail for want of a program.
pub(crate) fn run(selection: &Selection) -> Result<()> {
    let steps: Vec<&Step> = STEPS.iter().filter(|step| selection.has(step)).collect();
    for step in &steps {
        println!("{:<13} {}", step.name, step.what);
    }
    let strict = is_ci(env::var("CI").ok().as_deref());
    let start = Instant::now();
    let mut ended = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n[{}/{}] {}", index + 1, steps.len(), step.name);
        let start = Instant::now();
        let result = (step.run)();
        if let Err(error) = &result {
            eprintln!("{}: {error:#}", step.name);
        }
        let stop = result.is_err() && step.name == "setup";
        ended.push((step.name, start.elapsed(), result));
        if stop {
            break;
        }
    }
    print!("\n{}", summary(&ended, strict));
    println!("{:>8}  in all", clock(start.elapsed()));
    let failures = ended
        .iter()
        .filter(|(_, _, result)| failed(result, strict))
        .count();
    if failures > 0 {
        bail!("failed: {failures} of {} steps", steps.len());
    }
    Ok(())
}

/// Whether the variable `CI`, which the machines of CI set, says so.
fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

/// Whether a step counts as failed; `strict`, also if what it wants could have been installed.
fn failed(result: &Result<()>, strict: bool) -> bool {
    let Err(error) = result else { return false };
    match error.downcast_ref() {
        None => true,
        Some(Skipped::Missing(_)) => strict,
        Some(Skipped::Impossible(_)) => false,
    }
}

fn summary(ended: &[(&str, Duration, Result<(), Error>)], strict: bool) -> String {
    ended
        .iter()
        .map(|(name, time, result)| {
            let time = clock(*time);
            match result {
                Ok(()) => format!("{time:>8}  {name:<13} ok\n"),
                Err(error) if !failed(result, strict) => format!("{time:>8}  {name:<13} {error}\n"),
                Err(error) => format!("{time:>8}  {name:<13} FAILED: {error:#}\n"),
            }
        })
        .collect()
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Runs cargo with these words.
fn cargo(words: &str) -> Result<()> {
    shell::run(shell::cargo().args(words.split(' ')))
}

fn clippy_sets() -> Result<()> {
    // Libraries alone: a program or a test may rightly need a backend.
    cargo("clippy --workspace --lib --no-default-features -- -D warnings")?;
    cargo("clippy --workspace --all-targets --all-features -- -D warnings")
}

/// How deep frames go depends on how a program is built.
fn residue() -> Result<()> {
    cargo("test --release -p backend-aesni --test residue")?;
    cargo("test --profile plain -p backend-aesni --test residue")
}

/// The other examples are servers, and a client of the open Internet.
fn examples() -> Result<()> {
    cargo("build --workspace --examples --all-features")?;
    // `cargo run` would build them again, with the features that one package alone asks for.
    let programs = shell::metadata()?.target_directory.join("debug/examples");
    for (example, words, says) in [
        (
            "mixed",
            ["openssl+records=soft"].as_slice(),
            ["openssl", "handshake done"],
        ),
        (
            "mutual_tls",
            &[],
            ["alice.test reads: welcome", "mallory.test is refused"],
        ),
    ] {
        let said = shell::output(shell::command(programs.join(example)).args(words))?;
        println!("{said}");
        if let Some(missing) = says.iter().find(|text| !said.contains(*text)) {
            bail!("the example `{example}` does not say {missing:?}");
        }
    }
    Ok(())
}

fn doc() -> Result<()> {
    shell::run(
        shell::cargo()
            .args(["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// The advisories are left out: their database is a git repository that is not always
/// within reach, and its contents change without a change here.
fn deny() -> Result<()> {
    shell::run(shell::command(cargo_deny()?).args([
        "--workspace",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

/// cargo-deny from the path, or one that is built into the target folder on first use.
fn cargo_deny() -> Result<PathBuf> {
    if shell::on_path("cargo-deny") {
        return Ok("cargo-deny".into());
    }
    let tools = shell::metadata()?
        .target_directory
        .into_std_path_buf()
        .join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        // Without optimisation it builds in a minute or two, and its work here takes seconds.
        shell::run(
            shell::cargo()
                .args([
                    "install",
                    "--locked",
                    "--debug",
                    "cargo-deny@0.20.2",
                    "--root",
                ])
                .arg(&tools),
        )?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(only: &[&str], quick: bool) -> Vec<&'static str> {
        let only = only.iter().map(|&name| name.to_owned()).collect();
        let selection = Selection { only, quick };
        STEPS
            .iter()
            .filter(|step| selection.has(step))
            .map(|step| step.name)
            .collect()
    }

    #[test]
    fn a_selection_takes_all_or_the_quick_or_the_named() {
        assert_eq!(chosen(&[], false), names().collect::<Vec<_>>());
        assert_eq!(
            chosen(&[], true),
            ["setup", "fmt", "arrows", "msrv", "clippy", "no-std", "test"]
        );
        // A named step runs though it is slow.
        assert_eq!(chosen(&["deny", "fmt"], false), ["fmt", "deny"]);
    }

    #[test]
    fn the_summary_has_a_line_for_each_step_and_the_reason_of_a_failure() {
        let ended = [
            ("fmt", Duration::from_secs(1), Ok(())),
            (
                "test",
                Duration::from_secs(125),
                Err(Error::msg("it broke")),
            ),
            (
                "arm",
                Duration::from_secs(2),
                Err(Skipped::Missing("no emulator".into()).into()),
            ),
            (
                "constant-time",
                Duration::from_secs(3),
                Err(Skipped::Impossible("another CPU".into()).into()),
            ),
        ];
        let (start, end) = (
            "    0:01  fmt           ok\n    2:05  test          FAILED: it broke\n    0:02  arm           ",
            "skipped: no emulator\n    0:03  constant-time skipped: another CPU\n",
        );
        assert_eq!(summary(&ended, false), format!("{start}{end}"));
        assert_eq!(summary(&ended, true), format!("{start}FAILED: {end}"));
        let failures = |strict| {
            ended
                .each_ref()
                .map(|(_, _, result)| failed(result, strict))
        };
        assert_eq!(failures(false), [false, true, false, false]);
        // What could have been installed is missed only where nobody would see it.
        assert_eq!(failures(true), [false, true, true, false]);
    }

    #[test]
    fn ci_says_that_it_is_ci() {
        let ci = [None, Some(""), Some("false"), Some("true"), Some("1")].map(is_ci);
        assert_eq!(ci, [false, false, false, true, true]);
    }
}
