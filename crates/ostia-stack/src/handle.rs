//! Names of sockets, which go stale when their socket is gone.

use core::fmt;

use crate::slab::Key;

/// What a handle names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Socket {
    /// A TCP connection.
    Connection,
    /// A TCP listener.
    Listener,
    /// A UDP socket.
    Udp,
    /// A socket of one IP protocol.
    Raw,
    /// A socket that sends ICMP echo requests and gets the replies.
    Ping,
}

/// The name of a socket. It is never given twice: a name of what is gone is an error ([`crate::Error::BadHandle`]), not
/// another socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    kind: Socket,
    key: Key,
}

impl Handle {
    pub(crate) fn new(kind: Socket, key: Key) -> Handle {
        Handle { kind, key }
    }

    /// What it names.
    pub fn kind(self) -> Socket {
        self.kind
    }

    /// Its number among those of its kind: below the most that there ever were at once, and its own while it is there.
    pub fn index(self) -> u32 {
        self.key.index
    }

    /// Its place, if it names something of that kind.
    pub(crate) fn key(self, kind: Socket) -> Option<Key> {
        (self.kind == kind).then_some(self.key)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}.{})", self.kind, self.key.index, self.key.generation)
    }
}
