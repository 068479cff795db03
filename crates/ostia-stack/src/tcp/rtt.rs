//! The round-trip time and the retransmission timeout (RFC 6298).

use core::time::Duration;

/// SRTT, RTTVAR and RTO of one connection, in nanoseconds.
///
/// RTO = SRTT + max(G, 4 * RTTVAR), where the clock granularity G is 1 ns (RFC 6298, 2.3). RFC 6298, 2.4, bounds the sum from
/// below, by 1 s; Linux bounds the second term, by 200 ms, so that a steady path has room for delayed acknowledgments above its
/// round-trip time. From above the sum is bounded by a maximum: at least 60 s (2.5); Linux has 120 s.
#[derive(Clone, Debug)]
pub(crate) struct Rtt {
    srtt: u64,
    rttvar: u64,
    /// `u64::MAX` before the first sample.
    min_rtt: u64,
    initial: Micros,
    min: Micros,
    floor: Floor,
    max: Micros,
    backoffs: u8,
}

/// What the minimum is the minimum of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Floor {
    /// Of the timeout (RFC 6298, 2.4).
    Sum,
    /// Of what is added to the smoothed round-trip time, as in Linux.
    Variance,
}

/// Microseconds up to 71 minutes: bounds need be neither finer nor longer.
#[derive(Clone, Copy, Debug)]
struct Micros(u32);

impl Micros {
    fn new(duration: Duration) -> Micros {
        Micros(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
    }

    fn nanos(self) -> u64 {
        u64::from(self.0) * 1000
    }
}

/// No RTO doubles more often than this: the maximum is reached long before.
const MAX_BACKOFFS: u8 = 32;

impl Rtt {
    /// Nothing measured yet. The RTO is `initial` until there is a sample, and from then on between `min` and `max`. Bounds are
    /// cut to microseconds, and to 71 minutes.
    pub(crate) fn new(initial: Duration, (floor, min): (Floor, Duration), max: Duration) -> Rtt {
        let (min, max) = (Micros::new(min.min(max)), Micros::new(max));
        Rtt { srtt: 0, rttvar: 0, min_rtt: u64::MAX, initial: Micros::new(initial), min, floor, max, backoffs: 0 }
    }

    /// Takes a measurement (RFC 6298, 2.2 and 2.3). It must not be of a segment that was sent more than once, unless a timestamp
    /// tells which transmission was answered (Karn's algorithm: RFC 6298, 3). Ends the back-off, for the RTO is computed anew.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 8);
        if self.min_rtt == u64::MAX {
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            // RTTVAR first, from the SRTT before this sample. alpha is 1/8 and beta is 1/4.
            self.rttvar = self.rttvar - self.rttvar / 4 + self.srtt.abs_diff(rtt) / 4;
            self.srtt = self.srtt - self.srtt / 8 + rtt / 8;
        }
        self.min_rtt = self.min_rtt.min(rtt);
        self.backoffs = 0;
    }

    /// The retransmission timeout, doubled for every back-off, and never above the maximum.
    pub(crate) fn rto(&self) -> Duration {
        let (min, max) = (self.min.nanos(), self.max.nanos());
        let once = if self.min_rtt == u64::MAX {
            self.initial.nanos()
        } else {
            let variance = self.rttvar.saturating_mul(4).max(1);
            match self.floor {
                Floor::Sum => self.srtt.saturating_add(variance).max(min),
                Floor::Variance => self.srtt.saturating_add(variance.max(min)),
            }
        };
        Duration::from_nanos(once.saturating_mul(1 << self.backoffs).min(max))
    }

    /// The timer has expired: the RTO doubles (RFC 6298, 5.5).
    pub(crate) fn back_off(&mut self) {
        self.backoffs = self.backoffs.saturating_add(1).min(MAX_BACKOFFS);
    }

    /// New data was acknowledged without giving a sample: the RTO is again what was computed.
    pub(crate) fn reset_back_off(&mut self) {
        self.backoffs = 0;
    }

    /// How often the RTO has doubled since it was computed.
    pub(crate) fn backoffs(&self) -> u8 {
        self.backoffs
    }

    /// The handshake has succeeded after a SYN was retransmitted. Nothing could be measured, and the path may be slow: the RTO
    /// begins at 3 s at least (RFC 6298, 5.7), or at the maximum if that is shorter. A sample, from a timestamp, is better
    /// knowledge and stays.
    pub(crate) fn after_lost_syn(&mut self) {
        self.initial = Micros(self.initial.0.max(3_000_000));
        self.backoffs = 0;
    }

    /// The smoothed round-trip time, once there is a sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        (self.min_rtt != u64::MAX).then(|| Duration::from_nanos(self.srtt))
    }

    /// The mean deviation of the round-trip time; zero before the first sample.
    pub(crate) fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// The shortest of all samples.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        (self.min_rtt != u64::MAX).then(|| Duration::from_nanos(self.min_rtt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn strict() -> Rtt {
        Rtt::new(millis(1000), (Floor::Sum, millis(200)), millis(120_000))
    }

    #[test]
    fn before_the_first_sample_the_rto_is_the_initial_one() {
        let rtt = strict();
        assert_eq!(rtt.rto(), millis(1000));
        assert_eq!((rtt.srtt(), rtt.min_rtt(), rtt.rttvar()), (None, None, Duration::ZERO));
    }

    #[test]
    fn the_first_sample_is_srtt_and_half_of_it_rttvar() {
        let mut rtt = strict();
        rtt.sample(millis(100));
        assert_eq!(rtt.srtt(), Some(millis(100)));
        assert_eq!(rtt.rttvar(), millis(50));
        assert_eq!(rtt.rto(), millis(300));
    }

    #[test]
    fn later_samples_move_the_mean_by_an_eighth_and_the_deviation_by_a_quarter() {
        let mut rtt = strict();
        rtt.sample(millis(800));
        rtt.sample(millis(400));
        assert_eq!(rtt.rttvar(), millis(300 + 100));
        assert_eq!(rtt.srtt(), Some(millis(750)));
        assert_eq!(rtt.rto(), millis(750 + 1600));
        assert_eq!(rtt.min_rtt(), Some(millis(400)));
    }

    #[test]
    fn the_minimum_bounds_the_sum() {
        let mut rtt = strict();
        rtt.sample(Duration::from_micros(50));
        assert_eq!(rtt.rto(), millis(200));
        for _ in 0..100 {
            rtt.sample(millis(400));
        }
        assert!(rtt.rto() > millis(400) && rtt.rto() < millis(401), "the deviation has died out: {:?}", rtt.rto());
    }

    #[test]
    fn on_linux_the_minimum_bounds_the_variance() {
        let mut rtt = Rtt::new(millis(1000), (Floor::Variance, millis(200)), millis(120_000));
        for _ in 0..100 {
            rtt.sample(millis(100));
        }
        assert_eq!(rtt.rto(), millis(300));
    }

    #[test]
    fn every_back_off_doubles_up_to_the_maximum() {
        let mut rtt = strict();
        for seconds in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
            assert_eq!(rtt.rto(), Duration::from_secs(seconds));
            rtt.back_off();
        }
        for _ in 0..300 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(), Duration::from_secs(120));
        rtt.reset_back_off();
        assert_eq!((rtt.rto(), rtt.backoffs()), (millis(1000), 0));
        rtt.back_off();
        assert_eq!(rtt.backoffs(), 1);
        rtt.sample(millis(100));
        assert_eq!(rtt.backoffs(), 0, "a sample computes the RTO anew");
    }

    #[test]
    fn after_a_lost_syn_the_rto_begins_at_three_seconds() {
        let mut rtt = strict();
        rtt.back_off();
        rtt.after_lost_syn();
        assert_eq!(rtt.rto(), millis(3000));
        rtt.sample(millis(100));
        assert_eq!(rtt.rto(), millis(300), "a sample is better knowledge");
        let mut rtt = Rtt::new(millis(5000), (Floor::Sum, millis(200)), millis(120_000));
        rtt.after_lost_syn();
        assert_eq!(rtt.rto(), millis(5000), "it never becomes shorter by this");
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Rtt>() <= 48);
    }

    proptest! {
        #[test]
        fn the_rto_keeps_its_bounds_and_is_longer_than_srtt(
            samples in proptest::collection::vec(any::<u64>(), 1..50),
            backoffs: u8,
        ) {
            let mut rtt = strict();
            for sample in &samples {
                rtt.sample(Duration::from_nanos(*sample));
            }
            let (low, high) = (samples.iter().min().unwrap(), samples.iter().max().unwrap());
            let srtt = rtt.srtt().unwrap().as_nanos() as u64;
            prop_assert!(srtt <= *high && srtt.saturating_add(16) >= (*low).min(u64::MAX / 8), "{srtt}");
            prop_assert_eq!(rtt.min_rtt().unwrap().as_nanos() as u64, (*low).min(u64::MAX / 8));
            prop_assert!(rtt.rto() >= millis(200) && rtt.rto() <= millis(120_000));
            prop_assert!(rtt.rto() > rtt.srtt().unwrap() || rtt.rto() == millis(120_000));
            let once = rtt.rto();
            for _ in 0..backoffs {
                rtt.back_off();
            }
            prop_assert_eq!(rtt.rto(), once.saturating_mul(1 << backoffs.min(20)).min(millis(120_000)));
        }
    }
}
