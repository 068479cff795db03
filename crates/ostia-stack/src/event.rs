//! What the stack tells its user, in the order in which it happened.

use alloc::collections::VecDeque;

use crate::Error;
use crate::handle::Handle;

/// What has happened to a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A connection that was asked for is open.
    Connected,
    /// A listener has a connection to be accepted.
    Acceptable,
    /// Something can be received, or the peer's stream has ended.
    Readable,
    /// The peer has marked something in its stream as urgent.
    Urgent,
    /// There is room to send again, after a send found too little.
    Writable,
    /// After a shutdown: everything that was sent is acknowledged, and the end of the stream with it.
    Drained,
    /// The connection goes on, but a router has said this, or the peer doesn't answer: data has been sent again three times. Told
    /// once, until the peer is heard (RFC 9293, 3.9.1.8).
    Trouble(Error),
    /// The connection, or what was asked of the socket last, has failed.
    Failed(Error),
    /// Nothing more can happen: both streams have ended in order.
    Closed,
}

/// Something that has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// To which socket.
    pub socket: Handle,
    /// What.
    pub kind: Kind,
}

/// The queue of events. Each kind is told once until its user has looked: sockets keep which are told, so that the queue
/// is bounded by their number.
#[derive(Default)]
pub(crate) struct Events(VecDeque<Event>);

impl Events {
    pub(crate) fn push(&mut self, socket: Handle, kind: Kind) {
        self.0.push_back(Event { socket, kind });
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}
