//! What is sent: headers, checksums, fragments, and packets of a host to itself.

use alloc::vec::Vec;
use core::net::IpAddr;

use ostia_wire::{Checksum, Frame, Ipv4, Ipv6, udp};

use crate::drops::Reason;
use crate::ip::link::{LOOPBACK, LOOPBACK_MTU};
use crate::ip::testing::{Host, L, addr, payload};
use crate::ip::{Head, Input};

pub(super) fn head(source: &str, destination: &str, protocol: u8) -> Head {
    Head {
        source: addr(source),
        destination: addr(destination),
        protocol,
        hop_limit: 61,
        traffic_class: 0x2a,
        flow_label: 0x12345,
        dont_fragment: true,
    }
}

pub(super) fn send(host: &mut Host, head: &Head, frame: Frame) {
    let route = host.ip.route(head.destination, Some(head.source), 0).expect("a route");
    host.ip.transmit(&route, head, frame, &mut host.env);
}

#[test]
fn the_header_says_what_the_transport_wants_in_both_families() {
    let mut host = Host::tun();
    send(&mut host, &head("192.0.2.1", "192.0.2.9", 6), Frame::from_slice(b"segment"));
    let frame = host.one();
    let four = Ipv4::parse(frame.as_slice()).unwrap();
    assert!(four.verify_checksum() && four.dont_fragment() && !four.is_fragment());
    assert_eq!((four.ttl(), four.tos(), four.protocol(), four.payload()), (61, 0x2a, 6, &b"segment"[..]));
    send(&mut host, &head("2001:db8::1", "2001:db8::9", 6), Frame::from_slice(b"segment"));
    let frame = host.one();
    let six = Ipv6::parse(frame.as_slice()).unwrap();
    assert_eq!((six.hop_limit(), six.traffic_class(), six.flow_label()), (61, 0x2a, 0x12345));
    assert_eq!((six.next_header(), six.payload()), (6, &b"segment"[..]));
}

/// A UDP datagram whose checksum is for the device to complete.
fn partial(source: &str, destination: &str, bytes: &[u8]) -> Frame {
    let mut frame = Frame::from_slice(bytes);
    let length = bytes.len() + 8;
    let header = frame.push_front(8);
    udp::emit(header, 5, 6, bytes.len());
    frame.meta.checksum = udp::partial_checksum(header, addr(source).ip(), addr(destination).ip(), length);
    frame
}

fn is_right(bytes: &[u8], source: IpAddr, destination: IpAddr) -> bool {
    ostia_wire::Udp::parse(bytes).unwrap().verify_checksum(source, destination)
}

#[test]
fn partial_checksums_are_completed_unless_the_device_does_that() {
    for (source, destination, header) in [("192.0.2.1", "192.0.2.9", 20), ("2001:db8::1", "2001:db8::9", 40)] {
        let mut host = Host::tun();
        send(&mut host, &head(source, destination, 17), partial(source, destination, b"data"));
        let frame = host.one();
        assert_eq!(frame.meta.checksum, Checksum::Unverified);
        assert!(is_right(&payload(&frame).1, addr(source).ip(), addr(destination).ip()));
        host.ip.links[0].config.checksum_offload = true;
        send(&mut host, &head(source, destination, 17), partial(source, destination, b"data"));
        assert_eq!(host.one().meta.checksum, Checksum::Partial { start: header, offset: 6 });
    }
}

#[test]
fn what_is_too_long_is_cut_where_that_is_allowed_and_another_host_puts_it_together() {
    let bytes: Vec<u8> = (0..4000u32).map(|n| n as u8).collect();
    for (source, destination) in [("192.0.2.9", "192.0.2.1"), ("2001:db8::9", "2001:db8::1")] {
        let mut sender = Host::tun();
        sender.add(L, source, if source.contains(':') { 64 } else { 24 });
        sender.ip.remove_address(L, addr(destination), &mut sender.env);
        send(&mut sender, &head(source, destination, 17), partial(source, destination, &bytes));
        assert!(sender.sent().is_empty());
        assert_eq!(sender.env.drops.get(Reason::TooBig), 1);
        let allowed = Head { dont_fragment: false, ..head(source, destination, 17) };
        send(&mut sender, &allowed, partial(source, destination, &bytes));
        let fragments = sender.sent();
        assert_eq!((fragments.len(), sender.env.counters.ip_frag_creates), (3, 3));
        let mut receiver = Host::tun();
        let mut last = Input::None;
        for fragment in fragments {
            assert!(fragment.len() <= 1500);
            last = receiver.input(fragment);
        }
        let Input::Packet(packet) = last else { panic!("not whole") };
        assert!(is_right(packet.frame.as_slice(), addr(source).ip(), addr(destination).ip()));
        assert_eq!(packet.frame.as_slice()[8..], bytes);
        assert_eq!(receiver.env.memory.used(), 0);
    }
}

#[test]
fn a_lower_path_mtu_cuts_sooner() {
    let mut host = Host::tun();
    host.ip.add_route(addr("0.0.0.0"), 0, None, L, 0).unwrap();
    let to = addr("198.51.100.1");
    let before = host.ip.route(to, None, 0).unwrap();
    host.ip.learn_path_mtu(to, 1000, &mut host.env);
    assert!(!host.ip.is_current(&before));
    assert_eq!((before.mtu, host.ip.path_mtu(&before)), (1500, 1000));
    let allowed = Head { dont_fragment: false, ..head("192.0.2.1", "198.51.100.1", 17) };
    send(&mut host, &allowed, Frame::from_slice(&[0; 1200]));
    assert_eq!(host.sent().len(), 2);
    host.until(601);
    assert_eq!(host.ip.route(to, None, 0).unwrap().mtu, 1500);
}

#[test]
fn own_addresses_are_reached_without_a_link_and_without_recursion() {
    for own in ["192.0.2.1", "2001:db8::1", "127.0.0.1", "127.4.4.4", "::1"] {
        let mut host = Host::ethernet();
        host.ip.set_link_up(L, false, &mut host.env).unwrap();
        host.sent();
        let route = host.ip.route(addr(own), None, 0).unwrap();
        assert_eq!((route.link, route.mtu, route.checksum_offload), (LOOPBACK, LOOPBACK_MTU, true));
        let head = Head { source: route.source, ..head(own, own, 6) };
        host.ip.transmit(&route, &head, Frame::from_slice(&[9; 60_000]), &mut host.env);
        assert!(host.ip.deadline(&host.env) <= host.env.now && host.env.memory.used() > 60_000);
        let Some(Input::Packet(packet)) = host.ip.next_local(&mut host.env) else { panic!("no packet to {own}") };
        assert_eq!((packet.link, packet.destination, packet.frame.len()), (LOOPBACK, addr(own), 60_000));
        assert_eq!((packet.frame.meta.checksum, packet.unicast), (Checksum::Valid, true));
        assert!(host.ip.next_local(&mut host.env).is_none());
        assert_eq!((host.env.memory.used(), host.sent().len()), (0, 0));
    }
}

#[test]
fn the_loopback_queue_is_bounded() {
    let mut host = Host::tun();
    for _ in 0..2000 {
        send(&mut host, &head("192.0.2.1", "192.0.2.1", 6), Frame::from_slice(b"x"));
    }
    assert_eq!(host.env.drops.get(Reason::LoopbackQueue), 2000 - 1024);
    while host.ip.next_local(&mut host.env).is_some() {}
    assert_eq!(host.env.memory.used(), 0);
}

#[test]
fn members_on_this_host_get_what_it_sends_to_a_group() {
    for (group, source) in [("239.1.1.1", "192.0.2.1"), ("ff05::77", "2001:db8::1")] {
        let mut host = Host::tun();
        send(&mut host, &head(source, group, 17), partial(source, group, b"x"));
        assert!(host.ip.next_local(&mut host.env).is_none());
        host.sent();
        host.ip.join_group(L, addr(group), &mut host.env).unwrap();
        send(&mut host, &head(source, group, 17), partial(source, group, b"x"));
        assert_eq!(host.sent().len(), 1);
        assert!(matches!(host.ip.next_local(&mut host.env), Some(Input::Packet(packet)) if packet.link == L && !packet.unicast));
    }
}

#[test]
fn a_link_that_goes_down_sends_nothing_and_its_routes_are_not_current() {
    let mut host = Host::tun();
    let route = host.ip.route(addr("192.0.2.9"), None, 0).unwrap();
    assert!(host.ip.is_current(&route));
    host.ip.set_link_up(L, false, &mut host.env).unwrap();
    assert!(!host.ip.is_current(&route));
    host.ip.transmit(&route, &head("192.0.2.1", "192.0.2.9", 6), Frame::from_slice(b"x"), &mut host.env);
    assert_eq!((host.sent().len(), host.env.drops.get(Reason::LinkDown)), (0, 1));
}

#[test]
fn a_link_may_get_another_mtu_while_it_is_used() {
    let mut host = Host::tun();
    let route = host.ip.route(addr("192.0.2.9"), None, 0).unwrap();
    host.ip.set_mtu(L, 1280).unwrap();
    assert!(!host.ip.is_current(&route));
    assert_eq!(host.ip.route(addr("192.0.2.9"), None, 0).unwrap().mtu, 1280);
    host.ip.transmit(&route, &head("192.0.2.1", "192.0.2.9", 6), Frame::from_slice(&[0; 1400]), &mut host.env);
    assert_eq!(host.env.drops.get(Reason::TooBig), 1);
}
