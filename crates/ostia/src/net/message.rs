//! Messages with what comes beside their bytes: addresses, traffic class, hop limit, segments, descriptors, credentials.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::Poll;

use ostia_port::{Address, Buffer, Handle, Message, Port};

use crate::net::sockopt;

/// SCM_PIDFD (Linux 6.5).
const SCM_PIDFD: i32 = 4;
/// UDP_SEGMENT and UDP_GRO (udp(7)).
pub(crate) const UDP_SEGMENT: i32 = 103;
pub(crate) const UDP_GRO: i32 = 104;
/// Room for everything that a socket may say of a datagram, descriptors apart.
const CONTROL_ROOM: usize = 256;
/// The most descriptors that one message carries (SCM_MAX_FD).
pub(crate) const RIGHTS_MAX: usize = 253;

/// Explicit congestion notification, the two lowest bits of the traffic class (RFC 3168, section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum Ecn {
    /// The transport can't do it.
    #[default]
    NotCapable = 0,
    /// ECT(1), for low latency (RFC 9331).
    Ect1 = 1,
    /// ECT(0).
    Ect0 = 2,
    /// A router was congested.
    CongestionExperienced = 3,
}

impl Ecn {
    fn of(class: u8) -> Ecn {
        match class & 3 {
            0 => Ecn::NotCapable,
            1 => Ecn::Ect1,
            2 => Ecn::Ect0,
            _ => Ecn::CongestionExperienced,
        }
    }
}

/// The process at the other end of a Unix socket, or that sent a message (unix(7), SO_PEERCRED, SCM_CREDENTIALS).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Credentials {
    /// Its number; 0 if it is not of this PID namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// Room for a message, and then the message. It can be used again and again; nothing is allocated then.
///
/// Descriptors that came with a message and are not [taken](Self::take_descriptors) are closed when the next message is
/// received into the same room, or when this is dropped.
#[derive(Debug, Default)]
pub struct Incoming {
    message: Message,
    whole: usize,
    descriptors: Vec<OwnedFd>,
}

impl Incoming {
    /// Room for a message of at most `bytes` bytes. Descriptors that come with it are dropped by the kernel, and
    /// [`is_control_truncated`](Self::is_control_truncated) says so.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Incoming {
        Incoming { message: *Message::with_capacity(bytes, CONTROL_ROOM), ..Incoming::default() }
    }

    /// As [`with_capacity`](Self::with_capacity), with room for descriptors too, at most 253 in one message.
    #[must_use]
    pub fn with_descriptors(bytes: usize, descriptors: usize) -> Incoming {
        let control = CONTROL_ROOM + descriptors.min(RIGHTS_MAX) * size_of::<i32>();
        Incoming { message: *Message::with_capacity(bytes, control), ..Incoming::default() }
    }

    /// The bytes: the beginning of the message if it was longer than the room.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.message.data
    }

    /// The bytes, taken out. The next receive into this has no room then.
    #[must_use]
    pub fn take_data(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.message.data)
    }

    /// Gives memory to receive into; what is in it is forgotten.
    pub fn set_data(&mut self, mut room: Vec<u8>) {
        room.clear();
        self.message.data = room;
    }

    /// The sender, if it has an address and the socket is not connected to it by a stream.
    #[must_use]
    pub fn from(&self) -> Option<&Address> {
        self.message.peer.as_ref()
    }

    /// How long the message was, which is more than [`data`](Self::data) has if it was truncated.
    #[must_use]
    pub fn whole_len(&self) -> usize {
        self.whole
    }

    /// Whether the message was longer than the room, and its end is lost (MSG_TRUNC).
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.message.flags & libc::MSG_TRUNC != 0
    }

    /// Whether control data had no room: descriptors among it were closed by the kernel (MSG_CTRUNC).
    #[must_use]
    pub fn is_control_truncated(&self) -> bool {
        self.message.flags & libc::MSG_CTRUNC != 0
    }

    fn find(&self, wanted: &[(i32, i32)]) -> Option<&[u8]> {
        self.message.control_messages().find(|(level, kind, _)| wanted.contains(&(*level, *kind))).map(|(_, _, value)| value)
    }

    fn find_int(&self, wanted: &[(i32, i32)]) -> Option<i32> {
        // The traffic class of IPv4 is a byte, others are ints.
        match self.find(wanted)? {
            [byte] => Some((*byte).into()),
            value => value.get(..4)?.try_into().ok().map(i32::from_ne_bytes),
        }
    }

    /// The address that the datagram was sent to (one of this machine, or that of a group or a broadcast), where packet
    /// information was [asked for](crate::net::UdpSocket::set_packet_info).
    #[must_use]
    pub fn local_address(&self) -> Option<IpAddr> {
        if let Some(value) = self.find(&[(libc::IPPROTO_IP, libc::IP_PKTINFO)]) {
            // struct in_pktinfo: interface, local address, address in the header.
            let octets: [u8; 4] = value.get(8..12)?.try_into().ok()?;
            return Some(Ipv4Addr::from(octets).into());
        }
        let value = self.find(&[(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)])?;
        let octets: [u8; 16] = value.get(..16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    }

    /// The number of the interface that the datagram came in by, where packet information was asked for.
    #[must_use]
    pub fn interface(&self) -> Option<u32> {
        if let Some(value) = self.find(&[(libc::IPPROTO_IP, libc::IP_PKTINFO)]) {
            return value.get(..4)?.try_into().ok().map(u32::from_ne_bytes);
        }
        let value = self.find(&[(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)])?;
        value.get(16..20)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The traffic class (TOS) of the datagram, where packet information was asked for.
    #[must_use]
    pub fn traffic_class(&self) -> Option<u8> {
        self.find_int(&[(libc::IPPROTO_IP, libc::IP_TOS), (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)]).map(|class| class as u8)
    }

    /// The congestion notification of the datagram, where packet information was asked for.
    #[must_use]
    pub fn ecn(&self) -> Option<Ecn> {
        self.traffic_class().map(Ecn::of)
    }

    /// How many routers the datagram could still have crossed (TTL), where packet information was asked for.
    #[must_use]
    pub fn ttl(&self) -> Option<u8> {
        self.find_int(&[(libc::IPPROTO_IP, libc::IP_TTL), (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)]).map(|hops| hops as u8)
    }

    /// The length of each datagram but the last, where the kernel has joined several into one (UDP_GRO).
    #[must_use]
    pub fn segment_size(&self) -> Option<usize> {
        self.find_int(&[(libc::SOL_UDP, UDP_GRO)]).and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0)
    }

    /// The datagrams that this message holds: several if the kernel has joined them, else the one.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.segment_size().unwrap_or(usize::MAX);
        let empty = self.message.data.is_empty().then_some(&[][..]);
        self.message.data.chunks(size).chain(empty)
    }

    /// Who sent the message, where that was [asked for](crate::net::UnixDatagram::set_pass_credentials).
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        let value = self.find(&[(libc::SOL_SOCKET, libc::SCM_CREDENTIALS)])?;
        let word = |at: usize| value.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        Some(Credentials { pid: word(0)? as i32, uid: word(4)?, gid: word(8)? })
    }

    /// The descriptors that came with the message, which are the caller's from now on.
    #[must_use]
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// How many descriptors came with the message and were not taken.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.descriptors.len()
    }

    /// Control messages that have no name here, as (level, type, value); see cmsg(3). Values of SCM_RIGHTS are numbers of
    /// descriptors that belong to this message.
    pub fn control(&self) -> impl Iterator<Item = (i32, i32, &[u8])> {
        self.message.control_messages()
    }

    /// Makes it empty again, keeping the room. Descriptors that were not taken are closed.
    pub fn clear(&mut self) {
        self.message.data.clear();
        self.message.control.clear();
        self.message.peer = None;
        self.message.flags = 0;
        self.descriptors.clear();
        self.whole = 0;
    }

    /// Receives at once, if something is there; nothing changes otherwise.
    pub(crate) fn receive(&mut self, port: &mut Port, handle: Handle) -> Poll<io::Result<()>> {
        self.clear();
        if self.message.data.capacity() == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to receive into")));
        }
        let Message { data, control, .. } = &mut self.message;
        let Poll::Ready(arrival) = port.try_recv_msg(handle, data, control, 0)? else { return Poll::Pending };
        self.message.peer = arrival.peer;
        self.message.flags = arrival.flags;
        self.whole = arrival.len;
        for (level, kind, value) in self.message.control_messages() {
            if level == libc::SOL_SOCKET && (kind == libc::SCM_RIGHTS || kind == SCM_PIDFD) {
                // SAFETY: recvmsg(2) has just written these messages, and this is the one look at each.
                unsafe { sockopt::take_descriptors(value, &mut self.descriptors) };
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A message to be sent, with what goes beside its bytes.
#[derive(Debug, Default)]
pub struct Outgoing<'a> {
    pub(crate) data: Buffer,
    pub(crate) to: Option<Address>,
    source: Option<(Option<IpAddr>, u32)>,
    class: Option<u8>,
    ttl: Option<u8>,
    pub(crate) segment: Option<usize>,
    descriptors: Vec<BorrowedFd<'a>>,
    credentials: bool,
}

impl<'a> Outgoing<'a> {
    /// A message of these bytes, to the peer that the socket is connected to.
    pub fn new(data: impl Into<Buffer>) -> Outgoing<'a> {
        Outgoing { data: data.into(), ..Outgoing::default() }
    }

    /// To this address.
    #[must_use]
    pub fn to(mut self, address: impl Into<Address>) -> Outgoing<'a> {
        self.to = Some(address.into());
        self
    }

    /// From this address of the machine (IP_PKTINFO, IPV6_PKTINFO).
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Outgoing<'a> {
        self.source = Some((Some(address), self.source.map_or(0, |(_, interface)| interface)));
        self
    }

    /// By the interface of this number.
    #[must_use]
    pub fn interface(mut self, interface: u32) -> Outgoing<'a> {
        self.source = Some((self.source.and_then(|(address, _)| address), interface));
        self
    }

    /// With this traffic class: the DSCP in the upper six bits, ECN in the lower two.
    #[must_use]
    pub fn traffic_class(mut self, class: u8) -> Outgoing<'a> {
        self.class = Some(class);
        self
    }

    /// With this congestion notification.
    #[must_use]
    pub fn ecn(mut self, ecn: Ecn) -> Outgoing<'a> {
        self.class = Some(self.class.unwrap_or(0) & !3 | ecn as u8);
        self
    }

    /// To cross at most this many routers.
    #[must_use]
    pub fn ttl(mut self, hops: u8) -> Outgoing<'a> {
        self.ttl = Some(hops);
        self
    }

    /// As datagrams of `size` bytes each, the last one perhaps shorter. The kernel or the network card cuts them where it
    /// can (UDP_SEGMENT); elsewhere they are sent one by one. UDP only.
    #[must_use]
    pub fn segments_of(mut self, size: usize) -> Outgoing<'a> {
        self.segment = Some(size);
        self
    }

    /// With copies of these descriptors, at most 253 (SCM_RIGHTS). Unix sockets only.
    #[must_use]
    pub fn descriptors(mut self, descriptors: impl IntoIterator<Item = BorrowedFd<'a>>) -> Outgoing<'a> {
        self.descriptors.extend(descriptors);
        self
    }

    /// With this process's credentials (SCM_CREDENTIALS). Unix sockets only.
    #[must_use]
    pub fn credentials(mut self) -> Outgoing<'a> {
        self.credentials = true;
        self
    }

    /// Whether the control data depends on the socket's family.
    pub(crate) fn needs_family(&self) -> bool {
        self.source.is_some() || self.class.is_some() || self.ttl.is_some()
    }

    /// The bytes, back.
    #[must_use]
    pub fn into_data(self) -> Buffer {
        self.data
    }

    /// The control data, with segments of `segment` bytes.
    pub(crate) fn control(&self, v6: bool, segment: Option<usize>) -> Vec<u8> {
        let mut message = Message::default();
        if let Some((address, interface)) = self.source {
            if v6 {
                let octets = match address {
                    Some(IpAddr::V6(v6)) => v6.octets(),
                    Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
                    None => [0; 16],
                };
                let value: Vec<u8> = octets.into_iter().chain(interface.to_ne_bytes()).collect();
                message.push_control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &value);
            } else {
                let octets = if let Some(IpAddr::V4(v4)) = address { v4.octets() } else { [0; 4] };
                let value: Vec<u8> = interface.to_ne_bytes().into_iter().chain(octets).chain([0; 4]).collect();
                message.push_control(libc::IPPROTO_IP, libc::IP_PKTINFO, &value);
            }
        }
        let int = |value: u8| i32::from(value).to_ne_bytes();
        let (level, class, hops) = match v6 {
            true => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT),
            false => (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL),
        };
        if let Some(value) = self.class {
            message.push_control(level, class, &int(value));
        }
        if let Some(value) = self.ttl {
            message.push_control(level, hops, &int(value));
        }
        if let Some(size) = segment {
            message.push_control(libc::SOL_UDP, UDP_SEGMENT, &(size as u16).to_ne_bytes());
        }
        if !self.descriptors.is_empty() {
            message.push_control(libc::SOL_SOCKET, libc::SCM_RIGHTS, &sockopt::rights(&self.descriptors));
        }
        if self.credentials {
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let value: Vec<u8> = [pid as u32, uid, gid].into_iter().flat_map(u32::to_ne_bytes).collect();
            message.push_control(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &value);
        }
        message.control
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beside_a_message_reads_back() {
        for v6 in [false, true] {
            let address: IpAddr = if v6 { "::1" } else { "127.0.0.9" }.parse().expect("address");
            let out = Outgoing::new("x").from(address).interface(7).traffic_class(0xb8).ecn(Ecn::Ect0).ttl(9);
            let mut back = Incoming::with_capacity(1);
            back.message.control = out.control(v6, None);
            assert_eq!((back.interface(), back.traffic_class(), back.ecn()), (Some(7), Some(0xba), Some(Ecn::Ect0)));
            assert_eq!((back.ttl(), back.local_address().is_some(), back.segment_size()), (Some(9), true, None));
        }
        let mut joined = Incoming::with_capacity(8);
        joined.message.push_control(libc::SOL_UDP, UDP_GRO, &3i32.to_ne_bytes());
        joined.message.data.extend_from_slice(b"abcdefgh");
        assert_eq!(joined.segments().collect::<Vec<_>>(), [&b"abc"[..], b"def", b"gh"]);
        joined.clear();
        assert_eq!(joined.segments().collect::<Vec<_>>(), [&[][..]], "an empty datagram is one");
    }
}
