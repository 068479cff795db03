//! The channel without a bound: the queue by itself.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::sync::block::block;
use crate::sync::budget;
use crate::sync::error::SendError;
use crate::sync::mpsc::TryRecvError;
use crate::sync::mpsc::queue::Queue;

/// A channel that holds as many messages as there is memory.
#[must_use]
pub fn unbounded<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let shared = Arc::new(Queue::new());
    (UnboundedSender { shared: Arc::clone(&shared) }, UnboundedReceiver { shared, batch: VecDeque::new() })
}

/// An end that sends into an unbounded channel; clones send into the same.
pub struct UnboundedSender<T> {
    shared: Arc<Queue<T>>,
}

impl<T> UnboundedSender<T> {
    /// Sends a message, without waiting: from any thread, a task or none.
    ///
    /// # Errors
    /// The message back, if the receiver is gone or was closed.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.shared.push(value, false).map_err(SendError)
    }

    /// Waits until the receiver is gone or closed. Cancel safe.
    pub async fn closed(&self) {
        self.shared.wait_closed().await;
    }

    /// Whether the receiver is gone or was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Whether both send into the same channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A sender that does not keep the channel open.
    #[must_use]
    pub fn downgrade(&self) -> WeakUnboundedSender<T> {
        WeakUnboundedSender { shared: Arc::clone(&self.shared) }
    }

    /// How many senders keep the channel open.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.shared.senders()
    }
}

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> UnboundedSender<T> {
        self.shared.add_sender();
        UnboundedSender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for UnboundedSender<T> {
    fn drop(&mut self) {
        self.shared.drop_sender();
    }
}

impl<T> fmt::Debug for UnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::UnboundedSender").field("closed", &self.is_closed()).finish()
    }
}

/// A sender that does not keep its channel open: [`upgrade`](Self::upgrade) it to send.
pub struct WeakUnboundedSender<T> {
    shared: Arc<Queue<T>>,
}

impl<T> WeakUnboundedSender<T> {
    /// A sender, unless the last one has gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<UnboundedSender<T>> {
        self.shared.revive_sender().then(|| UnboundedSender { shared: Arc::clone(&self.shared) })
    }
}

impl<T> Clone for WeakUnboundedSender<T> {
    fn clone(&self) -> WeakUnboundedSender<T> {
        WeakUnboundedSender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for WeakUnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::WeakUnboundedSender").field("senders", &self.shared.senders()).finish()
    }
}

/// The end that receives from an unbounded channel. Dropping it drops what was not received.
///
/// **Cancellation**: dropping a receiving future loses no message.
pub struct UnboundedReceiver<T> {
    shared: Arc<Queue<T>>,
    batch: VecDeque<T>,
}

impl<T> UnboundedReceiver<T> {
    /// Waits for the next message; none when nothing will come any more. Cancel safe.
    pub async fn recv(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for futures written by hand.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if (self.batch.is_empty() && self.refill(Some(cx)).is_pending()) || !budget::spend(cx) {
            return Poll::Pending;
        }
        Poll::Ready(self.batch.pop_front())
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
        self.batch.pop_front().ok_or(TryRecvError::Disconnected)
    }

    /// As [`recv`](Self::recv), for a plain thread, which sleeps meanwhile.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_recv(&mut self) -> Option<T> {
        block("blocking_recv", self.recv())
    }

    fn refill(&mut self, cx: Option<&Context<'_>>) -> Poll<()> {
        // Once closed, nothing is put in.
        self.shared.refill(&mut self.batch, cx, || true)
    }

    /// Takes nothing new: sends fail from now on. What is queued is still received; then there is nothing.
    pub fn close(&mut self) {
        self.shared.close();
    }

    /// Whether it was closed, or all senders are gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.peek().1
    }

    /// How many messages wait to be received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len() + self.shared.peek().0
    }

    /// Whether no message waits to be received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// No value is pinned in a channel.
impl<T> Unpin for UnboundedReceiver<T> {}

impl<T> Drop for UnboundedReceiver<T> {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl<T> fmt::Debug for UnboundedReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::UnboundedReceiver").field("len", &self.len()).field("closed", &self.is_closed()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_outlives_senders_and_a_close() {
        let (sender, mut receiver) = unbounded();
        (0..3).for_each(|i| sender.send(i).expect("open"));
        receiver.close();
        assert_eq!(sender.send(9), Err(SendError(9)));
        assert_eq!((receiver.try_recv(), receiver.len(), receiver.is_closed()), (Ok(0), 2, true));
        drop(sender);
        assert_eq!([receiver.try_recv(), receiver.try_recv()], [Ok(1), Ok(2)]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn a_dropped_receiver_drops_what_is_queued() {
        let value = Arc::new(());
        let (sender, mut receiver) = unbounded();
        (0..3).for_each(|_| sender.send(Arc::clone(&value)).expect("open"));
        assert!(receiver.try_recv().is_ok());
        drop(receiver);
        assert_eq!(Arc::strong_count(&value), 1);
        assert!(sender.is_closed());
        assert!(sender.downgrade().upgrade().is_some());
    }
}
