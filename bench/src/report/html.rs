//! A self-contained picture of a report: one HTML file with inline SVG, readable in light and dark.

use std::fmt::Write;

use super::table::number;
use super::{Count, Outcome, Report, Row, by_case};
use crate::stats::{Interval, Verdict};

/// Pixels: the chart's whole width, the room for names, the height of a bar's line, the room for numbers.
const WIDTH: f64 = 860.0;
const NAMES: f64 = 250.0;
const LINE: f64 = 28.0;
const NUMBERS: f64 = 190.0;

/// The page.
pub fn render(report: &Report) -> String {
    let mut body = String::new();
    for (case, rows) in by_case(&report.comparisons) {
        let note = "Processor time per request: the subject’s divided by the rival’s. Less is better; the whisker is \
                    the 95 % interval, the dashed line stands at equal cost.";
        chart(
            &mut body,
            case,
            note,
            rows.iter().map(|row| ratio_bar(row, |pair| (pair.ratio, pair.verdict))).collect(),
            Some(1.0),
        );
    }
    for (case, rows) in by_case(&report.counts) {
        chart(&mut body, case, "Less is better.", rows.iter().map(|row| count_bar(row)).collect(), None);
    }
    for (case, rows) in by_case(&report.ratios) {
        let note = "The subject’s divided by the rival’s. Less is better; the whisker is the 95 % interval.";
        chart(
            &mut body,
            case,
            note,
            rows.iter().map(|row| ratio_bar(row, |pair| (pair.ratio, pair.verdict))).collect(),
            Some(1.0),
        );
    }
    let machine = escape(&report.machine);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Ostia beside its rivals</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Ostia beside its rivals</h1>\n<p>{machine}</p>\n{body}</body>\n</html>\n"
    )
}

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #6a737d; --grid: #d8dee4;
  --reached: #2f8f5b; --missed: #c4432b; --open: #b58105; --plain: #4a76b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #15181c; --faint: #9aa4ae; --grid: #363c44;
  --reached: #4dbb80; --missed: #ec7159; --open: #dfae3a; --plain: #7fa7e0; } }
body { color: var(--ink); background: var(--paper); font: 16px/1.45 system-ui, sans-serif; max-width: 54rem;
  margin: 2rem auto; padding: 0 1rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .2rem; }
p { color: var(--faint); margin: .2rem 0 .6rem; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg text.faint { fill: var(--faint); }
.grid { stroke: var(--faint); stroke-dasharray: 4 3; }
.whisker { stroke: var(--ink); stroke-width: 1.5; }
.reached { fill: var(--reached); } .missed { fill: var(--missed); } .open { fill: var(--open); }
.plain { fill: var(--plain); }
";

/// One line of a chart.
struct Bar {
    name: String,
    /// Length, and the ends of the whisker; none for what has no result.
    value: Option<(f64, Option<(f64, f64)>)>,
    class: &'static str,
    label: String,
}

/// A ratio of two programs; `of` finds it and its verdict.
fn ratio_bar<T>(row: &Row<T>, of: impl FnOnce(&T) -> (Interval, Verdict)) -> Bar {
    let name = format!("{} / {}", row.target, row.rival.as_deref().unwrap_or_default());
    match &row.outcome {
        Outcome::Error(error) => Bar { name, value: None, class: "plain", label: error.clone() },
        Outcome::Measured(measured) => {
            let (ratio, verdict) = of(measured);
            Bar {
                name,
                value: Some((ratio.estimate, Some((ratio.low, ratio.high)))),
                class: class(verdict),
                label: format!("{:.3}  {}", ratio.estimate, verdict.label()),
            }
        }
    }
}

fn count_bar(row: &Row<Count>) -> Bar {
    let name = row.target.clone();
    match &row.outcome {
        Outcome::Error(error) => Bar { name, value: None, class: "plain", label: error.clone() },
        Outcome::Measured(count) => Bar {
            name,
            value: Some((count.value, None)),
            class: class(count.verdict),
            label: format!("{} {}", number(count.value), count.unit),
        },
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reached => "reached",
        Verdict::Missed => "missed",
        Verdict::NotShown => "open",
        Verdict::Reported => "plain",
    }
}

/// A heading, a note and bars from zero; `mark` draws a dashed line at that value.
fn chart(out: &mut String, title: &str, note: &str, bars: Vec<Bar>, mark: Option<f64>) {
    let ends = bars.iter().filter_map(|bar| bar.value.map(|(value, whisker)| whisker.map_or(value, |(_, high)| high)));
    let longest = ends.fold(mark.unwrap_or_default(), f64::max);
    let scale = if longest > 0.0 { (WIDTH - NAMES - NUMBERS) / longest } else { 0.0 };
    let x = |value: f64| NAMES + value.max(0.0) * scale;
    let height = LINE * bars.len() as f64 + 8.0;
    let title = escape(title);
    // Writing to a String can't fail.
    let _ = writeln!(out, "<h2>{title}</h2>\n<p>{}</p>", escape(note));
    let _ = writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
    for (i, bar) in bars.iter().enumerate() {
        let top = LINE * i as f64 + 6.0;
        let (middle, base) = (top + 8.0, top + 13.0);
        let name = escape(&bar.name);
        let label = escape(&bar.label);
        let _ = writeln!(out, "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{name}</text>", NAMES - 8.0);
        let Some((value, whisker)) = bar.value else {
            let _ = writeln!(out, "<text class=\"faint\" x=\"{NAMES}\" y=\"{base}\">{label}</text>");
            continue;
        };
        let width = x(value) - NAMES;
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{NAMES}\" y=\"{top}\" width=\"{width:.1}\" height=\"16\" rx=\"2\"/>",
            bar.class
        );
        let mut end = x(value.max(mark.unwrap_or_default()));
        if let Some((low, high)) = whisker {
            let (from, to) = (x(low), x(high));
            end = end.max(to);
            let _ =
                writeln!(out, "<path class=\"whisker\" d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {top}v16M{to:.1} {top}v16\"/>");
        }
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{base}\">{label}</text>", end + 8.0);
    }
    if let Some(mark) = mark {
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{:.1} 0V{height}\"/>", x(mark));
    }
    out.push_str("</svg>\n");
}

/// Text as HTML takes it, in content and in quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_page_stands_alone() {
        let page = render(&sample());
        for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn every_row_has_its_line() {
        let page = render(&sample());
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("<rect").count(), 4);
        assert_eq!(page.matches("class=\"whisker\"").count(), 2);
        assert!(page.contains("0.830  reached"));
        assert!(page.contains("valgrind is missing"));
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let page = render(&sample());
        assert!(page.contains("&lt;nexio&gt;") && page.contains("no &quot;nexio&quot; &amp; no &lt;other&gt;"));
        assert!(!page.contains("<nexio>"));
    }

    #[test]
    fn a_report_without_results_is_a_page_too() {
        assert!(render(&Report::default()).ends_with("</html>\n"));
    }
}
