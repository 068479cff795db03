//! The table of bad input, first part: what the network layer must not take.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ostia_stack::{Config, Reason};
use ostia_wire::ndp::solicited_node;
use ostia_wire::{Arp, EtherType, Flags, MacAddr, NdpMessage, NdpOption, Preference, PrefixInformation, RouterAdvertisement};

use crate::host::Host;
use crate::packets::{self, OWN_MAC, Segment, TCP, UDP, addr, fragment, packet, syn_options};
use crate::setup::{own, peer};
use crate::world::{PORT, mac};

fn syn(source: &str, destination: &str) -> Segment {
    Segment {
        source: (addr(source), 1000),
        destination: (addr(destination), PORT),
        seq: 1,
        ack: 0,
        flags: Flags::SYN,
        window: 60_000,
        urgent: 0,
        options: syn_options(1460, 1),
        payload: Vec::new(),
    }
}

#[test]
fn a_packet_whose_fragments_overlap_is_given_up_with_all_that_still_come() {
    for v6 in [false, true] {
        let mut host = Host::tun(Config::default());
        let ends = (peer(v6, true), own(v6));
        host.feed(&fragment(ends, UDP, 1, 0, true, &[0; 64]));
        let before = host.stack.memory().used();
        host.feed(&fragment(ends, UDP, 1, 56, true, &[1; 64]));
        assert!(host.stack.memory().used() < before, "what had come is given up");
        host.refuses(
            Reason::FragmentOverlap,
            &[fragment(ends, UDP, 1, 64, false, &[0; 8]), fragment(ends, UDP, 1, 0, true, &[0; 64])],
        );
        assert_eq!(host.stack.drops().get(Reason::FragmentOverlap), 3);
        host.wait(Duration::from_secs(31));
        assert_eq!(host.stack.memory().used(), 0);
    }
}

#[test]
fn fragments_too_small_for_a_segments_header_or_misplaced_are_dropped() {
    let mut host = Host::tun(Config::default());
    let four = (peer(false, true), own(false));
    host.refuses(Reason::FragmentBad, &[fragment(four, TCP, 1, 0, true, &[0; 8]), fragment(four, TCP, 2, 8, false, &[0; 40])]);
    let bad = |ends| [fragment(ends, UDP, 3, 0, true, &[0; 61]), fragment(ends, UDP, 4, 65_528, false, &[0; 64])];
    host.refuses(Reason::FragmentBad, &bad(four));
    // Over IPv6 the sender is told (RFC 8200, 4.5).
    for bad in bad((peer(true, true), own(true))) {
        assert_eq!(host.dropped(Reason::ExtensionHeader, &bad).len(), 1);
    }
}

#[test]
fn land_is_dropped() {
    let mut host = Host::tun(Config::default());
    for own in ["10.0.0.1", "fd00::1"] {
        let mut land = syn(own, own);
        land.source.1 = PORT;
        host.refuses(Reason::MartianSource, &[land.packet(), syn(own, own).packet()]);
    }
}

#[test]
fn addresses_that_no_sender_can_have_are_dropped() {
    let mut host = Host::tun(Config::default());
    let four = ["127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "10.0.0.255", "10.0.0.1"];
    host.refuses(Reason::MartianSource, &four.map(|source| syn(source, "10.0.0.1").packet()));
    let six = ["::", "::1", "ff02::1", "::ffff:10.0.0.2", "fd00::1"];
    let six = six.map(|source| {
        let source = source.parse::<Ipv6Addr>().expect("an address");
        // Written by hand, for an address that is IPv4's has no place in an IPv6 header.
        let mut packet = syn("fd00::2", "fd00::1").packet();
        packet[8..24].copy_from_slice(&source.octets());
        packets::mend(&mut packet);
        packet
    });
    host.refuses(Reason::MartianSource, &six);
}

#[test]
fn addresses_that_no_packet_can_be_for_are_dropped_and_others_hosts_too() {
    let mut host = Host::tun(Config::default());
    let four = ["127.0.0.1", "0.0.0.0", "240.0.0.1"].map(|destination| syn("10.0.0.2", destination).packet());
    let six = ["::", "::1", "ff01::1"].map(|destination| syn("fd00::2", destination).packet());
    host.refuses(Reason::MartianDestination, &[four, six].concat());
    host.refuses(Reason::NotForUs, &[syn("10.0.0.2", "10.0.0.3").packet(), syn("fd00::2", "fd00::3").packet()]);
}

#[test]
fn tcp_to_a_group_or_to_everybody_is_dropped() {
    let mut host = Host::tun(Config::default());
    let all = [("10.0.0.2", "10.0.0.255"), ("10.0.0.2", "255.255.255.255"), ("10.0.0.2", "224.0.0.1"), ("fd00::2", "ff02::1")];
    host.refuses(Reason::TcpAddress, &all.map(|(source, destination)| syn(source, destination).packet()));
}

fn router_advert(number: u16, hops: u8) -> Vec<u8> {
    let advert = RouterAdvertisement {
        hop_limit: 64,
        managed: false,
        other: false,
        preference: Preference::Medium,
        lifetime: 1800,
        reachable_time: 0,
        retransmit_timer: 0,
    };
    let prefix = PrefixInformation {
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: 86_400,
        preferred_lifetime: 86_400,
        prefix: Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0),
    };
    let options = [NdpOption::SourceLinkLayer(mac(number as u8)), NdpOption::PrefixInformation(prefix)];
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number + 1);
    packets::ndp(from.into(), addr("ff02::1"), hops, &NdpMessage::RouterAdvertisement(advert), &options)
}

fn solicitation(source: Ipv6Addr, hops: u8, from: MacAddr) -> Vec<u8> {
    let target = own(true).v6().expect("an IPv6 address");
    let message = NdpMessage::NeighbourSolicitation { target };
    packets::ndp(source.into(), solicited_node(target).into(), hops, &message, &[NdpOption::SourceLinkLayer(from)])
}

#[test]
fn neighbour_discovery_from_beyond_the_link_is_dropped() {
    let mut host = Host::ethernet(Config::default());
    host.stack.set_slaac(host.link, true);
    host.wait(Duration::from_secs(30));
    let source = peer(true, true).v6().expect("an IPv6 address");
    let target = source;
    let advert = NdpMessage::NeighbourAdvertisement { router: false, solicited: true, replace: true, target };
    for hops in [0, 1, 64, 254] {
        let advert = packets::ndp(source.into(), own(true), hops, &advert, &[NdpOption::TargetLinkLayer(mac(1))]);
        host.refuses(Reason::NdpInvalid, &[solicitation(source, hops, mac(1)), advert, router_advert(1, hops)]);
    }
    assert_eq!(host.stack.neighbours(host.link).count(), 0);
}

#[test]
fn a_flood_of_neighbours_fills_the_table_to_its_bound_and_no_farther() {
    let mut config = Config::default();
    config.neighbours = 64;
    let mut host = Host::ethernet(config);
    for number in 0..5000u16 {
        let [high, low] = number.to_be_bytes();
        let arp = Arp {
            operation: ostia_wire::arp::Operation::Request,
            sender_mac: MacAddr([2, 9, 0, 0, high, low]),
            sender_ip: Ipv4Addr::new(10, 0, 0, low.max(2)),
            target_mac: MacAddr::ZERO,
            target_ip: Ipv4Addr::new(10, 0, 0, 1),
        };
        let mut bytes = vec![0; ostia_wire::arp::LEN];
        arp.emit(&mut bytes);
        host.feed_frame(&packets::ether(arp.sender_mac, OWN_MAC, EtherType::ARP, &bytes));
        let source = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, number);
        host.feed(&solicitation(source, 255, MacAddr([2, 9, 0, 1, high, low])));
        assert!(host.stack.neighbours(host.link).count() <= 64);
    }
    assert_eq!(host.stack.neighbours(host.link).count(), 64);
    assert_eq!(host.stack.memory().used(), 0, "nothing waits for them");
    // And who is of use still gets in.
    host.feed(&solicitation(peer(true, true).v6().expect("an IPv6 address"), 255, packets::PEER_MAC));
    let flow = host.open(true);
    assert_eq!(host.info(&flow).tcpi_state, ostia_stack::State::Established);
}

#[test]
fn a_flood_of_router_advertisements_leaves_a_bounded_number_of_addresses_and_routers() {
    let mut host = Host::ethernet(Config::default());
    host.refuses(Reason::AdvertsOff, &[router_advert(1, 255)]);
    host.stack.set_slaac(host.link, true);
    host.wait(Duration::from_secs(3));
    for number in 0..2000 {
        host.feed(&router_advert(number, 255));
    }
    host.wait(Duration::from_secs(3));
    let count = host.stack.link_addresses(host.link).count();
    assert!((4..=32).contains(&count), "{count} addresses");
    assert!(host.stack.drops().get(Reason::RateLimit) > 1900, "{:?}", host.stack.drops());
    // All of them end, and the host is as it was.
    host.wait(Duration::from_secs(86_400 + 10));
    assert_eq!(host.stack.link_addresses(host.link).count(), 3, "its own, and the one of the link");
}

#[test]
fn a_redirect_of_who_is_no_router_here_is_not_followed() {
    let mut host = Host::ethernet(Config::default());
    let six = NdpMessage::Redirect { target: Ipv6Addr::LOCALHOST, destination: Ipv6Addr::LOCALHOST };
    let six = packets::ndp(addr("fe80::1"), own(true), 255, &six, &[]);
    let four = packets::icmp(addr("10.0.0.254"), own(false), 64, (5, 1), 0x0a00_0002, &syn("10.0.0.1", "10.0.0.2").packet());
    host.refuses(Reason::Redirect, &[six, four]);
}

#[test]
fn source_routes_and_headers_that_are_cut_are_dropped() {
    let mut host = Host::tun(Config::default());
    let mut routed = packet(peer(false, true), own(false), UDP, 64, &[0; 8]);
    routed.splice(20..20, [131, 7, 4, 10, 0, 0, 9, 0]);
    (routed[0], routed[3]) = (0x47, 36);
    packets::mend(&mut routed);
    host.refuses(Reason::SourceRoute, &[routed]);
    let whole = syn("10.0.0.2", "10.0.0.1").packet();
    let six = syn("fd00::2", "fd00::1").packet();
    host.refuses(
        Reason::Malformed,
        &[Vec::new(), vec![0x45], whole[..19].to_vec(), whole[..40].to_vec(), six[..39].to_vec(), six[..60].to_vec()],
    );
    let mut wrong = whole;
    wrong[8] = 63;
    host.refuses(Reason::IpChecksum, &[wrong]);
}
