//! What a worker counts of its requests, in plain cells; read when Prometheus asks.

use crate::files::cache::Counters as CacheCounters;
use crate::http::response::Status;
use std::time::Duration;

/// One worker's counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpCounters {
    /// Requests that were answered, by the first digit of the status.
    pub classes: [u64; 5],
    /// Bytes of content that were sent.
    pub bytes: u64,
    /// How long requests took.
    pub durations: Durations,
    /// The cache of files.
    pub cache: CacheCounters,
}

impl HttpCounters {
    /// Counts a request.
    #[inline]
    pub fn count(&mut self, status: Status, bytes: u64, took: Duration) {
        let class = usize::from(status.code() / 100).clamp(1, 5) - 1;
        self.classes[class] += 1;
        self.bytes += bytes;
        self.durations.record(took);
    }
}

/// A histogram of durations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// Requests per bucket, each with those that no smaller bucket has.
    pub counts: [u64; 12],
    beyond: u64,
    /// Of all.
    pub sum: Duration,
}

impl Durations {
    /// The buckets' upper ends in seconds, as Prometheus writes them.
    pub const LIMITS: [&str; 12] =
        ["0.0001", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.1", "0.25", "1", "2.5", "10"];
    const MICROS: [u64; 12] = [100, 500, 1000, 2500, 5000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 2_500_000, 10_000_000];

    /// Counts one.
    #[inline]
    pub fn record(&mut self, took: Duration) {
        self.sum += took;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match Self::MICROS.iter().position(|limit| micros <= *limit) {
            Some(bucket) => self.counts[bucket] += 1,
            None => self.beyond += 1,
        }
    }

    /// Those beyond the last bucket.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Durations) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.beyond += other.beyond;
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_told_as_they_are() {
        for (text, micros) in Durations::LIMITS.iter().zip(Durations::MICROS) {
            assert_eq!(text.parse::<f64>().unwrap(), micros as f64 / 1e6);
        }
    }

    #[test]
    fn a_limit_belongs_to_its_bucket() {
        let mut durations = Durations::default();
        durations.record(Duration::from_micros(100));
        durations.record(Duration::from_micros(101));
        durations.record(Duration::from_secs(11));
        assert_eq!((durations.counts[0], durations.counts[1], durations.beyond()), (1, 1, 1));
    }
}
