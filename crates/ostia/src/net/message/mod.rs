//! Messages with what comes beside their bytes: addresses, traffic class, hop limit, segments; on Unix descriptors and
//! credentials too.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::Poll;

use ostia_port::os::{MSG_CTRUNC, MSG_TRUNC};
use ostia_port::{Address, Buffer, Handle, Message, Port};

pub(crate) use system::{SEGMENT, ask_for_info, join, sends_singly, set_class};
#[cfg(unix)]
pub use unix::Credentials;

/// Room for everything that a socket may say of a datagram, descriptors apart.
pub(crate) const CONTROL_ROOM: usize = 256;

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

/// Room for a message, and then the message. It can be used again and again; nothing is allocated then.
///
/// Descriptors that came with a message and are not taken (`take_descriptors`, on Unix) are closed when the next message is
/// received into the same room, or when this is dropped.
#[derive(Debug, Default)]
pub struct Incoming {
    message: Message,
    whole: usize,
    rights: system::Received,
}

impl Incoming {
    /// Room for a message of at most `bytes` bytes. Descriptors that come with it are dropped by the kernel, and
    /// [`is_control_truncated`](Self::is_control_truncated) says so.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Incoming {
        Incoming { message: *Message::with_capacity(bytes, CONTROL_ROOM), ..Incoming::default() }
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

    /// How long the message was, which is more than [`data`](Self::data) has if it was truncated. Windows doesn't tell how much
    /// more: there it is one byte.
    #[must_use]
    pub fn whole_len(&self) -> usize {
        self.whole
    }

    /// Whether the message was longer than the room, and its end is lost (MSG_TRUNC).
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.message.flags & MSG_TRUNC != 0
    }

    /// Whether control data had no room: descriptors among it were closed by the kernel (MSG_CTRUNC).
    #[must_use]
    pub fn is_control_truncated(&self) -> bool {
        self.message.flags & MSG_CTRUNC != 0
    }

    fn find(&self, wanted: &[(i32, i32)]) -> Option<&[u8]> {
        find(&self.message, wanted)
    }

    fn find_int(&self, wanted: &[(i32, i32)]) -> Option<i32> {
        int_of(self.find(wanted)?)
    }

    /// The address that the datagram was sent to (one of this machine, or that of a group or a broadcast), where packet
    /// information was [asked for](crate::net::UdpSocket::set_packet_info).
    #[must_use]
    pub fn local_address(&self) -> Option<IpAddr> {
        if let Some(value) = self.find(&[system::INFO_V4]) {
            let octets: [u8; 4] = value.get(system::INFO_V4_ADDRESS)?.try_into().ok()?;
            return Some(Ipv4Addr::from(octets).into());
        }
        let value = self.find(&[system::INFO_V6])?;
        let octets: [u8; 16] = value.get(..16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    }

    /// The number of the interface that the datagram came in by, where packet information was asked for.
    #[must_use]
    pub fn interface(&self) -> Option<u32> {
        if let Some(value) = self.find(&[system::INFO_V4]) {
            return value.get(system::INFO_V4_INTERFACE)?.try_into().ok().map(u32::from_ne_bytes);
        }
        let value = self.find(&[system::INFO_V6])?;
        value.get(16..20)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The traffic class (TOS) of the datagram, where packet information was asked for.
    #[must_use]
    pub fn traffic_class(&self) -> Option<u8> {
        self.find_int(&system::CLASSES).map(|class| class as u8)
    }

    /// The congestion notification of the datagram, where packet information was asked for.
    #[must_use]
    pub fn ecn(&self) -> Option<Ecn> {
        self.traffic_class().map(Ecn::of)
    }

    /// How many routers the datagram could still have crossed (TTL), where packet information was asked for; on a network of
    /// Ostia's own stack always.
    #[must_use]
    pub fn ttl(&self) -> Option<u8> {
        ttl(&self.message)
    }

    /// The length of each datagram but the last, where the kernel has joined several into one (UDP_GRO, UDP_COALESCED_INFO).
    #[must_use]
    pub fn segment_size(&self) -> Option<usize> {
        self.find_int(&[system::JOINED]).and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0)
    }

    /// The datagrams that this message holds: several if the kernel has joined them, else the one.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.segment_size().unwrap_or(usize::MAX);
        let empty = self.message.data.is_empty().then_some(&[][..]);
        self.message.data.chunks(size).chain(empty)
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
        self.rights.clear();
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
        self.rights.take_over(&self.message);
        Poll::Ready(Ok(()))
    }
}

fn find<'a>(message: &'a Message, wanted: &[(i32, i32)]) -> Option<&'a [u8]> {
    message.control_messages().find(|(level, kind, _)| wanted.contains(&(*level, *kind))).map(|(_, _, value)| value)
}

fn int_of(value: &[u8]) -> Option<i32> {
    // The traffic class of IPv4 is a byte, others are ints.
    match value {
        [byte] => Some((*byte).into()),
        value => value.get(..4)?.try_into().ok().map(i32::from_ne_bytes),
    }
}

/// The hop limit that a message tells of.
pub(crate) fn ttl(message: &Message) -> Option<u8> {
    int_of(find(message, &system::HOPS)?).map(|hops| hops as u8)
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
    rights: system::Attached<'a>,
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
    /// can (UDP_SEGMENT, UDP_SEND_MSG_SIZE); elsewhere they are sent one by one. UDP only.
    #[must_use]
    pub fn segments_of(mut self, size: usize) -> Outgoing<'a> {
        self.segment = Some(size);
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
                push(&mut message, system::INFO_V6, &value);
            } else {
                let address = if let Some(IpAddr::V4(v4)) = address { v4 } else { Ipv4Addr::UNSPECIFIED };
                push(&mut message, system::INFO_V4, &system::info_v4(address, interface));
            }
        }
        let int = |value: u8| i32::from(value).to_ne_bytes();
        if let Some(value) = self.class {
            push(&mut message, system::class(v6, value), &int(value));
        }
        if let Some(value) = self.ttl {
            push(&mut message, system::HOPS[usize::from(v6)], &int(value));
        }
        if let Some(size) = segment {
            push(&mut message, system::SEGMENT, &system::segment_value(size));
        }
        self.rights.push_to(&mut message);
        message.control
    }
}

fn push(message: &mut Message, (level, kind): (i32, i32), value: &[u8]) {
    message.push_control(level, kind, value);
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
        push(&mut joined.message, system::JOINED, &3i32.to_ne_bytes());
        joined.message.data.extend_from_slice(b"abcdefgh");
        assert_eq!(joined.segments().collect::<Vec<_>>(), [&b"abc"[..], b"def", b"gh"]);
        joined.clear();
        assert_eq!(joined.segments().collect::<Vec<_>>(), [&[0u8; 0][..]], "an empty datagram is one");
    }
}
