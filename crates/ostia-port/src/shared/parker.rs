//! A place where one thread sleeps until another wakes it; a wake that comes first is kept.
//!
//! The standard library's `thread::park` would do, but for its token: users park their threads too, and a wait that took
//! a token meant for them would be their lost wake-up.

use super::sync::{Patience, Word};

const EMPTY: u32 = 0;
const ASLEEP: u32 = 1;
const WOKEN: u32 = 2;

/// One sleeper, any number of wakers.
#[derive(Debug)]
pub(super) struct Parker(Word);

impl Parker {
    pub(super) fn new() -> Parker {
        Parker(Word::new(EMPTY))
    }

    /// Sleeps until [`unpark`](Self::unpark) has been called since the last return. False if the patience ended first.
    /// Only the thread that the parker belongs to may call this.
    pub(super) fn park(&self, patience: Patience) -> bool {
        if !self.0.replace(EMPTY, ASLEEP) {
            // Woken already.
            self.0.swap(EMPTY);
            return true;
        }
        loop {
            let left = patience.left();
            if left.is_some_and(|left| left.is_zero()) {
                return self.0.swap(EMPTY) == WOKEN;
            }
            self.0.sleep(ASLEEP, left);
            if self.0.replace(WOKEN, EMPTY) {
                return true;
            }
            #[cfg(all(loom, test))]
            if left.is_some() {
                return self.0.swap(EMPTY) == WOKEN;
            }
        }
    }

    /// Wakes the sleeper, or makes its next sleep end at once. A system call only if it sleeps.
    pub(super) fn unpark(&self) {
        if self.0.swap(WOKEN) == ASLEEP {
            self.0.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wake_is_kept_once_and_a_limit_ends_the_sleep() {
        let parker = Parker::new();
        parker.unpark();
        parker.unpark();
        assert!(parker.park(Patience::Forever), "kept");
        assert!(!parker.park(Patience::None), "once");
        assert!(!parker.park(Patience::of(Some(Duration::from_millis(1)))));
        std::thread::scope(|scope| {
            scope.spawn(|| parker.unpark());
            assert!(parker.park(Patience::Forever));
        });
    }
}
