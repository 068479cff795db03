//! A peer that writes its segments by hand.

use std::net::IpAddr;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const ECE_CWR: u8 = 0xc0;

/// Protocol numbers (IANA).
const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

/// The peer's port, where it is the client.
pub const PORT: u16 = 40_000;

/// The end of a connection that isn't the library's.
pub struct Peer {
    pub local: IpAddr,
    pub remote: IpAddr,
    /// The host's port and this peer's.
    ports: (u16, u16),
    /// What this peer sends next, and what it expects next.
    pub next: u32,
    expected: u32,
}

/// What a segment of the host says.
#[derive(Debug)]
pub struct Segment {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

impl Peer {
    pub fn new(local: &str, remote: &str) -> Peer {
        let address = |text: &str| text.parse().expect("an address");
        Peer { local: address(local), remote: address(remote), ports: (8080, PORT), next: 1000, expected: 0 }
    }

    pub fn v4(&self) -> bool {
        self.local.is_ipv4()
    }

    /// A segment to the host; what it carries counts as sent.
    pub fn segment(&mut self, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let ack = if flags & ACK != 0 { self.expected } else { 0 };
        let mut tcp = Vec::new();
        tcp.extend(self.ports.1.to_be_bytes());
        tcp.extend(self.ports.0.to_be_bytes());
        tcp.extend(self.next.to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        tcp.extend([((20 + options.len() as u8) / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(options);
        tcp.extend(payload);
        let sum = self.sum(TCP, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        self.next += payload.len() as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.to_host(TCP, &tcp)
    }

    /// The checksum of a message to the host, with the pseudo-header.
    fn sum(&self, protocol: u8, message: &[u8]) -> u16 {
        let length = (message.len() as u32).to_be_bytes();
        checksum(&[&octets(self.remote)[..], &octets(self.local), &length, &[0, 0, 0, protocol], message].concat())
    }

    /// The packet in which a message goes to the host.
    fn to_host(&self, protocol: u8, message: &[u8]) -> Vec<u8> {
        let addresses = [octets(self.remote), octets(self.local)].concat();
        let mut packet = match self.v4() {
            true => {
                let total = (20 + message.len() as u16).to_be_bytes();
                let mut head = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
                head.extend(addresses);
                let sum = checksum(&head);
                head[10..12].copy_from_slice(&sum.to_be_bytes());
                head
            }
            false => {
                let length = (message.len() as u16).to_be_bytes();
                [vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64], addresses].concat()
            }
        };
        packet.extend(message);
        packet
    }

    /// A router's word that a segment of the host was too long, as the tool makes it up: of what it quotes it knows the addresses,
    /// the ports and the sequence number, eight octets behind a header with neither an identification nor a checksum.
    pub fn too_long(&self, segment: &[u8], mtu: u16) -> Vec<u8> {
        let (head, mtu) = (if self.v4() { 20 } else { 40 }, mtu.to_be_bytes());
        let mut quote = segment[..head + 8].to_vec();
        let (protocol, mut message) = match self.v4() {
            true => {
                quote[1..12].copy_from_slice(&[0, 0, 40, 0, 0, 0, 0, 255, TCP, 0, 0]);
                (ICMP, vec![3, 4, 0, 0, 0, 0, mtu[0], mtu[1]])
            }
            false => {
                quote[1..8].copy_from_slice(&[0, 0, 0, 0, 20, TCP, 255]);
                (ICMPV6, vec![2, 0, 0, 0, 0, 0, mtu[0], mtu[1]])
            }
        };
        message.extend(quote);
        let sum = if self.v4() { checksum(&message) } else { self.sum(protocol, &message) };
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.to_host(protocol, &message)
    }

    /// As a server on a port.
    pub fn segment_from(&mut self, port: u16, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        self.ports.1 = port;
        self.segment(flags, options, payload)
    }

    /// Reads a segment of the host, which is from it and to this peer.
    pub fn read(&self, packet: &[u8]) -> Segment {
        let head = if self.v4() { 20 } else { 40 };
        let (ip, tcp) = packet.split_at(head);
        let width = octets(self.local).len();
        assert_eq!(ip[head - 2 * width..head - width], octets(self.local), "from the host");
        assert_eq!(ip[head - width..], octets(self.remote), "to the peer");
        let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        assert_eq!(word(0) >> 16, u32::from(self.ports.0), "from its port");
        assert_eq!(word(0) & 0xffff, u32::from(self.ports.1), "to the peer's");
        let length = (tcp.len() as u32).to_be_bytes();
        let whole = [&ip[head - 2 * width..], &length[..], &[0, 0, 0, 6][..], tcp].concat();
        assert_eq!(checksum(&whole), 0, "its checksum");
        let data = usize::from(tcp[12] >> 4) * 4;
        Segment { flags: tcp[13], seq: word(4), ack: word(8), options: tcp[20..data].to_vec(), payload: tcp[data..].to_vec() }
    }

    /// As a server on a port: the host's port is the one that it has chosen.
    pub fn read_of(&mut self, packet: &[u8], port: u16) -> Segment {
        let head = if self.v4() { 20 } else { 40 };
        self.ports = (u16::from_be_bytes([packet[head], packet[head + 1]]), port);
        self.read(packet)
    }

    /// A datagram of the host to this peer: where it comes from, and what it carries.
    pub fn datagram(&self, packet: &[u8]) -> (IpAddr, Vec<u8>) {
        let v4 = self.remote.is_ipv4();
        let (ip, udp) = packet.split_at(if v4 { 20 } else { 40 });
        let addresses = &ip[if v4 { 12 } else { 8 }..];
        let (source, destination) = addresses.split_at(addresses.len() / 2);
        assert_eq!(destination, octets(self.remote), "to the peer");
        let source = match <[u8; 4]>::try_from(source) {
            Ok(v4) => IpAddr::from(v4),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(source).expect("an address of IPv6")),
        };
        (source, udp[8..].to_vec())
    }

    /// Takes what a segment carries: the next acknowledgment says so.
    pub fn took(&mut self, segment: &Segment) {
        let counted = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & FIN != 0);
        self.expected = segment.seq.wrapping_add(segment.payload.len() as u32 + counted);
    }
}
