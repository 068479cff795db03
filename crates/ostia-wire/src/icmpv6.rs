//! ICMPv6 (RFC 4443).

use core::net::Ipv6Addr;

use crate::checksum;
use crate::icmp::{self, Header, original, two};
use crate::malformed::Malformed;
use crate::protocol;

/// Octets of the header: type, code, checksum, and four that each message uses in its own way.
pub const HEADER_LEN: usize = icmp::HEADER_LEN;

/// The length of what is quoted stands in the first octet behind the checksum, in units of so many octets (RFC 4884, 4).
const ORIGINAL_UNIT: usize = 8;

/// Types of messages, as IANA has them.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query (RFC 2710, RFC 3810).
    pub const MLD_QUERY: u8 = 130;
    /// Multicast listener report (RFC 2710).
    pub const MLD_REPORT_V1: u8 = 131;
    /// Multicast listener done (RFC 2710).
    pub const MLD_DONE: u8 = 132;
    /// Router solicitation (RFC 4861, 4.1).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement (RFC 4861, 4.2).
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation (RFC 4861, 4.3).
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement (RFC 4861, 4.4).
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Redirect (RFC 4861, 4.5).
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report, version 2 (RFC 3810, 5.2).
    pub const MLD_REPORT_V2: u8 = 143;
}

/// Codes of "destination unreachable" (RFC 4443, 3.1).
pub mod unreachable {
    /// No route.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by a filter.
    pub const PROHIBITED: u8 = 1;
    /// Beyond the scope of the source address.
    pub const BEYOND_SCOPE: u8 = 2;
    /// The address does not answer.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens at the port.
    pub const PORT: u8 = 4;
    /// The source address failed a policy.
    pub const SOURCE_POLICY: u8 = 5;
    /// The route rejects it.
    pub const REJECT_ROUTE: u8 = 6;
}

/// Code of "time exceeded": in transit.
pub const HOPS_EXCEEDED: u8 = 0;
/// Code of "time exceeded": while fragments were waited for.
pub const REASSEMBLY_EXCEEDED: u8 = 1;

/// An ICMPv6 message.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6<'a> {
    header: &'a Header,
    bytes: &'a [u8],
}

/// What an ICMPv6 message says. `quoted` is the start of the packet that an error is about, for
/// [`Quote::v6`](crate::Quote::v6). Neighbour discovery and listener discovery have readers of their own:
/// [`NdpMessage`](crate::NdpMessage) and [`MldMessage`](crate::MldMessage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv6Message<'a> {
    /// A packet could not be delivered.
    Unreachable {
        /// Why: see [`mod@unreachable`].
        code: u8,
        /// The packet.
        quoted: &'a [u8],
    },
    /// A packet was longer than the MTU of the next link.
    PacketTooBig {
        /// That MTU in octets.
        mtu: u32,
        /// The packet.
        quoted: &'a [u8],
    },
    /// A packet took too many hops, or its fragments too long.
    TimeExceeded {
        /// [`HOPS_EXCEEDED`] or [`REASSEMBLY_EXCEEDED`].
        code: u8,
        /// The packet.
        quoted: &'a [u8],
    },
    /// A header was wrong.
    ParameterProblem {
        /// Why: see [`Report::code`](crate::ipv6_extensions::Report::code).
        code: u8,
        /// The octet that is wrong.
        pointer: u32,
        /// The packet.
        quoted: &'a [u8],
    },
    /// Asks for an answer.
    EchoRequest {
        /// Who asks, of those on the host.
        identifier: u16,
        /// Which request.
        sequence: u16,
        /// What is to come back.
        data: &'a [u8],
    },
    /// The answer.
    EchoReply {
        /// As in the request.
        identifier: u16,
        /// As in the request.
        sequence: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// Any other. Types below 128 are errors, all others information (RFC 4443, 2.1).
    Other {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// What is behind type, code and checksum.
        body: &'a [u8],
    },
}

impl<'a> Icmpv6<'a> {
    /// Reads a message. The checksum is checked by [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn parse(bytes: &'a [u8]) -> Result<Icmpv6<'a>, Malformed> {
        let header = Header::of(bytes)?;
        Ok(Icmpv6 { header, bytes })
    }

    /// The type.
    pub fn kind(&self) -> u8 {
        self.header.kind
    }

    /// The code.
    pub fn code(&self) -> u8 {
        self.header.code
    }

    /// What is behind type, code and checksum.
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(4..).unwrap_or_default()
    }

    /// What is behind the first eight octets.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Whether the checksum is right between these addresses.
    pub fn verify_checksum(&self, source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        checksum::transport(self.bytes, protocol::ICMPV6, source.into(), destination.into()) == 0
    }

    /// Whether it is about another packet; about such messages none is sent (RFC 4443, 2.4 e.1).
    pub fn is_error(&self) -> bool {
        self.header.kind < 128
    }

    /// What it says.
    pub fn message(&self) -> Icmpv6Message<'a> {
        let code = self.header.code;
        let word = u32::from_be_bytes(self.header.rest);
        let (identifier, sequence) = ((word >> 16) as u16, word as u16);
        let rest = self.payload();
        match self.header.kind {
            kind::UNREACHABLE => Icmpv6Message::Unreachable { code, quoted: original(self.header.rest[0], ORIGINAL_UNIT, rest) },
            kind::PACKET_TOO_BIG => Icmpv6Message::PacketTooBig { mtu: word, quoted: rest },
            kind::TIME_EXCEEDED => {
                Icmpv6Message::TimeExceeded { code, quoted: original(self.header.rest[0], ORIGINAL_UNIT, rest) }
            }
            kind::PARAMETER_PROBLEM => Icmpv6Message::ParameterProblem { code, pointer: word, quoted: rest },
            kind::ECHO_REQUEST => Icmpv6Message::EchoRequest { identifier, sequence, data: rest },
            kind::ECHO_REPLY => Icmpv6Message::EchoReply { identifier, sequence, data: rest },
            kind => Icmpv6Message::Other { kind, code, body: self.body() },
        }
    }
}

/// What to write into the header of an ICMPv6 message; data or the quoted packet follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmpv6Emit {
    /// The type: see [`kind`].
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The four octets behind the checksum.
    pub rest: [u8; 4],
}

impl Icmpv6Emit {
    /// An echo request.
    pub fn echo_request(identifier: u16, sequence: u16) -> Icmpv6Emit {
        Icmpv6Emit { kind: kind::ECHO_REQUEST, code: 0, rest: two(identifier, sequence) }
    }

    /// An echo reply.
    pub fn echo_reply(identifier: u16, sequence: u16) -> Icmpv6Emit {
        Icmpv6Emit { kind: kind::ECHO_REPLY, code: 0, rest: two(identifier, sequence) }
    }

    /// "Destination unreachable", for a code of [`mod@unreachable`].
    pub fn unreachable(code: u8) -> Icmpv6Emit {
        Icmpv6Emit { kind: kind::UNREACHABLE, code, rest: [0; 4] }
    }

    /// "Packet too big" with the MTU of the next hop.
    pub fn packet_too_big(mtu: u32) -> Icmpv6Emit {
        Icmpv6Emit { kind: kind::PACKET_TOO_BIG, code: 0, rest: mtu.to_be_bytes() }
    }

    /// "Time exceeded", for [`HOPS_EXCEEDED`] or [`REASSEMBLY_EXCEEDED`].
    pub fn time_exceeded(code: u8) -> Icmpv6Emit {
        Icmpv6Emit { kind: kind::TIME_EXCEEDED, code, rest: [0; 4] }
    }

    /// "Parameter problem" at an octet; the codes are those of [`Report`](crate::ipv6_extensions::Report).
    pub fn parameter_problem(code: u8, pointer: u32) -> Icmpv6Emit {
        Icmpv6Emit { kind: kind::PARAMETER_PROBLEM, code, rest: pointer.to_be_bytes() }
    }

    /// Writes the header to the first [`HEADER_LEN`] bytes of a message whose other bytes stand already, with the checksum of
    /// all.
    ///
    /// # Panics
    /// If `message` is shorter than the header.
    pub fn emit(&self, message: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr) {
        Header::put(self.kind, self.code, self.rest, message);
        finish_checksum(message, source, destination);
    }
}

/// Sets the checksum of a message between these addresses. The field may hold anything before.
///
/// # Panics
/// If there is less than type, code and checksum.
pub fn finish_checksum(message: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr) {
    message[2..4].fill(0);
    let value = checksum::transport(message, protocol::ICMPV6, source.into(), destination.into());
    message[2..4].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_reads_as_it_was_written() {
        let (a, b): (Ipv6Addr, Ipv6Addr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let quoted = &b"packet"[..];
        for (emit, message) in [
            (Icmpv6Emit::echo_request(7, 9), Icmpv6Message::EchoRequest { identifier: 7, sequence: 9, data: quoted }),
            (Icmpv6Emit::echo_reply(7, 9), Icmpv6Message::EchoReply { identifier: 7, sequence: 9, data: quoted }),
            (Icmpv6Emit::unreachable(4), Icmpv6Message::Unreachable { code: 4, quoted }),
            (Icmpv6Emit::packet_too_big(1400), Icmpv6Message::PacketTooBig { mtu: 1400, quoted }),
            (Icmpv6Emit::time_exceeded(1), Icmpv6Message::TimeExceeded { code: 1, quoted }),
            (Icmpv6Emit::parameter_problem(2, 42), Icmpv6Message::ParameterProblem { code: 2, pointer: 42, quoted }),
            (
                Icmpv6Emit { kind: 200, code: 1, rest: [9; 4] },
                Icmpv6Message::Other { kind: 200, code: 1, body: b"\x09\x09\x09\x09packet" },
            ),
        ] {
            let mut bytes = alloc::vec![0xff; HEADER_LEN];
            bytes.extend_from_slice(quoted);
            emit.emit(&mut bytes, a, b);
            let icmp = Icmpv6::parse(&bytes).unwrap();
            assert_eq!(icmp.message(), message);
            assert_eq!(icmp.is_error(), emit.kind < 128);
            assert!(icmp.verify_checksum(a, b));
            assert!(!icmp.verify_checksum(a, a), "the addresses are part of it");
        }
        assert_eq!(Icmpv6::parse(&[0; 7]).err(), Some(Malformed::Short));
    }

    #[test]
    fn extensions_are_no_part_of_the_quoted_packet() {
        let mut bytes = alloc::vec![kind::UNREACHABLE, 0, 0, 0, 16, 0, 0, 0];
        bytes.resize(HEADER_LEN + 128 + 12, 1);
        let Icmpv6Message::Unreachable { quoted, .. } = Icmpv6::parse(&bytes).unwrap().message() else { panic!() };
        assert_eq!(quoted.len(), 128);
    }
}
