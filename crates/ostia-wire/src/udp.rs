//! UDP datagrams (RFC 768).

use core::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::checksum;
use crate::frame::Checksum;
use crate::malformed::Malformed;
use crate::protocol;

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    source_port: U16,
    destination_port: U16,
    len: U16,
    checksum: U16,
}

/// Octets of a header.
pub const HEADER_LEN: usize = size_of::<Header>();
/// Where the checksum stands in the header.
pub const CHECKSUM_AT: usize = 6;

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    header: &'a Header,
    /// The datagram, without what is behind its length.
    bytes: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Reads a datagram; bytes behind its length are dropped. The checksum is checked by
    /// [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// [`Malformed::Short`], and [`Malformed::Length`] if the length is below the header's, or more than there is.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Udp<'a>, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        let len = usize::from(header.len.get());
        if len < HEADER_LEN {
            return Err(Malformed::Length);
        }
        let bytes = bytes.get(..len).ok_or(Malformed::Length)?;
        Ok(Udp { header, bytes })
    }

    /// The port of the sender; 0 if it wants no answer.
    #[inline]
    pub fn source_port(&self) -> u16 {
        self.header.source_port.get()
    }

    /// The port of the receiver.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        self.header.destination_port.get()
    }

    /// The checksum as it stands in the header; 0 means there is none.
    pub fn checksum(&self) -> u16 {
        self.header.checksum.get()
    }

    /// The data.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Whether the checksum is right between these addresses. Over IPv4 a datagram may have none (RFC 768), over IPv6 it
    /// must have one (RFC 8200, 8.1).
    #[inline]
    pub fn verify_checksum(&self, source: IpAddr, destination: IpAddr) -> bool {
        if self.checksum() == 0 {
            return source.is_ipv4();
        }
        checksum::transport(self.bytes, protocol::UDP, source, destination) == 0
    }
}

/// Writes a header for `payload_len` octets of data to the first [`HEADER_LEN`] bytes. The checksum is 0 until
/// [`finish_checksum`] or [`partial_checksum`] has set it.
///
/// # Panics
/// If `buf` is shorter, or header and data together exceed 65,535 octets.
pub fn emit(buf: &mut [u8], source_port: u16, destination_port: u16, payload_len: usize) {
    let len = u16::try_from(HEADER_LEN + payload_len).expect("a datagram of at most 65,535 octets").into();
    let header = Header { source_port: source_port.into(), destination_port: destination_port.into(), len, checksum: 0.into() };
    header.write_to_prefix(buf).expect("room for the UDP header");
}

/// Sets the checksum of a datagram, header and data, between these addresses. The field may hold anything before.
///
/// # Panics
/// If there is less than a header.
pub fn finish_checksum(datagram: &mut [u8], source: IpAddr, destination: IpAddr) {
    datagram[CHECKSUM_AT..][..2].fill(0);
    let value = checksum::never_zero(checksum::transport(datagram, protocol::UDP, source, destination));
    datagram[CHECKSUM_AT..][..2].copy_from_slice(&value.to_be_bytes());
}

/// Sets the checksum field of a header to the pseudo header's sum for `datagram_len` octets of header and data, to be
/// completed by the device. Returns the state of a frame that starts with the header.
///
/// # Panics
/// If there is less than a header.
pub fn partial_checksum(header: &mut [u8], source: IpAddr, destination: IpAddr, datagram_len: usize) -> Checksum {
    Checksum::put_partial(header, CHECKSUM_AT, protocol::UDP, (source, destination), datagram_len)
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::frame::Frame;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn a_datagram_reads_as_it_was_written() {
        let mut bytes = [3; 15];
        emit(&mut bytes, 53, 40000, 5);
        finish_checksum(&mut bytes[..13], A, B);
        let udp = Udp::parse(&bytes).unwrap();
        assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (53, 40000, &[3; 5][..]));
        assert!(udp.verify_checksum(A, B) && !udp.verify_checksum(A, A));
        assert_eq!(Udp::parse(&bytes[..12]).err(), Some(Malformed::Length));
        assert_eq!(Udp::parse(&bytes[..7]).err(), Some(Malformed::Short));
        bytes[5] = 7;
        assert_eq!(Udp::parse(&bytes).err(), Some(Malformed::Length));
    }

    #[test]
    fn a_datagram_without_checksum_is_right_over_ipv4_only() {
        let mut bytes = [0; 8];
        emit(&mut bytes, 1, 2, 0);
        let udp = Udp::parse(&bytes).unwrap();
        assert!(udp.verify_checksum(A, B) && !udp.verify_checksum(SIX, SIX));
    }

    #[test]
    fn a_sum_that_would_mean_no_checksum_is_sent_as_all_ones() {
        let mut bytes = [0; 10];
        emit(&mut bytes, 1, 2, 2);
        // The payload completes the sum of the rest to 0xffff.
        let rest = checksum::pseudo(A, B, protocol::UDP, 10) + checksum::sum(&bytes, 0);
        bytes[8..].copy_from_slice(&checksum::fold(rest).to_be_bytes());
        let mut frame = Frame::from_slice(&bytes);
        finish_checksum(&mut bytes, A, B);
        let udp = Udp::parse(&bytes).unwrap();
        assert_eq!(udp.checksum(), 0xffff);
        assert!(udp.verify_checksum(A, B));
        frame.meta.checksum = partial_checksum(frame.as_mut_slice(), A, B, 10);
        frame.complete_checksum();
        assert_eq!(frame.as_slice(), bytes);
    }
}
