//! Sockets as a whole: frames in, frames out.

use alloc::vec::Vec;

use ostia_wire::{Frame, Ipv4, Udp};

use crate::datagram::{Datagrams, Destination, Family, Options};
use crate::drops::Reason;
use crate::event::Kind;
use crate::handle::Handle;
use crate::ip::testing::{Host, L, addr, icmp4, icmp6, packet, payload, udp};
use crate::ip::{Input, protocol};
use crate::{Address, Error};

/// A host on a link of bare IP packets, with sockets.
struct World {
    host: Host,
    sockets: Datagrams,
}

fn to(address: &str, port: u16) -> Destination {
    Destination { address: addr(address), port, zone: 0 }
}

impl World {
    fn new() -> World {
        let mut host = Host::tun();
        let sockets = Datagrams::new(&host.env.config, &mut host.env.random);
        World { host, sockets }
    }

    /// Takes a frame, and whatever the host then has for itself.
    fn input(&mut self, frame: Frame) {
        let mut input = Some(self.host.input(frame));
        while let Some(next) = input {
            match next {
                Input::Packet(packet) => {
                    assert!(self.sockets.input(packet, &mut self.host.ip, &mut self.host.env).is_none());
                }
                Input::Error(quoted) => self.sockets.error(&quoted, &mut self.host.ip, &mut self.host.env),
                Input::None => {}
            }
            input = self.host.ip.next_local(&mut self.host.env);
        }
    }

    /// What the host has for itself.
    fn local(&mut self) {
        self.input(Frame::default());
    }

    fn bound(&mut self, family: Family, local: &str, port: u16) -> Result<Handle, Error> {
        self.bound_with(family, local, port, Options::default())
    }

    fn bound_with(&mut self, family: Family, local: &str, port: u16, options: Options) -> Result<Handle, Error> {
        let socket = self.sockets.open_udp(family)?;
        self.sockets.set_options(socket, options)?;
        let local = (!local.is_empty()).then(|| addr(local));
        match self.sockets.bind(socket, local, port, &self.host.ip, &mut self.host.env) {
            Ok(()) => Ok(socket),
            Err(error) => {
                self.close(socket);
                Err(error)
            }
        }
    }

    fn connect(&mut self, socket: Handle, address: &str, port: u16) {
        self.sockets.connect(socket, to(address, port), &self.host.ip, &mut self.host.env).expect("connected");
    }

    fn send(&mut self, socket: Handle, bytes: &[u8], to: Option<Destination>) -> Result<(), Error> {
        self.sockets.send(socket, bytes, to, &mut self.host.ip, &mut self.host.env)
    }

    fn receive(&mut self, socket: Handle) -> Result<(Vec<u8>, Address, u16), Error> {
        let datagram = self.sockets.receive(socket, &mut self.host.env)?;
        Ok((datagram.frame.as_slice().to_vec(), datagram.source, datagram.source_port))
    }

    fn close(&mut self, socket: Handle) {
        self.sockets.close(socket, &mut self.host.ip, &mut self.host.env).expect("closed");
    }

    fn events(&mut self) -> Vec<Kind> {
        core::iter::from_fn(|| self.host.env.events.pop()).map(|event| event.kind).collect()
    }
}

#[test]
fn a_datagram_goes_to_the_socket_of_its_port_and_is_told_once() {
    for (source, own) in [("192.0.2.9", "192.0.2.1"), ("2001:db8::9", "2001:db8::1")] {
        let mut world = World::new();
        let socket = world.bound(Family::Dual, "", 53).unwrap();
        world.input(udp(source, 9, own, 53, b"one"));
        world.input(udp(source, 9, own, 53, b"two"));
        assert_eq!(world.events(), [Kind::Readable]);
        assert_eq!(world.receive(socket), Ok((b"one".to_vec(), addr(source), 9)));
        assert_eq!(world.receive(socket).map(|got| got.0), Ok(b"two".to_vec()));
        assert_eq!(world.receive(socket), Err(Error::WouldBlock));
        world.input(udp(source, 9, own, 53, b"three"));
        assert_eq!(world.events(), [Kind::Readable]);
        world.close(socket);
        assert_eq!(world.host.env.memory.used(), 0);
        assert_eq!(world.receive(socket), Err(Error::BadHandle));
        assert_eq!((world.host.env.counters.udp_in_datagrams, world.host.sent().len()), (3, 0));
    }
}

#[test]
fn a_port_without_a_socket_is_refused_but_not_to_groups() {
    let mut world = World::new();
    for (source, own, code) in [("192.0.2.9", "192.0.2.1", [3, 3]), ("2001:db8::9", "2001:db8::1", [1, 4])] {
        world.input(udp(source, 9, own, 53, b"x"));
        assert_eq!(payload(&world.host.one()).1[..2], code);
    }
    world.input(udp("192.0.2.9", 9, "192.0.2.255", 53, b"x"));
    world.input(udp("2001:db8::9", 9, "ff02::1", 53, b"x"));
    assert!(world.host.sent().is_empty());
    assert_eq!((world.host.env.counters.udp_no_ports, world.host.env.drops.get(Reason::NoSocket)), (4, 4));
}

#[test]
fn the_most_exact_socket_gets_a_datagram() {
    let mut world = World::new();
    world.host.add(L, "192.0.2.2", 24);
    let reuse = Options { reuse: true, ..Options::default() };
    let any = world.bound_with(Family::V4, "", 53, reuse).unwrap();
    let one = world.bound_with(Family::V4, "192.0.2.1", 53, reuse).unwrap();
    let exact = world.bound_with(Family::V4, "192.0.2.1", 53, reuse).unwrap();
    world.connect(exact, "192.0.2.9", 9);
    world.input(udp("192.0.2.9", 9, "192.0.2.1", 53, b"exact"));
    world.input(udp("192.0.2.9", 8, "192.0.2.1", 53, b"one"));
    world.input(udp("192.0.2.9", 9, "192.0.2.2", 53, b"any"));
    for (socket, bytes) in [(exact, &b"exact"[..]), (one, b"one"), (any, b"any")] {
        assert_eq!(world.receive(socket).map(|got| got.0), Ok(bytes.to_vec()));
        assert_eq!(world.receive(socket), Err(Error::WouldBlock));
    }
    world.sockets.disconnect(exact).unwrap();
    let mut counts = [0; 2];
    for port in 1000..1100 {
        world.input(udp("192.0.2.9", port, "192.0.2.1", 53, b"shared"));
        for (count, socket) in counts.iter_mut().zip([one, exact]) {
            *count += usize::from(world.receive(socket).is_ok());
        }
    }
    assert!(counts[0] + counts[1] == 100 && counts.iter().all(|&count| count > 20), "{counts:?}");
}

#[test]
fn ports_are_not_shared_unless_all_want_that() {
    let mut world = World::new();
    let reuse = Options { reuse: true, ..Options::default() };
    world.bound(Family::V4, "192.0.2.1", 53).unwrap();
    for (family, local) in [(Family::V4, "192.0.2.1"), (Family::V4, ""), (Family::Dual, "")] {
        assert_eq!(world.bound_with(family, local, 53, reuse).err(), Some(Error::AddressInUse));
    }
    world.bound(Family::V6, "", 53).unwrap();
    world.bound_with(Family::Dual, "", 54, reuse).unwrap();
    world.bound_with(Family::V4, "192.0.2.1", 54, reuse).unwrap();
    assert_eq!(world.bound(Family::V6, "2001:db8::1", 54).err(), Some(Error::AddressInUse));
    assert_eq!(world.bound(Family::V4, "192.0.2.77", 55).err(), Some(Error::AddressNotAvailable));
    assert_eq!(world.bound(Family::V4, "2001:db8::1", 55).err(), Some(Error::InvalidInput));
}

#[test]
fn a_port_that_is_not_named_is_chosen_in_the_range_until_none_is_left() {
    let mut world = World::new();
    world.host.env.config.ephemeral_ports = (50_000, 50_009);
    world.sockets = Datagrams::new(&world.host.env.config, &mut world.host.env.random);
    let mut ports = alloc::collections::BTreeSet::new();
    for _ in 0..10 {
        let socket = world.bound(Family::Dual, "", 0).unwrap();
        ports.insert(world.sockets.local(socket).unwrap().1);
    }
    assert_eq!((ports.len(), ports.first(), ports.last()), (10, Some(&50_000), Some(&50_009)));
    assert_eq!(world.bound(Family::Dual, "", 0).err(), Some(Error::AddressNotAvailable));
}

#[test]
fn what_is_sent_is_a_right_datagram_in_both_families() {
    let mut world = World::new();
    let socket = world.bound(Family::Dual, "", 53).unwrap();
    for destination in ["192.0.2.9", "2001:db8::9"] {
        world.send(socket, b"data", Some(to(destination, 9))).unwrap();
        let frame = world.host.one();
        let source = if destination.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
        let (protocol, bytes) = payload(&frame);
        let header = Udp::parse(&bytes).unwrap();
        assert!(protocol == 17 && header.verify_checksum(addr(source).ip(), addr(destination).ip()));
        assert_eq!((header.source_port(), header.destination_port(), header.payload()), (53, 9, &b"data"[..]));
    }
    assert_eq!(world.send(socket, b"data", None), Err(Error::NotConnected));
    assert_eq!(world.send(socket, b"data", Some(to("192.0.2.9", 0))), Err(Error::InvalidInput));
    assert_eq!(world.send(socket, b"data", Some(to("203.0.113.1", 9))), Err(Error::NetworkUnreachable));
    assert_eq!(world.send(socket, &[0; 65_508], Some(to("192.0.2.9", 9))), Err(Error::MessageTooLong));
    assert_eq!(world.send(socket, b"data", Some(to("192.0.2.255", 9))), Err(Error::PermissionDenied));
    world.sockets.set_options(socket, Options { broadcast: true, ..Options::default() }).unwrap();
    assert_eq!(world.send(socket, b"data", Some(to("192.0.2.255", 9))), Ok(()));
}

#[test]
fn options_are_seen_in_the_header() {
    let mut world = World::new();
    let socket = world.bound(Family::V4, "", 53).unwrap();
    let options = Options { hop_limit: Some(3), traffic_class: 0x28, ..Options::default() };
    world.sockets.set_options(socket, options).unwrap();
    world.send(socket, b"x", Some(to("192.0.2.9", 9))).unwrap();
    let frame = world.host.one();
    let header = Ipv4::parse(frame.as_slice()).unwrap();
    assert_eq!((header.ttl(), header.tos()), (3, 0x28));
    world.send(socket, b"x", Some(to("239.1.1.1", 9))).unwrap();
    let frame = world.host.one();
    assert_eq!(Ipv4::parse(frame.as_slice()).unwrap().ttl(), 1);
}

#[test]
fn a_connected_socket_hears_its_peer_alone_and_is_told_of_errors() {
    let mut world = World::new();
    let socket = world.sockets.open_udp(Family::Dual).unwrap();
    world.connect(socket, "192.0.2.9", 9);
    let (local, port) = world.sockets.local(socket).unwrap();
    assert_eq!(local, Some(addr("192.0.2.1")));
    world.input(udp("192.0.2.8", 9, "192.0.2.1", port, b"stranger"));
    world.host.sent();
    world.input(udp("192.0.2.9", 9, "192.0.2.1", port, b"peer"));
    assert_eq!(world.receive(socket).map(|got| got.0), Ok(b"peer".to_vec()));
    world.events();
    world.send(socket, b"x", None).unwrap();
    let sent = world.host.one();
    let refused = [[3, 3, 0, 0, 0, 0, 0, 0].as_slice(), sent.as_slice()].concat();
    world.input(icmp4("192.0.2.9", "192.0.2.1", &refused));
    world.input(icmp4("192.0.2.9", "192.0.2.1", &refused));
    assert_eq!(world.events(), [Kind::Failed(Error::ConnectionRefused)]);
    assert_eq!(world.send(socket, b"x", None), Err(Error::ConnectionRefused));
    assert_eq!(world.send(socket, b"x", None), Ok(()));
}

#[test]
fn a_socket_that_is_not_connected_is_told_of_errors_only_if_it_wants_to_be() {
    for wants in [false, true] {
        let mut world = World::new();
        let socket = world.bound_with(Family::V6, "", 53, Options { errors: wants, ..Options::default() }).unwrap();
        world.send(socket, b"x", Some(to("2001:db8::9", 9))).unwrap();
        let sent = world.host.one();
        let refused = [[1, 4, 0, 0, 0, 0, 0, 0].as_slice(), sent.as_slice()].concat();
        world.input(icmp6("2001:db8::9", "2001:db8::1", 64, &refused));
        let expected = if wants { Err(Error::ConnectionRefused) } else { Err(Error::WouldBlock) };
        assert_eq!(world.receive(socket), expected);
    }
}

#[test]
fn a_path_mtu_is_believed_only_about_where_something_was_sent() {
    let mut world = World::new();
    world.host.ip.add_route(addr("0.0.0.0"), 0, None, L, 0).unwrap();
    let socket = world.bound(Family::V4, "", 53).unwrap();
    world.send(socket, &[0; 1400], Some(to("198.51.100.9", 9))).unwrap();
    let sent = world.host.one();
    assert!(Ipv4::parse(sent.as_slice()).unwrap().dont_fragment());
    let mtu = |world: &World, destination| world.host.ip.route(addr(destination), None, 0).unwrap().mtu;
    let mut forged = sent.as_slice().to_vec();
    forged[19] = 8;
    world.input(icmp4("203.0.113.1", "192.0.2.1", &[[3, 4, 0, 0, 0, 0, 4, 0].as_slice(), &forged].concat()));
    assert_eq!((mtu(&world, "198.51.100.8"), world.host.env.drops.get(Reason::IcmpUnmatched)), (1500, 1));
    world.input(icmp4("203.0.113.1", "192.0.2.1", &[[3, 4, 0, 0, 0, 0, 4, 0].as_slice(), sent.as_slice()].concat()));
    assert_eq!(mtu(&world, "198.51.100.9"), 1024);
    // What is longer goes in fragments from now on, or is an error for who forbids them.
    world.send(socket, &[0; 1400], Some(to("198.51.100.9", 9))).unwrap();
    assert_eq!(world.host.sent().len(), 2);
    world.sockets.set_options(socket, Options { dont_fragment: true, ..Options::default() }).unwrap();
    assert_eq!(world.send(socket, &[0; 1400], Some(to("198.51.100.9", 9))), Err(Error::MessageTooLong));
}

#[test]
fn every_member_of_a_group_gets_what_is_sent_there() {
    for (group, source) in [("239.1.1.1", "192.0.2.9"), ("ff05::77", "2001:db8::9")] {
        let mut world = World::new();
        let reuse = Options { reuse: true, ..Options::default() };
        let members: Vec<Handle> = (0..3).map(|_| world.bound_with(Family::Dual, "", 5353, reuse).unwrap()).collect();
        for &member in &members[..2] {
            world.sockets.join(member, L, addr(group), &mut world.host.ip, &mut world.host.env).unwrap();
        }
        world.input(udp(source, 5353, group, 5353, b"x"));
        let heard: Vec<bool> = members.iter().map(|&member| world.receive(member).is_ok()).collect();
        assert_eq!(heard, [true, true, false]);
        // Its own, too, and none when the last has left.
        world.send(members[2], b"x", Some(to(group, 5353))).unwrap();
        world.local();
        assert!(world.receive(members[0]).is_ok());
        world.close(members[0]);
        world.sockets.leave(members[1], L, addr(group), &mut world.host.ip, &mut world.host.env).unwrap();
        world.input(udp(source, 5353, group, 5353, b"x"));
        assert_eq!(world.host.env.drops.get(Reason::NotForUs), 1);
    }
}

#[test]
fn the_buffer_is_bounded_by_what_is_held_and_short_datagrams_hold_no_long_buffers() {
    let mut world = World::new();
    let socket = world.bound(Family::V4, "", 53).unwrap();
    for _ in 0..10_000 {
        let mut long = Vec::with_capacity(65_536);
        long.extend_from_slice(udp("192.0.2.9", 9, "192.0.2.1", 53, b"x").as_slice());
        world.input(Frame::from_vec(long, 0));
        assert!(world.host.env.memory.used() <= world.host.env.config.datagram_buffer);
    }
    assert!(world.host.env.counters.udp_in_datagrams > 500);
    assert_eq!(world.host.env.counters.udp_in_datagrams + world.host.env.counters.udp_rcvbuf_errors, 10_000);
    assert_eq!(world.host.env.drops.get(Reason::SocketQueue), world.host.env.counters.udp_rcvbuf_errors);
    while world.receive(socket).is_ok() {}
    assert_eq!(world.host.env.memory.used(), 0);
}

#[test]
fn checksums_and_lengths_that_are_wrong_are_dropped_and_ipv6_needs_one() {
    let mut world = World::new();
    world.bound(Family::Dual, "", 53).unwrap();
    let mut wrong = udp("192.0.2.9", 9, "192.0.2.1", 53, b"x");
    wrong.as_mut_slice()[28] ^= 1;
    world.input(wrong);
    let without = |source: &str, own: &str| {
        let mut frame = udp(source, 9, own, 53, b"x");
        let at = frame.len() - 3;
        frame.as_mut_slice()[at..at + 2].fill(0);
        frame
    };
    world.input(without("2001:db8::9", "2001:db8::1"));
    assert_eq!((world.host.env.counters.udp_in_errors, world.host.env.drops.get(Reason::Checksum)), (2, 2));
    world.input(without("192.0.2.9", "192.0.2.1"));
    assert_eq!(world.host.env.counters.udp_in_datagrams, 1);
    world.input(packet("192.0.2.9", "192.0.2.1", 17, &[0, 9, 0, 53, 0, 99, 0, 0]));
    assert_eq!(world.host.env.drops.get(Reason::Malformed), 1);
}

#[test]
fn datagrams_that_a_device_put_together_are_received_one_by_one() {
    let mut world = World::new();
    let socket = world.bound(Family::V4, "", 53).unwrap();
    let mut frame = udp("192.0.2.9", 9, "192.0.2.1", 53, b"onetwoend");
    frame.meta.gso_size = 3;
    world.input(frame);
    let got: Vec<_> = core::iter::from_fn(|| world.receive(socket).ok()).map(|got| got.0).collect();
    assert_eq!(got, [b"one", b"two", b"end"]);
}

#[test]
fn a_host_talks_to_itself_and_hears_that_nobody_listens() {
    for own in ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"] {
        let mut world = World::new();
        let server = world.bound(Family::Dual, "", 53).unwrap();
        let client = world.sockets.open_udp(Family::Dual).unwrap();
        world.connect(client, own, 53);
        world.send(client, b"ask", None).unwrap();
        world.local();
        let (bytes, source, port) = world.receive(server).unwrap();
        assert_eq!(bytes, b"ask");
        world.send(server, b"answer", Some(Destination { address: source, port, zone: 0 })).unwrap();
        world.local();
        assert_eq!(world.receive(client).map(|got| got.0), Ok(b"answer".to_vec()));
        world.close(server);
        world.send(client, b"ask", None).unwrap();
        world.local();
        assert_eq!(world.receive(client), Err(Error::ConnectionRefused), "{own}");
        assert!(world.host.sent().is_empty());
    }
}

#[test]
fn a_ping_gets_its_own_replies_and_errors() {
    for (v4, destination, own) in [(true, "192.0.2.9", "192.0.2.1"), (false, "2001:db8::9", "2001:db8::1")] {
        let mut world = World::new();
        let first = world.sockets.open_ping(v4, &mut world.host.env).unwrap();
        let second = world.sockets.open_ping(v4, &mut world.host.env).unwrap();
        world.send(first, b"payload", Some(to(destination, 7))).unwrap();
        let request = world.host.one();
        let (_, mut message) = payload(&request);
        assert_eq!(message[0], if v4 { 8 } else { 128 });
        message[0] = if v4 { 0 } else { 129 };
        world.input(if v4 { icmp4(destination, own, &message) } else { icmp6(destination, own, 64, &message) });
        assert_eq!(world.receive(first), Ok((b"payload".to_vec(), addr(destination), 7)));
        assert_eq!(world.receive(second), Err(Error::WouldBlock));
        message[5] ^= 1;
        let other = if v4 { icmp4(destination, own, &message) } else { icmp6(destination, own, 64, &message) };
        world.input(other);
        let exceeded = [[if v4 { 11 } else { 3 }, 0, 0, 0, 0, 0, 0, 0].as_slice(), request.as_slice()].concat();
        world.input(if v4 { icmp4("192.0.2.254", own, &exceeded) } else { icmp6("2001:db8::254", own, 64, &exceeded) });
        assert_eq!(world.receive(first), Err(Error::HostUnreachable));
        world.send(second, b"self", Some(to(own, 1))).unwrap();
        world.local();
        assert_eq!(world.receive(second), Ok((b"self".to_vec(), addr(own), 1)));
    }
}

#[test]
fn a_raw_socket_gets_copies_with_the_header_and_unknown_protocols_are_refused_without_one() {
    for (source, own, header) in [("192.0.2.9", "192.0.2.1", 20), ("2001:db8::9", "2001:db8::1", 40)] {
        let mut world = World::new();
        let Input::Packet(unknown) = world.host.input(packet(source, own, 200, b"x")) else { panic!("no packet") };
        assert!(world.sockets.input(unknown, &mut world.host.ip, &mut world.host.env).is_some());
        let socket = world.sockets.open_raw(Family::Dual, 200, false, &mut world.host.ip).unwrap();
        let whole = packet(source, own, 200, b"x");
        world.input(whole.clone());
        assert_eq!(world.receive(socket).map(|got| got.0), Ok(whole.as_slice().to_vec()));
        world.send(socket, b"reply", Some(to(source, 77))).unwrap();
        let sent = world.host.one();
        assert_eq!((payload(&sent).0, &sent.as_slice()[header..]), (200, &b"reply"[..]));
        world.close(socket);
        let Input::Packet(unknown) = world.host.input(packet(source, own, 200, b"x")) else { panic!("no packet") };
        assert!(world.sockets.input(unknown, &mut world.host.ip, &mut world.host.env).is_some());
    }
}

#[test]
fn raw_sockets_see_icmp_that_the_stack_uses_itself_and_udp_goes_on_to_its_socket() {
    let mut world = World::new();
    let icmp = world.sockets.open_raw(Family::V4, protocol::ICMP, false, &mut world.host.ip).unwrap();
    let datagrams = world.sockets.open_raw(Family::V4, protocol::UDP, false, &mut world.host.ip).unwrap();
    let socket = world.bound(Family::V4, "", 53).unwrap();
    world.input(icmp4("192.0.2.9", "192.0.2.1", &[8, 0, 0, 0, 0, 1, 0, 2]));
    assert_eq!(world.host.sent().len(), 1);
    assert_eq!(world.receive(icmp).map(|got| got.0.len()), Ok(28));
    let about = udp("192.0.2.1", 53, "192.0.2.9", 9, b"x");
    world.input(icmp4("192.0.2.9", "192.0.2.1", &[[3, 3, 0, 0, 0, 0, 0, 0].as_slice(), about.as_slice()].concat()));
    assert_eq!(world.receive(icmp).map(|got| got.0.len()), Ok(28 + about.len()));
    world.input(udp("192.0.2.9", 9, "192.0.2.1", 53, b"x"));
    assert_eq!(
        (world.receive(datagrams).map(|got| got.0.len()), world.receive(socket).map(|got| got.0)),
        (Ok(29), Ok(b"x".to_vec()))
    );
}

#[test]
fn a_program_may_write_the_ip_header_itself() {
    let mut world = World::new();
    let socket = world.sockets.open_raw(Family::V4, 255, true, &mut world.host.ip).unwrap();
    let mut whole = packet("192.0.2.1", "192.0.2.9", 200, b"payload").as_slice().to_vec();
    whole[2..6].fill(0);
    whole[10..16].fill(0);
    world.send(socket, &whole, Some(to("192.0.2.9", 0))).unwrap();
    let sent = world.host.one();
    let header = Ipv4::parse(sent.as_slice()).unwrap();
    assert!(header.verify_checksum() && header.identification() != 0);
    assert_eq!((header.total_len(), header.protocol(), header.payload()), (27, 200, &b"payload"[..]));
    assert_eq!(world.send(socket, b"no header", Some(to("192.0.2.9", 0))), Err(Error::InvalidInput));
    assert_eq!(world.send(socket, &[0x4f; 30], Some(to("192.0.2.9", 0))), Err(Error::InvalidInput));
}

#[test]
fn handles_of_other_kinds_and_of_what_is_gone_are_refused() {
    let mut world = World::new();
    let ping = world.sockets.open_ping(true, &mut world.host.env).unwrap();
    assert_eq!(
        world.sockets.join(ping, L, addr("239.1.1.1"), &mut world.host.ip, &mut world.host.env).err(),
        Some(Error::NotSupported)
    );
    world.close(ping);
    assert_eq!(world.send(ping, b"x", Some(to("192.0.2.9", 1))), Err(Error::BadHandle));
    assert_eq!(world.sockets.close(ping, &mut world.host.ip, &mut world.host.env).err(), Some(Error::BadHandle));
}
