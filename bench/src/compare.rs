//! The paired comparison: alternating slices A B B A on the same processors until the ratio is known well enough.

use std::io;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::report::{Comparison, Measured};
use crate::server::Server;
use crate::stats::{self, Interval};
use crate::target::P99_TOLERANCE;

/// How long and how exactly to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Length of one slice.
    pub slice: Duration,
    /// Blocks of four slices before a comparison may end.
    pub min_blocks: usize,
    /// The comparison ends when half the interval's width, relative to the ratio, is below this.
    pub half_width: f64,
    /// The comparison ends after this time in any case.
    pub max_time: Duration,
}

impl Effort {
    /// As results are reported: half-second slices until the interval is narrower than ±3 %.
    pub fn full(max_time: Duration) -> Effort {
        Effort { slice: Duration::from_millis(500), min_blocks: 10, half_width: 0.03, max_time }
    }

    /// A trial run that shows that everything works, and no more.
    pub fn quick(max_time: Duration) -> Effort {
        Effort { slice: Duration::from_millis(100), min_blocks: 2, half_width: f64::INFINITY, max_time }
    }
}

/// One side of a comparison.
pub struct Side<'a, L> {
    /// The server, for its processor time.
    pub server: &'a Server,
    /// Its load.
    pub generator: L,
    totals: Totals,
}

/// What a side's slices add up to, and what the current block has.
#[derive(Default)]
struct Totals {
    requests: u64,
    cpu: Duration,
    elapsed: Duration,
    p99: Vec<f64>,
    block: Block,
}

#[derive(Default)]
struct Block {
    requests: u64,
    cpu: Duration,
    p99: Vec<u32>,
}

impl Block {
    /// Seconds of processor time per request.
    fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() / self.requests as f64
    }

    /// The mean of the slices' 99th percentiles.
    fn p99(&self) -> f64 {
        self.p99.iter().map(|p99| f64::from(*p99)).sum::<f64>() / self.p99.len() as f64
    }
}

impl<'a, L: Load> Side<'a, L> {
    /// A server and its load.
    pub fn new(server: &'a Server, generator: L) -> Self {
        Side { server, generator, totals: Totals::default() }
    }

    /// Loads the server for one slice that does not count.
    fn warm_up(&mut self, slice: Duration) -> io::Result<()> {
        self.generator.run(slice).map(drop)
    }

    fn slice(&mut self, slice: Duration) -> io::Result<()> {
        let before = self.server.cpu_time()?;
        let mut run = self.generator.run(slice)?;
        let cpu = self.server.cpu_time()?.saturating_sub(before);
        let totals = &mut self.totals;
        totals.requests += run.requests;
        totals.cpu += cpu;
        totals.elapsed += run.elapsed;
        totals.block.requests += run.requests;
        totals.block.cpu += cpu;
        totals.block.p99.push(stats::quantile(&mut run.latencies, 0.99));
        Ok(())
    }

    fn end_block(&mut self) -> Block {
        let block = std::mem::take(&mut self.totals.block);
        self.totals.p99.push(block.p99());
        block
    }

    fn measured(&self) -> Measured {
        let totals = &self.totals;
        Measured {
            cpu_us: totals.cpu.as_secs_f64() * 1e6 / totals.requests as f64,
            requests_per_second: totals.requests as f64 / totals.elapsed.as_secs_f64(),
            p99_us: stats::median(&totals.p99).unwrap_or_default() / 1_000.0,
        }
    }
}

/// Which sides the four slices of a block belong to: drift in the machine hits both alike.
pub const ORDER: [bool; 4] = [true, false, false, true];

/// Compares two loaded servers; ratios are subject's divided by rival's.
///
/// # Errors
/// A server failed under load; the message says which.
pub fn compare<L: Load>(
    mut subject: Side<'_, L>,
    mut rival: Side<'_, L>,
    effort: Effort,
    goal: Option<f64>,
) -> Result<Comparison, String> {
    let of = |who: &'static str| move |error: io::Error| format!("{who} failed under load: {error}");
    let start = Instant::now();
    subject.warm_up(effort.slice).map_err(of("subject"))?;
    rival.warm_up(effort.slice).map_err(of("rival"))?;
    let (mut cpu, mut p99) = (Vec::new(), Vec::new());
    loop {
        for subjects_turn in ORDER {
            match subjects_turn {
                true => subject.slice(effort.slice).map_err(of("subject"))?,
                false => rival.slice(effort.slice).map_err(of("rival"))?,
            }
        }
        let (own, other) = (subject.end_block(), rival.end_block());
        cpu.push(own.cost() / other.cost());
        p99.push(own.p99() / other.p99());
        let interval = stats::bootstrap(&cpu).ok_or("a slice measured no processor time")?;
        if is_over(cpu.len(), interval, start.elapsed(), effort) {
            let latency = stats::bootstrap(&p99).ok_or("a slice measured no latency")?;
            return Ok(Comparison {
                subject: subject.measured(),
                rival: rival.measured(),
                ratio: interval,
                goal,
                verdict: stats::judge(interval, goal),
                p99_ratio: latency,
                p99_verdict: stats::judge(latency, goal.map(|_| P99_TOLERANCE)),
                blocks: cpu.len(),
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
}

/// Whether a comparison has taken long enough, or knows enough.
pub fn is_over(blocks: usize, interval: Interval, elapsed: Duration, effort: Effort) -> bool {
    elapsed >= effort.max_time || (blocks >= effort.min_blocks && interval.half_width() < effort.half_width)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Interval = Interval { estimate: 1.0, low: 0.9, high: 1.1 };
    const NARROW: Interval = Interval { estimate: 1.0, low: 0.98, high: 1.02 };

    #[test]
    fn a_comparison_ends_when_the_interval_is_narrow_or_time_is_up() {
        let effort = Effort::full(Duration::from_secs(300));
        let second = Duration::from_secs(1);
        assert!(!is_over(effort.min_blocks - 1, NARROW, second, effort));
        assert!(is_over(effort.min_blocks, NARROW, second, effort));
        assert!(!is_over(100, WIDE, second, effort));
        assert!(is_over(100, WIDE, effort.max_time, effort));
        assert!(is_over(1, WIDE, effort.max_time, effort));
        let quick = Effort::quick(Duration::from_secs(300));
        assert!(is_over(quick.min_blocks, WIDE, second, quick));
    }

    #[test]
    fn a_block_averages_its_slices() {
        let block = Block { requests: 2_000_000, cpu: Duration::from_secs(5), p99: vec![100, 300] };
        assert_eq!(block.cost(), 2.5e-6);
        assert_eq!(block.p99(), 200.0);
    }

    #[test]
    fn both_sides_get_the_same_number_of_slices_and_the_same_mean_position() {
        let position = |side| ORDER.iter().enumerate().filter(|(_, turn)| **turn == side).map(|(i, _)| i).sum::<usize>();
        assert_eq!(position(true), position(false));
        assert_eq!(ORDER.iter().filter(|turn| **turn).count(), 2);
    }
}
