//! Engines: what is not the kernel and yet completes into a port's queue, such as a TCP/IP stack of the program's own.
//!
//! An engine has sockets, and calls on them that never wait. Everything that makes a socket a handle of a port (the queue of
//! operations, what was received and not taken, the order of sends, cancelling, lingering) is the port's, and is the same
//! for the sockets of an engine as for the kernel's: a port tries a call, and tries it again when the engine says that it
//! is worth it. So an engine can't lose an operation, and no operation can tell which kind of socket it is on.

use std::any::Any;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use crate::buffer::Buffer;
use crate::os::BorrowedFd;
use crate::remote::Remote;

/// What an engine calls a socket of its own: small numbers, which may be used again once a socket is closed.
pub type SocketId = u32;

/// Names an engine of a port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EngineId(pub(crate) u32);

/// Memory that a receive fills from its start: what is behind stays as it is.
#[derive(Debug)]
pub struct Spare<'a> {
    memory: &'a mut [MaybeUninit<u8>],
    filled: usize,
}

impl<'a> Spare<'a> {
    pub(crate) fn new(memory: &'a mut [MaybeUninit<u8>]) -> Spare<'a> {
        Spare { memory, filled: 0 }
    }

    /// How many bytes there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.memory.len() - self.filled
    }

    /// How many bytes have been put.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Appends as many of these bytes as there is room for; answers how many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let free = &mut self.memory[self.filled..];
        let count = bytes.len().min(free.len());
        free[..count].write_copy_of_slice(&bytes[..count]);
        self.filled += count;
        count
    }
}

/// What came with a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// How long it was. More than there was room for means that the rest is lost.
    pub len: usize,
    /// The sender.
    pub peer: Option<SocketAddr>,
    /// The TTL or hop limit with which it came, if the engine knows. Told as control data, to whoever has room for that.
    pub hop_limit: Option<u8>,
}

/// What a socket of an engine is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SocketSpec {
    /// A TCP connection, to be made by [`Engine::connect`], from this address if one is given; port 0 picks one.
    Stream {
        /// Where from.
        local: Option<SocketAddr>,
    },
    /// A TCP listener.
    Listener {
        /// Where; port 0 picks one.
        local: SocketAddr,
        /// How many connections may wait to be accepted.
        backlog: u32,
        /// Others that say so too may listen there as well, and connections are dealt out among them in turn
        /// (SO_REUSEPORT).
        reuse_port: bool,
    },
    /// A UDP socket.
    Datagram {
        /// Where; port 0 picks one.
        local: SocketAddr,
    },
    /// A socket that sends ICMP echo requests and receives their answers (as the "ping sockets" of icmp(7)): what is sent and
    /// received is the payload, and the port of the peer's address is the sequence number.
    Echo {
        /// Of IPv6, not of IPv4.
        v6: bool,
    },
}

/// An option of a socket, with its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SocketOption {
    /// Small segments are sent at once instead of being gathered (TCP_NODELAY).
    NoDelay(bool),
    /// Full segments only, until it is taken off (TCP_CORK).
    Cork(bool),
    /// Acknowledgments are sent at once (TCP_QUICKACK).
    QuickAck(bool),
    /// Probes of an idle peer: after how long, how often, how many (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
    Keepalive(Option<(Duration, Duration, u32)>),
    /// How long closing waits for what is unsent; zero resets (SO_LINGER).
    Linger(Option<Duration>),
    /// Octets received ahead, at most (SO_RCVBUF).
    ReceiveBuffer(usize),
    /// Octets kept to be sent, at most (SO_SNDBUF).
    SendBuffer(usize),
    /// How many routers a packet may cross (IP_TTL, IPV6_UNICAST_HOPS).
    HopLimit(u8),
    /// How long what was sent may stay unacknowledged; zero is the default (TCP_USER_TIMEOUT).
    UserTimeout(Duration),
}

/// Which option is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OptionName {
    /// [`SocketOption::NoDelay`].
    NoDelay,
    /// [`SocketOption::Keepalive`].
    Keepalive,
    /// [`SocketOption::Linger`].
    Linger,
    /// [`SocketOption::ReceiveBuffer`].
    ReceiveBuffer,
    /// [`SocketOption::SendBuffer`].
    SendBuffer,
}

/// Sockets for whose waiting operations it is worth trying again.
#[derive(Debug, Default)]
pub struct Woken(pub(crate) Vec<SocketId>);

impl Woken {
    /// Something about this socket has changed: there is something to receive or accept, or room to send, or it is connected,
    /// ended or broken. Telling it twice, or in vain, costs time and nothing else.
    pub fn push(&mut self, socket: SocketId) {
        self.0.push(socket);
    }

    /// The sockets that were named.
    #[must_use]
    pub fn sockets(&self) -> &[SocketId] {
        &self.0
    }

    /// Moves the sockets of another list to the end of this one.
    pub fn append(&mut self, other: &mut Woken) {
        self.0.append(&mut other.0);
    }
}

/// What comes of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turned {
    /// There is more to do at once.
    pub more: bool,
    /// When there will be something to do, in nanoseconds of the port's clock, if nothing happens before.
    pub deadline: Option<u64>,
    /// The link took no more: wait until it can be written to.
    pub blocked: bool,
}

/// A network beside the kernel's. A port calls it from its own thread alone.
///
/// Calls on sockets never wait: what can't be done now fails with [`WouldBlock`](io::ErrorKind::WouldBlock), and the engine
/// says by [`Woken`] when it is worth trying again. Errors carry the codes of the operating system
/// ([`raw_os_error`](io::Error::raw_os_error)), as if they came from its sockets.
pub trait Engine: Any {
    /// Makes a socket.
    ///
    /// # Errors
    /// EADDRINUSE, EADDRNOTAVAIL, ENOBUFS; EOPNOTSUPP for what this engine doesn't have.
    fn open(&mut self, spec: SocketSpec) -> io::Result<SocketId>;

    /// Takes a connection from a listener.
    ///
    /// # Errors
    /// EAGAIN where none waits.
    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId>;

    /// Connects a socket. EAGAIN: it has begun; called again it tells what became of it. On a datagram socket it sets the
    /// only peer.
    ///
    /// # Errors
    /// As connect(2).
    fn connect(&mut self, socket: SocketId, peer: SocketAddr) -> io::Result<()>;

    /// Receives from a stream; nothing put is its end. With `peek` what is received stays.
    ///
    /// # Errors
    /// As recv(2); EAGAIN.
    fn recv(&mut self, socket: SocketId, into: &mut Spare<'_>, peek: bool) -> io::Result<()>;

    /// Sends to a stream as much as there is room for, at least one byte of some; `more` follows soon.
    ///
    /// # Errors
    /// As send(2); EAGAIN.
    fn send(&mut self, socket: SocketId, data: &[u8], more: bool) -> io::Result<usize>;

    /// Takes a whole buffer to be sent to a stream, without copying it, if there is room for any of it: so an engine may keep as
    /// much more than it has room for.
    ///
    /// # Errors
    /// As [`send`](Self::send), and the buffer back; EAGAIN where there is no room, or the engine would rather have it in
    /// parts.
    fn send_buffer(&mut self, socket: SocketId, data: Buffer) -> Result<(), (io::Error, Buffer)>;

    /// Receives a datagram.
    ///
    /// # Errors
    /// As recvfrom(2); EAGAIN.
    fn recv_from(&mut self, socket: SocketId, into: &mut Spare<'_>, peek: bool) -> io::Result<Datagram>;

    /// Sends a datagram, to the connected peer if none is named.
    ///
    /// # Errors
    /// As sendto(2); EAGAIN.
    fn send_to(&mut self, socket: SocketId, data: &[u8], peer: Option<SocketAddr>) -> io::Result<()>;

    /// Ends one or both directions.
    ///
    /// # Errors
    /// ENOTCONN.
    fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> io::Result<()>;

    /// Lets go of a socket: what was sent still goes out. With `abort` it doesn't, and the peer sees a reset.
    fn close(&mut self, socket: SocketId, abort: bool);

    /// Which of poll(2)'s events hold now: `POLLIN`, `POLLOUT`, `POLLERR`, `POLLHUP`, on Linux `POLLRDHUP`. When those that don't hold begin to, the
    /// socket is told in [`Woken`].
    fn ready(&mut self, socket: SocketId) -> i16;

    /// The address of this end.
    ///
    /// # Errors
    /// EBADF.
    fn local(&self, socket: SocketId) -> io::Result<SocketAddr>;

    /// The address of the other end.
    ///
    /// # Errors
    /// ENOTCONN.
    fn peer(&self, socket: SocketId) -> io::Result<SocketAddr>;

    /// Sets an option.
    ///
    /// # Errors
    /// ENOPROTOOPT where the socket has no such thing.
    fn set_option(&mut self, socket: SocketId, option: SocketOption) -> io::Result<()>;

    /// Asks for an option.
    ///
    /// # Errors
    /// ENOPROTOOPT where the socket has no such thing.
    fn option(&self, socket: SocketId, name: OptionName) -> io::Result<SocketOption>;

    /// What the port is to wait for: a descriptor that polls readable when frames have come. None for an engine that others
    /// wake by the [`Remote`] of [`attached`](Self::attached), or that only its own calls and its deadlines move.
    fn link(&self) -> Option<BorrowedFd<'_>>;

    /// The engine is a port's from now on, which this wakes.
    fn attached(&mut self, remote: Remote) {
        let _ = remote;
    }

    /// Frames have come, or may have: takes in those that are there, so many that others have their turn. Called after each
    /// wait in which the link was readable, and after every wait where there is none. `now` is in nanoseconds of the port's
    /// clock. True if there may be more.
    fn receive(&mut self, now: u64, woken: &mut Woken) -> bool;

    /// Does what is due and sends what is to be sent. Called before each wait, so that the acknowledgment of what was received
    /// goes with the answer.
    fn transmit(&mut self, now: u64, woken: &mut Woken) -> Turned;

    /// Makes an engine for the port of another thread that has its sockets in the same network: it passes what it is asked for on to
    /// this one, by messages. Both live on when the other has gone; without this one the other's network is down. To open what is
    /// no stream, and to name a datagram socket's peer, may wait for this engine's next turn, 5 s at most: so threads with branches of
    /// each other's engines should not do that at the same time. None where an engine has no branches.
    fn branch(&mut self) -> Option<Box<dyn Engine + Send>> {
        None
    }

    /// Whether connections without a handle still send: a port that ends waits for them as long as it lingers.
    fn is_draining(&self) -> bool;

    /// Resets what is left, for the time is over. One more [`transmit`](Self::transmit) sends the resets.
    fn abort_all(&mut self);
}
