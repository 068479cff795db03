//! Chooses what is done to a stack next: mostly what moves its connections on, or is nearly that.

use std::net::{Ipv4Addr, Ipv6Addr};

use ostia_stack::Address;
use ostia_wire::ndp::solicited_node;
use ostia_wire::{
    Arp, DhcpEmit, DhcpOption, EtherType, Flags, IgmpEmit, IgmpQuery, MacAddr, MessageType, MldEmit, MldQuery, NdpMessage,
    NdpOption, Preference, PrefixInformation, RouterAdvertisement,
};

use crate::action::{Action, Carrier, Shape};
use crate::inject::CALLS;
use crate::packets::{self, OWN_MAC, PEER_MAC, addr, syn_options};
use crate::random::Random;
use crate::setup::{gateway, own, peer};
use crate::world::{World, mac};

/// One of some values, which may be drawn themselves.
macro_rules! pick {
    ($random:ident, $($value:expr),* $(,)?) => {{
        let values = [$($value),*];
        $random.pick(&values)
    }};
}

/// The next action.
pub fn action(world: &World, random: &mut Random) -> Action {
    match random.between(0, 99) {
        0..=49 => Action::Segment(shape(world, random)),
        50..=71 => Action::Call {
            op: random.between(0, u64::from(CALLS) - 1) as u8,
            which: random.next() as u8,
            value: random.next() as u32,
        },
        // Accepting is what most others need.
        72..=74 => Action::Call { op: 0, which: 0, value: 0 },
        75 => Action::Call { op: 10, which: random.next() as u8, value: 0 },
        76..=85 => {
            Action::Wait(pick!(random, 0, 1, 1_000_000, 40_000_000, 250_000_000, 1_000_000_000, 10_000_000_000, 70_000_000_000))
        }
        86..=89 => error(random),
        90..=93 => {
            let flips = (0..random.between(0, 3)).map(|_| (random.between(0, 100) as u16, random.next() as u8)).collect();
            Action::Replay {
                back: random.between(0, 31) as u16,
                exchange: random.chance(8_000),
                flips,
                mend: random.chance(8_000),
            }
        }
        _ => stranger(world, random),
    }
}

/// A segment that would move a slot's connection on, or something near it.
fn shape(world: &World, random: &mut Random) -> Shape {
    // A few are worked on more than others, so that they get far.
    let newest = world.slots.len() as u64 - 1;
    let number = if random.chance(4_000) { newest } else { random.between(0, newest) };
    let slot = &world.slots[number as usize];
    let mut shape = Shape { slot: number as u8, window: pick!(random, 65_535, 8000, 500), ..Shape::default() };
    let active = world.connections.iter().any(|connection| connection.slot == number as usize && connection.active);
    let (syn, ack) = (Flags::SYN.0, Flags::ACK.0);
    match (slot.birth, active, slot.syn) {
        (None, true, _) => {
            shape.flags = pick!(random, syn | ack, syn | ack, syn | ack, syn, ack, Flags::RST.0 | ack);
            shape.options = offer(random);
        }
        (None, false, None) => {
            shape.flags = pick!(random, syn, syn, syn, syn, syn | Flags::ECE.0 | Flags::CWR.0, ack);
            shape.options = offer(random);
        }
        (None, false, Some(_)) => {
            shape.flags = pick!(random, ack, ack, ack, ack, syn, Flags::RST.0);
            if random.chance(7_000) {
                shape.timestamps = Some((1, 0));
            }
            shape.len = pick!(random, 0, 0, 10, 1000);
        }
        (Some(_), ..) => {
            // Where the program has closed, the peer soon ends as well; data would be answered by a reset.
            let closed = !world.connections.iter().any(|connection| connection.slot == number as usize);
            let often = if closed { Flags::FIN.0 } else { 0 };
            shape.flags = ack | pick!(random, 0, 0, 0, 0, often, often, often, Flags::PSH.0, Flags::FIN.0, Flags::URG.0);
            shape.len =
                if closed { pick!(random, 0, 0, 0, 0, 0, 1, 1400) } else { pick!(random, 0, 0, 1, 100, 500, 1400, 1400, 4000) };
            shape.urgent = pick!(random, 0, 1, 1400, 65_535);
            if random.chance(7_000) {
                shape.timestamps = Some((random.between(0, 20) as i32, 0));
            }
            if random.chance(2_500) {
                shape.seq = if closed { 0 } else { pick!(random, 1, 100, 1400, 2800, 5000) };
            }
            if random.chance(2_000) {
                shape.ack = -(random.between(0, 4000) as i32);
                let left = shape.ack + random.between(1, 1500) as i32;
                shape.sack = vec![(left, left + random.between(1, 1500) as i32)];
            }
        }
    }
    if random.chance(3_500) {
        for _ in 0..random.between(1, 3) {
            distort(&mut shape, slot.edge.map(|edge| edge.wrapping_sub(slot.rcv_nxt) as i32), random);
        }
    }
    shape
}

/// A number at an edge, or any.
fn edge(random: &mut Random) -> i32 {
    let near = random.between(0, 4) as i32 - 2;
    pick!(random, 0, 1 << 16, -(1 << 16), 4096, -4096, i32::MIN, i32::MAX, 1460, -1460, random.next() as i32).wrapping_add(near)
}

fn distort(shape: &mut Shape, window: Option<i32>, random: &mut Random) {
    match random.between(0, 10) {
        0 => shape.seq = edge(random),
        // About the right edge of the window.
        1 => shape.seq = window.unwrap_or(4096).wrapping_sub(pick!(random, -1, 0, 1, 2, i32::from(shape.len))),
        2 => shape.ack = edge(random),
        3 => shape.flags ^= 1 << random.between(0, 8),
        4 => shape.window = pick!(random, 0, 1, 87, 65_535, random.next() as u16),
        5 => (shape.flags, shape.urgent) = (shape.flags | Flags::URG.0, random.next() as u16),
        6 => shape.timestamps = Some((edge(random), edge(random))),
        7 => shape.sack = (0..random.between(1, 4)).map(|_| (edge(random), edge(random))).collect(),
        8 => {
            let len = random.between(0, 12);
            shape.options = (0..len).map(|_| pick!(random, 0, 1, 2, 3, 4, 5, 8, 10, 19, 29, 34, random.next() as u8)).collect();
        }
        9 => shape.len = pick!(random, 0, 1, 2, 1399, 3000, 9000, 30_000),
        _ => shape.carrier = Carrier::of(random.next() >> 20),
    }
}

/// Options of a SYN.
fn offer(random: &mut Random) -> Vec<u8> {
    let mss = pick!(random, 1460, 1460, 1440, 536, 88, 87, 1, 0, 65_535);
    match random.between(0, 7) {
        0 => Vec::new(),
        1 => vec![2, 4, (mss >> 8) as u8, mss as u8],
        2 => vec![2, 4, (mss >> 8) as u8, mss as u8, 1, 3, 3, random.next() as u8],
        3 => vec![2, 4, 5, 0xb4, 4, 2, 1, 1],
        _ => syn_options(mss, pick!(random, 0, 1, 0x7fff_ffff, 0xffff_fff0)),
    }
}

fn error(random: &mut Random) -> Action {
    let (kind, code) = pick!(
        random,
        (3, 4),
        (3, 4),
        (3, 3),
        (3, 1),
        (3, 2),
        (11, 0),
        (12, 0),
        (4, 0),
        (5, 1),
        (2, 0),
        (2, 0),
        (1, 4),
        (1, 0),
        (4, 1)
    );
    let word = pick!(random, 0, 68, 296, 552, 576, 1280, 1281, 1400, 1500, 65_535, random.next() as u32);
    let seq = pick!(random, 0, -1, -1, -500, -1400, 1, edge(random));
    Action::Icmp { slot: random.next() as u8, kind, code, word, seq }
}

/// What comes from anybody, and belongs to no connection.
fn stranger(world: &World, random: &mut Random) -> Action {
    let v6 = random.chance(5_000);
    let (from, to) = (peer(v6, random.chance(7_000)), own(v6));
    let bytes =
        |random: &mut Random, most: u64| -> Vec<u8> { (0..random.between(0, most)).map(|_| random.next() as u8).collect() };
    let port = pick!(random, 53, 53, 1, 68, 80);
    let mut packet = match random.between(0, 13) {
        0 => packets::udp((from, 9), (to, port), &bytes(random, 2000)),
        1 => {
            let kind = if v6 { pick!(random, 128, 129) } else { pick!(random, 8, 0, 13) };
            packets::icmp(from, to, 64, (kind, 0), random.next() as u32, &bytes(random, 200))
        }
        2 => {
            let offset = pick!(random, 0, 8, 16, 1480, 65_528);
            let (more, protocol) = (random.chance(5_000), pick!(random, 6, 17, 1, 58));
            packets::fragment((from, to), protocol, random.between(0, 40) as u16, offset, more, &bytes(random, 100))
        }
        3 => packets::packet(from, to, random.next() as u8, random.next() as u8, &bytes(random, 300)),
        4 => return arp(random),
        5 => neighbour(random),
        6 | 7 => router(random),
        8 => igmp(random),
        9 => mld(random),
        10 if world.setup.ethernet() => return Action::Frame(dhcp(world, random)),
        11 => extension_headers(from, to, random),
        12 => return Action::Frame(bytes(random, 100)),
        _ => packets::packet(to, to, 6, 64, &bytes(random, 60)),
    };
    if random.chance(2_500) && !packet.is_empty() {
        let at = random.between(0, packet.len() as u64 - 1) as usize;
        packet[at] ^= random.next() as u8;
        if random.chance(5_000) {
            packets::mend(&mut packet);
        }
        if random.chance(2_000) {
            packet.truncate(at);
        }
    }
    Action::Packet(packet)
}

fn arp(random: &mut Random) -> Action {
    let who = |random: &mut Random| -> Ipv4Addr {
        let any = Ipv4Addr::new(10, 0, 0, random.next() as u8);
        pick!(
            random,
            Ipv4Addr::new(10, 0, 0, 1),
            Ipv4Addr::new(10, 0, 0, 2),
            Ipv4Addr::new(10, 0, 0, 254),
            Ipv4Addr::UNSPECIFIED,
            any
        )
    };
    let sender_mac = pick!(random, PEER_MAC, OWN_MAC, mac(random.next() as u8), MacAddr::BROADCAST, MacAddr::ZERO);
    let arp = Arp {
        operation: pick!(random, ostia_wire::arp::Operation::Request, ostia_wire::arp::Operation::Reply),
        sender_mac,
        sender_ip: who(random),
        target_mac: pick!(random, OWN_MAC, MacAddr::ZERO),
        target_ip: who(random),
    };
    let mut bytes = vec![0; ostia_wire::arp::LEN];
    arp.emit(&mut bytes);
    let to = pick!(random, OWN_MAC, MacAddr::BROADCAST);
    Action::Frame(packets::ether(pick!(random, PEER_MAC, sender_mac), to, EtherType::ARP, &bytes))
}

fn any_v6(random: &mut Random) -> Ipv6Addr {
    let any = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, random.next() as u16);
    let known = ["fd00::1", "fd00::2", "fd00::fe", "fe80::1", "::", "ff02::1"];
    let known = known[random.between(0, known.len() as u64 - 1) as usize].parse().expect("an address");
    pick!(random, known, known, any)
}

fn neighbour(random: &mut Random) -> Vec<u8> {
    let (source, target) = (any_v6(random), any_v6(random));
    let link = pick!(random, PEER_MAC, OWN_MAC, mac(random.next() as u8), MacAddr::BROADCAST);
    let group = solicited_node(target);
    let to = pick!(random, group, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let hops = if random.chance(9_000) { 255 } else { random.next() as u8 };
    let message = match random.between(0, 3) {
        0 | 1 => NdpMessage::NeighbourSolicitation { target },
        2 => NdpMessage::NeighbourAdvertisement {
            router: random.chance(5_000),
            solicited: random.chance(5_000),
            replace: random.chance(5_000),
            target,
        },
        _ => NdpMessage::Redirect { target, destination: any_v6(random) },
    };
    let options: &[NdpOption<'_>] = match random.between(0, 2) {
        0 => &[NdpOption::SourceLinkLayer(link)],
        1 => &[NdpOption::TargetLinkLayer(link)],
        _ => &[],
    };
    packets::ndp(source.into(), to.into(), hops, &message, options)
}

fn router(random: &mut Random) -> Vec<u8> {
    let time = |random: &mut Random| pick!(random, 0, 1, 1000, 7201, u32::MAX, random.next() as u32);
    let advert = NdpMessage::RouterAdvertisement(RouterAdvertisement {
        hop_limit: random.next() as u8,
        managed: false,
        other: false,
        preference: pick!(random, Preference::Low, Preference::Medium, Preference::High),
        lifetime: pick!(random, 0, 1, 1800, 65_535),
        reachable_time: time(random),
        retransmit_timer: time(random),
    });
    let prefix = PrefixInformation {
        prefix_len: pick!(random, 64, 64, 64, 0, 128, 255),
        on_link: random.chance(7_000),
        autonomous: random.chance(7_000),
        valid_lifetime: time(random),
        preferred_lifetime: time(random),
        prefix: Ipv6Addr::new(0x2001, 0xdb8, random.between(0, 40) as u16, 0, 0, 0, 0, 0),
    };
    let options = [
        NdpOption::SourceLinkLayer(mac(random.next() as u8)),
        NdpOption::Mtu(pick!(random, 0, 68, 1280, 1400, 1500, u32::MAX)),
        NdpOption::PrefixInformation(prefix),
    ];
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, random.between(1, 30) as u16);
    let hops = if random.chance(9_000) { 255 } else { 64 };
    let count = random.between(0, 3) as usize;
    packets::ndp(from.into(), addr("ff02::1"), hops, &advert, &options[..count])
}

fn igmp(random: &mut Random) -> Vec<u8> {
    let group = pick!(random, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 2, 3), Ipv4Addr::new(10, 0, 0, 1));
    let query = IgmpQuery {
        version: random.between(1, 3) as u8,
        max_response: pick!(random, 0, 1, 100, 3000),
        group,
        suppress: random.chance(5_000),
        robustness: random.between(0, 7) as u8,
        interval: pick!(random, 0, 125),
        sources: &[],
    };
    let emit = match random.between(0, 3) {
        0 => IgmpEmit::ReportV2(group),
        1 => IgmpEmit::Leave(group),
        _ => IgmpEmit::Query(query),
    };
    let mut bytes = vec![0; emit.encoded_len()];
    emit.emit(&mut bytes);
    let to = pick!(random, "224.0.0.1", "239.1.2.3", "10.0.0.1");
    packets::packet(peer(false, true), addr(to), 2, pick!(random, 1, 1, 64), &bytes)
}

fn mld(random: &mut Random) -> Vec<u8> {
    let query = MldQuery {
        version: random.between(1, 2) as u8,
        max_response: pick!(random, 0, 1, 1000, 60_000),
        group: pick!(random, Ipv6Addr::UNSPECIFIED, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x1234)),
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: &[],
    };
    let emit = MldEmit::Query(query);
    let (from, to) =
        (pick!(random, "fe80::9", "fd00::2").parse().expect("an address"), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let mut bytes = vec![0; emit.encoded_len()];
    emit.emit(from, to, &mut bytes);
    if random.chance(5_000) {
        let mut inner = ostia_wire::ipv6_extensions::router_alert_header(58).to_vec();
        inner.extend(bytes);
        return packets::packet(from.into(), to.into(), 0, 1, &inner);
    }
    packets::packet(from.into(), to.into(), 58, pick!(random, 1, 255), &bytes)
}

/// An answer to what the stack's DHCP client has asked last, more or less.
fn dhcp(world: &World, random: &mut Random) -> Vec<u8> {
    let asked = world.sent.iter().find_map(|packet| {
        let datagram = packet.get(20..)?;
        (packet[9] == 17 && datagram.get(2..4) == Some(&[0, 67])).then(|| datagram.get(12..16)).flatten()
    });
    let transaction = asked.and_then(|bytes| bytes.try_into().ok()).map_or(random.next() as u32, u32::from_be_bytes);
    let (server, time) = (Ipv4Addr::new(10, 0, 0, 254), pick!(random, 0, 1, 60, 3600, u32::MAX));
    let kind = pick!(random, MessageType::Offer, MessageType::Offer, MessageType::Ack, MessageType::Ack, MessageType::Nak);
    let routers = [server];
    let options = [
        DhcpOption::MessageType(kind),
        DhcpOption::ServerIdentifier(server),
        DhcpOption::LeaseTime(time),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, pick!(random, 0, 0, 128, 3))),
        DhcpOption::Routers(&routers),
    ];
    let count = random.between(0, 5) as usize;
    let emit = DhcpEmit {
        is_reply: random.chance(9_000),
        transaction,
        seconds: 0,
        broadcast: false,
        client_address: Ipv4Addr::UNSPECIFIED,
        your_address: Ipv4Addr::new(10, 0, pick!(random, 0, 0, 1, 255), random.next() as u8),
        server_address: server,
        relay_address: Ipv4Addr::UNSPECIFIED,
        client_mac: pick!(random, OWN_MAC, OWN_MAC, PEER_MAC),
        options: &options[..count],
    };
    let mut bytes = vec![0; emit.encoded_len()];
    emit.emit(&mut bytes);
    let packet = packets::udp((gateway(false), 67), (Address::from(Ipv4Addr::BROADCAST), 68), &bytes);
    packets::framed(PEER_MAC, &packet)
}

/// IPv6 extension headers, or IPv4 options.
fn extension_headers(from: Address, to: Address, random: &mut Random) -> Vec<u8> {
    if from.is_v4() {
        let mut bytes = packets::udp((from, 9), (to, 53), &[1, 2, 3, 4]);
        let count = random.between(1, 10) as usize;
        let options: Vec<u8> =
            (0..4 * count).map(|_| pick!(random, 0, 1, 7, 68, 131, 137, 148, 4, 8, random.next() as u8)).collect();
        bytes.splice(20..20, options);
        bytes[0] = 0x40 | (5 + count) as u8;
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        packets::mend(&mut bytes);
        return bytes;
    }
    let kinds = [0, 43, 44, 60, 51, 59, 58, 6, 17, 135];
    let first = random.pick(&kinds);
    let mut inner = Vec::new();
    for _ in 0..random.between(1, 6) {
        inner.extend([random.pick(&kinds), pick!(random, 0, 0, 0, 1, 255)]);
        inner.extend((0..6).map(|_| pick!(random, 0, 1, 4, 5, 2, 0x80, 0xc2, random.next() as u8)));
    }
    packets::packet(from, to, first, 64, &inner)
}
