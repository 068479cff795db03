//! Whatever comes: no panic, nothing kept past the bounds, every packet used or dropped for a reason.

use alloc::vec::Vec;

use ostia_wire::Frame;
use proptest::prelude::*;

use crate::Config;
use crate::ip::testing::{Host, L, OWN, PEER, addr, framed, hops, icmp4, icmp6, packet, udp};
use crate::ip::{Input, Medium};

/// A router on Ethernet with everything switched on.
fn host() -> Host {
    let mut host = Host::with(Config { forwarding: true, ..Config::default() }, Medium::Ethernet(OWN));
    host.ip.set_slaac(L, true, &mut host.env);
    host.ip.set_dhcp(L, true, &mut host.env).unwrap();
    host.ip.join_group(L, addr("239.1.1.1"), &mut host.env).unwrap();
    host.ip.add_route(addr("0.0.0.0"), 0, Some(addr("192.0.2.254")), L, 0).unwrap();
    host
}

/// Packets of every kind that the network layer reads itself.
fn seeds() -> Vec<Frame> {
    let target = addr("2001:db8::1").v6().unwrap().octets();
    let peer = addr("2001:db8::9").v6().unwrap().octets();
    let quoted_v4 = udp("192.0.2.1", 5, "198.51.100.1", 6, b"data").as_slice().to_vec();
    let quoted_v6 = udp("2001:db8::1", 5, "2001:db8:5::1", 6, b"data").as_slice().to_vec();
    let prefix =
        [[3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0].as_slice(), &addr("2001:db8:7::").v6().unwrap().octets()].concat();
    let icmp = |destination, hop_limit, parts: &[&[u8]]| icmp6("fe80::9", destination, hop_limit, &parts.concat());
    let fragment = |bytes: &[u8]| packet("2001:db8::9", "2001:db8::1", 44, bytes);
    let mut arp = Frame::from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(&PEER.0);
    arp.extend(&[192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]);
    [
        udp("192.0.2.9", 67, "192.0.2.1", 68, &[0; 300]),
        udp("2001:db8::9", 5, "2001:db8::1", 6, b"data"),
        udp("192.0.2.9", 5, "198.51.100.1", 6, b"transit"),
        icmp4("192.0.2.9", "192.0.2.1", &[8, 0, 0, 0, 1, 2, 3, 4, 5, 6]),
        icmp4("192.0.2.9", "192.0.2.1", &[[3, 4, 0, 0, 0, 0, 5, 0].as_slice(), &quoted_v4].concat()),
        icmp6("2001:db8::9", "2001:db8::1", 64, &[[2, 0, 0, 0, 0, 0, 5, 0].as_slice(), &quoted_v6].concat()),
        icmp("ff02::1", 255, &[&[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], &prefix, &[1, 1], &PEER.0]),
        icmp("2001:db8::1", 255, &[&[135, 0, 0, 0, 0, 0, 0, 0], &target, &[1, 1], &PEER.0]),
        icmp("2001:db8::1", 255, &[&[136, 0, 0, 0, 0x60, 0, 0, 0], &peer, &[2, 1], &PEER.0]),
        icmp("2001:db8::1", 255, &[&[137, 0, 0, 0, 0, 0, 0, 0], &peer, &peer]),
        hops("192.0.2.254", "224.0.0.1", 2, 1, &[0x11, 100, 0xee, 0x9b, 0, 0, 0, 0]),
        packet("2001:db8::9", "2001:db8::1", 60, &[[17, 0, 1, 4, 0, 0, 0, 0].as_slice(), b"datagram"].concat()),
        fragment(&[[17, 0, 0, 1, 0, 0, 0, 9].as_slice(), &[0; 16]].concat()),
        fragment(&[[17, 0, 0, 16, 0, 0, 0, 9].as_slice(), &[0; 5]].concat()),
        arp,
    ]
    .into_iter()
    .map(|packet| framed(OWN, packet))
    .collect()
}

/// What is kept when every packet was used and every wait is over.
fn empty(host: &mut Host) {
    while host.ip.next_local(&mut host.env).is_some() {}
    // A forged advertisement may have made neighbours be asked every ten seconds only.
    host.until(180);
    assert_eq!(host.env.memory.used(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_with_any_bytes_changed_do_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 200),
    ) {
        let mut host = host();
        let seeds = seeds();
        for (which, at, byte, cut) in changes {
            let mut frame = seeds[which.index(seeds.len())].clone();
            let at = at.index(frame.len());
            frame.as_mut_slice()[at] = byte;
            if cut {
                frame.truncate(at);
            } else {
                // The header's checksum is made right again, so that what is behind it is read.
                repair(&mut frame);
            }
            // As from a device that has checked it: else the checksum alone would stop nearly all.
            frame.meta.checksum = ostia_wire::Checksum::Valid;
            let before = host.env.drops.total();
            if let Input::Packet(packet) = host.input(frame) {
                prop_assert!(usize::from(packet.header_len) <= packet.frame.headroom());
                host.ip.refuse(&packet, crate::ip::Refusal::Protocol, &mut host.env);
            }
            prop_assert!(host.env.drops.total() <= before + 2);
            host.until(1);
            prop_assert!(host.sent().iter().all(|frame| frame.len() <= 1514));
        }
        empty(&mut host);
    }

    #[test]
    fn any_bytes_at_all_do_no_harm(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 50), kind in 0usize..4) {
        let mut host = host();
        for bytes in frames {
            let mut bytes = bytes;
            if bytes.len() > 14 {
                bytes[..6].copy_from_slice(&OWN.0);
                bytes[6] &= 0xfe;
                bytes[12..14].copy_from_slice(&[[8, 0], [8, 6], [0x86, 0xdd], [1, 2]][kind]);
                bytes[14] = [0x45, 0, 0x60, 9][kind];
            }
            host.input(Frame::from_slice(&bytes));
        }
        empty(&mut host);
    }
}

fn repair(frame: &mut Frame) {
    let Some(header) = frame.as_mut_slice().get_mut(14..34).filter(|header| header[0] == 0x45) else { return };
    header[10..12].fill(0);
    let checksum = ostia_wire::checksum::fold(ostia_wire::checksum::sum(header, 0));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn the_seeds_are_packets_that_are_used() {
    for (n, seed) in seeds().into_iter().enumerate() {
        let mut host = host();
        host.input(seed);
        let dropped: Vec<_> = host.env.drops.iter().collect();
        // A DHCP message of zeros is none, redirects are not followed, and nobody is asked for what isn't known.
        let expected = matches!(n, 0 | 9);
        assert_eq!(dropped.is_empty(), !expected, "seed {n}: {dropped:?}");
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let run = || {
        let mut host = host();
        let mut bytes = Vec::new();
        for seed in seeds() {
            host.input(seed);
            host.until(3);
            while host.ip.next_local(&mut host.env).is_some() {}
            bytes.extend(host.sent().iter().flat_map(|frame| frame.as_slice().to_vec()));
        }
        bytes
    };
    assert_eq!(run(), run());
}
