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
        let mut stdout = std::io::stdout().lock();
        if let Some(path) = &self.json {
            let json = json(report)?;
            if self.json_to_stdout() {
                stdout.write_all(json.as_bytes())?;
            } else {
                write(path, &json)?;
            }
        }
        if !self.json_to_stdout() {
            stdout.write_all(table(report).as_bytes())?;
        }
        if let Some(path) = &self.html {
            write(path, &html(report)?)?;
        }
        match report.failures.as_slice() {
            [] => Ok(()),
            [only] => bail!("no figure for {only}"),
            [first, more @ ..] => bail!("no figure for {first} (and {} more)", more.len()),
        }
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
