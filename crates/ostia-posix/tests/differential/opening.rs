//! Streams that are opened: connect(2), listen(2) and accept(2).

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("accept tells the peer's name", accept_name),
    ("accept blocks", accept_blocks),
    ("connect without waiting", connect_nonblocking),
    ("connect again after it is refused", connect_refused_again),
    ("connect, and be refused, while waiting", connect_refused),
    ("connect to any", connect_to_any),
    ("connect from a bound port", connect_bound),
    ("a listener of both families", both_families),
    ("a client goes on after the listener has closed", listener_closes),
    ("accept inherits options", accept_inherits),
    ("accept with flags", accept_flags),
    ("many wait to be accepted", many_wait),
    ("disconnect a stream", disconnect),
];

fn accept_name(run: &mut Run) {
    let (listener, port) = run.listener();
    let client = run.tcp();
    run.bind(client, 0);
    let from = run.port(client);
    run.connect(client, port);
    run.accept_from(listener, from);
}

fn accept_blocks(run: &mut Run) {
    let (listener, port) = run.listener();
    run.beside(
        move |run| {
            let fd = run.accept(listener, 0);
            run.recv(fd, 10, 0);
        },
        |run| {
            let client = run.tcp();
            run.connect(client, port);
            run.send(client, b"hi", 0);
        },
    );
}

fn connect_nonblocking(run: &mut Run) {
    let (listener, port) = run.listener();
    let client = run.tcp_nonblocking();
    run.connect(client, port);
    run.wait(client, libc::POLLOUT);
    run.error(client);
    run.mask(client);
    run.connect(client, port);
    run.connect(client, port);
    run.accept(listener, 0);
    run.recv(client, 1, 0);
}

fn connect_refused_again(run: &mut Run) {
    let nobody = run.free_port();
    let client = run.tcp_nonblocking();
    run.connect(client, nobody);
    run.wait(client, libc::POLLERR);
    run.mask(client);
    run.error(client);
    run.error(client);
    run.mask(client);
    run.recv(client, 1, 0);
    run.send(client, b"x", 0);
    run.connect(client, nobody);
    run.mask(client);
    let (_listener, port) = run.listener();
    run.connect(client, port);
    run.wait(client, libc::POLLOUT);
    run.connect(client, port);
    run.names(client);
}

fn connect_refused(run: &mut Run) {
    let nobody = run.free_port();
    let client = run.tcp();
    run.connect(client, nobody);
    run.error(client);
    run.mask(client);
    run.names(client);
    run.connect(client, nobody);
    let other = run.tcp_nonblocking();
    run.connect(other, nobody);
    run.wait(other, libc::POLLERR);
    run.connect(other, nobody);
    run.recv(other, 1, 0);
}

fn connect_to_any(run: &mut Run) {
    let fd = run.tcp();
    run.bind_to(fd, run.any(), 0);
    run.listen(fd, 1);
    let port = run.port(fd);
    let client = run.tcp();
    run.connect_to(client, run.any(), port);
    run.names(client);
    run.accept(fd, 0);
}

fn connect_bound(run: &mut Run) {
    let (listener, port) = run.listener();
    let client = run.tcp();
    run.bind(client, 0);
    let from = run.port(client);
    run.connect(client, port);
    let same = run.port(client) == from;
    run.say(same);
    run.accept(listener, 0);
    run.bind(client, 0);
    let other = run.tcp();
    run.bind(other, from);
    run.listen(client, 1);
}

fn both_families(run: &mut Run) {
    let fd = run.socket(libc::AF_INET6, libc::SOCK_STREAM, 0);
    if fd < 0 {
        return;
    }
    run.bind_to(fd, std::net::Ipv6Addr::UNSPECIFIED.into(), 0);
    run.listen(fd, 2);
    let port = run.port(fd);
    let client = run.socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    run.connect_to(client, std::net::Ipv4Addr::LOCALHOST.into(), port);
    run.names(client);
    let server = run.accept(fd, 0);
    run.names(server);
    let mapped = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let client = run.socket(libc::AF_INET6, libc::SOCK_STREAM, 0);
    run.connect_to(client, mapped.into(), port);
    run.names(client);
    let other = run.socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    run.bind_to(other, std::net::Ipv4Addr::UNSPECIFIED.into(), port);
    // One that is for IPv6 alone takes no other.
    let alone = run.socket(libc::AF_INET6, libc::SOCK_STREAM, 0);
    run.set(alone, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1);
    run.bind_to(alone, mapped.into(), 0);
    run.bind_to(alone, std::net::Ipv6Addr::UNSPECIFIED.into(), 0);
    run.listen(alone, 1);
    let port = run.port(alone);
    let client = run.socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    run.connect_to(client, std::net::Ipv4Addr::LOCALHOST.into(), port);
    run.connect_to(alone, mapped.into(), port);
}

fn listener_closes(run: &mut Run) {
    let (listener, port) = run.listener();
    let (first, second) = (run.tcp(), run.tcp());
    run.connect(first, port);
    let server = run.accept(listener, 0);
    run.connect(second, port);
    run.close(listener);
    // Nobody has accepted the second: it is reset.
    run.wait(second, libc::POLLERR | libc::POLLHUP);
    run.recv(second, 10, 0);
    run.send(first, b"on", 0);
    run.recv(server, 10, 0);
    let third = run.tcp();
    run.connect(third, port);
}

fn accept_inherits(run: &mut Run) {
    let fd = run.tcp();
    run.set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    run.set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    run.set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77);
    run.bind(fd, 0);
    run.listen(fd, 1);
    let port = run.port(fd);
    let client = run.tcp();
    run.connect(client, port);
    run.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK as isize);
    let server = run.accept(fd, 0);
    run.get(server, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 4);
    run.get(server, libc::IPPROTO_TCP, libc::TCP_NODELAY, 4);
    run.get(server, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 4);
    run.get(server, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, 4);
    // But not that.
    run.fcntl(server, libc::F_GETFL, 0);
}

fn accept_flags(run: &mut Run) {
    let (listener, port) = run.listener();
    let client = run.tcp();
    run.connect(client, port);
    run.accept(listener, 0x10);
    let server = run.accept(listener, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    run.fcntl(server, libc::F_GETFL, 0);
    run.fcntl(server, libc::F_GETFD, 0);
    run.recv(server, 10, 0);
}

fn many_wait(run: &mut Run) {
    let (listener, port) = run.listener();
    for _ in 0..5 {
        let client = run.tcp();
        run.connect(client, port);
    }
    run.fcntl(listener, libc::F_SETFL, libc::O_NONBLOCK as isize);
    for _ in 0..5 {
        run.mask(listener);
        run.accept(listener, 0);
    }
    run.mask(listener);
    run.accept(listener, 0);
}

fn disconnect(run: &mut Run) {
    let (client, server) = run.pair();
    run.disconnect(client);
    run.names(client);
    run.wait(server, libc::POLLIN);
    run.recv(server, 10, 0);
    let (listener, port) = run.listener();
    run.connect(client, port);
    run.accept(listener, 0);
    run.mask(client);
}
