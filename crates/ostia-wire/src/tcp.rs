//! TCP segments (RFC 9293, 3.1).

use core::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16, big_endian::U32};

use crate::checksum;
use crate::frame::Checksum;
use crate::malformed::Malformed;
use crate::protocol;
use crate::tcp_flags::Flags;
use crate::tcp_options::{OptionIter, OptionOrder, TcpOptions};

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) source_port: U16,
    pub(crate) destination_port: U16,
    pub(crate) sequence: U32,
    pub(crate) acknowledgment: U32,
    pub(crate) offset_and_flags: U16,
    pub(crate) window: U16,
    pub(crate) checksum: U16,
    pub(crate) urgent: U16,
}

/// Octets of a header without options.
pub const HEADER_LEN: usize = size_of::<Header>();
/// The most octets of options.
pub const MAX_OPTIONS: usize = 40;
/// Where the checksum stands in the header.
pub const CHECKSUM_AT: usize = 16;

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    header: &'a Header,
    bytes: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Reads a segment. The checksum is checked by [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// [`Malformed::Short`], and [`Malformed::HeaderLength`] if the data offset is below 5, or more than there is.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Tcp<'a>, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        let tcp = Tcp { header, bytes };
        if tcp.header_len() < HEADER_LEN || tcp.header_len() > bytes.len() {
            return Err(Malformed::HeaderLength);
        }
        Ok(tcp)
    }

    /// The port of the sender.
    #[inline]
    pub fn source_port(&self) -> u16 {
        self.header.source_port.get()
    }

    /// The port of the receiver.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        self.header.destination_port.get()
    }

    /// The sequence number of the first octet of data, or of the SYN.
    #[inline]
    pub fn sequence(&self) -> u32 {
        self.header.sequence.get()
    }

    /// The next sequence number that the sender expects; counts with [`Flags::ACK`] only.
    #[inline]
    pub fn acknowledgment(&self) -> u32 {
        self.header.acknowledgment.get()
    }

    /// The control bits.
    #[inline]
    pub fn flags(&self) -> Flags {
        Flags(self.header.offset_and_flags.get() & Flags::ALL.0)
    }

    /// The window as it stands in the header, not scaled.
    #[inline]
    pub fn window(&self) -> u16 {
        self.header.window.get()
    }

    /// The urgent pointer; counts with [`Flags::URG`] only.
    #[inline]
    pub fn urgent(&self) -> u16 {
        self.header.urgent.get()
    }

    /// The checksum as it stands in the header.
    pub fn checksum(&self) -> u16 {
        self.header.checksum.get()
    }

    /// Octets of the header with its options.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.header.offset_and_flags.get() >> 12) * 4
    }

    /// The octets of the options, padding included.
    #[inline]
    pub fn option_bytes(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..self.header_len()).unwrap_or_default()
    }

    /// The options, one after the other.
    pub fn options(&self) -> OptionIter<'a> {
        OptionIter::new(self.option_bytes())
    }

    /// The data.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len()..).unwrap_or_default()
    }

    /// Whether the checksum is right between these addresses.
    #[inline]
    pub fn verify_checksum(&self, source: IpAddr, destination: IpAddr) -> bool {
        checksum::transport(self.bytes, protocol::TCP, source, destination) == 0
    }
}

/// What to write into a TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpEmit {
    /// The port of the sender.
    pub source_port: u16,
    /// The port of the receiver.
    pub destination_port: u16,
    /// The sequence number of the first octet of data, or of the SYN.
    pub sequence: u32,
    /// The next sequence number expected.
    pub acknowledgment: u32,
    /// The control bits.
    pub flags: Flags,
    /// The window as it is to stand in the header, scaled down.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The options. Those that have no room are left out: SACK blocks first.
    pub options: TcpOptions,
    /// How they are laid out.
    pub order: OptionOrder,
}

impl TcpEmit {
    /// Octets of the header with its options.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.encoded_len(self.order)
    }

    /// Writes the header to the first [`header_len`](Self::header_len) bytes. The checksum is 0 until
    /// [`finish_checksum`] or [`partial_checksum`] has set it.
    ///
    /// # Panics
    /// If `buf` is shorter.
    #[inline]
    pub fn emit(&self, buf: &mut [u8]) {
        let (fixed, rest) = buf.split_at_mut(HEADER_LEN);
        let header_len = HEADER_LEN + self.options.emit(self.order, rest);
        let header = Header {
            source_port: self.source_port.into(),
            destination_port: self.destination_port.into(),
            sequence: self.sequence.into(),
            acknowledgment: self.acknowledgment.into(),
            offset_and_flags: ((header_len as u16 / 4) << 12 | self.flags.0 & Flags::ALL.0).into(),
            window: self.window.into(),
            checksum: 0.into(),
            urgent: self.urgent.into(),
        };
        fixed.copy_from_slice(header.as_bytes());
    }
}

/// Sets the checksum of a segment, header and data, between these addresses. The field may hold anything before.
///
/// # Panics
/// If there is less than a header.
pub fn finish_checksum(segment: &mut [u8], source: IpAddr, destination: IpAddr) {
    segment[CHECKSUM_AT..][..2].fill(0);
    let value = checksum::transport(segment, protocol::TCP, source, destination);
    segment[CHECKSUM_AT..][..2].copy_from_slice(&value.to_be_bytes());
}

/// Sets the checksum field of a header to the pseudo header's sum for `segment_len` octets of header and data, to be
/// completed by the device. Returns the state of a frame that starts with the header.
///
/// # Panics
/// If there is less than a header.
pub fn partial_checksum(header: &mut [u8], source: IpAddr, destination: IpAddr, segment_len: usize) -> Checksum {
    Checksum::put_partial(header, CHECKSUM_AT, protocol::TCP, (source, destination), segment_len)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::frame::Frame;
    use crate::tcp_options::Timestamps;

    fn emit() -> TcpEmit {
        TcpEmit {
            source_port: 443,
            destination_port: 51234,
            sequence: 0xfedc_ba98,
            acknowledgment: 0x0123_4567,
            flags: Flags::PSH | Flags::ACK | Flags::AE,
            window: 502,
            urgent: 9,
            options: TcpOptions { timestamps: Some(Timestamps { value: 7, echo: 8 }), ..TcpOptions::default() },
            order: OptionOrder::Linux,
        }
    }

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn a_segment_reads_as_it_was_written() {
        let emit = emit();
        let mut bytes = [0x55; 37];
        assert_eq!(emit.header_len(), 32);
        emit.emit(&mut bytes);
        finish_checksum(&mut bytes, A, B);
        let tcp = Tcp::parse(&bytes).unwrap();
        assert_eq!((tcp.source_port(), tcp.destination_port()), (443, 51234));
        assert_eq!((tcp.sequence(), tcp.acknowledgment()), (0xfedc_ba98, 0x0123_4567));
        assert_eq!((tcp.flags(), tcp.window(), tcp.urgent(), tcp.header_len()), (emit.flags, 502, 9, 32));
        assert_eq!(TcpOptions::parse(tcp.option_bytes()), Ok(emit.options));
        assert_eq!(tcp.payload(), [0x55; 5]);
        assert!(tcp.verify_checksum(A, B) && !tcp.verify_checksum(A, A));
    }

    #[test]
    fn a_partial_checksum_is_completed_to_the_same() {
        let mut whole = [0x55; 37];
        emit().emit(&mut whole);
        let mut frame = Frame::from_slice(&whole);
        finish_checksum(&mut whole, A, B);
        frame.meta.checksum = partial_checksum(frame.as_mut_slice(), A, B, 37);
        frame.push_front(20);
        frame.complete_checksum();
        assert_eq!(&frame.as_slice()[20..], whole);
    }

    #[test]
    fn a_data_offset_outside_the_segment_is_refused() {
        let mut bytes = [0; 24];
        emit().emit(&mut [0; 32]);
        for (offset, error) in [(4, Some(Malformed::HeaderLength)), (5, None), (6, None), (7, Some(Malformed::HeaderLength))] {
            bytes[12] = offset << 4;
            assert_eq!(Tcp::parse(&bytes).err(), error, "{offset}");
        }
        assert_eq!(Tcp::parse(&bytes[..19]).err(), Some(Malformed::Short));
    }
}
