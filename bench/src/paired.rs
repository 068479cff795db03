//! Paired measurements of other things than a loaded server's processor time: times per operation, delays.
//!
//! As in [`compare`](crate::compare): slices A B B A, one ratio a block, an interval by resampling blocks.

use std::time::Instant;

use crate::compare::{Effort, ORDER, is_over};
use crate::report::Ratio;
use crate::stats;

/// What is asked of a side in its turn: values of which less is better, always the same number of them.
pub type Slice<'a> = dyn FnMut() -> Result<Vec<f64>, String> + 'a;

/// Which of the values are compared.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its place among the subject's values.
    pub subject: usize,
    /// Its place among the rival's.
    pub rival: usize,
    /// Its unit.
    pub unit: &'static str,
    /// The goal for subject's divided by rival's.
    pub goal: Option<f64>,
    /// The comparison goes on until this one's interval is narrow.
    pub decides: bool,
}

/// A side's values, slice by slice.
#[derive(Default)]
struct Values(Vec<Vec<f64>>);

impl Values {
    fn take(&mut self, slice: &mut Slice<'_>) -> Result<(), String> {
        self.0.push(slice()?);
        Ok(())
    }

    /// The mean of a value over the last two slices, which are a block's.
    fn block(&self, place: usize) -> f64 {
        let last = &self.0[self.0.len() - 2..];
        last.iter().map(|values| values[place]).sum::<f64>() / last.len() as f64
    }

    fn median(&self, place: usize) -> f64 {
        let all: Vec<f64> = self.0.iter().map(|values| values[place]).collect();
        stats::median(&all).unwrap_or_default()
    }
}

/// Compares two sides; the ratios, subject's divided by rival's, in the order of `figures`.
///
/// # Errors
/// What a side's slice says; a value that is not above 0.
pub fn compare(subject: &mut Slice<'_>, rival: &mut Slice<'_>, effort: Effort, figures: &[Figure]) -> Result<Vec<Ratio>, String> {
    let start = Instant::now();
    // A slice each that does not count.
    let (mut own, mut other) = (Values::default(), Values::default());
    subject().map_err(|error| format!("subject {error}"))?;
    rival()?;
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); figures.len()];
    loop {
        for subjects_turn in ORDER {
            match subjects_turn {
                true => own.take(subject).map_err(|error| format!("subject {error}"))?,
                false => other.take(rival)?,
            }
        }
        let mut over = true;
        let mut results = Vec::with_capacity(figures.len());
        for (figure, ratios) in figures.iter().zip(&mut ratios) {
            ratios.push(own.block(figure.subject) / other.block(figure.rival));
            let interval = stats::bootstrap(ratios).ok_or("a slice measured nothing")?;
            over &= !figure.decides || is_over(ratios.len(), interval, start.elapsed(), effort);
            results.push(Ratio {
                subject: own.median(figure.subject),
                rival: other.median(figure.rival),
                unit: figure.unit,
                ratio: interval,
                goal: figure.goal,
                verdict: stats::judge(interval, figure.goal),
                blocks: ratios.len(),
                seconds: start.elapsed().as_secs_f64(),
            });
        }
        if over {
            return Ok(results);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stats::Verdict;

    fn figure(subject: usize, goal: f64) -> Figure {
        Figure { subject, rival: 0, unit: "ns", goal: Some(goal), decides: true }
    }

    #[test]
    fn sides_take_turns_and_figures_are_judged_each_by_its_goal() {
        let order = std::cell::RefCell::new(String::new());
        let mut subject = || {
            order.borrow_mut().push('A');
            Ok(vec![30.0, 50.0])
        };
        let mut rival = || {
            order.borrow_mut().push('B');
            Ok(vec![20.0])
        };
        let effort = Effort::quick(Duration::from_secs(60));
        let ratios = compare(&mut subject, &mut rival, effort, &[figure(0, 2.0), figure(1, 2.0)]).unwrap();
        assert_eq!(order.into_inner(), "ABABBAABBA");
        assert_eq!(ratios.iter().map(|ratio| ratio.verdict).collect::<Vec<_>>(), [Verdict::Reached, Verdict::Missed]);
        assert!((ratios[0].ratio.estimate - 1.5).abs() < 1e-12);
        assert_eq!((ratios[1].subject, ratios[1].rival, ratios[1].blocks), (50.0, 20.0, 2));
    }

    #[test]
    fn a_side_that_fails_ends_the_comparison() {
        let effort = Effort::quick(Duration::from_secs(60));
        let mut good = || Ok(vec![1.0]);
        let mut bad = || Err("is gone".to_owned());
        assert_eq!(compare(&mut bad, &mut good, effort, &[figure(0, 1.0)]).err().as_deref(), Some("subject is gone"));
        assert_eq!(compare(&mut good, &mut bad, effort, &[figure(0, 1.0)]).err().as_deref(), Some("is gone"));
        let mut nothing = || Ok(vec![0.0]);
        assert!(compare(&mut nothing, &mut good, effort, &[figure(0, 1.0)]).is_err());
    }
}
