//! The packet that an ICMP error quotes, of which only the start need be there.

use core::net::IpAddr;

use crate::ipv4::Ipv4;
use crate::ipv6::Ipv6;
use crate::malformed::Malformed;
use crate::protocol;

/// The start of a packet that was sent, as an ICMP error gives it back. Nothing in it can be trusted: who made the error need
/// not have seen the packet (RFC 5927, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Who sent the packet: this host, if the error is for it.
    pub source: IpAddr,
    /// Where it went.
    pub destination: IpAddr,
    /// What it carried: see [`protocol`].
    pub protocol: u8,
    /// What there is of that; eight octets at least in errors by the rules.
    pub transport: &'a [u8],
}

impl<'a> Quote<'a> {
    /// Reads the start of an IPv4 packet.
    ///
    /// # Errors
    /// As [`Ipv4::parse_quoted`]; [`Malformed::Kind`] for a fragment that is not the first, which has no ports.
    pub fn v4(bytes: &'a [u8]) -> Result<Quote<'a>, Malformed> {
        let packet = Ipv4::parse_quoted(bytes)?;
        if packet.fragment_offset() > 0 {
            return Err(Malformed::Kind);
        }
        Ok(Quote {
            source: packet.source().into(),
            destination: packet.destination().into(),
            protocol: packet.protocol(),
            transport: packet.payload(),
        })
    }

    /// Reads the start of an IPv6 packet, behind its extension headers.
    ///
    /// # Errors
    /// As [`Ipv6::parse_quoted`]; [`Malformed::Extension`] if an extension header is not there as a whole, or not right;
    /// [`Malformed::Kind`] for a fragment that is not the first.
    pub fn v6(bytes: &'a [u8]) -> Result<Quote<'a>, Malformed> {
        match Quote::v6_fragment(bytes)? {
            (quote, true) => Ok(quote),
            (_, false) => Err(Malformed::Kind),
        }
    }

    /// The same, also of a fragment that is not the first; and whether it is, or is no fragment. Of a later one `protocol` is
    /// what the fragment header names, which may be a further extension header, and `transport` is empty: what there is may be
    /// the middle of anything.
    ///
    /// # Errors
    /// As [`v6`](Self::v6), but for [`Malformed::Kind`].
    pub fn v6_fragment(bytes: &'a [u8]) -> Result<(Quote<'a>, bool), Malformed> {
        let packet = Ipv6::parse_quoted(bytes)?;
        let (protocol, transport) = skip(packet.next_header(), packet.payload())?;
        let (source, destination) = (packet.source().into(), packet.destination().into());
        let quote = Quote { source, destination, protocol, transport: transport.unwrap_or_default() };
        Ok((quote, transport.is_some()))
    }

    /// The ports of who sent it and of where it went, if it carried TCP or UDP.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match *self.transport {
            [a, b, c, d, ..] if matches!(self.protocol, protocol::TCP | protocol::UDP) => {
                Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            }
            _ => None,
        }
    }

    /// The sequence number, if it carried TCP: one that is not in flight was guessed (RFC 5927, 4.1).
    pub fn sequence(&self) -> Option<u32> {
        match *self.transport {
            [_, _, _, _, a, b, c, d, ..] if self.protocol == protocol::TCP => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        }
    }

    /// Identifier and sequence number, if it carried an ICMP echo request.
    pub fn echo(&self) -> Option<(u16, u16)> {
        match (self.protocol, self.transport) {
            (protocol::ICMP, &[crate::icmpv4::kind::ECHO_REQUEST, _, _, _, a, b, c, d, ..])
            | (protocol::ICMPV6, &[crate::icmpv6::kind::ECHO_REQUEST, _, _, _, a, b, c, d, ..]) => {
                Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            }
            _ => None,
        }
    }
}

/// Passes extension headers without looking at options or lengths of fragments: this host has sent them, and the packet's end
/// is missing. What is behind them; none in a fragment that is not the first.
fn skip(mut next: u8, mut bytes: &[u8]) -> Result<(u8, Option<&[u8]>), Malformed> {
    for _ in 0..crate::ipv6_extensions::MAX_HEADERS {
        let len = match (next, bytes) {
            (protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS | protocol::ROUTING, [_, len, ..]) => {
                (usize::from(*len) + 1) * 8
            }
            (protocol::FRAGMENT, [next, _, high, low, ..]) => {
                if u16::from_be_bytes([*high, *low]) >= 8 {
                    return Ok((*next, None));
                }
                8
            }
            (protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS | protocol::ROUTING | protocol::FRAGMENT, _) => {
                return Err(Malformed::Extension);
            }
            _ => return Ok((next, Some(bytes))),
        };
        let (header, rest) = bytes.split_at_checked(len).ok_or(Malformed::Extension)?;
        (next, bytes) = (header.first().copied().unwrap_or(protocol::NO_NEXT_HEADER), rest);
    }
    Err(Malformed::Extension)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::ipv4::Ipv4Emit;
    use crate::ipv6::Ipv6Emit;

    const TRANSPORT: [u8; 8] = [0x01, 0xbb, 0xc8, 0x22, 1, 2, 3, 4];

    fn v4(protocol: u8, fragment_offset: u16) -> Vec<u8> {
        let emit = Ipv4Emit {
            source: Ipv4Addr::new(192, 0, 2, 1),
            destination: Ipv4Addr::new(192, 0, 2, 2),
            protocol,
            ttl: 1,
            tos: 0,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset,
            options: &[1, 1, 1, 0],
        };
        let mut bytes = alloc::vec![0; emit.header_len()];
        emit.emit(&mut bytes, 1400);
        bytes.extend(TRANSPORT);
        bytes
    }

    fn v6(next_header: u8, rest: &[u8]) -> Vec<u8> {
        let (source, destination) = (Ipv6Addr::LOCALHOST, "2001:db8::1".parse().unwrap());
        let mut bytes = alloc::vec![0; 40];
        Ipv6Emit { source, destination, next_header, hop_limit: 1, traffic_class: 0, flow_label: 0 }.emit(&mut bytes, 1400);
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn ports_and_sequence_number_are_found_behind_the_headers() {
        let bytes = v4(6, 0);
        let quote = Quote::v4(&bytes).unwrap();
        assert_eq!((quote.ports(), quote.sequence(), quote.echo()), (Some((443, 51234)), Some(0x0102_0304), None));
        assert_eq!((quote.source, quote.transport), (Ipv4Addr::new(192, 0, 2, 1).into(), &TRANSPORT[..]));
        let mut rest = alloc::vec![44, 0, 1, 4, 0, 0, 0, 0];
        rest.extend([17, 0, 0, 1, 0, 0, 0, 9]);
        rest.extend(TRANSPORT);
        let bytes = v6(60, &rest);
        let quote = Quote::v6(&bytes).unwrap();
        assert_eq!((quote.protocol, quote.ports(), quote.sequence()), (17, Some((443, 51234)), None));
    }

    #[test]
    fn what_was_cut_is_not_there() {
        let bytes = v4(6, 0);
        let quote = Quote::v4(&bytes[..28]).unwrap();
        assert_eq!((quote.ports(), quote.sequence()), (Some((443, 51234)), None));
        assert_eq!(Quote::v4(&bytes[..26]).unwrap().ports(), None);
        assert_eq!(Quote::v6(&v6(60, &[6, 0, 0])), Err(Malformed::Extension));
        assert_eq!(Quote::v6(&v6(0, &[6])), Err(Malformed::Extension));
        assert_eq!(Quote::v6(&v6(60, &[60, 0, 0, 0, 0, 0, 0, 0].repeat(9))), Err(Malformed::Extension));
    }

    #[test]
    fn fragments_but_the_first_have_no_ports() {
        assert_eq!(Quote::v4(&v4(17, 8)), Err(Malformed::Kind));
        let later = v6(44, &[17, 0, 0, 8, 0, 0, 0, 9, 1, 2, 3, 4]);
        assert_eq!(Quote::v6(&later), Err(Malformed::Kind));
        let (quote, first) = Quote::v6_fragment(&later).unwrap();
        assert_eq!((quote.protocol, quote.transport, quote.ports(), first), (17, &[][..], None, false));
        let whole = v6(17, &TRANSPORT);
        assert_eq!(Quote::v6_fragment(&whole), Quote::v6(&whole).map(|quote| (quote, true)));
        assert!(Quote::v6(&v6(44, &[17, 0, 0, 7, 0, 0, 0, 9])).is_ok(), "the bits below the offset are none of it");
    }

    #[test]
    fn an_echo_request_has_identifier_and_sequence_number() {
        let echo = [128, 0, 0, 0, 0, 7, 0, 9];
        assert_eq!(Quote::v6(&v6(58, &echo)).unwrap().echo(), Some((7, 9)));
        assert_eq!(Quote::v6(&v6(17, &echo)).unwrap().echo(), None);
    }
}
