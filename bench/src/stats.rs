//! Statistics of paired comparisons: the ratio, its bootstrap interval, and the verdict that follows from a goal.

use serde::Serialize;

use crate::random::SplitMix64;

/// Resamples behind one interval.
const RESAMPLES: usize = 2_000;
/// Share of the smallest, and of the largest, log ratios that the estimate leaves out: one noisy neighbour must not
/// decide.
const TRIM: f64 = 0.2;

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate from all blocks.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Half the width relative to the estimate: 0.03 is ±3 %.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / (2.0 * self.estimate)
    }
}

/// What a measurement says about a goal for a ratio where less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval is at or below the goal.
    Reached,
    /// The whole interval is above the goal.
    Missed,
    /// The interval holds the goal.
    NotShown,
    /// There is no goal: reported, not judged.
    Reported,
}

impl Verdict {
    /// How tables print it.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Reached => "reached",
            Verdict::Missed => "missed",
            Verdict::NotShown => "not shown",
            Verdict::Reported => "reported",
        }
    }
}

/// Judges an interval by a goal; without a goal nothing is judged.
pub fn judge(interval: Interval, goal: Option<f64>) -> Verdict {
    match goal {
        None => Verdict::Reported,
        Some(goal) if interval.high <= goal => Verdict::Reached,
        Some(goal) if interval.low > goal => Verdict::Missed,
        Some(_) => Verdict::NotShown,
    }
}

/// The trimmed geometric mean of positive ratios and its 95 % percentile bootstrap interval. The generator is seeded
/// with the number of ratios, so the same ratios give the same interval. None: no ratio, or one that is not a
/// positive number.
pub fn bootstrap(ratios: &[f64]) -> Option<Interval> {
    if ratios.is_empty() || ratios.iter().any(|ratio| !ratio.is_finite() || *ratio <= 0.0) {
        return None;
    }
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let estimate = trimmed_mean(&mut logs.clone());
    let mut random = SplitMix64(logs.len() as u64);
    let mut drawn = vec![0.0; logs.len()];
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for value in &mut drawn {
                *value = logs[random.below(logs.len())];
            }
            trimmed_mean(&mut drawn)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (RESAMPLES - 1) as f64).round() as usize];
    Some(Interval { estimate: estimate.exp(), low: at(0.025).exp(), high: at(0.975).exp() })
}

/// The mean of what remains when `TRIM` of the values is cut off at either end. Sorts `values`, which are not empty.
fn trimmed_mean(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let cut = (values.len() as f64 * TRIM) as usize;
    let kept = &values[cut..values.len() - cut];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// The value below which the given share (0 to 1) of the values lies; 0 of nothing. Reorders `values`.
pub fn quantile(values: &mut [u32], share: f64) -> u32 {
    if values.is_empty() {
        return 0;
    }
    let rank = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1;
    *values.select_nth_unstable(rank).1
}

/// The median; none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ratios_give_a_point() {
        let interval = bootstrap(&[1.25; 12]).unwrap();
        assert!((interval.estimate - 1.25).abs() < 1e-12);
        assert_eq!(interval.low, interval.high);
        assert!(interval.half_width() < 1e-12);
    }

    #[test]
    fn the_same_ratios_give_the_same_interval() {
        let ratios: Vec<f64> = (0..40).map(|i| 0.9 + 0.005 * f64::from(i)).collect();
        assert_eq!(bootstrap(&ratios), bootstrap(&ratios));
    }

    #[test]
    fn the_interval_holds_the_estimate_and_narrows_with_more_blocks() {
        let ratios = |n: u64| {
            let mut random = SplitMix64(7);
            let noise = |r: &mut SplitMix64| r.below(1_000) as f64 / 1_000.0 - 0.5;
            (0..n).map(|_| (0.2 * noise(&mut random)).exp() * 1.1).collect::<Vec<f64>>()
        };
        let few = bootstrap(&ratios(10)).unwrap();
        let many = bootstrap(&ratios(400)).unwrap();
        for interval in [few, many] {
            assert!(interval.low < interval.estimate && interval.estimate < interval.high);
        }
        assert!(many.half_width() < few.half_width() / 3.0);
        assert!(many.low < 1.1 && 1.1 < many.high);
    }

    #[test]
    fn one_wild_block_does_not_move_the_estimate() {
        let mut ratios = vec![1.0; 19];
        ratios.push(50.0);
        let interval = bootstrap(&ratios).unwrap();
        assert_eq!(interval.estimate, 1.0);
        assert_eq!(interval.high, 1.0);
    }

    #[test]
    fn what_is_no_positive_number_has_no_interval() {
        for bad in [&[][..], &[0.0], &[1.0, f64::NAN], &[f64::INFINITY], &[-1.0]] {
            assert_eq!(bootstrap(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn verdicts_follow_the_ends_of_the_interval() {
        let interval = |low, high| Interval { estimate: (low + high) / 2.0, low, high };
        assert_eq!(judge(interval(0.9, 1.0), Some(1.0)), Verdict::Reached);
        assert_eq!(judge(interval(0.9, 1.01), Some(1.0)), Verdict::NotShown);
        assert_eq!(judge(interval(1.0, 1.1), Some(1.0)), Verdict::NotShown);
        assert_eq!(judge(interval(1.01, 1.1), Some(1.0)), Verdict::Missed);
        assert_eq!(judge(interval(1.01, 1.04), Some(1.05)), Verdict::Reached);
        assert_eq!(judge(interval(5.0, 6.0), None), Verdict::Reported);
    }

    #[test]
    fn quantiles_and_medians() {
        let mut values: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(quantile(&mut values, 0.99), 99);
        assert_eq!(quantile(&mut values, 1.0), 100);
        assert_eq!(quantile(&mut values, 0.0), 1);
        assert_eq!(quantile(&mut [], 0.99), 0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
