//! Sockets that ask hosts whether they are there: ICMP echo requests, which ping(8) sends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use ostia_port::{Address, Arrival, Message, SocketSpec};

use crate::net::datagram::Datagrams;
use crate::net::failure::naming;
use crate::net::message::{CONTROL_ROOM, ask_for_info, ttl};
use crate::net::{Network, socket};

/// The header of an echo message: type, code, checksum, identifier, sequence number (RFC 792; RFC 4443, section 4.1).
const HEADER: usize = 8;
/// The types of a request.
const REQUEST_V4: u8 = 8;
const REQUEST_V6: u8 = 128;

/// The answer to an echo request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EchoReply {
    /// Who has answered.
    pub from: IpAddr,
    /// The number that the request had.
    pub sequence: u16,
    /// How many bytes the request carried, which the answer has brought back.
    pub len: usize,
    /// How many routers the answer could still have crossed (TTL, hop limit), if the network says.
    pub ttl: Option<u8>,
}

/// A socket for ICMP echo requests and the answers to them, of IPv4 or IPv6. The identifier by which the answers find back is
/// the socket's own, so that no two sockets see each other's.
///
/// On the operating system's network it is a "ping socket" (icmp(7)), which Linux has, for the groups that
/// `net.ipv4.ping_group_range` names. One task at a time can wait to receive.
#[derive(Debug)]
pub struct EchoSocket {
    inner: Datagrams,
    /// What comes beside an answer.
    beside: Message,
    v6: bool,
    /// Messages have their header, as the kernel gives and takes them.
    headed: bool,
}

impl EchoSocket {
    /// Makes a socket on the [current](Network::current) network, for hosts with addresses like this one's: of its family.
    ///
    /// # Errors
    /// PermissionDenied where the kernel allows none to this user, and Unsupported where it has none, both with what to do; as
    /// socket(2). Outside of a runtime.
    pub fn open(like: IpAddr) -> io::Result<EchoSocket> {
        let v6 = like.is_ipv6();
        let beside = *Message::with_capacity(0, CONTROL_ROOM);
        if let Some(raw) = Network::current().carrier.open(SocketSpec::Echo { v6 })? {
            return Ok(EchoSocket { inner: Datagrams { raw }, beside, v6, headed: false });
        }
        let inner = Datagrams::adopt(socket::echo(v6)?)?;
        inner.raw.descriptor(|fd| ask_for_info(fd, v6, true))?;
        Ok(EchoSocket { inner, beside, v6, headed: true })
    }

    /// Sends a request with a number of the caller's and a payload, which the answer will have too.
    ///
    /// Cancelled: nothing was sent.
    ///
    /// # Errors
    /// As sendto(2), naming the host: EMSGSIZE past 65,507 bytes over IPv4, ENETUNREACH. InvalidInput for an address of the other
    /// family. Errors that a router has reported of an earlier request.
    pub async fn send_to(&self, payload: &[u8], to: IpAddr, sequence: u16) -> io::Result<()> {
        if to.is_ipv6() != self.v6 {
            let why = io::Error::new(io::ErrorKind::InvalidInput, "the socket is of the other family");
            return Err(naming("ask", to, why));
        }
        if !self.headed {
            let to = Address::from(SocketAddr::new(to, sequence));
            return self.inner.send(payload, Some(&to), &[]).await;
        }
        // The kernel fills in the checksum, and the identifier.
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend_from_slice(&[if self.v6 { REQUEST_V6 } else { REQUEST_V4 }, 0, 0, 0, 0, 0]);
        message.extend_from_slice(&sequence.to_be_bytes());
        message.extend_from_slice(payload);
        self.inner.send(&message, Some(&Address::from(SocketAddr::new(to, 0))), &[]).await
    }

    /// Receives an answer, appending its payload to `buffer`, whose spare capacity must have room for it and 8 bytes more. Gives
    /// the buffer back.
    ///
    /// Cancelled: the buffer is lost, no answer is.
    ///
    /// # Errors
    /// As recvfrom(2): EMSGSIZE if there was too little room, and the rest of that answer is lost; EHOSTUNREACH and its like
    /// where a router, or this host, has told of a request that it could not be delivered.
    pub async fn recv_from(&mut self, mut buffer: Vec<u8>) -> (io::Result<EchoReply>, Vec<u8>) {
        let received = std::future::poll_fn(|cx| self.poll_recv_from(cx, &mut buffer)).await;
        (received, buffer)
    }

    /// As [`recv_from`](Self::recv_from), for futures written by hand: appends to `buffer` when it is ready, and only then.
    pub fn poll_recv_from(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<EchoReply>> {
        loop {
            let before = buffer.len();
            if buffer.capacity() == before {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to receive into")));
            }
            let control = &mut self.beside.control;
            control.clear();
            let received = self.inner.poll_receive(cx, |port, handle| port.try_recv_msg(handle, buffer, control, 0));
            let Poll::Ready(Arrival { len, peer, .. }) = received? else { return Poll::Pending };
            if len > buffer.len() - before {
                return Poll::Ready(Err(self.inner.cut(peer.as_ref())));
            }
            // An answer always has a sender.
            let Some(from) = peer.and_then(|peer| peer.ip()) else {
                buffer.truncate(before);
                continue;
            };
            let ttl = ttl(&self.beside);
            if !self.headed {
                return Poll::Ready(Ok(EchoReply { from: from.ip(), sequence: from.port(), len, ttl }));
            }
            let header = buffer[before..].first_chunk::<HEADER>().copied();
            match header {
                Some([_, _, _, _, _, _, high, low]) => {
                    buffer.drain(before..before + HEADER);
                    let sequence = u16::from_be_bytes([high, low]);
                    return Poll::Ready(Ok(EchoReply { from: from.ip(), sequence, len: len - HEADER, ttl }));
                }
                // The kernel lets nothing through that is no answer. If it does, it is nobody's.
                None => buffer.truncate(before),
            }
        }
    }

    /// Whether it is one for IPv6.
    #[must_use]
    pub fn is_v6(&self) -> bool {
        self.v6
    }

    /// Closes the socket and waits until that is done. Cancelled: the closing goes on; before the first poll, as dropping it.
    ///
    /// # Errors
    /// As close(2); on another worker, where it is closed at home without being waited for.
    pub async fn close(self) -> io::Result<()> {
        self.inner.close().await
    }
}
