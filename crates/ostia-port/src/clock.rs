//! The port's clock: nanoseconds since the port was made, read once a turn; the system's, or that of a simulation.

use std::time::{Duration, Instant};

pub(crate) use crate::os::time::monotonic;
use crate::virtual_time::VirtualTime;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The system's monotonic clock, counted from the making of the port; or a virtual one.
#[derive(Clone)]
pub(crate) struct Clock {
    started: Instant,
    base: u64,
    now: u64,
    source: Option<VirtualTime>,
}

/// How long a wait may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    Poll,
    /// Until this moment of the monotonic clock, in nanoseconds.
    Until(u64),
    /// As long as it takes.
    Forever,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { started: Instant::now(), base: monotonic(), now: 0, source: None }
    }

    /// A clock that shows virtual time, whose moments are nanoseconds of that.
    pub(crate) fn of(time: VirtualTime) -> Clock {
        Clock { started: Instant::now(), base: 0, now: time.nanos(), source: Some(time) }
    }

    /// The moment that it is now, whatever was read last.
    #[inline]
    pub(crate) fn moment(&self) -> u64 {
        match &self.source {
            None => monotonic(),
            Some(time) => time.nanos(),
        }
    }

    /// The time that it is now, whatever was read last.
    pub(crate) fn fresh(&self) -> Instant {
        self.started + Duration::from_nanos(self.moment().saturating_sub(self.base))
    }

    /// Reads the time; everything until the next reading goes by it.
    #[inline]
    pub(crate) fn read(&mut self) {
        self.now = self.moment().saturating_sub(self.base);
    }

    /// Nanoseconds since the start, as last read.
    #[inline]
    pub(crate) fn nanos(&self) -> u64 {
        self.now
    }

    /// The moment last read.
    pub(crate) fn now(&self) -> Instant {
        self.started + Duration::from_nanos(self.now)
    }

    /// Whole milliseconds since the start, as last read: timers of this tick are due.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        self.now / NANOS_PER_MILLI
    }

    /// The first tick that is not before `after` from now.
    pub(crate) fn tick_after(&self, after: Duration) -> u64 {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.now.saturating_add(nanos).div_ceil(NANOS_PER_MILLI)
    }

    /// The moment of a tick on the monotonic clock.
    pub(crate) fn moment_of(&self, tick: u64) -> u64 {
        self.base.saturating_add(tick.saturating_mul(NANOS_PER_MILLI))
    }

    /// The moment on the monotonic clock that is so many nanoseconds after the start.
    pub(crate) fn moment_of_nanos(&self, nanos: u64) -> u64 {
        self.base.saturating_add(nanos)
    }

    /// The moment of an instant on the monotonic clock.
    pub(crate) fn moment_at(&self, instant: Instant) -> u64 {
        let nanos = instant.saturating_duration_since(self.started).as_nanos();
        self.base.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Patience {
    /// The shorter of two.
    pub(crate) fn min(self, other: Patience) -> Patience {
        match (self, other) {
            (Patience::Poll, _) | (_, Patience::Poll) => Patience::Poll,
            (Patience::Until(a), Patience::Until(b)) => Patience::Until(a.min(b)),
            (Patience::Forever, other) | (other, Patience::Forever) => other,
        }
    }

    /// What is left of it by the system's clock, measured now; none for ever.
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Patience::Poll => Some(Duration::ZERO),
            Patience::Until(moment) => Some(Duration::from_nanos(moment.saturating_sub(monotonic()))),
            Patience::Forever => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_up_so_that_no_timer_is_early() {
        let clock = Clock { started: Instant::now(), base: 5, now: 1_500_000, source: None };
        assert_eq!(clock.tick(), 1);
        assert_eq!(clock.tick_after(Duration::ZERO), 2);
        assert_eq!(clock.tick_after(Duration::from_micros(500)), 2);
        assert_eq!(clock.tick_after(Duration::from_micros(501)), 3);
        assert_eq!(clock.moment_of(2), 2_000_005);
    }

    #[test]
    fn the_shorter_patience_wins() {
        assert_eq!(Patience::Forever.min(Patience::Until(3)), Patience::Until(3));
        assert_eq!(Patience::Until(2).min(Patience::Until(3)), Patience::Until(2));
        assert_eq!(Patience::Until(2).min(Patience::Poll), Patience::Poll);
        assert_eq!(Patience::Forever.left(), None);
    }
}
