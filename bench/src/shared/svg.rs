//! The picture: a grid of kinds of handlers by numbers of connections, in each cell the designs' bars side by side.

use std::fmt::Write;

use super::report::{Cell, Figures, Measure, Measured, Report};
use super::table;

// Pixels: the margin, the room for a line's name, one measure's column and its bars at their longest, a bar's line, a
// cell's heading, the heading of a row, the gap between cells.
const MARGIN: f64 = 16.0;
const NAME: f64 = 58.0;
const COLUMN: f64 = 104.0;
const BAR: f64 = 58.0;
const LINE: f64 = 19.0;
const HEADING: f64 = 17.0;
const ROW: f64 = 24.0;
const GAP: f64 = 14.0;
/// The measures that are drawn, and their names.
const DRAWN: [(Measure, &str); 3] =
    [(Measure::Throughput, "requests/s"), (Measure::Cpu, "CPU µs/request"), (Measure::P99, "p99 µs")];

const STYLE: &str = "\
text{fill:#1b1f24;font:12px system-ui,sans-serif}.h{font-weight:600;font-size:14px}.t{font-weight:600;font-size:17px}\
.f{fill:#6a737d;font-size:11px}.b{font-weight:700}.paper{fill:#fff}.box{fill:#f5f7f9}.w{stroke:#1b1f24;stroke-width:1.2}\
.shared{fill:#2f7f86}.workers{fill:#c98a2b}.leader{fill:#8a6fb0}\
@media (prefers-color-scheme:dark){text{fill:#e6e9ec}.f{fill:#9aa4ae}.paper{fill:#15181c}.box{fill:#1e2328}.w{stroke:#e6e9ec}\
.shared{fill:#4fb0b8}.workers{fill:#e0a94f}.leader{fill:#ab92d0}}";

/// The picture alone.
pub fn render(report: &Report) -> String {
    let (rows, columns) = axes(report);
    let cell_width = NAME + COLUMN * DRAWN.len() as f64;
    let width = 2.0 * MARGIN + columns.len() as f64 * (cell_width + GAP) - GAP;
    let cell_height = HEADING + LINE * 3.0 + 6.0;
    let head = 112.0;
    let height = head + rows.len() as f64 * (ROW + cell_height + GAP) + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"The shared port beside two other designs\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    text(&mut out, (MARGIN, 28.0), "t", "start", "One server in three designs: where each wins");
    let machine = format!("{}; {} threads run, {} where handlers block", report.machine, report.threads, report.pool);
    text(&mut out, (MARGIN, 46.0), "f", "start", &machine);
    legend(&mut out);
    for (column, connections) in columns.iter().enumerate() {
        let plural = if *connections == 1 { "" } else { "s" };
        let x = MARGIN + column as f64 * (cell_width + GAP) + cell_width;
        text(&mut out, (x, head - 4.0), "h", "end", &format!("{connections} connection{plural}"));
    }
    for (row, handler) in rows.iter().enumerate() {
        let top = head + row as f64 * (ROW + cell_height + GAP);
        text(&mut out, (MARGIN, top + 15.0), "h", "start", &format!("Handler {handler}"));
        for (column, connections) in columns.iter().enumerate() {
            let at = (MARGIN + column as f64 * (cell_width + GAP), top + ROW);
            let _ = writeln!(
                out,
                "<rect class=\"box\" x=\"{}\" y=\"{}\" width=\"{cell_width}\" height=\"{cell_height}\" rx=\"4\"/>",
                at.0, at.1
            );
            let found = report.cells.iter().find(|cell| cell.handler == *handler && cell.connections == *connections);
            draw(&mut out, at, found);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The picture on a page, with all figures under it.
pub fn page(report: &Report) -> String {
    let figures = escape(&table::summary(report));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Designs of a server</title>\n\
         <style>:root{{color-scheme:light dark}}body{{margin:1rem;font:15px system-ui,sans-serif}}\
         svg{{max-width:100%;height:auto}}pre{{overflow-x:auto}}</style>\n</head>\n<body>\n{}\n<pre>{figures}</pre>\n</body>\n</html>\n",
        render(report)
    )
}

/// Handlers and numbers of connections, each in the order of their first cell.
fn axes(report: &Report) -> (Vec<&'static str>, Vec<usize>) {
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for cell in &report.cells {
        if !rows.contains(&cell.handler) {
            rows.push(cell.handler);
        }
        if !columns.contains(&cell.connections) {
            columns.push(cell.connections);
        }
    }
    columns.sort_unstable();
    (rows, columns)
}

fn legend(out: &mut String) {
    let designs = [
        ("shared", "one shared port and its pool"),
        ("workers", "a private port for each thread"),
        ("leader", "one ring, leader and followers"),
    ];
    for (place, (class, meaning)) in designs.iter().enumerate() {
        let x = MARGIN + 275.0 * place as f64;
        let _ = writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"56\" width=\"12\" height=\"12\" rx=\"2\"/>");
        text(out, (x + 18.0, 66.0), "", "start", &format!("{class}: {meaning}"));
    }
    let note = "More requests are better, and less processor time and latency. Whiskers are 95 % intervals. Bold: better than \
                both others by more than chance.";
    text(out, (MARGIN, 83.0), "f", "start", note);
}

fn draw(out: &mut String, (x, y): (f64, f64), cell: Option<&Cell>) {
    let Some(cell) = cell else {
        text(out, (x + 6.0, y + HEADING + 2.0 * LINE - 6.0), "f", "start", "nothing to wait behind: not measured");
        return;
    };
    let Some(measured) = &cell.measured else {
        let error = cell.error.as_deref().unwrap_or("not measured");
        text(out, (x + 6.0, y + HEADING + 2.0 * LINE - 6.0), "f", "start", error);
        return;
    };
    for (line, figures) in measured.designs.iter().enumerate() {
        text(out, (x + NAME - 6.0, y + HEADING + line as f64 * LINE + 14.0), "", "end", figures.design);
    }
    for (column, (measure, name)) in DRAWN.iter().enumerate() {
        let left = x + NAME + column as f64 * COLUMN;
        let short = if cell.mixed && *measure == Measure::P99 { "p99 µs, short ones" } else { name };
        text(out, (left, y + 13.0), "f", "start", short);
        bars(out, (left, y + HEADING), *measure, measured);
    }
}

/// One measure's bars, from zero, the longest as long as there is room for.
fn bars(out: &mut String, (x, y): (f64, f64), measure: Measure, measured: &Measured) {
    let of = |figures: &Figures| *figures.values.get(measure);
    let longest = measured.designs.iter().map(|figures| of(figures).high).fold(f64::MIN_POSITIVE, f64::max);
    for (line, figures) in measured.designs.iter().enumerate() {
        let value = of(figures);
        let top = y + line as f64 * LINE + 3.0;
        let middle = top + 7.0;
        let at = |value: f64| x + value / longest * BAR;
        let (class, width) = (figures.design, (at(value.estimate) - x).max(1.0));
        let _ = writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width:.1}\" height=\"14\" rx=\"2\"/>");
        let (from, to) = (at(value.low), at(value.high));
        let _ = writeln!(
            out,
            "<path class=\"w\" d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {}v6M{to:.1} {}v6\"/>",
            middle - 3.0,
            middle - 3.0
        );
        let best = if *measured.best.get(measure) == Some(figures.design) { "b" } else { "" };
        text(out, (at(value.high).max(x + width) + 4.0, top + 11.0), best, "start", &table::number(value.estimate));
    }
}

fn text(out: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, content: &str) {
    let content = escape(content);
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn every_figure_has_a_bar_and_a_whisker() {
        let picture = render(&sample());
        // Three cells with results, three designs, three measures.
        assert_eq!(picture.matches("<path class=\"w\"").count(), 27);
        assert_eq!(picture.matches("height=\"14\"").count(), 27);
        // Workers are best in two of the three that are drawn, in each of the cells.
        assert_eq!(picture.matches("<text class=\"b\"").count(), 6);
        assert!(picture.contains("p99 µs, short ones"));
    }

    #[test]
    fn what_is_missing_says_so_and_what_comes_from_outside_is_escaped() {
        let picture = render(&sample());
        assert!(picture.contains("a &lt;machine&gt;") && picture.contains("&quot;reset&quot; &amp; gone"));
        assert_eq!(picture.matches("not measured").count(), 2, "one connection of two handlers");
    }

    #[test]
    fn the_page_stands_alone() {
        let page = page(&sample()).replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
