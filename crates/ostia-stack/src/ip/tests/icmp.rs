//! ICMP: echoes, errors about what this host has sent, errors about what it can't take.

use crate::drops::Reason;
use crate::ip::link::LOOPBACK;
use crate::ip::testing::{Host, L, addr, icmp4, icmp6, packet, payload, udp};
use crate::ip::{Icmp, Input, Quoted, Refusal};
use alloc::vec::Vec;

fn dropped(host: &Host, reason: Reason) -> u64 {
    host.env.drops.get(reason)
}

#[test]
fn echo_requests_are_answered_with_what_they_carry() {
    let mut host = Host::tun();
    let request = [8, 0, 0, 0, 1, 2, 3, 4, b'p', b'i', b'n', b'g'];
    assert!(matches!(host.input(icmp4("192.0.2.9", "192.0.2.1", &request)), Input::None));
    let reply = host.one();
    assert_eq!(reply.as_slice()[12..20], [192, 0, 2, 1, 192, 0, 2, 9]);
    let (protocol, message) = payload(&reply);
    assert_eq!((protocol, message[0], &message[4..]), (1, 0, &request[4..]));
    assert_eq!(ostia_wire::checksum::fold(ostia_wire::checksum::sum(&message, 0)), 0);

    let request = [128, 0, 0, 0, 1, 2, 3, 4, b'p', b'i', b'n', b'g'];
    assert!(matches!(host.input(icmp6("2001:db8::9", "2001:db8::1", 64, &request)), Input::None));
    let (protocol, message) = payload(&host.one());
    assert_eq!((protocol, message[0], &message[4..]), (58, 129, &request[4..]));
    let six = ostia_wire::Icmpv6::parse(&message).unwrap();
    assert!(six.verify_checksum(addr("2001:db8::1").v6().unwrap(), addr("2001:db8::9").v6().unwrap()));
}

#[test]
fn echo_requests_to_all_are_answered_over_ipv6_only_and_from_an_own_address() {
    let mut host = Host::tun();
    let request = [8, 0, 0, 0, 1, 2, 3, 4];
    for all in ["192.0.2.255", "224.0.0.1"] {
        assert!(matches!(host.input(icmp4("192.0.2.9", all, &request)), Input::None));
    }
    assert_eq!((host.sent().len(), dropped(&host, Reason::EchoToGroup)), (0, 2));
    let request = [128, 0, 0, 0, 1, 2, 3, 4];
    host.input(icmp6("2001:db8::9", "ff02::1", 64, &request));
    assert_eq!(host.one().as_slice()[8..24], addr("2001:db8::1").v6().unwrap().octets());
}

#[test]
fn messages_with_a_wrong_checksum_are_dropped() {
    let mut host = Host::tun();
    for mut frame in [
        icmp4("192.0.2.9", "192.0.2.1", &[8, 0, 0, 0, 1, 2, 3, 4]),
        icmp6("2001:db8::9", "2001:db8::1", 64, &[128, 0, 0, 0, 1, 2, 3, 4]),
    ] {
        let last = frame.len() - 1;
        frame.as_mut_slice()[last] ^= 1;
        assert!(matches!(host.input(frame), Input::None));
    }
    assert_eq!((host.sent().len(), dropped(&host, Reason::Checksum)), (0, 2));
}

fn tcp(source: &str, destination: &str) -> Vec<u8> {
    let segment = [0x12, 0x34, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0];
    packet(source, destination, 6, &segment).as_slice().to_vec()
}

#[test]
fn an_error_names_whom_it_is_about_in_both_families() {
    let mut host = Host::tun();
    let four = [[3, 4, 0, 0, 0, 0, 5, 0x14].as_slice(), &tcp("192.0.2.1", "198.51.100.7")].concat();
    let six = [[2, 0, 0, 0, 0, 0, 5, 0x14].as_slice(), &tcp("2001:db8::1", "2001:db8:7::7")].concat();
    for (frame, local, remote) in [
        (icmp4("198.51.100.1", "192.0.2.1", &four), "192.0.2.1", "198.51.100.7"),
        (icmp6("2001:db8:5::1", "2001:db8::1", 60, &six), "2001:db8::1", "2001:db8:7::7"),
    ] {
        let Input::Error(quoted) = host.input(frame) else { panic!("no error") };
        let what = Icmp::PacketTooBig(1300);
        let expected = Quoted {
            protocol: 6,
            local: addr(local),
            local_port: 0x1234,
            remote: addr(remote),
            remote_port: 80,
            sequence: Some(7),
            what,
            link: L,
        };
        assert_eq!(quoted, expected);
    }
}

#[test]
fn codes_mean_the_same_in_both_families() {
    let mut host = Host::tun();
    let mut meaning = |four: [u8; 2], six: [u8; 2]| {
        let four = [[four[0], four[1], 0, 0, 0, 0, 0, 0].as_slice(), &tcp("192.0.2.1", "198.51.100.7")].concat();
        let six = [[six[0], six[1], 0, 0, 0, 0, 0, 0].as_slice(), &tcp("2001:db8::1", "2001:db8:7::7")].concat();
        let mut what = |frame| match host.input(frame) {
            Input::Error(quoted) => quoted.what,
            _ => panic!("no error"),
        };
        let both = (what(icmp4("198.51.100.1", "192.0.2.1", &four)), what(icmp6("2001:db8:5::1", "2001:db8::1", 60, &six)));
        assert_eq!(both.0, both.1);
        both.0
    };
    assert_eq!(meaning([3, 0], [1, 0]), Icmp::NetworkUnreachable);
    assert_eq!(meaning([3, 1], [1, 3]), Icmp::HostUnreachable);
    assert_eq!(meaning([3, 2], [4, 1]), Icmp::ProtocolUnreachable);
    assert_eq!(meaning([3, 3], [1, 4]), Icmp::PortUnreachable);
    assert_eq!(meaning([3, 13], [1, 1]), Icmp::Prohibited);
    assert_eq!(meaning([11, 0], [3, 0]), Icmp::TimeExceeded);
    assert_eq!(meaning([12, 0], [4, 0]), Icmp::ParameterProblem);
}

#[test]
fn errors_about_what_this_host_cannot_have_sent_go_nowhere() {
    let mut host = Host::tun();
    let foreign = [[3, 3, 0, 0, 0, 0, 0, 0].as_slice(), &tcp("198.51.100.9", "198.51.100.7")].concat();
    assert!(matches!(host.input(icmp4("198.51.100.1", "192.0.2.1", &foreign)), Input::None));
    let cut = [3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0, 0];
    assert!(matches!(host.input(icmp4("198.51.100.1", "192.0.2.1", &cut)), Input::None));
    assert_eq!(dropped(&host, Reason::IcmpUnmatched), 2);
    let redirect = [[5, 1, 0, 0, 192, 0, 2, 66].as_slice(), &tcp("192.0.2.1", "198.51.100.7")].concat();
    assert!(matches!(host.input(icmp4("192.0.2.254", "192.0.2.1", &redirect)), Input::None));
    assert_eq!(dropped(&host, Reason::Redirect), 1);
}

#[test]
fn a_router_that_does_not_say_its_mtu_is_guessed_for_and_one_below_the_least_is_not_believed() {
    let mut host = Host::tun();
    let mut quoted = tcp("192.0.2.1", "198.51.100.7");
    quoted[2..4].copy_from_slice(&1500u16.to_be_bytes());
    let silent = [[3, 4, 0, 0, 0, 0, 0, 0].as_slice(), &quoted].concat();
    assert!(matches!(
        host.input(icmp4("198.51.100.1", "192.0.2.1", &silent)),
        Input::Error(Quoted { what: Icmp::PacketTooBig(1492), .. })
    ));
    let tiny = [[3, 4, 0, 0, 0, 0, 0, 68].as_slice(), &quoted].concat();
    assert!(matches!(
        host.input(icmp4("198.51.100.1", "192.0.2.1", &tiny)),
        Input::Error(Quoted { what: Icmp::PacketTooBig(552), .. })
    ));
    let six = [[2, 0, 0, 0, 0, 0, 4, 0xff].as_slice(), &tcp("2001:db8::1", "2001:db8:7::7")].concat();
    assert!(matches!(host.input(icmp6("2001:db8:5::1", "2001:db8::1", 60, &six)), Input::None));
    assert_eq!(dropped(&host, Reason::IcmpUnbelieved), 1);
}

#[test]
fn a_refused_packet_is_quoted_to_its_sender() {
    for (source, destination, codes) in
        [("192.0.2.9", "192.0.2.1", [[3, 3], [3, 2], [3, 13]]), ("2001:db8::9", "2001:db8::1", [[1, 4], [4, 1], [1, 1]])]
    {
        let mut host = Host::tun();
        let whole = udp(source, 5, destination, 6, b"data");
        for (why, code) in [Refusal::Port, Refusal::Protocol, Refusal::Prohibited].into_iter().zip(codes) {
            let Input::Packet(packet) = host.input(whole.clone()) else { panic!("no packet") };
            host.ip.refuse(&packet, why, &mut host.env);
            let (_, message) = payload(&host.one());
            assert_eq!((&message[..2], &message[8..]), (&code[..], whole.as_slice()));
            if (why, source) == (Refusal::Protocol, "2001:db8::9") {
                assert_eq!(message[4..8], [0, 0, 0, 6]);
            }
        }
    }
}

#[test]
fn a_checksum_that_a_device_left_undone_is_quoted_complete() {
    for (source, destination) in [("192.0.2.9", "192.0.2.1"), ("2001:db8::9", "2001:db8::1")] {
        let mut host = Host::tun();
        let whole = udp(source, 5, destination, 6, b"data");
        let mut undone = whole.clone();
        let start = whole.len() - 12;
        let (source, destination) = (source.parse().expect("an address"), destination.parse().expect("an address"));
        ostia_wire::udp::partial_checksum(&mut undone.as_mut_slice()[start..], source, destination, 12);
        undone.meta.checksum = ostia_wire::Checksum::Partial { start: start as u16, offset: 6 };
        assert!(undone.as_slice() != whole.as_slice());
        let Input::Packet(packet) = host.input(undone) else { panic!("no packet") };
        host.ip.refuse(&packet, Refusal::Port, &mut host.env);
        let (_, message) = payload(&host.one());
        assert_eq!(&message[8..], whole.as_slice());
    }
}

#[test]
fn errors_are_as_long_as_they_may_be_and_no_longer() {
    let mut host = Host::tun();
    for (source, destination, longest) in [("192.0.2.9", "192.0.2.1", 576), ("2001:db8::9", "2001:db8::1", 1280)] {
        let Input::Packet(packet) = host.input(udp(source, 5, destination, 6, &[0; 1400])) else { panic!("no packet") };
        host.ip.refuse(&packet, Refusal::Port, &mut host.env);
        assert_eq!(host.one().len(), longest);
    }
}

#[test]
fn no_error_about_groups_errors_or_later_fragments() {
    let mut host = Host::tun();
    let Input::Packet(group) = host.input(udp("192.0.2.9", 5, "192.0.2.255", 6, b"x")) else { panic!("no packet") };
    host.ip.refuse(&group, Refusal::Port, &mut host.env);
    let Input::Packet(group) = host.input(udp("2001:db8::9", 5, "ff02::1", 6, b"x")) else { panic!("no packet") };
    host.ip.refuse(&group, Refusal::Port, &mut host.env);
    let error = icmp4("192.0.2.9", "192.0.2.1", &[3, 3, 0, 0, 0, 0, 0, 0]);
    host.ip.report(error.as_slice(), L, crate::ip::icmp_out::Problem::HopLimit, &mut host.env);
    let error = icmp6("2001:db8::9", "2001:db8::1", 64, &[1, 4, 0, 0, 0, 0, 0, 0]);
    host.ip.report(error.as_slice(), L, crate::ip::icmp_out::Problem::HopLimit, &mut host.env);
    let mut later = udp("192.0.2.9", 5, "192.0.2.1", 6, b"x");
    later.as_mut_slice()[7] = 3;
    host.ip.report(later.as_slice(), L, crate::ip::icmp_out::Problem::HopLimit, &mut host.env);
    assert!(host.sent().is_empty());
}

#[test]
fn errors_are_limited_in_rate() {
    let mut host = Host::tun();
    let Input::Packet(packet) = host.input(udp("192.0.2.9", 5, "192.0.2.1", 6, b"x")) else { panic!("no packet") };
    for _ in 0..5000 {
        host.ip.refuse(&packet, Refusal::Port, &mut host.env);
    }
    let sent = host.sent().len() as u64;
    assert!(sent <= 1000, "{sent} at once");
    assert_eq!(dropped(&host, Reason::RateLimit), 5000 - sent);
}

#[test]
fn a_host_that_refuses_itself_gets_its_own_error() {
    for own in ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"] {
        let mut host = Host::tun();
        let route = host.ip.route(addr(own), None, 0).unwrap();
        assert_eq!(route.link, LOOPBACK);
        let whole = udp(own, 5, own, 6, b"x");
        let header = if own.contains(':') { 40 } else { 20 };
        let mut frame = whole.clone();
        frame.pull(header);
        let head = super::outgoing::head(own, own, 17);
        host.ip.transmit(&route, &head, frame, &mut host.env);
        let Some(Input::Packet(packet)) = host.ip.next_local(&mut host.env) else { panic!("no packet") };
        host.ip.refuse(&packet, Refusal::Port, &mut host.env);
        let Some(Input::Error(quoted)) = host.ip.next_local(&mut host.env) else { panic!("no error for {own}") };
        assert_eq!((quoted.what, quoted.local_port, quoted.remote_port), (Icmp::PortUnreachable, 5, 6));
        assert_eq!((host.sent().len(), host.env.memory.used()), (0, 0));
    }
}
