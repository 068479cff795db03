//! A worker's timers: set, taken over from one operation to the next, and fired.

use std::num::NonZeroU32;
use std::task::Waker;
use std::time::{Duration, Instant};

use ostia_port::TimerKey;

use crate::counters::count;
use crate::worker::{Core, LATE, NO_TASK, NO_TICK};

/// Whom a timer wakes, in four bytes: a task by its number, or a waker in `timer_wakers`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target(NonZeroU32);

impl Target {
    #[inline]
    fn task(slot: u32) -> Target {
        Target(NonZeroU32::MIN | slot << 1)
    }

    fn waker(index: u32) -> Target {
        Target(NonZeroU32::MIN.saturating_add(index << 1 | 1))
    }

    /// The task's number; none for a waker.
    #[inline]
    fn as_task(self) -> Option<u32> {
        (self.0.get() & 1 == 1).then_some(self.0.get() >> 1)
    }

    fn as_waker(self) -> u32 {
        (self.0.get() - 2) >> 1
    }
}

impl Core {
    /// Sets a timer for whoever polls now, so many milliseconds from now.
    #[inline]
    pub(crate) fn set_timer(&self, millis: u64, waker: &Waker) -> TimerKey {
        let tick = self.next_tick.get().saturating_add(millis);
        let mut timers = self.timers.borrow_mut();
        if let Some(parked) = self.parked.take() {
            // The usual case: one operation is done, the next has the same time limit.
            match timers.postpone(parked, tick) {
                Some(target) if target.as_task() == Some(self.current.get()) && self.is_current(waker) => return parked,
                _ => drop(timers),
            }
            self.remove_timer(parked);
            timers = self.timers.borrow_mut();
        }
        self.next_due.set(self.next_due.get().min(tick));
        timers.insert(tick, self.target(waker))
    }

    fn target(&self, waker: &Waker) -> Target {
        if self.is_current(waker) {
            Target::task(self.current.get())
        } else {
            Target::waker(self.timer_wakers.borrow_mut().insert(waker.clone()))
        }
    }

    /// Makes a timer wake whoever polls now; false if it has fired.
    #[inline]
    pub(crate) fn renew_timer(&self, key: TimerKey, waker: &Waker) -> bool {
        let mut timers = self.timers.borrow_mut();
        let Some(target) = timers.get_mut(key) else { return false };
        let same = match target.as_task() {
            Some(slot) => slot == self.current.get() && self.is_current(waker),
            None => self.timer_wakers.borrow().get(target.as_waker()).is_some_and(|noted| noted.will_wake(waker)),
        };
        if !same {
            let old = std::mem::replace(target, self.target(waker));
            drop(timers);
            self.forget_target(old);
        }
        true
    }

    fn forget_target(&self, target: Target) {
        if target.as_task().is_none() {
            let waker = self.timer_wakers.borrow_mut().remove(target.as_waker());
            drop(waker);
        }
    }

    /// Gives a timer up. It stays in the wheel until the current task's turn is over, for the next one to take over.
    #[inline]
    pub(crate) fn clear_timer(&self, key: TimerKey) {
        if self.current.get() != NO_TASK && self.parked.get().is_none() {
            self.parked.set(Some(key));
        } else {
            self.remove_timer(key);
        }
    }

    /// Gives a timer up if it is this worker's.
    #[inline]
    pub(crate) fn clear_own_timer(&self, worker: u32, key: TimerKey) -> bool {
        let own = worker == self.id;
        if own {
            self.clear_timer(key);
        }
        own
    }

    /// Takes a timer out for another worker: when it is due, or none if it has fired.
    pub(crate) fn take_timer(&self, key: TimerKey) -> Option<Instant> {
        let tick = self.timers.borrow().tick(key)?;
        self.remove_timer(key);
        let left = Duration::from_millis(tick).saturating_sub(Duration::from_nanos(self.port.borrow().nanos()));
        Some(self.now() + left)
    }

    fn remove_timer(&self, key: TimerKey) {
        let target = self.timers.borrow_mut().remove(key);
        if let Some(target) = target {
            self.forget_target(target);
        }
    }

    /// The current task has been polled: a timer that it gave up and did not take over goes.
    #[inline]
    pub(super) fn turn_over(&self) {
        if let Some(parked) = self.parked.take() {
            self.remove_timer(parked);
        }
    }

    #[cold]
    pub(super) fn fire_timers(&self, tick: u64) {
        let mut timers = self.timers.borrow_mut();
        if tick - self.next_due.get() > LATE {
            count(&self.counters.late_turns);
        }
        let mut fired = self.fired.take();
        timers.advance(tick, |target| fired.push(target));
        self.next_due.set(timers.next_tick().unwrap_or(NO_TICK));
        drop(timers);
        self.counters.timers_fired.set(self.counters.timers_fired.get() + fired.len() as u64);
        for target in fired.drain(..) {
            match target.as_task() {
                Some(slot) => self.wake_task(slot),
                None => {
                    let waker = self.timer_wakers.borrow_mut().remove(target.as_waker());
                    waker.into_iter().for_each(Waker::wake);
                }
            }
        }
        self.fired.replace(fired);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_or_the_other() {
        assert_eq!(size_of::<Option<Target>>(), 4);
        for number in [0, 1, 77, (1 << 31) - 2] {
            assert_eq!(Target::task(number).as_task(), Some(number));
            assert_eq!(Target::waker(number).as_task(), None);
            assert_eq!(Target::waker(number).as_waker(), number);
        }
    }
}
