//! What wakes a port that sleeps: an eventfd, or a message to its ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::driver::message;

/// One per port, behind its [`Bell`](crate::bell::Bell).
#[derive(Debug)]
pub(crate) struct Gong {
    eventfd: OwnedFd,
    /// The port's ring, for ring-to-ring messages; −1 where they can't be had.
    ring: AtomicI32,
}

impl Gong {
    pub(crate) fn new() -> io::Result<Gong> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Gong { eventfd, ring: AtomicI32::new(-1) })
    }

    /// The descriptor that becomes readable when it is struck.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// Tells strikers of a ring that takes messages; a negative number takes that back.
    pub(crate) fn set_ring(&self, fd: i32) {
        self.ring.store(fd, Ordering::Release);
    }

    fn ring_fd(&self) -> Option<i32> {
        Some(self.ring.load(Ordering::Acquire)).filter(|&fd| fd >= 0)
    }

    /// Wakes the sleeping port: by a message to its ring, which spares it a read and a new poll, or by its eventfd.
    pub(crate) fn strike(&self) {
        if let Some(fd) = self.ring_fd()
            && message::send(fd).is_ok()
        {
            return;
        }
        // The counter can't overflow (it would take 2^64 − 1 strikes unread), so EAGAIN means "already readable".
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
    }

    /// Empties the eventfd.
    pub(crate) fn hush(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.eventfd, &mut count);
    }
}
