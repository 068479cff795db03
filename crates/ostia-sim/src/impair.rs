//! One sender's line into a link: what becomes of a frame is settled when it is sent.

use std::time::Duration;

use crate::link::LinkConfig;
use crate::random::Random;

/// Nanoseconds of a second, and bits of an octet.
const SECOND: u128 = 1_000_000_000;
const BITS: u128 = 8;

/// Whether a frame gets onto the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Queued {
    /// It has left the line at this moment.
    Left(u64),
    /// There was no room.
    Full,
}

/// What becomes of a frame that goes to one receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Lost by chance.
    Lost,
    /// Lost in a burst.
    Burst,
    /// It arrives.
    Arrives(Arrival),
}

/// How a frame arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arrival {
    /// When.
    pub(crate) at: u64,
    /// Twice.
    pub(crate) twice: bool,
    /// It was held back.
    pub(crate) held_back: bool,
    /// This bit was turned over.
    pub(crate) corrupt: Option<u64>,
}

/// The line.
#[derive(Debug)]
pub(crate) struct Line {
    random: Random,
    /// Until when it is busy with what was sent before.
    busy: u64,
    /// When the last frame in line arrives: none behind it does earlier.
    last: u64,
    /// It is in a burst of losses.
    ill: bool,
}

impl Line {
    pub(crate) fn new(random: Random) -> Line {
        Line { random, busy: 0, last: 0, ill: false }
    }

    /// Puts a frame of so many octets onto the line.
    pub(crate) fn queue(&mut self, now: u64, len: usize, config: &LinkConfig) -> Queued {
        let Some(rate) = config.rate else { return Queued::Left(now) };
        let rate = u128::from(rate.max(1));
        let waiting = u128::from(self.busy.saturating_sub(now)) * rate / (SECOND * BITS);
        if waiting + len as u128 > u128::from(config.queue) {
            return Queued::Full;
        }
        let takes = (len as u128 * BITS * SECOND).div_ceil(rate);
        self.busy = self.busy.max(now).saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        Queued::Left(self.busy)
    }

    /// Settles what becomes of a frame of so many octets that has left the line at a moment.
    pub(crate) fn fate(&mut self, left: u64, len: usize, config: &LinkConfig) -> Fate {
        if let Some(bursts) = config.bursts {
            let turns = if self.ill { bursts.leave } else { bursts.enter };
            self.ill ^= self.random.strikes(turns);
            if self.ill && self.random.strikes(bursts.loss) {
                return Fate::Burst;
            }
        }
        if self.random.strikes(config.loss) {
            return Fate::Lost;
        }
        let corrupt = self.random.strikes(config.corruption).then(|| self.random.below(len as u64 * 8));
        let twice = self.random.strikes(config.duplication);
        let held_back = self.random.strikes(config.reordering);
        let jitter = nanos(config.jitter);
        let late = if jitter > 0 { self.random.below(jitter + 1) } else { 0 };
        let mut at = left.saturating_add(nanos(config.delay)).saturating_add(late);
        if held_back {
            at = at.saturating_add(nanos(config.held_back));
        } else {
            at = at.max(self.last);
            self.last = at;
        }
        Fate::Arrives(Arrival { at, twice, held_back, corrupt })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Bursts;

    fn line() -> Line {
        Line::new(Random::new(1, "test", "line"))
    }

    fn arrival(fate: Fate) -> Arrival {
        let Fate::Arrives(arrival) = fate else { panic!("{fate:?}") };
        arrival
    }

    #[test]
    fn a_line_takes_its_time_and_has_a_bound() {
        // 1000 octets take a millisecond.
        let config = LinkConfig { rate: Some(8_000_000), queue: 3000, ..LinkConfig::default() };
        let mut line = line();
        let left: Vec<Queued> = (0..4).map(|_| line.queue(5, 1000, &config)).collect();
        assert_eq!(left, [Queued::Left(1_000_005), Queued::Left(2_000_005), Queued::Left(3_000_005), Queued::Full]);
        assert_eq!(line.queue(1_000_005, 1000, &config), Queued::Left(4_000_005), "there is room again");
        assert_eq!(line.queue(9_000_000, 1, &config), Queued::Left(9_001_000), "an idle line begins at once");
        assert_eq!(line.queue(7, 1 << 30, &LinkConfig::default()), Queued::Left(7), "without a rate there is no line");
    }

    #[test]
    fn jitter_keeps_the_order_and_what_is_held_back_does_not() {
        let (delay, jitter) = (Duration::from_millis(10), Duration::from_millis(10));
        let mut line = line();
        let config = LinkConfig { delay, jitter, ..LinkConfig::default() };
        let at: Vec<u64> = (0..100).map(|at| arrival(line.fate(at * 1000, 100, &config)).at).collect();
        assert!(at.is_sorted() && at[0] >= 10_000_000 && at[99] <= 20_100_000 && at[0] != at[99], "{at:?}");
        let config = LinkConfig { delay, reordering: 0.5, held_back: jitter, ..LinkConfig::default() };
        let all: Vec<Arrival> = (200..300).map(|at| arrival(line.fate(at * 100_000, 100, &config))).collect();
        assert!(all.iter().any(|one| one.held_back) && !all.iter().map(|one| one.at).is_sorted());
    }

    #[test]
    fn bursts_lose_many_in_a_row() {
        let config = LinkConfig { bursts: Some(Bursts { enter: 0.01, leave: 0.2, loss: 1.0 }), ..LinkConfig::default() };
        let mut line = line();
        let lost: Vec<bool> = (0..20_000).map(|at| line.fate(at, 100, &config) == Fate::Burst).collect();
        let all = lost.iter().filter(|lost| **lost).count();
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!(runs > 50 && all / runs >= 3 && all / runs <= 8, "{all} in {runs} bursts: five each are to be expected");
    }

    #[test]
    fn other_faults_happen_as_often_as_they_should() {
        let config = LinkConfig { loss: 0.1, duplication: 0.1, corruption: 0.1, ..LinkConfig::default() };
        let mut line = line();
        let fates: Vec<Fate> = (0..10_000).map(|at| line.fate(at, 100, &config)).collect();
        let count = |what: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| what(fate)).count();
        let lost = count(&|fate| *fate == Fate::Lost);
        let twice = count(&|fate| matches!(fate, Fate::Arrives(Arrival { twice: true, .. })));
        let corrupt = count(&|fate| matches!(fate, Fate::Arrives(Arrival { corrupt: Some(0..800), .. })));
        assert!([lost, twice, corrupt].iter().all(|times| (800..1_200).contains(times)), "{lost} {twice} {corrupt}");
    }
}
