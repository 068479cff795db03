//! Virtual time: a clock that stands still while a port works, and jumps to the next thing that is to happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The clock of a port on the [virtual driver](crate::DriverChoice::Virtual), shared with whoever makes things happen in its
/// world: simulated links read it, and set [alarms](Self::alarm) for the moments at which what they carry arrives.
///
/// It begins at 0 and only goes forward. It moves in a wait of the port that finds nothing to do, and then exactly to the
/// earliest of: the wait's end, the port's timers, its engines' deadlines, and the alarms. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct VirtualTime(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    nanos: AtomicU64,
    alarms: Mutex<BinaryHeap<Reverse<u64>>>,
}

impl VirtualTime {
    /// A clock that shows 0.
    #[must_use]
    pub fn new() -> VirtualTime {
        VirtualTime::default()
    }

    /// What it shows, in nanoseconds.
    #[inline]
    #[must_use]
    pub fn nanos(&self) -> u64 {
        self.0.nanos.load(Ordering::Relaxed)
    }

    /// Has it stop at this moment, in nanoseconds, when it comes there: something is to happen then. A moment that is past
    /// makes the next wait return at once. Setting a moment twice costs memory and nothing else.
    pub fn alarm(&self, at: u64) {
        self.alarms().push(Reverse(at));
    }

    /// Goes forward to the next alarm or to `limit`, whichever is earlier. False: there is neither, and it stays.
    pub(crate) fn advance(&self, limit: Option<u64>) -> bool {
        let mut alarms = self.alarms();
        let alarm = alarms.peek().map(|Reverse(at)| *at);
        let Some(next) = alarm.into_iter().chain(limit).min() else { return false };
        while alarms.peek().is_some_and(|Reverse(at)| *at <= next) {
            alarms.pop();
        }
        let next = next.max(self.nanos());
        self.0.nanos.store(next, Ordering::Relaxed);
        true
    }

    fn alarms(&self) -> MutexGuard<'_, BinaryHeap<Reverse<u64>>> {
        // A heap is whole between its calls.
        self.0.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_at_every_alarm_and_goes_on_to_the_limit() {
        let time = VirtualTime::new();
        [30, 10, 10, 20].into_iter().for_each(|at| time.alarm(at));
        let stops: Vec<u64> = (0..4).map(|_| (time.advance(Some(25)), time.nanos()).1).collect();
        assert_eq!(stops, [10, 20, 25, 25]);
        assert!(time.advance(None) && time.nanos() == 30);
        assert!(!time.advance(None), "nothing is to happen any more");
        time.alarm(7);
        assert!(time.advance(None) && time.nanos() == 30, "it never goes back");
    }
}
