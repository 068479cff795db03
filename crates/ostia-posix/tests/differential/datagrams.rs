//! UDP.

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("datagrams go whole", whole),
    ("names of datagrams", names),
    ("connected datagrams", connected),
    ("only the peer is heard", only_peer),
    ("refused", refused),
    ("nobody to send to", nobody),
    ("too long", too_long),
    ("cut to the room", cut),
    ("peek at a datagram", peek),
    ("empty datagrams", empty),
    ("shut for reading and writing", shut),
    ("datagrams wait", waits),
    ("datagrams in pieces", more),
    ("rows of a datagram", rows),
    ("disconnected again", disconnected),
    ("broadcast needs permission", broadcast),
    ("reuse of a datagram port", reuse),
    ("port zero", port_zero),
    ("datagrams of both families", both_families),
];

/// A receiver, and where it is.
fn receiver(run: &mut Run) -> (i32, Option<(std::net::IpAddr, u16)>) {
    let fd = run.udp();
    run.bind(fd, 0);
    (fd, Some((run.here(), run.port(fd))))
}

fn whole(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.send_to(a, b"first", 0, to);
    run.send_to(a, b"second", 0, to);
    run.ioctl(b, libc::FIONREAD as _, 0);
    run.recv(b, 100, 0);
    run.ioctl(b, libc::FIONREAD as _, 0);
    run.recv(b, 100, 0);
    run.ioctl(b, libc::FIONREAD as _, 0);
    run.recv(b, 100, libc::MSG_DONTWAIT);
}

fn names(run: &mut Run) {
    let fresh = run.udp();
    run.names(fresh);
    let (b, to) = receiver(run);
    run.names(b);
    let a = run.udp();
    run.send_to(a, b"x", 0, to);
    run.names(a);
    run.recvmsg(b, &[10], 0);
}

fn connected(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.connect(a, to.map_or(0, |to| to.1));
    run.names(a);
    run.send(a, b"to the peer", 0);
    run.recv(b, 100, 0);
    let back = Some((run.here(), run.port(a)));
    run.send_to(b, b"and back", 0, back);
    run.recv(a, 100, 0);
    run.write(a, b"written");
    run.read(b, 100);
    run.mask(a);
}

fn only_peer(run: &mut Run) {
    let (b, to) = receiver(run);
    let (a, stranger) = (run.udp(), run.udp());
    run.connect(a, to.map_or(0, |to| to.1));
    let me = Some((run.here(), run.port(a)));
    run.send_to(stranger, b"not for you", 0, me);
    run.send_to(b, b"for you", 0, me);
    run.recv(a, 100, 0);
    run.recv(a, 100, libc::MSG_DONTWAIT);
}

fn refused(run: &mut Run) {
    let (b, to) = receiver(run);
    run.close(b);
    let a = run.udp();
    run.connect(a, to.map_or(0, |to| to.1));
    run.send(a, b"x", 0);
    run.wait(a, libc::POLLERR);
    run.mask(a);
    run.send(a, b"x", 0);
    run.send(a, b"x", 0);
    run.wait(a, libc::POLLERR);
    run.error(a);
    run.error(a);
    run.send(a, b"x", 0);
    run.wait(a, libc::POLLERR);
    run.recv(a, 10, 0);
    // One that is connected to nobody isn't told.
    let c = run.udp();
    run.send_to(c, b"x", 0, to);
    run.send_to(c, b"x", 0, to);
    run.error(c);
}

fn nobody(run: &mut Run) {
    let a = run.udp();
    run.send(a, b"x", 0);
    run.sendmsg(a, &[b"x"], None);
    run.names(a);
    run.recv(a, 1, libc::MSG_DONTWAIT);
}

fn too_long(run: &mut Run) {
    let (_b, to) = receiver(run);
    let a = run.udp();
    for len in [65_536, 65_535, 100_000] {
        run.send_to(a, &vec![0; len], 0, to);
    }
}

fn cut(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    for _ in 0..3 {
        run.send_to(a, b"longer than that", 0, to);
    }
    run.recv(b, 4, 0);
    run.recv(b, 4, libc::MSG_TRUNC);
    run.recvmsg(b, &[3, 2], 0);
    run.recv(b, 4, libc::MSG_DONTWAIT);
}

fn peek(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.send_to(a, b"seen twice", 0, to);
    run.recv(b, 4, libc::MSG_PEEK);
    run.recv(b, 100, libc::MSG_PEEK | libc::MSG_TRUNC);
    run.recv(b, 100, 0);
    run.recv(b, 100, libc::MSG_PEEK | libc::MSG_DONTWAIT);
}

fn empty(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.send_to(a, b"", 0, to);
    run.send_to(a, b"x", 0, to);
    run.mask(b);
    run.recv(b, 10, 0);
    run.recv(b, 0, 0);
    run.recv(b, 10, libc::MSG_DONTWAIT);
}

fn shut(run: &mut Run) {
    let (b, to) = receiver(run);
    run.shutdown(b, libc::SHUT_RD);
    run.recv(b, 10, libc::MSG_DONTWAIT);
    run.recv(b, 10, 0);
    let a = run.udp();
    run.connect(a, to.map_or(0, |to| to.1));
    run.shutdown(a, libc::SHUT_WR);
    run.send(a, b"x", 0);
    run.mask(a);
    run.shutdown(a, libc::SHUT_RD);
    run.mask(a);
}

fn waits(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.beside(
        move |run| {
            run.recv(b, 10, 0);
        },
        |run| {
            run.send_to(a, b"x", 0, to);
        },
    );
    run.set_bytes(b, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &[[0u8; 8], 20_000i64.to_ne_bytes()].concat());
    run.recv(b, 10, 0);
}

fn more(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.send_to(a, b"one ", libc::MSG_MORE, to);
    run.send_to(a, b"datagram", 0, to);
    run.recv(b, 100, 0);
    run.recv(b, 100, libc::MSG_DONTWAIT);
}

fn rows(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.sendmsg(a, &[b"in ", b"", b"rows"], to);
    run.readv(b, &[2, 100]);
}

fn disconnected(run: &mut Run) {
    let (b, to) = receiver(run);
    let a = run.udp();
    run.connect(a, to.map_or(0, |to| to.1));
    run.disconnect(a);
    run.send(a, b"x", 0);
    run.send_to(a, b"x", 0, to);
    run.recv(b, 10, 0);
}

fn broadcast(run: &mut Run) {
    let a = run.socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
    let everybody = Some((std::net::Ipv4Addr::BROADCAST.into(), 9));
    run.send_to(a, b"x", 0, everybody);
}

fn reuse(run: &mut Run) {
    let (a, b, c) = (run.udp(), run.udp(), run.udp());
    for fd in [a, b] {
        run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    }
    run.bind(a, 0);
    let port = run.port(a);
    run.bind(b, port);
    run.bind(c, port);
}

fn port_zero(run: &mut Run) {
    let a = run.udp();
    run.send_to(a, b"x", 0, Some((run.here(), 0)));
}

fn both_families(run: &mut Run) {
    let b = run.socket(libc::AF_INET6, libc::SOCK_DGRAM, 0);
    if b < 0 {
        return;
    }
    run.bind_to(b, std::net::Ipv6Addr::UNSPECIFIED.into(), 0);
    let port = run.port(b);
    let a = run.socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
    run.send_to(a, b"over IPv4", 0, Some((std::net::Ipv4Addr::LOCALHOST.into(), port)));
    run.recvmsg(b, &[20], 0);
    run.bind_to(a, std::net::Ipv4Addr::LOCALHOST.into(), 0);
    let to = run.port(a);
    run.send_to(b, b"and back", 0, Some((std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), to)));
    run.recv(a, 20, 0);
    run.send_to(b, b"by a name of IPv4", 0, Some((std::net::Ipv4Addr::LOCALHOST.into(), to)));
    run.recv(a, 20, 0);
    run.send_to(a, b"x", 0, Some((std::net::Ipv6Addr::LOCALHOST.into(), port)));
}
