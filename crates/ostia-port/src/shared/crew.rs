//! Who is in a pool: how many threads there are, whether one more is to come or one may go, and the stop.
//!
//! When the pool stops, each thread that is counted has one exit packet to take, and nothing else ends it. So the count must
//! be right at that moment: whether a thread comes or goes is decided, done and counted under one lock, with no gap into which
//! a stop could fall. One that came after the stop would wait for ever for its packet; one that was counted and then could
//! not be had would leave its packet to strangers.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::parker::Parker;
use super::queue::Queue;
use super::sync::{Condvar, Mutex, MutexGuard, Patience, lock};

/// How long the pool waits before it asks the system again for a thread that it didn't get.
const SPAWN_PAUSE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    threads: usize,
    /// Those of them that have not looked for a packet yet: others are not needed before that.
    arriving: usize,
    /// The most that there ever were at once.
    peak: usize,
    /// How many have been made since the beginning.
    made: usize,
    stopping: bool,
}

/// See the file's head.
pub(super) struct Crew {
    min: usize,
    max: usize,
    state: Mutex<State>,
    /// Told when the last thread goes.
    empty: Condvar,
    /// Where the supervisor sleeps until somebody needs a thread.
    supervisor: Arc<Parker>,
}

impl Crew {
    pub(super) fn new(min: usize, max: usize) -> Crew {
        let supervisor = Arc::new(Parker::new());
        Crew { min, max, state: Mutex::new(State::default()), empty: Condvar::new(), supervisor }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.lock().threads
    }

    /// The most that there have been at once.
    pub(super) fn peak(&self) -> usize {
        self.lock().peak
    }

    /// The first threads, as many as there are at least. `make` makes a thread of a given number, which calls
    /// [`arrived`](Self::arrived) once it has looked for a packet.
    pub(super) fn muster(&self, mut make: impl FnMut(usize) -> io::Result<()>) -> io::Result<()> {
        (0..self.min).try_for_each(|_| self.lock().hire(&mut make))
    }

    /// The supervisor's loop: adds threads while they are needed, until the pool stops or the port ends.
    pub(super) fn supervise<T>(&self, packets: &Queue<T>, mut make: impl FnMut(usize) -> io::Result<()>) {
        let mut retry: Option<Instant> = None;
        // The queue knows the supervisor, and wakes it when it starves.
        let mut called = false;
        while packets.ended().is_none() {
            let mut state = self.lock();
            if state.stopping {
                break;
            }
            let (some, full) = (state.threads >= self.min, state.threads >= self.max);
            // A full pool has no use for the queue's calls.
            if called == full {
                called = !full;
                match full {
                    true => packets.remove_grower(&self.supervisor),
                    false => packets.add_grower(Arc::clone(&self.supervisor)),
                }
            }
            let wanted = !some || (!full && state.arriving == 0 && packets.is_starving());
            if wanted && retry.is_none_or(|moment| moment <= Instant::now()) {
                retry = state.hire(&mut make).err().map(|_| Instant::now() + SPAWN_PAUSE);
                continue;
            }
            drop(state);
            self.supervisor.park(match retry.filter(|_| wanted) {
                Some(moment) => Patience::Until(moment),
                None => Patience::Forever,
            });
        }
        packets.remove_grower(&self.supervisor);
    }

    /// A thread has looked for its first packet.
    pub(super) fn arrived(&self) {
        self.lock().arriving -= 1;
        // Perhaps more are needed.
        self.supervisor.unpark();
    }

    /// Whether a thread that has waited for nothing may end; it is no longer counted then.
    pub(super) fn dismiss(&self) -> bool {
        let mut state = self.lock();
        // Once the pool stops, each thread has an exit packet to take.
        let leaves = !state.stopping && state.threads > self.min;
        if leaves {
            state.threads -= 1;
            drop(state);
            self.supervisor.unpark();
        }
        leaves
    }

    /// A thread ends that was not dismissed.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads == 0 {
            self.empty.notify_all();
        }
        drop(state);
        self.supervisor.unpark();
    }

    /// From now on no thread comes, and none is dismissed. Answers how many exit packets are to be posted: one for each
    /// thread, and none when the crew was stopped before.
    pub(super) fn stop(&self) -> usize {
        let mut state = self.lock();
        if std::mem::replace(&mut state.stopping, true) {
            return 0;
        }
        let exits = state.threads;
        drop(state);
        self.supervisor.unpark();
        exits
    }

    /// Waits until all have left; answers how many have not.
    pub(super) fn wait_until_empty(&self, patience: Patience) -> usize {
        let mut state = self.lock();
        while state.threads > 0 {
            state = match patience.left() {
                Some(Duration::ZERO) => break,
                Some(left) => self.empty.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.empty.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.threads
    }
}

impl State {
    /// One more thread. Counted when it has been made: whoever looks, the thread itself too, looks under the lock.
    fn hire(&mut self, make: impl FnOnce(usize) -> io::Result<()>) -> io::Result<()> {
        make(self.made + 1)?;
        self.made += 1;
        self.threads += 1;
        self.arriving += 1;
        self.peak = self.peak.max(self.threads);
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_could_not_be_had_is_not_counted_and_has_no_exit_packet() {
        let crew = Crew::new(3, 3);
        let refuse_the_third = |number| if number == 3 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) };
        assert_eq!(crew.muster(refuse_the_third).expect_err("two only").kind(), io::ErrorKind::WouldBlock);
        assert_eq!((crew.threads(), crew.peak()), (2, 2));
        assert_eq!(crew.stop(), 2);
    }

    #[test]
    fn a_stop_counts_once_and_dismisses_nobody() {
        let crew = Crew::new(1, 3);
        let mut state = crew.lock();
        (0..3).for_each(|_| state.hire(|_| Ok(())).expect("made"));
        drop(state);
        assert!(crew.dismiss());
        assert_eq!(crew.stop(), 2);
        assert!(!crew.dismiss(), "its exit packet would be left over");
        assert_eq!(crew.stop(), 0, "stopped already");
        assert_eq!(crew.wait_until_empty(Patience::None), 2);
        crew.leave();
        crew.leave();
        assert_eq!(crew.wait_until_empty(Patience::Forever), 0);
    }

    #[test]
    fn those_that_are_needed_stay() {
        let crew = Crew::new(1, 2);
        crew.muster(|_| Ok(())).expect("made");
        assert!(!crew.dismiss());
        assert_eq!(crew.threads(), 1);
    }
}
