//! The primitives that the shared port's threads meet at: the system's, or loom's while its models run.

#[cfg(not(all(loom, test)))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(loom, test))]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Takes a lock. No code of users runs under these locks, so a poisoned one is as good as another.
#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long somebody is willing to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until this moment.
    Until(Instant),
    /// As long as it takes.
    Forever,
}

impl Patience {
    /// Counted from now; a time so long that no clock shows its end is for ever.
    pub(super) fn of(timeout: Option<Duration>) -> Patience {
        match timeout {
            Some(Duration::ZERO) => Patience::None,
            Some(timeout) => Instant::now().checked_add(timeout).map_or(Patience::Forever, Patience::Until),
            None => Patience::Forever,
        }
    }

    /// What is left of it; none for ever, zero when it is over.
    pub(super) fn left(self) -> Option<Duration> {
        match self {
            Patience::None => Some(Duration::ZERO),
            Patience::Until(moment) => Some(moment.saturating_duration_since(Instant::now())),
            Patience::Forever => None,
        }
    }
}

#[cfg(not(all(loom, test)))]
mod word {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use crate::os::thread;

    /// A word that can be slept on (futex(2) and its like).
    #[derive(Debug)]
    pub(in crate::shared) struct Word(AtomicU32);

    impl Word {
        pub(in crate::shared) fn new(value: u32) -> Word {
            Word(AtomicU32::new(value))
        }

        #[inline]
        pub(in crate::shared) fn swap(&self, value: u32) -> u32 {
            self.0.swap(value, Ordering::SeqCst)
        }

        #[inline]
        pub(in crate::shared) fn replace(&self, old: u32, new: u32) -> bool {
            self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }

        /// Sleeps while the word holds `value`, for `left` at most; may return early.
        pub(in crate::shared) fn sleep(&self, value: u32, left: Option<Duration>) {
            thread::sleep_on(&self.0, value, left);
        }

        /// Wakes the one that sleeps.
        pub(in crate::shared) fn wake(&self) {
            thread::wake_one(&self.0);
        }
    }
}

#[cfg(all(loom, test))]
mod word {
    use std::time::Duration;

    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::sync::{Condvar, Mutex};

    /// The word under loom: comparing and falling asleep are one step, as the kernel makes them by its own lock.
    #[derive(Debug)]
    pub(in crate::shared) struct Word {
        value: AtomicU32,
        kernel: Mutex<()>,
        woken: Condvar,
    }

    impl Word {
        pub(in crate::shared) fn new(value: u32) -> Word {
            Word { value: AtomicU32::new(value), kernel: Mutex::new(()), woken: Condvar::new() }
        }

        pub(in crate::shared) fn swap(&self, value: u32) -> u32 {
            self.value.swap(value, Ordering::SeqCst)
        }

        pub(in crate::shared) fn replace(&self, old: u32, new: u32) -> bool {
            self.value.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }

        pub(in crate::shared) fn sleep(&self, value: u32, left: Option<Duration>) {
            if left.is_some() {
                // Loom has no time: whoever waits with a limit meets it at once, wherever the others stand.
                loom::thread::yield_now();
                return;
            }
            let guard = self.kernel.lock().expect("no panic under the kernel's lock");
            if self.value.load(Ordering::SeqCst) == value {
                drop(self.woken.wait(guard).expect("no panic under the kernel's lock"));
            }
        }

        pub(in crate::shared) fn wake(&self) {
            let _guard = self.kernel.lock().expect("no panic under the kernel's lock");
            self.woken.notify_one();
        }
    }
}

pub(super) use word::Word;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_every_clock_is_for_ever() {
        assert_eq!(Patience::of(Some(Duration::MAX)), Patience::Forever);
        assert_eq!(Patience::of(None).left(), None);
        assert_eq!(Patience::of(Some(Duration::ZERO)), Patience::None);
        assert_eq!(Patience::None.left(), Some(Duration::ZERO));
    }
}
