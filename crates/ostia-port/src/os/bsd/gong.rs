//! What wakes a port that sleeps: an event of the user's own in the kqueue that it sleeps on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::kqueue::EventFlags;

use super::queue;

/// The event's name among those of its kind, of which there is no other.
const IDENT: isize = 0;

/// One per port, behind its [`Bell`](crate::bell::Bell).
#[derive(Debug)]
pub(crate) struct Gong {
    /// The port's own kqueue: the driver registers there what it waits for.
    queue: OwnedFd,
}

impl Gong {
    pub(crate) fn new() -> io::Result<Gong> {
        let queue = queue::create()?;
        // Every strike is an edge: what was reported is over (EV_CLEAR).
        queue::change(queue.as_fd(), &[queue::user(IDENT, EventFlags::ADD | EventFlags::CLEAR, false)])?;
        Ok(Gong { queue })
    }

    /// The kqueue of which a wait ends when it is struck.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// Wakes the sleeping port.
    pub(crate) fn strike(&self) {
        // Without EV_CLEAR, which would take back the trigger that comes with it.
        let _ = queue::change(self.queue.as_fd(), &[queue::user(IDENT, EventFlags::empty(), true)]);
    }
}
