//! IPv6 packets (RFC 8200).

use core::net::Ipv6Addr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16, big_endian::U32};

use crate::ipv6_extensions::{self, Problem, Upper};
use crate::malformed::Malformed;

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    version_class_label: U32,
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

/// Octets of the fixed header.
pub const HEADER_LEN: usize = size_of::<Header>();
/// Where the next-header field stands in it.
pub const NEXT_HEADER_AT: usize = 6;
/// The least MTU of a link (RFC 8200, 5).
pub const MIN_MTU: usize = 1280;

/// An IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    header: &'a Header,
    /// The packet, without what is behind its payload length.
    bytes: &'a [u8],
}

impl<'a> Ipv6<'a> {
    /// Reads a packet; bytes behind its payload length are padding of the link. Jumbograms (RFC 2675) are not known.
    ///
    /// # Errors
    /// [`Malformed::Short`], [`Malformed::Version`], and [`Malformed::Length`] if the payload length is more than there is.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Ipv6<'a>, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        if header.version_class_label.get() >> 28 != 6 {
            return Err(Malformed::Version);
        }
        let len = HEADER_LEN + usize::from(header.payload_len.get());
        let bytes = bytes.get(..len).ok_or(Malformed::Length)?;
        Ok(Ipv6 { header, bytes })
    }

    /// Reads the header and what there is of the rest: an ICMP error quotes only the start of a packet, so the payload length
    /// may say more than there is.
    ///
    /// # Errors
    /// [`Malformed::Short`], [`Malformed::Version`].
    pub fn parse_quoted(bytes: &'a [u8]) -> Result<Ipv6<'a>, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        if header.version_class_label.get() >> 28 != 6 {
            return Err(Malformed::Version);
        }
        let end = (HEADER_LEN + usize::from(header.payload_len.get())).min(bytes.len());
        Ok(Ipv6 { header, bytes: bytes.get(..end).unwrap_or_default() })
    }

    /// Where it comes from.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        self.header.source.into()
    }

    /// Where it goes.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        self.header.destination.into()
    }

    /// What follows the fixed header: an extension header or what [`upper`](Self::upper) finds.
    #[inline]
    pub fn next_header(&self) -> u8 {
        self.header.next_header
    }

    /// How many more hops it may go.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.header.hop_limit
    }

    /// The traffic class: DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (self.header.version_class_label.get() >> 20) as u8
    }

    /// The differentiated services code point (RFC 2474).
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// The ECN field (RFC 3168, 5): 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced.
    #[inline]
    pub fn ecn(&self) -> u8 {
        self.traffic_class() & 3
    }

    /// The flow label, 20 bits (RFC 6437).
    #[inline]
    pub fn flow_label(&self) -> u32 {
        self.header.version_class_label.get() & 0xf_ffff
    }

    /// Octets behind the fixed header, as the header says.
    #[inline]
    pub fn payload_len(&self) -> usize {
        usize::from(self.header.payload_len.get())
    }

    /// Octets of the packet, as the header says.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + self.payload_len()
    }

    /// What is behind the fixed header: extension headers and the rest.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// The packet, without what is behind its payload length.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Walks over the extension headers to what the packet carries.
    ///
    /// # Errors
    /// What is wrong, and whether its source is to be told.
    #[inline]
    pub fn upper(&self) -> Result<Upper<'a>, Problem> {
        ipv6_extensions::walk(self.bytes, self.header.next_header)
    }
}

/// What to write into an IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Emit {
    /// Where it comes from.
    pub source: Ipv6Addr,
    /// Where it goes.
    pub destination: Ipv6Addr,
    /// What follows: see [`protocol`](crate::protocol).
    pub next_header: u8,
    /// How many hops it may go.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The flow label, of which 20 bits are written.
    pub flow_label: u32,
}

impl Ipv6Emit {
    /// Octets of the header.
    pub fn header_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header to the first [`HEADER_LEN`] bytes; `payload_len` is of all that follows, extension headers too.
    ///
    /// # Panics
    /// If `buf` is shorter, or the payload longer than 65,535 octets.
    #[inline]
    pub fn emit(&self, buf: &mut [u8], payload_len: usize) {
        let header = Header {
            version_class_label: (6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff).into(),
            payload_len: u16::try_from(payload_len).expect("a payload of at most 65,535 octets").into(),
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            source: self.source.octets(),
            destination: self.destination.octets(),
        };
        header.write_to_prefix(buf).expect("room for the IPv6 header");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        let emit = Ipv6Emit {
            source: "2001:db8::1".parse().unwrap(),
            destination: "fe80::2".parse().unwrap(),
            next_header: crate::protocol::TCP,
            hop_limit: 255,
            traffic_class: 0xb9,
            flow_label: 0xfff1_2345,
        };
        let mut bytes = [9; 50];
        emit.emit(&mut bytes, 7);
        let packet = Ipv6::parse(&bytes).unwrap();
        assert_eq!((packet.source(), packet.destination()), (emit.source, emit.destination));
        assert_eq!((packet.next_header(), packet.hop_limit(), packet.traffic_class()), (6, 255, 0xb9));
        assert_eq!((packet.dscp(), packet.ecn(), packet.flow_label()), (0x2e, 1, 0x1_2345));
        assert_eq!((packet.payload_len(), packet.total_len(), packet.payload()), (7, 47, &[9; 7][..]));
        assert_eq!(Ipv6::parse(&bytes[..46]).err(), Some(Malformed::Length));
        assert_eq!(Ipv6::parse_quoted(&bytes[..46]).unwrap().payload(), [9; 6]);
        assert_eq!(Ipv6::parse(&bytes[..39]).err(), Some(Malformed::Short));
        bytes[0] = 0x45;
        assert_eq!(Ipv6::parse(&bytes).err(), Some(Malformed::Version));
        assert_eq!(Ipv6::parse_quoted(&bytes).err(), Some(Malformed::Version));
    }
}
