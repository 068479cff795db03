//! A meeting point: nobody goes on before all have come.
//!
//! ```
//! use std::rc::Rc;
//! use ostia::sync::Barrier;
//!
//! ostia::block_on(async {
//!     let barrier = Rc::new(Barrier::new(3));
//!     let others: Vec<_> = (0..2)
//!         .map(|_| {
//!             let barrier = Rc::clone(&barrier);
//!             ostia::spawn(async move { barrier.wait().await.is_leader() })
//!         })
//!         .collect();
//!     let mut leaders = usize::from(barrier.wait().await.is_leader());
//!     for other in others {
//!         leaders += usize::from(other.await.unwrap());
//!     }
//!     assert_eq!(leaders, 1);
//! });
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::sync::block::block;
use crate::sync::primitives::{Mutex, const_fn, lock};
use crate::sync::waiters::{Ticket, Waiters, Wakers};

/// Lets `count` tasks go on together, again and again. See the [module](self).
///
/// **Cancellation**: a wait that is dropped before the barrier opens has not come: one more must come in its place. One that
/// is dropped after, without having been polled again, has come: the others have gone on with it. Who must know which it
/// was keeps the [`Wait`] and gives a `select!` or a `timeout` a `&mut` of it.
pub struct Barrier {
    count: usize,
    meeting: Mutex<Meeting>,
}

struct Meeting {
    /// Who has come, but for the last, who opens.
    come: usize,
    row: Waiters<()>,
}

impl Barrier {
    const_fn! {
        /// A barrier for this many; 0 is as 1, whom nothing holds up.
        #[must_use]
        pub const fn new(count: usize) -> Barrier {
            Barrier { count, meeting: Mutex::new(Meeting { come: 0, row: Waiters::new() }) }
        }
    }

    /// Waits until as many have come as the barrier is for; then it is closed again for the next.
    ///
    /// Counts from its first poll on. Cancelled: it has not come.
    pub fn wait(&self) -> Wait<'_> {
        Wait { barrier: self, ticket: None }
    }

    /// As [`wait`](Self::wait), for a plain thread, which sleeps meanwhile.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_wait(&self) -> BarrierWaitResult {
        block("blocking_wait", self.wait())
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("count", &self.count).field("come", &lock(&self.meeting).come).finish()
    }
}

/// The future of [`Barrier::wait`]. Cancel safe: see [`Barrier`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Wait<'a> {
    barrier: &'a Barrier,
    ticket: Option<Ticket>,
}

/// How a [`Barrier::wait`] has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// Whether this was the last to come: true for one of those who go on together.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

impl Future for Wait<'_> {
    type Output = BarrierWaitResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BarrierWaitResult> {
        let this = &mut *self;
        let (mut wakers, mut old) = (Wakers::new(), None);
        let mut meeting = lock(&this.barrier.meeting);
        if this.ticket.is_some() {
            let open = meeting.row.check(&mut this.ticket, cx.waker(), &mut old).is_some();
            drop(meeting);
            return if open { Poll::Ready(BarrierWaitResult { leader: false }) } else { Poll::Pending };
        }
        if meeting.come + 1 >= this.barrier.count {
            meeting.come = 0;
            meeting.row.call_all((), &mut wakers);
            drop(meeting);
            return Poll::Ready(BarrierWaitResult { leader: true });
        }
        meeting.come += 1;
        this.ticket = Some(meeting.row.join((), cx.waker()));
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let mut meeting = lock(&self.barrier.meeting);
            let left = meeting.row.leave(ticket);
            if !left.called {
                meeting.come -= 1;
            }
            drop(meeting);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(wait: &mut Wait<'_>) -> Poll<bool> {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())).map(|result| result.is_leader())
    }

    #[test]
    fn opens_for_all_at_once_and_again() {
        let barrier = Barrier::new(3);
        for _ in 0..3 {
            let (mut a, mut b, mut c) = (barrier.wait(), barrier.wait(), barrier.wait());
            assert!(poll(&mut a).is_pending() && poll(&mut b).is_pending());
            assert_eq!((poll(&mut c), poll(&mut a)), (Poll::Ready(true), Poll::Ready(false)));
            drop(b);
            assert_eq!(lock(&barrier.meeting).come, 0, "who was let in and did not look is gone too");
        }
        assert_eq!(poll(&mut Barrier::new(0).wait()), Poll::Ready(true));
        assert_eq!(lock(&barrier.meeting).row.taken(), 0);
    }

    #[test]
    fn who_leaves_has_not_come() {
        let barrier = Barrier::new(2);
        let mut gone = barrier.wait();
        assert!(poll(&mut gone).is_pending());
        drop(gone);
        let (mut a, mut b) = (barrier.wait(), barrier.wait());
        assert!(poll(&mut a).is_pending());
        assert_eq!((poll(&mut b), poll(&mut a)), (Poll::Ready(true), Poll::Ready(false)));
    }
}
