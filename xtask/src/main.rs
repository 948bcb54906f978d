//! The workspace's chores: what would otherwise be a drawer of scripts.
//!
//! `cargo xtask test` is the one test command; each of its steps is also a chore of its own
//! (`cargo xtask test --only clippy`). `cargo xtask --help` lists the rest.

mod arm;
mod arrows;
mod constant_time;
mod kryoptic;
mod msrv;
mod no_std;
mod sanitizer;
mod setup;
mod shell;
mod steps;
mod targets;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The workspace's checks and chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check and every test; the command to run before a change is offered
    Test(steps::Selection),
    /// Install the Debian packages the tests need (as root), or say what is missing
    Setup,
    /// Check that packages depend on one another only as the design allows
    Arrows,
    /// Build crypto-api and tls-core where no standard library exists
    NoStd,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Test(selection) => steps::run(&selection),
        Chore::Setup => setup::run(),
        Chore::Arrows => arrows::run(),
        Chore::NoStd => no_std::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `Debug`: where in this program an error arose helps no one who runs a check.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
