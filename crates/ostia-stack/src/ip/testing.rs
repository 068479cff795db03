//! What tests of the network layer need: addresses from text, packets from parts.

use std::vec::Vec;

use ostia_wire::{Frame, Ipv4, Ipv4Emit, Ipv6, Ipv6Emit, MacAddr, ethernet};

use crate::address::Address;
use crate::env::Env;
use crate::ip::{Input, Ip, LinkConfig, LinkId, Medium};
use crate::{Config, Instant};

pub(crate) const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const L: LinkId = LinkId(0);

/// An address from its text.
pub(crate) fn addr(text: &str) -> Address {
    text.parse::<core::net::IpAddr>().expect("an address").into()
}

/// A host with one link.
pub(crate) struct Host {
    pub(crate) ip: Ip,
    pub(crate) env: Env,
}

impl Host {
    /// With a link of bare IP packets and the addresses 192.0.2.1/24 and 2001:db8::1/64.
    pub(crate) fn tun() -> Host {
        Host::with(Config::default(), Medium::Ip)
    }

    /// With an Ethernet link and the same addresses, found to be nobody else's.
    pub(crate) fn ethernet() -> Host {
        Host::with(Config::default(), Medium::Ethernet(OWN))
    }

    pub(crate) fn with(config: Config, medium: Medium) -> Host {
        let mut env = Env::new(config, [7; 32]);
        let mut ip = Ip::new(&env.config, &mut env.random);
        let id = ip.add_link(link(medium), &mut env).expect("a link");
        let mut host = Host { ip, env };
        host.add(id, "192.0.2.1", 24);
        host.add(id, "2001:db8::1", 64);
        host.settle();
        host
    }

    pub(crate) fn add(&mut self, id: LinkId, address: &str, prefix: u8) {
        self.ip.add_address(id, addr(address), prefix, &mut self.env).expect("an address");
    }

    /// Lets two seconds pass, and forgets what was sent.
    pub(crate) fn settle(&mut self) {
        self.until(2);
        self.sent();
    }

    /// Lets so many seconds pass, each thing done when it is due. What the host has for itself is forgotten.
    pub(crate) fn until(&mut self, seconds: u64) {
        let end = self.env.now + core::time::Duration::from_secs(seconds);
        while self.ip.next_local(&mut self.env).is_some() {}
        while self.ip.deadline(&self.env) <= end {
            self.env.now = self.ip.deadline(&self.env).max(self.env.now);
            self.ip.turn(&mut self.env);
            while self.ip.next_local(&mut self.env).is_some() {}
        }
        self.env.now = end;
    }

    /// To when the next thing is due, and does it.
    pub(crate) fn step(&mut self) -> Instant {
        self.env.now = self.ip.deadline(&self.env).max(self.env.now);
        self.ip.turn(&mut self.env);
        self.env.now
    }

    pub(crate) fn input(&mut self, frame: Frame) -> Input {
        self.ip.input(L, frame, &mut self.env)
    }

    /// The frames that were sent.
    pub(crate) fn sent(&mut self) -> Vec<Frame> {
        self.ip.out.drain().map(|transmit| transmit.frame).collect()
    }

    /// The one frame that was sent.
    pub(crate) fn one(&mut self) -> Frame {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "frames sent: {sent:?}");
        sent.remove(0)
    }
}

pub(crate) fn link(medium: Medium) -> LinkConfig {
    LinkConfig { name: "test0".into(), medium, mtu: 1500, checksum_offload: false, gso_max: 0 }
}

/// An IP packet of either family, with TTL 64.
pub(crate) fn packet(source: &str, destination: &str, protocol: u8, payload: &[u8]) -> Frame {
    hops(source, destination, protocol, 64, payload)
}

/// An IP packet with so many hops left.
pub(crate) fn hops(source: &str, destination: &str, protocol: u8, hops: u8, payload: &[u8]) -> Frame {
    let mut frame = Frame::from_slice(payload);
    let (source, destination) = (addr(source), addr(destination));
    match (source.v4(), destination.v4(), source.v6(), destination.v6()) {
        (Some(source), Some(destination), ..) => {
            let emit = Ipv4Emit {
                source,
                destination,
                protocol,
                ttl: hops,
                tos: 0,
                identification: 9,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                options: &[],
            };
            emit.emit(frame.push_front(20), payload.len());
        }
        (_, _, Some(source), Some(destination)) => {
            let emit = Ipv6Emit { source, destination, next_header: protocol, hop_limit: hops, traffic_class: 0, flow_label: 0 };
            emit.emit(frame.push_front(40), payload.len());
        }
        _ => panic!("both of one family"),
    }
    frame
}

/// A packet in an Ethernet frame from the peer.
pub(crate) fn framed(to: MacAddr, mut packet: Frame) -> Frame {
    let kind = match packet.as_slice()[0] >> 4 {
        4 => ethernet::EtherType::IPV4,
        6 => ethernet::EtherType::IPV6,
        _ => ethernet::EtherType::ARP,
    };
    ethernet::emit(packet.push_front(ethernet::HEADER_LEN), PEER, to, kind);
    packet
}

/// A UDP datagram with its checksum.
pub(crate) fn udp(source: &str, source_port: u16, destination: &str, port: u16, payload: &[u8]) -> Frame {
    let mut bytes = std::vec![0; 8];
    ostia_wire::udp::emit(&mut bytes, source_port, port, payload.len());
    bytes.extend_from_slice(payload);
    ostia_wire::udp::finish_checksum(&mut bytes, addr(source).ip(), addr(destination).ip());
    packet(source, destination, 17, &bytes)
}

/// An ICMPv6 message with its checksum, from type on.
pub(crate) fn icmp6(source: &str, destination: &str, hop_limit: u8, message: &[u8]) -> Frame {
    let mut bytes = message.to_vec();
    let address = |text: &str| addr(text).v6().expect("an IPv6 address");
    ostia_wire::icmpv6::finish_checksum(&mut bytes, address(source), address(destination));
    hops(source, destination, 58, hop_limit, &bytes)
}

/// An ICMPv4 message with its checksum, from type on.
pub(crate) fn icmp4(source: &str, destination: &str, message: &[u8]) -> Frame {
    let mut bytes = message.to_vec();
    bytes[2..4].fill(0);
    let checksum = ostia_wire::checksum::fold(ostia_wire::checksum::sum(&bytes, 0));
    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet(source, destination, 1, &bytes)
}

/// The transport packet of an IP packet, with its protocol, checked.
pub(crate) fn payload(frame: &Frame) -> (u8, Vec<u8>) {
    match Ipv4::parse(frame.as_slice()) {
        Ok(header) => {
            assert!(header.verify_checksum(), "an IPv4 header checksum");
            (header.protocol(), header.payload().to_vec())
        }
        Err(_) => {
            let header = Ipv6::parse(frame.as_slice()).expect("an IP packet");
            let upper = header.upper().expect("sound extension headers");
            (upper.protocol, upper.payload.to_vec())
        }
    }
}
