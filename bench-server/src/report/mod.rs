//! The report of a comparison: one model, written as table, JSON and HTML.

mod charts;
mod html;
mod machine;
mod output;
pub(crate) mod section;
mod table;

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use html::html;
pub(crate) use output::OutputArgs;
use table::table;

use crate::compare::engine::{Measured, Outcome};
use crate::compare::stats::Summary;
use machine::Machine;
use section::{Section, Unit};

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Where.
    pub(crate) machine: Machine,
    /// The contender that ratios are to, unless a section's note names another.
    pub(crate) baseline: String,
    /// How values and ratios are to be read.
    pub(crate) legend: String,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// What was measured.
    pub(crate) grids: Vec<Grid>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
    /// What was left out because it is not on this machine, and what to install for it.
    pub(crate) skipped: Vec<String>,
}

/// A section with its values: contenders by columns.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Grid {
    #[serde(flatten, serialize_with = "describe")]
    pub(crate) section: &'static Section,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// A contender's values.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) contender: String,
    /// The stack that it is, which has one colour under whatever name; none if it is a
    /// backend without a stack.
    pub(crate) stack: Option<String>,
    /// One per column; `None` where the contender has nothing to compare.
    pub(crate) cells: Vec<Option<Cell>>,
}

/// A value in the section's base unit: seconds, bytes, bytes per second, or per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Cell {
    #[serde(flatten)]
    pub(crate) summary: Summary,
    /// The median, over the rounds, of the value divided by the baseline's.
    pub(crate) ratio: Option<f64>,
}

impl From<Measured> for Cell {
    fn from(measured: Measured) -> Self {
        Self {
            summary: measured.summary,
            ratio: measured.ratio,
        }
    }
}

fn describe<S: serde::Serializer>(
    section: &&'static Section,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Described {
        id: &'static str,
        title: &'static str,
        note: &'static str,
        unit: Unit,
        more_is_better: bool,
    }
    Described {
        id: section.id,
        title: section.title,
        note: section.note,
        unit: section.unit,
        more_is_better: section.more_is_better,
    }
    .serialize(serializer)
}

/// How values and ratios are to be read.
fn legend(baseline: &str) -> String {
    format!(
        "Medians of interleaved rounds, \u{b1} the median deviation. \u{d7} is the median of the \
         rounds' ratios to {baseline}, unless a section says otherwise: what disturbs a round \
         disturbs both sides of its ratio, so it may differ from the ratio of two medians."
    )
}

impl Report {
    /// Sorts what was measured into sections; rows in the order of `stacks`, others as they
    /// come.
    pub(crate) fn new(
        baseline: &str,
        stacks: &[String],
        outcomes: Vec<Outcome>,
        took: Duration,
    ) -> Self {
        let mut grids: Vec<Grid> = section::ALL.iter().map(Grid::new).collect();
        // What one reason left without a figure is told in one line.
        let mut sections = String::new();
        let mut reason = String::new();
        let mut failures = Vec::new();
        for outcome in outcomes {
            match outcome.value {
                Ok(measured) => {
                    let grid = grids
                        .iter_mut()
                        .find(|grid| grid.section.id == outcome.metric.section);
                    if let Some(grid) = grid {
                        grid.put(&outcome.contender, &outcome.metric.column, measured.into());
                    }
                }
                Err(error) => {
                    let section = outcome.metric.section;
                    let this = format!("{}: {}: {error}", outcome.metric.column, outcome.contender);
                    if reason == this && failures.pop().is_some() {
                        sections = format!("{sections}, {section}");
                    } else {
                        sections = section.to_owned();
                    }
                    failures.push(format!("{sections}, {this}"));
                    reason = this;
                }
            }
        }
        grids.retain(|grid| !grid.rows.is_empty());
        for grid in &mut grids {
            grid.rows.sort_by_key(|row| {
                let place = stacks.iter().position(|stack| *stack == row.contender);
                place.unwrap_or(stacks.len())
            });
        }
        Self {
            machine: Machine::this(),
            baseline: baseline.to_owned(),
            legend: legend(baseline),
            seconds: took.as_secs_f64(),
            grids,
            failures,
            skipped: Vec::new(),
        }
    }

    /// Tells what was left out.
    pub(crate) fn with_skipped(mut self, skipped: Vec<String>) -> Self {
        self.skipped = skipped;
        self
    }

    /// Says which stacks the contenders are that have other names in a section.
    pub(crate) fn with_stacks(mut self, known: &[(String, Option<String>)]) -> Self {
        for row in self.grids.iter_mut().flat_map(|grid| &mut grid.rows) {
            if let Some((_, stack)) = known.iter().find(|(name, _)| *name == row.contender) {
                row.stack.clone_from(stack);
            }
        }
        self
    }
}

impl Grid {
    fn new(section: &'static Section) -> Self {
        Self {
            section,
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    fn put(&mut self, contender: &str, column: &str, cell: Cell) {
        let at = self.columns.iter().position(|c| c == column);
        let at = at.unwrap_or_else(|| {
            self.columns.push(column.to_owned());
            self.columns.len() - 1
        });
        let row = self.rows.iter().position(|row| row.contender == contender);
        let row = row.unwrap_or_else(|| {
            self.rows.push(Row {
                contender: contender.to_owned(),
                stack: Some(contender.to_owned()),
                cells: Vec::new(),
            });
            self.rows.len() - 1
        });
        for row in &mut self.rows {
            row.cells.resize(self.columns.len(), None);
        }
        if let Some(slot) = self.rows.get_mut(row).and_then(|row| row.cells.get_mut(at)) {
            *slot = Some(cell);
        }
    }
}

/// The report as JSON, in base units.
fn json(report: &Report) -> Result<String> {
    let mut json = serde_json::to_string_pretty(report)?;
    json.push('\n');
    Ok(json)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::compare::engine::Metric;

    /// A small report of known values.
    pub(crate) fn sample() -> Report {
        let outcome = |section, column: &str, contender: &str, value: f64, ratio| Outcome {
            metric: Metric {
                section,
                column: column.into(),
            },
            contender: contender.into(),
            value: Ok(Measured {
                summary: Summary::of(&[value * 0.9, value, value * 1.1]).unwrap(),
                ratio,
            }),
        };
        let stacks = ["libssl".to_owned(), "keyway <soft>".to_owned()];
        let outcomes = vec![
            outcome(
                section::SEND_AES128,
                "64 B",
                "keyway <soft>",
                0.5e9,
                Some(1.25),
            ),
            outcome(section::SEND_AES128, "64 B", "libssl", 0.4e9, None),
            outcome(section::SEND_AES128, "16384 B", "libssl", 15e9, None),
            outcome(
                section::HANDSHAKE_SERVER,
                "ECDSA P-256",
                "libssl",
                7555.0,
                None,
            ),
            outcome(section::MEMORY, "per connection", "libssl", 40_000.0, None),
            outcome(section::TCP_LATENCY, "p50", "libssl", 300e-6, None),
            Outcome {
                metric: Metric {
                    section: section::MEMORY,
                    column: "per connection".into(),
                },
                contender: "keyway <soft>".into(),
                value: Err("bytes are missing".into()),
            },
        ];
        Report::new("libssl", &stacks, outcomes, Duration::from_secs(3))
            .with_skipped(vec!["other: apt install other".into()])
    }

    #[test]
    fn one_reason_is_one_line() {
        let missing = |section, contender: &str| Outcome {
            metric: Metric {
                section,
                column: "3 ms".into(),
            },
            contender: contender.into(),
            value: Err("no answer".into()),
        };
        let outcomes = vec![
            missing(section::HSM_HANDSHAKE, "a"),
            missing(section::HSM_P50, "a"),
            missing(section::HSM_HANDSHAKE, "b"),
        ];
        let report = Report::new("a", &[], outcomes, Duration::ZERO);
        assert_eq!(
            report.failures,
            [
                "hsm-handshake, hsm-latency-p50, 3 ms: a: no answer",
                "hsm-handshake, 3 ms: b: no answer",
            ]
        );
    }

    #[test]
    fn values_find_their_place() {
        let report = sample();
        let ids: Vec<_> = report.grids.iter().map(|grid| grid.section.id).collect();
        assert_eq!(
            ids,
            [
                section::HANDSHAKE_SERVER,
                section::SEND_AES128,
                section::TCP_LATENCY,
                section::MEMORY
            ]
        );
        let grid = &report.grids[1];
        assert_eq!(grid.columns, ["64 B", "16384 B"]);
        // In the order of the stacks, not of arrival.
        assert_eq!(grid.rows[0].contender, "libssl");
        assert_eq!(grid.rows[1].cells[0].unwrap().ratio, Some(1.25));
        assert_eq!(grid.rows[1].cells[1], None);
        assert_eq!(
            report.failures,
            ["memory, per connection: keyway <soft>: bytes are missing"]
        );
    }

    #[test]
    fn json_has_base_units() {
        let value: serde_json::Value = serde_json::from_str(&json(&sample()).unwrap()).unwrap();
        let grid = &value["grids"][1];
        assert_eq!(grid["id"], "send-aes-128-gcm");
        assert_eq!(grid["unit"], "bytes-per-second");
        assert_eq!(grid["rows"][1]["cells"][0]["median"], 0.5e9);
        assert_eq!(grid["rows"][1]["cells"][0]["ratio"], 1.25);
        assert_eq!(grid["rows"][1]["cells"][1], serde_json::Value::Null);
        assert_eq!(value["baseline"], "libssl");
        assert_eq!(value["skipped"][0], "other: apt install other");
        let legend = value["legend"].as_str().unwrap();
        assert!(legend.contains("ratios to libssl, unless"), "{legend}");
    }

    #[test]
    fn a_ratio_to_another_is_told_where_it_stands() {
        for id in [section::ALONE_SEAL, section::ALONE_OPEN] {
            let section = section::ALL.iter().find(|section| section.id == id);
            let note = section.unwrap().note;
            assert!(note.contains("ratio to the same backend alone"), "{note}");
        }
    }
}
