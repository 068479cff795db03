//! A peer that writes its segments by hand.

use std::net::IpAddr;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const ECE_CWR: u8 = 0xc0;

/// The peer's port, where it is the client.
const PORT: u16 = 40_000;

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
        let (source, destination) = (octets(self.remote), octets(self.local));
        let length = (tcp.len() as u32).to_be_bytes();
        let pseudo = [&source[..], &destination[..], &length[..], &[0, 0, 0, 6][..]].concat();
        let sum = checksum(&[&pseudo[..], &tcp[..]].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        self.next += payload.len() as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let mut packet = match self.v4() {
            true => {
                let total = (20 + tcp.len() as u16).to_be_bytes();
                let mut head = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0];
                head.extend([source, destination].concat());
                let sum = checksum(&head);
                head[10..12].copy_from_slice(&sum.to_be_bytes());
                head
            }
            false => {
                let length = (tcp.len() as u16).to_be_bytes();
                let head = vec![0x60, 0, 0, 0, length[0], length[1], 6, 64];
                [head, source, destination].concat()
            }
        };
        packet.extend(tcp);
        packet
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

    /// Takes what a segment carries: the next acknowledgment says so.
    pub fn took(&mut self, segment: &Segment) {
        let counted = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & FIN != 0);
        self.expected = segment.seq.wrapping_add(segment.payload.len() as u32 + counted);
    }
}
