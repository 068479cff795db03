//! What ICMP for IPv4 and for IPv6 have in common: the header, and the length of what an error quotes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::malformed::Malformed;

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    checksum: U16,
    pub(crate) rest: [u8; 4],
}

/// Octets of the header.
pub(crate) const HEADER_LEN: usize = size_of::<Header>();

impl Header {
    /// The header of a message.
    pub(crate) fn of(message: &[u8]) -> Result<&Header, Malformed> {
        Header::ref_from_prefix(message).map(|(header, _)| header).map_err(|_| Malformed::Short)
    }

    /// Writes a header, with 0 for the checksum.
    ///
    /// # Panics
    /// If `message` is shorter.
    pub(crate) fn put(kind: u8, code: u8, rest: [u8; 4], message: &mut [u8]) {
        let header = Header { kind, code, checksum: 0.into(), rest };
        header.write_to_prefix(message).expect("room for the ICMP header");
    }
}

/// The quoted packet without extensions: its length may stand in the header, in units of so many octets (RFC 4884, 4).
pub(crate) fn original(len: u8, unit: usize, rest: &[u8]) -> &[u8] {
    match usize::from(len) * unit {
        0 => rest,
        len => rest.get(..len).unwrap_or(rest),
    }
}

/// The last four octets of the header, where they are two numbers.
pub(crate) fn two(high: u16, low: u16) -> [u8; 4] {
    (u32::from(high) << 16 | u32::from(low)).to_be_bytes()
}
