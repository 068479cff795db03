//! ICMP for IPv4 (RFC 792).

use core::net::Ipv4Addr;

use crate::checksum;
use crate::icmp::{self, Header, original, two};
use crate::malformed::Malformed;

/// Octets of the header that every message has; what is behind is an echo's data, or the quoted packet.
pub const HEADER_LEN: usize = icmp::HEADER_LEN;

/// The length of what is quoted stands in the second octet behind the checksum, in units of so many octets (RFC 4884, 4).
const ORIGINAL_UNIT: usize = 4;

/// Types of messages, as IANA has them.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, deprecated (RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub const TIMESTAMP_REQUEST: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
}

/// Codes of "destination unreachable" (RFC 792; RFC 1122, 3.2.2.1).
pub mod unreachable {
    /// No way to the network.
    pub const NETWORK: u8 = 0;
    /// The host does not answer.
    pub const HOST: u8 = 1;
    /// The host does not know the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens at the port.
    pub const PORT: u8 = 3;
    /// It would have to be fragmented, but must not be.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// The source route failed.
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    /// The network is not known.
    pub const NETWORK_UNKNOWN: u8 = 6;
    /// The host is not known.
    pub const HOST_UNKNOWN: u8 = 7;
    /// The network is forbidden.
    pub const NETWORK_PROHIBITED: u8 = 9;
    /// The host is forbidden.
    pub const HOST_PROHIBITED: u8 = 10;
    /// Forbidden by a filter (RFC 1812, 5.2.7.1).
    pub const PROHIBITED: u8 = 13;
}

/// Code of "time exceeded": in transit.
pub const HOPS_EXCEEDED: u8 = 0;
/// Code of "time exceeded": while fragments were waited for.
pub const REASSEMBLY_EXCEEDED: u8 = 1;

/// An ICMP message.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv4<'a> {
    header: &'a Header,
    bytes: &'a [u8],
}

/// What an ICMP message says. `quoted` is the start of the packet that an error is about, for
/// [`Quote::v4`](crate::Quote::v4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv4Message<'a> {
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
    /// A packet could not be delivered.
    Unreachable {
        /// Why: see [`mod@unreachable`].
        code: u8,
        /// With [`unreachable::FRAGMENTATION_NEEDED`] the MTU of the next hop; 0 from routers before RFC 1191.
        mtu: u16,
        /// The packet.
        quoted: &'a [u8],
    },
    /// A router was overloaded; ignored by hosts (RFC 6633, 3).
    SourceQuench {
        /// The packet.
        quoted: &'a [u8],
    },
    /// There is a better first hop.
    Redirect {
        /// For the network (0), the host (1), or either with its type of service (2, 3).
        code: u8,
        /// The better hop.
        gateway: Ipv4Addr,
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
        /// 0 if the pointer counts, 1 if an option is missing, 2 for a bad length.
        code: u8,
        /// The octet that is wrong.
        pointer: u8,
        /// The packet.
        quoted: &'a [u8],
    },
    /// Any other.
    Other {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// What is behind type, code and checksum.
        body: &'a [u8],
    },
}

impl<'a> Icmpv4<'a> {
    /// Reads a message. The checksum is checked by [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn parse(bytes: &'a [u8]) -> Result<Icmpv4<'a>, Malformed> {
        let header = Header::of(bytes)?;
        Ok(Icmpv4 { header, bytes })
    }

    /// The type.
    pub fn kind(&self) -> u8 {
        self.header.kind
    }

    /// The code.
    pub fn code(&self) -> u8 {
        self.header.code
    }

    /// What is behind the first eight octets.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Whether the checksum is right.
    pub fn verify_checksum(&self) -> bool {
        checksum::fold(checksum::sum(self.bytes, 0)) == 0
    }

    /// Whether it is about another packet; about such messages none is sent (RFC 1122, 3.2.2).
    pub fn is_error(&self) -> bool {
        matches!(
            self.header.kind,
            kind::UNREACHABLE | kind::SOURCE_QUENCH | kind::REDIRECT | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM
        )
    }

    /// What it says.
    pub fn message(&self) -> Icmpv4Message<'a> {
        let code = self.header.code;
        let [a, b, c, d] = self.header.rest;
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let rest = self.payload();
        match self.header.kind {
            kind::ECHO_REQUEST => Icmpv4Message::EchoRequest { identifier: high, sequence: low, data: rest },
            kind::ECHO_REPLY => Icmpv4Message::EchoReply { identifier: high, sequence: low, data: rest },
            kind::UNREACHABLE => {
                let mtu = if code == unreachable::FRAGMENTATION_NEEDED { low } else { 0 };
                Icmpv4Message::Unreachable { code, mtu, quoted: original(b, ORIGINAL_UNIT, rest) }
            }
            kind::SOURCE_QUENCH => Icmpv4Message::SourceQuench { quoted: rest },
            kind::REDIRECT => Icmpv4Message::Redirect { code, gateway: self.header.rest.into(), quoted: rest },
            kind::TIME_EXCEEDED => Icmpv4Message::TimeExceeded { code, quoted: original(b, ORIGINAL_UNIT, rest) },
            kind::PARAMETER_PROBLEM => {
                Icmpv4Message::ParameterProblem { code, pointer: a, quoted: original(b, ORIGINAL_UNIT, rest) }
            }
            kind => Icmpv4Message::Other { kind, code, body: self.bytes.get(4..).unwrap_or_default() },
        }
    }
}

/// What to write into the header of an ICMP message; data or the quoted packet follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmpv4Emit {
    /// The type: see [`kind`].
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The four octets behind the checksum.
    pub rest: [u8; 4],
}

impl Icmpv4Emit {
    /// An echo request.
    pub fn echo_request(identifier: u16, sequence: u16) -> Icmpv4Emit {
        Icmpv4Emit { kind: kind::ECHO_REQUEST, code: 0, rest: two(identifier, sequence) }
    }

    /// An echo reply.
    pub fn echo_reply(identifier: u16, sequence: u16) -> Icmpv4Emit {
        Icmpv4Emit { kind: kind::ECHO_REPLY, code: 0, rest: two(identifier, sequence) }
    }

    /// "Destination unreachable", for a code of [`mod@unreachable`].
    pub fn unreachable(code: u8) -> Icmpv4Emit {
        Icmpv4Emit { kind: kind::UNREACHABLE, code, rest: [0; 4] }
    }

    /// "Fragmentation needed" with the MTU of the next hop (RFC 1191, 4).
    pub fn fragmentation_needed(mtu: u16) -> Icmpv4Emit {
        Icmpv4Emit { kind: kind::UNREACHABLE, code: unreachable::FRAGMENTATION_NEEDED, rest: two(0, mtu) }
    }

    /// "Time exceeded", for [`HOPS_EXCEEDED`] or [`REASSEMBLY_EXCEEDED`].
    pub fn time_exceeded(code: u8) -> Icmpv4Emit {
        Icmpv4Emit { kind: kind::TIME_EXCEEDED, code, rest: [0; 4] }
    }

    /// "Parameter problem" at an octet.
    pub fn parameter_problem(pointer: u8) -> Icmpv4Emit {
        Icmpv4Emit { kind: kind::PARAMETER_PROBLEM, code: 0, rest: [pointer, 0, 0, 0] }
    }

    /// A redirect for a host (code 1) to a better first hop.
    pub fn redirect(gateway: Ipv4Addr) -> Icmpv4Emit {
        Icmpv4Emit { kind: kind::REDIRECT, code: 1, rest: gateway.octets() }
    }

    /// Writes the header to the first [`HEADER_LEN`] bytes of a message whose other bytes stand already, with the checksum of
    /// all.
    ///
    /// # Panics
    /// If `message` is shorter than the header.
    pub fn emit(&self, message: &mut [u8]) {
        Header::put(self.kind, self.code, self.rest, message);
        let value = checksum::fold(checksum::sum(message, 0));
        message[2..4].copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(emit: Icmpv4Emit, rest: &[u8]) -> alloc::vec::Vec<u8> {
        let mut bytes = alloc::vec![0; HEADER_LEN];
        bytes.extend_from_slice(rest);
        emit.emit(&mut bytes);
        assert!(Icmpv4::parse(&bytes).unwrap().verify_checksum());
        bytes
    }

    #[test]
    fn each_message_reads_as_it_was_written() {
        let gateway = Ipv4Addr::new(192, 0, 2, 254);
        let quoted = &b"packet"[..];
        for (emit, message) in [
            (Icmpv4Emit::echo_request(7, 9), Icmpv4Message::EchoRequest { identifier: 7, sequence: 9, data: quoted }),
            (Icmpv4Emit::echo_reply(7, 9), Icmpv4Message::EchoReply { identifier: 7, sequence: 9, data: quoted }),
            (Icmpv4Emit::unreachable(3), Icmpv4Message::Unreachable { code: 3, mtu: 0, quoted }),
            (Icmpv4Emit::fragmentation_needed(1400), Icmpv4Message::Unreachable { code: 4, mtu: 1400, quoted }),
            (Icmpv4Emit::time_exceeded(1), Icmpv4Message::TimeExceeded { code: 1, quoted }),
            (Icmpv4Emit::parameter_problem(20), Icmpv4Message::ParameterProblem { code: 0, pointer: 20, quoted }),
            (Icmpv4Emit::redirect(gateway), Icmpv4Message::Redirect { code: 1, gateway, quoted }),
            (Icmpv4Emit { kind: 4, code: 0, rest: [0; 4] }, Icmpv4Message::SourceQuench { quoted }),
            (
                Icmpv4Emit { kind: 13, code: 1, rest: [9; 4] },
                Icmpv4Message::Other { kind: 13, code: 1, body: b"\x09\x09\x09\x09packet" },
            ),
        ] {
            let bytes = written(emit, quoted);
            let icmp = Icmpv4::parse(&bytes).unwrap();
            assert_eq!(icmp.message(), message);
            let is_error = !matches!(
                message,
                Icmpv4Message::EchoRequest { .. } | Icmpv4Message::EchoReply { .. } | Icmpv4Message::Other { .. }
            );
            assert_eq!(icmp.is_error(), is_error, "{message:?}");
        }
        assert_eq!(Icmpv4::parse(&[0; 7]).err(), Some(Malformed::Short));
    }

    #[test]
    fn a_damaged_message_fails_its_checksum() {
        let mut bytes = written(Icmpv4Emit::echo_request(1, 2), b"abc");
        bytes[9] ^= 0x10;
        assert!(!Icmpv4::parse(&bytes).unwrap().verify_checksum());
    }

    #[test]
    fn extensions_are_no_part_of_the_quoted_packet() {
        let mut rest = alloc::vec![1; 128];
        rest.extend([0x20, 0, 0, 0]);
        let with = |len: u8| written(Icmpv4Emit { kind: kind::TIME_EXCEEDED, code: 0, rest: [0, len, 0, 0] }, &rest);
        for (len, expected) in [(32, 128), (0, 132), (255, 132)] {
            let bytes = with(len);
            let Icmpv4Message::TimeExceeded { quoted, .. } = Icmpv4::parse(&bytes).unwrap().message() else { panic!() };
            assert_eq!(quoted.len(), expected);
        }
    }
}
