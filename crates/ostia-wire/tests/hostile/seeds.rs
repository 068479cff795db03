//! Valid packets of every kind.

use std::net::{Ipv4Addr, Ipv6Addr};

use ostia_wire::ipv4_options::ROUTER_ALERT_BYTES;
use ostia_wire::ndp_options::Servers;
use ostia_wire::tcp_options::Cookie;
use ostia_wire::{
    Arp, ClasslessRoute, DhcpEmit, DhcpOption, EtherType, Flags, Icmpv4Emit, Icmpv6Emit, IgmpEmit, IgmpQuery, IgmpRecord,
    Ipv4Emit, Ipv6Emit, MacAddr, MessageType, MldEmit, MldQuery, MldRecord, NdpMessage, NdpOption, OptionOrder, Preference,
    PrefixInformation, RecordMode, RouteInformation, RouterAdvertisement, TcpEmit, TcpOptions, Timestamps, arp, dhcpv4, ethernet,
    ipv6_extensions, mld, protocol, tcp, udp,
};

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const A6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// The packets: bare, and behind the headers that they stand behind.
pub fn all() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for segment in tcp_segments() {
        all.push(ipv4(protocol::TCP, &segment, &[]));
        all.push(ipv6(protocol::TCP, &segment));
        all.push(segment);
    }
    let ask = dhcp();
    for payload in [&b"query"[..], &ask] {
        let mut datagram = vec![0; 8];
        udp::emit(&mut datagram, 68, dhcpv4::SERVER_PORT, payload.len());
        datagram.extend_from_slice(payload);
        all.push(ipv6(protocol::UDP, &datagram));
        udp::finish_checksum(&mut datagram, A.into(), B.into());
        all.push(ipv4(protocol::UDP, &datagram, &[7, 7, 4, 0, 0, 0, 0, 68, 8, 5, 0, 0, 0, 0, 0]));
    }
    all.push(ask);
    icmpv4(&mut all);
    icmpv6_messages(&mut all);
    igmp(&mut all);
    extensions(&mut all);
    let mut packet = vec![0; arp::LEN];
    let (sender_mac, sender_ip, target_mac, target_ip) = (MAC, A, MacAddr::ZERO, B);
    Arp { operation: arp::Operation::Request, sender_mac, sender_ip, target_mac, target_ip }.emit(&mut packet);
    all.push(framed(EtherType::ARP, &packet));
    all.push(packet);
    let framed: Vec<_> =
        all.iter().filter(|packet| packet[0] == 0x45).take(4).map(|packet| framed(EtherType::IPV4, packet)).collect();
    all.extend(framed);
    all
}

fn framed(kind: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::emit(&mut frame, MAC, MacAddr::BROADCAST, kind);
    frame.extend_from_slice(packet);
    frame
}

fn ipv4(protocol: u8, payload: &[u8], options: &[u8]) -> Vec<u8> {
    let emit = Ipv4Emit {
        source: A,
        destination: B,
        protocol,
        ttl: 64,
        tos: 0,
        identification: 1,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        options,
    };
    let mut packet = vec![0; emit.header_len()];
    emit.emit(&mut packet, payload.len());
    packet.extend_from_slice(payload);
    packet
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    let emit = Ipv6Emit { source: A6, destination: B6, next_header, hop_limit: 255, traffic_class: 0, flow_label: 0 };
    emit.emit(&mut packet, payload.len());
    packet.extend_from_slice(payload);
    packet
}

fn tcp_segments() -> Vec<Vec<u8>> {
    let sack = [(1, 2), (3, 4), (5, 6)].into_iter().collect();
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    let syn = TcpOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamps, ..TcpOptions::default() };
    let fast_open = Cookie::new(&[1; 8]);
    let mut segments: Vec<Vec<u8>> = [
        (Flags::SYN, syn, OptionOrder::Linux, 0),
        (Flags::SYN, TcpOptions { fast_open, timestamps: None, ..syn }, OptionOrder::Plain, 10),
        (Flags::ACK, TcpOptions { timestamps, sack, ..TcpOptions::default() }, OptionOrder::Linux, 0),
        (Flags::ACK | Flags::PSH, TcpOptions { timestamps, ..TcpOptions::default() }, OptionOrder::Linux, 100),
        (
            Flags::ACK | Flags::FIN | Flags::URG,
            TcpOptions { user_timeout: Some(9), ..TcpOptions::default() },
            OptionOrder::Plain,
            5,
        ),
    ]
    .into_iter()
    .map(|(flags, options, order, len)| {
        let emit = TcpEmit { source_port: 443, destination_port: 50_000, flags, options, order, ..TcpEmit::default() };
        let mut segment = vec![0; emit.header_len()];
        emit.emit(&mut segment);
        segment.resize(segment.len() + len, 0x61);
        tcp::finish_checksum(&mut segment, A.into(), B.into());
        segment
    })
    .collect();
    // Signatures and multipath, which are recognised and never written.
    let odd = [&[19u8, 18][..], &[1; 16], &[29, 4, 0, 0, 30, 4, 0, 0, 254, 4, 0xf9, 0x89, 1, 0]].concat();
    let mut segment = segments[3][..20].to_vec();
    segment.extend_from_slice(&odd);
    segment.resize(20 + 36, 0);
    segment[12] = 14 << 4;
    segments.push(segment);
    segments
}

fn dhcp() -> Vec<u8> {
    let routes = [ClasslessRoute { destination: Ipv4Addr::new(10, 0, 0, 0), prefix_len: 9, gateway: A }];
    let emit = DhcpEmit {
        is_reply: true,
        transaction: 7,
        seconds: 0,
        broadcast: true,
        client_address: Ipv4Addr::UNSPECIFIED,
        your_address: B,
        server_address: A,
        relay_address: Ipv4Addr::UNSPECIFIED,
        client_mac: MAC,
        options: &[
            DhcpOption::MessageType(MessageType::Ack),
            DhcpOption::LeaseTime(3600),
            DhcpOption::Other { code: 52, data: &[3] },
            DhcpOption::Routers(&[A, B]),
            DhcpOption::ClasslessRoutes(&routes),
            DhcpOption::ClasslessRoutes(&routes),
        ],
    };
    let mut message = vec![0; emit.encoded_len()];
    emit.emit(&mut message);
    message
}

fn icmpv4(all: &mut Vec<Vec<u8>>) {
    let quoted = all[0].clone();
    for emit in [
        Icmpv4Emit::echo_request(1, 2),
        Icmpv4Emit::fragmentation_needed(1400),
        Icmpv4Emit::time_exceeded(0),
        Icmpv4Emit::parameter_problem(20),
        Icmpv4Emit::redirect(A),
    ] {
        let mut message = [&[0; 8], &quoted[..]].concat();
        emit.emit(&mut message);
        all.push(ipv4(protocol::ICMP, &message, &[]));
        all.push(message);
    }
}

fn icmpv6_messages(all: &mut Vec<Vec<u8>>) {
    let mut messages = Vec::new();
    let quoted = all[1].clone();
    for emit in [Icmpv6Emit::echo_reply(1, 2), Icmpv6Emit::packet_too_big(1280), Icmpv6Emit::unreachable(4)] {
        let mut message = [&[0; 8], &quoted[..]].concat();
        emit.emit(&mut message, A6, B6);
        messages.push(message);
    }
    let prefix = PrefixInformation {
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: 9,
        preferred_lifetime: 9,
        prefix: B6,
    };
    let route = RouteInformation { prefix_len: 65, preference: Preference::High, lifetime: 9, prefix: B6 };
    let servers = [B6.octets(), A6.octets()];
    let options = [
        NdpOption::SourceLinkLayer(MAC),
        NdpOption::PrefixInformation(prefix),
        NdpOption::Mtu(1400),
        NdpOption::RouteInformation(route),
        NdpOption::Rdnss { lifetime: 9, servers: Servers::new(&servers) },
        NdpOption::Dnssl { lifetime: 9, names: b"\x04test\0\0\0" },
        NdpOption::Nonce(&[1; 6]),
        NdpOption::RedirectedHeader(&quoted[..64]),
    ];
    for message in [
        NdpMessage::RouterSolicitation,
        NdpMessage::RouterAdvertisement(RouterAdvertisement { hop_limit: 64, lifetime: 1800, ..RouterAdvertisement::default() }),
        NdpMessage::NeighbourSolicitation { target: B6 },
        NdpMessage::NeighbourAdvertisement { router: false, solicited: true, replace: true, target: B6 },
        NdpMessage::Redirect { target: A6, destination: B6 },
    ] {
        let mut bytes = vec![0; message.encoded_len(&options)];
        message.emit(&options, A6, B6, &mut bytes);
        messages.push(bytes);
    }
    let query = MldQuery {
        version: 2,
        max_response: 10_000,
        group: mld::ALL_NODES,
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: &[B6.octets()],
    };
    let records = [
        MldRecord { mode: RecordMode::ToExclude, group: mld::ALL_NODES, sources: &[] },
        MldRecord { mode: RecordMode::BlockOld, group: mld::ALL_NODES, sources: &[B6.octets()] },
    ];
    for emit in [MldEmit::Query(query), MldEmit::ReportV1(mld::ALL_NODES), MldEmit::ReportV2(&records)] {
        let mut bytes = vec![0; emit.encoded_len()];
        emit.emit(A6, B6, &mut bytes);
        messages.push(bytes);
    }
    for message in messages {
        all.push(ipv6(protocol::ICMPV6, &message));
        all.push(message);
    }
}

fn igmp(all: &mut Vec<Vec<u8>>) {
    let query = IgmpQuery {
        version: 3,
        max_response: 10_000,
        group: GROUP,
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: &[A.octets()],
    };
    let records = [
        IgmpRecord { mode: RecordMode::ToExclude, group: GROUP, sources: &[] },
        IgmpRecord { mode: RecordMode::IsInclude, group: GROUP, sources: &[A.octets(), B.octets()] },
    ];
    for emit in [IgmpEmit::Query(query), IgmpEmit::ReportV2(GROUP), IgmpEmit::ReportV3(&records)] {
        let mut message = vec![0; emit.encoded_len()];
        emit.emit(&mut message);
        all.push(ipv4(protocol::IGMP, &message, &ROUTER_ALERT_BYTES));
        all.push(message);
    }
}

fn extensions(all: &mut Vec<Vec<u8>>) {
    let segment = tcp_segments().remove(3);
    let mut chain = ipv6_extensions::router_alert_header(protocol::DESTINATION_OPTIONS).to_vec();
    chain.extend([protocol::ROUTING, 0, 0x3e, 2, 0, 0, 0, 0]);
    chain.extend([protocol::FRAGMENT, 0, 4, 0, 0, 0, 0, 0]);
    for (offset, more) in [(0, false), (0, true), (1232, true), (2464, false)] {
        let mut packet = chain.clone();
        let at = packet.len();
        packet.resize(at + ipv6_extensions::FRAGMENT_HEADER_LEN, 0);
        ipv6_extensions::emit_fragment(&mut packet[at..], protocol::TCP, offset, more, 99);
        packet.extend_from_slice(&segment[..segment.len() / 8 * 8]);
        all.push(ipv6(protocol::HOP_BY_HOP, &packet));
    }
}
