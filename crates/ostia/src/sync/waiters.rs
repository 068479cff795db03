//! The wait list under everything here: first come, first called; a place can be left from anywhere in the row.
//!
//! The list is plain data that its owner keeps under a lock. Places are numbered records in one vector, linked by their
//! numbers: joining, leaving and calling cost the same for any length, and nothing is allocated once the vector has grown.
//!
//! **A place belongs to its [`Ticket`]**, which can't be copied. Calling a waiter takes it out of the row but leaves its
//! place, with what it was called with, until the ticket comes back: by [`check`](Waiters::check) from the future that is
//! polled, or by [`leave`](Waiters::leave) from the future that is dropped. So a number is never used again while anybody
//! holds it, and a dropped future learns whether it had been handed something that it must pass on.
//!
//! **No foreign code runs under the owner's lock**, but for the cloning of wakers: those that are to be woken or have been
//! replaced are given out, to be woken or dropped when the lock has been released. (Dropping a waker may drop a task, and
//! with it a future that waits in this very list.)

use std::task::Waker;

/// No place.
const NONE: u32 = u32::MAX;
/// An empty list keeps the memory of this many places.
const KEPT: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Waiting,
    Called,
}

struct Place<D> {
    before: u32,
    after: u32,
    state: State,
    waker: Option<Waker>,
    data: D,
}

/// Who waits, in order. `D` is what is known about each.
pub(crate) struct Waiters<D> {
    places: Vec<Place<D>>,
    free: u32,
    first: u32,
    last: u32,
    /// Places that belong to a ticket.
    taken: u32,
}

/// A place in a list; to be given back by [`Waiters::check`] or [`Waiters::leave`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket(u32);

/// What somebody who left had.
pub(crate) struct Left<D> {
    /// Whether it had been called.
    pub(crate) called: bool,
    pub(crate) data: D,
    /// To be dropped outside of the lock.
    pub(crate) _waker: Option<Waker>,
}

impl<D: Copy> Waiters<D> {
    pub(crate) const fn new() -> Waiters<D> {
        Waiters { places: Vec::new(), free: NONE, first: NONE, last: NONE, taken: 0 }
    }

    /// Whether nobody waits. Those who have been called wait no more.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// How many places there are, waiting and called: what a test looks at to find one left behind.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }

    /// Joins at the end.
    pub(crate) fn join(&mut self, data: D, waker: &Waker) -> Ticket {
        let place = Place { before: self.last, after: NONE, state: State::Waiting, waker: Some(waker.clone()), data };
        let number = if self.free == NONE {
            self.places.push(place);
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 futures wait")
        } else {
            let number = self.free;
            let vacant = &mut self.places[number as usize];
            self.free = vacant.after;
            *vacant = place;
            number
        };
        match self.last {
            NONE => self.first = number,
            last => self.places[last as usize].after = number,
        }
        self.last = number;
        self.taken += 1;
        Ticket(number)
    }

    /// For a future that is polled: if it was called, takes its ticket and gives what it was called with. Else makes sure
    /// that `waker` is the one woken; a waker that this replaces goes to `old`.
    pub(crate) fn check(&mut self, ticket: &mut Option<Ticket>, waker: &Waker, old: &mut Option<Waker>) -> Option<D> {
        let number = ticket.as_ref()?.0;
        let place = &mut self.places[number as usize];
        debug_assert_ne!(place.state, State::Free);
        if place.state == State::Waiting {
            if !place.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
                *old = place.waker.replace(waker.clone());
            }
            return None;
        }
        let data = place.data;
        *ticket = None;
        self.vacate(number);
        Some(data)
    }

    /// For a future that is dropped.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Left<D> {
        let place = &mut self.places[ticket.0 as usize];
        debug_assert_ne!(place.state, State::Free);
        let called = place.state == State::Called;
        let left = Left { called, data: place.data, _waker: place.waker.take() };
        if !called {
            self.unlink(ticket.0);
        }
        self.vacate(ticket.0);
        left
    }

    /// What is known about the first who waits.
    #[inline]
    pub(crate) fn first(&self) -> Option<&D> {
        self.places.get(self.first as usize).map(|place| &place.data)
    }

    /// Calls the first who waits, if anybody does, with these data; gives the waker.
    pub(crate) fn call_first(&mut self, data: D) -> Option<Waker> {
        let number = self.first;
        if number == NONE {
            return None;
        }
        self.unlink(number);
        let place = &mut self.places[number as usize];
        place.state = State::Called;
        place.data = data;
        place.waker.take()
    }

    /// Calls all who wait.
    pub(crate) fn call_all(&mut self, data: D, wakers: &mut Wakers) {
        while self.first != NONE {
            if let Some(waker) = self.call_first(data) {
                wakers.push(waker);
            }
        }
    }

    fn unlink(&mut self, number: u32) {
        let Place { before, after, .. } = self.places[number as usize];
        match before {
            NONE => self.first = after,
            before => self.places[before as usize].after = after,
        }
        match after {
            NONE => self.last = before,
            after => self.places[after as usize].before = before,
        }
    }

    fn vacate(&mut self, number: u32) {
        self.taken -= 1;
        if self.taken == 0 && self.places.capacity() > KEPT {
            // A crowd has gone: so does its memory.
            self.places = Vec::new();
            self.free = NONE;
            return;
        }
        let place = &mut self.places[number as usize];
        place.state = State::Free;
        place.after = self.free;
        self.free = number;
    }
}

/// Wakers on their way out of a lock. Dropping wakes them, so this is made before the lock is taken.
pub(crate) struct Wakers {
    few: [Option<Waker>; 4],
    used: usize,
    many: Vec<Waker>,
}

impl Wakers {
    #[inline]
    pub(crate) fn new() -> Wakers {
        Wakers { few: [const { None }; 4], used: 0, many: Vec::new() }
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        match self.few.get_mut(self.used) {
            Some(place) => {
                *place = Some(waker);
                self.used += 1;
            }
            None => self.many.push(waker),
        }
    }
}

impl Drop for Wakers {
    #[inline]
    fn drop(&mut self) {
        for waker in &mut self.few[..self.used] {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
        self.many.drain(..).for_each(Waker::wake);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn called_in_the_order_of_joining_less_those_who_left() {
        let mut waiters = Waiters::new();
        let mut tickets: Vec<_> = (0..5).map(|i| Some(waiters.join(i, Waker::noop()))).collect();
        for gone in [2, 0, 4] {
            let left = waiters.leave(tickets[gone].take().expect("a ticket"));
            assert_eq!((left.called, left.data), (false, gone));
        }
        assert_eq!(waiters.first(), Some(&1));
        assert!(waiters.call_first(11).is_some());
        assert!(waiters.call_first(33).is_some());
        assert!(waiters.call_first(0).is_none() && waiters.is_empty());
        assert_eq!(waiters.check(&mut tickets[3], Waker::noop(), &mut None), Some(33));
        assert!(tickets[3].is_none());
        let left = waiters.leave(tickets[1].take().expect("a ticket"));
        assert_eq!((left.called, left.data), (true, 11));
        assert_eq!(waiters.taken(), 0);
    }

    #[test]
    fn the_latest_waker_is_woken_and_the_old_one_given_out() {
        let ((first, first_waker), (second, second_waker)) = (counting(), counting());
        let mut waiters = Waiters::new();
        let mut ticket = Some(waiters.join((), &first_waker));
        let mut old = None;
        assert_eq!(waiters.check(&mut ticket, &first_waker, &mut old), None);
        assert!(old.is_none(), "the same waker is not cloned again");
        assert_eq!(waiters.check(&mut ticket, &second_waker, &mut old), None);
        assert!(old.is_some_and(|old| old.will_wake(&first_waker)));
        let mut wakers = Wakers::new();
        waiters.call_all((), &mut wakers);
        drop(wakers);
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
        assert_eq!(waiters.check(&mut ticket, Waker::noop(), &mut None), Some(()));
    }

    #[test]
    fn many_are_woken_once_each_and_their_memory_goes() {
        let (count, waker) = counting();
        let mut waiters = Waiters::new();
        let mut tickets: Vec<_> = (0..1000).map(|_| Some(waiters.join((), &waker))).collect();
        let mut wakers = Wakers::new();
        waiters.call_all((), &mut wakers);
        assert_eq!(count.0.load(Ordering::SeqCst), 0, "nobody is woken under the lock");
        drop(wakers);
        assert_eq!(count.0.load(Ordering::SeqCst), 1000);
        for ticket in &mut tickets {
            assert_eq!(waiters.check(ticket, &waker, &mut None), Some(()));
        }
        assert_eq!((waiters.taken(), waiters.places.capacity()), (0, 0));
    }

    /// Against a plain queue, from many seeds.
    #[test]
    fn does_what_a_queue_does() {
        for seed in 1..200u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |below: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 33) as usize % below
            };
            let (mut waiters, mut model) = (Waiters::new(), VecDeque::new());
            let mut held: Vec<(usize, Option<Ticket>)> = Vec::new();
            let mut called = Vec::new();
            for step in 0..300 {
                match next(4) {
                    0 | 1 => {
                        held.push((step, Some(waiters.join(step, Waker::noop()))));
                        model.push_back(step);
                    }
                    2 => {
                        let expected = model.pop_front();
                        assert_eq!(waiters.first().copied(), expected, "seed {seed}");
                        assert_eq!(waiters.call_first(expected.unwrap_or(0)).is_some(), expected.is_some(), "seed {seed}");
                        called.extend(expected);
                    }
                    _ if !held.is_empty() => {
                        let (who, mut ticket) = held.swap_remove(next(held.len()));
                        let was_called = called.contains(&who);
                        if was_called && next(2) == 0 {
                            assert_eq!(waiters.check(&mut ticket, Waker::noop(), &mut None), Some(who), "seed {seed}");
                        } else {
                            let left = waiters.leave(ticket.take().expect("a ticket"));
                            assert_eq!((left.called, left.data), (was_called, who), "seed {seed}");
                        }
                        model.retain(|&waiting| waiting != who);
                    }
                    _ => {}
                }
                assert_eq!((waiters.taken() as usize, waiters.is_empty()), (held.len(), model.is_empty()), "seed {seed}");
            }
        }
    }
}
