//! Options of neighbour discovery (RFC 4861, 4.6; RFC 4191; RFC 8106; RFC 3971).

use core::net::Ipv6Addr;

use crate::ethernet::MacAddr;
use crate::malformed::Malformed;
use crate::ndp::Preference;
use crate::writer::Writer;

/// What a router says of a prefix (RFC 4861, 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInformation {
    /// How many bits of the prefix count.
    pub prefix_len: u8,
    /// Addresses with this prefix are on the link.
    pub on_link: bool,
    /// Hosts may make addresses of it for themselves.
    pub autonomous: bool,
    /// For how many seconds it is valid; `u32::MAX` for ever.
    pub valid_lifetime: u32,
    /// For how many seconds addresses made of it are preferred; `u32::MAX` for ever.
    pub preferred_lifetime: u32,
    /// The prefix.
    pub prefix: Ipv6Addr,
}

/// A route that a router advertises (RFC 4191, 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInformation {
    /// How many bits of the prefix count, at most 128.
    pub prefix_len: u8,
    /// How much the route is to be preferred over others with the same prefix.
    pub preference: Preference,
    /// For how many seconds it holds; `u32::MAX` for ever.
    pub lifetime: u32,
    /// The prefix.
    pub prefix: Ipv6Addr,
}

/// Addresses, 16 octets each, as they stand in an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Servers<'a>(&'a [[u8; 16]]);

impl<'a> Servers<'a> {
    /// Addresses in the form of an option.
    pub fn new(addresses: &'a [[u8; 16]]) -> Servers<'a> {
        Servers(addresses)
    }

    /// The addresses.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Ipv6Addr> + use<'a> {
        self.0.iter().map(|octets| Ipv6Addr::from(*octets))
    }
}

/// An option of neighbour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpOption<'a> {
    /// The link-layer address of the message's sender.
    SourceLinkLayer(MacAddr),
    /// The link-layer address of the target.
    TargetLinkLayer(MacAddr),
    /// A prefix of the link.
    PrefixInformation(PrefixInformation),
    /// The packet that brought a redirect about, or its start.
    RedirectedHeader(&'a [u8]),
    /// The MTU of the link, in octets.
    Mtu(u32),
    /// Nonce of a solicitation, by which a host knows its own again (RFC 7527, 4.1; RFC 3971, 5.3.2).
    Nonce(&'a [u8]),
    /// A route.
    RouteInformation(RouteInformation),
    /// Recursive DNS servers (RFC 8106, 5.1).
    Rdnss {
        /// For how many seconds they may be used; `u32::MAX` for ever, 0 no longer.
        lifetime: u32,
        /// The servers.
        servers: Servers<'a>,
    },
    /// Domains to search (RFC 8106, 5.2).
    Dnssl {
        /// For how many seconds they may be used; `u32::MAX` for ever, 0 no longer.
        lifetime: u32,
        /// Names in the encoding of RFC 1035, 3.1, padded with zeros.
        names: &'a [u8],
    },
    /// Any other, or one of the above with a length that it cannot have.
    Other {
        /// Its type.
        kind: u8,
        /// What is behind type and length.
        data: &'a [u8],
    },
}

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const PREFIX_INFORMATION: u8 = 3;
const REDIRECTED_HEADER: u8 = 4;
const MTU: u8 = 5;
const NONCE: u8 = 14;
const ROUTE_INFORMATION: u8 = 24;
const RDNSS: u8 = 25;
const DNSSL: u8 = 31;

/// Walks over options whose lengths have been checked.
#[derive(Clone, Debug)]
pub struct NdpOptions<'a> {
    bytes: &'a [u8],
}

impl<'a> NdpOptions<'a> {
    /// The options behind the fixed part of a message.
    ///
    /// # Errors
    /// [`Malformed::Option`] if one has length 0 or goes past the end: the whole message is dropped (RFC 4861, 4.6).
    pub fn parse(bytes: &'a [u8]) -> Result<NdpOptions<'a>, Malformed> {
        let mut rest = bytes;
        while !rest.is_empty() {
            (_, rest) = split(rest).ok_or(Malformed::Option)?;
        }
        Ok(NdpOptions { bytes })
    }
}

/// The first option, and what is behind it; none if its length cannot be.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // In units of 8 octets.
    let len = usize::from(*bytes.get(1)?) * 8;
    if len == 0 { None } else { bytes.split_at_checked(len) }
}

impl<'a> Iterator for NdpOptions<'a> {
    type Item = NdpOption<'a>;

    fn next(&mut self) -> Option<NdpOption<'a>> {
        let (option, rest) = split(self.bytes)?;
        self.bytes = rest;
        let [kind, _, data @ ..] = option else { return None };
        Some(read(*kind, data))
    }
}

fn read(kind: u8, data: &[u8]) -> NdpOption<'_> {
    let known = match kind {
        SOURCE_LINK_LAYER => data.try_into().ok().map(|mac| NdpOption::SourceLinkLayer(MacAddr(mac))),
        TARGET_LINK_LAYER => data.try_into().ok().map(|mac| NdpOption::TargetLinkLayer(MacAddr(mac))),
        PREFIX_INFORMATION => prefix(data),
        REDIRECTED_HEADER => data.get(6..).map(NdpOption::RedirectedHeader),
        MTU => word(data, 2).map(NdpOption::Mtu),
        NONCE => Some(NdpOption::Nonce(data)),
        ROUTE_INFORMATION => route(data),
        RDNSS => servers(data),
        DNSSL => word(data, 2).zip(data.get(6..)).map(|(lifetime, names)| NdpOption::Dnssl { lifetime, names }),
        _ => None,
    };
    known.unwrap_or(NdpOption::Other { kind, data })
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

fn prefix(data: &[u8]) -> Option<NdpOption<'_>> {
    let (&prefix_len, flags) = (data.first()?, *data.get(1)?);
    let octets: [u8; 16] = data.get(14..)?.try_into().ok()?;
    Some(NdpOption::PrefixInformation(PrefixInformation {
        prefix_len,
        on_link: flags & 0x80 != 0,
        autonomous: flags & 0x40 != 0,
        valid_lifetime: word(data, 2)?,
        preferred_lifetime: word(data, 6)?,
        prefix: octets.into(),
    }))
}

/// The prefix takes 0, 8 or 16 octets, as many as its length needs or more (RFC 4191, 2.3).
fn route(data: &[u8]) -> Option<NdpOption<'_>> {
    let (&prefix_len, flags) = (data.first()?, *data.get(1)?);
    let given = data.get(6..)?;
    if usize::from(prefix_len) > given.len() * 8 || given.len() > 16 {
        return None;
    }
    let mut octets = [0; 16];
    octets.get_mut(..given.len())?.copy_from_slice(given);
    Some(NdpOption::RouteInformation(RouteInformation {
        prefix_len,
        preference: Preference::from_bits(flags >> 3),
        lifetime: word(data, 2)?,
        prefix: octets.into(),
    }))
}

fn servers(data: &[u8]) -> Option<NdpOption<'_>> {
    let (addresses, rest) = data.get(6..)?.as_chunks::<16>();
    let well_formed = rest.is_empty() && !addresses.is_empty();
    well_formed.then_some(NdpOption::Rdnss { lifetime: word(data, 2)?, servers: Servers(addresses) })
}

impl NdpOption<'_> {
    /// Octets that it takes in a message, a multiple of 8.
    pub fn encoded_len(&self) -> usize {
        let len = match self {
            NdpOption::SourceLinkLayer(_) | NdpOption::TargetLinkLayer(_) | NdpOption::Mtu(_) => 8,
            NdpOption::PrefixInformation(_) => 32,
            NdpOption::RedirectedHeader(packet) => 8 + packet.len(),
            NdpOption::Nonce(nonce) => 2 + nonce.len(),
            NdpOption::RouteInformation(route) => 8 + usize::from(route.prefix_len).div_ceil(64) * 8,
            NdpOption::Rdnss { servers, .. } => 8 + servers.0.len() * 16,
            NdpOption::Dnssl { names, .. } => 8 + names.len(),
            NdpOption::Other { data, .. } => 2 + data.len(),
        };
        len.next_multiple_of(8)
    }

    pub(crate) fn emit(&self, writer: &mut Writer<'_>) {
        let end = writer.len() + self.encoded_len();
        let kind = match self {
            NdpOption::SourceLinkLayer(_) => SOURCE_LINK_LAYER,
            NdpOption::TargetLinkLayer(_) => TARGET_LINK_LAYER,
            NdpOption::PrefixInformation(_) => PREFIX_INFORMATION,
            NdpOption::RedirectedHeader(_) => REDIRECTED_HEADER,
            NdpOption::Mtu(_) => MTU,
            NdpOption::Nonce(_) => NONCE,
            NdpOption::RouteInformation(_) => ROUTE_INFORMATION,
            NdpOption::Rdnss { .. } => RDNSS,
            NdpOption::Dnssl { .. } => DNSSL,
            NdpOption::Other { kind, .. } => *kind,
        };
        writer.put_u8(kind);
        writer.put_u8(u8::try_from(self.encoded_len() / 8).expect("an option of at most 2,040 octets"));
        match *self {
            NdpOption::SourceLinkLayer(mac) | NdpOption::TargetLinkLayer(mac) => writer.put(&mac.0),
            NdpOption::PrefixInformation(info) => {
                writer.put_u8(info.prefix_len);
                writer.put_u8(u8::from(info.on_link) << 7 | u8::from(info.autonomous) << 6);
                writer.put_u32(info.valid_lifetime);
                writer.put_u32(info.preferred_lifetime);
                writer.put_u32(0);
                writer.put(&info.prefix.octets());
            }
            NdpOption::RedirectedHeader(packet) => {
                writer.put(&[0; 6]);
                writer.put(packet);
            }
            NdpOption::Mtu(mtu) => {
                writer.put_u16(0);
                writer.put_u32(mtu);
            }
            NdpOption::Nonce(data) | NdpOption::Other { data, .. } => writer.put(data),
            NdpOption::RouteInformation(route) => {
                writer.put_u8(route.prefix_len);
                writer.put_u8(route.preference.bits() << 3);
                writer.put_u32(route.lifetime);
                writer.put(&route.prefix.octets()[..end - writer.len()]);
            }
            NdpOption::Rdnss { lifetime, servers } => {
                writer.put_u16(0);
                writer.put_u32(lifetime);
                servers.0.iter().for_each(|server| writer.put(server));
            }
            NdpOption::Dnssl { lifetime, names } => {
                writer.put_u16(0);
                writer.put_u32(lifetime);
                writer.put(names);
            }
        }
        writer.zero_to(end);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn written(option: NdpOption<'_>) -> Vec<u8> {
        let mut bytes = alloc::vec![0xff; option.encoded_len()];
        option.emit(&mut Writer::new(&mut bytes));
        bytes
    }

    #[test]
    fn each_option_reads_as_it_was_written() {
        let servers = [[1; 16], [2; 16]];
        let prefix: Ipv6Addr = "2001:db8:1::".parse().unwrap();
        let info = PrefixInformation {
            prefix_len: 64,
            on_link: true,
            autonomous: false,
            valid_lifetime: 7200,
            preferred_lifetime: u32::MAX,
            prefix,
        };
        let route = |prefix_len| {
            let prefix = if prefix_len == 0 { Ipv6Addr::UNSPECIFIED } else { prefix };
            NdpOption::RouteInformation(RouteInformation { prefix_len, preference: Preference::High, lifetime: 9, prefix })
        };
        for option in [
            NdpOption::SourceLinkLayer(MacAddr([1, 2, 3, 4, 5, 6])),
            NdpOption::TargetLinkLayer(MacAddr([6, 5, 4, 3, 2, 1])),
            NdpOption::PrefixInformation(info),
            NdpOption::PrefixInformation(PrefixInformation { on_link: false, autonomous: true, ..info }),
            NdpOption::RedirectedHeader(&[7; 48]),
            NdpOption::Mtu(1480),
            NdpOption::Nonce(&[1, 2, 3, 4, 5, 6]),
            route(0),
            route(48),
            route(64),
            route(65),
            route(128),
            NdpOption::Rdnss { lifetime: 1200, servers: Servers::new(&servers) },
            NdpOption::Dnssl { lifetime: 1200, names: b"\x07example\x03com\0\0\0\0" },
            NdpOption::Other { kind: 200, data: &[3; 14] },
        ] {
            let bytes = written(option);
            assert!(bytes.len().is_multiple_of(8));
            assert_eq!(NdpOptions::parse(&bytes).unwrap().collect::<Vec<_>>(), [option]);
        }
    }

    #[test]
    fn what_has_another_length_than_it_can_have_is_another_option() {
        for (bytes, kind) in [
            (&[SOURCE_LINK_LAYER, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], SOURCE_LINK_LAYER),
            (&[PREFIX_INFORMATION, 1, 64, 0xc0, 0, 0, 0, 0], PREFIX_INFORMATION),
            (&[RDNSS, 1, 0, 0, 0, 0, 0, 0], RDNSS),
            (&[RDNSS, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], RDNSS),
            (&[ROUTE_INFORMATION, 1, 1, 0, 0, 0, 0, 0], ROUTE_INFORMATION),
            (&[ROUTE_INFORMATION, 3, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ROUTE_INFORMATION),
        ] {
            let option = NdpOptions::parse(bytes).unwrap().next();
            assert_eq!(option, Some(NdpOption::Other { kind, data: &bytes[2..] }));
        }
    }

    #[test]
    fn a_length_that_cannot_be_drops_the_message() {
        for bytes in [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[1], &[1, 2, 0, 0, 0, 0, 0, 0], &[5, 1, 0, 0, 0, 0, 5, 220, 9]] {
            assert_eq!(NdpOptions::parse(bytes).err(), Some(Malformed::Option), "{bytes:?}");
        }
    }

    #[test]
    fn addresses_of_servers_are_read() {
        let servers = [Ipv6Addr::LOCALHOST.octets()];
        assert_eq!(Servers::new(&servers).iter().collect::<Vec<_>>(), [Ipv6Addr::LOCALHOST]);
    }
}
