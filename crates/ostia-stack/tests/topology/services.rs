//! What a network has beside hosts and routers: a DHCP server, and a router's advertisements. The stack has the clients' part
//! only, so that these stand here.

use std::net::Ipv4Addr;

use ostia_wire::dhcpv4::{CLIENT_PORT, Dhcp, DhcpEmit, SERVER_PORT};
use ostia_wire::dhcpv4_options::{DhcpOption, MessageType};
use ostia_wire::icmpv6::kind;
use ostia_wire::{
    EtherType, Ethernet, Icmpv6, Ipv4, Ipv4Emit, Ipv6, Ipv6Emit, MacAddr, NdpMessage, NdpOption, Preference, PrefixInformation,
    RouterAdvertisement, Udp, ethernet, protocol, udp,
};

use crate::net::Net;
use crate::office::{L1, R2};

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const SERVER_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0x77, 1]);
/// The one address that it has to give.
pub const LEASED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// For how many seconds.
const LEASE: u32 = 86_400;
pub const ALL_NODES: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A frame with an Ethernet header in front.
pub fn framed(from: MacAddr, to: MacAddr, ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::emit(&mut frame, from, to, ethertype);
    frame.extend_from_slice(packet);
    frame
}

/// An IPv4 packet with UDP in it.
pub fn udp_v4(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), data: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; udp::HEADER_LEN];
    udp::emit(&mut datagram, from.1, to.1, data.len());
    datagram.extend_from_slice(data);
    udp::finish_checksum(&mut datagram, from.0.into(), to.0.into());
    ipv4(from.0, to.0, protocol::UDP, &[], &datagram)
}

/// An IPv4 packet.
pub fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let emit = Ipv4Emit {
        source,
        destination,
        protocol,
        ttl: 64,
        tos: 0,
        identification: 7,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
        options,
    };
    let mut packet = vec![0; emit.header_len()];
    emit.emit(&mut packet, payload.len());
    packet.extend_from_slice(payload);
    packet
}

/// An IPv6 packet.
pub fn ipv6(
    source: std::net::Ipv6Addr,
    destination: std::net::Ipv6Addr,
    next_header: u8,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let emit = Ipv6Emit { source, destination, next_header, hop_limit, traffic_class: 0, flow_label: 0 };
    let mut packet = vec![0; emit.header_len()];
    emit.emit(&mut packet, payload.len());
    packet.extend_from_slice(payload);
    packet
}

/// A DHCP server with one address to give (RFC 2131, 4.3).
#[derive(Default)]
pub struct DhcpServer {
    pub offers: u64,
    pub acks: u64,
}

impl DhcpServer {
    /// The answer to a frame, if it is a client's message.
    pub fn answer(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let ethernet = Ethernet::parse(frame).ok().filter(|ethernet| ethernet.ethertype() == EtherType::IPV4)?;
        let packet = Ipv4::parse(ethernet.payload()).ok().filter(|packet| packet.protocol() == protocol::UDP)?;
        let datagram = Udp::parse(packet.payload()).ok().filter(|datagram| datagram.destination_port() == SERVER_PORT)?;
        let message = Dhcp::parse(datagram.payload()).ok().filter(|message| !message.is_reply())?;
        let kind = match message.message_type()? {
            MessageType::Discover => {
                self.offers += 1;
                MessageType::Offer
            }
            MessageType::Request => {
                self.acks += 1;
                MessageType::Ack
            }
            _ => return None,
        };
        let options = [
            DhcpOption::MessageType(kind),
            DhcpOption::ServerIdentifier(SERVER),
            DhcpOption::LeaseTime(LEASE),
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
            DhcpOption::Routers(&[ROUTER]),
        ];
        let emit = DhcpEmit {
            is_reply: true,
            transaction: message.transaction(),
            seconds: 0,
            broadcast: message.broadcast(),
            client_address: Ipv4Addr::UNSPECIFIED,
            your_address: LEASED,
            server_address: Ipv4Addr::UNSPECIFIED,
            relay_address: Ipv4Addr::UNSPECIFIED,
            client_mac: message.client_mac(),
            options: &options,
        };
        let mut reply = vec![0; emit.encoded_len()];
        emit.emit(&mut reply);
        // Without an address the client is told by broadcast, so that no ARP is needed.
        let packet = udp_v4((SERVER, SERVER_PORT), (Ipv4Addr::BROADCAST, CLIENT_PORT), &reply);
        Some(framed(SERVER_MAC, MacAddr::BROADCAST, EtherType::IPV4, &packet))
    }
}

/// The advertisement with which R2 answers a router solicitation in B's network, if a frame is one (RFC 4861, 6.2.6).
pub fn advert_for(frame: &[u8], net: &Net) -> Option<Vec<u8>> {
    let ethernet = Ethernet::parse(frame).ok().filter(|ethernet| ethernet.ethertype() == EtherType::IPV6)?;
    let packet = Ipv6::parse(ethernet.payload()).ok().filter(|packet| packet.next_header() == protocol::ICMPV6)?;
    Icmpv6::parse(packet.payload()).ok().filter(|message| message.kind() == kind::ROUTER_SOLICITATION)?;
    let source = net.link_local(R2, L1).v6()?;
    Some(advert(source, Net::mac(R2, L1), 1800, "2001:db8:b::".parse().ok()?))
}

/// A router's advertisement of itself and of a prefix (RFC 4861, 4.2).
pub fn advert(source: std::net::Ipv6Addr, mac: MacAddr, lifetime: u16, prefix: std::net::Ipv6Addr) -> Vec<u8> {
    let advert = RouterAdvertisement {
        hop_limit: 64,
        managed: false,
        other: false,
        preference: Preference::Medium,
        lifetime,
        reachable_time: 0,
        retransmit_timer: 0,
    };
    let prefix = PrefixInformation {
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: LEASE,
        preferred_lifetime: LEASE,
        prefix,
    };
    let options = [NdpOption::SourceLinkLayer(mac), NdpOption::PrefixInformation(prefix)];
    let message = NdpMessage::RouterAdvertisement(advert);
    let mut bytes = vec![0; message.encoded_len(&options)];
    message.emit(&options, source, ALL_NODES, &mut bytes);
    let packet = ipv6(source, ALL_NODES, protocol::ICMPV6, ostia_wire::ndp::HOP_LIMIT, &bytes);
    framed(mac, MacAddr::multicast_v6(ALL_NODES), EtherType::IPV6, &packet)
}
