//! Unix sockets that keep boundaries, descriptors and credentials over all kinds of them (unix(7)).

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use ostia_port::{Address, Buffer, Kind, Op};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt as options};

use crate::here;
use crate::net::datagram::Datagrams;
use crate::net::failure::naming;
use crate::net::listener::ListenOptions;
use crate::net::message::Credentials;
use crate::net::raw::Raw;
use crate::net::socket::{self, Listening};
use crate::net::{Incoming, Outgoing, UnixStream, sockopt};
use crate::worker::Side;

/// SO_PEERPIDFD (Linux 6.5).
const SO_PEERPIDFD: i32 = 77;

/// A path that a socket was bound to, removed with it.
#[derive(Debug)]
struct Bound(PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        // Somebody may have removed or replaced it: that is theirs to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The address of a path.
///
/// # Errors
/// With the path, if it is too long or has a NUL byte.
pub(crate) fn address(path: &Path) -> io::Result<Address> {
    Address::unix(path).map_err(|error| naming("use the path", path.display(), error))
}

/// A Unix socket of datagrams: they arrive whole, in order and surely, and who sends waits while the receiver's queue is full
/// (`net.unix.max_dgram_qlen`).
///
/// Receiving, sending and cancelling as for [`UdpSocket`](crate::net::UdpSocket). A path that it was bound to is removed
/// with it.
#[derive(Debug)]
pub struct UnixDatagram {
    inner: Datagrams,
    path: Option<Bound>,
}

impl UnixDatagram {
    /// Binds a socket to a path, which must not exist, or be a socket that nobody has any more.
    ///
    /// # Errors
    /// As bind(2), naming the path. Outside of a runtime.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_address(&address(path.as_ref())?)
    }

    /// As [`bind`](Self::bind), to any Unix address: abstract ones too.
    ///
    /// # Errors
    /// As for `bind`.
    pub fn bind_address(address: &Address) -> io::Result<UnixDatagram> {
        let socket = socket::bound_datagram(address).map_err(|error| naming("bind", address, error))?;
        Ok(UnixDatagram { inner: Datagrams::adopt(socket)?, path: address.path().map(Bound) })
    }

    /// A socket without an address: it can send, and receive once it is connected to a socket that is connected to it.
    ///
    /// # Errors
    /// When there is no descriptor left; outside of a runtime.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_fd(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other (socketpair(2)).
    ///
    /// # Errors
    /// As for [`unbound`](Self::unbound).
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_fd(one)?, UnixDatagram::from_fd(other)?))
    }

    /// Takes over a socket of the standard library's or from elsewhere, for this worker.
    ///
    /// # Errors
    /// InvalidInput if it is no Unix socket of datagrams; outside of a runtime.
    pub fn from_fd(socket: impl Into<OwnedFd>) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { inner: Datagrams::adopt(checked(socket.into(), SocketType::DGRAM)?)?, path: None })
    }

    /// The same socket once more, for another task of this worker: both receive from one queue. The path stays with this one.
    ///
    /// # Errors
    /// When there is no descriptor left; on another worker.
    pub fn try_clone(&self) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { inner: self.inner.try_clone()?, path: None })
    }

    /// Closes the socket and waits until the descriptor is closed: then its name can be bound again, unless a
    /// [clone](Self::try_clone) has it still. A path that it was bound to is removed first. Datagrams that were not received are
    /// dropped; what was sent stays with its receiver.
    ///
    /// Cancelled: the closing goes on; before the first poll, as dropping the socket.
    ///
    /// # Errors
    /// As close(2); on another worker, where it is closed at home without being waited for.
    pub async fn close(self) -> io::Result<()> {
        // Before the socket goes: afterwards it might be somebody else's.
        drop(self.path);
        self.inner.close().await
    }

    /// Sets the peer that [`send`](Self::send) sends to and that alone is received from.
    ///
    /// # Errors
    /// As connect(2), naming the address.
    pub fn connect(&self, peer: &Address) -> io::Result<()> {
        let any = SocketAddrAny::from(peer.clone());
        let connected = self.inner.raw.descriptor(|fd| Ok(rustix::net::connect(fd, &any)?));
        connected.map_err(|error| naming("connect to", peer, error))
    }

    /// Receives a datagram into the spare capacity of `buffer`, appending; gives it back with the number of bytes, which may
    /// be 0. Cancelled: the buffer is lost, no datagram is.
    ///
    /// # Errors
    /// EMSGSIZE for a datagram longer than the room, of which the buffer then holds the beginning. InvalidInput without room.
    pub async fn recv(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let (received, buffer) = self.inner.recv_whole(buffer).await;
        (received.map(|arrival| arrival.len), buffer)
    }

    /// As [`recv`](Self::recv), with the sender's address, if it has one. Cancelling as there.
    ///
    /// # Errors
    /// As there.
    pub async fn recv_from(&mut self, buffer: Vec<u8>) -> (io::Result<(usize, Option<Address>)>, Vec<u8>) {
        let (received, buffer) = self.inner.recv_whole(buffer).await;
        (received.map(|arrival| (arrival.len, arrival.peer)), buffer)
    }

    /// As [`recv`](Self::recv), for futures written by hand: appends to `buffer` when it is ready, and only then.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<(usize, Option<Address>)>> {
        self.inner.poll_recv_whole(cx, buffer).map_ok(|arrival| (arrival.len, arrival.peer))
    }

    /// Receives a message with descriptors and credentials: see [`Incoming`]. Cancel safe: nothing is lost, and `incoming`
    /// is empty.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub async fn recv_msg(&mut self, incoming: &mut Incoming) -> io::Result<()> {
        poll_fn(|cx| self.inner.poll_recv_msg(cx, incoming)).await
    }

    /// Sends a datagram to the peer that the socket is connected to and gives the buffer back. Waits while that one's queue
    /// is full. Cancelled: nothing was sent, and the buffer is dropped.
    ///
    /// # Errors
    /// As send(2), naming the peer: ECONNREFUSED if it has gone, EMSGSIZE for more than the send buffer holds.
    pub async fn send(&self, data: impl Into<Buffer>) -> (io::Result<()>, Buffer) {
        self.inner.send_buffer(data.into(), None).await
    }

    /// As [`send`](Self::send), to an address. Nothing tells when the queue of a receiver that the socket is not connected to
    /// has room again: it is tried again after 1 to 32 ms. Cancelling as there.
    ///
    /// # Errors
    /// As there.
    pub async fn send_to(&self, data: impl Into<Buffer>, to: &Address) -> (io::Result<()>, Buffer) {
        self.inner.send_buffer(data.into(), Some(to)).await
    }

    /// Sends a datagram to an address at once, or not.
    ///
    /// # Errors
    /// WouldBlock if the receiver's queue or the send buffer is full; else as for [`send`](Self::send).
    pub fn try_send_to(&self, data: &[u8], to: &Address) -> io::Result<()> {
        match self.inner.try_send(data, Some(to), &[]) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// As [`try_send_to`](Self::try_send_to), to the peer that the socket is connected to.
    ///
    /// # Errors
    /// As there; ENOTCONN without a peer.
    pub fn try_send(&self, data: &[u8]) -> io::Result<()> {
        match self.inner.try_send(data, None, &[]) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// As [`send`](Self::send), for futures written by hand. Of several tasks that poll, the last one that asked is told.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<()>> {
        self.inner.poll_send(cx, data, None)
    }

    /// Sends a message with descriptors and credentials: see [`Outgoing`]. Cancelled: nothing was sent.
    ///
    /// # Errors
    /// As sendmsg(2): ETOOMANYREFS when more descriptors are in flight than the process may have open, EINVAL for more than
    /// 253 in one message.
    pub async fn send_msg(&self, message: &Outgoing<'_>) -> io::Result<()> {
        self.inner.send_msg(message).await
    }

    /// Whether messages tell who sent them: see [`Incoming::credentials`] (SO_PASSCRED).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_pass_credentials(&self, on: bool) -> io::Result<()> {
        self.inner.raw.descriptor(|fd| Ok(options::set_socket_passcred(fd, on)?))
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.inner.raw.descriptor(socket::local)
    }

    /// The address that the socket is connected to.
    ///
    /// # Errors
    /// ENOTCONN; on another worker.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.inner.raw.descriptor(socket::peer)
    }
}

/// A connected Unix socket of packets: a connection, as a stream has, whose messages keep their boundaries
/// (SOCK_SEQPACKET).
///
/// Dropping a receive at any await loses no packet. One task at a time can wait to receive.
#[derive(Debug)]
pub struct UnixSeqpacket {
    inner: Datagrams,
}

impl UnixSeqpacket {
    /// Connects to the listening socket at a path. Cancelled: the attempt is given up and its socket closed.
    ///
    /// # Errors
    /// As connect(2), naming the path: nobody listens, no such path, EPROTOTYPE for a socket of another type.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixSeqpacket> {
        UnixSeqpacket::connect_address(&address(path.as_ref())?).await
    }

    /// As [`connect`](Self::connect), to any Unix address. Cancelling as there.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_address(address: &Address) -> io::Result<UnixSeqpacket> {
        let connected = async {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            let inner = Datagrams::adopt(socket)?;
            inner.raw.post(Op::Connect { socket: inner.raw.handle, address: address.clone() })?.await?.result?;
            Ok(UnixSeqpacket { inner })
        };
        connected.await.map_err(|error| naming("connect to", address, error))
    }

    /// Two sockets that are connected to each other (socketpair(2)).
    ///
    /// # Errors
    /// When there are no descriptors left; outside of a runtime.
    pub fn pair() -> io::Result<(UnixSeqpacket, UnixSeqpacket)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((UnixSeqpacket { inner: Datagrams::adopt(one)? }, UnixSeqpacket { inner: Datagrams::adopt(other)? }))
    }

    /// Takes over a connected socket, for this worker.
    ///
    /// # Errors
    /// InvalidInput if it is no Unix socket of packets; outside of a runtime.
    pub fn from_fd(socket: impl Into<OwnedFd>) -> io::Result<UnixSeqpacket> {
        Ok(UnixSeqpacket { inner: Datagrams::adopt(checked(socket.into(), SocketType::SEQPACKET)?)? })
    }

    /// The same connection once more, for another task of this worker: both receive from one queue.
    ///
    /// # Errors
    /// When there is no descriptor left; on another worker.
    pub fn try_clone(&self) -> io::Result<UnixSeqpacket> {
        Ok(UnixSeqpacket { inner: self.inner.try_clone()? })
    }

    /// Receives a packet into the spare capacity of `buffer`, appending; gives it back with the number of bytes, none at
    /// the end of the connection. Empty packets that are the last before the end are taken for it.
    ///
    /// Cancelled: the buffer is lost, no packet is.
    ///
    /// # Errors
    /// ECONNRESET if the peer has closed without reading everything. EMSGSIZE for a packet longer than the room, of which
    /// the buffer then holds the beginning. InvalidInput without room.
    pub async fn recv(&mut self, mut buffer: Vec<u8>) -> (io::Result<Option<usize>>, Vec<u8>) {
        let received = poll_fn(|cx| self.poll_recv(cx, &mut buffer)).await;
        (received, buffer)
    }

    /// As [`recv`](Self::recv), for futures written by hand: appends to `buffer` when it is ready, and only then.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<Option<usize>>> {
        match self.inner.poll_recv_whole(cx, buffer) {
            Poll::Ready(Ok(arrival)) if arrival.len == 0 && self.is_end()? => Poll::Ready(Ok(None)),
            polled => polled.map_ok(|arrival| Some(arrival.len)),
        }
    }

    /// Receives a message with descriptors and credentials: see [`Incoming`]; false at the end of the connection. Cancel safe:
    /// nothing is lost, and `incoming` is empty.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub async fn recv_msg(&mut self, incoming: &mut Incoming) -> io::Result<bool> {
        poll_fn(|cx| self.inner.poll_recv_msg(cx, incoming)).await?;
        Ok(incoming.whole_len() > 0 || incoming.descriptors() > 0 || !self.is_end()?)
    }

    /// Whether nothing found means the end: the peer has ended its side, and nothing is queued.
    fn is_end(&self) -> io::Result<bool> {
        self.inner.raw.descriptor(|fd| {
            let mut polled = [PollFd::new(&fd, PollFlags::RDHUP)];
            rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            let ended = polled[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR);
            Ok(ended && rustix::io::ioctl_fionread(fd)? == 0)
        })
    }

    /// Sends a packet and gives the buffer back. Waits while the peer's queue is full. Cancelled: nothing was sent, and the
    /// buffer is dropped.
    ///
    /// # Errors
    /// As send(2): EPIPE if the peer has gone, EMSGSIZE for more than the send buffer holds.
    pub async fn send(&self, data: impl Into<Buffer>) -> (io::Result<()>, Buffer) {
        self.inner.send_buffer(data.into(), None).await
    }

    /// As [`send`](Self::send), for futures written by hand. Of several tasks that poll, the last one that asked is told.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<()>> {
        self.inner.poll_send(cx, data, None)
    }

    /// Sends a message with descriptors and credentials: see [`Outgoing`]. Cancelled: nothing was sent.
    ///
    /// # Errors
    /// As for [`UnixDatagram::send_msg`].
    pub async fn send_msg(&self, message: &Outgoing<'_>) -> io::Result<()> {
        self.inner.send_msg(message).await
    }

    /// Ends one or both directions; the peer sees the end of the connection. At once.
    ///
    /// # Errors
    /// ENOTCONN if the connection is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        self.inner.raw.descriptor(|fd| Ok(rustix::net::shutdown(fd, how)?))
    }

    /// Closes the connection and waits until the descriptor is closed. Packets that were not received are dropped, of which
    /// the peer is told by ECONNRESET; those that were sent can still be received.
    ///
    /// Cancelled: the closing goes on; before the first poll, as dropping the socket.
    ///
    /// # Errors
    /// As close(2); on another worker, where it is closed at home without being waited for.
    pub async fn close(self) -> io::Result<()> {
        self.inner.close().await
    }

    /// Whether messages tell who sent them: see [`Incoming::credentials`] (SO_PASSCRED).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_pass_credentials(&self, on: bool) -> io::Result<()> {
        self.inner.raw.descriptor(|fd| Ok(options::set_socket_passcred(fd, on)?))
    }

    /// The process at the other end, as it was when it connected or began to listen (SO_PEERCRED).
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        self.inner.raw.descriptor(sockopt::peer_credentials)
    }

    /// A descriptor of the process at the other end, which names it for good (SO_PEERPIDFD, Linux 6.5).
    ///
    /// # Errors
    /// ENOPROTOOPT where the kernel lacks it; ESRCH or EINVAL if the process has been reaped.
    pub fn peer_pidfd(&self) -> io::Result<OwnedFd> {
        self.inner.raw.descriptor(|fd| sockopt::descriptor(fd, libc::SOL_SOCKET, SO_PEERPIDFD))
    }

    /// The address of this end.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.inner.raw.descriptor(socket::local)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// ENOTCONN; on another worker.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.inner.raw.descriptor(socket::peer)
    }
}

/// A listening Unix socket of packets, whose path goes with it. Accepting as for [`Listener`](crate::net::Listener).
#[derive(Debug)]
pub struct UnixSeqpacketListener {
    raw: Raw,
    path: Option<Bound>,
}

impl UnixSeqpacketListener {
    /// Listens at a path, which must not exist, or be a socket that nobody answers on any more.
    ///
    /// # Errors
    /// As bind(2) and listen(2), naming the path. Outside of a runtime.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixSeqpacketListener> {
        UnixSeqpacketListener::bind_address(&address(path.as_ref())?, ListenOptions::default())
    }

    /// As [`bind`](Self::bind), to any Unix address, with options.
    ///
    /// # Errors
    /// As for `bind`.
    pub fn bind_address(address: &Address, options: ListenOptions) -> io::Result<UnixSeqpacketListener> {
        let how = Listening { backlog: options.backlog, reuse_port: false };
        let socket = socket::listening_as(address, how, SocketType::SEQPACKET);
        let socket = socket.map_err(|error| naming("listen on", address, error))?;
        let raw = here::with(|core| {
            let handle = core.port.borrow_mut().adopt_as(socket, Kind::Listener, 0);
            Raw { worker: core.id, handle }
        });
        Ok(UnixSeqpacketListener { raw: raw.ok_or_else(here::elsewhere)?, path: address.path().map(Bound) })
    }

    /// Takes the next connection. Cancel safe: one that arrives after the drop waits for the next call.
    ///
    /// # Errors
    /// As [`Listener::accept`](crate::net::Listener::accept).
    pub fn accept(&mut self) -> impl Future<Output = io::Result<UnixSeqpacket>> + use<'_> {
        poll_fn(move |cx| self.poll_accept(cx))
    }

    /// As [`accept`](Self::accept), for futures written by hand.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<UnixSeqpacket>> {
        let Raw { worker, handle } = self.raw;
        here::home_poll(worker, |core| {
            core.poll_handle(cx, handle, Side::Receive, |port, context| port.poll_accept(handle, context))
        })
        .map_ok(|handle| UnixSeqpacket { inner: Datagrams { raw: Raw { worker, handle } } })
    }

    /// Closes the listener and waits until the descriptor is closed: see [`Listener::close`](crate::net::Listener::close), also
    /// for what becomes of connections and for cancelling.
    ///
    /// # Errors
    /// As there.
    pub async fn close(mut self) -> io::Result<()> {
        drop(self.path.take());
        self.raw.closed().await
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.raw.descriptor(socket::local)
    }
}

impl Drop for UnixSeqpacketListener {
    fn drop(&mut self) {
        self.raw.close();
    }
}

/// Descriptors and credentials over a stream of bytes.
impl UnixStream {
    /// Receives bytes with the descriptors and credentials that were sent with them: see [`Incoming`]; nothing received at
    /// the end of the stream. What one call gives ends behind a message with descriptors at the latest.
    ///
    /// Cancel safe: nothing is lost, and `incoming` is empty.
    ///
    /// # Errors
    /// As recvmsg(2). InvalidInput once `recv` or `poll_recv` has been used on this stream: they receive ahead, and the
    /// kernel drops the descriptors of what is received so.
    pub async fn recv_msg(&mut self, incoming: &mut Incoming) -> io::Result<()> {
        let Raw { worker, handle } = self.raw;
        loop {
            let received = here::home_poll(worker, |core| {
                let mut port = core.port.borrow_mut();
                if port.is_receiving(handle) {
                    let why = "the stream has been received from without room for descriptors (recv)";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, why)));
                }
                incoming.receive(&mut port, handle)
            });
            match received {
                Poll::Ready(done) => return done,
                Poll::Pending => self.raw.post(Op::Poll { handle, events: libc::POLLIN })?.await?.result.map(drop)?,
            }
        }
    }

    /// Sends bytes with descriptors and credentials, after what was accepted for sending before: see [`Outgoing`]. There must
    /// be at least one byte, which the descriptors go with.
    ///
    /// Cancelled: a part may have gone out, and the stream should be closed.
    ///
    /// # Errors
    /// As sendmsg(2); InvalidInput without a byte.
    pub async fn send_msg(&mut self, message: &Outgoing<'_>) -> io::Result<()> {
        if message.data.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a stream carries descriptors with bytes only"));
        }
        self.flush().await?;
        let Raw { worker, handle } = self.raw;
        let control = message.control(false, None);
        let mut sent = 0;
        while sent < message.data.len() {
            let control = if sent == 0 { control.as_slice() } else { &[] };
            let rest = &message.data[sent..];
            match here::home_poll(worker, |core| core.port.borrow_mut().try_send_msg(handle, rest, None, control)) {
                Poll::Ready(taken) => sent += taken?,
                Poll::Pending => self.raw.post(Op::Poll { handle, events: libc::POLLOUT })?.await?.result.map(drop)?,
            }
        }
        Ok(())
    }

    /// Whether messages tell who sent them: see [`Incoming::credentials`] (SO_PASSCRED).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_pass_credentials(&self, on: bool) -> io::Result<()> {
        self.raw.descriptor(|fd| Ok(options::set_socket_passcred(fd, on)?))
    }

    /// The process at the other end, as it was when it connected or began to listen (SO_PEERCRED).
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        self.raw.descriptor(sockopt::peer_credentials)
    }

    /// A descriptor of the process at the other end, which names it for good (SO_PEERPIDFD, Linux 6.5).
    ///
    /// # Errors
    /// ENOPROTOOPT where the kernel lacks it; ESRCH or EINVAL if the process has been reaped.
    pub fn peer_pidfd(&self) -> io::Result<OwnedFd> {
        self.raw.descriptor(|fd| sockopt::descriptor(fd, libc::SOL_SOCKET, SO_PEERPIDFD))
    }
}

fn checked(socket: OwnedFd, kind: SocketType) -> io::Result<OwnedFd> {
    let fd = socket.as_fd();
    if options::socket_domain(fd)? != AddressFamily::UNIX || options::socket_type(fd)? != kind {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix socket of this kind"));
    }
    Ok(socket)
}
