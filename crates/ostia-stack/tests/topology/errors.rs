//! What routers say when they can't: no hop left, no route, nobody there; and who is told.

use std::time::Duration;

use ostia_stack::{Error, Reason};

use crate::net::{End, addr};
use crate::office::{A, B, L0, L1, Office, R1, R2, USUAL};
use crate::programs::{Stream, ping, receive, to, udp};

#[test]
fn a_packet_without_a_hop_left_is_told_of_by_the_router_where_that_happens() {
    for v6 in [false, true] {
        let mut office = Office::new(USUAL);
        let b = office.address(B, v6).expect("an address");
        for (hops, router) in [(1, R1), (2, R2)] {
            assert_eq!(ping(&mut office, A, b, 9, Some(hops)), Err(Error::HostUnreachable), "{hops} hops");
            assert_eq!(office.net.stacks[router].drops().get(Reason::HopLimit), 1, "{hops} hops");
        }
        assert_eq!(ping(&mut office, A, b, 9, Some(3)), Ok(62));
        // A UDP socket is told, too, once it is connected.
        let socket = udp(&mut office, A, 5000);
        let stack = &mut office.net.stacks[A];
        let mut options = stack.datagram_options(socket).expect("open");
        options.hop_limit = Some(1);
        stack.set_datagram_options(socket, options).expect("open");
        stack.connect_datagram(socket, to(b, 5001)).expect("a route");
        stack.send_to(socket, b"x", None).expect("sent");
        let answer = receive(&mut office, A, socket, Duration::from_secs(5)).map(|datagram| datagram.source);
        assert_eq!(answer, Err(Error::HostUnreachable));
        office.net.stacks[A].close(socket).expect("open");
        office.finish(&format!("hop limits, v6 {v6}"));
    }
}

#[test]
fn a_router_without_a_route_says_so() {
    for (v6, nowhere) in [(false, "10.9.9.9"), (true, "2001:db8:ffff::1")] {
        let mut office = Office::new(USUAL);
        assert_eq!(ping(&mut office, A, addr(nowhere), 1, None), Err(Error::NetworkUnreachable));
        assert_eq!(office.net.stacks[R1].drops().get(Reason::NoRoute), 1);
        // Whoever has no route itself isn't even able to send.
        let stack = &mut office.net.stacks[A];
        let (any, gateway) = if v6 { ("::", "2001:db8:a::1") } else { ("0.0.0.0", "192.0.2.1") };
        assert!(stack.remove_route(addr(any), 0, Some(addr(gateway)), L0));
        assert_eq!(ping(&mut office, A, addr(nowhere), 2, None), Err(Error::NetworkUnreachable));
        assert_eq!(office.net.stacks[R1].drops().get(Reason::NoRoute), 1);
        office.finish(&format!("no route, v6 {v6}"));
    }
}

#[test]
fn a_host_that_is_not_there_is_told_of_by_the_last_router_or_found_out_by_oneself() {
    for (v6, far, near) in [(false, "203.0.113.200", "192.0.2.200"), (true, "2001:db8:b::200", "2001:db8:a::200")] {
        let mut office = Office::new(USUAL);
        assert_eq!(ping(&mut office, A, addr(far), 1, None), Err(Error::HostUnreachable));
        assert_eq!(office.net.stacks[R2].drops().get(Reason::NoNeighbour), 1);
        assert_eq!(ping(&mut office, A, addr(near), 2, None), Err(Error::HostUnreachable));
        assert_eq!(office.net.stacks[A].drops().get(Reason::NoNeighbour), 1);
        office.finish(&format!("silence, v6 {v6}"));
    }
}

#[test]
fn a_port_that_nobody_has_is_told_of_through_the_routers() {
    for v6 in [false, true] {
        let mut office = Office::new(USUAL);
        let socket = udp(&mut office, A, 5000);
        let b = office.address(B, v6).expect("an address");
        office.net.stacks[A].connect_datagram(socket, to(b, 4444)).expect("a route");
        office.net.stacks[A].send_to(socket, b"x", None).expect("sent");
        let answer = receive(&mut office, A, socket, Duration::from_secs(5)).map(|datagram| datagram.source);
        assert_eq!(answer, Err(Error::ConnectionRefused));
        office.net.stacks[A].close(socket).expect("open");
        let connection = office.net.stacks[A].connect((b, 4444)).expect("a route");
        let mut failed = None;
        office.run(Duration::from_secs(5), |office| {
            failed = office.net.stacks[A].recv(connection, &mut [0]).err().filter(|&error| error != Error::WouldBlock);
            failed.is_some()
        });
        assert_eq!(failed, Some(Error::ConnectionRefused));
        office.net.stacks[A].close(connection).expect("open");
        office.finish(&format!("no port, v6 {v6}"));
    }
}

#[test]
fn a_neighbour_that_falls_silent_is_found_out_and_known_again_when_it_is_back() {
    for v6 in [false, true] {
        let mut office = Office::new(USUAL);
        let b = office.address(B, v6).expect("an address");
        assert_eq!(ping(&mut office, A, b, 1, None), Ok(62));
        let end = End::Stack(B, L0.0);
        office.net.unplug(end);
        // Long enough that R2 no longer takes B's being there for granted.
        office.pass(Duration::from_secs(60));
        let mut errors = 0;
        for sequence in 2..8 {
            errors += u32::from(ping(&mut office, A, b, sequence, None) == Err(Error::HostUnreachable));
        }
        assert!(errors > 0, "v6 {v6}");
        let lost =
            office.net.stacks[R2].neighbours(L1).filter(|neighbour| neighbour.address == b && neighbour.mac.is_some()).count();
        assert_eq!(lost, 0, "v6 {v6}");
        office.net.plug(end, End::Port(1, 0));
        assert_eq!(ping(&mut office, A, b, 9, None), Ok(62));
        Stream::new(&mut office, v6, 80, [10_000, 10_000]).finish(&mut office);
        office.finish(&format!("silent neighbour, v6 {v6}"));
    }
}
