//! Where a report goes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Report, html, json, table};

/// The options of every command that makes a report.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OutputArgs {
    /// Writes the results as JSON; `-` is the standard output, instead of the tables.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the results as one HTML page with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl OutputArgs {
    fn json_to_stdout(&self) -> bool {
        self.json
            .as_ref()
            .is_some_and(|path| path.as_os_str() == "-")
    }

    /// Whether the files can be written: a wrong path shall not be told after two minutes.
    pub(crate) fn check(&self) -> Result<()> {
        let json = self.json.iter().filter(|_| !self.json_to_stdout());
        for path in self.html.iter().chain(json) {
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Prints the report and writes its files.
    ///
    /// # Errors
    /// A file that cannot be written, or figures that are missing: the others are reported
    /// all the same.
    pub(crate) fn deliver(&self, report: &Report) -> Result<()> {
        let json = json(report)?;
        let printed = if self.json_to_stdout() {
            print(&json)
        } else {
            print(&table(report))
        };
        // What cannot go to one place goes to the others.
        let written = match &self.json {
            Some(path) if !self.json_to_stdout() => write(path, &json),
            _ => Ok(()),
        };
        let drawn = match &self.html {
            Some(path) => html(report).and_then(|page| write(path, &page)),
            None => Ok(()),
        };
        printed.and(written).and(drawn)?;
        match report.failures.as_slice() {
            [] => Ok(()),
            [only] => bail!("no figure for {only}"),
            [first, more @ ..] => bail!("no figure for {first} (and {} more)", more.len()),
        }
    }
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let outcome = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    outcome.context("cannot write to the standard output")
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
