//! What is taken in, what is dropped, and why.

use alloc::vec::Vec;
use ostia_wire::{Frame, MacAddr};

use crate::drops::Reason;
use crate::ip::Input;
use crate::ip::testing::{Host, L, OWN, PEER, addr, framed, hops, icmp6, packet, payload, udp};

fn why(host: &mut Host, frame: Frame) -> Reason {
    let before = host.env.drops.clone();
    assert!(matches!(host.input(frame), Input::None));
    let mut grown = Reason::ALL.iter().filter(|&&reason| host.env.drops.get(reason) > before.get(reason));
    let reason = *grown.next().expect("a packet dropped for a reason");
    assert_eq!(host.env.drops.total(), before.total() + 1);
    reason
}

#[test]
fn a_packet_goes_up_without_its_header_and_padding_and_the_header_stays_in_front() {
    for (source, destination, header_len) in [("192.0.2.9", "192.0.2.1", 20), ("2001:db8::9", "2001:db8::1", 40)] {
        let mut host = Host::tun();
        let mut frame = hops(source, destination, 6, 57, b"segment");
        let whole = frame.as_slice().to_vec();
        frame.extend(b"padding");
        let Input::Packet(mut packet) = host.input(frame) else { panic!("no packet") };
        assert_eq!(packet.frame.as_slice(), b"segment");
        assert_eq!((packet.source, packet.destination), (addr(source), addr(destination)));
        assert_eq!((packet.protocol, packet.hop_limit, packet.unicast, packet.header_len), (6, 57, true, header_len));
        packet.frame.push_front(usize::from(header_len));
        assert_eq!(packet.frame.as_slice(), whole);
        assert_eq!((host.env.counters.ip_in_receives, host.env.counters.ip_in_delivers), (1, 1));
    }
}

#[test]
fn ipv4_sources_and_destinations_that_cannot_be_are_dropped() {
    let mut host = Host::tun();
    for source in ["0.1.2.3", "127.0.0.1", "224.0.0.5", "255.255.255.255", "240.0.0.1", "192.0.2.255", "192.0.2.1"] {
        assert_eq!(why(&mut host, packet(source, "192.0.2.1", 6, b"x")), Reason::MartianSource, "{source}");
    }
    for destination in ["127.0.0.1", "0.0.0.0", "241.0.0.1"] {
        assert_eq!(why(&mut host, packet("192.0.2.9", destination, 6, b"x")), Reason::MartianDestination, "{destination}");
    }
    assert_eq!(why(&mut host, packet("192.0.2.9", "192.0.2.77", 6, b"x")), Reason::NotForUs);
}

#[test]
fn ipv6_sources_and_destinations_that_cannot_be_are_dropped() {
    let mut host = Host::tun();
    for source in ["::", "::1", "ff02::5", "::ffff:10.0.0.1", "2001:db8::1"] {
        // An IPv4-mapped address can only be put in as bytes: an `Address` takes it for the IPv4 one.
        let mut frame = packet("2001:db8::9", "2001:db8::1", 6, b"x");
        let octets = source.parse::<core::net::Ipv6Addr>().unwrap().octets();
        frame.as_mut_slice()[8..24].copy_from_slice(&octets);
        assert_eq!(why(&mut host, frame), Reason::MartianSource, "{source}");
    }
    for destination in ["::", "::1", "ff01::5", "::ffff:192.0.2.1"] {
        let mut frame = packet("2001:db8::9", "2001:db8::1", 6, b"x");
        let octets = destination.parse::<core::net::Ipv6Addr>().unwrap().octets();
        frame.as_mut_slice()[24..40].copy_from_slice(&octets);
        assert_eq!(why(&mut host, frame), Reason::MartianDestination, "{destination}");
    }
    assert_eq!(why(&mut host, packet("2001:db8::9", "2001:db8::77", 6, b"x")), Reason::NotForUs);
}

#[test]
fn headers_that_are_wrong_or_cut_are_dropped() {
    let mut host = Host::tun();
    let mut wrong = packet("192.0.2.9", "192.0.2.1", 6, b"x");
    wrong.as_mut_slice()[8] = 63;
    assert_eq!(why(&mut host, wrong), Reason::IpChecksum);
    for source in ["192.0.2.9", "2001:db8::9"] {
        let to = if source.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
        let mut cut = packet(source, to, 6, b"segment");
        cut.truncate(cut.len() - 1);
        assert_eq!(why(&mut host, cut), Reason::Malformed);
    }
    assert_eq!(why(&mut host, Frame::from_slice(&[0x50, 1, 2])), Reason::Malformed);
    assert_eq!(why(&mut host, Frame::from_slice(&[])), Reason::Malformed);
}

#[test]
fn source_routes_are_refused_and_other_options_are_not() {
    let mut host = Host::tun();
    let with = |options: [u8; 8]| {
        let emit = ostia_wire::Ipv4Emit {
            source: addr("192.0.2.9").v4().unwrap(),
            destination: addr("192.0.2.1").v4().unwrap(),
            protocol: 6,
            ttl: 64,
            tos: 0,
            identification: 1,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            options: &options,
        };
        let mut frame = Frame::from_slice(b"x");
        emit.emit(frame.push_front(28), 1);
        frame
    };
    assert_eq!(why(&mut host, with([131, 7, 4, 10, 0, 0, 1, 0])), Reason::SourceRoute);
    assert_eq!(why(&mut host, with([137, 7, 4, 10, 0, 0, 1, 0])), Reason::SourceRoute);
    assert_eq!(why(&mut host, with([131, 77, 4, 10, 0, 0, 1, 0])), Reason::Malformed);
    assert!(matches!(host.input(with([7, 7, 4, 0, 0, 0, 0, 0])), Input::Packet(packet) if packet.header_len == 28));
}

#[test]
fn ethernet_frames_for_others_and_own_ones_sent_back_are_dropped() {
    let mut host = Host::ethernet();
    let ours = || packet("192.0.2.9", "192.0.2.1", 6, b"x");
    assert!(matches!(host.input(framed(OWN, ours())), Input::Packet(_)));
    assert_eq!(why(&mut host, framed(PEER, ours())), Reason::OtherHost);
    // What everybody got is not for one address (RFC 1122, 3.3.6), in either family.
    assert_eq!(why(&mut host, framed(MacAddr::BROADCAST, ours())), Reason::OtherHost);
    let six = packet("2001:db8::9", "2001:db8::1", 6, b"x");
    assert_eq!(why(&mut host, framed(MacAddr([0x33, 0x33, 0, 0, 0, 1]), six)), Reason::OtherHost);
    let mut back = framed(OWN, ours());
    back.as_mut_slice()[6..12].copy_from_slice(&OWN.0);
    assert_eq!(why(&mut host, back), Reason::MartianSource);
    let mut unknown = framed(OWN, ours());
    unknown.as_mut_slice()[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(why(&mut host, unknown), Reason::UnknownProtocol);
}

#[test]
fn a_tag_that_names_no_vlan_is_passed_over_and_one_that_does_is_another_network() {
    let mut host = Host::ethernet();
    let tagged = |control: u16| {
        let mut frame = framed(OWN, packet("192.0.2.9", "192.0.2.1", 6, b"x"));
        frame.push_front(4);
        frame.as_mut_slice().copy_within(4..16, 0);
        frame.as_mut_slice()[12..14].copy_from_slice(&[0x81, 0x00]);
        frame.as_mut_slice()[14..16].copy_from_slice(&control.to_be_bytes());
        frame
    };
    assert!(matches!(host.input(tagged(0)), Input::Packet(_)));
    assert!(matches!(host.input(tagged(0x6000)), Input::Packet(_)));
    assert_eq!(why(&mut host, tagged(5)), Reason::UnknownProtocol);
    let mut short = tagged(0);
    short.truncate(17);
    assert_eq!(why(&mut host, short), Reason::UnknownProtocol);
}

#[test]
fn broadcasts_and_joined_groups_go_up_marked_and_other_groups_do_not() {
    let mut host = Host::tun();
    for (source, destination) in [("192.0.2.9", "255.255.255.255"), ("192.0.2.9", "192.0.2.255"), ("192.0.2.9", "224.0.0.1")] {
        let frame = udp(source, 5, destination, 6, b"all");
        assert!(matches!(host.input(frame), Input::Packet(packet) if !packet.unicast), "{destination}");
    }
    assert_eq!(why(&mut host, udp("192.0.2.9", 5, "239.1.1.1", 6, b"x")), Reason::NotForUs);
    assert_eq!(why(&mut host, udp("2001:db8::9", 5, "ff05::77", 6, b"x")), Reason::NotForUs);
    for (group, source) in [("239.1.1.1", "192.0.2.9"), ("ff05::77", "2001:db8::9")] {
        host.ip.join_group(L, addr(group), &mut host.env).unwrap();
        assert!(matches!(host.input(udp(source, 5, group, 6, b"x")), Input::Packet(packet) if !packet.unicast));
        host.ip.leave_group(L, addr(group), &mut host.env).unwrap();
        assert_eq!(why(&mut host, udp(source, 5, group, 6, b"x")), Reason::NotForUs);
    }
}

#[test]
fn a_link_that_is_down_takes_nothing() {
    let mut host = Host::tun();
    host.ip.set_link_up(L, false, &mut host.env).unwrap();
    assert_eq!(why(&mut host, packet("192.0.2.9", "192.0.2.1", 6, b"x")), Reason::LinkDown);
}

#[test]
fn extension_headers_are_passed_over_or_answered_as_they_say() {
    let mut host = Host::tun();
    // Destination options with an unknown option whose kind says to skip it.
    let options = |kind: u8| [[6, 0, kind, 4, 0, 0, 0, 0].as_slice(), b"segment"].concat();
    let frame = packet("2001:db8::9", "2001:db8::1", 60, &options(0x3e));
    assert!(matches!(host.input(frame), Input::Packet(packet) if packet.protocol == 6 && packet.header_len == 48));
    // To drop it silently.
    assert_eq!(why(&mut host, packet("2001:db8::9", "2001:db8::1", 60, &options(0x7e))), Reason::ExtensionHeader);
    assert!(host.sent().is_empty());
    // To answer with a parameter problem that points at the option.
    assert_eq!(why(&mut host, packet("2001:db8::9", "2001:db8::1", 60, &options(0xbe))), Reason::ExtensionHeader);
    let (protocol, message) = payload(&host.one());
    assert_eq!((protocol, &message[..2], &message[4..8]), (58, &[4, 2][..], &[0, 0, 0, 42][..]));
    // A routing header that is not used up yet (RFC 5095).
    let routed = [[6, 2, 0, 1, 0, 0, 0, 0].as_slice(), &[0; 16]].concat();
    assert_eq!(why(&mut host, packet("2001:db8::9", "2001:db8::1", 43, &routed)), Reason::ExtensionHeader);
    let (_, message) = payload(&host.one());
    assert_eq!((&message[..2], &message[4..8]), (&[4, 0][..], &[0, 0, 0, 42][..]));
}

/// The fragments of an IPv4 packet with 24 bytes of payload, of 8 bytes each.
fn pieces_v4(identification: u16) -> Vec<Frame> {
    let piece = |n: u8| {
        let emit = ostia_wire::Ipv4Emit {
            source: addr("192.0.2.9").v4().unwrap(),
            destination: addr("192.0.2.1").v4().unwrap(),
            protocol: 17,
            ttl: 64,
            tos: 0,
            identification,
            dont_fragment: false,
            more_fragments: n < 2,
            fragment_offset: u16::from(n) * 8,
            options: &[],
        };
        let mut frame = Frame::from_slice(&[n; 8]);
        emit.emit(frame.push_front(20), 8);
        frame
    };
    (0..3).map(piece).collect()
}

fn pieces_v6(identification: u32) -> Vec<Frame> {
    let piece = |n: u8| {
        let mut bytes = std::vec![0; 8];
        ostia_wire::ipv6_extensions::emit_fragment(&mut bytes, 17, u16::from(n) * 8, n < 2, identification);
        bytes.extend([n; 8]);
        packet("2001:db8::9", "2001:db8::1", 44, &bytes)
    };
    (0..3).map(piece).collect()
}

#[test]
fn fragments_of_both_families_are_put_together() {
    for pieces in [pieces_v4(1), pieces_v6(1)] {
        let mut host = Host::tun();
        let mut last = Input::None;
        for piece in pieces.into_iter().rev() {
            last = host.input(piece);
        }
        let Input::Packet(packet) = last else { panic!("not whole") };
        assert_eq!(packet.frame.as_slice(), [[0; 8], [1; 8], [2; 8]].concat());
        assert_eq!((packet.protocol, packet.unicast), (17, true));
        assert_eq!((host.env.memory.used(), host.env.counters.ip_reasm_oks, host.env.counters.ip_reasm_reqds), (0, 1, 3));
    }
}

#[test]
fn a_packet_whose_fragments_do_not_all_come_is_told_of_in_both_families() {
    for (mut pieces, kind) in [(pieces_v4(1), 11), (pieces_v6(1), 3)] {
        let mut host = Host::tun();
        pieces.truncate(2);
        let first = pieces[0].as_slice().to_vec();
        for piece in pieces {
            assert!(matches!(host.input(piece), Input::None));
        }
        host.until(29);
        assert!(host.sent().is_empty());
        host.until(2);
        let (_, message) = payload(&host.one());
        assert_eq!(&message[..2], [kind, 1]);
        // The quotation is the first fragment, from its addresses on (before them the lengths are as they came).
        assert!(message[8..].ends_with(&first[first.len() - 8..]));
        assert_eq!((host.env.memory.used(), host.env.drops.get(Reason::FragmentTimeout)), (0, 1));
    }
}

#[test]
fn an_atomic_fragment_is_whole_by_itself() {
    let mut host = Host::tun();
    let mut bytes = std::vec![0; 8];
    ostia_wire::ipv6_extensions::emit_fragment(&mut bytes, 17, 0, false, 7);
    bytes.extend(b"datagram");
    let frame = packet("2001:db8::9", "2001:db8::1", 44, &bytes);
    assert!(matches!(host.input(frame), Input::Packet(packet) if packet.frame.as_slice() == b"datagram"));
    assert_eq!(host.env.counters.ip_reasm_reqds, 0);
}

#[test]
fn neighbour_discovery_from_farther_than_the_link_is_dropped() {
    let mut host = Host::ethernet();
    let target = addr("2001:db8::1").v6().unwrap().octets();
    let message = [[135, 0, 0, 0, 0, 0, 0, 0].as_slice(), &target, &[1, 1], &PEER.0].concat();
    let frame = framed(OWN, icmp6("2001:db8::9", "2001:db8::1", 254, &message));
    assert_eq!(why(&mut host, frame), Reason::NdpInvalid);
    assert!(host.sent().is_empty());
    assert!(matches!(host.input(framed(OWN, icmp6("2001:db8::9", "2001:db8::1", 255, &message))), Input::None));
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn what_is_wrong_with_a_later_fragment_is_told_over_ipv6() {
    let mut host = Host::tun();
    let piece = |next: u8, offset: u16, more: bool, length: usize| {
        let mut bytes = std::vec![0; 8];
        ostia_wire::ipv6_extensions::emit_fragment(&mut bytes, next, offset, more, 7);
        bytes.resize(8 + length, 1);
        packet("2001:db8::9", "2001:db8::1", 44, &bytes)
    };
    // Its length isn't a multiple of eight; it reaches beyond the longest packet (RFC 8200, 4.5).
    for (frame, pointer) in [(piece(17, 8, true, 12), 4), (piece(17, 65_528, false, 16), 42)] {
        assert_eq!(why(&mut host, frame.clone()), Reason::ExtensionHeader);
        let (protocol, message) = payload(&host.one());
        assert_eq!((protocol, &message[..8]), (58, &[4, 0, message[2], message[3], 0, 0, 0, pointer][..]));
        assert!(message.ends_with(frame.as_slice()));
    }
    // What may be of an ICMP error, or of anything, is not told of (RFC 4443, 2.4 e.1).
    for next in [58, 60] {
        assert_eq!(why(&mut host, piece(next, 8, true, 12)), Reason::ExtensionHeader);
        assert!(host.sent().is_empty(), "{next}");
    }
}

#[test]
fn nobody_sends_but_for_icmp() {
    let mut host = Host::tun();
    // A hop-by-hop header with padding, behind which the first look doesn't reach.
    let behind = |next: u8, payload: &[u8]| [&[next, 0, 1, 4, 0, 0, 0, 0], payload].concat();
    let datagram = udp("::", 5, "2001:db8::1", 6, b"data");
    let datagram = &datagram.as_slice()[40..];
    assert_eq!(why(&mut host, packet("::", "2001:db8::1", 17, datagram)), Reason::MartianSource);
    assert_eq!(why(&mut host, packet("::", "2001:db8::1", 0, &behind(17, datagram))), Reason::MartianSource);
}

#[test]
fn neighbour_discovery_in_fragments_is_dropped() {
    let mut host = Host::ethernet();
    let target = addr("2001:db8::1").v6().unwrap().octets();
    let message = [[135, 0, 0, 0, 0, 0, 0, 0].as_slice(), &target, &[1, 1], &PEER.0].concat();
    let whole = icmp6("2001:db8::9", "2001:db8::1", 255, &message);
    let message = &whole.as_slice()[40..];
    let piece = |from: usize, to: usize| {
        let mut bytes = std::vec![0; 8];
        ostia_wire::ipv6_extensions::emit_fragment(&mut bytes, 58, from as u16, to < message.len(), 7);
        bytes.extend(&message[from..to]);
        framed(OWN, crate::ip::testing::hops("2001:db8::9", "2001:db8::1", 44, 255, &bytes))
    };
    // One that is whole, and two that make one.
    assert_eq!(why(&mut host, piece(0, message.len())), Reason::NdpInvalid);
    assert!(matches!(host.input(piece(0, 16)), Input::None));
    assert_eq!(why(&mut host, piece(16, message.len())), Reason::NdpInvalid);
    assert!(host.sent().is_empty());
}
