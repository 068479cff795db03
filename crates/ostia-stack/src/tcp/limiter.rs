//! Limits of rates: how often the stack answers what nobody may make it answer without end.

use core::time::Duration;

use crate::time::Instant;

/// A token bucket, kept as the time when it will be full again: so many a second in the long run, and `burst` at once. It begins
/// full.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    /// Nanoseconds for a token.
    interval: u64,
    /// Nanoseconds for all but one token.
    slack: u64,
    full_at: Instant,
}

impl Limiter {
    /// With 0 `per_second` or a `burst` of 0 nothing is ever allowed.
    pub(crate) fn new(per_second: u32, burst: u32) -> Limiter {
        let Some(burst) = burst.checked_sub(1) else { return Limiter { interval: u64::MAX, slack: 0, full_at: Instant::NEVER } };
        // Rounded up: rather a few less than one too many.
        match 1_000_000_000u64.div_ceil(u64::from(per_second).max(1)) {
            _ if per_second == 0 => Limiter { interval: u64::MAX, slack: 0, full_at: Instant::NEVER },
            interval => Limiter { interval, slack: interval.saturating_mul(u64::from(burst)), full_at: Instant(0) },
        }
    }

    /// Takes a token, if there is one, and with half of the values of `random`, any 32 random bits, another one: who could count
    /// how many are left would learn what others have drawn (CVE-2020-25705).
    #[must_use]
    pub(crate) fn allow(&mut self, now: Instant, random: u32) -> bool {
        if self.full_at.0 > now.0.saturating_add(self.slack) {
            return false;
        }
        let taken = self.interval.saturating_mul(1 + u64::from(random & 1));
        self.full_at = self.full_at.max(now) + Duration::from_nanos(taken);
        true
    }
}

/// A limit for all connections together whose exact value nobody can find out, for challenge ACKs (RFC 5961, 7): who could count
/// how many are left would learn whether a forged segment had drawn one, and so where another's connection stands
/// (CVE-2016-5696).
#[derive(Clone, Debug)]
pub(crate) struct BlurredLimiter {
    per_second: u32,
    left: u32,
    /// `u64::MAX` before the first.
    second: u64,
}

impl BlurredLimiter {
    /// About so many a second.
    pub(crate) fn new(per_second: u32) -> BlurredLimiter {
        BlurredLimiter { per_second, left: 0, second: u64::MAX }
    }

    /// Whether one more is allowed. Each second has its own number between half and one and a half of the limit, which comes from
    /// `random`, any 32 random bits.
    #[must_use]
    pub(crate) fn allow(&mut self, now: Instant, random: u32) -> bool {
        if self.second != now.secs() {
            self.second = now.secs();
            let spread = (u64::from(random) * u64::from(self.per_second)) >> 32;
            self.left = self.per_second.div_ceil(2).saturating_add(spread as u32);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// The least time between two events of one connection, in 8 bytes (RFC 5961, 7: acknowledgments of what can't be accepted, which
/// else two hosts could send each other without end).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spacing {
    next: Instant,
}

impl Spacing {
    /// Whether `interval` has passed since the last that was allowed, which this is then. The first always is.
    #[must_use]
    pub(crate) fn allow(&mut self, now: Instant, interval: Duration) -> bool {
        let allowed = now >= self.next;
        if allowed {
            self.next = now + interval;
        }
        allowed
    }
}

/// The same in 4 bytes, to the millisecond, for records that last no longer than minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShortSpacing {
    /// The low bits of the millisecond of the last; 0 before the first.
    last: u32,
}

impl ShortSpacing {
    /// Whether `interval` has passed since the last that was allowed, which this is then. The first always is.
    #[must_use]
    pub(crate) fn allow(&mut self, now: Instant, interval: Duration) -> bool {
        let now = (now.millis() as u32).max(1);
        let allowed = self.last == 0 || u128::from(now.wrapping_sub(self.last)) >= interval.as_millis();
        if allowed {
            self.last = now;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn allowed(limiter: &mut Limiter, now: Instant) -> usize {
        (0..1000).filter(|_| limiter.allow(now, 0)).count()
    }

    #[test]
    fn a_burst_at_once_and_then_the_rate() {
        let mut limiter = Limiter::new(10, 5);
        let start = Instant(0) + Duration::from_secs(100);
        assert_eq!(allowed(&mut limiter, start), 5);
        assert_eq!(allowed(&mut limiter, start + Duration::from_millis(99)), 0);
        assert_eq!(allowed(&mut limiter, start + Duration::from_millis(100)), 1);
        assert_eq!(allowed(&mut limiter, start + Duration::from_millis(450)), 3);
        assert_eq!(allowed(&mut limiter, start + Duration::from_secs(3600)), 5, "it never holds more than the burst");
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_is_not_exceeded() {
        let mut limiter = Limiter::new(3, 1);
        assert!(limiter.allow(Instant(0), 0));
        assert!(!limiter.allow(Instant(333_333_333), 0), "three such waits are less than a second");
        assert!(limiter.allow(Instant(333_333_334), 0));
    }

    #[test]
    fn how_many_are_left_cannot_be_counted() {
        let drawn = |pattern: u32| {
            let mut limiter = Limiter::new(10, 12);
            (0..32).filter(|&bit| limiter.allow(Instant(0), pattern >> bit)).count()
        };
        assert_eq!([0, u32::MAX, 0b1010_1010, 0b0000_1111].map(drawn), [12, 6, 8, 8]);
    }

    #[test]
    fn it_is_full_at_the_beginning_of_time() {
        assert_eq!(allowed(&mut Limiter::new(1, 3), Instant(0)), 3);
    }

    #[test]
    fn nothing_is_allowed_with_zero() {
        let end = Instant(u64::MAX - 1);
        assert_eq!(allowed(&mut Limiter::new(0, 5), end), 0);
        assert_eq!(allowed(&mut Limiter::new(5, 0), end), 0);
        assert!(!BlurredLimiter::new(0).allow(end, u32::MAX));
    }

    #[test]
    fn a_blurred_limit_has_another_number_every_second() {
        let mut limiter = BlurredLimiter::new(100);
        let mut counts = Vec::new();
        for (second, random) in [0, u32::MAX, 1 << 31, 7].into_iter().enumerate() {
            let now = Instant(second as u64 * 1_000_000_000);
            counts.push((0..1000).filter(|_| limiter.allow(now, random)).count());
        }
        assert_eq!(counts, [50, 149, 100, 50]);
        assert!(BlurredLimiter::new(1).allow(Instant(5), 0), "one is always allowed");
    }

    #[test]
    fn spaced_events_keep_their_distance() {
        let mut spacing = Spacing::default();
        let half = Duration::from_millis(500);
        assert!(spacing.allow(Instant(3), half), "the first is allowed");
        assert!(!spacing.allow(Instant(500_000_002), half));
        assert!(spacing.allow(Instant(500_000_003), half));
        assert!(!spacing.allow(Instant(500_000_004), half));
        assert_eq!(size_of::<Spacing>(), 8);
    }

    proptest! {
        #[test]
        fn in_no_span_of_time_are_there_more_than_the_rate_and_the_burst(
            per_second in 1u32..5000,
            burst in 1u32..50,
            waits in proptest::collection::vec((0u64..20_000_000, 0u32..2), 1..300),
        ) {
            let mut limiter = Limiter::new(per_second, burst);
            let mut now = Instant(0);
            let mut times: Vec<u64> = Vec::new();
            let mut refused = 0;
            for (wait, random) in waits {
                now = now + Duration::from_nanos(wait);
                if limiter.allow(now, random) { times.push(now.0) } else { refused += 1 }
            }
            for (index, first) in times.iter().enumerate() {
                let (count, span) = (times.len() - index, times[times.len() - 1] - first);
                prop_assert!(count as u64 <= u64::from(burst) + span * u64::from(per_second) / 1_000_000_000);
            }
            prop_assert!(refused == 0 || 2 * times.len() >= burst as usize, "a full bucket gives half of its burst");
        }
    }

    #[test]
    fn the_short_form_keeps_the_interval_too_and_past_its_wrap() {
        for start in [0, 1, 5000, u64::from(u32::MAX) - 200] {
            let at = |millis: u64| Instant(0) + Duration::from_millis(start + millis);
            let (mut spacing, interval) = (ShortSpacing::default(), Duration::from_millis(500));
            let allowed: Vec<u64> = (0..1502).filter(|&millis| spacing.allow(at(millis), interval)).collect();
            assert!(matches!(allowed[..], [0, 500 | 501, 1000 | 1001, ..]) && allowed.len() <= 4, "{start}: {allowed:?}");
        }
    }
}
