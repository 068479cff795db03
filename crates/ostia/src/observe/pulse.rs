//! What a worker shows of itself to the watchdog: which task it polls, in which turn; and its tasks' names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::worker::NO_TASK;

/// A task's name.
pub(crate) type Name = Cow<'static, str>;

/// Shared by a worker, its named tasks and the watchdog.
///
/// The worker only stores its turn and task, once per turn and once per poll: nothing is ordered by them, and the watchdog
/// only compares what it sees at moments that are far apart.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// The number of the task that is being polled; `NO_TASK` while the worker waits or looks after its port.
    task: AtomicU32,
    /// How many turns there were, modulo 2³².
    turn: AtomicU32,
    /// How many tasks were found stuck. The watchdog counts.
    stuck: AtomicU64,
    /// Names by the numbers of their tasks. Only tasks that have a name, and those who ask for one, take the lock.
    names: Mutex<BTreeMap<u32, Name>>,
}

/// What a worker is at: a task, in a turn. A task is polled once in a turn; one that ends may leave its number to another
/// of the same turn, which is then taken for it, and the turn has been that long all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Beat {
    turn: u32,
    task: u32,
}

impl Beat {
    pub(crate) const AT_REST: Beat = Beat { turn: 0, task: NO_TASK };

    /// The task that is being polled; none if the worker polls none.
    pub(crate) fn task(self) -> Option<u32> {
        Some(self.task).filter(|&task| task != NO_TASK)
    }
}

impl Default for Pulse {
    fn default() -> Pulse {
        let (task, turn) = (AtomicU32::new(NO_TASK), AtomicU32::new(0));
        Pulse { task, turn, stuck: AtomicU64::new(0), names: Mutex::default() }
    }
}

impl Pulse {
    /// A task begins to be polled.
    #[inline]
    pub(crate) fn begin(&self, task: u32) {
        self.task.store(task, Ordering::Relaxed);
    }

    /// A turn is over: nothing is polled until the next.
    #[inline]
    pub(crate) fn turn(&self, turn: u64) {
        self.turn.store(turn as u32, Ordering::Relaxed);
        self.rest();
    }

    /// Nothing is being polled any more.
    #[inline]
    pub(crate) fn rest(&self) {
        self.begin(NO_TASK);
    }

    pub(crate) fn beat(&self) -> Beat {
        Beat { turn: self.turn.load(Ordering::Relaxed), task: self.task.load(Ordering::Relaxed) }
    }

    pub(crate) fn count_stuck(&self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stuck(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<u32, Name>> {
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
    fn a_beat_tells_the_task_and_differs_between_turns() {
        let pulse = Pulse::default();
        assert_eq!(pulse.beat(), Beat::AT_REST);
        assert_eq!(pulse.beat().task(), None);
        pulse.begin(7);
        let first = pulse.beat();
        assert_eq!(first.task(), Some(7));
        pulse.turn(1);
        assert_eq!(pulse.beat().task(), None);
        pulse.begin(7);
        assert_eq!(pulse.beat().task(), Some(7));
        assert_ne!(pulse.beat(), first);
        pulse.begin(0);
        assert_eq!(pulse.beat().task(), Some(0));
        pulse.rest();
        assert_eq!(pulse.beat().task(), None);
    }

    #[test]
    fn names_are_given_replaced_and_taken() {
        let pulse = Pulse::default();
        assert_eq!(pulse.set_name(3, Some("a".into())), None);
        assert_eq!(pulse.set_name(3, Some("b".into())).as_deref(), Some("a"));
        assert_eq!((pulse.name(3).as_deref(), pulse.name(4)), (Some("b"), None));
        assert_eq!(pulse.set_name(3, None).as_deref(), Some("b"));
        assert_eq!(pulse.name(3), None);
    }
}
