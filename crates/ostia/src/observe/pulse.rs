//! What a worker shows of itself to the watchdog: one word that says which poll it is in, and its tasks' names.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::worker::NO_TASK;

/// A task's name.
pub(crate) type Name = Cow<'static, str>;

/// The word of a worker that polls nothing: it waits, or looks after its port.
const AT_REST: u64 = u64::MAX;

/// Shared by a worker, its named tasks and the watchdog.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// The number of the task that is being polled in the lower half, which of the worker's polls it is in the upper. The
    /// worker only stores it: nothing is ordered by it, and the watchdog only compares what it sees at two moments.
    word: AtomicU64,
    /// How many tasks were found stuck. The watchdog counts.
    stuck: AtomicU64,
    /// Names by the numbers of their tasks. Only tasks that have a name, and those who ask for one, take the lock.
    names: Mutex<HashMap<u32, Name>>,
}

/// Which poll a worker is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Beat(u64);

impl Beat {
    pub(crate) const AT_REST: Beat = Beat(AT_REST);

    /// The task that is being polled; none if the worker polls none.
    pub(crate) fn task(self) -> Option<u32> {
        Some(self.0 as u32).filter(|&task| task != NO_TASK)
    }
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { word: AtomicU64::new(AT_REST), stuck: AtomicU64::new(0), names: Mutex::default() }
    }
}

impl Pulse {
    /// A task begins to be polled; `count` differs from one poll to the next.
    #[inline]
    pub(crate) fn begin(&self, task: u32, count: u64) {
        self.word.store(count << 32 | u64::from(task), Ordering::Relaxed);
    }

    /// Nothing is being polled any more.
    #[inline]
    pub(crate) fn rest(&self) {
        self.word.store(AT_REST, Ordering::Relaxed);
    }

    pub(crate) fn beat(&self) -> Beat {
        Beat(self.word.load(Ordering::Relaxed))
    }

    pub(crate) fn count_stuck(&self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stuck(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    fn names(&self) -> MutexGuard<'_, HashMap<u32, Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self, task: u32) -> Option<Name> {
        self.names().get(&task).cloned()
    }

    /// Gives a task a name, or takes it away; tells the one it had.
    pub(crate) fn set_name(&self, task: u32, name: Option<Name>) -> Option<Name> {
        let mut names = self.names();
        match name {
            Some(name) => names.insert(task, name),
            None => names.remove(&task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_tells_the_task_and_differs_between_polls() {
        let pulse = Pulse::default();
        assert_eq!(pulse.beat(), Beat::AT_REST);
        assert_eq!(pulse.beat().task(), None);
        pulse.begin(7, 1);
        let first = pulse.beat();
        assert_eq!(first.task(), Some(7));
        pulse.begin(7, 2);
        assert_eq!(pulse.beat().task(), Some(7));
        assert_ne!(pulse.beat(), first);
        pulse.begin(0, u64::MAX);
        assert_eq!(pulse.beat().task(), Some(0), "the count may overflow");
        pulse.rest();
        assert_eq!(pulse.beat().task(), None);
    }
}
