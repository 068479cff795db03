//! What happens within one network: hosts that move, broadcasts and groups.

use std::time::Duration;

use ostia_stack::{Error, Reason};
use ostia_wire::{Ethernet, MacAddr};

use crate::net::{End, Net, addr};
use crate::office::{A, B, L0, L1, Office, R2, USUAL};
use crate::programs::{Stream, ping, receive, to, udp};

#[test]
fn a_host_moves_to_another_port_of_its_switch_while_a_connection_lives() {
    for v6 in [false, true] {
        let mut office = Office::new(USUAL);
        let mut stream = Stream::new(&mut office, v6, 80, [800_000, 800_000]);
        let begun = office.run(Duration::from_secs(60), |office| stream.work(office) || stream.halves[1].received > 200_000);
        assert!(begun && !stream.is_whole());
        let mac = Net::mac(B, L0);
        assert_eq!(office.net.switches[1].port_of(mac), Some(0));
        office.net.plug(End::Stack(B, L0.0), End::Port(1, 3));
        stream.finish(&mut office);
        assert_eq!((office.net.switches[1].port_of(mac), office.net.switches[1].counts.moved), (Some(3), 1));
        office.finish(&format!("a host that moves, v6 {v6}"));
    }
}

#[test]
fn a_switch_shows_the_frames_of_two_stations_to_nobody_else() {
    let mut office = Office::new(USUAL);
    ping(&mut office, A, addr("192.0.2.1"), 1, None).expect("there");
    office.heard(0);
    for sequence in 2..12 {
        ping(&mut office, A, addr("192.0.2.1"), sequence, None).expect("there");
    }
    let heard = office.heard(0);
    let unicast = heard.iter().filter(|frame| Ethernet::parse(frame).is_ok_and(|frame| !frame.destination().is_multicast()));
    assert_eq!(unicast.count(), 0);
    // Forgotten after some minutes of silence, it is looked for everywhere again.
    // (The two look once more whether the other is there, some seconds after the last ping.)
    office.pass(crate::switch::AGING + Duration::from_secs(60));
    office.heard(0);
    ping(&mut office, A, addr("192.0.2.1"), 12, None).expect("there");
    assert!(!office.heard(0).is_empty());
    office.finish("what a switch shows");
}

#[test]
fn a_broadcast_reaches_all_of_a_network_and_nobody_beyond_it() {
    let mut office = Office::new(USUAL);
    let sockets: Vec<_> = [A, R2, B].into_iter().map(|host| (host, udp(&mut office, host, 6000))).collect();
    let [_, (_, router), (_, b)] = sockets[..] else { panic!("three sockets") };
    for (address, all) in [("203.0.113.255", "the network"), ("255.255.255.255", "the link")] {
        let stack = &mut office.net.stacks[B];
        assert_eq!(stack.send_to(b, b"all", Some(to(addr(address), 6000))), Err(Error::PermissionDenied), "{all}");
        let mut options = stack.datagram_options(b).expect("open");
        options.broadcast = true;
        stack.set_datagram_options(b, options).expect("open");
        stack.send_to(b, b"all", Some(to(addr(address), 6000))).expect("allowed");
        let datagram = receive(&mut office, R2, router, Duration::from_secs(5)).expect("a datagram");
        assert_eq!((datagram.frame.as_slice(), datagram.destination), (&b"all"[..], addr(address)));
        options.broadcast = false;
        office.net.stacks[B].set_datagram_options(b, options).expect("open");
    }
    // From outside it isn't let in (RFC 2644).
    let (_, a) = sockets[0];
    let before = office.net.stacks[R2].drops().get(Reason::MartianDestination);
    office.net.stacks[A].send_to(a, b"all", Some(to(addr("203.0.113.255"), 6000))).expect("for A it is any address");
    assert_eq!(receive(&mut office, B, b, Duration::from_secs(5)).map(|datagram| datagram.source), Err(Error::WouldBlock));
    assert_eq!(office.net.stacks[R2].drops().get(Reason::MartianDestination), before + 1);
    for (host, socket) in sockets {
        office.net.stacks[host].close(socket).expect("open");
    }
    office.finish("broadcasts");
}

#[test]
fn a_group_reaches_who_has_joined_it_on_its_link_and_nobody_else() {
    for (v6, group) in [(false, "239.1.2.3"), (true, "ff05::1234")] {
        let mut office = Office::new(USUAL);
        let (member, sender) = (udp(&mut office, R2, 6000), udp(&mut office, B, 6001));
        let group = addr(group);
        let send = |office: &mut Office| {
            let mut whom = to(group, 6000);
            whom.zone = L0.0 + 1;
            office.net.stacks[B].send_to(sender, b"members", Some(whom)).expect("sent");
            receive(office, R2, member, Duration::from_secs(5))
                .map(|datagram| (datagram.frame.as_slice().to_vec(), datagram.destination))
        };
        assert_eq!(send(&mut office), Err(Error::WouldBlock), "not joined");
        office.heard(1);
        office.net.stacks[R2].join(member, L1, group).expect("a group");
        assert_eq!(send(&mut office), Ok((b"members".to_vec(), group)));
        // Joining is told to the switch and the routers (RFC 9776, RFC 9777).
        assert!(office.heard(1).iter().any(|frame| Ethernet::parse(frame).is_ok_and(|frame| frame.source() == Net::mac(R2, L1))));
        // The loop-back of the sender's own: it hasn't joined.
        assert_eq!(office.net.stacks[B].receive_from(sender).map(|datagram| datagram.source), Err(Error::WouldBlock));
        office.net.stacks[R2].leave(member, L1, group).expect("a member");
        assert_eq!(send(&mut office), Err(Error::WouldBlock), "left");
        for (host, socket) in [(R2, member), (B, sender)] {
            office.net.stacks[host].close(socket).expect("open");
        }
        office.finish(&format!("groups, v6 {v6}"));
    }
}

#[test]
fn a_station_that_takes_over_an_address_is_followed() {
    // A neighbour that answers with another link address than before: the new one is believed once it answers.
    let mut office = Office::new(USUAL);
    assert_eq!(ping(&mut office, B, addr("203.0.113.1"), 1, None), Ok(64));
    let mtus = office.mtus_of(R2);
    // The same router with other hardware, which a new number stands for.
    let new = office.net.stack(true, |_| ());
    office.net.unplug(End::Stack(R2, L1.0));
    office.net.link(new, mtus[1], End::Port(1, 1));
    office.net.stacks[new].add_address(L0, addr("203.0.113.1"), 24).expect("an address");
    let answered = (2..30).find(|&sequence| ping(&mut office, B, addr("203.0.113.1"), sequence, None).is_ok());
    assert!(answered.is_some());
    let known: Vec<Option<MacAddr>> = office.net.stacks[B]
        .neighbours(L0)
        .filter(|neighbour| neighbour.address == addr("203.0.113.1"))
        .map(|neighbour| neighbour.mac)
        .collect();
    assert_eq!(known, [Some(Net::mac(new, L0))]);
    office.finish("an address with other hardware");
}
