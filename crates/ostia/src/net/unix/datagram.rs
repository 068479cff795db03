//! Unix sockets of datagrams.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::task::{Context, Poll};

use ostia_port::os::{MSG_TRUNC, OwnedFd};
use ostia_port::{Address, Arrival, Buffer};
use rustix::net::{SocketAddrAny, SocketType, sockopt};

use crate::net::datagram::Datagrams;
use crate::net::failure::naming;
use crate::net::unix::{Bound, address, checked};
use crate::net::{Incoming, Outgoing, socket};

/// Receiving from peers of any family.
impl Datagrams {
    /// Receives into `buffer`'s spare capacity.
    #[inline]
    pub(crate) fn poll_recv(&self, cx: &Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<Arrival>> {
        self.poll_receive(cx, |port, handle| {
            if buffer.capacity() == buffer.len() {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "no room to receive into");
                return Poll::Ready(Err(error));
            }
            port.try_recv_msg(handle, buffer, &mut Vec::new(), 0)
        })
    }

    /// As `poll_recv`; what did not fit is an error.
    #[inline]
    pub(crate) fn poll_recv_whole(&self, cx: &Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<Arrival>> {
        match self.poll_recv(cx, buffer) {
            Poll::Ready(Ok(arrival)) if arrival.flags & MSG_TRUNC != 0 => Poll::Ready(Err(self.cut(arrival.peer.as_ref()))),
            polled => polled,
        }
    }

    pub(crate) async fn recv_whole(&self, mut buffer: Vec<u8>) -> (io::Result<Arrival>, Vec<u8>) {
        let received = poll_fn(|cx| self.poll_recv_whole(cx, &mut buffer)).await;
        (received, buffer)
    }
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
        self.inner.raw.descriptor(|fd| Ok(sockopt::set_socket_passcred(fd, on)?))
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
