//! Connections as they were accepted: with first bytes and addresses where the system gives those with the accept.

use std::net::SocketAddr;

use crate::chunk::Chunk;
use crate::handle::{Handle, Kind};
use crate::os::{OwnedFd, RawFd};
use crate::port::Port;
use crate::sys::Event;

/// A connection for another port, as [`Port::poll_accept_fd`] gives it.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub descriptor: OwnedFd,
    /// What was received with the accept, which comes before all that the connection receives; only where
    /// [`Config::accept_data`](crate::Config::accept_data) asks for it.
    pub first: Option<Chunk>,
    /// This side's address and the peer's, where the accept has told them (AcceptEx).
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// The connection alone: for those who accept without first bytes.
impl From<Accepted> for OwnedFd {
    fn from(accepted: Accepted) -> OwnedFd {
        accepted.descriptor
    }
}

/// A connection that waits on its listener to be taken: no larger than a chunk.
pub(crate) enum Connection {
    /// Of the kernel.
    Kernel {
        fd: OwnedFd,
        #[cfg(windows)]
        more: Option<Box<More>>,
    },
    /// Of an engine: its number. Who drops one closes it by [`Port::discard_received`].
    Engine(RawFd),
}

/// What came with it.
#[cfg(windows)]
pub(crate) struct More {
    first: Option<Chunk>,
    addresses: Option<(SocketAddr, SocketAddr)>,
}

impl Connection {
    /// What an accept's event says besides the descriptor.
    #[inline]
    pub(super) fn new(fd: OwnedFd, event: Event) -> Connection {
        #[cfg(windows)]
        {
            let some = event.chunk.is_some() || event.addresses.is_some();
            let more = some.then(|| Box::new(More { first: event.chunk, addresses: event.addresses.map(|both| *both) }));
            Connection::Kernel { fd, more }
        }
        #[cfg(not(windows))]
        {
            drop(event);
            Connection::Kernel { fd }
        }
    }

    /// The connection with what came with it, or the number of an engine's.
    #[inline]
    pub(super) fn into_accepted(self) -> Result<Accepted, RawFd> {
        match self {
            #[cfg(windows)]
            Connection::Kernel { fd, more } => {
                let (first, addresses) = more.map_or((None, None), |more| (more.first, more.addresses));
                Ok(Accepted { descriptor: fd, first, addresses })
            }
            #[cfg(not(windows))]
            Connection::Kernel { fd } => Ok(Accepted { descriptor: fd, first: None, addresses: None }),
            Connection::Engine(number) => Err(number),
        }
    }
}

/// The addresses of connections that were told with their accepts, by the places of their handles.
#[cfg(windows)]
#[derive(Default)]
pub(super) struct Told(Vec<Option<(u32, SocketAddr, SocketAddr)>>);

#[cfg(windows)]
impl Told {
    fn keep(&mut self, handle: Handle, (local, peer): (SocketAddr, SocketAddr)) {
        if self.0.len() <= handle.index() {
            self.0.resize(handle.index() + 1, None);
        }
        self.0[handle.index()] = Some((handle.generation, local, peer));
    }

    fn of(&self, handle: Handle) -> Option<(SocketAddr, SocketAddr)> {
        let (generation, local, peer) = (*self.0.get(handle.index())?)?;
        (generation == handle.generation).then_some((local, peer))
    }
}

impl Port {
    /// Gives a connection to the port that another port has accepted; it is a stream, and its first bytes are unread.
    pub fn adopt_accepted(&mut self, accepted: Accepted, key: u64) -> Handle {
        let Accepted { descriptor, first, addresses } = accepted;
        let handle = self.adopt_as(descriptor, Kind::Stream, key);
        self.keep_told(handle, first, addresses);
        handle
    }

    /// This side's address and the peer's of a TCP connection (getsockname(2), getpeername(2)). Of one that was accepted on Windows they
    /// were told with the accept, and this is no system call. None for a closed handle, one that is not connected, and other
    /// addresses than those of IP.
    pub fn accepted_from(&self, handle: Handle) -> Option<(SocketAddr, SocketAddr)> {
        if self.is_engines(handle) {
            return Some((self.local_addr(handle).ok()?.ip()?, self.peer_addr(handle).ok()?.ip()?));
        }
        let fd = self.descriptor(handle).ok()?;
        #[cfg(windows)]
        if let Some(told) = self.told.of(handle) {
            return Some(told);
        }
        let local = rustix::net::getsockname(fd).ok()?;
        let peer = rustix::net::getpeername(fd).ok().flatten()?;
        Some((local.try_into().ok()?, peer.try_into().ok()?))
    }

    /// Makes a handle of a connection that was accepted here.
    #[inline]
    pub(super) fn insert_connection(&mut self, connection: Connection, kind: Kind, key: u64) -> Handle {
        match connection.into_accepted() {
            Ok(Accepted { descriptor, first, addresses }) => {
                let handle = self.insert(descriptor, kind, key);
                self.keep_told(handle, first, addresses);
                handle
            }
            Err(number) => self.insert_engine_socket(number, kind, key),
        }
    }

    #[inline]
    fn keep_told(&mut self, handle: Handle, first: Option<Chunk>, addresses: Option<(SocketAddr, SocketAddr)>) {
        if let Some(first) = first {
            self.counters.bytes_received.add(first.len() as u64);
            self.give_back(handle, first);
        }
        #[cfg(windows)]
        if let Some(addresses) = addresses {
            self.told.keep(handle, addresses);
        }
        #[cfg(not(windows))]
        let _ = addresses;
    }
}
