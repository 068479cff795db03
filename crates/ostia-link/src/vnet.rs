//! The header that TUN, TAP and packet sockets put before each frame (`struct virtio_net_hdr`, virtio 1.2, section 5.1.6),
//! to and from what a [`Frame`] says of itself.
//!
//! It is 10 octets long, its fields in the byte order of the machine (the "legacy" interface; `TUNSETVNETLE` is not used):
//! flags, kind of super-segment, length of the headers, payload octets per packet, where the checksum starts, and where its
//! field stands behind that. A checksum that is to be completed is the sum of the pseudo header in its field, as in
//! [`Checksum::Partial`].

use ostia_wire::{Checksum, Flags, Frame, Meta, Vlan, ethernet, tcp, udp};

use crate::facts::Medium;

/// Octets of the header.
pub const LEN: usize = 10;

/// The checksum is partial.
const NEEDS_CHECKSUM: u8 = 1;
/// The checksum has been checked.
const VALID: u8 = 2;

const NONE: u8 = 0;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
/// UDP datagrams, each whole; kind 3, fragments of one datagram, is never asked for.
const UDP: u8 = 5;
/// Added to a kind: the first packet has CWR.
const ECN: u8 = 0x80;

/// The octet of a TCP header that has its length.
const TCP_OFFSET: usize = 12;
const CHECKSUM_LEN: usize = 2;

/// Which super-segments a device takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// TCP's.
    pub tcp: bool,
    /// UDP's.
    pub udp: bool,
}

/// What is to be done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// Send it behind this header.
    Header([u8; LEN]),
    /// The device can't cut it: cut it in software, and send the parts.
    Software,
    /// What it says of itself is not true of its bytes: drop it.
    Malformed,
}

/// Reads a header that was received before a frame of `len` octets. What it leaves out, the time of arrival, is 0.
///
/// `None`: it can't be true, and nothing can be made of the frame: a checksum outside of the frame, a super-segment of a kind
/// that was not asked for or without a size.
pub fn decode(header: &[u8; LEN], len: usize) -> Option<Meta> {
    let [flags, kind, ..] = *header;
    let checksum = if flags & NEEDS_CHECKSUM != 0 {
        let (start, offset) = (field(header, 6), field(header, 8));
        if usize::from(start) + usize::from(offset) + CHECKSUM_LEN > len {
            return None;
        }
        Checksum::Partial { start, offset }
    } else if flags & VALID != 0 {
        Checksum::Valid
    } else {
        Checksum::Unverified
    };
    let gso_size = match kind & !ECN {
        NONE => 0,
        TCP_V4 | TCP_V6 | UDP => Some(field(header, 4)).filter(|size| *size != 0)?,
        _ => return None,
    };
    Some(Meta { checksum, gso_size, arrived: 0 })
}

/// Makes the header for a frame that is to be sent to a device which completes checksums.
pub fn encode(frame: &Frame, medium: Medium, takes: Takes) -> Encoded {
    let (bytes, meta) = (frame.as_slice(), &frame.meta);
    let mut header = [0; LEN];
    let Checksum::Partial { start, offset } = meta.checksum else {
        // Devices cut only what has a partial checksum.
        return if meta.gso_size == 0 { Encoded::Header(header) } else { Encoded::Software };
    };
    if usize::from(start) + usize::from(offset) + CHECKSUM_LEN > bytes.len() {
        return Encoded::Malformed;
    }
    header[0] = NEEDS_CHECKSUM;
    put(&mut header, 6, start);
    put(&mut header, 8, offset);
    if meta.gso_size == 0 {
        return Encoded::Header(header);
    }
    let Some((kind, headers)) = super_segment(bytes, medium, usize::from(start), usize::from(offset)) else {
        return Encoded::Malformed;
    };
    if !(if kind == UDP { takes.udp } else { takes.tcp }) {
        return Encoded::Software;
    }
    if bytes.len() - headers > usize::from(meta.gso_size) {
        header[1] = kind;
        // No longer than a frame whose checksum starts in the first 64 KiB, and 60 more: saturating is for the compiler.
        put(&mut header, 2, u16::try_from(headers).unwrap_or(u16::MAX));
        put(&mut header, 4, meta.gso_size);
    }
    Encoded::Header(header)
}

/// The kind of a super-segment, and the octets of its headers, no more than it has.
fn super_segment(bytes: &[u8], medium: Medium, start: usize, offset: usize) -> Option<(u8, usize)> {
    let version = bytes.get(network_offset(bytes, medium)?)? >> 4;
    let (kind, transport) = match (version, offset) {
        (4, tcp::CHECKSUM_AT) => (TCP_V4, None),
        (6, tcp::CHECKSUM_AT) => (TCP_V6, None),
        (4 | 6, udp::CHECKSUM_AT) => (UDP, Some(udp::HEADER_LEN)),
        _ => return None,
    };
    let Some(transport) = transport else {
        let (length, flags) = (bytes.get(start + TCP_OFFSET)?, bytes.get(start + TCP_OFFSET + 1)?);
        let headers = start + usize::from(length >> 4) * 4;
        let ecn = if u16::from(*flags) & Flags::CWR.0 != 0 { ECN } else { 0 };
        return (headers >= start + tcp::HEADER_LEN && headers <= bytes.len()).then_some((kind | ecn, headers));
    };
    (start + transport <= bytes.len()).then_some((kind, start + transport))
}

/// Where the IP packet in a frame starts; `None` if there is none, or more than one tag before it.
pub(crate) fn network_offset(bytes: &[u8], medium: Medium) -> Option<usize> {
    if medium == Medium::Ip {
        return Some(0);
    }
    use ethernet::EtherType;
    let frame = ostia_wire::Ethernet::parse(bytes).ok()?;
    match frame.ethertype() {
        EtherType::IPV4 | EtherType::IPV6 => Some(ethernet::HEADER_LEN),
        EtherType::VLAN | EtherType::SERVICE_VLAN => {
            let tag = Vlan::parse(frame.payload()).ok()?;
            matches!(tag.ethertype(), EtherType::IPV4 | EtherType::IPV6).then_some(ethernet::HEADER_LEN + 4)
        }
        _ => None,
    }
}

fn field(header: &[u8; LEN], at: usize) -> u16 {
    u16::from_ne_bytes([header[at], header[at + 1]])
}

fn put(header: &mut [u8; LEN], at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Takes = Takes { tcp: true, udp: true };

    /// An IP packet of which only what the header is made from is right.
    fn packet(version: u8, start: usize, transport: &[u8], payload: usize) -> Frame {
        let mut bytes = vec![0; start];
        bytes[0] = version << 4;
        bytes.extend(transport);
        bytes.resize(bytes.len() + payload, 7);
        Frame::from_slice(&bytes)
    }

    fn tcp_header(words: u8, flags: u8) -> Vec<u8> {
        let mut header = vec![0; usize::from(words) * 4];
        header[12] = words << 4;
        header[13] = flags;
        header
    }

    fn header(flags: u8, kind: u8, words: [u16; 4]) -> [u8; LEN] {
        let mut header = [0; LEN];
        header[..2].copy_from_slice(&[flags, kind]);
        words.iter().enumerate().for_each(|(index, word)| put(&mut header, 2 + 2 * index, *word));
        header
    }

    #[test]
    fn a_super_segment_is_described_by_family_protocol_and_lengths() {
        let cases = [
            (packet(4, 20, &tcp_header(8, 0x10), 3000), 20, 16, 1, 52),
            (packet(6, 40, &tcp_header(5, 0x10), 3000), 40, 16, 4, 60),
            (packet(6, 40, &tcp_header(5, 0x90), 3000), 40, 16, 0x84, 60),
            (packet(4, 24, &[0; 8], 3000), 24, 6, 5, 32),
        ];
        for (mut frame, start, offset, kind, headers) in cases {
            frame.meta.checksum = Checksum::Partial { start, offset };
            frame.meta.gso_size = 1400;
            let expected = header(1, kind, [headers, 1400, start, offset]);
            assert_eq!(encode(&frame, Medium::Ip, ALL), Encoded::Header(expected));
            assert_eq!(decode(&expected, frame.len()), Some(frame.meta));
            // On Ethernet all moves on by the header, with a tag by that too.
            for (front, added) in [(&[0x08, 0x00][..], 14), (&[0x81, 0x00, 0, 5, 0x86, 0xdd], 18)] {
                let mut frame = frame.clone();
                let place = frame.push_front(added);
                place.fill(2);
                place[12..].copy_from_slice(front);
                let added = added as u16;
                let expected = header(1, kind, [headers + added, 1400, start + added, offset]);
                assert_eq!(encode(&frame, Medium::Ethernet, ALL), Encoded::Header(expected));
            }
        }
    }

    #[test]
    fn what_fits_one_packet_is_no_super_segment() {
        let mut frame = packet(4, 20, &tcp_header(5, 0x10), 1400);
        frame.meta.checksum = Checksum::Partial { start: 20, offset: 16 };
        frame.meta.gso_size = 1400;
        assert_eq!(encode(&frame, Medium::Ip, ALL), Encoded::Header(header(1, 0, [0, 0, 20, 16])));
        frame.extend(&[1]);
        assert_eq!(encode(&frame, Medium::Ip, ALL), Encoded::Header(header(1, 1, [40, 1400, 20, 16])));
    }

    #[test]
    fn what_the_device_does_not_take_is_for_software() {
        let mut tcp = packet(4, 20, &tcp_header(5, 0), 3000);
        tcp.meta.gso_size = 1000;
        // Its checksum is complete: a device would leave it as it is in every part.
        assert_eq!(encode(&tcp, Medium::Ip, ALL), Encoded::Software);
        tcp.meta.checksum = Checksum::Partial { start: 20, offset: 16 };
        assert_eq!(encode(&tcp, Medium::Ip, Takes { tcp: false, udp: true }), Encoded::Software);
        let mut udp = packet(4, 20, &[0; 8], 3000);
        udp.meta.gso_size = 1000;
        udp.meta.checksum = Checksum::Partial { start: 20, offset: 6 };
        assert_eq!(encode(&udp, Medium::Ip, Takes { tcp: true, udp: false }), Encoded::Software);
        // Neither IP version, neither protocol, a TCP header past the end, no IP at all.
        for (first, offset, length, medium) in [
            (0x50, 16, 0x50, Medium::Ip),
            (0x40, 10, 0x50, Medium::Ip),
            (0x40, 16, 0x40, Medium::Ip),
            (0x40, 16, 0x50, Medium::Ethernet),
        ] {
            let mut frame = tcp.clone();
            frame.as_mut_slice()[0] = first;
            frame.as_mut_slice()[32] = length;
            frame.meta.checksum = Checksum::Partial { start: 20, offset };
            assert_eq!(encode(&frame, medium, ALL), Encoded::Malformed);
        }
        tcp.truncate(45);
        tcp.as_mut_slice()[32] = 0xf0;
        assert_eq!(encode(&tcp, Medium::Ip, ALL), Encoded::Malformed);
    }

    #[test]
    fn checksums_are_partial_checked_or_neither() {
        let words = [0, 0, 20, 16];
        assert_eq!(decode(&header(0, 0, words), 40).unwrap().checksum, Checksum::Unverified);
        assert_eq!(decode(&header(2, 0, words), 40).unwrap().checksum, Checksum::Valid);
        assert_eq!(decode(&header(1, 0, words), 38).unwrap().checksum, Checksum::Partial { start: 20, offset: 16 });
        assert_eq!(decode(&header(1, 0, words), 37), None);
        assert_eq!(decode(&header(1, 0, [0, 0, u16::MAX, u16::MAX]), 65_549), None);
        // Put together from what was checked: no checksum to complete.
        assert_eq!(decode(&header(2, 1, [40, 1400, 0, 0]), 4000).unwrap().gso_size, 1400);
    }

    #[test]
    fn unknown_kinds_and_sizes_of_zero_are_refused() {
        for kind in [2, 3, 6, 0x20, 0x41, 0x83] {
            assert_eq!(decode(&header(1, kind, [40, 1400, 20, 16]), 4000), None, "{kind:#x}");
        }
        for kind in [1, 4, 5, 0x81] {
            assert_eq!(decode(&header(1, kind, [40, 0, 20, 16]), 4000), None);
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused_and_never_points_outside(header: [u8; LEN], len in 0usize..70_000) {
            if let Some(meta) = decode(&header, len) {
                if let Checksum::Partial { start, offset } = meta.checksum {
                    prop_assert!(usize::from(start) + usize::from(offset) + 2 <= len);
                }
                prop_assert_eq!(meta.gso_size != 0, header[1] & !ECN != 0);
            }
        }

        #[test]
        fn what_is_sent_reads_back_as_it_was(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            partial in proptest::option::of((0u16..220, prop_oneof![Just(6u16), Just(16), any::<u16>()])),
            gso_size in prop_oneof![Just(0u16), 1u16..200],
            ethernet: bool,
            v6: bool,
        ) {
            let medium = if ethernet { Medium::Ethernet } else { Medium::Ip };
            let mut frame = Frame::from_slice(&bytes);
            // Make most of the random bytes IP.
            let network = if ethernet { 14 } else { 0 };
            if let Some(first) = frame.as_mut_slice().get_mut(network) { *first = if v6 { 0x60 } else { 0x45 } }
            if ethernet && let Some(kind) = frame.as_mut_slice().get_mut(12..14) { kind.copy_from_slice(&[8, 0]) }
            frame.meta.gso_size = gso_size;
            if let Some((start, offset)) = partial {
                frame.meta.checksum = Checksum::Partial { start, offset };
            }
            match encode(&frame, medium, ALL) {
                Encoded::Header(header) => {
                    let meta = decode(&header, frame.len());
                    prop_assert!(meta.is_some());
                    let meta = meta.unwrap();
                    prop_assert_eq!(meta.checksum, frame.meta.checksum);
                    if meta.gso_size != gso_size {
                        // A size that the payload does not exceed says nothing.
                        let (start, offset) = partial.expect("else it is not the device's to cut");
                        let found = super_segment(frame.as_slice(), medium, start.into(), offset.into());
                        let (_, headers) = found.expect("else it is malformed");
                        prop_assert_eq!(meta.gso_size, 0);
                        prop_assert!(frame.len() - headers <= usize::from(gso_size));
                    }
                    let headers = usize::from(field(&header, 2));
                    prop_assert!(headers <= frame.len());
                }
                Encoded::Software => prop_assert!(gso_size != 0 && partial.is_none()),
                Encoded::Malformed => prop_assert!(partial.is_some()),
            }
        }
    }
}
