//! The report as one page that needs nothing else.

use std::fmt::Write as _;

use anyhow::Result;

use super::charts::{COLOURS, draw, needs_legend, placeholder, roles};
use super::{Cell, Grid, Report, Row};
use crate::report::section::Unit;

/// Writes the page.
///
/// # Errors
/// If a chart cannot be drawn.
pub(crate) fn html(report: &Report) -> Result<String> {
    let stacks = stacks(report);
    let colour = |row: &Row| colour(&stacks, row);
    let mut page = String::new();
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Keyway: what TLS costs here</title>\n<style>\n{}{}</style>\n</head>\n<body>\n\
         <header>\n<h1>What TLS costs here</h1>\n<p>{}</p>\n<p class=\"note\">{}</p>\n",
        include_str!("page.css"),
        colours(),
        escape(&report.machine.to_string()),
        escape(&report.legend),
    );
    for failure in &report.failures {
        let _ = writeln!(
            page,
            "<p class=\"wrong\">No figure for {}</p>",
            escape(failure)
        );
    }
    for skipped in &report.skipped {
        let _ = writeln!(page, "<p>Skipped: {}</p>", escape(skipped));
    }
    page.push_str("</header>\n<main>\n");
    for grid in &report.grids {
        section(&mut page, grid, colour)?;
    }
    let _ = write!(
        page,
        "</main>\n<footer><p>Measured by bench-server {} in {:.0} seconds.</p></footer>\n\
         </body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        report.seconds
    );
    Ok(page)
}

/// The number of a row's colour: its stack's place, and the last for what is no stack.
fn colour(stacks: &[&str], row: &Row) -> usize {
    const ALONE: usize = COLOURS - 1;
    let at = |stack: &String| stacks.iter().position(|known| known == stack);
    row.stack
        .as_ref()
        .and_then(at)
        .map_or(ALONE, |at| at % ALONE)
}

/// All stacks, in the order of their first appearance.
fn stacks(report: &Report) -> Vec<&str> {
    let mut stacks = Vec::new();
    for row in report.grids.iter().flat_map(|grid| &grid.rows) {
        if let Some(stack) = row.stack.as_deref()
            && !stacks.contains(&stack)
        {
            stacks.push(stack);
        }
    }
    stacks
}

/// Rules that give the charts' placeholders their colours.
fn colours() -> String {
    let mut css = String::new();
    let series = (0..COLOURS).map(|at| (placeholder(at), format!("s{at}")));
    let roles = roles().map(|(hex, role)| (hex.to_owned(), role.to_owned()));
    for (hex, name) in series.chain(roles) {
        let _ = writeln!(
            css,
            "svg [fill=\"{hex}\"] {{ fill: var(--{name}); }} \
             svg [stroke=\"{hex}\"] {{ stroke: var(--{name}); }}"
        );
    }
    css
}

fn section(page: &mut String, grid: &Grid, colour: impl Fn(&Row) -> usize) -> Result<()> {
    let section = grid.section;
    let better = if section.more_is_better {
        "more"
    } else {
        "less"
    };
    let _ = writeln!(
        page,
        "<section id=\"{}\">\n<h2>{}</h2>\n<p class=\"note\">{} {}; {better} is better.</p>",
        section.id,
        escape(section.title),
        escape(section.note),
        escape(&capital(section.unit.symbol())),
    );
    let svg = draw(grid, &colour)?;
    let label = format!(
        "<svg role=\"img\" aria-label=\"{}\" ",
        escape(section.title)
    );
    page.push_str(&svg.replacen("<svg ", &label, 1));
    if needs_legend(grid) {
        page.push_str("<ul class=\"legend\">\n");
        for row in &grid.rows {
            let _ = writeln!(
                page,
                "<li><i style=\"background:var(--s{})\"></i>{}</li>",
                colour(row),
                escape(&row.contender)
            );
        }
        page.push_str("</ul>\n");
    }
    page.push_str(
        "<details>\n<summary>The numbers</summary>\n<div class=\"scroll\"><table>\n<tr><th></th>",
    );
    for column in &grid.columns {
        let _ = write!(page, "<th>{}</th>", escape(column));
    }
    page.push_str("</tr>\n");
    for row in &grid.rows {
        let _ = write!(page, "<tr><th>{}</th>", escape(&row.contender));
        for cell in &row.cells {
            let _ = write!(page, "<td>{}</td>", value(section.unit, *cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n</details>\n</section>\n");
    Ok(())
}

fn value(unit: Unit, cell: Option<Cell>) -> String {
    let Some(cell) = cell else {
        return "\u{2013}".to_owned();
    };
    let ratio = cell.ratio.map(|ratio| format!("{ratio:.2}\u{d7}"));
    // One round has no spread.
    let spread =
        (cell.summary.rounds > 1).then(|| format!("\u{b1}{:.0}%", cell.summary.spread_percent()));
    let more: Vec<String> = ratio.into_iter().chain(spread).collect();
    format!(
        "{}<small>{}</small>",
        unit.format(cell.summary.median),
        more.join(" ")
    )
}

fn capital(unit: &str) -> String {
    let mut chars = unit.chars();
    match chars.next() {
        Some(first) if unit.is_ascii() => first.to_uppercase().chain(chars).collect(),
        _ => unit.to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_stands_alone() {
        let page = html(&super::super::tests::sample()).unwrap();
        for part in [
            "name=\"viewport\"",
            "prefers-color-scheme: dark",
            "<svg role=\"img\" aria-label=\"Sending, AES-128-GCM\"",
            "keyway &lt;soft&gt;",
            "<small>1.25\u{d7} \u{b1}10%</small>",
            "No figure for memory, per connection",
            "Skipped: other: apt install other",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        // The name of SVG's namespace is no address to be fetched.
        let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
        for part in ["http:", "https:", "<script", "<link", "@import", "url("] {
            assert!(!elsewhere.contains(part), "{part}");
        }
        assert!(!page.contains("keyway <soft>"));
        assert_eq!(
            page.matches("<section").count(),
            page.matches("</section>").count()
        );
    }

    #[test]
    fn a_stack_has_one_colour_under_every_name() {
        let row = |contender: &str, stack: Option<&str>| Row {
            contender: contender.to_owned(),
            stack: stack.map(str::to_owned),
            cells: Vec::new(),
        };
        let stacks = ["libssl", "keyway soft", "keyway openssl+records=aesni"];
        let name = stacks[2];
        let of = |row: Row| colour(&stacks, &row);
        assert_eq!(of(row(name, Some(name))), 2);
        assert_eq!(of(row("aesni through Keyway", Some(name))), 2);
        // It is nobody's else.
        let alone = of(row("aesni alone", None));
        assert_eq!(alone, COLOURS - 1);
        let many: Vec<String> = (0..2 * COLOURS).map(|at| at.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for stack in &many {
            assert_ne!(colour(&many, &row(stack, Some(stack))), alone);
        }
    }
}
