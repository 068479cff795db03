//! What a branch and its stack write to each other, and the two boxes that it goes through.
//!
//! Letters are collected during a turn and put into the other side's box at its end, all at once: a lock and, if the other
//! side may sleep, a wake-up for each turn, not for each letter.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ostia_port::{Buffer, Remote, SocketOption, SocketSpec};
use ostia_stack::Options;
use ostia_wire::Frame;

/// What both sides call a socket. No name is used twice: the branch makes the even ones, its stack the odd ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Name(pub(super) u64);

/// Octets that may be under way on a socket in each direction, unless its buffers are smaller: of what a branch has sent and the
/// stack has not taken, and of the memory in which the stack has received what the branch has not read. The last piece may
/// exceed it. What is beyond waits with its sender, and so the peer's window closes.
pub(super) const WINDOW: usize = 256 << 10;

/// However small a buffer is asked for.
const LEAST: usize = 2 << 10;

/// What may be under way to and from a stream with these options.
pub(super) fn windows(options: &Options) -> (usize, usize) {
    let window = |buffer: u32| (buffer as usize).clamp(LEAST, WINDOW);
    (window(options.receive_buffer), window(options.send_buffer))
}

/// What a datagram counts for beyond its bytes.
pub(super) const DATAGRAM: usize = 256;

/// Connections that may be under way to a listener of a branch and are not accepted there.
pub(super) const ACCEPTS: usize = 64;

/// The two ends of a socket, as far as there are such.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) peer: Option<SocketAddr>,
}

/// What a branch wants to be told at once.
#[derive(Debug)]
pub(super) enum Question {
    /// Make a socket that is not a stream.
    Open(SocketSpec),
    /// Name the one peer of a socket of datagrams.
    Connect(SocketAddr),
}

/// From the branch to the stack.
#[derive(Debug)]
pub(super) enum Request {
    /// The asker waits for the answer.
    Ask {
        name: Name,
        question: Question,
        answer: SyncSender<io::Result<Ends>>,
    },
    /// Make a connection.
    Connect {
        name: Name,
        local: Option<SocketAddr>,
        options: Box<Options>,
        peer: SocketAddr,
    },
    /// Of a stream.
    Send(Name, Buffer),
    /// A datagram.
    SendTo(Name, Vec<u8>, Option<SocketAddr>),
    /// So much of the memory of what has come was given back; of a listener, so many connections were accepted. For a connection
    /// that was accepted, first of all, its window.
    Taken(Name, usize),
    /// A frame that is empty now: its memory goes home.
    Spent(Frame),
    Shutdown(Name, Shutdown),
    Set(Name, SocketOption),
    /// A connection that its listener has not accepted before it was closed.
    HandBack(Name),
    /// With true, by a reset.
    Close(Name, bool),
}

/// From the stack to the branch.
#[derive(Debug)]
pub(super) enum Report {
    /// A listener has a new connection.
    Accepted {
        listener: Name,
        name: Name,
        ends: Ends,
        options: Box<Options>,
    },
    Connected(Name, Ends),
    /// There will be no connection, for this reason.
    Failed(Name, i32),
    /// It could not even be begun: the socket is as it was.
    NotBegun(Name, i32),
    /// Received bytes of a stream.
    Data(Name, Frame),
    /// The peer has sent all that it had.
    Ended(Name),
    /// The connection is over, for this reason, if there is one to be told.
    Broken(Name, Option<i32>),
    /// So much of what was sent has found room.
    Room(Name, usize),
    /// With its sender and its hop limit.
    Datagram(Name, Frame, SocketAddr, u8),
    /// A datagram could not be sent.
    Unsent(Name, i32),
    /// What ICMP has told of one that was.
    Bounced(Name, i32),
    /// The link is gone, and the network with it.
    Down,
}

/// A box for one side's letters.
#[derive(Debug)]
pub(super) struct Letterbox<T> {
    letters: Mutex<Vec<T>>,
    filled: AtomicBool,
    /// Wakes the port that empties it, once that is known.
    wake: OnceLock<Remote>,
    /// Whoever emptied it has gone.
    gone: AtomicBool,
}

impl<T> Letterbox<T> {
    fn new() -> Letterbox<T> {
        Letterbox {
            letters: Mutex::default(),
            filled: AtomicBool::new(false),
            wake: OnceLock::new(),
            gone: AtomicBool::new(false),
        }
    }

    /// The box is emptied by this port from now on.
    pub(super) fn belongs_to(&self, remote: Remote) {
        let _ = self.wake.set(remote);
        self.ring();
    }

    /// Puts letters in, in their order. Where nobody will read them they are dropped.
    pub(super) fn put(&self, letters: &mut Vec<T>) {
        if letters.is_empty() {
            return;
        }
        if self.is_abandoned() {
            return letters.clear();
        }
        let first = {
            let mut inside = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            let first = inside.is_empty();
            inside.append(letters);
            self.filled.store(true, Ordering::Release);
            first
        };
        // Who hasn't emptied it yet has been woken already.
        if first {
            self.ring();
        }
        if self.is_abandoned() {
            // It went in the meantime: whoever waits for an answer is to learn that there will be none.
            self.letters.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Exchanges what is in it for an empty list.
    pub(super) fn take(&self, into: &mut Vec<T>) {
        if self.filled.load(Ordering::Acquire) {
            let mut inside = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            self.filled.store(false, Ordering::Relaxed);
            std::mem::swap(into, &mut inside);
        }
    }

    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Whoever empties it goes.
    pub(super) fn abandon(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Wakes the port that empties it.
    pub(super) fn ring(&self) {
        if let Some(remote) = self.wake.get() {
            remote.wake();
        }
    }
}

/// Both boxes between a branch and its stack.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) requests: Letterbox<Request>,
    pub(super) reports: Letterbox<Report>,
}

impl Line {
    pub(super) fn new() -> Arc<Line> {
        Arc::new(Line { requests: Letterbox::new(), reports: Letterbox::new() })
    }
}
