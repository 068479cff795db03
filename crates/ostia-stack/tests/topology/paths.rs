//! Streams from end to end over routers: MTUs that differ and change, fragments, a router that begins anew.

use std::time::Duration;

use crate::net::addr;
use crate::office::{A, B, L0, L1, Mtus, Office, R1, R2, USUAL};
use crate::programs::{Stream, byte_at, ping, receive, to, udp};

/// Networks whose narrowest link is at the begin, in the middle, at the end, nowhere.
const MTUS: [Mtus; 5] = [[1280, 1500, 9000], USUAL, [9000, 1500, 1280], [1500, 1500, 1500], [9000, 1280, 4000]];

#[test]
fn streams_arrive_whole_in_both_directions_over_links_of_different_mtus() {
    for mtus in MTUS {
        for v6 in [false, true] {
            let mut office = Office::new(mtus);
            let stream = Stream::new(&mut office, v6, 80, [300_000, 200_000]);
            stream.finish(&mut office);
            let told = office.net.stacks[R1].drops().get(ostia_stack::Reason::TooBig)
                + office.net.stacks[R2].drops().get(ostia_stack::Reason::TooBig);
            // The hosts tell each other what their own links take: only the middle has to be found out.
            let narrow = mtus[1] < mtus[0].min(mtus[2]);
            assert_eq!(told > 0, narrow, "{mtus:?}");
            office.finish(&format!("streams, v6 {v6}, {mtus:?}"));
        }
    }
}

#[test]
fn a_connection_follows_the_path_when_a_link_takes_less_and_more_again() {
    for v6 in [false, true] {
        let mut office = Office::new([1500, 1500, 1500]);
        // Something is left to be sent at every change.
        office.net.stacks[A].configure(|config| config.send_buffer_most = config.send_buffer);
        let mut stream = Stream::new(&mut office, v6, 80, [2_000_000, 1_000_000]);
        let mut part = |office: &mut Office, share: usize| {
            let reached = office.run(Duration::from_secs(300), |office| {
                stream.work(office) || stream.halves[1].received >= 2_000_000 / 10 * share
            });
            let errors = stream.halves.iter().map(|half| half.error).collect::<Vec<_>>();
            assert!(reached, "{share} tenths: {errors:?}");
            let connection = stream.halves[0].connection.expect("open");
            office.net.stacks[A].tcp_info(connection).map(|info| info.tcpi_pmtu)
        };
        assert_eq!(part(&mut office, 2), Ok(1500));
        let set = |office: &mut Office, mtu: u32| {
            for (router, link) in [(R1, L1), (R2, L0)] {
                office.net.stacks[router].set_mtu(link, mtu).expect("a link");
            }
        };
        set(&mut office, 1300);
        assert_eq!(part(&mut office, 5), Ok(1300));
        // It goes on with what it knows; a longer packet is tried when that is ten minutes old (RFC 8201, 4).
        set(&mut office, 1500);
        assert_eq!(part(&mut office, 6), Ok(1300));
        office.pass(office.net.stacks[A].config().path_mtu_age);
        assert_eq!(part(&mut office, 8), Ok(1500));
        stream.finish(&mut office);
        office.finish(&format!("MTU changes, v6 {v6}"));
    }
}

#[test]
fn datagrams_longer_than_the_path_arrive_in_fragments() {
    for (v6, length) in [(false, 1472), (false, 4000), (false, 60_000), (true, 1452), (true, 4000), (true, 60_000)] {
        let mut office = Office::new(USUAL);
        let (sender, receiver) = (udp(&mut office, A, 5000), udp(&mut office, B, 5001));
        let whom = to(office.address(B, v6).expect("an address"), 5001);
        let data: Vec<u8> = (0..length).map(|at| byte_at(2, at)).collect();
        let mut arrived = None;
        // The first may be too long for the link in the middle, where none may be cut: the sender learns of it.
        for _ in 0..3 {
            office.net.stacks[A].send_to(sender, &data, Some(whom)).expect("sent");
            arrived = receive(&mut office, B, receiver, Duration::from_secs(2)).ok();
            if arrived.is_some() {
                break;
            }
        }
        let arrived = arrived.expect("a datagram");
        assert_eq!(arrived.frame.as_slice(), data);
        assert!(office.net.stacks[B].counters().ip_reasm_oks > 0, "v6 {v6}, {length}");
        // What A has cut for its own link, a router cuts again, over IPv4 alone (RFC 8200, 4.5).
        let cut = office.net.stacks[R1].counters().ip_frag_creates;
        assert_eq!(cut > 0, !v6 && length > 1472, "v6 {v6}, {length}: {cut}");
        for (host, socket) in [(A, sender), (B, receiver)] {
            office.net.stacks[host].close(socket).expect("open");
        }
        office.finish(&format!("fragments, v6 {v6}, {length} bytes"));
    }
}

#[test]
fn routers_take_one_off_the_hop_limit_each() {
    for v6 in [false, true] {
        let mut office = Office::new(USUAL);
        let b = office.address(B, v6).expect("an address");
        assert_eq!(ping(&mut office, A, b, 1, None), Ok(62));
        let near = addr(if v6 { "2001:db8:a::1" } else { "192.0.2.1" });
        assert_eq!(ping(&mut office, A, near, 2, None), Ok(64));
        let far = addr(if v6 { "2001:db8:c::2" } else { "198.51.100.2" });
        if v6 {
            office.net.stacks[A].add_route(addr("2001:db8:c::"), 64, Some(near), L0, 0).expect("a route");
        }
        assert_eq!(ping(&mut office, A, far, 3, None), Ok(63));
        office.finish(&format!("pings, v6 {v6}"));
    }
}

#[test]
fn a_router_that_begins_anew_learns_its_neighbours_again_and_connections_go_on() {
    for v6 in [false, true] {
        let mut office = Office::new(USUAL);
        let mut stream = Stream::new(&mut office, v6, 80, [1_500_000, 1_500_000]);
        let begun = office.run(Duration::from_secs(60), |office| stream.work(office) || stream.halves[1].received > 300_000);
        assert!(begun && !stream.is_whole());
        let mtus = office.mtus_of(R1);
        office.net.reboot(R1, 1, true, &mtus);
        office.configure(R1);
        stream.finish(&mut office);
        for link in [L0, L1] {
            let known = office.net.stacks[R1].neighbours(link).filter(|neighbour| neighbour.mac.is_some()).count();
            assert!(known >= 1, "v6 {v6}, {link:?}");
        }
        office.finish(&format!("router reboot, v6 {v6}"));
    }
}

#[test]
fn a_pulled_cable_interrupts_a_stream_and_no_more() {
    for v6 in [false, true] {
        let mut office = Office::new(USUAL);
        let mut stream = Stream::new(&mut office, v6, 80, [600_000, 600_000]);
        let begun = office.run(Duration::from_secs(60), |office| stream.work(office) || stream.halves[0].received > 100_000);
        assert!(begun && !stream.is_whole());
        let (one, other) = (crate::net::End::Stack(R1, L1.0), crate::net::End::Stack(R2, L0.0));
        office.net.unplug(one);
        office.run(Duration::from_secs(20), |office| {
            stream.work(office);
            false
        });
        assert!(office.net.unplugged > 0 && !stream.is_whole());
        office.net.plug(one, other);
        stream.finish(&mut office);
        office.finish(&format!("cable, v6 {v6}"));
    }
}
