//! What the layers above IP give and get: routes, heads, packets, and what ICMP says.

use ostia_wire::Frame;

use crate::Error;
use crate::address::Address;
use crate::ip::link::LinkId;

/// Numbers of protocols over IP.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
}

/// The way to a destination. It is a copy of what was known when it was looked up: [`crate::ip::Ip::is_current`] tells whether
/// that still holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// [`crate::ip::link::LOOPBACK`] for own addresses.
    pub(crate) link: LinkId,
    pub(crate) source: Address,
    pub(crate) next_hop: Address,
    /// The longest IP packet that the path takes, as far as is known.
    pub(crate) mtu: u32,
    pub(crate) gso_max: u32,
    pub(crate) checksum_offload: bool,
    /// Whose path MTU it is.
    pub(super) destination: Address,
    pub(super) generation: u32,
}

/// What an IP header is to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    /// For IPv6 alone: 20 bits.
    pub(crate) flow_label: u32,
    pub(crate) dont_fragment: bool,
}

/// The bytes of an IP header.
pub(crate) struct IpHeader {
    pub(super) bytes: [u8; 40],
    pub(super) len: usize,
}

impl IpHeader {
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A packet for this host.
pub(crate) struct Packet {
    /// From the transport header on, without padding; the IP header is still in the headroom.
    pub(crate) frame: Frame,
    /// How long the IP header and its extension headers are.
    pub(crate) header_len: u16,
    pub(crate) link: LinkId,
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    /// The destination is one of this host's addresses, not a group or all.
    pub(crate) unicast: bool,
}

/// What came of a frame for the layers above.
pub(crate) enum Input {
    /// A packet.
    Packet(Packet),
    /// An error about a packet that was sent.
    Error(Quoted),
    /// Nothing.
    None,
}

/// What an ICMP error says of a packet that this host has sent. Whether that is true is for the transport to judge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quoted {
    pub(crate) protocol: u8,
    pub(crate) local: Address,
    /// The port; of an echo request its identifier.
    pub(crate) local_port: u16,
    pub(crate) remote: Address,
    /// The port; of an echo request its sequence number.
    pub(crate) remote_port: u16,
    /// Of TCP, where the quotation is long enough.
    pub(crate) sequence: Option<u32>,
    pub(crate) what: Icmp,
    pub(crate) link: LinkId,
}

/// What an ICMP error means, in both families.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Icmp {
    /// The packet was longer than this MTU.
    PacketTooBig(u32),
    PortUnreachable,
    HostUnreachable,
    NetworkUnreachable,
    ProtocolUnreachable,
    Prohibited,
    TimeExceeded,
    ParameterProblem,
    /// To be ignored (RFC 6633).
    SourceQuench,
}

impl Icmp {
    /// What a program gets told.
    pub(crate) fn error(self) -> Error {
        match self {
            Icmp::PacketTooBig(_) => Error::MessageTooLong,
            Icmp::PortUnreachable => Error::ConnectionRefused,
            Icmp::HostUnreachable | Icmp::TimeExceeded | Icmp::SourceQuench => Error::HostUnreachable,
            Icmp::NetworkUnreachable => Error::NetworkUnreachable,
            Icmp::ProtocolUnreachable | Icmp::ParameterProblem => Error::ProtocolUnreachable,
            Icmp::Prohibited => Error::PermissionDenied,
        }
    }

    /// Whether trying again is of no use (RFC 1122, 4.2.3.9).
    pub(crate) fn is_hard(self) -> bool {
        matches!(self, Icmp::PortUnreachable | Icmp::ProtocolUnreachable | Icmp::Prohibited)
    }
}

/// Why a packet for this host is refused, for its sender to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Nobody listens on its port.
    Port,
    /// Nobody here knows its protocol.
    Protocol,
    /// It is not wanted.
    #[cfg_attr(not(test), expect(dead_code, reason = "no layer above forbids anything yet"))]
    Prohibited,
}
