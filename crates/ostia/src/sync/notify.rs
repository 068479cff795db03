//! Waking tasks without handing them anything: one, or all who wait.
//!
//! A [`Notify`] is what is left of a condition variable when the state that it is about lies elsewhere: an atomic, a lock,
//! a file. Whoever changes the state notifies, whoever waits looks again.
//!
//! * [`notify_one`](Notify::notify_one) wakes the first who waits. If nobody does it leaves *one* permit, which the next
//!   to wait takes, so a notification between looking and waiting is not lost.
//! * [`notify_waiters`](Notify::notify_waiters) wakes everybody who holds a [`Notified`] at that moment, polled or not,
//!   and leaves nothing. So make the future first, then look, then await it.
//!
//! What is written before a notification is seen by those whom it wakes.
//!
//! ```
//! use std::cell::RefCell;
//! use std::collections::VecDeque;
//! use std::rc::Rc;
//! use ostia::sync::Notify;
//!
//! ostia::block_on(async {
//!     let queue = Rc::new((RefCell::new(VecDeque::new()), Notify::new()));
//!     let taking = ostia::spawn({
//!         let queue = Rc::clone(&queue);
//!         async move {
//!             loop {
//!                 if let Some(item) = queue.0.borrow_mut().pop_front() {
//!                     return item;
//!                 }
//!                 queue.1.notified().await;
//!             }
//!         }
//!     });
//!     ostia::yield_now().await;
//!     queue.0.borrow_mut().push_back(7);
//!     queue.1.notify_one();
//!     assert_eq!(taking.await.unwrap(), 7);
//! });
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::primitives::{AtomicUsize, Mutex, MutexGuard, Ordering, const_fn, lock};
use crate::sync::waiters::{Ticket, Waiters, Wakers};

/// A notification lies ready for whoever comes next.
const PERMIT: usize = 1;
/// Somebody waits; changes under the lock only.
const WAITING: usize = 2;
/// The rest of the word counts how often all were notified.
const ROUND: usize = 4;

/// What somebody who waits has been told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// By `notify_one`: if it can't hear it any more, another must.
    Alone,
    WithAll,
}

/// Wakes those who wait for something. See the [module](self).
///
/// **Cancellation**: dropping a [`Notified`] leaves the row; if `notify_one` had just chosen it, the next is woken instead
/// (or the permit left for who comes).
pub struct Notify {
    state: AtomicUsize,
    row: Mutex<Waiters<Told>>,
}

impl Notify {
    const_fn! {
        /// Nobody waits, and no permit.
        #[must_use]
        pub const fn new() -> Notify {
            Notify { state: AtomicUsize::new(0), row: Mutex::new(Waiters::new()) }
        }
    }

    /// Wakes the first who waits; if nobody waits, leaves a permit for the next who comes. Two permits are one.
    pub fn notify_one(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WAITING == 0 {
            // Written even if nothing changes: who takes the permit must see what came before *this* notification.
            match self.state.compare_exchange_weak(state, state | PERMIT, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => state = changed,
            }
        }
        let row = lock(&self.row);
        let waker = self.notify_first(row);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Notifies the first in the row, or leaves a permit; the lock is released before the waker comes out.
    fn notify_first(&self, mut row: MutexGuard<'_, Waiters<Told>>) -> Option<Waker> {
        let waker = row.call_first(Told::Alone);
        if waker.is_none() {
            self.state.fetch_or(PERMIT, Ordering::AcqRel);
        } else if row.is_empty() {
            self.state.fetch_and(!WAITING, Ordering::AcqRel);
        }
        waker
    }

    /// Wakes everybody who holds a [`Notified`] of this, whether it was polled or not. A permit stays as it is.
    pub fn notify_waiters(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WAITING == 0 {
            let next = state.wrapping_add(ROUND);
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => state = changed,
            }
        }
        let mut wakers = Wakers::new();
        let mut row = lock(&self.row);
        self.state.fetch_add(ROUND, Ordering::AcqRel);
        row.call_all(Told::WithAll, &mut wakers);
        self.state.fetch_and(!WAITING, Ordering::AcqRel);
    }

    /// A future that waits for a notification. It hears [`notify_waiters`](Self::notify_waiters) from now on, and takes
    /// its place in the row for [`notify_one`](Self::notify_one) when it is first polled.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, wait: self.wait() }
    }

    /// As [`notified`](Self::notified), for a future that borrows nothing.
    pub fn notified_owned(self: Arc<Self>) -> OwnedNotified {
        let wait = self.wait();
        OwnedNotified { notify: self, wait }
    }

    fn wait(&self) -> Wait {
        Wait::Fresh { round: self.state.load(Ordering::Acquire) / ROUND }
    }

    /// How many futures wait or have been notified without having noticed.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> u32 {
        lock(&self.row).taken()
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        f.debug_struct("Notify").field("permit", &(state & PERMIT != 0)).field("waiting", &(state & WAITING != 0)).finish()
    }
}

/// How far a wait has got.
#[derive(Debug)]
enum Wait {
    /// Made in this round, not yet in the row.
    Fresh {
        round: usize,
    },
    InRow(Option<Ticket>),
    Done,
}

impl Wait {
    fn poll(&mut self, notify: &Notify, waker: &Waker) -> Poll<()> {
        match self {
            Wait::Done => Poll::Ready(()),
            Wait::InRow(ticket) => {
                let mut old = None;
                let told = lock(&notify.row).check(ticket, waker, &mut old);
                match told {
                    None => Poll::Pending,
                    Some(_) => {
                        *self = Wait::Done;
                        Poll::Ready(())
                    }
                }
            }
            Wait::Fresh { round } => {
                let round = *round;
                *self = match Wait::join(notify, round, waker) {
                    None => Wait::Done,
                    ticket => Wait::InRow(ticket),
                };
                match self {
                    Wait::Done => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            }
        }
    }

    /// Takes a notification that is there, or else joins the row.
    fn join(notify: &Notify, round: usize, waker: &Waker) -> Option<Ticket> {
        let mut state = notify.state.load(Ordering::Acquire);
        let mut row = None;
        loop {
            if state / ROUND != round {
                return None;
            }
            let next = if state & PERMIT != 0 {
                state & !PERMIT
            } else if row.is_none() {
                row = Some(lock(&notify.row));
                state = notify.state.load(Ordering::Acquire);
                continue;
            } else {
                state | WAITING
            };
            match notify.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if state & PERMIT != 0 => return None,
                Ok(_) => return row.map(|mut row| row.join(Told::Nothing, waker)),
                Err(changed) => state = changed,
            }
        }
    }

    fn leave(&mut self, notify: &Notify) {
        if let Wait::InRow(Some(ticket)) = std::mem::replace(self, Wait::Done) {
            let mut row = lock(&notify.row);
            let left = row.leave(ticket);
            if left.called {
                if left.data == Told::Alone
                    && let Some(waker) = notify.notify_first(row)
                {
                    waker.wake();
                }
                return;
            }
            if row.is_empty() {
                notify.state.fetch_and(!WAITING, Ordering::AcqRel);
            }
            drop(row);
        }
    }
}

/// The future of [`Notify::notified`]. Cancel safe: see [`Notify`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    wait: Wait,
}

/// The future of [`Notify::notified_owned`]. Cancel safe: see [`Notify`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct OwnedNotified {
    notify: Arc<Notify>,
    wait: Wait,
}

macro_rules! notified {
    ($name:ty) => {
        impl $name {
            /// Takes its place in the row now instead of at the first poll; tells whether it was notified already.
            pub fn enable(&mut self) -> bool {
                self.wait.poll(&self.notify, Waker::noop()).is_ready()
            }
        }

        impl Future for $name {
            type Output = ();

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                let this = &mut *self;
                this.wait.poll(&this.notify, cx.waker())
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.wait.leave(&self.notify);
            }
        }
    };
}

notified!(Notified<'_>);
notified!(OwnedNotified);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> bool {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_permit_waits_for_who_comes_and_two_are_one() {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        let (mut one, mut other) = (notify.notified(), notify.notified());
        assert!(poll(&mut one) && poll(&mut one), "ready stays ready");
        assert!(!poll(&mut other));
        drop(other);
        assert_eq!((notify.waiting(), notify.state.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn one_wakes_the_first_and_a_dropped_one_passes_it_on() {
        let notify = Notify::new();
        let (mut first, mut second, mut third) = (notify.notified(), notify.notified(), notify.notified());
        assert!(!second.enable() && !poll(&mut third) && !poll(&mut first));
        notify.notify_one();
        assert!(!poll(&mut first) && !poll(&mut third), "the order is that of the first poll");
        drop(second);
        assert!(!poll(&mut first));
        assert!(poll(&mut third));
        notify.notify_one();
        drop(first);
        assert!(poll(&mut notify.notified()), "nobody was left: it became a permit");
        assert_eq!((notify.waiting(), notify.state.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn all_are_those_who_have_a_future_polled_or_not() {
        let notify = Arc::new(Notify::new());
        let (mut polled, mut fresh) = (notify.notified(), Arc::clone(&notify).notified_owned());
        assert!(!poll(&mut polled));
        notify.notify_waiters();
        let mut late = notify.notified();
        assert!(poll(&mut polled) && poll(&mut fresh) && !poll(&mut late));
        notify.notify_one();
        notify.notify_waiters();
        drop(late);
        notify.notify_waiters();
        assert!(poll(&mut notify.notified()), "notified alone before all: passed on");
        assert!(!poll(&mut notify.notified()));
        assert_eq!(notify.waiting(), 0);
    }
}
