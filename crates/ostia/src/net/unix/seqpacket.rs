//! Unix sockets of packets: connections whose messages keep their boundaries.

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::path::Path;
use std::task::{Context, Poll};

use ostia_port::os::OwnedFd;
use ostia_port::{Address, Buffer, Kind, Op};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt as options};

use crate::here;
use crate::net::datagram::Datagrams;
use crate::net::failure::naming;
use crate::net::message::Credentials;
use crate::net::raw::Raw;
use crate::net::socket::{self, Listening};
use crate::net::unix::{Bound, PEER_PIDFD, address, checked};
use crate::net::{Incoming, ListenOptions, Outgoing, sockopt};
use crate::worker::Side;

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
    /// As for [`UnixDatagram::send_msg`](crate::net::UnixDatagram::send_msg).
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
        self.inner.raw.descriptor(|fd| sockopt::descriptor(fd, PEER_PIDFD))
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
