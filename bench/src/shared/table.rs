//! Results as text.

use std::fmt::Write;

use super::report::{Cell, Measure, PerMeasure, Report};
use crate::stats::Interval;

/// One cell.
pub fn cell(cell: &Cell) -> String {
    let latency = if cell.mixed { "latency of the short ones" } else { "latency" };
    let mut out = format!("{}, {} connection{}", cell.handler, cell.connections, if cell.connections == 1 { "" } else { "s" });
    // Writing to a String can't fail.
    if let Some(error) = &cell.error {
        let _ = writeln!(out, ": {error}");
    }
    let Some(measured) = &cell.measured else { return out };
    let _ = writeln!(out, " ({} blocks in {:.0} s; {latency}; * marks the best)", measured.blocks, measured.seconds);
    let _ = writeln!(out, "  {:<18}{:>24}{:>24}{:>24}{:>24}", "", "requests/s", "CPU µs/request", "p50 µs", "p99 µs");
    for figures in &measured.designs {
        line(&mut out, figures.design, &figures.values, |measure| *measured.best.get(measure) == Some(figures.design));
    }
    for figures in &measured.ratios {
        line(&mut out, &format!("shared / {}", figures.design), &figures.values, |_| false);
    }
    out
}

fn line(out: &mut String, name: &str, values: &PerMeasure<Interval>, best: impl Fn(Measure) -> bool) {
    let _ = write!(out, "  {name:<18}");
    for measure in Measure::ALL {
        let Interval { estimate, low, high } = *values.get(measure);
        let mark = if best(measure) { "*" } else { "" };
        let text = format!("{mark}{} ({}–{})", number(estimate), number(low), number(high));
        let _ = write!(out, "{text:>24}");
    }
    out.push('\n');
}

/// Every cell, under a heading.
pub fn summary(report: &Report) -> String {
    let mut out = format!("{}; {} threads run, {} may block\n", report.machine, report.threads, report.pool);
    for one in &report.cells {
        let _ = write!(out, "\n{}", cell(one));
    }
    out
}

/// Three digits that mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 999_500.0 => format!("{:.2}M", value / 1e6),
        size if size >= 9_995.0 => format!("{:.*}k", usize::from(size < 99_950.0), value / 1e3),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.123, 4.567, 12.34, 123.4, 1_234.0, 12_340.0, 123_400.0, 1_234_000.0].map(number);
        assert_eq!(numbers, ["0.12", "4.57", "12.3", "123", "1234", "12.3k", "123k", "1.23M"]);
    }

    #[test]
    fn every_cell_is_there_with_its_figures_or_its_error() {
        let text = summary(&sample());
        assert!(text.contains("*90.0k (81.0k–99.0k)") && text.contains("shared / leader"));
        assert!(text.contains("sleeps, 64 connections: leader failed under load"));
        assert!(text.contains("latency of the short ones"));
    }
}
