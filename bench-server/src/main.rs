//! Keyway's benchmark server.
//!
//! ```text
//! bench-server                    compares the backends on this machine
//! bench-server --quick            the same within fifteen seconds
//! bench-server --html page.html   with charts
//! bench-server serve              a TLS server to look at and to measure
//! bench-server load               puts a TLS server under load
//! bench-server hsm                what a key in a slow HSM costs
//! ```

#![forbid(unsafe_code)]

mod backend;
mod body;
mod certs;
mod compare;
mod failure;
#[cfg(feature = "pkcs11")]
mod hsm;
mod latency;
mod load;
mod print;
mod report;
mod runtime;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures what TLS costs on this machine.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: compare::CompareArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares the backends, and with the feature `peers` other stacks (the default)
    Compare(compare::CompareArgs),
    Serve(serve::ServeArgs),
    Load(load::LoadArgs),
    #[cfg(feature = "pkcs11")]
    Hsm(hsm::HsmArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Compare(cli.compare)) {
        Command::Compare(args) => compare::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Load(args) => load::run(&args),
        #[cfg(feature = "pkcs11")]
        Command::Hsm(args) => hsm::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever a library's message looks like.
            let text = format!("{error:#}");
            let line: Vec<&str> = text.split_whitespace().collect();
            print::complain(&format!("bench-server: {}", line.join(" ")));
            ExitCode::FAILURE
        }
    }
}
