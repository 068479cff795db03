//! Queues from many senders to one receiver, bounded or not.
//!
//! A bounded [`channel`] holds so many messages; who sends more waits, in a row, until one was received. So a slow receiver
//! slows its senders down instead of filling the memory. [`unbounded`] never waits: for senders that can't (a signal
//! handler's thread, a `Drop`), and where something else bounds what is under way.
//!
//! | what has happened | senders | receiver |
//! |---|---|---|
//! | the queue is full | `send` waits in the row, `try_send` gives the value back | receives |
//! | the receiver is dropped | get the value back; what was queued is dropped | |
//! | [`close`](Receiver::close) | get the value back, but for permits they hold | receives what is left, then none |
//! | the last sender is dropped | | receives what is left, then none |
//! | a sender's or receiver's task panics | that is a drop | that is a drop |
//!
//! Messages of one sender come in the order sent. With a bound, so do those of different senders who waited: first come,
//! first served. The receiver takes all that is queued at once and hands it out from there, so receiving rarely touches
//! what senders touch.
//!
//! ```
//! use ostia::sync::mpsc;
//!
//! ostia::block_on(async {
//!     let (sender, mut receiver) = mpsc::channel(2);
//!     for part in 0..3 {
//!         let sender = sender.clone();
//!         ostia::spawn(async move {
//!             for number in 0..100u32 {
//!                 sender.send(part * 100 + number).await.unwrap();
//!             }
//!         })
//!         .detach();
//!     }
//!     drop(sender);
//!     let mut sum = 0;
//!     while let Some(number) = receiver.recv().await {
//!         sum += number;
//!     }
//!     assert_eq!(sum, (0..300).sum());
//! });
//! ```

mod bounded;
mod permit;
mod queue;
mod unbounded;

use std::fmt;

pub use crate::sync::error::SendError;
pub use bounded::{Receiver, Sender, WeakSender, channel};
pub use permit::{OwnedPermit, Permit, PermitIterator};
pub use unbounded::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded};

/// Why [`Sender::try_send`] did not send; with the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The channel is full now, or others wait to send.
    Full(T),
    /// The receiver is gone or was closed.
    Closed(T),
}

impl<T> TrySendError<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(value) | TrySendError::Closed(value) => value,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Closed(_) => "nobody is left to receive",
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

/// Why there is nothing to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Nothing is there now.
    Empty,
    /// Nothing will come: all senders are gone, or the channel was closed.
    Disconnected,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "nothing is there to receive now",
            TryRecvError::Disconnected => "nothing will come any more",
        })
    }
}

impl std::error::Error for TryRecvError {}
