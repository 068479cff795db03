//! One value from here to there: the answer to a question.
//!
//! A [`Sender`] sends once, at any time, without waiting; the [`Receiver`] is a future. When one is dropped the other
//! learns of it: the receiver gets an error, the sender its value back.
//!
//! ```
//! use ostia::sync::{mpsc, oneshot};
//!
//! ostia::block_on(async {
//!     let (questions, mut asked) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(8);
//!     let answering = ostia::spawn(async move {
//!         while let Some((number, answer)) = asked.recv().await {
//!             let _ = answer.send(number * number);
//!         }
//!     });
//!     let (answer, answered) = oneshot::channel();
//!     questions.send((12, answer)).await.unwrap();
//!     assert_eq!(answered.await, Ok(144));
//!     drop(questions);
//!     answering.await.unwrap();
//! });
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::block::block;
pub use crate::sync::error::SendError;
use crate::sync::primitives::{Mutex, lock};

/// A channel for one value.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { value: None, sender_gone: false, closed: false, receiving: None, closing: None };
    let shared = Arc::new(Mutex::new(state));
    (Sender { shared: Some(Arc::clone(&shared)) }, Receiver { shared: Some(shared) })
}

struct State<T> {
    value: Option<T>,
    sender_gone: bool,
    /// The receiver takes nothing more.
    closed: bool,
    receiving: Option<Waker>,
    closing: Option<Waker>,
}

/// Makes sure that `waker` is woken; gives what is to be dropped outside of the lock.
fn renew(kept: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match kept {
        Some(kept) if kept.will_wake(waker) => None,
        _ => kept.replace(waker.clone()),
    }
}

/// The end that sends. Dropping it without sending makes the receiver get an error.
pub struct Sender<T> {
    /// None once it has sent.
    shared: Option<Arc<Mutex<State<T>>>>,
}

impl<T> Sender<T> {
    /// Sends the value. It may still be lost, if the receiver is dropped before it looks.
    ///
    /// # Errors
    /// The value back, if the receiver is gone or was closed.
    pub fn send(mut self, value: T) -> Result<(), SendError<T>> {
        let Some(shared) = self.shared.take() else { return Err(SendError(value)) };
        let mut state = lock(&shared);
        if state.closed {
            return Err(SendError(value));
        }
        state.value = Some(value);
        state.sender_gone = true;
        let wakers = (state.receiving.take(), state.closing.take());
        drop(state);
        if let (Some(waker), _) = wakers {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the receiver is gone or was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| lock(shared).closed)
    }

    /// Waits until the receiver is gone or closed: then nobody cares for the answer any more. Cancel safe.
    pub async fn closed(&mut self) {
        std::future::poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// As [`closed`](Self::closed), for futures written by hand.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = &self.shared else { return Poll::Ready(()) };
        let mut state = lock(shared);
        if state.closed {
            return Poll::Ready(());
        }
        let old = renew(&mut state.closing, cx.waker());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        let mut state = lock(&shared);
        state.sender_gone = true;
        let wakers = (state.receiving.take(), state.closing.take());
        drop(state);
        if let (Some(waker), _) = wakers {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("oneshot::Sender").field("closed", &self.is_closed()).finish()
    }
}

/// The end that receives: a future of the value.
///
/// **Cancellation**: awaiting `&mut receiver` and dropping that await loses nothing; dropping the receiver itself closes
/// the channel.
#[must_use = "a future does nothing until it is awaited"]
pub struct Receiver<T> {
    /// None once the result was given.
    shared: Option<Arc<Mutex<State<T>>>>,
}

impl<T> Receiver<T> {
    /// The value, if it has come.
    ///
    /// # Errors
    /// Empty if it has not; Closed if it never will or was taken before.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let Some(shared) = &self.shared else { return Err(TryRecvError::Closed) };
        let mut state = lock(shared);
        let result = match state.value.take() {
            Some(value) => Ok(value),
            None if state.sender_gone || state.closed => Err(TryRecvError::Closed),
            None => return Err(TryRecvError::Empty),
        };
        drop(state);
        self.shared = None;
        result
    }

    /// As awaiting it, for a plain thread, which sleeps meanwhile.
    ///
    /// # Errors
    /// If the sender is gone.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_recv(self) -> Result<T, RecvError> {
        block("blocking_recv", self)
    }

    /// Takes nothing more: a later send gets its value back. What was sent before can still be received.
    pub fn close(&mut self) {
        if let Some(shared) = &self.shared {
            let mut state = lock(shared);
            state.closed = true;
            let waker = state.closing.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Whether the result was given, so that awaiting again gives an error.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.shared.is_none()
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(shared) = &self.shared else { return Poll::Ready(Err(RecvError(()))) };
        let mut state = lock(shared);
        let result = match state.value.take() {
            Some(value) => Ok(value),
            None if state.sender_gone || state.closed => Err(RecvError(())),
            None => {
                let old = renew(&mut state.receiving, cx.waker());
                drop(state);
                drop(old);
                return Poll::Pending;
            }
        };
        drop(state);
        self.shared = None;
        Poll::Ready(result)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        let mut state = lock(&shared);
        state.closed = true;
        let left = (state.value.take(), state.receiving.take());
        let waker = state.closing.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        drop(left);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("oneshot::Receiver").field("terminated", &self.is_terminated()).finish()
    }
}

/// The sender is gone without having sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecvError(());

/// Why [`Receiver::try_recv`] gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Nothing was sent yet.
    Empty,
    /// Nothing will come.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender is gone without having sent")
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("nothing was sent yet"),
            TryRecvError::Closed => RecvError(()).fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}
impl std::error::Error for TryRecvError {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_value_gets_there_or_comes_back() {
        let (sender, mut receiver) = channel();
        assert_eq!((poll(&mut receiver), receiver.try_recv()), (Poll::Pending, Err(TryRecvError::Empty)));
        assert_eq!(sender.send(5), Ok(()));
        assert_eq!((poll(&mut receiver), receiver.is_terminated()), (Poll::Ready(Ok(5)), true));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));

        let (sender, receiver) = channel();
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send("back"), Err(SendError("back")));
    }

    #[test]
    fn each_end_learns_that_the_other_is_gone() {
        let (mut sender, mut receiver) = channel::<()>();
        assert!(sender.poll_closed(&mut Context::from_waker(Waker::noop())).is_pending());
        receiver.close();
        assert!(sender.poll_closed(&mut Context::from_waker(Waker::noop())).is_ready());
        drop(sender);
        assert_eq!(poll(&mut receiver), Poll::Ready(Err(RecvError(()))));
        assert_eq!(poll(&mut receiver), Poll::Ready(Err(RecvError(()))));
    }

    #[test]
    fn what_was_sent_before_the_close_is_received_and_what_is_left_is_dropped() {
        let value = Arc::new(());
        let (sender, mut receiver) = channel();
        sender.send(Arc::clone(&value)).expect("open");
        receiver.close();
        assert!(receiver.try_recv().is_ok());
        let (sender, receiver) = channel();
        sender.send(Arc::clone(&value)).expect("open");
        drop(receiver);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
