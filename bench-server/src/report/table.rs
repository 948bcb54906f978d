//! The report as text.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};

use super::section::Unit;
use super::{Cell, Grid, Report};

/// Columns of text where there is no terminal that says how many it has.
const WIDTH: u16 = 128;

/// Writes the report for a terminal, as wide as that is.
pub(crate) fn table(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", report.machine);
    let _ = writeln!(text, "{}", report.legend);
    for grid in &report.grids {
        let (section, unit) = (grid.section, grid.section.unit.symbol());
        let better = if section.more_is_better {
            "more"
        } else {
            "less"
        };
        let _ = writeln!(text, "\n{}, {unit} ({better} is better)", section.title);
        let _ = writeln!(text, "{}", section.note);
        let _ = writeln!(text, "{}", rendered(grid));
    }
    for failure in &report.failures {
        let _ = writeln!(text, "no figure for {failure}");
    }
    for skipped in &report.skipped {
        let _ = writeln!(text, "skipped: {skipped}");
    }
    let _ = writeln!(text, "\n{:.0} seconds.", report.seconds);
    text
}

fn rendered(grid: &Grid) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    let first = std::iter::once(String::new());
    table.set_header(first.chain(grid.columns.iter().cloned()));
    for row in &grid.rows {
        let first = std::iter::once(row.contender.clone());
        let cells = row.cells.iter().map(|cell| value(grid.section.unit, *cell));
        table.add_row(first.chain(cells));
    }
    // Names stay whole; what is tight is the columns' titles, which break between words.
    if let Some(names) = table.column_mut(0) {
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    for (column, title) in table.column_iter_mut().skip(1).zip(&grid.columns) {
        let longest = title.split(' ').map(str::len).max().unwrap_or_default();
        // With a space on either side.
        let width = u16::try_from(longest + 2).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A value over its ratio and its spread.
fn value(unit: Unit, cell: Option<Cell>) -> String {
    let Some(cell) = cell else {
        return "-".to_owned();
    };
    let mut text = unit.format(cell.summary.median);
    text.push('\n');
    if let Some(ratio) = cell.ratio {
        let _ = write!(text, "{ratio:.2}\u{d7} ");
    }
    if cell.summary.rounds > 1 {
        let _ = write!(text, "\u{b1}{:.0}%", cell.summary.spread_percent());
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_table() {
        let text = table(&super::super::tests::sample());
        for part in [
            "Sending, AES-128-GCM, GB/s (more is better)",
            "16384 B",
            "1.25\u{d7} \u{b1}10%",
            "7\u{202f}555",
            "Latency over loopback TCP, \u{b5}s (less is better)",
            "ratios to libssl, unless",
            "no figure for memory, per connection: keyway <soft>: bytes are missing",
            "skipped: other: apt install other",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn titles_break_between_words() {
        let mut report = super::super::tests::sample();
        let grid = &mut report.grids[0];
        grid.columns = vec!["ECDSA P-256, X25519MLKEM768".into(); 7];
        for row in &mut grid.rows {
            row.cells = vec![row.cells[0]; 7];
        }
        let text = table(&report);
        assert_eq!(text.matches(" X25519MLKEM768 ").count(), 7, "{text}");
    }
}
