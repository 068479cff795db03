//! The sockets of a stack by small numbers, and what the engine remembers of each.

use std::net::SocketAddr;

use ostia_port::SocketId;
use ostia_stack::{Datagram, Error, Handle, Options, Socket as Kind};

/// One socket.
pub(crate) enum Socket {
    /// A connection, or what is to be one.
    Stream(Stream),
    Listener {
        handle: Handle,
        local: SocketAddr,
    },
    /// UDP or ping.
    Datagram {
        handle: Handle,
        /// Received already, to see whether there was something: a datagram, or what ICMP has told.
        held: Option<Result<Datagram, Error>>,
        v6: bool,
        local: SocketAddr,
        peer: Option<SocketAddr>,
    },
}

/// A connection.
pub(crate) struct Stream {
    /// The stack's, once it has begun to be one.
    pub(crate) handle: Option<Handle>,
    /// Where it is to come from.
    pub(crate) local: Option<SocketAddr>,
    /// Options that were set before.
    pub(crate) options: Options,
    pub(crate) progress: Progress,
    /// The program has ended the receiving direction: what doesn't come counts as the end.
    pub(crate) ended: bool,
}

/// How far the opening of a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Unconnected,
    Connecting,
    Connected,
    /// It came to nothing, for this reason.
    Failed(Error),
}

/// All of them.
#[derive(Default)]
pub(crate) struct Sockets {
    places: Vec<Option<Socket>>,
    free: Vec<SocketId>,
    /// By kind and number of the stack's: which socket.
    names: [Vec<Option<SocketId>>; 4],
}

/// Which row of names a handle is in.
fn row(handle: Handle) -> Option<usize> {
    match handle.kind() {
        Kind::Connection => Some(0),
        Kind::Listener => Some(1),
        Kind::Udp => Some(2),
        Kind::Ping => Some(3),
        _ => None,
    }
}

impl Sockets {
    pub(crate) fn insert(&mut self, socket: Socket) -> SocketId {
        let handle = socket.handle();
        let id = match self.free.pop() {
            Some(id) => {
                self.places[id as usize] = Some(socket);
                id
            }
            None => {
                self.places.push(Some(socket));
                self.places.len() as SocketId - 1
            }
        };
        if let Some(handle) = handle {
            self.name(handle, id);
        }
        id
    }

    /// The stack calls a socket so.
    pub(crate) fn name(&mut self, handle: Handle, id: SocketId) {
        let Some(row) = row(handle) else { return };
        let at = handle.index() as usize;
        if self.names[row].len() <= at {
            self.names[row].resize(at + 1, None);
        }
        self.names[row][at] = Some(id);
    }

    /// The socket that the stack calls so, if it is one of these.
    pub(crate) fn named(&self, handle: Handle) -> Option<SocketId> {
        let id = (*self.names[row(handle)?].get(handle.index() as usize)?)?;
        (self.get(id)?.handle() == Some(handle)).then_some(id)
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.places.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.places.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        let socket = self.places.get_mut(id as usize)?.take()?;
        self.free.push(id);
        if let Some(handle) = socket.handle()
            && let Some(name) = row(handle).and_then(|row| self.names[row].get_mut(handle.index() as usize))
            && *name == Some(id)
        {
            *name = None;
        }
        Some(socket)
    }

    /// Every socket that is there.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.places.iter().enumerate().filter(|(_, place)| place.is_some()).map(|(id, _)| id as SocketId)
    }
}

impl Socket {
    /// What the stack calls it.
    pub(crate) fn handle(&self) -> Option<Handle> {
        match self {
            Socket::Stream(stream) => stream.handle,
            Socket::Listener { handle, .. } | Socket::Datagram { handle, .. } => Some(*handle),
        }
    }
}
