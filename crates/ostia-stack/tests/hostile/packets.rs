//! Packets as anybody could send them, sound or not: from segments and messages to frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ostia_stack::Address;
use ostia_wire::ethernet::{self, EtherType};
use ostia_wire::ipv6_extensions::{FRAGMENT_HEADER_LEN, emit_fragment};
use ostia_wire::{
    Flags, Icmpv4Emit, Icmpv6Emit, Ipv4Emit, Ipv6Emit, MacAddr, NdpMessage, NdpOption, OptionOrder, TcpEmit, TcpOptions,
};

pub const OWN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

pub fn addr(text: &str) -> Address {
    text.parse::<IpAddr>().expect("an address").into()
}

fn v4(address: Address) -> Ipv4Addr {
    address.v4().expect("an IPv4 address")
}

fn v6(address: Address) -> Ipv6Addr {
    address.v6().expect("an IPv6 address")
}

/// A TCP segment with options as raw bytes.
#[derive(Clone, Debug)]
pub struct Segment {
    pub source: (Address, u16),
    pub destination: (Address, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: Flags,
    pub window: u16,
    pub urgent: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Segment {
    /// The segment, with its checksum.
    pub fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4).min(40), 0);
        let header = TcpEmit {
            source_port: self.source.1,
            destination_port: self.destination.1,
            sequence: self.seq,
            acknowledgment: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            options: TcpOptions::default(),
            order: OptionOrder::Plain,
        };
        let mut bytes = vec![0; 20];
        header.emit(&mut bytes);
        bytes[12] = (bytes[12] & 0xf) | (((20 + options.len()) / 4) as u8) << 4;
        bytes.extend_from_slice(&options);
        bytes.extend_from_slice(&self.payload);
        ostia_wire::tcp::finish_checksum(&mut bytes, self.source.0.ip(), self.destination.0.ip());
        bytes
    }

    /// The segment in an IP packet.
    pub fn packet(&self) -> Vec<u8> {
        packet(self.source.0, self.destination.0, TCP, 64, &self.bytes())
    }
}

/// The options of a SYN that offers all there is.
pub fn syn_options(mss: u16, timestamp: u32) -> Vec<u8> {
    let mut options = vec![2, 4];
    options.extend(mss.to_be_bytes());
    options.extend([4, 2, 8, 10]);
    options.extend(timestamp.to_be_bytes());
    options.extend([0, 0, 0, 0, 1, 3, 3, 7]);
    options
}

/// Timestamps.
pub fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    let mut options = vec![1, 1, 8, 10];
    options.extend(value.to_be_bytes());
    options.extend(echo.to_be_bytes());
    options
}

/// SACK blocks.
pub fn sack(blocks: &[(u32, u32)]) -> Vec<u8> {
    let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
    for (left, right) in blocks {
        options.extend(left.to_be_bytes());
        options.extend(right.to_be_bytes());
    }
    options
}

/// An IP packet of the source's family.
pub fn packet(source: Address, destination: Address, protocol: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes;
    if source.is_v4() {
        bytes = vec![0; 20];
        v4_header(source, destination, protocol, hops, 7, 0, false).emit(&mut bytes, payload.len());
    } else {
        bytes = vec![0; 40];
        let header = Ipv6Emit {
            source: v6(source),
            destination: v6(destination),
            next_header: protocol,
            hop_limit: hops,
            traffic_class: 0,
            flow_label: 0,
        };
        header.emit(&mut bytes, payload.len());
    }
    bytes.extend_from_slice(payload);
    bytes
}

fn v4_header(
    source: Address,
    destination: Address,
    protocol: u8,
    ttl: u8,
    identification: u16,
    fragment_offset: u16,
    more_fragments: bool,
) -> Ipv4Emit<'static> {
    Ipv4Emit {
        source: v4(source),
        destination: v4(destination),
        protocol,
        ttl,
        tos: 0,
        identification,
        dont_fragment: false,
        more_fragments,
        fragment_offset,
        options: &[],
    }
}

/// A fragment of an IP packet: these bytes of its payload, from `offset` on.
pub fn fragment(ends: (Address, Address), protocol: u8, id: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = ends;
    if source.is_v4() {
        let mut bytes = vec![0; 20];
        v4_header(source, destination, protocol, 64, id, offset, more).emit(&mut bytes, payload.len());
        bytes.extend_from_slice(payload);
        return bytes;
    }
    let mut inner = vec![0; FRAGMENT_HEADER_LEN];
    emit_fragment(&mut inner, protocol, offset, more, u32::from(id));
    inner.extend_from_slice(payload);
    packet(source, destination, 44, 64, &inner)
}

/// A UDP datagram in an IP packet.
pub fn udp(source: (Address, u16), destination: (Address, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    ostia_wire::udp::emit(&mut bytes, source.1, destination.1, payload.len());
    bytes.extend_from_slice(payload);
    ostia_wire::udp::finish_checksum(&mut bytes, source.0.ip(), destination.0.ip());
    packet(source.0, destination.0, UDP, 64, &bytes)
}

/// An ICMP message of the source's family: type, code, the four bytes behind the checksum, and the rest.
pub fn icmp(source: Address, destination: Address, hops: u8, kind: (u8, u8), word: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.extend_from_slice(rest);
    let (kind, code) = kind;
    if source.is_v4() {
        Icmpv4Emit { kind, code, rest: word.to_be_bytes() }.emit(&mut bytes);
        packet(source, destination, ICMP, hops, &bytes)
    } else {
        Icmpv6Emit { kind, code, rest: word.to_be_bytes() }.emit(&mut bytes, v6(source), v6(destination));
        packet(source, destination, ICMPV6, hops, &bytes)
    }
}

/// A message of neighbour discovery in an IP packet.
pub fn ndp(source: Address, destination: Address, hops: u8, message: &NdpMessage, options: &[NdpOption<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len(options)];
    message.emit(options, v6(source), v6(destination), &mut bytes);
    packet(source, destination, ICMPV6, hops, &bytes)
}

/// An IP packet in an Ethernet frame, to this host or to the group that the packet is for.
pub fn framed(from: MacAddr, packet: &[u8]) -> Vec<u8> {
    let (to, kind) = match packet.first().map(|first| first >> 4) {
        Some(6) => {
            let group = packet.get(24..40).filter(|to| to[0] == 0xff).and_then(|to| <[u8; 16]>::try_from(to).ok());
            (group.map_or(OWN_MAC, |group| MacAddr::multicast_v6(group.into())), EtherType::IPV6)
        }
        _ => {
            let to = packet.get(16..20).and_then(|to| <[u8; 4]>::try_from(to).ok()).unwrap_or_default();
            let to = match to {
                [255, ..] => MacAddr::BROADCAST,
                [224..=239, ..] => MacAddr::multicast_v4(to.into()),
                _ => OWN_MAC,
            };
            (to, EtherType::IPV4)
        }
    };
    ether(from, to, kind, packet)
}

/// An Ethernet frame.
pub fn ether(from: MacAddr, to: MacAddr, kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ethernet::HEADER_LEN];
    ethernet::emit(&mut bytes, from, to, kind);
    bytes.extend_from_slice(payload);
    bytes
}

/// Makes the checksums of an IP packet right again where its lengths allow it.
pub fn mend(packet: &mut [u8]) {
    let (payload_at, protocol) = match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let len = usize::from(packet[0] & 0xf) * 4;
            if len < 20 || packet.len() < len {
                return;
            }
            packet[10..12].fill(0);
            let sum = ostia_wire::checksum::fold(ostia_wire::checksum::sum(&packet[..len], 0));
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            (len, packet[9])
        }
        Some(6) if packet.len() >= 40 => (40, packet[6]),
        _ => return,
    };
    let ends = if payload_at == 40 && packet[0] >> 4 == 6 {
        let part = |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).expect("16 bytes");
        (IpAddr::from(part(8)), IpAddr::from(part(24)))
    } else {
        let part = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).expect("4 bytes");
        (IpAddr::from(part(12)), IpAddr::from(part(16)))
    };
    let payload = &mut packet[payload_at..];
    match protocol {
        TCP if payload.len() >= 20 => ostia_wire::tcp::finish_checksum(payload, ends.0, ends.1),
        UDP if payload.len() >= 8 => ostia_wire::udp::finish_checksum(payload, ends.0, ends.1),
        ICMP if payload.len() >= 4 => {
            payload[2..4].fill(0);
            let sum = ostia_wire::checksum::fold(ostia_wire::checksum::sum(payload, 0));
            payload[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        ICMPV6 if payload.len() >= 4 => {
            if let (IpAddr::V6(source), IpAddr::V6(destination)) = ends {
                ostia_wire::icmpv6::finish_checksum(payload, source, destination);
            }
        }
        _ => {}
    }
}
