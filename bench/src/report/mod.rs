//! What was measured, in the form that tables, JSON and the picture are made from.

pub mod html;
pub mod table;

use serde::Serialize;

use crate::stats::{Interval, Verdict};

/// Everything one invocation measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The machine, in one line.
    pub machine: String,
    /// Comparisons, in the order made.
    pub comparisons: Vec<Row<Comparison>>,
    /// Counts, in the order made.
    pub counts: Vec<Row<Count>>,
    /// Paired measurements of other things than processor time, in the order made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<Row<Ratio>>,
}

/// A result, or why there is none.
#[derive(Debug, Serialize)]
pub struct Row<T> {
    /// What was asked of the servers; rows with the same text form one table.
    pub case: String,
    /// The server measured.
    pub target: String,
    /// What it is compared with, in comparisons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rival: Option<String>,
    /// The result.
    #[serde(flatten)]
    pub outcome: Outcome<T>,
}

/// A result, or the error that stands in its place.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// It was measured.
    Measured(T),
    /// It was not, because of this.
    Error(String),
}

impl<T> From<Result<T, String>> for Outcome<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(value) => Outcome::Measured(value),
            Err(error) => Outcome::Error(error),
        }
    }
}

/// Two servers under the same load.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The subject.
    pub subject: Measured,
    /// The rival.
    pub rival: Measured,
    /// Processor time per request: subject's divided by rival's.
    pub ratio: Interval,
    /// The goal for that ratio, if it is judged.
    pub goal: Option<f64>,
    /// What the interval says about the goal.
    pub verdict: Verdict,
    /// 99th percentile of latency: subject's divided by rival's.
    pub p99_ratio: Interval,
    /// What its interval says about the tolerance.
    pub p99_verdict: Verdict,
    /// A B B A blocks measured.
    pub blocks: usize,
    /// Seconds it took.
    pub seconds: f64,
}

/// One server's own figures.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Microseconds of processor time per request.
    pub cpu_us: f64,
    /// Answered requests per second while it was loaded.
    pub requests_per_second: f64,
    /// Median over blocks of the 99th percentile of latency, in microseconds.
    pub p99_us: f64,
}

/// One figure of two programs or structures, measured in turn.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// The subject's, as the median over its slices.
    pub subject: f64,
    /// The rival's.
    pub rival: f64,
    /// The unit of both.
    pub unit: &'static str,
    /// Subject's divided by rival's.
    pub ratio: Interval,
    /// The goal for that ratio, if it is judged.
    pub goal: Option<f64>,
    /// What the interval says about the goal.
    pub verdict: Verdict,
    /// A B B A blocks measured.
    pub blocks: usize,
    /// Seconds it took.
    pub seconds: f64,
}

/// One number of one server.
#[derive(Debug, Serialize)]
pub struct Count {
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The most it should be, if it is judged.
    pub goal: Option<f64>,
    /// Whether it is.
    pub verdict: Verdict,
}

impl Count {
    /// A number, judged by its goal: counts repeat exactly enough to need no interval.
    pub fn new(value: f64, unit: &'static str, goal: Option<f64>) -> Count {
        let interval = Interval { estimate: value, low: value, high: value };
        Count { value, unit, goal, verdict: crate::stats::judge(interval, goal) }
    }
}

/// Gives `target` the goal of as many as `floor` in the same case, up to the third decimal that tables print.
pub fn judge_by_floor(rows: &mut [Row<Count>], target: &str, floor: &str) {
    let measured = |row: &Row<Count>| match &row.outcome {
        Outcome::Measured(count) => Some(count.value),
        Outcome::Error(_) => None,
    };
    let floors: Vec<(String, f64)> =
        rows.iter().filter(|row| row.target == floor).filter_map(|row| Some((row.case.clone(), measured(row)?))).collect();
    for row in rows.iter_mut().filter(|row| row.target == target) {
        let goal = floors.iter().find(|(case, _)| *case == row.case);
        if let (Some((_, goal)), Outcome::Measured(count)) = (goal, &mut row.outcome) {
            *count = Count::new(count.value, count.unit, Some((goal * 1_000.0).ceil() / 1_000.0));
        }
    }
}

/// The rows in groups of equal case, cases in the order of their first row.
pub fn by_case<T>(rows: &[Row<T>]) -> Vec<(&str, Vec<&Row<T>>)> {
    let mut groups: Vec<(&str, Vec<&Row<T>>)> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|(case, _)| *case == row.case) {
            Some((_, group)) => group.push(row),
            None => groups.push((&row.case, vec![row])),
        }
    }
    groups
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A report with every kind of row.
    pub fn sample() -> Report {
        let measured = |cpu_us| Measured { cpu_us, requests_per_second: 150_000.0, p99_us: 812.5 };
        let interval = |low: f64, high: f64| Interval { estimate: (low + high) / 2.0, low, high };
        let comparison = Comparison {
            subject: measured(5.5),
            rival: measured(6.6),
            ratio: interval(0.81, 0.85),
            goal: Some(1.0),
            verdict: Verdict::Reached,
            p99_ratio: interval(0.9, 1.2),
            p99_verdict: Verdict::NotShown,
            blocks: 9,
            seconds: 18.2,
        };
        let row = |rival: &str, outcome| Row {
            case: "TCP echo, 64 B over 64 connections".to_owned(),
            target: "ostia (io_uring)".to_owned(),
            rival: Some(rival.to_owned()),
            outcome,
        };
        let count =
            |target: &str, outcome| Row { case: "instructions".to_owned(), target: target.to_owned(), rival: None, outcome };
        Report {
            machine: "a machine".to_owned(),
            comparisons: vec![
                row("tokio", Outcome::Measured(comparison)),
                row("<nexio>", Outcome::Error("does not build: no \"nexio\" & no <other>".to_owned())),
            ],
            counts: vec![
                count("ostia (io_uring)", Outcome::Measured(Count::new(412.04, "instructions", Some(500.0)))),
                count("tokio", Outcome::Measured(Count::new(1_618.0, "instructions", None))),
                count("glommio", Outcome::Error("valgrind is missing".to_owned())),
            ],
            ratios: vec![Row {
                case: "a timer set".to_owned(),
                target: "wheel".to_owned(),
                rival: Some("map".to_owned()),
                outcome: Outcome::Measured(Ratio {
                    subject: 40.25,
                    rival: 80.5,
                    unit: "ns",
                    ratio: interval(0.49, 0.51),
                    goal: Some(2.0),
                    verdict: Verdict::Reached,
                    blocks: 12,
                    seconds: 3.5,
                }),
            }],
        }
    }

    #[test]
    fn json_has_the_promised_shape() {
        let json = serde_json::to_value(sample()).unwrap();
        let first = &json["comparisons"][0];
        assert_eq!(first["case"], "TCP echo, 64 B over 64 connections");
        assert_eq!(first["target"], "ostia (io_uring)");
        assert_eq!(first["rival"], "tokio");
        assert_eq!(first["measured"]["ratio"]["low"], 0.81);
        assert_eq!(first["measured"]["ratio"]["high"], 0.85);
        assert_eq!(first["measured"]["subject"]["cpu_us"], 5.5);
        assert_eq!(first["measured"]["verdict"], "reached");
        assert_eq!(first["measured"]["p99_verdict"], "not_shown");
        assert!(json["comparisons"][1]["error"].as_str().unwrap().starts_with("does not build"));
        assert_eq!(json["counts"][0]["measured"]["goal"], 500.0);
        assert_eq!(json["counts"][1]["measured"]["verdict"], "reported");
        assert!(json["counts"][2].get("rival").is_none());
    }

    #[test]
    fn counts_are_judged_without_an_interval() {
        assert_eq!(Count::new(500.0, "B", Some(500.0)).verdict, Verdict::Reached);
        assert_eq!(Count::new(500.1, "B", Some(500.0)).verdict, Verdict::Missed);
    }

    #[test]
    fn the_floor_of_the_same_case_is_the_goal() {
        let row = |case: &str, target: &str, value| Row {
            case: case.to_owned(),
            target: target.to_owned(),
            rival: None,
            outcome: Outcome::Measured(Count::new(value, "calls", None)),
        };
        let mut rows =
            vec![row("1", "o", 1.0004), row("1", "f", 1.0002), row("64", "o", 0.06), row("64", "f", 0.047), row("9", "o", 1.0)];
        judge_by_floor(&mut rows, "o", "f");
        let verdicts: Vec<Verdict> = rows
            .iter()
            .filter_map(|row| match &row.outcome {
                Outcome::Measured(count) => Some(count.verdict),
                Outcome::Error(_) => None,
            })
            .collect();
        use Verdict::{Missed, Reached, Reported};
        assert_eq!(verdicts, [Reached, Reported, Missed, Reported, Reported]);
    }

    #[test]
    fn rows_of_one_case_come_together() {
        let row = |case: &str| Row { case: case.to_owned(), target: String::new(), rival: None, outcome: Outcome::Measured(1) };
        let rows = [row("b"), row("a"), row("b")];
        let sizes: Vec<(&str, usize)> = by_case(&rows).into_iter().map(|(case, rows)| (case, rows.len())).collect();
        assert_eq!(sizes, [("b", 2), ("a", 1)]);
    }
}
