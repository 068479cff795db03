//! Waking a port's thread from others: a flag that makes needless system calls rare, and an eventfd behind it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::driver::message;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const RUNG: u8 = 2;

/// One per port. Rung by any thread, heard by the port's own.
///
/// The port goes to sleep only by [`Bell::lie_down`], which fails when the bell has been rung since it was last
/// heard, so no ring is lost; and only the ring that finds the port asleep pays for a system call.
#[derive(Debug)]
pub(crate) struct Bell {
    state: AtomicU8,
    eventfd: OwnedFd,
    /// The port's ring, for ring-to-ring messages; −1 where they can't be had.
    ring: AtomicI32,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Bell> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell { state: AtomicU8::new(AWAKE), eventfd, ring: AtomicI32::new(-1) })
    }

    /// The descriptor that becomes readable when the bell is rung in a port's sleep.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// Tells ringers of a ring that takes messages; a negative number takes that back.
    pub(crate) fn set_ring(&self, fd: i32) {
        self.ring.store(fd, Ordering::Release);
    }

    fn ring_fd(&self) -> Option<i32> {
        Some(self.ring.load(Ordering::Acquire)).filter(|&fd| fd >= 0)
    }

    /// Marks the bell as rung. True if its port was asleep: then the caller must strike.
    #[must_use]
    fn touch(&self) -> bool {
        self.state.swap(RUNG, Ordering::SeqCst) == ASLEEP
    }

    /// Wakes the sleeping port: by a message to its ring, which spares it a read and a new poll, or by its eventfd.
    fn strike(&self) {
        if let Some(fd) = self.ring_fd()
            && message::send(fd).is_ok()
        {
            return;
        }
        // The counter can't overflow (it would take 2^64 − 1 strikes unread), so EAGAIN means "already readable".
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
    }

    /// Rings, with a system call only if the port sleeps.
    pub(crate) fn ring(&self) {
        if self.touch() {
            self.strike();
        }
    }

    /// Before a wait: false if somebody rang since the port last heard, and it must not sleep.
    pub(crate) fn lie_down(&self) -> bool {
        self.state.swap(ASLEEP, Ordering::SeqCst) != RUNG
    }

    /// After a wait: true if somebody rang meanwhile.
    pub(crate) fn get_up(&self) -> bool {
        self.state.swap(AWAKE, Ordering::SeqCst) == RUNG
    }

    /// Empties the eventfd.
    pub(crate) fn hush(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.eventfd, &mut count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ring_that_finds_the_port_asleep_strikes() {
        let bell = Bell::new().expect("eventfd");
        assert!(!bell.touch(), "awake: no strike needed");
        assert!(!bell.lie_down(), "rung before: must not sleep");
        assert!(bell.get_up() || bell.lie_down(), "heard");
        bell.get_up();
        assert!(bell.lie_down(), "nothing rang since");
        assert!(bell.touch(), "asleep: the first ring strikes");
        assert!(!bell.touch(), "the second need not");
        assert!(bell.get_up(), "and the port hears it");
    }
}
