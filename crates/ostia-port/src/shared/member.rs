//! Which port a thread belongs to: the one it last waited on, until it waits on another or ends.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::ended::PortEnded;
use super::parker::Parker;
use super::queue::Queue;
use crate::completion::Completion;
use crate::os::thread;

pub(super) type Packets = Arc<Queue<Completion>>;

/// What a thread brings along, and where it sits.
struct Here {
    parker: Arc<Parker>,
    seat: Option<(Packets, u32)>,
}

thread_local! {
    static HERE: RefCell<Here> = RefCell::new(Here::new());
}

impl Here {
    fn new() -> Here {
        Here { parker: Arc::new(Parker::new()), seat: None }
    }

    /// The thread's seat at `queue`, if it belongs there.
    fn seat_at(&self, queue: &Packets) -> Option<u32> {
        self.seat.as_ref().and_then(|(other, seat)| Arc::ptr_eq(other, queue).then_some(*seat))
    }

    /// Its seat at `queue`, to which it moves if it belongs elsewhere.
    fn sit(&mut self, queue: &Packets) -> u32 {
        if let Some(seat) = self.seat_at(queue) {
            return seat;
        }
        self.leave();
        let seat = queue.join(Arc::clone(&self.parker), thread::current());
        self.seat = Some((Arc::clone(queue), seat));
        seat
    }

    fn leave(&mut self) {
        if let Some((queue, seat)) = self.seat.take() {
            queue.leave(seat);
        }
    }

    fn wait(
        &mut self,
        queue: &Packets,
        max: usize,
        timeout: Option<Duration>,
        out: impl FnMut(Completion),
    ) -> Result<usize, PortEnded> {
        let seat = self.sit(queue);
        queue.wait(seat, &self.parker, max, timeout, out)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits on `queue` as this thread.
pub(super) fn wait(
    queue: &Packets,
    max: usize,
    timeout: Option<Duration>,
    mut out: impl FnMut(Completion),
) -> Result<usize, PortEnded> {
    // Nothing else of this thread runs while it waits, so the borrow disturbs nobody.
    HERE.try_with(|here| here.borrow_mut().wait(queue, max, timeout, &mut out)).unwrap_or_else(|_| {
        // A thread that is ending and has given up its seat: it takes another for this one wait.
        Here::new().wait(queue, max, timeout, &mut out)
    })
}

/// This thread no longer belongs to `queue`.
pub(super) fn leave(queue: &Packets) {
    let _ = HERE.try_with(|here| {
        let mut here = here.borrow_mut();
        if here.seat_at(queue).is_some() {
            here.leave();
        }
    });
}

/// While this lives, its thread doesn't count as running.
pub(super) struct Blocking<'a> {
    queue: &'a Packets,
    seat: u32,
}

/// This thread may block from now on; none if it doesn't count as running on `queue` anyway.
pub(super) fn block(queue: &Packets) -> Option<Blocking<'_>> {
    let seat = HERE.try_with(|here| here.borrow().seat_at(queue)).ok().flatten()?;
    // Made only if it is needed, for its drop takes the blocking back.
    if queue.block(seat) { Some(Blocking { queue, seat }) } else { None }
}

impl Drop for Blocking<'_> {
    fn drop(&mut self) {
        // Whoever has moved to another port meanwhile must not touch the seat: it may be somebody else's.
        if HERE.try_with(|here| here.borrow().seat_at(self.queue) == Some(self.seat)).unwrap_or(false) {
            self.queue.unblock(self.seat);
        }
    }
}
