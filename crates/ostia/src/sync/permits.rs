//! A count of permits with a row of those who wait for some: the core of semaphores, locks and bounded channels.
//!
//! One word holds the count and two flags, [`QUEUED`] and [`CLOSED`]. While nobody waits, taking and giving back are one
//! compare-and-swap each. QUEUED says that somebody waits; it changes only under the row's lock, and while it is set the
//! count changes only there too. So permits that come back go to the first in the row and nobody overtakes: whoever wants
//! many waits until there are so many, and those behind wait with it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::sync::budget;
use crate::sync::primitives::{AtomicUsize, Mutex, MutexGuard, Ordering, const_fn, lock};
use crate::sync::waiters::{Ticket, Waiters, Wakers};

/// Somebody waits.
const QUEUED: usize = 1;
/// Nothing is given out any more.
const CLOSED: usize = 2;
/// One permit.
const ONE: usize = 4;

/// What is known about somebody who waits for permits.
#[derive(Clone, Copy)]
enum Wish {
    /// Waits for this many; when called, has got them.
    Wants(usize),
    /// Gets nothing, for it was closed.
    Refused,
}

pub(crate) struct Permits {
    state: AtomicUsize,
    row: Mutex<Waiters<Wish>>,
}

/// Why there is no permit at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    NoPermits,
    Closed,
}

impl Permits {
    /// The most permits there can be.
    pub(crate) const MOST: usize = usize::MAX >> 3;

    const_fn! {
        /// `count` is at most [`MOST`](Self::MOST); who calls this sees to it.
        pub(crate) const fn new(count: usize) -> Permits {
            Permits { state: AtomicUsize::new(count * ONE), row: Mutex::new(Waiters::new()) }
        }
    }

    pub(crate) fn available(&self) -> usize {
        self.state.load(Ordering::Acquire) / ONE
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Takes permits if there are enough and nobody waits.
    #[inline]
    pub(crate) fn try_acquire(&self, wanted: usize) -> Result<(), Refusal> {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            if state & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            if state & QUEUED != 0 || state / ONE < wanted {
                return Err(Refusal::NoPermits);
            }
            match self.state.compare_exchange_weak(state, state - wanted * ONE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(changed) => state = changed,
            }
        }
    }

    /// Waits for permits. Dropping the future gives back what it had got and leaves the row.
    #[inline]
    pub(crate) fn acquire(&self, wanted: usize) -> Acquire<'_> {
        Acquire { permits: self, wanted, ticket: None }
    }

    /// Gives permits back, or adds some; tells whether it was closed before.
    #[inline]
    pub(crate) fn release(&self, count: usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & QUEUED == 0 {
            debug_assert!(state / ONE + count <= Permits::MOST);
            match self.state.compare_exchange_weak(state, state + count * ONE, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return state & CLOSED != 0,
                Err(changed) => state = changed,
            }
        }
        self.release_to_row(count)
    }

    #[cold]
    fn release_to_row(&self, count: usize) -> bool {
        let mut wakers = Wakers::new();
        let mut row = lock(&self.row);
        let before = self.state.fetch_add(count * ONE, Ordering::AcqRel);
        self.serve(&mut row, &mut wakers);
        drop(row);
        before & CLOSED != 0
    }

    /// Takes up to `count` permits away for good, of those that nobody has; gives their number.
    pub(crate) fn forget(&self, count: usize) -> usize {
        let take = |state: usize| {
            let taken = count.min(state / ONE);
            (taken, state - taken * ONE)
        };
        // Under the lock, for with a row the count changes only there.
        let _row = lock(&self.row);
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let (taken, rest) = take(state);
            match self.state.compare_exchange_weak(state, rest, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return taken,
                Err(changed) => state = changed,
            }
        }
    }

    /// Gives nothing out any more: those who wait and those who come are refused. What is out can come back.
    pub(crate) fn close(&self) {
        let mut wakers = Wakers::new();
        let mut row = lock(&self.row);
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        row.call_all(Wish::Refused, &mut wakers);
        self.state.fetch_and(!QUEUED, Ordering::AcqRel);
    }

    /// Serves the row from its beginning, as far as the permits go.
    fn serve(&self, row: &mut MutexGuard<'_, Waiters<Wish>>, wakers: &mut Wakers) {
        while let Some(&Wish::Wants(wanted)) = row.first() {
            // With a row, only who holds its lock changes the count: what is there stays there.
            if self.state.load(Ordering::Acquire) / ONE < wanted {
                return;
            }
            self.state.fetch_sub(wanted * ONE, Ordering::AcqRel);
            if let Some(waker) = row.call_first(Wish::Wants(wanted)) {
                wakers.push(waker);
            }
        }
        self.state.fetch_and(!QUEUED, Ordering::AcqRel);
    }

    /// Takes permits if they have come meanwhile, else joins the row.
    fn acquire_or_join(&self, wanted: usize, waker: &Waker) -> Result<Option<Ticket>, Refusal> {
        let mut row = lock(&self.row);
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            if state & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            let free = state & QUEUED == 0 && state / ONE >= wanted;
            let next = if free { state - wanted * ONE } else { state | QUEUED };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if free => return Ok(None),
                Ok(_) => return Ok(Some(row.join(Wish::Wants(wanted), waker))),
                Err(changed) => state = changed,
            }
        }
    }

    /// How many futures wait or have been served without having noticed.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> u32 {
        lock(&self.row).taken()
    }
}

/// The future of [`Permits::acquire`]: the permits are the caller's to give back.
pub(crate) struct Acquire<'a> {
    permits: &'a Permits,
    wanted: usize,
    ticket: Option<Ticket>,
}

impl Future for Acquire<'_> {
    type Output = Result<(), Refusal>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.ticket.is_some() {
            let mut old = None;
            let called = lock(&this.permits.row).check(&mut this.ticket, cx.waker(), &mut old);
            return match called {
                None => Poll::Pending,
                Some(Wish::Wants(_)) => Poll::Ready(Ok(())),
                Some(Wish::Refused) => Poll::Ready(Err(Refusal::Closed)),
            };
        }
        match this.permits.try_acquire(this.wanted) {
            Err(Refusal::NoPermits) => {}
            Ok(()) if !budget::spend(cx) => {
                this.permits.release(this.wanted);
                return Poll::Pending;
            }
            done => return Poll::Ready(done),
        }
        match this.permits.acquire_or_join(this.wanted, cx.waker()) {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(ticket) => {
                this.ticket = ticket;
                Poll::Pending
            }
            Err(refusal) => Poll::Ready(Err(refusal)),
        }
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.permits.give_up(ticket);
        }
    }
}

impl Permits {
    #[cold]
    fn give_up(&self, ticket: Ticket) {
        let mut wakers = Wakers::new();
        let mut row = lock(&self.row);
        let left = row.leave(ticket);
        if let (true, Wish::Wants(had)) = (left.called, left.data) {
            // It was served and never knew.
            self.state.fetch_add(had * ONE, Ordering::AcqRel);
        }
        // What it wanted may have been what held the others up.
        self.serve(&mut row, &mut wakers);
        drop(row);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;

    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn nobody_overtakes_who_waits_for_many() {
        let permits = Permits::new(3);
        assert_eq!(permits.try_acquire(2), Ok(()));
        let (mut many, mut one) = (permits.acquire(3), permits.acquire(1));
        assert!(poll(&mut many).is_pending());
        assert!(poll(&mut one).is_pending(), "one is left, but it is kept for who came first");
        assert_eq!(permits.try_acquire(1), Err(Refusal::NoPermits));
        permits.release(2);
        assert_eq!(poll(&mut many), Poll::Ready(Ok(())));
        assert!(poll(&mut one).is_pending());
        permits.release(3);
        assert_eq!(poll(&mut one), Poll::Ready(Ok(())));
        assert_eq!((permits.available(), permits.waiting()), (2, 0));
    }

    #[test]
    fn who_leaves_lets_the_next_pass_and_gives_back_what_it_never_noticed() {
        let permits = Permits::new(2);
        assert_eq!(permits.try_acquire(1), Ok(()));
        let mut many = permits.acquire(2);
        assert!(poll(&mut many).is_pending());
        let mut one = permits.acquire(1);
        assert!(poll(&mut one).is_pending());
        drop(many);
        assert_eq!(permits.available(), 0, "one has been served");
        let mut next = permits.acquire(1);
        assert!(poll(&mut next).is_pending());
        drop(one);
        assert_eq!(poll(&mut next), Poll::Ready(Ok(())));
        permits.release(2);
        assert_eq!((permits.available(), permits.waiting()), (2, 0));
        assert_eq!(permits.state.load(Ordering::Relaxed) & QUEUED, 0);
    }

    #[test]
    fn closing_refuses_those_who_wait_but_not_those_who_were_served() {
        let permits = Permits::new(1);
        assert_eq!(permits.try_acquire(1), Ok(()));
        let (mut served, mut refused) = (permits.acquire(1), permits.acquire(1));
        assert!(poll(&mut served).is_pending() && poll(&mut refused).is_pending());
        assert!(!permits.release(1));
        permits.close();
        assert_eq!(poll(&mut served), Poll::Ready(Ok(())));
        assert_eq!(poll(&mut refused), Poll::Ready(Err(Refusal::Closed)));
        assert_eq!(permits.try_acquire(0), Err(Refusal::Closed));
        assert!(pin!(permits.acquire(1)).poll(&mut Context::from_waker(Waker::noop())).is_ready());
        assert!(permits.release(1));
        assert_eq!((permits.available(), permits.waiting()), (1, 0));
    }

    #[test]
    fn forgetting_takes_what_is_there() {
        let permits = Permits::new(5);
        assert_eq!((permits.forget(2), permits.forget(9), permits.available()), (2, 3, 0));
    }
}
