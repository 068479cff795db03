//! IPv4 packets (RFC 791).

use core::net::Ipv4Addr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::checksum;
use crate::ipv4_options::Ipv4Options;
use crate::malformed::Malformed;

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    version_and_len: u8,
    tos: u8,
    total_len: U16,
    identification: U16,
    flags_and_offset: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}

/// Octets of a header without options.
pub const HEADER_LEN: usize = size_of::<Header>();
/// The most octets of options (RFC 791, 3.1).
pub const MAX_OPTIONS: usize = 40;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// An IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    header: &'a Header,
    /// The packet, without what is behind its total length.
    bytes: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Reads a packet; bytes behind its total length are padding of the link. The checksum is checked by
    /// [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// [`Malformed::Short`], [`Malformed::Version`], [`Malformed::HeaderLength`], and [`Malformed::Length`] if the total
    /// length is below the header's, or more than there is.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Ipv4<'a>, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        if header.version_and_len >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let header_len = header_len(header);
        if header_len < HEADER_LEN {
            return Err(Malformed::HeaderLength);
        }
        let total_len = usize::from(header.total_len.get());
        if total_len < header_len {
            return Err(Malformed::Length);
        }
        let bytes = bytes.get(..total_len).ok_or(Malformed::Length)?;
        Ok(Ipv4 { header, bytes })
    }

    /// Reads the header and what there is of the rest: an ICMP error quotes only the start of a packet, so the total length
    /// may say more than there is.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for the total length.
    pub fn parse_quoted(bytes: &'a [u8]) -> Result<Ipv4<'a>, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        if header.version_and_len >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let header_len = header_len(header);
        if header_len < HEADER_LEN || header_len > bytes.len() {
            return Err(Malformed::HeaderLength);
        }
        let end = usize::from(header.total_len.get()).max(header_len).min(bytes.len());
        Ok(Ipv4 { header, bytes: bytes.get(..end).unwrap_or_default() })
    }

    /// Where it comes from.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        self.header.source.into()
    }

    /// Where it goes.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        self.header.destination.into()
    }

    /// What it carries: see [`protocol`](crate::protocol).
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.header.protocol
    }

    /// How many more hops it may go.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.header.ttl
    }

    /// The type of service octet: DSCP and ECN.
    #[inline]
    pub fn tos(&self) -> u8 {
        self.header.tos
    }

    /// The differentiated services code point (RFC 2474).
    pub fn dscp(&self) -> u8 {
        self.header.tos >> 2
    }

    /// The ECN field (RFC 3168, 5): 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced.
    #[inline]
    pub fn ecn(&self) -> u8 {
        self.header.tos & 3
    }

    /// What the fragments of one packet have in common.
    pub fn identification(&self) -> u16 {
        self.header.identification.get()
    }

    /// Whether routers must not fragment it.
    pub fn dont_fragment(&self) -> bool {
        self.header.flags_and_offset.get() & DONT_FRAGMENT != 0
    }

    /// Whether fragments follow behind this one.
    pub fn more_fragments(&self) -> bool {
        self.header.flags_and_offset.get() & MORE_FRAGMENTS != 0
    }

    /// Where the payload stands in that of the whole packet, in octets.
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.header.flags_and_offset.get() & 0x1fff) * 8
    }

    /// Whether it is a fragment.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.header.flags_and_offset.get() & (MORE_FRAGMENTS | 0x1fff) != 0
    }

    /// Octets of the header with its options.
    #[inline]
    pub fn header_len(&self) -> usize {
        header_len(self.header)
    }

    /// Octets of the packet, as the header says.
    #[inline]
    pub fn total_len(&self) -> usize {
        usize::from(self.header.total_len.get())
    }

    /// The octets of the options, padding included.
    pub fn option_bytes(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..self.header_len()).unwrap_or_default()
    }

    /// The options, one after the other.
    pub fn options(&self) -> Ipv4Options<'a> {
        Ipv4Options::new(self.option_bytes())
    }

    /// What it carries.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len()..).unwrap_or_default()
    }

    /// Whether the header's checksum is right.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        self.bytes.get(..self.header_len()).is_some_and(|header| checksum::fold(checksum::sum(header, 0)) == 0)
    }
}

#[inline]
fn header_len(header: &Header) -> usize {
    usize::from(header.version_and_len & 0xf) * 4
}

/// What to write into an IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Emit<'a> {
    /// Where it comes from.
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: Ipv4Addr,
    /// What it carries: see [`protocol`](crate::protocol).
    pub protocol: u8,
    /// How many hops it may go.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// What the fragments of one packet have in common.
    pub identification: u16,
    /// Whether routers must not fragment it.
    pub dont_fragment: bool,
    /// Whether fragments follow behind this one.
    pub more_fragments: bool,
    /// Where the payload stands in that of the whole packet, in octets: a multiple of 8, at most 65,528.
    pub fragment_offset: u16,
    /// Octets of options, at most [`MAX_OPTIONS`]; padded with the end of options.
    pub options: &'a [u8],
}

impl Ipv4Emit<'_> {
    /// Octets of the header with its options.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len().next_multiple_of(4)
    }

    /// Writes the header with its checksum to the first [`header_len`](Self::header_len) bytes.
    ///
    /// # Panics
    /// If `buf` is shorter, if there are more options than fit, or if header and payload together exceed 65,535 octets.
    #[inline]
    pub fn emit(&self, buf: &mut [u8], payload_len: usize) {
        let header_len = self.header_len();
        assert!(header_len <= HEADER_LEN + MAX_OPTIONS, "options fit in the header");
        let mut flags_and_offset = self.fragment_offset / 8;
        if self.dont_fragment {
            flags_and_offset |= DONT_FRAGMENT;
        }
        if self.more_fragments {
            flags_and_offset |= MORE_FRAGMENTS;
        }
        let mut header = Header {
            version_and_len: 0x40 | (header_len / 4) as u8,
            tos: self.tos,
            total_len: u16::try_from(header_len + payload_len).expect("a packet of at most 65,535 octets").into(),
            identification: self.identification.into(),
            flags_and_offset: flags_and_offset.into(),
            ttl: self.ttl,
            protocol: self.protocol,
            checksum: 0.into(),
            source: self.source.octets(),
            destination: self.destination.octets(),
        };
        let buf = &mut buf[..header_len];
        let (fixed, options) = buf.split_at_mut(HEADER_LEN);
        let (used, padding) = options.split_at_mut(self.options.len());
        used.copy_from_slice(self.options);
        padding.fill(0);
        let total = checksum::sum(header.as_bytes(), 0);
        let total = if options.is_empty() { total } else { checksum::sum(options, total) };
        header.checksum = checksum::fold(total).into();
        fixed.copy_from_slice(header.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMIT: Ipv4Emit<'static> = Ipv4Emit {
        source: Ipv4Addr::new(192, 0, 2, 1),
        destination: Ipv4Addr::new(198, 51, 100, 2),
        protocol: crate::protocol::UDP,
        ttl: 64,
        tos: 0x2a,
        identification: 0x1234,
        dont_fragment: false,
        more_fragments: true,
        fragment_offset: 1480,
        options: &[0x94, 4, 0, 0, 1],
    };

    #[test]
    fn a_header_reads_as_it_was_written() {
        let mut bytes = [0xaa; 40];
        assert_eq!(EMIT.header_len(), 28);
        EMIT.emit(&mut bytes, 5);
        let packet = Ipv4::parse(&bytes).unwrap();
        assert_eq!((packet.source(), packet.destination()), (EMIT.source, EMIT.destination));
        assert_eq!((packet.protocol(), packet.ttl(), packet.tos(), packet.dscp(), packet.ecn()), (17, 64, 0x2a, 10, 2));
        assert_eq!((packet.identification(), packet.fragment_offset()), (0x1234, 1480));
        assert!(packet.more_fragments() && !packet.dont_fragment() && packet.is_fragment());
        assert_eq!((packet.header_len(), packet.total_len()), (28, 33));
        assert_eq!(packet.option_bytes(), [0x94, 4, 0, 0, 1, 0, 0, 0]);
        assert_eq!(packet.payload(), [0xaa; 5], "what is behind the total length is padding");
        assert!(packet.verify_checksum());
        bytes[8] ^= 1;
        assert!(!Ipv4::parse(&bytes).unwrap().verify_checksum());
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let mut good = [0; 28];
        Ipv4Emit { options: &[], ..EMIT }.emit(&mut good, 8);
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Ipv4::parse(&bytes).err()
        };
        assert_eq!(Ipv4::parse(&good[..19]).err(), Some(Malformed::Short));
        assert_eq!(with(0, 0x65), Some(Malformed::Version));
        assert_eq!(with(0, 0x44), Some(Malformed::HeaderLength));
        assert_eq!(with(0, 0x4f), Some(Malformed::Length), "the header is longer than the packet");
        assert_eq!(with(3, 29), Some(Malformed::Length));
        assert_eq!(with(3, 19), Some(Malformed::Length));
        assert_eq!(with(3, 20), None);
    }

    #[test]
    fn a_quoted_packet_may_be_cut() {
        let mut bytes = [7; 28];
        Ipv4Emit { options: &[], ..EMIT }.emit(&mut bytes, 1000);
        assert_eq!(Ipv4::parse(&bytes).err(), Some(Malformed::Length));
        assert_eq!(Ipv4::parse_quoted(&bytes).unwrap().payload(), [7; 8]);
        assert_eq!(Ipv4::parse_quoted(&bytes[..20]).unwrap().payload(), []);
        bytes[0] = 0x4f;
        assert_eq!(Ipv4::parse_quoted(&bytes).err(), Some(Malformed::HeaderLength));
    }
}
