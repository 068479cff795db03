//! What every frame that the stack sends must be like.

use std::net::IpAddr;

use ostia_stack::Address;
use ostia_wire::{
    Arp, EtherType, Ethernet, Flags, Frame, Icmpv4, Icmpv6, Ipv4, Ipv6, MacAddr, NdpMessage, Tcp, TcpOptions, Udp, ethernet,
};

use crate::packets::{ICMP, ICMPV6, TCP, UDP};

/// A segment that the stack has sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub source: (Address, u16),
    pub destination: (Address, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: Flags,
    pub window: u16,
    pub options: TcpOptions,
    pub payload: Vec<u8>,
}

impl Sent {
    pub fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }

    /// The sequence number behind its last.
    pub fn end(&self) -> u32 {
        let flags = u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN));
        self.seq.wrapping_add(self.payload.len() as u32).wrapping_add(flags)
    }
}

/// What a frame turned out to be.
#[derive(Clone, Debug)]
pub enum Seen {
    Segment(Sent),
    /// Somebody's link address is asked for: the asker's own address, and the one asked for.
    Question {
        own: Address,
        target: Address,
    },
    Other,
}

/// Checks the frame of a transmission, with what it stands for if the device is to cut it. What was only sent on, as its source
/// tells, may have anything behind the IP header.
pub fn check(frame: &Frame, is_ethernet: bool, mtu: u32, sent_on: impl Fn(Address) -> bool) -> Vec<Seen> {
    let mut packet = frame.clone();
    let mut link = None;
    if is_ethernet {
        let view = Ethernet::parse(frame.as_slice()).expect("an Ethernet frame");
        assert!(view.source().is_unicast(), "a source that is no host: {frame:?}");
        assert!(view.destination() != MacAddr::ZERO, "to nobody");
        link = Some((view.destination(), view.ethertype()));
        packet.pull(ethernet::HEADER_LEN);
    }
    if let Some((_, EtherType::ARP)) = link {
        let arp = Arp::parse(packet.as_slice()).expect("an ARP message");
        return vec![match arp.operation {
            ostia_wire::arp::Operation::Request => Seen::Question { own: arp.sender_ip.into(), target: arp.target_ip.into() },
            ostia_wire::arp::Operation::Reply => Seen::Other,
        }];
    }
    let mut seen = Vec::new();
    let mut one = |packet: Frame| {
        assert!(packet.len() <= mtu as usize, "{} bytes over an MTU of {mtu}", packet.len());
        seen.push(check_packet(packet.as_slice(), link, &sent_on));
    };
    ostia_wire::segment(&packet, &mut one).unwrap_or_else(|error| panic!("no packet, {error:?}: {:02x?}", packet.as_slice()));
    seen
}

fn check_packet(bytes: &[u8], link: Option<(MacAddr, EtherType)>, sent_on: impl Fn(Address) -> bool) -> Seen {
    let version = bytes.first().map(|first| first >> 4);
    if let Some((to, kind)) = link {
        assert_eq!(kind == EtherType::IPV6, version == Some(6), "the frame says another protocol than the packet");
        let group = match version {
            Some(4) => Ipv4::parse(bytes).is_ok_and(|ip| ip.destination().is_multicast()),
            _ => Ipv6::parse(bytes).is_ok_and(|ip| ip.destination().is_multicast()),
        };
        assert!(!group || to.is_multicast(), "a packet for a group in a frame for one host");
    }
    if version == Some(4) {
        let ip = Ipv4::parse(bytes).expect("an IPv4 packet");
        assert!(ip.verify_checksum(), "the IPv4 header's checksum");
        assert_eq!(ip.total_len(), bytes.len(), "the IPv4 length");
        assert!(ip.ttl() > 0 && !ip.source().is_multicast() && !ip.source().is_broadcast(), "{:02x?}", &bytes[..20]);
        if ip.is_fragment() || sent_on(ip.source().into()) {
            return Seen::Other;
        }
        return transport(ip.protocol(), ip.payload(), ip.source().into(), ip.destination().into());
    }
    let ip = Ipv6::parse(bytes).expect("an IPv6 packet");
    assert_eq!(ip.total_len(), bytes.len(), "the IPv6 length");
    assert!(ip.hop_limit() > 0 && !ip.source().is_multicast(), "{:02x?}", &bytes[..40]);
    if sent_on(ip.source().into()) {
        return Seen::Other;
    }
    let upper = ip.upper().expect("sound extension headers");
    if upper.fragment.is_some_and(|fragment| !fragment.is_whole()) {
        return Seen::Other;
    }
    transport(upper.protocol, upper.payload, ip.source().into(), ip.destination().into())
}

fn transport(protocol: u8, payload: &[u8], source: IpAddr, destination: IpAddr) -> Seen {
    match protocol {
        TCP => {
            let tcp = Tcp::parse(payload).expect("a segment");
            assert!(tcp.verify_checksum(source, destination), "TCP's checksum");
            let flags = tcp.flags();
            let options = TcpOptions::parse(tcp.option_bytes()).expect("sound options");
            assert!(flags.contains(Flags::SYN) || flags.contains(Flags::ACK) || flags.contains(Flags::RST), "{flags}");
            assert!(!flags.contains(Flags::SYN) || !flags.intersects(Flags::FIN.with(Flags::RST)), "{flags}");
            for &(left, right) in options.sack.as_slice() {
                let len = right.wrapping_sub(left);
                assert!(len > 0 && len < 1 << 31, "a SACK block {left}:{right}");
            }
            Seen::Segment(Sent {
                source: (source.into(), tcp.source_port()),
                destination: (destination.into(), tcp.destination_port()),
                seq: tcp.sequence(),
                ack: tcp.acknowledgment(),
                flags,
                window: tcp.window(),
                options,
                payload: tcp.payload().to_vec(),
            })
        }
        UDP => {
            let udp = Udp::parse(payload).expect("a datagram");
            assert!(udp.verify_checksum(source, destination), "UDP's checksum");
            Seen::Other
        }
        ICMP => {
            let icmp = Icmpv4::parse(payload).expect("an ICMP message");
            assert!(icmp.verify_checksum(), "ICMP's checksum");
            Seen::Other
        }
        ICMPV6 => {
            let icmp = Icmpv6::parse(payload).expect("an ICMPv6 message");
            let (IpAddr::V6(own), IpAddr::V6(to)) = (source, destination) else { panic!("ICMPv6 in IPv4") };
            assert!(icmp.verify_checksum(own, to), "ICMPv6's checksum");
            match NdpMessage::parse(&icmp) {
                Ok((NdpMessage::NeighbourSolicitation { target }, _)) => {
                    Seen::Question { own: own.into(), target: target.into() }
                }
                _ => Seen::Other,
            }
        }
        _ => Seen::Other,
    }
}
