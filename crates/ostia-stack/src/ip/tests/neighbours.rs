//! ARP and neighbour discovery on the wire: questions, answers, conflicts, floods.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use ostia_wire::arp::{Arp, Operation};
use ostia_wire::{Ethernet, Frame, Ipv4, Ipv6, MacAddr};

use crate::drops::Reason;
use crate::ip::testing::{Host, L, OWN, PEER, addr, framed, icmp6, payload};
use crate::ip::tests::outgoing::{head, send};
use crate::ip::{AddressState, Head, Icmp, Input, NeighbourState};

fn arp(operation: Operation, sender: &str, target: &str) -> Arp {
    let ip = |text: &str| addr(text).v4().unwrap();
    Arp { operation, sender_mac: PEER, sender_ip: ip(sender), target_mac: OWN, target_ip: ip(target) }
}

fn arp_frame(to: MacAddr, arp: &Arp) -> Frame {
    let mut frame = Frame::new(28);
    arp.emit(frame.extend_zeroed(28));
    framed(to, frame)
}

fn read_arp(frame: &Frame) -> (MacAddr, Arp) {
    let ethernet = Ethernet::parse(frame.as_slice()).unwrap();
    (ethernet.destination(), Arp::parse(ethernet.payload()).expect("ARP"))
}

fn solicitation(target: &str, option: &[u8]) -> std::vec::Vec<u8> {
    [[135, 0, 0, 0, 0, 0, 0, 0].as_slice(), &addr(target).v6().unwrap().octets(), option].concat()
}

fn advertisement(flags: u8, target: &str, mac: MacAddr) -> std::vec::Vec<u8> {
    [[136, 0, 0, 0, flags, 0, 0, 0].as_slice(), &addr(target).v6().unwrap().octets(), &[2, 1], &mac.0].concat()
}

/// The destination of a frame and the ICMPv6 message in it.
fn read_six(mut frame: Frame) -> (MacAddr, u8, std::vec::Vec<u8>) {
    let to = Ethernet::parse(frame.as_slice()).unwrap().destination();
    frame.pull(14);
    let hop_limit = frame.as_slice()[7];
    (to, hop_limit, payload(&frame).1)
}

#[test]
fn a_packet_waits_for_arp_and_goes_to_the_answers_link_address() {
    let mut host = Host::ethernet();
    send(&mut host, &head("192.0.2.1", "192.0.2.9", 6), Frame::from_slice(b"one"));
    send(&mut host, &head("192.0.2.1", "192.0.2.9", 6), Frame::from_slice(b"two"));
    let (to, question) = read_arp(&host.one());
    assert_eq!(to, MacAddr::BROADCAST);
    assert_eq!((question.operation, question.sender_mac), (Operation::Request, OWN));
    assert_eq!((question.sender_ip, question.target_ip), (addr("192.0.2.1").v4().unwrap(), addr("192.0.2.9").v4().unwrap()));
    assert!(host.env.memory.used() > 0);
    host.input(arp_frame(OWN, &arp(Operation::Reply, "192.0.2.9", "192.0.2.1")));
    let sent = host.sent();
    assert_eq!((sent.len(), host.env.memory.used()), (2, 0));
    for frame in sent {
        let ethernet = Ethernet::parse(frame.as_slice()).unwrap();
        assert_eq!((ethernet.destination(), ethernet.source()), (PEER, OWN));
    }
    send(&mut host, &head("192.0.2.1", "192.0.2.9", 6), Frame::from_slice(b"three"));
    assert_eq!(host.sent().len(), 1);
}

/// Fragments by the identification of their datagram, of what was sent to a link address.
fn fragments(host: &mut Host) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    for frame in host.sent() {
        let ethernet = Ethernet::parse(frame.as_slice()).unwrap();
        let identification = match Ipv4::parse(ethernet.payload()) {
            Ok(header) => header.identification().into(),
            Err(_) => Ipv6::parse(ethernet.payload()).unwrap().upper().unwrap().fragment.expect("a fragment").identification,
        };
        *found.entry(identification).or_default() += 1;
    }
    found
}

/// One waits until the address is known, however many fragments it has; and of several as many as there is room for, the newest,
/// but none in part.
#[test]
fn the_longest_datagrams_wait_whole() {
    for (source, destination, count) in [("192.0.2.1", "192.0.2.9", 45), ("2001:db8::1", "2001:db8::9", 46)] {
        let v4 = addr(source).is_v4();
        for (sent, kept) in [(1, 1), (2, 2), (4, 2), (20, 2)] {
            let mut host = Host::ethernet();
            let head = Head { dont_fragment: false, ..head(source, destination, 17) };
            for _ in 0..sent {
                send(&mut host, &head, Frame::from_slice(&[7; 65_515]));
            }
            // The question.
            assert_eq!(host.sent().len(), 1);
            assert!(host.env.memory.used() <= host.env.config.neighbour_queue);
            assert_eq!(host.env.drops.get(Reason::NeighbourQueue), (sent - kept) * count as u64);
            match v4 {
                true => host.input(arp_frame(OWN, &arp(Operation::Reply, destination, source))),
                false => host.input(framed(OWN, icmp6(destination, source, 255, &advertisement(0x60, destination, PEER)))),
            };
            let found = fragments(&mut host);
            assert_eq!(found.into_values().collect::<Vec<_>>(), vec![count; kept as usize], "{sent} to {destination}");
            assert_eq!(host.env.memory.used(), 0);
        }
    }
}

/// A bound of next to nothing still lets one packet wait.
#[test]
fn one_packet_waits_whatever_the_bound() {
    let mut host = Host::ethernet();
    host.env.config.neighbour_queue = 0;
    for bytes in [&b"one"[..], b"two", b"three"] {
        send(&mut host, &head("192.0.2.1", "192.0.2.9", 6), Frame::from_slice(bytes));
    }
    host.sent();
    host.input(arp_frame(OWN, &arp(Operation::Reply, "192.0.2.9", "192.0.2.1")));
    let frame = host.one();
    let ethernet = Ethernet::parse(frame.as_slice()).unwrap();
    assert_eq!(Ipv4::parse(ethernet.payload()).unwrap().payload(), b"three");
}

#[test]
fn a_packet_waits_for_neighbour_discovery_likewise() {
    let mut host = Host::ethernet();
    send(&mut host, &head("2001:db8::1", "2001:db8::9", 6), Frame::from_slice(b"one"));
    let (to, hop_limit, message) = read_six(host.one());
    assert_eq!((to, hop_limit), (MacAddr([0x33, 0x33, 0xff, 0, 0, 9]), 255));
    assert_eq!(message, {
        let mut expected = solicitation("2001:db8::9", &[[1, 1].as_slice(), &OWN.0].concat());
        expected[2..4].copy_from_slice(&message[2..4]);
        expected
    });
    let answer = icmp6("2001:db8::9", "2001:db8::1", 255, &advertisement(0x60, "2001:db8::9", PEER));
    host.input(framed(OWN, answer));
    let frame = host.one();
    assert_eq!(Ethernet::parse(frame.as_slice()).unwrap().destination(), PEER);
    let state = host.ip.neighbours(L, host.env.now).next().unwrap().state;
    assert_eq!((state, host.env.memory.used()), (NeighbourState::Reachable, 0));
}

#[test]
fn questions_about_own_addresses_are_answered_and_the_asker_is_remembered() {
    let mut host = Host::ethernet();
    host.input(arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, "192.0.2.9", "192.0.2.1")));
    let (to, reply) = read_arp(&host.one());
    assert_eq!((to, reply.operation, reply.sender_mac), (PEER, Operation::Reply, OWN));
    let question =
        icmp6("2001:db8::9", "ff02::1:ff00:1", 255, &solicitation("2001:db8::1", &[[1, 1].as_slice(), &PEER.0].concat()));
    host.input(framed(MacAddr([0x33, 0x33, 0xff, 0, 0, 1]), question));
    let (to, hop_limit, message) = read_six(host.one());
    assert_eq!((to, hop_limit, message[0], message[4]), (PEER, 255, 136, 0x60));
    assert_eq!(message[24..], [[2, 1].as_slice(), &OWN.0].concat());
    let known: std::vec::Vec<_> =
        host.ip.neighbours(L, host.env.now).map(|neighbour| (neighbour.address, neighbour.state)).collect();
    assert_eq!(known, [(addr("192.0.2.9"), NeighbourState::Stale), (addr("2001:db8::9"), NeighbourState::Stale)]);
    host.input(arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, "192.0.2.9", "192.0.2.77")));
    assert!(host.sent().is_empty());
}

#[test]
fn a_host_asking_for_an_own_address_before_it_has_one_is_answered_with_everybody() {
    let mut host = Host::ethernet();
    host.input(framed(
        MacAddr([0x33, 0x33, 0xff, 0, 0, 1]),
        icmp6("::", "ff02::1:ff00:1", 255, &solicitation("2001:db8::1", &[])),
    ));
    let (to, _, message) = read_six(host.one());
    assert_eq!((to, message[0], message[4]), (MacAddr([0x33, 0x33, 0, 0, 0, 1]), 136, 0x20));
    // With a link address, or to another group, the question is not valid (RFC 4861, 7.1.1).
    let with = solicitation("2001:db8::1", &[[1, 1].as_slice(), &PEER.0].concat());
    host.input(framed(MacAddr([0x33, 0x33, 0xff, 0, 0, 1]), icmp6("::", "ff02::1:ff00:1", 255, &with)));
    host.input(framed(MacAddr([0x33, 0x33, 0, 0, 0, 1]), icmp6("::", "ff02::1", 255, &solicitation("2001:db8::1", &[]))));
    assert_eq!((host.sent().len(), host.env.drops.get(Reason::NdpInvalid)), (0, 2));
}

#[test]
fn senders_are_told_of_a_neighbour_that_does_not_answer() {
    for (source, destination) in [("192.0.2.1", "192.0.2.9"), ("2001:db8::1", "2001:db8::9")] {
        let mut host = Host::ethernet();
        send(&mut host, &head(source, destination, 6), Frame::from_slice(&[0, 5, 0, 6, 0, 0, 0, 7]));
        for _ in 0..3 {
            host.step();
        }
        assert_eq!(host.sent().len(), 3);
        let Some(Input::Error(quoted)) = host.ip.next_local(&mut host.env) else { panic!("no error") };
        assert_eq!((quoted.what, quoted.local_port, quoted.sequence), (Icmp::HostUnreachable, 5, Some(7)));
        assert_eq!((host.env.memory.used(), host.env.drops.get(Reason::NoNeighbour)), (0, 1));
    }
}

#[test]
fn another_router_is_taken_when_one_does_not_answer() {
    let mut host = Host::ethernet();
    host.ip.add_route(addr("0.0.0.0"), 0, Some(addr("192.0.2.254")), L, 1).unwrap();
    host.ip.add_route(addr("0.0.0.0"), 0, Some(addr("192.0.2.253")), L, 2).unwrap();
    let route = host.ip.route(addr("198.51.100.1"), None, 0).unwrap();
    assert_eq!(route.next_hop, addr("192.0.2.254"));
    host.ip.transmit(&route, &head("192.0.2.1", "198.51.100.1", 6), Frame::from_slice(b"x"), &mut host.env);
    host.until(4);
    assert!(!host.ip.is_current(&route));
    assert_eq!(host.ip.route(addr("198.51.100.1"), None, 0).unwrap().next_hop, addr("192.0.2.253"));
}

#[test]
fn an_own_ipv4_address_is_defended_but_not_in_a_storm() {
    let mut host = Host::ethernet();
    for _ in 0..10 {
        host.input(arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, "192.0.2.1", "192.0.2.1")));
    }
    let (to, announcement) = read_arp(&host.one());
    assert_eq!(
        (to, announcement.sender_ip, announcement.target_ip),
        (MacAddr::BROADCAST, announcement.target_ip, announcement.sender_ip)
    );
    assert_eq!(host.env.drops.get(Reason::AddressConflict), 10);
}

#[test]
fn an_ipv6_address_is_not_used_before_nobody_has_answered_for_it() {
    let mut host = Host::ethernet();
    host.add(L, "2001:db8::5", 64);
    let state = |host: &Host| host.ip.addresses(L).find(|own| own.address == addr("2001:db8::5")).map(|own| own.state);
    assert_eq!(state(&host), Some(AddressState::Tentative));
    assert!(!host.ip.is_local(addr("2001:db8::5")));
    host.step();
    let probe = host.sent().into_iter().map(read_six).find(|(_, _, message)| message[0] == 135).expect("a probe");
    assert_eq!((probe.0, probe.2.len()), (MacAddr([0x33, 0x33, 0xff, 0, 0, 5]), 24));
    host.until(2);
    assert!(host.ip.is_local(addr("2001:db8::5")));
}

#[test]
fn an_ipv6_address_that_somebody_has_or_asks_for_as_well_is_never_used() {
    let taken = advertisement(0x20, "2001:db8::5", PEER);
    let asked = solicitation("2001:db8::5", &[]);
    for frame in [icmp6("2001:db8::5", "ff02::1", 255, &taken), icmp6("::", "ff02::1:ff00:5", 255, &asked)] {
        let mut host = Host::ethernet();
        host.add(L, "2001:db8::5", 64);
        let group =
            if frame.as_slice()[8] == 0 { MacAddr([0x33, 0x33, 0xff, 0, 0, 5]) } else { MacAddr([0x33, 0x33, 0, 0, 0, 1]) };
        host.input(framed(group, frame));
        host.until(5);
        let state = host.ip.addresses(L).find(|own| own.address == addr("2001:db8::5")).map(|own| own.state);
        assert_eq!((state, host.ip.is_local(addr("2001:db8::5"))), (Some(AddressState::Duplicate), false));
    }
}

#[test]
fn floods_of_neighbours_fill_no_more_than_the_bound() {
    let mut host = Host::ethernet();
    host.env.config.neighbours = 32;
    let mut at = host.env.now;
    for n in 0..2000u16 {
        let [high, low] = n.to_be_bytes();
        let source = std::format!("192.0.2.{}", 2 + low % 250);
        host.input(arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, &source, "192.0.2.1")));
        let source = std::format!("2001:db8::{high:x}:{low:x}");
        let option = [[1, 1].as_slice(), &PEER.0].concat();
        host.input(framed(OWN, icmp6(&source, "2001:db8::1", 255, &solicitation("2001:db8::1", &option))));
        at = at + Duration::from_millis(1);
        host.env.now = at;
        assert!(host.ip.neighbours(L, at).count() <= 32);
    }
    assert_eq!(host.env.memory.used(), 0);
}

#[test]
fn sending_to_many_that_do_not_exist_keeps_few_packets() {
    let mut host = Host::ethernet();
    host.env.config.neighbours = 32;
    host.env.config.neighbour_queue = 1024;
    for n in 0..2000u32 {
        let destination = std::format!("2001:db8::5:{n:x}");
        for _ in 0..4 {
            send(&mut host, &head("2001:db8::1", &destination, 6), Frame::from_slice(&[0; 100]));
        }
        assert!(host.env.memory.used() < 32 * 3 * 1024);
        host.sent();
    }
    host.until(10);
    while host.ip.next_local(&mut host.env).is_some() {}
    assert_eq!(host.env.memory.used(), 0);
}
