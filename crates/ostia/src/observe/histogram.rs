//! Histograms of a worker, in plain integers: lengths of turns and polls, tasks per turn, lateness of timers.

use std::array;
use std::cell::Cell;
use std::time::Instant;

use crate::{WorkerId, here, task};

/// Each power of two is cut into so many parts, as a power of two: a bucket is at most a quarter of its values wide.
const PARTS_LOG: u32 = 2;
const PARTS: u64 = 1 << PARTS_LOG;
/// Values from this power of two on are in the last bucket: 18 minutes in nanoseconds.
const LARGEST_LOG: u32 = 40;
const BUCKETS: usize = (PARTS as u32 * (LARGEST_LOG - PARTS_LOG + 1)) as usize;

/// The bucket of a value.
#[inline]
fn bucket(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let log = u64::BITS - 1 - value.leading_zeros();
    let part = value >> (log - PARTS_LOG) & (PARTS - 1);
    let bucket = u64::from(log - PARTS_LOG + 1) * PARTS + part;
    (bucket as usize).min(BUCKETS - 1)
}

/// The least value of a bucket.
fn least(bucket: usize) -> u64 {
    let (power, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    match power {
        0 => part,
        _ => (PARTS + part) << (power - 1),
    }
}

/// How often which values occurred, to within a quarter.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: Box::new([0; BUCKETS]), sum: 0 }
    }
}

impl Histogram {
    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The values added up, exactly; it wraps round at 2⁶⁴.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Adds a value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.sum = self.sum.wrapping_add(value);
    }

    /// A value that this part of all values, from 0 to 1, does not exceed; at most a quarter above the least such. None
    /// without values.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * part.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut below = 0;
        self.buckets().find_map(|(most, values)| {
            below += values;
            (below >= rank).then_some(most)
        })
    }

    /// The buckets that have values, from small to large: the largest value that belongs there, and how many do. The last
    /// bucket, which begins at about 15 minutes, has all larger ones too.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.counts.iter().copied().enumerate().filter(|&(_, count)| count > 0);
        counts.map(|(bucket, count)| (if bucket + 1 == BUCKETS { u64::MAX } else { least(bucket + 1) - 1 }, count))
    }

    /// Adds another histogram's values to these.
    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(count, more)| *count += more);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// What has come since an earlier state of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let counts = Box::new(array::from_fn(|i| self.counts[i].saturating_sub(earlier.counts[i])));
        Histogram { counts, sum: self.sum.wrapping_sub(earlier.sum) }
    }

    /// Moves up to `most` of what has come since an earlier state into it, giving each bucket's middle and how many; tells
    /// how many that were.
    #[cfg(feature = "metrics")]
    pub(crate) fn catch_up(&self, earlier: &mut Histogram, most: u64, mut give: impl FnMut(u64, u64)) -> u64 {
        let mut left = most;
        for (bucket, (now, before)) in self.counts.iter().zip(earlier.counts.iter_mut()).enumerate() {
            let more = (now - *before).min(left);
            if more > 0 {
                *before += more;
                left -= more;
                give(least(bucket).midpoint(least(bucket + 1) - 1), more);
            }
        }
        most - left
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

/// A histogram that one thread fills.
struct Cells {
    counts: [Cell<u64>; BUCKETS],
    sum: Cell<u64>,
}

impl Cells {
    fn new() -> Cells {
        Cells { counts: [const { Cell::new(0) }; BUCKETS], sum: Cell::new(0) }
    }

    #[inline]
    fn record(&self, value: u64) {
        let count = &self.counts[bucket(value)];
        count.set(count.get() + 1);
        self.sum.set(self.sum.get().wrapping_add(value));
    }

    fn read(&self) -> Histogram {
        Histogram { counts: Box::new(array::from_fn(|i| self.counts[i].get())), sum: self.sum.get() }
    }
}

/// What a worker fills, if it has been told to.
pub(crate) struct Histograms {
    turn: Cells,
    tasks: Cells,
    poll: Cells,
    lateness: Cells,
}

fn nanos_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Histograms {
    pub(crate) fn new() -> Histograms {
        Histograms { turn: Cells::new(), tasks: Cells::new(), poll: Cells::new(), lateness: Cells::new() }
    }

    pub(crate) fn turned(&self, began: Instant) {
        self.turn.record(nanos_since(began));
    }

    pub(crate) fn polled(&self, began: Instant) {
        self.poll.record(nanos_since(began));
    }

    pub(crate) fn tasks(&self, polled: usize) {
        self.tasks.record(polled as u64);
    }

    pub(crate) fn late(&self, nanos: u64) {
        self.lateness.record(nanos);
    }

    pub(crate) fn read(&self, worker: u32) -> WorkerHistograms {
        WorkerHistograms {
            worker: WorkerId(worker),
            turn: self.turn.read(),
            tasks: self.tasks.read(),
            poll: self.poll.read(),
            lateness: self.lateness.read(),
        }
    }
}

/// A worker's histograms at one moment. All count from the worker's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerHistograms {
    /// The worker.
    pub worker: WorkerId,
    /// Nanoseconds from the end of one wait for the port to the beginning of the next: how long it may take until
    /// something that has arrived is seen.
    pub turn: Histogram,
    /// Tasks that were polled in a turn.
    pub tasks: Histogram,
    /// Nanoseconds that a task took before it yielded.
    pub poll: Histogram,
    /// Nanoseconds by which the timer that was due first was late, of the turns in which timers fired. A timer counts in
    /// whole milliseconds, so up to one is no lateness of the worker.
    pub lateness: Histogram,
}

/// The histograms of every worker of this runtime: empty where [`Builder::histograms`](crate::Builder::histograms) has
/// not switched them on. Workers that have ended are left out.
///
/// Cancelled: nothing has changed.
pub async fn histograms() -> Vec<WorkerHistograms> {
    let mut all = Vec::new();
    for worker in crate::workers() {
        let read = || async { here::with(|core| core.histograms.as_ref().map(|histograms| histograms.read(core.id))) };
        if let Ok(Some(Some(one))) = task::spawn_on(worker, read).await {
            all.push(one);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps_and_are_narrow() {
        for bucket_number in 0..BUCKETS - 1 {
            let (from, past) = (least(bucket_number), least(bucket_number + 1));
            assert!(from < past);
            assert_eq!((bucket(from), bucket(past - 1), bucket(past)), (bucket_number, bucket_number, bucket_number + 1));
            assert!(past - from <= (from / 4).max(1), "{from} to {past}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(least(BUCKETS), 1 << LARGEST_LOG);
    }

    #[test]
    fn quantiles_sums_and_differences() {
        let mut all = Histogram::default();
        assert_eq!((all.quantile(0.5), all.count()), (None, 0));
        (1..=1000).for_each(|value| all.record(value * 1000));
        assert_eq!((all.count(), all.sum()), (1000, 500_500_000));
        for (part, exact) in [(0.0, 1000), (0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let found = all.quantile(part).expect("values");
            assert!((exact..=exact + exact / 4).contains(&found), "{part}: {found}");
        }
        let earlier = all.clone();
        all.record(u64::MAX);
        assert_eq!(all.quantile(1.0), Some(u64::MAX));
        let new = all.since(&earlier);
        assert_eq!((new.count(), new.sum()), (1, u64::MAX));
        let mut both = earlier.clone();
        both.add(&new);
        assert_eq!(both, all);
    }

    #[test]
    fn cells_say_what_a_histogram_says() {
        let (cells, mut plain) = (Cells::new(), Histogram::default());
        for value in [0, 1, 3, 4, 5, 1_000_000, 1 << 50] {
            cells.record(value);
            plain.record(value);
        }
        assert_eq!(cells.read(), plain);
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn catching_up_in_pieces_gives_everything_once() {
        let (mut now, mut given) = (Histogram::default(), Histogram::default());
        let mut total = 0;
        (0..5000).for_each(|value| now.record(value));
        loop {
            let moved = now.catch_up(&mut given, 777, |middle, count| {
                assert!(middle < 5120);
                total += count;
            });
            if moved < 777 {
                break;
            }
        }
        assert_eq!(total, 5000);
        assert_eq!(now.catch_up(&mut given, 777, |_, _| unreachable!("all was given")), 0);
    }
}
