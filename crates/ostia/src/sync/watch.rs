//! The latest value of something, and word when it changes: settings, a state, a count.
//!
//! Receivers see the value as it is when they look; what it was in between they may miss. Looking gives a [`Snapshot`]:
//! a share of the value as it was then, which holds no lock. It can be kept across awaits, for any time, on any thread,
//! and holds nobody up: neither the sender nor others who look.
//!
//! The price is an allocation for each value sent. [`send_modify`](Sender::send_modify) changes the value in place if
//! nobody keeps a snapshot of it, and a clone of it otherwise.
//!
//! A receiver's [`changed`](Receiver::changed) is ready when there is a value that *it* has not seen: from
//! [`borrow_and_update`](Receiver::borrow_and_update) or the last `changed` on. The value at the beginning counts as seen.
//! When the last sender is dropped, `changed` gives an error after the last change; the value can be looked at for ever.
//!
//! ```
//! use ostia::sync::watch;
//!
//! ostia::block_on(async {
//!     let (settings, mut watching) = watch::channel(String::from("slow"));
//!     let seen = ostia::spawn(async move {
//!         let mut seen = Vec::new();
//!         while watching.changed().await.is_ok() {
//!             seen.push(watching.borrow_and_update().to_string());
//!         }
//!         seen
//!     });
//!     settings.send(String::from("fast")).unwrap();
//!     ostia::yield_now().await;
//!     settings.send_modify(|settings| settings.push('!'));
//!     drop(settings);
//!     assert_eq!(seen.await.unwrap().last().unwrap(), "fast!");
//! });
//! ```

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::sync::block::block;
use crate::sync::budget;
pub use crate::sync::error::SendError;
use crate::sync::notify::Notify;
use crate::sync::primitives::{Mutex, MutexGuard, lock};

/// A channel for the latest value, beginning with this one.
#[must_use]
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let state = State { value: Arc::new(value), version: 0, senders: 1, receivers: 1 };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), closed: Notify::new() });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, seen: 0 })
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// A new value, or no sender any more.
    changed: Notify,
    /// No receiver any more.
    closed: Notify,
}

struct State<T> {
    value: Arc<T>,
    /// How often the value has changed.
    version: u64,
    senders: usize,
    receivers: usize,
}

/// The value as it was at one moment. Keeping it holds nobody up.
pub struct Snapshot<T> {
    value: Arc<T>,
    changed: bool,
}

impl<T> Snapshot<T> {
    /// Whether the receiver had not seen this value before.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Snapshot<T> {
        Snapshot { value: Arc::clone(&self.value), changed: self.changed }
    }
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The end that sends; clones set the same value.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// A sender whose receivers come later, by [`subscribe`](Self::subscribe).
    #[must_use]
    pub fn new(value: T) -> Sender<T> {
        channel(value).0
    }

    /// Sets the value and tells all receivers.
    ///
    /// # Errors
    /// The value back, if there is no receiver; the old value stays then.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let state = lock(&self.shared.state);
        if state.receivers == 0 {
            return Err(SendError(value));
        }
        // The old value is dropped here, outside of the lock, unless somebody keeps a snapshot of it.
        drop(self.put(state, Arc::new(value)));
        Ok(())
    }

    /// Sets the value, be there a receiver or not; gives the old one.
    pub fn send_replace(&self, value: T) -> Snapshot<T> {
        let value = self.put(lock(&self.shared.state), Arc::new(value));
        Snapshot { value, changed: false }
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, value: Arc<T>) -> Arc<T> {
        let old = std::mem::replace(&mut state.value, value);
        state.version += 1;
        drop(state);
        self.shared.changed.notify_waiters();
        old
    }

    /// Changes the value, be there a receiver or not, and tells all.
    ///
    /// `change` runs with the channel locked: it must not use this channel. If it panics, the value is as it left it, and
    /// nobody is told.
    pub fn send_modify(&self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// As [`send_modify`](Self::send_modify), but tells the receivers only if `change` says so; gives what it said.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool
    where
        T: Clone,
    {
        let mut state = lock(&self.shared.state);
        let changed = change(Arc::make_mut(&mut state.value));
        if changed {
            state.version += 1;
            drop(state);
            self.shared.changed.notify_waiters();
        }
        changed
    }

    /// The value as it is.
    #[must_use]
    pub fn borrow(&self) -> Snapshot<T> {
        Snapshot { value: Arc::clone(&lock(&self.shared.state).value), changed: false }
    }

    /// One more receiver, for which the value as it is counts as seen.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = lock(&self.shared.state);
        state.receivers += 1;
        Receiver { shared: Arc::clone(&self.shared), seen: state.version }
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        lock(&self.shared.state).receivers
    }

    /// Whether there is no receiver.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there is no receiver. Cancel safe.
    pub async fn closed(&self) {
        loop {
            let notified = self.shared.closed.notified();
            if self.is_closed() {
                return;
            }
            notified.await;
        }
    }

    /// Whether both set the same value.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        lock(&self.shared.state).senders += 1;
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.shared.changed.notify_waiters();
        }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Sender<T> {
        Sender::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Sender").field("value", &self.borrow()).finish()
    }
}

/// The end that looks; clones look at the same value, each with its own idea of what it has seen.
///
/// **Cancellation**: dropping a future that waits loses no change: it stays unseen until it is seen.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version seen last.
    seen: u64,
}

impl<T> Receiver<T> {
    /// The value as it is; whether it counts as seen does not change.
    #[must_use]
    pub fn borrow(&self) -> Snapshot<T> {
        let state = lock(&self.shared.state);
        Snapshot { value: Arc::clone(&state.value), changed: state.version != self.seen }
    }

    /// The value as it is, which counts as seen now.
    #[must_use]
    pub fn borrow_and_update(&mut self) -> Snapshot<T> {
        let state = lock(&self.shared.state);
        let changed = std::mem::replace(&mut self.seen, state.version) != state.version;
        Snapshot { value: Arc::clone(&state.value), changed }
    }

    /// Whether there is a value that was not seen.
    ///
    /// # Errors
    /// If there is none and all senders are gone.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let state = lock(&self.shared.state);
        match state.version != self.seen {
            false if state.senders == 0 => Err(RecvError(())),
            changed => Ok(changed),
        }
    }

    /// The value as it is counts as not seen.
    pub fn mark_changed(&mut self) {
        self.seen = u64::MAX;
    }

    /// The value as it is counts as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = lock(&self.shared.state).version;
    }

    /// Waits for a value that was not seen, which counts as seen then. Cancel safe.
    ///
    /// # Errors
    /// If there is none and all senders are gone.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        budget::step().await;
        loop {
            let notified = self.shared.changed.notified();
            if self.has_changed()? {
                break;
            }
            notified.await;
        }
        self.mark_unchanged();
        Ok(())
    }

    /// Waits until the value, as it is or becomes, satisfies `what`; it counts as seen then. Cancel safe.
    ///
    /// # Errors
    /// If it does not and all senders are gone.
    pub async fn wait_for(&mut self, mut what: impl FnMut(&T) -> bool) -> Result<Snapshot<T>, RecvError> {
        let shared = Arc::clone(&self.shared);
        loop {
            let notified = shared.changed.notified();
            let value = self.borrow_and_update();
            if what(&value) {
                return Ok(value);
            }
            drop(value);
            self.has_changed()?;
            notified.await;
        }
    }

    /// As [`changed`](Self::changed), for a plain thread, which sleeps meanwhile.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_changed(&mut self) -> Result<(), RecvError> {
        block("blocking_changed", self.changed())
    }

    /// Whether both look at the same value.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        lock(&self.shared.state).receivers += 1;
        Receiver { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.receivers -= 1;
        if state.receivers == 0 {
            drop(state);
            self.shared.closed.notify_waiters();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Receiver").field("value", &self.borrow()).finish()
    }
}

/// All senders are gone: the value will not change any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecvError(());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all senders are gone: the value will not change any more")
    }
}

impl std::error::Error for RecvError {}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn each_receiver_has_its_own_idea_of_what_is_new() {
        let (sender, mut one) = channel(0);
        let mut other = one.clone();
        assert_eq!((one.has_changed(), poll(one.changed())), (Ok(false), Poll::Pending));
        sender.send(1).expect("receivers");
        sender.send(2).expect("receivers");
        assert_eq!(poll(one.changed()), Poll::Ready(Ok(())));
        assert_eq!(poll(one.changed()), Poll::Pending);
        let snapshot = other.borrow();
        assert!(snapshot.has_changed() && other.borrow_and_update().has_changed());
        assert_eq!((*snapshot, other.has_changed()), (2, Ok(false)));
        other.mark_changed();
        assert_eq!(poll(other.changed()), Poll::Ready(Ok(())));
        assert_eq!(sender.subscribe().has_changed(), Ok(false));
    }

    #[test]
    fn a_kept_snapshot_stays_as_it_was() {
        let (sender, receiver) = channel(vec![1]);
        let kept = receiver.borrow();
        sender.send_modify(|value| value.push(2));
        assert_eq!((&kept[..], &receiver.borrow()[..]), (&[1][..], &[1, 2][..]));
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(*sender.send_replace(vec![]), [1, 2]);
        assert_eq!(format!("{receiver:?}"), "watch::Receiver { value: [] }");
    }

    #[test]
    fn each_end_learns_that_the_other_is_gone() {
        let (sender, mut receiver) = channel(1);
        let second = sender.clone();
        sender.send(2).expect("a receiver");
        drop(sender);
        second.send(3).expect("a receiver");
        drop(second);
        assert_eq!(poll(receiver.changed()), Poll::Ready(Ok(())), "the last change first");
        assert_eq!(poll(receiver.changed()), Poll::Ready(Err(RecvError(()))));
        assert_eq!((*receiver.borrow(), receiver.has_changed()), (3, Err(RecvError(()))));

        let sender = Sender::new(1);
        assert!(sender.is_closed());
        assert_eq!(sender.send(2), Err(SendError(2)));
        let receiver = sender.subscribe();
        assert_eq!((*receiver.borrow(), poll(sender.closed())), (1, Poll::Pending));
        drop(receiver);
        assert_eq!(poll(sender.closed()), Poll::Ready(()));
    }

    #[test]
    fn a_change_that_panics_leaves_the_channel_usable() {
        let (sender, receiver) = channel(1);
        let panicking = std::panic::AssertUnwindSafe(|| {
            sender.send_modify(|value| {
                *value = 2;
                panic!("in the middle");
            })
        });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert_eq!((*receiver.borrow(), receiver.has_changed()), (2, Ok(false)));
        sender.send(3).expect("a receiver");
        assert_eq!(receiver.has_changed(), Ok(true));
    }

    #[test]
    fn waiting_for_a_value_looks_at_the_present_one_first() {
        let (sender, mut receiver) = channel(5);
        assert!(matches!(poll(receiver.wait_for(|&value| value == 5)), Poll::Ready(Ok(value)) if *value == 5));
        let mut waiting = pin!(receiver.wait_for(|&value| value > 6));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        sender.send(6).expect("a receiver");
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        sender.send(7).expect("a receiver");
        drop(sender);
        assert!(matches!(waiting.as_mut().poll(&mut cx), Poll::Ready(Ok(value)) if *value == 7));
    }
}
