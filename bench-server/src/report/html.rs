//! The report as one page that needs nothing else.

use std::fmt::Write as _;

use anyhow::Result;

use super::charts::{COLOURS, draw, needs_legend, placeholder, roles};
use super::{Cell, Grid, Report};
use crate::report::section::Unit;

/// Writes the page.
///
/// # Errors
/// If a chart cannot be drawn.
pub(crate) fn html(report: &Report) -> Result<String> {
    let names = contenders(report);
    let colour = |name: &str| colour(&names, name);
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

/// The number of a contender's colour: its place, except that Keyway over a backend has the
/// same colour wherever it is compared, and what is beside it there the last.
fn colour(names: &[&str], name: &str) -> usize {
    let stack = name
        .strip_suffix(" through Keyway")
        .map(|backend| format!("keyway {backend}"));
    if name.ends_with(" alone") {
        return COLOURS - 1;
    }
    let name = stack.as_deref().unwrap_or(name);
    let at = names.iter().position(|known| *known == name);
    at.unwrap_or_default() % COLOURS
}

/// All names, in the order of their first appearance.
fn contenders(report: &Report) -> Vec<&str> {
    let mut names = Vec::new();
    for row in report.grids.iter().flat_map(|grid| &grid.rows) {
        if !names.contains(&row.contender.as_str()) {
            names.push(row.contender.as_str());
        }
    }
    names
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

fn section(page: &mut String, grid: &Grid, colour: impl Fn(&str) -> usize) -> Result<()> {
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
                colour(&row.contender),
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
    let ratio = cell
        .ratio
        .map_or(String::new(), |ratio| format!("{ratio:.2}\u{d7} "));
    format!(
        "{}<small>{ratio}\u{b1}{:.0}%</small>",
        unit.format(cell.summary.median),
        cell.summary.spread_percent()
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
            "1.25\u{d7} ",
            "No figure for memory, per connection",
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
}
