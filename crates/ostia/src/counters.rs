//! What a worker counts besides its port.

use std::cell::Cell;

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident;)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Cell<u64>,)* }

        /// A worker's counters at one moment. All count from the worker's beginning.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct TaskStatistics { $(#[doc = $doc] pub $name: u64,)* }

        impl Counters {
            pub(crate) fn read(&self) -> TaskStatistics {
                TaskStatistics { $($name: self.$name.get(),)* }
            }
        }

        impl TaskStatistics {
            /// What each counter means, in the order of [`iter`](Self::iter).
            pub(crate) const DESCRIPTIONS: &[&str] = &[$($doc),*];

            /// Every counter with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Adds another worker's counters to these.
            pub fn add(&mut self, other: &TaskStatistics) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Tasks that were started on this worker.
    spawned;
    /// Tasks that are gone: completed, panicked or aborted.
    ended;
    /// Tasks that panicked.
    panicked;
    /// Tasks that were dropped before they had completed.
    aborted;
    /// Times that a task was polled.
    polls;
    /// Tasks woken by other threads.
    wakes_remote;
    /// Times that this worker woke a task of another.
    wakes_remote_sent;
    /// Timers that fired.
    timers_fired;
    /// Turns of the loop in which timers fired more than 5 ms late.
    late_turns;
    /// Times that a task used up its operation budget and had to let others run.
    budget_spent;
    /// Turns of the loop.
    turns;
    /// Times that a task was found not to have yielded for the time of `Builder::stuck_after`.
    stuck;
}

/// Adds one.
#[inline]
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// What one worker counted: its tasks and its port.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WorkerStatistics {
    /// The worker.
    pub worker: crate::WorkerId,
    /// Its tasks, wake-ups and timers.
    pub tasks: TaskStatistics,
    /// Operations, completions, bytes, system calls and starvation of its port.
    pub port: ostia_port::Statistics,
    /// Tasks that live at this moment.
    pub tasks_alive: usize,
    /// Pipes that [`Stream::splice_to`](crate::net::Stream::splice_to) uses at this moment.
    pub pipes_in_use: usize,
    /// Pipes kept for it at rest; those that are not needed for a second or two go.
    pub pipes_at_rest: usize,
    /// Threads of the process for blocking work at this moment.
    pub blocking_threads: usize,
}
