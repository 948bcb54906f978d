//! The report's charts as SVG.
//!
//! They are drawn in placeholder colours, each of which stands for a role; the page's style
//! sheet gives every role its colour, by day and by night.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::section::{Chart, Unit};
use super::{Grid, Row};

/// Text.
const INK: RGBColor = RGBColor(0xA0, 0, 0x01);
/// Lines behind the data.
const MESH: RGBColor = RGBColor(0xA0, 0, 0x02);
/// Red of the placeholders of contenders; blue is the number.
const SERIES: u8 = 0x5E;

/// How many colours there are for contenders.
pub(crate) const COLOURS: usize = 9;

/// Width of every chart in its own units: a phone shows it whole, with readable text.
const WIDTH: u32 = 380;
const FONT: &str = "sans-serif";
const TEXT: i32 = 16;

/// The placeholder of the contender `at` as the SVG writes it.
pub(crate) fn placeholder(at: usize) -> String {
    let RGBColor(r, g, b) = series(at);
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// The placeholders of text and mesh.
pub(crate) fn roles() -> [(&'static str, &'static str); 2] {
    [("#A00001", "ink"), ("#A00002", "mesh")]
}

fn series(at: usize) -> RGBColor {
    RGBColor(SERIES, 0, (at % COLOURS) as u8)
}

/// Draws a section. `colour` gives each row the number of its colour.
pub(crate) fn draw(grid: &Grid, colour: impl Fn(&Row) -> usize) -> Result<String> {
    // A line needs two points.
    if grid.section.chart == Chart::Lines && grid.columns.len() > 1 {
        lines(grid, colour)
    } else {
        bars(grid, colour)
    }
}

/// Whether [`draw`] leaves it to a legend to name the contenders.
pub(crate) fn needs_legend(grid: &Grid) -> bool {
    grid.section.chart == Chart::Lines && grid.columns.len() > 1
}

fn text_style(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

fn greatest(grid: &Grid) -> f64 {
    let cells = grid.rows.iter().flat_map(|row| row.cells.iter().flatten());
    cells
        .map(|cell| grid.section.unit.scaled(cell.summary.median))
        .fold(f64::MIN_POSITIVE, f64::max)
}

fn lines(grid: &Grid, colour: impl Fn(&Row) -> usize) -> Result<String> {
    const HEIGHT: u32 = 260;
    let unit = grid.section.unit;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let style = text_style(TEXT - 1);
        let last = grid.columns.len() as i32 - 1;
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(26)
            .x_label_area_size(28)
            .y_label_area_size(46)
            .build_cartesian_2d(0..last, 0.0..greatest(grid) * 1.05)?;
        let label = |at: &i32| {
            let column = usize::try_from(*at)
                .ok()
                .and_then(|at| grid.columns.get(at));
            column.cloned().unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(MESH)
            .axis_style(MESH)
            .label_style(style)
            .x_labels(grid.columns.len())
            .x_label_formatter(&label)
            .y_labels(6)
            .y_label_formatter(&|value| tick(unit, *value))
            .draw()?;
        for row in &grid.rows {
            let colour = series(colour(row));
            let points: Vec<(i32, f64)> = (0..)
                .zip(&row.cells)
                .filter_map(|(x, cell)| Some((x, unit.scaled(cell.as_ref()?.summary.median))))
                .collect();
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
            chart.draw_series(points.iter().map(|at| Circle::new(*at, 4, colour.filled())))?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// A number at the axis.
fn tick(unit: Unit, value: f64) -> String {
    match unit {
        Unit::BytesPerSecond if value < 10.0 && value > 0.0 => format!("{value:.1}"),
        _ if value >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        _ => format!("{value:.0}"),
    }
}

/// A group per column: each contender's name and value above its bar.
fn bars(grid: &Grid, colour: impl Fn(&Row) -> usize) -> Result<String> {
    const HEAD: i32 = 26;
    const LABEL: i32 = 19;
    const BAR: i32 = 7;
    const ROW: i32 = LABEL + BAR + 6;
    const LEFT: i32 = 2;
    const RIGHT: i32 = WIDTH as i32 - 2;

    let drawn = |column: usize| {
        let rows = grid.rows.iter();
        rows.filter_map(move |row| Some((row, (*row.cells.get(column)?)?)))
    };
    let heights = (0..grid.columns.len()).map(|at| HEAD + drawn(at).count() as i32 * ROW + 6);
    let height = heights.sum::<i32>();
    let unit = grid.section.unit;
    let scale = f64::from(RIGHT - LEFT) / greatest(grid);
    let mut svg = String::new();
    {
        let size = (WIDTH, u32::try_from(height)?);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let head = text_style(TEXT + 2);
        let name = text_style(TEXT);
        let right = name.clone().pos(Pos::new(HPos::Right, VPos::Top));
        let mut y = 0;
        for (at, column) in grid.columns.iter().enumerate() {
            area.draw(&Text::new(column.clone(), (LEFT, y + 4), head.clone()))?;
            area.draw(&PathElement::new(
                [(LEFT, y + HEAD - 3), (RIGHT, y + HEAD - 3)],
                MESH,
            ))?;
            y += HEAD;
            for (row, cell) in drawn(at) {
                let mut value = unit.format(cell.summary.median);
                if let Some(ratio) = cell.ratio {
                    value.push_str(&format!(" \u{b7} {ratio:.2}\u{d7}"));
                }
                area.draw(&Text::new(
                    row.contender.clone(),
                    (LEFT, y + 3),
                    name.clone(),
                ))?;
                area.draw(&Text::new(value, (RIGHT, y + 3), right.clone()))?;
                let length = (unit.scaled(cell.summary.median) * scale).max(1.0) as i32;
                let corners = [(LEFT, y + LABEL), (LEFT + length, y + LABEL + BAR)];
                let fill = series(colour(row)).filled();
                area.draw(&Rectangle::new(corners, fill))?;
                y += ROW;
            }
            y += 6;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn charts_use_placeholders_alone() {
        for grid in &sample().grids {
            let svg = draw(grid, |row| usize::from(row.contender != "libssl")).unwrap();
            assert!(svg.starts_with("<svg"), "{svg}");
            assert!(svg.contains(&placeholder(0)), "{svg}");
            let colours = svg.split("=\"#").skip(1).map(|rest| &rest[..6]);
            for colour in colours {
                let role = roles().iter().any(|(hex, _)| hex[1..] == *colour);
                let contender = (0..COLOURS).any(|at| placeholder(at)[1..] == *colour);
                assert!(
                    role || contender || svg.contains("opacity=\"0\""),
                    "{colour}"
                );
            }
        }
    }

    #[test]
    fn names_are_escaped() {
        let report = sample();
        let svg = bars(&report.grids[1], |_| 0).unwrap();
        assert!(svg.contains("keyway &lt;soft&gt;"), "{svg}");
    }
}
