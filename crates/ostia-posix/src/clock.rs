//! What time it is, told by whoever embeds a world.

use std::time::Duration;

use ostia_stack::Instant;

/// A clock of a world. It must not go backwards.
pub trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> Instant;
}

/// The system's clock: nanoseconds since 1970 as they were when it was made, and as `CLOCK_MONOTONIC` counts on from there, so
/// that it never goes back.
#[derive(Debug)]
pub struct SystemClock {
    begun: std::time::Instant,
    epoch: Duration,
}

impl SystemClock {
    /// A clock that is right now.
    pub fn new() -> SystemClock {
        let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        SystemClock { begun: std::time::Instant::now(), epoch }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant(0) + (self.epoch + self.begun.elapsed())
    }
}
