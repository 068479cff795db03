//! Captures in the pcapng format (draft-ietf-opsawg-pcapng): what went over links, with times in nanoseconds, directions, and
//! remarks such as the reason for which a packet was dropped. Wireshark and tcpdump read them.
//!
//! Everything is written in network order, so that the same events make the same file on every machine.

use alloc::vec::Vec;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;

/// The most octets of a name or remark: what the length field of an option holds.
const MAX_TEXT: usize = u16::MAX as usize;

/// What the packets of an interface start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An IPv4 or IPv6 header.
    Ip,
}

impl LinkType {
    fn number(self) -> u16 {
        match self {
            LinkType::Ethernet => 1,
            LinkType::Ip => 101,
        }
    }
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It came in.
    In,
    /// It went out.
    Out,
}

/// An interface of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceId(u32);

/// Writes a capture, block by block: each call of the output gets one whole block.
#[derive(Debug)]
pub struct Writer<O> {
    output: O,
    block: Vec<u8>,
    interfaces: u32,
}

impl<O: FnMut(&[u8])> Writer<O> {
    /// Begins a capture made by `application`.
    pub fn new(application: &str, output: O) -> Writer<O> {
        let mut writer = Writer { output, block: Vec::new(), interfaces: 0 };
        writer.begin(SECTION_HEADER);
        writer.u32(BYTE_ORDER_MAGIC);
        // Version 1.0, and a section of unknown length.
        writer.u16(1);
        writer.u16(0);
        writer.u32(u32::MAX);
        writer.u32(u32::MAX);
        writer.text(SECTION_APPLICATION, application);
        writer.end_options();
        writer.finish();
        writer
    }

    /// Adds an interface.
    pub fn interface(&mut self, name: &str, link_type: LinkType) -> InterfaceId {
        let id = InterfaceId(self.interfaces);
        self.interfaces += 1;
        self.begin(INTERFACE_DESCRIPTION);
        self.u16(link_type.number());
        self.u16(0);
        // Packets are not cut.
        self.u32(0);
        self.text(INTERFACE_NAME, name);
        // Times count 10^-9 s.
        self.option(INTERFACE_RESOLUTION, &[9]);
        self.end_options();
        self.finish();
        id
    }

    /// Adds a packet that went over an interface at a time in nanoseconds since 1970, with any number of remarks.
    pub fn packet<'c>(
        &mut self,
        interface: InterfaceId,
        time: u64,
        direction: Direction,
        bytes: &[u8],
        comments: impl IntoIterator<Item = &'c str>,
    ) {
        // No packet comes near the limit of the field.
        let bytes = bytes.get(..u32::MAX as usize / 2).unwrap_or(bytes);
        self.begin(ENHANCED_PACKET);
        self.u32(interface.0);
        self.u32((time >> 32) as u32);
        self.u32(time as u32);
        self.u32(bytes.len() as u32);
        self.u32(bytes.len() as u32);
        self.padded(bytes);
        for comment in comments {
            self.text(OPTION_COMMENT, comment);
        }
        let direction: u32 = match direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        self.option(PACKET_FLAGS, &direction.to_be_bytes());
        self.end_options();
        self.finish();
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        // The length, known at the end.
        self.u32(0);
    }

    fn finish(&mut self) {
        let len = (self.block.len() + 4) as u32;
        if let Some(place) = self.block.get_mut(4..8) {
            place.copy_from_slice(&len.to_be_bytes());
        }
        self.u32(len);
        (self.output)(&self.block);
    }

    fn u16(&mut self, value: u16) {
        self.block.extend_from_slice(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_be_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.u16(code);
        self.u16(value.len() as u16);
        self.padded(value);
    }

    fn text(&mut self, code: u16, text: &str) {
        let text = text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text);
        self.option(code, text.as_bytes());
    }

    fn end_options(&mut self) {
        self.option(OPTION_END, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks of a capture: kind and body. Checks both lengths.
    fn blocks(mut capture: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let mut blocks = Vec::new();
        while !capture.is_empty() {
            let len = word(&capture[4..]) as usize;
            assert!(len.is_multiple_of(4));
            let (block, rest) = capture.split_at(len);
            assert_eq!(word(&block[len - 4..]) as usize, len);
            blocks.push((word(block), block[8..len - 4].to_vec()));
            capture = rest;
        }
        blocks
    }

    /// Options: code and value.
    fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let mut options = Vec::new();
        loop {
            let (code, len) = (u16::from_be_bytes([bytes[0], bytes[1]]), usize::from(u16::from_be_bytes([bytes[2], bytes[3]])));
            if code == OPTION_END {
                assert_eq!((len, bytes.len()), (0, 4));
                return options;
            }
            options.push((code, bytes[4..4 + len].to_vec()));
            bytes = &bytes[4 + len.next_multiple_of(4)..];
        }
    }

    #[test]
    fn a_capture_has_a_header_interfaces_and_packets() {
        let mut capture = Vec::new();
        let mut calls = 0;
        let mut writer = Writer::new("ostia", |block: &[u8]| {
            calls += 1;
            capture.extend_from_slice(block);
        });
        let first = writer.interface("eth0", LinkType::Ethernet);
        let second = writer.interface("tun0", LinkType::Ip);
        writer.packet(second, 0x1234_5678_9abc_def0, Direction::Out, b"hello", []);
        writer.packet(first, 7, Direction::In, b"datagram", ["dropped: checksum", "second"]);
        drop(writer);
        assert_eq!(calls, 5);
        let blocks = blocks(&capture);
        let (kind, body) = &blocks[0];
        assert_eq!((*kind, &body[..8]), (SECTION_HEADER, &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..]));
        assert_eq!(options(&body[16..]), [(SECTION_APPLICATION, b"ostia".to_vec())]);
        for (block, link_type, name) in [(&blocks[1], 1, "eth0"), (&blocks[2], 101, "tun0")] {
            assert_eq!((block.0, &block.1[..8]), (INTERFACE_DESCRIPTION, &[0, link_type, 0, 0, 0, 0, 0, 0][..]));
            assert_eq!(
                options(&block.1[8..]),
                [(INTERFACE_NAME, name.as_bytes().to_vec()), (INTERFACE_RESOLUTION, alloc::vec![9])]
            );
        }
        let (kind, body) = &blocks[3];
        let head = [0, 0, 0, 1, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0, 0, 0, 5, 0, 0, 0, 5];
        assert_eq!((*kind, &body[..20], &body[20..28]), (ENHANCED_PACKET, &head[..], &b"hello\0\0\0"[..]));
        assert_eq!(options(&body[28..]), [(PACKET_FLAGS, alloc::vec![0, 0, 0, 2])]);
        let expected = [
            (OPTION_COMMENT, b"dropped: checksum".to_vec()),
            (OPTION_COMMENT, b"second".to_vec()),
            (PACKET_FLAGS, alloc::vec![0, 0, 0, 1]),
        ];
        assert_eq!(options(&blocks[4].1[28..]), expected);
    }

    #[test]
    fn a_remark_too_long_for_its_length_is_cut_between_characters() {
        let mut capture = Vec::new();
        let mut writer = Writer::new("", |block: &[u8]| capture.extend_from_slice(block));
        let interface = writer.interface("", LinkType::Ip);
        writer.packet(interface, 0, Direction::In, &[], ["é".repeat(40_000).as_str()]);
        drop(writer);
        let comment = &options(&blocks(&capture)[2].1[20..])[0];
        assert_eq!((comment.0, comment.1.len()), (OPTION_COMMENT, 65_534));
    }
}
