//! What somebody at the switch may send: packets that can't be, and floods that are to fill tables.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ostia_stack::{Reason, Stack};
use ostia_wire::arp::Operation;
use ostia_wire::{Arp, EtherType, Flags, MacAddr, NdpMessage, NdpOption, TcpEmit, arp, ipv4_options, protocol, tcp};

use crate::net::Net;
use crate::office::{B, L0, L1, Office, R2, USUAL};
use crate::programs::Stream;
use crate::services::{advert, framed, ipv4, ipv6, udp_v4};

const STRANGER: MacAddr = MacAddr([0x02, 0, 0, 0, 0x99, 1]);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
const B4: Ipv4Addr = crate::services::LEASED;

/// A SYN between two addresses and ports.
fn syn(source: std::net::IpAddr, destination: std::net::IpAddr, ports: (u16, u16)) -> Vec<u8> {
    let emit = TcpEmit {
        source_port: ports.0,
        destination_port: ports.1,
        sequence: 1,
        flags: Flags::SYN,
        window: 1000,
        ..TcpEmit::default()
    };
    let mut segment = vec![0; emit.header_len()];
    emit.emit(&mut segment);
    tcp::finish_checksum(&mut segment, source, destination);
    segment
}

/// Puts a packet on B's network, to a stack there.
fn inject(office: &mut Office, to: MacAddr, ethertype: EtherType, packet: &[u8]) {
    let tap = office.taps[1];
    office.net.send(tap, framed(STRANGER, to, ethertype, packet));
}

/// How often a packet was dropped for a reason since `before`.
fn since(stack: &Stack, reason: Reason, before: u64) -> u64 {
    stack.drops().get(reason) - before
}

#[test]
fn packets_that_cannot_be_are_dropped_each_for_its_reason() {
    let mut office = Office::new(USUAL);
    let b6 = office.address(B, true).and_then(|address| address.v6()).expect("an address");
    let to_b =
        |source: Ipv4Addr, options: &[u8]| ipv4(source, B4, protocol::TCP, options, &syn(source.into(), B4.into(), (80, 80)));
    let to_b6 = |source: Ipv6Addr| ipv6(source, b6, protocol::TCP, 64, &syn(source.into(), b6.into(), (80, 80)));
    // A loose source route over one router, filled up to a whole word.
    let route = [ipv4_options::LOOSE_SOURCE_ROUTE, 7, 4, 192, 0, 2, 1, 0];
    let strict = [ipv4_options::STRICT_SOURCE_ROUTE, 7, 4, 192, 0, 2, 1, 0];
    let mut spoiled = to_b(ELSEWHERE, &[]);
    spoiled[10] ^= 1;
    let v4 = EtherType::IPV4;
    let v6 = EtherType::IPV6;
    let cases: Vec<(&str, EtherType, Vec<u8>, Reason)> = vec![
        ("LAND: from B's own address", v4, to_b(B4, &[]), Reason::MartianSource),
        ("LAND over IPv6", v6, to_b6(b6), Reason::MartianSource),
        ("from the loopback", v4, to_b(Ipv4Addr::LOCALHOST, &[]), Reason::MartianSource),
        ("from the loopback of IPv6", v6, to_b6(Ipv6Addr::LOCALHOST), Reason::MartianSource),
        ("from a group", v4, to_b(Ipv4Addr::new(224, 0, 0, 5), &[]), Reason::MartianSource),
        ("from a group of IPv6", v6, to_b6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5)), Reason::MartianSource),
        ("from all", v4, to_b(Ipv4Addr::BROADCAST, &[]), Reason::MartianSource),
        ("from all of the network", v4, to_b(Ipv4Addr::new(203, 0, 113, 255), &[]), Reason::MartianSource),
        ("from nobody", v4, to_b(Ipv4Addr::UNSPECIFIED, &[]), Reason::MartianSource),
        ("from nobody over IPv6", v6, to_b6(Ipv6Addr::UNSPECIFIED), Reason::MartianSource),
        ("from a mapped address", v6, to_b6(ELSEWHERE.to_ipv6_mapped()), Reason::MartianSource),
        ("a loose source route", v4, to_b(ELSEWHERE, &route), Reason::SourceRoute),
        ("a strict source route", v4, to_b(ELSEWHERE, &strict), Reason::SourceRoute),
        ("to the loopback", v4, ipv4(ELSEWHERE, Ipv4Addr::LOCALHOST, protocol::TCP, &[], &[0; 20]), Reason::MartianDestination),
        (
            "for somebody else",
            v4,
            ipv4(ELSEWHERE, Ipv4Addr::new(203, 0, 113, 77), protocol::TCP, &[], &[0; 20]),
            Reason::NotForUs,
        ),
        ("a spoiled header", v4, spoiled, Reason::IpChecksum),
        ("a cut header", v4, vec![0x45, 0, 0, 20, 0], Reason::Malformed),
        ("a cut header of IPv6", v6, vec![0x60; 20], Reason::Malformed),
        ("another type", EtherType(0x88b5), vec![0; 50], Reason::UnknownProtocol),
    ];
    let count = cases.len();
    for (what, ethertype, packet, reason) in cases {
        let before = office.net.stacks[B].drops().get(reason);
        let total = office.net.stacks[B].drops().total();
        inject(&mut office, Net::mac(B, L0), ethertype, &packet);
        office.pass(Duration::from_millis(100));
        let stack = &office.net.stacks[B];
        assert_eq!((since(stack, reason, before), stack.drops().total() - total), (1, 1), "{what}");
    }
    // To somebody else's link address: a switch that doesn't know it shows it to B.
    let before = office.net.stacks[B].drops().get(Reason::OtherHost);
    inject(&mut office, MacAddr([0x02, 0, 0, 0, 0x88, 1]), v4, &to_b(ELSEWHERE, &[]));
    office.pass(Duration::from_millis(100));
    assert_eq!(since(&office.net.stacks[B], Reason::OtherHost, before), 1);
    assert_eq!(office.net.stacks[B].census(), (0, 0, 0));
    office.finish(&format!("{} packets that can't be", count + 1));
}

#[test]
fn a_router_forwards_nothing_that_must_not_leave_its_link() {
    let mut office = Office::new(USUAL);
    let before = office.net.stacks[R2].counters().ip_forwarded;
    let to = |source: Ipv4Addr, destination: Ipv4Addr| udp_v4((source, 9), (destination, 9), b"x");
    let inside = Ipv4Addr::new(203, 0, 113, 99);
    let a = Ipv4Addr::new(192, 0, 2, 10);
    let route = [ipv4_options::LOOSE_SOURCE_ROUTE, 7, 4, 192, 0, 2, 1, 0];
    let cases = [
        ("from a link-local address", to(Ipv4Addr::new(169, 254, 1, 1), a), Reason::MartianSource),
        ("from the loopback", to(Ipv4Addr::LOCALHOST, a), Reason::MartianSource),
        ("from the router's own address", to(Ipv4Addr::new(203, 0, 113, 1), a), Reason::MartianSource),
        ("from all", to(Ipv4Addr::BROADCAST, a), Reason::MartianSource),
        ("to a link-local address", to(inside, Ipv4Addr::new(169, 254, 1, 1)), Reason::MartianDestination),
        ("to a group", to(inside, Ipv4Addr::new(239, 9, 9, 9)), Reason::MartianDestination),
        ("to a reserved address", to(inside, Ipv4Addr::new(250, 0, 0, 1)), Reason::MartianDestination),
        ("by a source route", ipv4(inside, a, protocol::UDP, &route, &[0; 8]), Reason::SourceRoute),
    ];
    for (what, packet, reason) in cases {
        let drops = office.net.stacks[R2].drops().get(reason);
        inject(&mut office, Net::mac(R2, L1), EtherType::IPV4, &packet);
        office.pass(Duration::from_millis(100));
        assert_eq!(since(&office.net.stacks[R2], reason, drops), 1, "{what}");
    }
    assert_eq!(office.net.stacks[R2].counters().ip_forwarded, before);
    office.finish("what a router does not forward");
}

#[test]
fn floods_of_neighbours_keep_the_cache_within_its_bound_and_the_network_works_on() {
    let mut office = Office::new(USUAL);
    office.net.stacks[B].configure(|config| config.neighbours = 64);
    let own = Net::mac(B, L0);
    let b6 = office.address(B, true).and_then(|address| address.v6()).expect("an address");
    for number in 0..2000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let mac = MacAddr([0x02, 0, 0, 0x55, high, low]);
        let arp = Arp {
            operation: Operation::Request,
            sender_mac: mac,
            sender_ip: Ipv4Addr::new(203, 0, 113 + (number % 2) as u8, low),
            target_mac: MacAddr::ZERO,
            target_ip: B4,
        };
        let mut packet = vec![0; arp::LEN];
        arp.emit(&mut packet);
        inject(&mut office, own, EtherType::ARP, &packet);
        let source = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 9, number as u16);
        let message = NdpMessage::NeighbourSolicitation { target: b6 };
        let options = [NdpOption::SourceLinkLayer(mac)];
        let mut bytes = vec![0; message.encoded_len(&options)];
        message.emit(&options, source, b6, &mut bytes);
        let packet = ipv6(source, b6, protocol::ICMPV6, 255, &bytes);
        inject(&mut office, own, EtherType::IPV6, &packet);
        if number % 100 == 0 {
            office.pass(Duration::from_millis(10));
            assert!(office.net.stacks[B].neighbours(L0).count() <= 64);
        }
    }
    office.pass(Duration::from_secs(1));
    assert!(office.net.stacks[B].neighbours(L0).count() <= 64);
    assert!(office.net.switches[1].len() <= 1024);
    for v6 in [false, true] {
        Stream::new(&mut office, v6, 80 + u16::from(v6), [50_000, 50_000]).finish(&mut office);
    }
    office.finish("floods of neighbours");
}

#[test]
fn a_sweep_over_addresses_that_nobody_has_keeps_the_router_within_its_bounds() {
    let mut office = Office::new(USUAL);
    office.net.stacks[R2].configure(|config| config.neighbours = 64);
    // From A's network, as a scan from outside comes (RFC 6583).
    let tap = office.taps[0];
    for number in 0..3000_u32 {
        let source = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x66);
        let destination = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 7, number as u16);
        let packet = ipv6(source, destination, protocol::TCP, 64, &syn(source.into(), destination.into(), (1, 80)));
        office.net.send(tap, framed(STRANGER, Net::mac(crate::office::R1, L0), EtherType::IPV6, &packet));
        if number % 50 == 0 {
            office.pass(Duration::from_millis(20));
            assert!(office.net.stacks[R2].neighbours(L1).count() <= 64);
        }
    }
    Stream::new(&mut office, true, 80, [20_000, 20_000]).finish(&mut office);
    office.finish("a sweep over addresses");
}

#[test]
fn floods_of_router_advertisements_fill_a_few_places_and_no_more() {
    let mut office = Office::new(USUAL);
    for number in 0..500_u16 {
        let [high, low] = number.to_be_bytes();
        let mac = MacAddr([0x02, 0, 0, 0x66, high, low]);
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x66, number);
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0xf000 + number, 0, 0, 0, 0, 0);
        let tap = office.taps[1];
        // They claim to be no default router, as the real one has to stay the one.
        office.net.send(tap, advert(router, mac, 0, prefix));
        if number % 50 == 0 {
            office.pass(Duration::from_millis(100));
        }
    }
    office.pass(Duration::from_secs(5));
    let stack = &office.net.stacks[B];
    assert!(stack.link_addresses(L0).count() <= 32, "{}", stack.link_addresses(L0).count());
    assert!(stack.neighbours(L0).count() <= stack.config().neighbours);
    assert!(stack.drops().get(Reason::RateLimit) > 0);
    // Those who don't listen to them don't.
    assert_eq!(office.net.stacks[R2].link_addresses(L1).filter(|address| !address.address.is_link_local_v6()).count(), 2);
    Stream::new(&mut office, true, 80, [50_000, 50_000]).finish(&mut office);
    Stream::new(&mut office, false, 81, [50_000, 50_000]).finish(&mut office);
    office.finish("floods of router advertisements");
}

#[test]
fn routers_that_only_claim_to_be_there_are_given_up_for_one_that_is() {
    let mut office = Office::new(USUAL);
    for number in 0..100_u16 {
        let [high, low] = number.to_be_bytes();
        let mac = MacAddr([0x02, 0, 0, 0x67, high, low]);
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x67, number);
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 0);
        let tap = office.taps[1];
        office.net.send(tap, advert(router, mac, 1800, prefix));
    }
    office.pass(Duration::from_secs(1));
    assert!(office.net.stacks[B].drops().get(Reason::RateLimit) > 0);
    // B opens nothing here: what it answers has to find the router that is there.
    Stream::new(&mut office, true, 80, [50_000, 50_000]).finish(&mut office);
    office.finish("routers that aren't there");
}

#[test]
fn fragments_that_are_never_completed_keep_their_bound_and_go_with_time() {
    let mut office = Office::new(USUAL);
    for number in 0..5000_u32 {
        let mut packet = ipv4(Ipv4Addr::new(203, 0, 113, 100 + (number % 100) as u8), B4, protocol::UDP, &[], &[0; 1400]);
        packet[4..6].copy_from_slice(&(number as u16).to_be_bytes());
        // More fragments follow.
        packet[6] = 0x20;
        packet[10..12].fill(0);
        let checksum = ostia_wire::checksum::fold(ostia_wire::checksum::sum(&packet[..20], 0));
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        inject(&mut office, Net::mac(B, L0), EtherType::IPV4, &packet);
        if number % 500 == 0 {
            office.pass(Duration::from_millis(10));
        }
    }
    office.pass(Duration::from_secs(1));
    let stack = &office.net.stacks[B];
    assert!(stack.memory().peak() <= stack.config().reassembly_memory * 2, "{}", stack.memory().peak());
    assert!(stack.drops().get(Reason::FragmentMemory) > 0);
    office.pass(Duration::from_secs(40));
    assert_eq!(office.net.stacks[B].memory().used(), 0);
    Stream::new(&mut office, false, 80, [50_000, 50_000]).finish(&mut office);
    office.finish("fragments without end");
}
