//! Packets as ICMP errors quote them: cut anywhere, so that lengths in them mean nothing.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::address::Address;

/// Extension headers that are looked past.
const MAX_EXTENSIONS: usize = 8;

/// What can be seen of a packet that may have been cut.
#[derive(Debug)]
pub(crate) struct Quote<'a> {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) protocol: u8,
    /// Nonzero: there is no transport header in it.
    pub(crate) fragment_offset: u16,
    /// How long the packet says that it is.
    pub(crate) total_len: u32,
    /// What is there of the transport packet.
    pub(crate) payload: &'a [u8],
}

/// The transport packet in an IPv6 packet.
pub(crate) struct Upper<'a> {
    pub(crate) protocol: u8,
    /// Where that number stands.
    pub(crate) next_header_at: usize,
    pub(crate) fragment_offset: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Quote<'a> {
    /// Looks at a packet; none if not even its IP header is whole.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Quote<'a>> {
        let half = |at: usize| bytes.get(at..at + 2).and_then(|half| half.try_into().ok()).map(u16::from_be_bytes);
        match bytes.first()? >> 4 {
            4 => {
                let header_len = usize::from(bytes.first()? & 0xf) * 4;
                let address = |at: usize| -> Option<Address> {
                    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?).into())
                };
                Some(Quote {
                    source: address(12)?,
                    destination: address(16)?,
                    protocol: *bytes.get(9)?,
                    fragment_offset: (half(6)? & 0x1fff) * 8,
                    total_len: u32::from(half(2)?),
                    payload: bytes.get(header_len.max(20)..)?,
                })
            }
            6 => {
                let address = |at: usize| -> Option<Address> {
                    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?).into())
                };
                let upper = upper_of(bytes)?;
                Some(Quote {
                    source: address(8)?,
                    destination: address(24)?,
                    protocol: upper.protocol,
                    fragment_offset: upper.fragment_offset,
                    total_len: u32::from(half(4)?) + 40,
                    payload: upper.payload,
                })
            }
            _ => None,
        }
    }

    /// The two ports; of an echo request its identifier and sequence number, so that replies and errors find its sender.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        let at = match (self.protocol, self.payload.first()) {
            (1, Some(8)) | (58, Some(128)) => 4,
            (1 | 58, _) => return None,
            _ => 0,
        };
        let four: [u8; 4] = self.payload.get(at..at + 4)?.try_into().ok()?;
        let [a, b, c, d] = four;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// TCP's sequence number.
    pub(crate) fn sequence(&self) -> Option<u32> {
        let four = self.payload.get(4..8).filter(|_| self.protocol == 6)?;
        Some(u32::from_be_bytes(four.try_into().ok()?))
    }
}

/// The transport packet in an IPv6 packet, which may have been cut.
pub(crate) fn upper_of(packet: &[u8]) -> Option<Upper<'_>> {
    let mut next_header_at = 6;
    let mut protocol = *packet.get(next_header_at)?;
    let mut payload = packet.get(40..)?;
    let mut fragment_offset = 0;
    for _ in 0..MAX_EXTENSIONS {
        let length = match protocol {
            0 | 43 | 60 => (usize::from(*payload.get(1)?) + 1) * 8,
            44 => {
                fragment_offset = u16::from_be_bytes([*payload.get(2)?, *payload.get(3)?]) & 0xfff8;
                8
            }
            51 => (usize::from(*payload.get(1)?) + 2) * 4,
            _ => break,
        };
        next_header_at = packet.len() - payload.len();
        protocol = *payload.first()?;
        if fragment_offset != 0 {
            break;
        }
        payload = payload.get(length..)?;
    }
    Some(Upper { protocol, next_header_at, fragment_offset, payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::testing::addr;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_quotation_of_eight_bytes_shows_ports_and_sequence_number() {
        let mut packet = std::vec![0x45, 0, 5, 220, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend([0x12, 0x34, 0, 80, 0, 0, 0, 7]);
        let quote = Quote::parse(&packet).unwrap();
        assert_eq!((quote.source, quote.destination), (addr("192.0.2.1"), addr("192.0.2.2")));
        assert_eq!((quote.ports(), quote.sequence(), quote.total_len), (Some((0x1234, 80)), Some(7), 1500));
        let cut = Quote::parse(&packet[..22]).unwrap();
        assert_eq!((cut.ports(), cut.sequence()), (None, None));
    }

    #[test]
    fn extension_headers_are_looked_past_and_a_later_fragment_shows_no_ports() {
        let mut packet = std::vec![0x60, 0, 0, 0, 0, 24, 60, 64];
        packet.extend([0; 32]);
        packet.extend([44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9, 0, 53, 0, 54]);
        let quote = Quote::parse(&packet).unwrap();
        assert_eq!((quote.protocol, quote.fragment_offset, quote.ports()), (17, 0, Some((53, 54))));
        packet[51] = 8;
        assert_eq!(Quote::parse(&packet).unwrap().fragment_offset, 8);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in 0u8..2) {
            let mut bytes: Vec<u8> = bytes;
            if let Some(byte) = bytes.first_mut() {
                *byte = if first == 0 { 0x45 } else { 0x60 };
            }
            if let Some(quote) = Quote::parse(&bytes) {
                let _ = (quote.ports(), quote.sequence());
                prop_assert!(quote.payload.len() <= bytes.len());
            }
        }
    }
}
