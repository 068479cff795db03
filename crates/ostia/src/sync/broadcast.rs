//! Every message to every receiver, through a ring of bounded size.
//!
//! Sending never waits. The ring holds the last `capacity` messages; a receiver that has fallen further behind is told how
//! many it has missed ([`RecvError::Lagged`]) and goes on with the oldest that is still there. So a slow receiver costs
//! nobody but itself.
//!
//! Each receiver gets a clone of each message; the last to receive one gets the message itself. A message goes when all
//! who were there when it was sent have received it (or are dropped), else when the ring comes round. Keep big ones in an
//! `Arc`. A message is cloned with its place in the ring locked: its `Clone` must not use the channel; if that panics, the
//! message is received by the next call.
//!
//! A sender without receivers gets its message back; receivers come and go ([`subscribe`](Sender::subscribe)) and see what
//! is sent while they are there. When the last sender is dropped receivers get what is left, then an error.
//!
//! ```
//! use ostia::sync::broadcast::{self, RecvError};
//!
//! ostia::block_on(async {
//!     let (news, mut quick) = broadcast::channel(2);
//!     let mut slow = news.subscribe();
//!     for number in 1..=3 {
//!         news.send(number).unwrap();
//!         assert_eq!(quick.recv().await, Ok(number));
//!     }
//!     assert_eq!(slow.recv().await, Err(RecvError::Lagged(1)));
//!     assert_eq!(slow.recv().await, Ok(2));
//! });
//! ```

use std::fmt;
use std::sync::Arc;

use crate::sync::block::block;
use crate::sync::budget;
pub use crate::sync::error::SendError;
use crate::sync::notify::Notify;
use crate::sync::primitives::{Mutex, lock};

/// A channel whose ring holds `capacity` messages, for which memory is taken at once.
///
/// # Panics
/// If the capacity is 0.
#[must_use]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Shared<T> {
    /// A message's place is its number modulo the length. Locked after `tail`, if both.
    ring: Box<[Mutex<Place<T>>]>,
    tail: Mutex<Tail>,
    /// A message has come, or no sender is left.
    came: Notify,
    /// No receiver is left.
    closed: Notify,
}

struct Tail {
    /// The number of the next message.
    next: u64,
    senders: usize,
    receivers: usize,
}

struct Place<T> {
    /// Which message was put here last.
    number: u64,
    /// How many receivers have not had it.
    missing: usize,
    value: Option<T>,
}

impl<T> Shared<T> {
    fn place(&self, number: u64) -> &Mutex<Place<T>> {
        &self.ring[(number % self.ring.len() as u64) as usize]
    }

    /// The oldest message that the ring can still hold.
    fn oldest(&self, tail: &Tail) -> u64 {
        tail.next.saturating_sub(self.ring.len() as u64)
    }
}

/// The end that sends; clones send to the same receivers.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// A sender whose receivers come later, by [`subscribe`](Self::subscribe); else as [`channel`].
    ///
    /// # Panics
    /// If the capacity is 0.
    #[must_use]
    pub fn new(capacity: usize) -> Sender<T> {
        assert!(capacity > 0, "a channel needs room for a message");
        let vacant = || Mutex::new(Place { number: u64::MAX, missing: 0, value: None });
        let ring = (0..capacity).map(|_| vacant()).collect();
        let tail = Mutex::new(Tail { next: 0, senders: 1, receivers: 0 });
        Sender { shared: Arc::new(Shared { ring, tail, came: Notify::new(), closed: Notify::new() }) }
    }

    /// Sends a message to all receivers; gives how many there are. Never waits.
    ///
    /// # Errors
    /// The message back, if there is no receiver.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let mut tail = lock(&self.shared.tail);
        if tail.receivers == 0 {
            return Err(SendError(value));
        }
        let receivers = tail.receivers;
        let mut place = lock(self.shared.place(tail.next));
        place.number = tail.next;
        place.missing = receivers;
        let old = place.value.replace(value);
        drop(place);
        tail.next += 1;
        drop(tail);
        self.shared.came.notify_waiters();
        drop(old);
        Ok(receivers)
    }

    /// One more receiver, of what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        subscribe(&self.shared)
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        lock(&self.shared.tail).receivers
    }

    /// How many messages somebody has yet to receive. Looks at the whole ring.
    #[must_use]
    pub fn len(&self) -> usize {
        let tail = lock(&self.shared.tail);
        (self.shared.oldest(&tail)..tail.next).filter(|&number| lock(self.shared.place(number)).missing > 0).count()
    }

    /// Whether everybody has received everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there is no receiver. Cancel safe.
    pub async fn closed(&self) {
        loop {
            let notified = self.shared.closed.notified();
            if self.receiver_count() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Whether both send to the same receivers.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

fn subscribe<T>(shared: &Arc<Shared<T>>) -> Receiver<T> {
    let mut tail = lock(&shared.tail);
    tail.receivers += 1;
    Receiver { shared: Arc::clone(shared), next: tail.next }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        lock(&self.shared.tail).senders += 1;
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut tail = lock(&self.shared.tail);
        tail.senders -= 1;
        if tail.senders == 0 {
            drop(tail);
            self.shared.came.notify_waiters();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Sender").field("receivers", &self.receiver_count()).finish()
    }
}

/// The end that receives; it gets what is sent while it is there.
///
/// **Cancellation**: dropping a receiving future loses no message.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the message to receive next.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next message. Cancel safe.
    ///
    /// # Errors
    /// Lagged if messages were missed: the next call gives the oldest that is left. Closed if nothing will come any more.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let Receiver { shared, next } = self;
        budget::step().await;
        loop {
            let notified = shared.came.notified();
            match take(shared, next) {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Closed) => return Err(RecvError::Closed),
                Err(TryRecvError::Lagged(missed)) => return Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Empty) => notified.await,
            }
        }
    }

    /// The next message, if one is there.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and Empty if there is none.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        take(&self.shared, &mut self.next)
    }

    /// As [`recv`](Self::recv), for a plain thread, which sleeps meanwhile.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_recv(&mut self) -> Result<T, RecvError> {
        block("blocking_recv", self.recv())
    }
}

/// The message number `next`, which it moves on.
fn take<T: Clone>(shared: &Shared<T>, next: &mut u64) -> Result<T, TryRecvError> {
    loop {
        let mut place = lock(shared.place(*next));
        if place.number == *next {
            // The last to have it takes it; who is not the last leaves it for the others.
            let value = if place.missing == 1 { place.value.take() } else { place.value.clone() };
            place.missing -= 1;
            drop(place);
            *next += 1;
            match value {
                Some(value) => return Ok(value),
                None => continue,
            }
        }
        drop(place);
        let tail = lock(&shared.tail);
        if *next == tail.next {
            return Err(if tail.senders == 0 { TryRecvError::Closed } else { TryRecvError::Empty });
        }
        let oldest = shared.oldest(&tail);
        if *next < oldest {
            let missed = oldest - *next;
            *next = oldest;
            return Err(TryRecvError::Lagged(missed));
        }
        // It came between the two looks.
    }
}

impl<T> Receiver<T> {
    /// One more receiver, of what is sent from now on.
    #[must_use]
    pub fn resubscribe(&self) -> Receiver<T> {
        subscribe(&self.shared)
    }

    /// How many messages were sent that this has not received, those that it has missed included.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(lock(&self.shared.tail).next - self.next).unwrap_or(usize::MAX)
    }

    /// Whether this has received everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone. There may be messages left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.shared.tail).senders == 0
    }

    /// Whether both receive from the same senders.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut tail = lock(&self.shared.tail);
        tail.receivers -= 1;
        let (from, until, last) = (self.next.max(self.shared.oldest(&tail)), tail.next, tail.receivers == 0);
        drop(tail);
        for number in from..until {
            let mut place = lock(self.shared.place(number));
            // One that was overwritten meanwhile counts only those who are there now.
            if place.number == number {
                place.missing -= 1;
                let value = if place.missing == 0 { place.value.take() } else { None };
                drop(place);
                drop(value);
            }
        }
        if last {
            self.shared.closed.notify_waiters();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Receiver").field("len", &self.len()).field("closed", &self.is_closed()).finish()
    }
}

/// Why there is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvError {
    /// All senders are gone, and everything was received.
    Closed,
    /// So many messages were sent that the ring no longer held them. The next call gives the oldest that is left.
    Lagged(u64),
}

/// Why there is no message now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Everything was received, and more may come.
    Empty,
    /// As [`RecvError::Closed`].
    Closed,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("nothing will come any more"),
            RecvError::Lagged(missed) => write!(f, "the receiver was too slow and missed {missed} messages"),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryRecvError::Empty => f.write_str("nothing is there to receive now"),
            TryRecvError::Closed => RecvError::Closed.fmt(f),
            TryRecvError::Lagged(missed) => RecvError::Lagged(missed).fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}
impl std::error::Error for TryRecvError {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn all_receive_all_and_the_last_gets_the_message_itself() {
        let (sender, mut one) = channel(4);
        let mut other = one.resubscribe();
        let value = Arc::new(5);
        assert_eq!(sender.send(Arc::clone(&value)).expect("receivers"), 2);
        assert_eq!(one.try_recv().as_deref(), Ok(&5));
        assert_eq!((sender.len(), one.len(), other.len()), (1, 0, 1));
        assert!(other.try_recv().is_ok());
        assert_eq!((Arc::strong_count(&value), sender.is_empty()), (1, true));
        assert_eq!((one.try_recv(), other.try_recv()), (Err(TryRecvError::Empty), Err(TryRecvError::Empty)));
    }

    #[test]
    fn who_falls_behind_is_told_by_how_much() {
        let (sender, mut quick) = channel(3);
        let mut slow = sender.subscribe();
        for number in 0..10 {
            sender.send(number).expect("receivers");
            assert_eq!(quick.try_recv(), Ok(number));
        }
        assert_eq!(slow.len(), 10);
        assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(7)));
        drop(sender);
        assert_eq!([slow.try_recv(), slow.try_recv(), slow.try_recv()], [Ok(7), Ok(8), Ok(9)]);
        assert_eq!((slow.try_recv(), quick.try_recv()), (Err(TryRecvError::Closed), Err(TryRecvError::Closed)));
    }

    #[test]
    fn a_dropped_receiver_holds_no_message() {
        let (sender, mut receiver) = channel(2);
        let values: Vec<_> = (0..5).map(Arc::new).collect();
        let gone = sender.subscribe();
        for value in &values {
            sender.send(Arc::clone(value)).expect("receivers");
        }
        assert!(receiver.try_recv().is_err_and(|error| error == TryRecvError::Lagged(3)));
        assert!(receiver.try_recv().is_ok() && receiver.try_recv().is_ok());
        assert_eq!(values.iter().map(Arc::strong_count).collect::<Vec<_>>(), [1, 1, 1, 2, 2]);
        drop(gone);
        assert!(values.iter().all(|value| Arc::strong_count(value) == 1));
        drop(receiver);
        assert!(sender.send(Arc::new(9)).is_err());
        let mut later = sender.subscribe();
        assert!(later.is_empty());
        sender.send(Arc::new(10)).expect("a receiver");
        assert_eq!(later.try_recv().as_deref(), Ok(&10));
    }

    #[test]
    fn a_clone_that_panics_leaves_the_message_to_be_received() {
        #[derive(Debug)]
        struct Fragile(Arc<std::sync::atomic::AtomicBool>);
        impl Clone for Fragile {
            fn clone(&self) -> Fragile {
                assert!(!self.0.swap(false, std::sync::atomic::Ordering::SeqCst), "this time it breaks");
                Fragile(Arc::clone(&self.0))
            }
        }
        let breaks = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let (sender, mut one) = channel(1);
        let mut other = sender.subscribe();
        sender.send(Fragile(Arc::clone(&breaks))).expect("receivers");
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one.try_recv().map(drop))).is_err());
        assert_eq!((one.len(), other.len()), (1, 1));
        assert!(one.try_recv().is_ok() && other.try_recv().is_ok());
        drop((one, other));
        assert_eq!(Arc::strong_count(&breaks), 1);
    }
}
