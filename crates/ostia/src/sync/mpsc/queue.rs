//! What both channels are made of: a shared queue, and the receiver's batch of what it has taken out.
//!
//! Senders push under the lock. The receiver exchanges its empty batch for all that is there, and takes from the batch
//! without any lock: one visit for as many messages as have come meanwhile. Both vectors keep their memory, so nothing is
//! allocated once they have grown; after a burst they give it back.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use crate::sync::notify::Notify;
use crate::sync::primitives::{AtomicUsize, Mutex, Ordering, lock};

/// A batch that has room for more than this many messages, and is used for an eighth of it or less, is let go.
const KEPT: usize = 256;

pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    /// How many senders there are that keep the channel open.
    senders: AtomicUsize,
    /// Notified when the receiver is closed or gone.
    pub(super) closed: Notify,
}

struct Inner<T> {
    items: VecDeque<T>,
    reader: Option<std::task::Waker>,
    /// Nobody will push any more.
    senders_gone: bool,
    /// The receiver takes nothing new. With a bound, what has a permit is still pushed.
    closed: bool,
    receiver_gone: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Queue<T> {
        let items = VecDeque::new();
        let inner = Inner { items, reader: None, senders_gone: false, closed: false, receiver_gone: false };
        Queue { inner: Mutex::new(inner), senders: AtomicUsize::new(1), closed: Notify::new() }
    }

    /// Puts a message in; gives it back if the receiver is gone, or if it is closed and that matters.
    #[inline]
    pub(super) fn push(&self, item: T, even_if_closed: bool) -> Result<(), T> {
        let mut inner = lock(&self.inner);
        if inner.receiver_gone || (inner.closed && !even_if_closed) {
            return Err(item);
        }
        inner.items.push_back(item);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Wakes the receiver to look again.
    pub(super) fn wake_reader(&self) {
        let reader = lock(&self.inner).reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Fills an empty batch. Pending if nothing is there; ready with nothing in the batch if nothing will come. With `cx`
    /// the receiver is woken when that changes. `finished` says whether a closed channel will see no more messages.
    pub(super) fn refill(&self, batch: &mut VecDeque<T>, cx: Option<&Context<'_>>, finished: impl Fn() -> bool) -> Poll<()> {
        debug_assert!(batch.is_empty());
        let mut old = None;
        let mut inner = lock(&self.inner);
        if inner.items.is_empty() {
            if inner.senders_gone {
                return Poll::Ready(());
            }
            if let Some(cx) = cx
                && !inner.reader.as_ref().is_some_and(|kept| kept.will_wake(cx.waker()))
            {
                old = inner.reader.replace(cx.waker().clone());
            }
            // After the waker is there: who gives a permit back from now on finds it.
            let over = inner.closed && finished();
            drop(inner);
            drop(old);
            return if over { Poll::Ready(()) } else { Poll::Pending };
        }
        std::mem::swap(&mut inner.items, batch);
        if inner.items.capacity() > KEPT && batch.len() <= inner.items.capacity() / 8 {
            // This vector has seen a burst; such as it now is, it isn't needed so long.
            let big = std::mem::take(&mut inner.items);
            drop(inner);
            drop(big);
        }
        Poll::Ready(())
    }

    /// The receiver wants nothing new.
    pub(super) fn close(&self) {
        lock(&self.inner).closed = true;
        self.closed.notify_waiters();
    }

    /// The receiver is gone: nothing is put in any more, and what is there is dropped.
    pub(super) fn abandon(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        inner.receiver_gone = true;
        let left = (std::mem::take(&mut inner.items), inner.reader.take());
        drop(inner);
        self.closed.notify_waiters();
        drop(left);
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.inner).closed
    }

    /// Waits for the receiver to be closed or gone.
    pub(super) async fn wait_closed(&self) {
        let notified = self.closed.notified();
        if !self.is_closed() {
            notified.await;
        }
    }

    /// How many messages are in the queue, and whether no more will come from senders.
    pub(super) fn peek(&self) -> (usize, bool) {
        let inner = lock(&self.inner);
        (inner.items.len(), inner.senders_gone || inner.closed)
    }

    pub(super) fn senders(&self) -> usize {
        self.senders.load(Ordering::Acquire)
    }

    /// One more sender.
    pub(super) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// One more sender, unless the last has gone.
    pub(super) fn revive_sender(&self) -> bool {
        let mut senders = self.senders.load(Ordering::Relaxed);
        while senders > 0 {
            match self.senders.compare_exchange_weak(senders, senders + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(changed) => senders = changed,
            }
        }
        false
    }

    /// One sender less; after the last the receiver is told.
    pub(super) fn drop_sender(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut inner = lock(&self.inner);
            inner.senders_gone = true;
            let reader = inner.reader.take();
            drop(inner);
            if let Some(reader) = reader {
                reader.wake();
            }
        }
    }
}
