//! Neighbour discovery (RFC 4861): its five messages.
//!
//! A receiver must also check what is not in the message: that the hop limit is 255, the checksum right, and the addresses
//! those that each message may have (RFC 4861, 6.1, 7.1, 8.1).

use core::net::Ipv6Addr;

use crate::icmpv6::{self, Icmpv6, kind};
use crate::malformed::Malformed;
use crate::ndp_options::{NdpOption, NdpOptions};
use crate::writer::Writer;

/// The hop limit that all messages have, and no router lets through.
pub const HOP_LIMIT: u8 = 255;

/// How much a router is to be preferred over others (RFC 4191, 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preference {
    /// Less than others.
    Low,
    /// As others; what the reserved value counts as.
    #[default]
    Medium,
    /// More than others.
    High,
}

impl Preference {
    pub(crate) fn from_bits(bits: u8) -> Preference {
        match bits & 3 {
            1 => Preference::High,
            3 => Preference::Low,
            _ => Preference::Medium,
        }
    }

    pub(crate) fn bits(self) -> u8 {
        match self {
            Preference::Medium => 0,
            Preference::High => 1,
            Preference::Low => 3,
        }
    }
}

/// What a router advertises of itself (RFC 4861, 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// The hop limit for hosts; 0 leaves theirs.
    pub hop_limit: u8,
    /// Addresses are given by DHCPv6.
    pub managed: bool,
    /// Other things are given by DHCPv6.
    pub other: bool,
    /// How much it is to be preferred as default router.
    pub preference: Preference,
    /// For how many seconds it is a default router; 0 if it is none.
    pub lifetime: u16,
    /// For how many milliseconds a neighbour counts as reachable after it was; 0 leaves the host's value.
    pub reachable_time: u32,
    /// Milliseconds between solicitations; 0 leaves the host's value.
    pub retransmit_timer: u32,
}

/// A message of neighbour discovery; its options are beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpMessage {
    /// Asks routers to advertise.
    RouterSolicitation,
    /// A router says that it is there.
    RouterAdvertisement(RouterAdvertisement),
    /// Asks who has an address, or whether it can be reached.
    NeighbourSolicitation {
        /// The address.
        target: Ipv6Addr,
    },
    /// Says where an address is.
    NeighbourAdvertisement {
        /// It is a router's.
        router: bool,
        /// It answers a solicitation, so the neighbour can be reached.
        solicited: bool,
        /// It replaces what is known.
        replace: bool,
        /// The address.
        target: Ipv6Addr,
    },
    /// A router knows a better first hop.
    Redirect {
        /// The better hop; the destination itself if that is on the link.
        target: Ipv6Addr,
        /// What is reached by it.
        destination: Ipv6Addr,
    },
}

impl NdpMessage {
    /// Reads a message with its options, all of which have a length that can be.
    ///
    /// # Errors
    /// [`Malformed::Kind`] if it is none of neighbour discovery, or has a code other than 0 (RFC 4861, 6.1, 7.1, 8.1),
    /// [`Malformed::Short`], and [`Malformed::Option`] for an option with length 0 or one that goes past the end.
    pub fn parse<'a>(icmp: &Icmpv6<'a>) -> Result<(NdpMessage, NdpOptions<'a>), Malformed> {
        if icmp.code() != 0 {
            return Err(Malformed::Kind);
        }
        let (&word, rest) = icmp.body().split_first_chunk::<4>().ok_or(Malformed::Short)?;
        let (message, rest) = match icmp.kind() {
            kind::ROUTER_SOLICITATION => (NdpMessage::RouterSolicitation, rest),
            kind::ROUTER_ADVERTISEMENT => {
                let (&[a, b, c, d, e, f, g, h], rest) = rest.split_first_chunk::<8>().ok_or(Malformed::Short)?;
                let [hop_limit, flags, high, low] = word;
                let router = RouterAdvertisement {
                    hop_limit,
                    managed: flags & 0x80 != 0,
                    other: flags & 0x40 != 0,
                    preference: Preference::from_bits(flags >> 3),
                    lifetime: u16::from_be_bytes([high, low]),
                    reachable_time: u32::from_be_bytes([a, b, c, d]),
                    retransmit_timer: u32::from_be_bytes([e, f, g, h]),
                };
                (NdpMessage::RouterAdvertisement(router), rest)
            }
            kind::NEIGHBOUR_SOLICITATION => {
                let (target, rest) = address(rest)?;
                (NdpMessage::NeighbourSolicitation { target }, rest)
            }
            kind::NEIGHBOUR_ADVERTISEMENT => {
                let (target, rest) = address(rest)?;
                let bit = |mask: u8| word[0] & mask != 0;
                let message =
                    NdpMessage::NeighbourAdvertisement { router: bit(0x80), solicited: bit(0x40), replace: bit(0x20), target };
                (message, rest)
            }
            kind::REDIRECT => {
                let (target, rest) = address(rest)?;
                let (destination, rest) = address(rest)?;
                (NdpMessage::Redirect { target, destination }, rest)
            }
            _ => return Err(Malformed::Kind),
        };
        Ok((message, NdpOptions::parse(rest)?))
    }

    /// Octets of the message with these options.
    pub fn encoded_len(&self, options: &[NdpOption<'_>]) -> usize {
        let fixed = match self {
            NdpMessage::RouterSolicitation => 8,
            NdpMessage::RouterAdvertisement(_) => 16,
            NdpMessage::NeighbourSolicitation { .. } | NdpMessage::NeighbourAdvertisement { .. } => 24,
            NdpMessage::Redirect { .. } => 40,
        };
        fixed + options.iter().map(NdpOption::encoded_len).sum::<usize>()
    }

    /// Writes the ICMPv6 message with its checksum to `buf`, which has exactly [`encoded_len`](Self::encoded_len) octets.
    ///
    /// # Panics
    /// If it has not, or an option is too long for its length field.
    pub fn emit(&self, options: &[NdpOption<'_>], source: Ipv6Addr, destination: Ipv6Addr, buf: &mut [u8]) {
        assert_eq!(buf.len(), self.encoded_len(options), "a buffer of the message's length");
        let mut writer = Writer::new(buf);
        let mut head = |kind: u8, word: [u8; 4]| {
            writer.put(&[kind, 0, 0, 0]);
            writer.put(&word);
        };
        match *self {
            NdpMessage::RouterSolicitation => head(kind::ROUTER_SOLICITATION, [0; 4]),
            NdpMessage::RouterAdvertisement(router) => {
                let flags = u8::from(router.managed) << 7 | u8::from(router.other) << 6 | router.preference.bits() << 3;
                let [high, low] = router.lifetime.to_be_bytes();
                head(kind::ROUTER_ADVERTISEMENT, [router.hop_limit, flags, high, low]);
                writer.put_u32(router.reachable_time);
                writer.put_u32(router.retransmit_timer);
            }
            NdpMessage::NeighbourSolicitation { target } => {
                head(kind::NEIGHBOUR_SOLICITATION, [0; 4]);
                writer.put(&target.octets());
            }
            NdpMessage::NeighbourAdvertisement { router, solicited, replace, target } => {
                let flags = u8::from(router) << 7 | u8::from(solicited) << 6 | u8::from(replace) << 5;
                head(kind::NEIGHBOUR_ADVERTISEMENT, [flags, 0, 0, 0]);
                writer.put(&target.octets());
            }
            NdpMessage::Redirect { target, destination } => {
                head(kind::REDIRECT, [0; 4]);
                writer.put(&target.octets());
                writer.put(&destination.octets());
            }
        }
        for option in options {
            option.emit(&mut writer);
        }
        icmpv6::finish_checksum(buf, source, destination);
    }
}

fn address(bytes: &[u8]) -> Result<(Ipv6Addr, &[u8]), Malformed> {
    let (octets, rest) = bytes.split_first_chunk::<16>().ok_or(Malformed::Short)?;
    Ok((Ipv6Addr::from(*octets), rest))
}

/// The group of all hosts with an address that ends like `address` (RFC 4291, 2.7.1): where solicitations for it go.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::ethernet::MacAddr;

    fn addresses() -> (Ipv6Addr, Ipv6Addr) {
        ("fe80::1".parse().unwrap(), "2001:db8::1234:5678".parse().unwrap())
    }

    fn written(message: NdpMessage, options: &[NdpOption<'_>]) -> Vec<u8> {
        let (a, b) = addresses();
        let mut bytes = alloc::vec![0xff; message.encoded_len(options)];
        message.emit(options, a, b, &mut bytes);
        assert!(Icmpv6::parse(&bytes).unwrap().verify_checksum(a, b));
        bytes
    }

    #[test]
    fn each_message_reads_as_it_was_written() {
        let (target, destination) = addresses();
        let router = RouterAdvertisement {
            hop_limit: 64,
            managed: true,
            other: false,
            preference: Preference::Low,
            lifetime: 1800,
            reachable_time: 30_000,
            retransmit_timer: 1000,
        };
        let option = NdpOption::SourceLinkLayer(MacAddr([2, 0, 0, 0, 0, 1]));
        for message in [
            NdpMessage::RouterSolicitation,
            NdpMessage::RouterAdvertisement(router),
            NdpMessage::RouterAdvertisement(RouterAdvertisement { other: true, preference: Preference::High, ..router }),
            NdpMessage::NeighbourSolicitation { target },
            NdpMessage::NeighbourAdvertisement { router: true, solicited: false, replace: true, target },
            NdpMessage::NeighbourAdvertisement { router: false, solicited: true, replace: false, target },
            NdpMessage::Redirect { target, destination },
        ] {
            let bytes = written(message, &[option]);
            let (read, options) = NdpMessage::parse(&Icmpv6::parse(&bytes).unwrap()).unwrap();
            assert_eq!((read, options.collect::<Vec<_>>()), (message, alloc::vec![option]));
            for len in 8..bytes.len() {
                let cut = NdpMessage::parse(&Icmpv6::parse(&bytes[..len]).unwrap());
                assert!(cut.is_err() || len == bytes.len() - option.encoded_len(), "{message:?} cut to {len}");
            }
        }
    }

    #[test]
    fn other_codes_and_kinds_are_refused() {
        let mut bytes = written(NdpMessage::RouterSolicitation, &[]);
        bytes[1] = 1;
        assert_eq!(NdpMessage::parse(&Icmpv6::parse(&bytes).unwrap()).err(), Some(Malformed::Kind));
        bytes[..2].copy_from_slice(&[128, 0]);
        assert_eq!(NdpMessage::parse(&Icmpv6::parse(&bytes).unwrap()).err(), Some(Malformed::Kind));
    }

    #[test]
    fn solicitations_go_to_the_group_of_the_last_three_octets() {
        assert_eq!(solicited_node(addresses().1), "ff02::1:ff34:5678".parse::<Ipv6Addr>().unwrap());
    }
}
