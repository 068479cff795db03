//! UDP sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use ostia_port::os::{AsFd, OwnedFd};
use ostia_port::{Address, Buffer, SocketOption, SocketSpec};
use rustix::net::{SocketAddrAny, sockopt};

use crate::net::carrier::Carrier;
use crate::net::datagram::Datagrams;
use crate::net::failure::naming;
use crate::net::message::{ask_for_info, join, set_class};
use crate::net::{Incoming, Network, Outgoing, socket};

/// How a UDP socket is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UdpOptions {
    /// Whether other sockets may be bound to the same address, if all of them say so; needed by several receivers of one
    /// multicast group (SO_REUSEADDR). Default no.
    pub reuse_address: bool,
    /// As `reuse_address`, the kernel spreading unicast datagrams over the sockets by their senders (SO_REUSEPORT).
    /// Default no.
    pub reuse_port: bool,
    /// Whether an IPv6 socket takes IPv4 too, as addresses of the form `::ffff:192.0.2.1`. Default no.
    pub dual_stack: bool,
}

/// A UDP socket.
///
/// Datagrams wait in the kernel, or on the socket's handle (below), until a call takes them into the caller's own memory: no
/// future owns one before it is ready, so dropping a receive at any await loses no datagram, whatever the kernel drops when
/// its receive buffer is full. An idle socket holds no memory for receiving.
///
/// On io_uring, once [`recv`](Self::recv) or [`recv_from`](Self::recv_from) has had to wait, the worker receives ahead by one
/// request that repeats itself, up to [`unread_max`](crate::Config::unread_max) bytes (each datagram counting 256 at least).
/// Where the same socket is read by others than this object, as after `from_std` of a duplicate, that takes datagrams away
/// from them: receive by [`recv_msg`](Self::recv_msg), which never does.
///
/// One task at a time can wait to receive: the last one that asked is told. For several, [`try_clone`](Self::try_clone).
/// Any number of tasks can wait to send.
///
/// It may be sent to other threads; used on another than its worker, every call fails and says so.
#[derive(Debug)]
pub struct UdpSocket {
    inner: Datagrams,
    /// Datagrams may come joined, which only `recv_msg` can tell.
    joined: AtomicBool,
}

impl UdpSocket {
    /// Binds a socket on the [current](Network::current) network; port 0 picks a free one. IPv6 sockets take IPv6 only.
    ///
    /// # Errors
    /// As bind(2), naming the address: in use, not local, no permission, no descriptor. Outside of a runtime.
    pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::bind_with(address, UdpOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// As for `bind`.
    pub fn bind_with(address: SocketAddr, options: UdpOptions) -> io::Result<UdpSocket> {
        UdpSocket::bind_on(Network::current().carrier, address, options)
    }

    /// Binds a socket of this carrier.
    pub(crate) fn bind_on(carrier: Carrier, address: SocketAddr, options: UdpOptions) -> io::Result<UdpSocket> {
        if let Some(raw) =
            carrier.open(SocketSpec::Datagram { local: address }).map_err(|error| naming("bind", address, error))?
        {
            return Ok(UdpSocket { inner: Datagrams { raw }, joined: AtomicBool::new(false) });
        }
        UdpSocket::adopt(socket::datagrams(address, options).map_err(|error| naming("bind", address, error))?)
    }

    /// Takes over a socket of the standard library's, for this worker.
    ///
    /// # Errors
    /// Outside of a runtime.
    pub fn from_std(socket: StdUdpSocket) -> io::Result<UdpSocket> {
        UdpSocket::adopt(socket.into())
    }

    fn adopt(socket: OwnedFd) -> io::Result<UdpSocket> {
        socket::tell_refusals(socket.as_fd());
        Ok(UdpSocket { inner: Datagrams::adopt(socket)?, joined: AtomicBool::new(false) })
    }

    /// The same socket once more, for another task of this worker: both receive from one queue, each datagram goes to one
    /// of them. Nothing is received ahead any more; what was stays with this one.
    ///
    /// # Errors
    /// When there is no descriptor left; on another worker.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        let joined = AtomicBool::new(self.joined.load(Ordering::Relaxed));
        Ok(UdpSocket { inner: self.inner.try_clone()?, joined })
    }

    /// Closes the socket and waits until the descriptor is closed: then the address can be bound again, unless a
    /// [clone](Self::try_clone) has it still. Datagrams that were not received are dropped; what was sent is on its way.
    ///
    /// Cancelled: the closing goes on; before the first poll, as dropping the socket.
    ///
    /// # Errors
    /// As close(2); on another worker, where it is closed at home without being waited for.
    pub async fn close(self) -> io::Result<()> {
        self.inner.close().await
    }

    /// Sets the peer that [`send`](Self::send) sends to and that alone is received from. Can be called again. Errors that
    /// the peer's host reports (port unreachable) then come out of later calls as ECONNREFUSED.
    ///
    /// # Errors
    /// As connect(2), naming the address.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        let connected = match self.inner.raw.is_engines() {
            true => self.inner.raw.connect_datagrams(peer),
            false => self.inner.raw.descriptor(|fd| {
                rustix::net::connect(fd, &peer)?;
                socket::tell_refusals(fd);
                Ok(())
            }),
        };
        connected.map_err(|error| naming("connect to", peer, error))
    }

    /// Undoes [`connect`](Self::connect): datagrams of all peers are received again.
    ///
    /// # Errors
    /// As connect(2).
    pub fn disconnect(&self) -> io::Result<()> {
        self.inner.raw.descriptor(socket::disconnect)
    }

    fn check_single(&self) -> io::Result<()> {
        if self.joined.load(Ordering::Relaxed) {
            let why = "datagrams may come joined (set_receive_offload): only recv_msg can take them apart";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(())
    }

    /// Receives a datagram into the spare capacity of `buffer`, appending; gives it back with the number of bytes, which may
    /// be 0.
    ///
    /// Cancelled: the buffer is lost, no datagram is. In a loop that drops its receives use [`recv_msg`](Self::recv_msg).
    ///
    /// # Errors
    /// ECONNREFUSED on a connected socket whose peer's port is closed. EMSGSIZE for a datagram longer than the room, of
    /// which the buffer then holds the beginning; the rest is lost. InvalidInput without room.
    pub async fn recv(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if let Err(error) = self.check_single() {
            return (Err(error), buffer);
        }
        let (received, buffer) = self.inner.recv_ip(buffer).await;
        (received.map(|(len, _)| len), buffer)
    }

    /// As [`recv`](Self::recv), with the sender's address. In a loop that drops its receives, as one around a `select!` does,
    /// use [`recv_msg`](Self::recv_msg) instead, which leaves the memory with the caller, or
    /// [`poll_recv_from`](Self::poll_recv_from): this call gives its buffer back only if it is awaited to its end.
    ///
    /// Cancelled: the buffer is lost, no datagram is.
    ///
    /// # Errors
    /// As there.
    pub async fn recv_from(&mut self, buffer: Vec<u8>) -> (io::Result<(usize, SocketAddr)>, Vec<u8>) {
        if let Err(error) = self.check_single() {
            return (Err(error), buffer);
        }
        self.inner.recv_ip(buffer).await
    }

    /// As [`recv_from`](Self::recv_from), for futures written by hand: appends to `buffer` when it is ready, and only then.
    pub fn poll_recv_from(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.check_single()?;
        self.inner.poll_recv_ip(cx, buffer)
    }

    /// As [`recv`](Self::recv), for futures written by hand: appends to `buffer` when it is ready, and only then.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.check_single()?;
        self.inner.poll_recv_ip(cx, buffer).map_ok(|(len, _)| len)
    }

    /// Receives a message with what comes beside it: see [`Incoming`]. One longer than the room is no error here, but
    /// [`is_truncated`](Incoming::is_truncated).
    ///
    /// Cancel safe: no datagram is lost, and `incoming` is empty.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), but for EMSGSIZE.
    pub async fn recv_msg(&mut self, incoming: &mut Incoming) -> io::Result<()> {
        std::future::poll_fn(|cx| self.inner.poll_recv_msg(cx, incoming)).await
    }

    /// As [`recv_msg`](Self::recv_msg), for futures written by hand.
    pub fn poll_recv_msg(&mut self, cx: &mut Context<'_>, incoming: &mut Incoming) -> Poll<io::Result<()>> {
        self.inner.poll_recv_msg(cx, incoming)
    }

    /// Sends a datagram to the peer that the socket is [connected](Self::connect) to and gives the buffer back; done when
    /// the kernel has it, at once if there is room.
    ///
    /// Cancelled: nothing was sent, and the buffer is dropped.
    ///
    /// # Errors
    /// As send(2), naming the peer: EMSGSIZE, ENETUNREACH, EPERM; ECONNREFUSED for an earlier datagram.
    pub async fn send(&self, data: impl Into<Buffer>) -> (io::Result<()>, Buffer) {
        self.inner.send_buffer(data.into(), None).await
    }

    /// Sends a datagram to an address; else as [`send`](Self::send). Cancelling as there.
    ///
    /// # Errors
    /// As there.
    pub async fn send_to(&self, data: impl Into<Buffer>, to: SocketAddr) -> (io::Result<()>, Buffer) {
        let to = Address::from(to);
        self.inner.send_buffer(data.into(), Some(&to)).await
    }

    /// Sends a datagram to an address with the worker's next system call, together with all others that are posted in this
    /// turn: for servers that answer many peers. The bytes are copied; past 256 datagrams or 256 KiB a turn they go out by calls
    /// of their own. One that can't be sent (no room, no route, too long) is lost without a word, as the network itself may
    /// lose it, and several keep no order.
    ///
    /// # Errors
    /// On another worker.
    pub fn post_to(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.inner.post(data, Some(to))
    }

    /// As [`post_to`](Self::post_to), to the peer that the socket is [connected](Self::connect) to.
    ///
    /// # Errors
    /// As there.
    pub fn post(&self, data: &[u8]) -> io::Result<()> {
        self.inner.post(data, None)
    }

    /// Sends a datagram at once, or not.
    ///
    /// # Errors
    /// WouldBlock if the send buffer has no room; else as for [`send_to`](Self::send_to).
    pub fn try_send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        match self.inner.try_send(data, Some(&Address::from(to)), &[]) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// As [`try_send_to`](Self::try_send_to), to the peer that the socket is [connected](Self::connect) to.
    ///
    /// # Errors
    /// WouldBlock if the send buffer has no room; else as for [`send`](Self::send): EDESTADDRREQ without a peer.
    pub fn try_send(&self, data: &[u8]) -> io::Result<()> {
        match self.inner.try_send(data, None, &[]) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// As [`send_to`](Self::send_to), for futures written by hand. Of several tasks that poll, the last one that asked is
    /// told.
    pub fn poll_send_to(&mut self, cx: &mut Context<'_>, data: &[u8], to: SocketAddr) -> Poll<io::Result<()>> {
        self.inner.poll_send(cx, data, Some(&Address::from(to)))
    }

    /// As [`send`](Self::send), for futures written by hand. Of several tasks that poll, the last one that asked is told.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<()>> {
        self.inner.poll_send(cx, data, None)
    }

    /// Sends a message with what goes beside it: see [`Outgoing`].
    ///
    /// Cancelled: nothing was sent; of one in [segments](Outgoing::segments_of) some may have been.
    ///
    /// # Errors
    /// As for [`send`](Self::send); EINVAL for control data that this socket or kernel doesn't know.
    pub async fn send_msg(&self, message: &Outgoing<'_>) -> io::Result<()> {
        self.inner.send_msg(message).await
    }

    /// The address that the socket is bound to; with port 0 asked for, the port that the kernel has chosen.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.raw.local().and_then(ip)
    }

    /// The peer that the socket is connected to.
    ///
    /// # Errors
    /// ENOTCONN; on another worker.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.raw.peer().and_then(ip)
    }
}

fn ip(address: Address) -> io::Result<SocketAddr> {
    let any = SocketAddrAny::from(address);
    SocketAddr::try_from(any).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not an IP address"))
}

/// Socket options. Each fails on another worker, and with ENOPROTOOPT where the socket has no such thing.
impl UdpSocket {
    fn is_v6(&self) -> io::Result<bool> {
        self.inner.raw.descriptor(socket::is_v6)
    }

    /// Whether [`recv_msg`](Self::recv_msg) tells the address and interface that a datagram came to, its traffic class and
    /// its hop limit (IP_PKTINFO, IP_RECVTOS, IP_RECVTTL and their like of IPv6).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_packet_info(&self, on: bool) -> io::Result<()> {
        let v6 = self.is_v6()?;
        self.inner.raw.descriptor(|fd| ask_for_info(fd, v6, on))
    }

    /// Lets the kernel join datagrams of one sender and length into one message, which [`recv_msg`](Self::recv_msg) then
    /// tells apart by [`segments`](Incoming::segments); give it 64 KiB of room (UDP_GRO, Linux 5.0;
    /// UDP_RECV_MAX_COALESCED_SIZE, Windows 10 2004). Whether the kernel can.
    ///
    /// # Errors
    /// As setsockopt(2), but for a kernel that doesn't know this.
    pub fn set_receive_offload(&self, on: bool) -> io::Result<bool> {
        let can = self.inner.raw.descriptor(|fd| join(fd, on))?;
        if can {
            self.joined.store(on, Ordering::Relaxed);
        }
        Ok(can)
    }

    /// Whether datagrams may be sent to broadcast addresses (SO_BROADCAST). Default no.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.inner.raw.descriptor(|fd| Ok(sockopt::set_socket_broadcast(fd, on)?))
    }

    /// What [`set_broadcast`](Self::set_broadcast) has set.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn broadcast(&self) -> io::Result<bool> {
        self.inner.raw.descriptor(|fd| Ok(sockopt::socket_broadcast(fd)?))
    }

    /// How many routers a datagram may cross, 1 to 255 (IP_TTL, IPV6_UNICAST_HOPS).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_ttl(&self, hops: u8) -> io::Result<()> {
        let v6 = self.is_v6()?;
        self.inner.raw.descriptor(|fd| match v6 {
            true => Ok(sockopt::set_ipv6_unicast_hops(fd, Some(hops))?),
            false => Ok(sockopt::set_ip_ttl(fd, hops.into())?),
        })
    }

    /// What [`set_ttl`](Self::set_ttl) has set, or the system's default.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn ttl(&self) -> io::Result<u8> {
        let v6 = self.is_v6()?;
        self.inner.raw.descriptor(|fd| match v6 {
            true => Ok(sockopt::ipv6_unicast_hops(fd)?),
            false => Ok(sockopt::ip_ttl(fd)? as u8),
        })
    }

    /// The traffic class of what is sent: DSCP in the upper six bits, ECN in the lower two (IP_TOS, IPV6_TCLASS). Windows leaves the DSCP
    /// to its policies: it takes this and may ignore it.
    ///
    /// # Errors
    /// As setsockopt(2): ENOPROTOOPT on Windows for IPv6.
    pub fn set_traffic_class(&self, class: u8) -> io::Result<()> {
        let v6 = self.is_v6()?;
        self.inner.raw.descriptor(|fd| set_class(fd, v6, class))
    }

    /// Receives what is sent to a group, on the interface with this address; unspecified: the system chooses
    /// (IP_ADD_MEMBERSHIP).
    ///
    /// # Errors
    /// As setsockopt(2): EADDRINUSE if it is a member already, ENODEV without a route for groups.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        let joined = self.inner.raw.descriptor(|fd| Ok(sockopt::set_ip_add_membership(fd, &group, &interface)?));
        joined.map_err(|error| naming("join the group", group, error))
    }

    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4) (IP_DROP_MEMBERSHIP).
    ///
    /// # Errors
    /// As setsockopt(2): EADDRNOTAVAIL if it is no member.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        let left = self.inner.raw.descriptor(|fd| Ok(sockopt::set_ip_drop_membership(fd, &group, &interface)?));
        left.map_err(|error| naming("leave the group", group, error))
    }

    /// Receives what is sent to a group, on the interface of this number; 0: the system chooses (IPV6_JOIN_GROUP).
    ///
    /// # Errors
    /// As for [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        let joined = self.inner.raw.descriptor(|fd| Ok(sockopt::set_ipv6_add_membership(fd, &group, interface)?));
        joined.map_err(|error| naming("join the group", group, error))
    }

    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6) (IPV6_LEAVE_GROUP).
    ///
    /// # Errors
    /// As for [`leave_multicast_v4`](Self::leave_multicast_v4).
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        let left = self.inner.raw.descriptor(|fd| Ok(sockopt::set_ipv6_drop_membership(fd, &group, interface)?));
        left.map_err(|error| naming("leave the group", group, error))
    }

    /// Whether groups' members on this machine receive what this socket sends (IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP).
    /// Default yes.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_multicast_loop(&self, on: bool) -> io::Result<()> {
        let v6 = self.is_v6()?;
        self.inner.raw.descriptor(|fd| match v6 {
            true => Ok(sockopt::set_ipv6_multicast_loop(fd, on)?),
            false => Ok(sockopt::set_ip_multicast_loop(fd, on)?),
        })
    }

    /// How many routers what is sent to a group may cross (IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS). Default 1.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_multicast_ttl(&self, hops: u8) -> io::Result<()> {
        let v6 = self.is_v6()?;
        self.inner.raw.descriptor(|fd| match v6 {
            true => Ok(sockopt::set_ipv6_multicast_hops(fd, hops.into())?),
            false => Ok(sockopt::set_ip_multicast_ttl(fd, hops.into())?),
        })
    }

    /// By which interface an IPv4 socket sends to groups, by its address (IP_MULTICAST_IF).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_multicast_interface_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        self.inner.raw.descriptor(|fd| Ok(sockopt::set_ip_multicast_if(fd, &interface)?))
    }

    /// By which interface an IPv6 socket sends to groups, by its number (IPV6_MULTICAST_IF).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_multicast_interface_v6(&self, interface: u32) -> io::Result<()> {
        self.inner.raw.descriptor(|fd| Ok(sockopt::set_ipv6_multicast_if(fd, interface)?))
    }

    /// The kernel's receive buffer in bytes; Linux doubles it and bounds it by `net.core.rmem_max` (SO_RCVBUF). What comes
    /// when it is full is dropped.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        let option = SocketOption::ReceiveBuffer(bytes);
        self.inner.raw.set(option, |fd| Ok(sockopt::set_socket_recv_buffer_size(fd, bytes)?))
    }

    /// The kernel's receive buffer in bytes.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.inner.raw.descriptor(|fd| Ok(sockopt::socket_recv_buffer_size(fd)?))
    }

    /// The kernel's send buffer in bytes; Linux doubles it and bounds it by `net.core.wmem_max` (SO_SNDBUF).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.inner.raw.descriptor(|fd| Ok(sockopt::set_socket_send_buffer_size(fd, bytes)?))
    }

    /// The kernel's send buffer in bytes.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.inner.raw.descriptor(|fd| Ok(sockopt::socket_send_buffer_size(fd)?))
    }
}
