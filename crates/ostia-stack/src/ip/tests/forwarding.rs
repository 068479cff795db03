//! Forwarding between two links: what goes on, what doesn't, and who is told.

use ostia_wire::{Frame, Ipv4, Ipv6, MacAddr};

use crate::Config;
use crate::drops::Reason;
use crate::ip::testing::{Host, L, OWN, framed, hops, icmp4, link, packet, payload, udp};
use crate::ip::{Input, LinkId, Medium};

const OTHER: LinkId = LinkId(1);

/// A router between 192.0.2.0/24 and 198.51.100.0/24, and between 2001:db8::/64 and 2001:db8:2::/64.
fn router(medium: Medium) -> Host {
    let config = Config { forwarding: true, ..Config::default() };
    let mut host = Host::with(config, medium);
    let id = host.ip.add_link(link(Medium::Ip), &mut host.env).unwrap();
    assert_eq!(id, OTHER);
    host.add(OTHER, "198.51.100.1", 24);
    host.add(OTHER, "2001:db8:2::1", 64);
    host.settle();
    host
}

fn forwarded(host: &mut Host, frame: Frame) -> Option<(LinkId, Frame)> {
    assert!(matches!(host.input(frame), Input::None));
    host.ip.out.drain().next().map(|transmit| (transmit.link, transmit.frame))
}

#[test]
fn a_packet_for_another_link_goes_there_with_a_hop_less() {
    let mut host = router(Medium::Ip);
    let (link, frame) = forwarded(&mut host, udp("192.0.2.9", 5, "198.51.100.9", 6, b"data")).unwrap();
    let header = Ipv4::parse(frame.as_slice()).unwrap();
    assert!(header.verify_checksum());
    assert_eq!((link, header.ttl(), header.payload().len()), (OTHER, 63, 12));
    let (link, frame) = forwarded(&mut host, udp("2001:db8::9", 5, "2001:db8:2::9", 6, b"data")).unwrap();
    assert_eq!((link, Ipv6::parse(frame.as_slice()).unwrap().hop_limit()), (OTHER, 63));
    assert_eq!(host.env.counters.ip_forwarded, 2);
}

#[test]
fn a_host_that_is_no_router_forwards_nothing() {
    let mut host = router(Medium::Ip);
    host.env.config.forwarding = false;
    assert!(forwarded(&mut host, udp("192.0.2.9", 5, "198.51.100.9", 6, b"data")).is_none());
    assert_eq!(host.env.drops.get(Reason::NotForUs), 1);
}

#[test]
fn the_last_hop_is_told_of() {
    let mut host = router(Medium::Ip);
    for (source, destination, kind) in [("192.0.2.9", "198.51.100.9", 11), ("2001:db8::9", "2001:db8:2::9", 3)] {
        for left in [0, 1] {
            let (link, error) = forwarded(&mut host, hops(source, destination, 17, left, &[0; 8])).unwrap();
            let (_, message) = payload(&error);
            assert_eq!((link, &message[..2]), (L, &[kind, 0][..]));
        }
    }
    assert_eq!(host.env.drops.get(Reason::HopLimit), 4);
}

#[test]
fn a_packet_too_long_for_the_next_link_is_told_its_mtu() {
    let mut host = router(Medium::Ip);
    host.ip.set_mtu(OTHER, 1280).unwrap();
    let (_, error) = forwarded(&mut host, packet("192.0.2.9", "198.51.100.9", 17, &[0; 1400])).unwrap();
    let (_, message) = payload(&error);
    assert_eq!((&message[..2], &message[4..8]), (&[3, 4][..], &[0, 0, 5, 0][..]));
    let (_, error) = forwarded(&mut host, packet("2001:db8::9", "2001:db8:2::9", 17, &[0; 1400])).unwrap();
    let (_, message) = payload(&error);
    assert_eq!((&message[..2], &message[4..8]), (&[2, 0][..], &[0, 0, 5, 0][..]));
    assert_eq!(host.env.drops.get(Reason::TooBig), 2);
}

#[test]
fn an_ipv4_packet_that_may_be_is_fragmented_on_the_way() {
    let mut host = router(Medium::Ip);
    host.ip.set_mtu(OTHER, 1280).unwrap();
    let mut frame = packet("192.0.2.9", "198.51.100.9", 17, &[7; 1400]);
    let bytes = frame.as_mut_slice();
    bytes[6] = 0;
    bytes[10..12].fill(0);
    let checksum = ostia_wire::checksum::fold(ostia_wire::checksum::sum(&bytes[..20], 0));
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    host.input(frame);
    let sent = host.sent();
    let parts: std::vec::Vec<_> = sent.iter().map(|frame| Ipv4::parse(frame.as_slice()).unwrap()).collect();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|part| part.verify_checksum() && part.total_len() <= 1280 && part.ttl() == 63));
    assert_eq!((parts[0].more_fragments(), parts[1].more_fragments()), (true, false));
    assert_eq!(parts[1].fragment_offset(), parts[0].payload().len());
    assert_eq!(parts[0].payload().len() + parts[1].payload().len(), 1400);
}

#[test]
fn a_super_segment_is_as_long_as_the_packets_that_it_stands_for() {
    let mut host = router(Medium::Ip);
    host.ip.links[1].config.gso_max = 65_000;
    let segment = |length: usize| {
        let mut bytes = std::vec![0; 20 + length];
        bytes[12] = 0x50;
        let mut frame = packet("192.0.2.9", "198.51.100.9", 6, &bytes);
        frame.meta.gso_size = 1400;
        frame
    };
    let (link, frame) = forwarded(&mut host, segment(14_000)).unwrap();
    assert_eq!((link, frame.meta.gso_size, frame.len()), (OTHER, 1400, 14_040));
    host.ip.set_mtu(OTHER, 1400).unwrap();
    let (link, error) = forwarded(&mut host, segment(14_000)).unwrap();
    assert_eq!((link, &payload(&error).1[..2]), (L, &[3, 4][..]));
}

#[test]
fn a_super_segment_is_cut_for_a_link_that_does_not_cut() {
    let mut host = router(Medium::Ip);
    let mut bytes = std::vec![0; 20 + 3000];
    bytes[12] = 0x50;
    bytes[13] = 0x10;
    let mut frame = packet("192.0.2.9", "198.51.100.9", 6, &bytes);
    frame.meta.gso_size = 1400;
    host.input(frame);
    let sent = host.sent();
    assert_eq!(sent.iter().map(Frame::len).collect::<std::vec::Vec<_>>(), [1440, 1440, 240]);
}

#[test]
fn what_belongs_to_a_link_or_to_nobody_is_not_forwarded() {
    let mut host = router(Medium::Ethernet(OWN));
    for (source, destination, reason) in [
        ("169.254.1.1", "198.51.100.9", Reason::MartianSource),
        ("fe80::9", "2001:db8:2::9", Reason::MartianSource),
        ("192.0.2.9", "169.254.1.1", Reason::MartianDestination),
        ("192.0.2.9", "239.1.1.1", Reason::MartianDestination),
        ("2001:db8::9", "fe80::77", Reason::MartianDestination),
        ("2001:db8::9", "ff0e::77", Reason::MartianDestination),
        ("192.0.2.9", "198.51.100.255", Reason::MartianDestination),
        ("192.0.2.9", "203.0.113.1", Reason::NoRoute),
    ] {
        let before = host.env.drops.get(reason);
        host.input(framed(OWN, udp(source, 5, destination, 6, b"x")));
        assert_eq!(host.env.drops.get(reason), before + 1, "{source} to {destination}");
        assert!(host.ip.out.drain().all(|transmit| transmit.link == L), "{source} to {destination}");
    }
    assert_eq!(host.env.counters.ip_forwarded, 0);
}

#[test]
fn what_everybody_on_the_link_got_is_not_forwarded() {
    let mut host = router(Medium::Ethernet(OWN));
    host.input(framed(MacAddr::BROADCAST, udp("192.0.2.9", 5, "198.51.100.9", 6, b"x")));
    assert_eq!((host.sent().len(), host.env.drops.get(Reason::NotForUs)), (0, 1));
}

#[test]
fn a_packet_does_not_go_back_over_a_link_with_nobody_else() {
    let mut host = router(Medium::Ip);
    let (link, error) = forwarded(&mut host, udp("192.0.2.9", 5, "192.0.2.77", 6, b"x")).unwrap();
    assert_eq!((link, &payload(&error).1[..2]), (L, &[3, 1][..]));
    let (link, error) = forwarded(&mut host, udp("2001:db8::9", 5, "2001:db8::77", 6, b"x")).unwrap();
    assert_eq!((link, &payload(&error).1[..2]), (L, &[1, 3][..]));
}

#[test]
fn the_sender_is_told_that_the_last_hop_does_not_answer() {
    let mut host = router(Medium::Ethernet(OWN));
    host.ip.input(OTHER, udp("198.51.100.9", 5, "192.0.2.77", 6, b"x"), &mut host.env);
    host.until(5);
    let error = host.sent().into_iter().next_back().unwrap();
    assert_eq!(payload(&error).1[..2], [3, 1]);
    assert_eq!(host.env.memory.used(), 0);
}

#[test]
fn a_device_that_takes_nothing_fills_no_memory() {
    let mut host = router(Medium::Ip);
    for _ in 0..6000 {
        host.input(udp("192.0.2.9", 5, "198.51.100.9", 6, b"x"));
        host.input(icmp4("192.0.2.9", "192.0.2.1", &[8, 0, 0, 0, 1, 2, 3, 4]));
    }
    assert_eq!((host.ip.out.drain().len(), host.env.drops.get(Reason::TransmitQueue)), (4096, 12_000 - 4096));
}
