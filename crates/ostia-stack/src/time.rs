//! Points in time, as whoever drives the stack counts them.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds since a moment that the driver chooses. It must not go backwards between calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Later than everything: a timer that is off.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// How long after `earlier` this is; zero if it isn't.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds since the driver's moment.
    pub fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the driver's moment.
    pub fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Whether this is a time at all, and not [`Instant::NEVER`].
    pub fn is_set(self) -> bool {
        self != Instant::NEVER
    }
}

/// The last time that is one.
const LAST: u64 = u64::MAX - 1;

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates below [`Instant::NEVER`], which stands for no time.
    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos).min(LAST))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_sub(nanos))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_set() {
            true => write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000),
            false => f.write_str("never"),
        }
    }
}
