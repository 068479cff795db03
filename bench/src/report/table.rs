//! Tables for the terminal.

use std::fmt::Write;

use super::{Comparison, Count, Outcome, Ratio, Report, Row, by_case};
use crate::stats::{Interval, Verdict};

/// All tables of a report.
pub fn render(report: &Report) -> String {
    let mut out = format!("{}\n", report.machine);
    for (case, rows) in by_case(&report.comparisons) {
        let head = [
            "subject",
            "rival",
            "µs CPU/req",
            "rival's",
            "ratio",
            "95 %",
            "goal",
            "verdict",
            "p99 ratio",
            "95 %",
            "p99",
            "blocks",
        ];
        section(&mut out, case, &head, rows.iter().map(|row| comparison(row)).collect());
    }
    for (case, rows) in by_case(&report.counts) {
        let unit = rows.iter().find_map(|row| match &row.outcome {
            Outcome::Measured(count) => Some(count.unit),
            Outcome::Error(_) => None,
        });
        let head = ["target", unit.unwrap_or("count"), "goal", "verdict"];
        section(&mut out, case, &head, rows.iter().map(|row| count(row)).collect());
    }
    for (case, rows) in by_case(&report.ratios) {
        let head = ["subject", "rival", "subject's", "rival's", "unit", "ratio", "95 %", "goal", "verdict", "blocks"];
        section(&mut out, case, &head, rows.iter().map(|row| ratio(row)).collect());
    }
    out
}

/// A line of a table: cells, or cells followed by a text across the rest.
struct Line {
    cells: Vec<String>,
    rest: Option<String>,
}

/// Names, then the figures or why there are none.
fn line<T>(row: &Row<T>, names: Vec<String>, figures: impl FnOnce(&T) -> Vec<String>) -> Line {
    match &row.outcome {
        Outcome::Measured(measured) => Line { cells: [names, figures(measured)].concat(), rest: None },
        Outcome::Error(error) => Line { cells: names, rest: Some(error.clone()) },
    }
}

/// The names of a pair.
fn pair<T>(row: &Row<T>) -> Vec<String> {
    vec![row.target.clone(), row.rival.clone().unwrap_or_default()]
}

fn comparison(row: &Row<Comparison>) -> Line {
    line(row, pair(row), |measured| {
        vec![
            format!("{:.2}", measured.subject.cpu_us),
            format!("{:.2}", measured.rival.cpu_us),
            format!("{:.3}", measured.ratio.estimate),
            ends(measured.ratio),
            goal(measured.goal),
            measured.verdict.label().to_owned(),
            format!("{:.3}", measured.p99_ratio.estimate),
            ends(measured.p99_ratio),
            measured.p99_verdict.label().to_owned(),
            measured.blocks.to_string(),
        ]
    })
}

fn count(row: &Row<Count>) -> Line {
    line(row, vec![row.target.clone()], |measured| {
        vec![number(measured.value), goal(measured.goal), measured.verdict.label().to_owned()]
    })
}

fn ratio(row: &Row<Ratio>) -> Line {
    line(row, pair(row), |measured| {
        vec![
            number(measured.subject),
            number(measured.rival),
            measured.unit.to_owned(),
            format!("{:.3}", measured.ratio.estimate),
            ends(measured.ratio),
            goal(measured.goal),
            measured.verdict.label().to_owned(),
            measured.blocks.to_string(),
        ]
    })
}

fn ends(interval: Interval) -> String {
    format!("{:.3}–{:.3}", interval.low, interval.high)
}

fn goal(goal: Option<f64>) -> String {
    goal.map_or_else(|| "–".to_owned(), |goal| format!("≤ {goal}"))
}

/// A number with as many digits as mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// A title, a head and lines, columns as wide as their widest cell.
fn section(out: &mut String, title: &str, head: &[&str], lines: Vec<Line>) {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(&line.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // Writing to a String can't fail.
    let _ = write!(out, "\n{title}\n{}\n", "─".repeat(title.chars().count()));
    let head = Line { cells: head.iter().map(|cell| (*cell).to_owned()).collect(), rest: None };
    for line in [head].iter().chain(&lines) {
        let mut cells: Vec<String> =
            line.cells.iter().zip(&widths).enumerate().map(|(i, (cell, width))| pad(cell, *width, i)).collect();
        cells.extend(line.rest.clone());
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
}

/// Names to the left, everything else to the right.
fn pad(cell: &str, width: usize, column: usize) -> String {
    let space = " ".repeat(width - cell.chars().count());
    let is_name = column == 0 || cell.parse::<f64>().is_err() && !cell.starts_with(['≤', '–']) && !cell.contains('–');
    if is_name { format!("{cell}{space}") } else { format!("{space}{cell}") }
}

/// One line that sums up the verdicts.
pub fn summary(report: &Report) -> String {
    let comparisons = report.comparisons.iter().map(|row| match &row.outcome {
        Outcome::Measured(measured) => Some(measured.verdict),
        Outcome::Error(_) => None,
    });
    let counts = report.counts.iter().map(|row| match &row.outcome {
        Outcome::Measured(count) => Some(count.verdict),
        Outcome::Error(_) => None,
    });
    let ratios = report.ratios.iter().map(|row| match &row.outcome {
        Outcome::Measured(measured) => Some(measured.verdict),
        Outcome::Error(_) => None,
    });
    let all: Vec<Option<Verdict>> = comparisons.chain(counts).chain(ratios).collect();
    let of = |verdict| all.iter().filter(|have| **have == verdict).count();
    format!(
        "{} reached, {} missed, {} not shown, {} reported, {} without a result",
        of(Some(Verdict::Reached)),
        of(Some(Verdict::Missed)),
        of(Some(Verdict::NotShown)),
        of(Some(Verdict::Reported)),
        of(None),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_comparison_is_one_line_with_ratio_interval_and_verdicts() {
        let text = render(&sample());
        let line = text.lines().find(|line| line.contains("  tokio  ")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = "ostia (io_uring) tokio 5.50 6.60 0.830 0.810–0.850 ≤ 1 reached 1.050 0.900–1.200 not shown 9";
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn a_rival_without_a_result_shows_its_error() {
        let text = render(&sample());
        let line = text.lines().find(|line| line.contains("<nexio>")).unwrap();
        assert!(line.ends_with("does not build: no \"nexio\" & no <other>"));
    }

    #[test]
    fn a_ratio_is_one_line_too() {
        let text = render(&sample());
        let line = text.lines().find(|line| line.starts_with("wheel")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.join(" "), "wheel map 40.2 80.5 ns 0.500 0.490–0.510 ≤ 2 reached 12");
    }

    #[test]
    fn columns_are_aligned() {
        let text = render(&sample());
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("instructions")).skip(2).take(3).collect();
        let end = |line: &str, word: &str| line[..line.find(word).unwrap() + word.len()].chars().count();
        assert_eq!(end(lines[0], "instructions"), end(lines[1], "412"));
        assert_eq!(end(lines[1], "412"), end(lines[2], "1618"));
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(number(1_618.4), "1618");
        assert_eq!(number(96.04), "96.0");
        assert_eq!(number(1.0306), "1.031");
    }

    #[test]
    fn the_summary_counts_verdicts() {
        let expected = "3 reached, 0 missed, 0 not shown, 1 reported, 2 without a result";
        assert_eq!(summary(&sample()), expected);
    }
}
