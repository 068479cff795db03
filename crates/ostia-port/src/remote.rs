//! Posting to a port from other threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bell::Bell;

/// A packet that somebody posted: it comes out of the port's queue as a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The completion's key.
    pub key: u64,
    /// The completion's context.
    pub context: u64,
    /// The completion's result.
    pub result: usize,
}

/// A way to reach a port from any thread (PostQueuedCompletionStatus of Windows).
#[derive(Clone)]
pub struct Remote(pub(crate) Arc<Mailbox>);

pub(crate) struct Mailbox {
    packets: Mutex<VecDeque<Packet>>,
    waits: AtomicBool,
    gone: AtomicBool,
    pub(crate) bell: Arc<Bell>,
}

impl Mailbox {
    pub(crate) fn new(bell: Arc<Bell>) -> Mailbox {
        Mailbox { packets: Mutex::default(), waits: AtomicBool::new(false), gone: AtomicBool::new(false), bell }
    }

    /// Whether packets may be waiting.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Moves all posted packets to `out`, in the order they were posted.
    #[inline]
    pub(crate) fn collect(&self, mut out: impl FnMut(Packet)) {
        if self.waits.swap(false, Ordering::Acquire) {
            self.packets.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(&mut out);
        }
    }

    pub(crate) fn close(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

impl Remote {
    /// Puts a packet into the port's queue and wakes the port if it sleeps. Packets of one thread keep their order.
    ///
    /// False if the port has gone; the packet is then dropped.
    pub fn post(&self, packet: Packet) -> bool {
        if self.0.gone.load(Ordering::Acquire) {
            return false;
        }
        self.0.packets.lock().unwrap_or_else(PoisonError::into_inner).push_back(packet);
        self.0.waits.store(true, Ordering::Release);
        self.0.bell.ring();
        true
    }

    /// Wakes the port: its present wait, or if it is not waiting its next one, returns at once.
    pub fn wake(&self) {
        self.0.bell.ring();
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("gone", &self.0.gone).finish_non_exhaustive()
    }
}
