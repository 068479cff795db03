//! The bounded channel: a queue, and a permit for each message in it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::sync::block::block;
use crate::sync::budget;
use crate::sync::error::SendError;
use crate::sync::mpsc::permit::{OwnedPermit, Permit, PermitIterator};
use crate::sync::mpsc::queue::Queue;
use crate::sync::mpsc::{TryRecvError, TrySendError};
use crate::sync::permits::{Permits, Refusal};

/// A channel that holds up to `capacity` messages, received or reserved for.
///
/// Memory is taken as messages come, not for the capacity.
///
/// # Panics
/// If the capacity is 0, or more than [`Semaphore::MAX_PERMITS`](crate::sync::Semaphore::MAX_PERMITS).
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel needs room for a message");
    assert!(capacity <= Permits::MOST, "a channel can't have so much room");
    let shared = Arc::new(Shared { queue: Queue::new(), permits: Permits::new(capacity), capacity });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, batch: VecDeque::new() })
}

pub(super) struct Shared<T> {
    pub(super) queue: Queue<T>,
    /// What there is room for. A message holds a permit from before it is put in until it was received.
    pub(super) permits: Permits,
    capacity: usize,
}

impl<T> Shared<T> {
    /// Gives back room that was reserved and not used.
    pub(super) fn give_back(&self, count: usize) {
        if count > 0 && self.permits.release(count) {
            // A receiver that was closed waits for what was reserved before.
            self.queue.wake_reader();
        }
    }

    /// Puts a message in that has a permit. If the receiver is gone it comes back, and the permit is no matter any more.
    pub(super) fn push(&self, value: T) -> Result<(), SendError<T>> {
        self.queue.push(value, true).map_err(SendError)
    }
}

/// An end that sends into a bounded channel; clones send into the same.
///
/// **Cancellation**: dropping the future of a `send` that waits drops its value unsent and leaves the row. To keep the
/// value, [`reserve`](Self::reserve) first, which waits without it.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a message; waits in the row while the channel is full. Cancelled: the message is dropped, none was sent.
    ///
    /// # Errors
    /// The message back, if the receiver is gone or was closed.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.shared.permits.acquire(1).await {
            Ok(()) => self.shared.push(value),
            Err(_) => Err(SendError(value)),
        }
    }

    /// Sends a message if there is room and nobody waits for it.
    ///
    /// # Errors
    /// The message back, and why.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self.shared.permits.try_acquire(1) {
            Ok(()) => self.shared.push(value).map_err(|SendError(value)| TrySendError::Closed(value)),
            Err(Refusal::NoPermits) => Err(TrySendError::Full(value)),
            Err(Refusal::Closed) => Err(TrySendError::Closed(value)),
        }
    }

    /// As [`send`](Self::send), for a plain thread, which sleeps meanwhile.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        block("blocking_send", self.send(value))
    }

    /// Waits for room for a message, and holds it until the [`Permit`] is used or dropped. Cancelled: it leaves the row.
    ///
    /// # Errors
    /// If the receiver is gone or was closed.
    pub async fn reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
        self.shared.permits.acquire(1).await.map_err(|_| SendError(()))?;
        Ok(Permit::new(&self.shared))
    }

    /// Waits for room for `count` messages at once. Cancelled: it leaves the row.
    ///
    /// # Errors
    /// If the receiver is gone or was closed, or the channel has no room for so many even when it is empty.
    pub async fn reserve_many(&self, count: usize) -> Result<PermitIterator<'_, T>, SendError<()>> {
        if count > self.shared.capacity {
            return Err(SendError(()));
        }
        self.shared.permits.acquire(count).await.map_err(|_| SendError(()))?;
        Ok(PermitIterator::new(&self.shared, count))
    }

    /// As [`reserve`](Self::reserve), giving the sender away for a permit that borrows nothing. Cancelled: it leaves the
    /// row, and the sender is dropped.
    ///
    /// # Errors
    /// As there.
    pub async fn reserve_owned(self) -> Result<OwnedPermit<T>, SendError<()>> {
        self.shared.permits.acquire(1).await.map_err(|_| SendError(()))?;
        Ok(OwnedPermit::new(self))
    }

    /// Holds room for a message if there is some and nobody waits for it.
    ///
    /// # Errors
    /// Why not.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        match self.shared.permits.try_acquire(1) {
            Ok(()) => Ok(Permit::new(&self.shared)),
            Err(Refusal::NoPermits) => Err(TrySendError::Full(())),
            Err(Refusal::Closed) => Err(TrySendError::Closed(())),
        }
    }

    /// Waits until the receiver is gone or closed. Cancel safe.
    pub async fn closed(&self) {
        self.shared.queue.wait_closed().await;
    }

    /// Whether the receiver is gone or was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.permits.is_closed()
    }

    /// How many messages can be sent at this moment without waiting.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.permits.available()
    }

    /// How many messages the channel holds at most.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Whether both send into the same channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A sender that does not keep the channel open.
    #[must_use]
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender { shared: Arc::clone(&self.shared) }
    }

    /// How many senders keep the channel open.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.shared.queue.senders()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.queue.add_sender();
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.queue.drop_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::Sender").field("capacity", &self.capacity()).field("closed", &self.is_closed()).finish()
    }
}

/// A sender that does not keep its channel open: [`upgrade`](Self::upgrade) it to send.
pub struct WeakSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> WeakSender<T> {
    /// A sender, unless the last one has gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.shared.queue.revive_sender().then(|| Sender { shared: Arc::clone(&self.shared) })
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> WeakSender<T> {
        WeakSender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::WeakSender").field("senders", &self.shared.queue.senders()).finish()
    }
}

/// The end that receives from a bounded channel. Dropping it drops what was not received.
///
/// **Cancellation**: dropping a receiving future loses no message.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// Taken out of the queue; their permits go back as they are handed out.
    batch: VecDeque<T>,
}

impl<T> Receiver<T> {
    /// Waits for the next message; none when nothing will come any more. Cancel safe.
    pub async fn recv(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for futures written by hand.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.batch.is_empty() {
            match self.refill(Some(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if self.batch.is_empty() => return Poll::Ready(None),
                Poll::Ready(()) => {}
            }
        }
        if !budget::spend(cx) {
            return Poll::Pending;
        }
        let value = self.batch.pop_front();
        self.shared.permits.release(1);
        Poll::Ready(value)
    }

    /// Waits for messages and appends up to `limit` of them to `into`; gives how many, 0 when nothing will come any more
    /// (or if `limit` is 0). Cancel safe: nothing is taken before it is ready.
    pub async fn recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        std::future::poll_fn(|cx| self.poll_recv_many(cx, into, limit)).await
    }

    /// As [`recv_many`](Self::recv_many), for futures written by hand.
    pub fn poll_recv_many(&mut self, cx: &mut Context<'_>, into: &mut Vec<T>, limit: usize) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        if (self.batch.is_empty() && self.refill(Some(cx)).is_pending()) || !budget::spend(cx) {
            return Poll::Pending;
        }
        let count = limit.min(self.batch.len());
        into.extend(self.batch.drain(..count));
        if count > 0 {
            self.shared.permits.release(count);
        }
        Poll::Ready(count)
    }

    /// The next message, if one is there.
    ///
    /// # Errors
    /// Whether one may come.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if self.batch.is_empty() && self.refill(None).is_pending() {
            return Err(TryRecvError::Empty);
        }
        let value = self.batch.pop_front().ok_or(TryRecvError::Disconnected)?;
        self.shared.permits.release(1);
        Ok(value)
    }

    /// As [`recv`](Self::recv), for a plain thread, which sleeps meanwhile.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_recv(&mut self) -> Option<T> {
        block("blocking_recv", self.recv())
    }

    fn refill(&mut self, cx: Option<&Context<'_>>) -> Poll<()> {
        let Shared { queue, permits, capacity } = &*self.shared;
        // All permits at home: nothing is in the queue and nobody has reserved.
        queue.refill(&mut self.batch, cx, || permits.available() == *capacity)
    }

    /// Takes nothing new: sends fail from now on. What is queued, and what is sent with permits that were given out
    /// before, is still received; then there is nothing.
    pub fn close(&mut self) {
        self.shared.permits.close();
        self.shared.queue.close();
    }

    /// Whether it was closed, or all senders are gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.queue.peek().1
    }

    /// How many messages wait to be received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len() + self.shared.queue.peek().0
    }

    /// Whether no message waits to be received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many more messages can be sent at this moment without waiting.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.permits.available()
    }

    /// How many messages the channel holds at most.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.shared.capacity
    }
}

/// No value is pinned in a channel.
impl<T> Unpin for Receiver<T> {}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.permits.close();
        self.shared.queue.abandon();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::Receiver").field("len", &self.len()).field("closed", &self.is_closed()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn a_full_channel_takes_no_more_until_one_is_received() {
        let (sender, mut receiver) = channel(2);
        assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        let mut waiting = pin!(sender.send(3));
        assert!(waiting.as_mut().poll(&mut cx()).is_pending());
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)), "the room is for who waits");
        assert_eq!(waiting.poll(&mut cx()), Poll::Ready(Ok(())));
        assert_eq!((receiver.try_recv(), receiver.try_recv(), receiver.len()), (Ok(2), Ok(3), 0));
        assert_eq!((receiver.try_recv(), receiver.capacity()), (Err(TryRecvError::Empty), 2));
    }

    #[test]
    fn closing_lets_what_was_reserved_through() {
        let (sender, mut receiver) = channel(3);
        sender.try_send(1).expect("room");
        let (kept, unused) = (sender.try_reserve().expect("room"), sender.try_reserve().expect("room"));
        receiver.close();
        assert_eq!(sender.try_send(9), Err(TrySendError::Closed(9)));
        assert_eq!(receiver.poll_recv(&mut cx()), Poll::Ready(Some(1)));
        assert_eq!(receiver.poll_recv(&mut cx()), Poll::Pending);
        kept.send(2);
        assert_eq!(receiver.poll_recv(&mut cx()), Poll::Ready(Some(2)));
        assert_eq!((receiver.poll_recv(&mut cx()), receiver.try_recv()), (Poll::Pending, Err(TryRecvError::Empty)));
        drop(unused);
        assert_eq!(receiver.poll_recv(&mut cx()), Poll::Ready(None));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn weak_senders_keep_nothing_open() {
        let (sender, mut receiver) = channel(1);
        let weak = sender.downgrade();
        let again = weak.upgrade().expect("one sender lives");
        assert!(again.same_channel(&sender));
        drop(sender);
        again.try_send(1).expect("room");
        assert_eq!(again.strong_count(), 1);
        drop(again);
        assert!(weak.upgrade().is_none());
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Err(TryRecvError::Disconnected)));
    }

    #[test]
    fn many_are_received_at_once() {
        let (sender, mut receiver) = channel(10);
        (0..10).for_each(|i| sender.try_send(i).expect("room"));
        let mut into = Vec::new();
        assert_eq!(receiver.poll_recv_many(&mut cx(), &mut into, 4), Poll::Ready(4));
        assert_eq!((sender.capacity(), receiver.len()), (4, 6));
        assert_eq!(receiver.poll_recv_many(&mut cx(), &mut into, 100), Poll::Ready(6));
        assert_eq!(into, (0..10).collect::<Vec<_>>());
        assert_eq!(receiver.poll_recv_many(&mut cx(), &mut into, 100), Poll::Pending);
        drop(sender);
        assert_eq!(receiver.poll_recv_many(&mut cx(), &mut into, 100), Poll::Ready(0));
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let (sender, mut receiver) = channel(100_000);
        for _ in 0..2 {
            (0..100_000u32).for_each(|i| sender.try_send(i).expect("room"));
            (0..100_000).for_each(|i| assert_eq!(receiver.try_recv(), Ok(i)));
        }
        for i in 0..4 {
            sender.try_send(i).expect("room");
            assert_eq!(receiver.try_recv(), Ok(i));
        }
        assert!(receiver.batch.capacity() <= 512);
    }
}
