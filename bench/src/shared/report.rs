//! What was measured, in the form that JSON, tables and the picture are made from.

use serde::Serialize;

use crate::stats::Interval;

/// Everything one invocation measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine, in one line.
    pub machine: String,
    /// Threads of a server that run.
    pub threads: usize,
    /// Threads there may be where handlers block, but in the design of private ports.
    pub pool: usize,
    /// In the order measured.
    pub cells: Vec<Cell>,
}

/// One kind of handler with so many connections.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// What its requests ask for.
    pub handler: &'static str,
    /// How many connections.
    pub connections: usize,
    /// There are rare long requests, and latencies are those of the others.
    pub mixed: bool,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Why nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A cell's results.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Each design's own figures.
    pub designs: Vec<Figures>,
    /// The shared port's figures divided by each other design's, from pairs within a block.
    pub ratios: Vec<Figures>,
    /// By measure: the design that differs from both others by more than chance; none if there is none.
    pub best: PerMeasure<Option<&'static str>>,
    /// Blocks measured.
    pub blocks: usize,
    /// Seconds it took.
    pub seconds: f64,
}

/// One design's figures, or their ratios.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The design.
    pub design: &'static str,
    /// Its figures.
    #[serde(flatten)]
    pub values: PerMeasure<Interval>,
}

/// What is measured of each design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Requests per second.
    Throughput,
    /// Microseconds of the server's processor time per request.
    Cpu,
    /// Median of latency in microseconds.
    P50,
    /// 99th percentile of latency in microseconds.
    P99,
}

impl Measure {
    pub const ALL: [Measure; 4] = [Measure::Throughput, Measure::Cpu, Measure::P50, Measure::P99];

    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        self == Measure::Throughput
    }
}

/// Something for each measure.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PerMeasure<T> {
    /// Of requests per second.
    pub requests_per_second: T,
    /// Of processor time per request.
    pub cpu_us: T,
    /// Of the median of latency.
    pub p50_us: T,
    /// Of its 99th percentile.
    pub p99_us: T,
}

impl<T> PerMeasure<T> {
    /// What `of` says for each.
    ///
    /// # Errors
    /// The first that it gives.
    pub fn try_of<E>(mut of: impl FnMut(Measure) -> Result<T, E>) -> Result<PerMeasure<T>, E> {
        Ok(PerMeasure {
            requests_per_second: of(Measure::Throughput)?,
            cpu_us: of(Measure::Cpu)?,
            p50_us: of(Measure::P50)?,
            p99_us: of(Measure::P99)?,
        })
    }

    /// That of one measure.
    pub fn get(&self, measure: Measure) -> &T {
        match measure {
            Measure::Throughput => &self.requests_per_second,
            Measure::Cpu => &self.cpu_us,
            Measure::P50 => &self.p50_us,
            Measure::P99 => &self.p99_us,
        }
    }

    /// That of one measure, to be changed.
    pub fn get_mut(&mut self, measure: Measure) -> &mut T {
        match measure {
            Measure::Throughput => &mut self.requests_per_second,
            Measure::Cpu => &mut self.cpu_us,
            Measure::P50 => &mut self.p50_us,
            Measure::P99 => &mut self.p99_us,
        }
    }
}

impl Cell {
    /// A cell of which nothing is known yet.
    pub fn new(handler: &'static str, connections: usize, mixed: bool) -> Cell {
        Cell { handler, connections, mixed, measured: None, error: None }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn figures(design: &'static str, values: [f64; 4]) -> Figures {
        let mut values = values.into_iter().map(|value| Interval { estimate: value, low: value * 0.9, high: value * 1.1 });
        let values = PerMeasure::try_of(|_| values.next().ok_or(())).unwrap();
        Figures { design, values }
    }

    /// A report with a cell of each kind.
    pub fn sample() -> Report {
        let measured = |scale: f64| Measured {
            designs: vec![
                figures("shared", [40_000.0 * scale, 21.5, 90.0, 300.0]),
                figures("workers", [90_000.0 * scale, 9.5, 40.0, 5_100.0]),
                figures("leader", [70_000.0 * scale, 12.0, 60.0, 400.0]),
            ],
            ratios: vec![figures("workers", [0.44, 2.26, 2.25, 0.06]), figures("leader", [0.57, 1.79, 1.5, 0.75])],
            best: PerMeasure {
                requests_per_second: Some("workers"),
                cpu_us: Some("workers"),
                p50_us: Some("workers"),
                p99_us: None,
            },
            blocks: 10,
            seconds: 32.5,
        };
        let cell = |handler, connections, mixed, measured| Cell { handler, connections, mixed, measured, error: None };
        Report {
            machine: "a <machine>".to_owned(),
            threads: 2,
            pool: 64,
            cells: vec![
                cell("answers at once", 1, false, Some(measured(0.3))),
                cell("answers at once", 64, false, Some(measured(1.0))),
                cell("mixed", 64, true, Some(measured(0.5))),
                Cell { error: Some("leader failed under load: \"reset\" & gone".to_owned()), ..Cell::new("sleeps", 64, false) },
            ],
        }
    }

    #[test]
    fn json_has_the_promised_shape() {
        let json = serde_json::to_value(sample()).unwrap();
        let cell = &json["cells"][1];
        assert_eq!((&cell["handler"], &cell["connections"]), (&"answers at once".into(), &64.into()));
        assert_eq!(cell["measured"]["designs"][0]["design"], "shared");
        assert_eq!(cell["measured"]["designs"][1]["cpu_us"]["estimate"], 9.5);
        assert_eq!(cell["measured"]["ratios"][0]["design"], "workers");
        assert_eq!(cell["measured"]["ratios"][0]["requests_per_second"]["estimate"], 0.44);
        assert_eq!(cell["measured"]["best"]["p50_us"], "workers");
        assert!(cell["measured"]["best"]["p99_us"].is_null() && cell.get("error").is_none());
        assert!(json["cells"][3]["error"].as_str().unwrap().starts_with("leader failed"));
        assert!(json["cells"][3].get("measured").is_none());
    }
}
