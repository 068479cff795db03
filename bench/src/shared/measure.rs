//! The comparison of three servers: slices A B C C B A, so that drift of the machine hits all alike.

use std::time::{Duration, Instant};

use super::Design;
use super::load::{Load, Loaded};
use super::report::{Figures, Measure, Measured, PerMeasure};
use crate::compare::Effort;
use crate::server::Server;
use crate::stats::{self, Interval};

/// One design's server, its load and what it has done in each block.
struct Side {
    design: Design,
    server: Server,
    load: Loaded,
    block: Block,
    series: PerMeasure<Vec<f64>>,
}

/// What the slices of one block add up to.
#[derive(Default)]
struct Block {
    requests: u64,
    cpu: Duration,
    elapsed: Duration,
    /// Of the slices' medians and 99th percentiles, in nanoseconds.
    p50: Vec<u32>,
    p99: Vec<u32>,
}

impl Block {
    fn value(&self, measure: Measure) -> f64 {
        let mean = |values: &[u32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
        match measure {
            Measure::Throughput => self.requests as f64 / self.elapsed.as_secs_f64(),
            Measure::Cpu => self.cpu.as_secs_f64() * 1e6 / self.requests as f64,
            Measure::P50 => mean(&self.p50) / 1e3,
            Measure::P99 => mean(&self.p99) / 1e3,
        }
    }
}

impl Side {
    fn slice(&mut self, slice: Duration) -> Result<(), String> {
        let of = |error: std::io::Error| format!("{} failed under load: {error}", self.design.name());
        let before = self.server.cpu_time().map_err(of)?;
        let mut run = self.load.run(slice).map_err(of)?;
        self.block.cpu += self.server.cpu_time().map_err(of)?.saturating_sub(before);
        self.block.requests += run.requests;
        self.block.elapsed += run.elapsed;
        self.block.p50.push(stats::quantile(&mut run.latencies, 0.5));
        self.block.p99.push(stats::quantile(&mut run.latencies, 0.99));
        Ok(())
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        for measure in Measure::ALL {
            self.series.get_mut(measure).push(block.value(measure));
        }
    }
}

/// Which side each slice of a block belongs to.
const ORDER: [usize; 6] = [0, 1, 2, 2, 1, 0];

/// Measures one cell; `start` starts a design's server.
///
/// # Errors
/// A server does not start or failed under load; the message says which.
pub fn cell(start: impl Fn(Design) -> Result<Server, String>, load: Load, effort: Effort) -> Result<Measured, String> {
    let mut sides = Vec::new();
    for design in Design::ALL {
        let server = start(design).map_err(|error| format!("{} {error}", design.name()))?;
        let load = Loaded::connect(server.addr(), load).map_err(|error| format!("{} refuses: {error}", design.name()))?;
        sides.push(Side { design, server, load, block: Block::default(), series: PerMeasure::default() });
    }
    let begun = Instant::now();
    for side in &mut sides {
        side.slice(effort.slice)?;
        side.block = Block::default();
    }
    loop {
        for side in ORDER {
            sides[side].slice(effort.slice)?;
        }
        sides.iter_mut().for_each(Side::end_block);
        let blocks = sides[0].series.cpu_us.len();
        // What a ratio is good for is known when throughput and cost are; tails take longer and are reported as they are.
        let narrow = || {
            for (rival, measure) in sides[1..].iter().flat_map(|rival| [(rival, Measure::Throughput), (rival, Measure::Cpu)]) {
                if ratio(&sides[0], rival, measure)?.half_width() >= effort.half_width {
                    return Ok::<_, String>(false);
                }
            }
            Ok(true)
        };
        if begun.elapsed() >= effort.max_time || (blocks >= effort.min_blocks && narrow()?) {
            return measured(&sides, blocks, begun.elapsed());
        }
    }
}

fn measured(sides: &[Side], blocks: usize, elapsed: Duration) -> Result<Measured, String> {
    let figures = |side: &Side, of: &dyn Fn(Measure) -> Result<Interval, String>| {
        Ok::<_, String>(Figures { design: side.design.name(), values: PerMeasure::try_of(of)? })
    };
    let own = |side: &Side| figures(side, &|measure| interval(side.series.get(measure)));
    let beside = |rival: &Side| figures(rival, &|measure| ratio(&sides[0], rival, measure));
    Ok(Measured {
        designs: sides.iter().map(own).collect::<Result<_, _>>()?,
        ratios: sides[1..].iter().map(beside).collect::<Result<_, _>>()?,
        best: PerMeasure::try_of(|measure| best(sides, measure))?,
        blocks,
        seconds: elapsed.as_secs_f64(),
    })
}

/// Blocks that it takes to say which design is best: the interval of a few is not worth its name.
const MIN_BLOCKS: usize = 5;

/// The design whose ratio to each other one lies on the better side of 1 with its whole interval.
fn best(sides: &[Side], measure: Measure) -> Result<Option<&'static str>, String> {
    if sides[0].series.get(measure).len() < MIN_BLOCKS {
        return Ok(None);
    }
    for (place, side) in sides.iter().enumerate() {
        let mut wins = true;
        for (_, rival) in sides.iter().enumerate().filter(|(other, _)| *other != place) {
            let ratio = ratio(side, rival, measure)?;
            wins &= if measure.more_is_better() { ratio.low > 1.0 } else { ratio.high < 1.0 };
        }
        if wins {
            return Ok(Some(side.design.name()));
        }
    }
    Ok(None)
}

/// One side's figures divided by the other's, block by block.
fn ratio(side: &Side, rival: &Side, measure: Measure) -> Result<Interval, String> {
    let pairs = side.series.get(measure).iter().zip(rival.series.get(measure));
    interval(&pairs.map(|(own, other)| own / other).collect::<Vec<_>>())
}

fn interval(values: &[f64]) -> Result<Interval, String> {
    stats::bootstrap(values).ok_or_else(|| "a slice measured nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_side_has_the_same_number_of_slices_and_the_same_mean_position() {
        for side in 0..Design::ALL.len() {
            let places: Vec<usize> = (0..ORDER.len()).filter(|&place| ORDER[place] == side).collect();
            assert_eq!((places.len(), places.iter().sum::<usize>()), (2, 5));
        }
    }

    #[test]
    fn a_block_is_what_its_slices_add_up_to() {
        let block = Block {
            requests: 1_000,
            cpu: Duration::from_millis(20),
            elapsed: Duration::from_millis(500),
            p50: vec![100_000, 300_000],
            p99: vec![1_000_000, 2_000_000],
        };
        assert_eq!(Measure::ALL.map(|measure| block.value(measure)), [2_000.0, 20.0, 200.0, 1_500.0]);
    }
}
