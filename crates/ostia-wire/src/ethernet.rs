//! Ethernet II frames, and 802.1Q tags.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::malformed::Malformed;

/// A 48-bit link-layer address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Every station of the link.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    /// No station: the target of an ARP request.
    pub const ZERO: MacAddr = MacAddr([0; 6]);

    /// Whether it is [`BROADCAST`](Self::BROADCAST).
    pub fn is_broadcast(self) -> bool {
        self == MacAddr::BROADCAST
    }

    /// Whether it names a group; the broadcast address does.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether it can be the address of one station: neither a group's nor zero.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != MacAddr::ZERO
    }

    /// Where packets to an IPv4 group go (RFC 1112, 6.4).
    pub fn multicast_v4(group: Ipv4Addr) -> MacAddr {
        let [_, b, c, d] = group.octets();
        MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// Where packets to an IPv6 group go (RFC 2464, 7).
    pub fn multicast_v6(group: Ipv6Addr) -> MacAddr {
        let [.., a, b, c, d] = group.octets();
        MacAddr([0x33, 0x33, a, b, c, d])
    }

    /// The interface identifier made of it: ff:fe put in the middle, the universal/local bit inverted (RFC 4291, appendix A).
    pub fn modified_eui64(self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.0;
        [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an Ethernet frame carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: EtherType = EtherType(0x0800);
    /// ARP (RFC 826).
    pub const ARP: EtherType = EtherType(0x0806);
    /// An 802.1Q tag follows.
    pub const VLAN: EtherType = EtherType(0x8100);
    /// An outer 802.1ad tag follows.
    pub const SERVICE_VLAN: EtherType = EtherType(0x88a8);
    /// IPv6 (RFC 2464).
    pub const IPV6: EtherType = EtherType(0x86dd);
    /// The least type: below are the lengths of IEEE 802.3 frames.
    pub const LEAST: u16 = 0x0600;
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    destination: MacAddr,
    source: MacAddr,
    kind: U16,
}

/// Octets of an Ethernet header.
pub const HEADER_LEN: usize = size_of::<Header>();

/// An Ethernet frame, without its frame check sequence.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a> {
    header: &'a Header,
    payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// [`Malformed::Short`]; [`Malformed::Kind`] if it has a length in place of a type (IEEE 802.3 with LLC), which IP does
    /// not use here.
    pub fn parse(bytes: &'a [u8]) -> Result<Ethernet<'a>, Malformed> {
        let (header, payload) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        if header.kind.get() < EtherType::LEAST {
            return Err(Malformed::Kind);
        }
        Ok(Ethernet { header, payload })
    }

    /// Where it goes.
    pub fn destination(&self) -> MacAddr {
        self.header.destination
    }

    /// Where it comes from.
    pub fn source(&self) -> MacAddr {
        self.header.source
    }

    /// What it carries.
    pub fn ethertype(&self) -> EtherType {
        EtherType(self.header.kind.get())
    }

    /// What is behind the header; padding of short frames is part of it.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Writes a header to the first [`HEADER_LEN`] bytes.
///
/// # Panics
/// If `buf` is shorter.
pub fn emit(buf: &mut [u8], source: MacAddr, destination: MacAddr, ethertype: EtherType) {
    let header = Header { destination, source, kind: ethertype.0.into() };
    header.write_to_prefix(buf).expect("room for the Ethernet header");
}

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tag {
    control: U16,
    kind: U16,
}

/// What follows an [`EtherType::VLAN`]: a tag, and what the tagged frame carries (IEEE 802.1Q, 9.6).
#[derive(Clone, Copy, Debug)]
pub struct Vlan<'a> {
    tag: &'a Tag,
    payload: &'a [u8],
}

impl<'a> Vlan<'a> {
    /// Reads a tag at the start of an Ethernet frame's payload.
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn parse(bytes: &'a [u8]) -> Result<Vlan<'a>, Malformed> {
        let (tag, payload) = Tag::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        Ok(Vlan { tag, payload })
    }

    /// The VLAN's number, 0 to 4095; 0 is a priority tag without a VLAN.
    pub fn identifier(&self) -> u16 {
        self.tag.control.get() & 0x0fff
    }

    /// The priority code point, 0 to 7.
    pub fn priority(&self) -> u8 {
        (self.tag.control.get() >> 13) as u8
    }

    /// Whether the frame may be dropped first.
    pub fn drop_eligible(&self) -> bool {
        self.tag.control.get() & 0x1000 != 0
    }

    /// What the tagged frame carries.
    pub fn ethertype(&self) -> EtherType {
        EtherType(self.tag.kind.get())
    }

    /// What is behind the tag.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        let mut bytes = [0xee; HEADER_LEN + 2];
        let (source, destination) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr::multicast_v6("ff02::1:ff00:7".parse().unwrap()));
        emit(&mut bytes, source, destination, EtherType::IPV6);
        let frame = Ethernet::parse(&bytes).unwrap();
        assert_eq!((frame.source(), frame.destination(), frame.ethertype()), (source, destination, EtherType::IPV6));
        assert_eq!(frame.payload(), [0xee; 2]);
        assert_eq!(Ethernet::parse(&bytes[..13]).err(), Some(Malformed::Short));
    }

    #[test]
    fn a_length_is_no_type() {
        let mut bytes = [0; 60];
        emit(&mut bytes, MacAddr::ZERO, MacAddr::BROADCAST, EtherType(46));
        assert_eq!(Ethernet::parse(&bytes).err(), Some(Malformed::Kind));
    }

    #[test]
    fn tags_are_read() {
        let tag = Vlan::parse(&[0xb0, 0x07, 0x08, 0x00, 9]).unwrap();
        assert_eq!((tag.identifier(), tag.priority(), tag.drop_eligible()), (7, 5, true));
        assert_eq!((tag.ethertype(), tag.payload()), (EtherType::IPV4, &[9][..]));
    }

    #[test]
    fn groups_map_to_their_addresses() {
        assert_eq!(alloc::format!("{}", MacAddr::multicast_v4(Ipv4Addr::new(239, 129, 2, 3))), "01:00:5e:01:02:03");
        assert!(MacAddr::BROADCAST.is_multicast() && !MacAddr::ZERO.is_unicast() && MacAddr([2, 0, 0, 0, 0, 9]).is_unicast());
        assert_eq!(
            MacAddr([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]).modified_eui64(),
            [0x36, 0x56, 0x78, 0xff, 0xfe, 0x9a, 0xbc, 0xde]
        );
    }
}
