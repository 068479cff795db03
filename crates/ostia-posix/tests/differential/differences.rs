//! What is known to differ from Linux, each with the reason: it must go on to differ, or its line is to be moved.

use std::net::Ipv4Addr;

use crate::run::Run;

/// A name, the reason, and the sequence.
type Difference = (&'static str, &'static str, fn(&mut Run));

pub const ALL: &[Difference] = &[
    ("out-of-band data", "an urgent octet stays in the stream, as with SO_OOBINLINE, which RFC 6093 asks for", out_of_band),
    ("two listeners of a port", "the stack has one listener for each address and port, whatever SO_REUSEPORT says", reuse_port),
    ("both families' any", "the stack's listener on any address is for both families, so a port has one", both_any),
    ("port 0 is nobody's", "the stack refuses to open a connection to port 0; Linux sends a SYN there", port_zero),
    ("a connection to itself", "the stack opens no connection from a port to the same port of its own", to_itself),
    ("deferred accept", "TCP_DEFER_ACCEPT is kept and answered; connections are accepted without waiting for data", deferred),
    (
        "reset before it is accepted",
        "the stack forgets a connection that is reset in its accept queue; Linux hands it out",
        reset_early,
    ),
    ("epoll of the kernel's descriptors", "an epoll instance watches sockets of its world only: others are EPERM", epoll_kernel),
    ("epoll of epoll", "an epoll instance isn't watched by another: EINVAL", epoll_epoll),
    ("fast open", "the stack has no TCP Fast Open (RFC 7413): ENOPROTOOPT", fast_open),
    ("the address after disconnecting a datagram socket", "the stack keeps the one that connecting has chosen", kept_address),
    ("the default congestion control", "the stack has Reno; Linux begins with another", congestion),
    ("the default buffers", "the stack's are fixed, and Linux's grow by themselves", buffers),
];

fn out_of_band(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"abc", libc::MSG_OOB);
    run.wait(server, libc::POLLIN);
    run.recv(server, 10, 0);
}

fn reuse_port(run: &mut Run) {
    let (first, second) = (run.tcp(), run.tcp());
    for fd in [first, second] {
        run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1);
    }
    run.bind(first, 0);
    let port = run.port(first);
    run.bind(second, port);
    run.listen(first, 1);
    run.listen(second, 1);
}

fn both_any(run: &mut Run) {
    let (v4, v6) = (run.socket(libc::AF_INET, libc::SOCK_STREAM, 0), run.socket(libc::AF_INET6, libc::SOCK_STREAM, 0));
    run.set(v6, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1);
    run.bind_to(v4, Ipv4Addr::UNSPECIFIED.into(), 0);
    let port = run.port(v4);
    run.bind_to(v6, std::net::Ipv6Addr::UNSPECIFIED.into(), port);
    run.listen(v4, 1);
    run.listen(v6, 1);
}

fn port_zero(run: &mut Run) {
    let fd = run.tcp();
    run.connect(fd, 0);
}

fn to_itself(run: &mut Run) {
    let fd = run.tcp();
    run.bind(fd, 0);
    let port = run.port(fd);
    run.connect(fd, port);
}

fn deferred(run: &mut Run) {
    let fd = run.tcp_nonblocking();
    run.set(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 5);
    run.bind(fd, 0);
    run.listen(fd, 1);
    let port = run.port(fd);
    let client = run.tcp();
    run.connect(client, port);
    run.accept(fd, 0);
}

fn reset_early(run: &mut Run) {
    let (listener, port) = run.listener();
    let client = run.tcp();
    run.connect(client, port);
    run.wait(listener, libc::POLLIN);
    run.set_bytes(client, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
    run.close(client);
    run.fcntl(listener, libc::F_SETFL, libc::O_NONBLOCK as isize);
    run.accept(listener, 0);
}

fn epoll_kernel(run: &mut Run) {
    let (epfd, [read, _]) = (run.epoll(), run.pipe());
    run.add(epfd, read, libc::EPOLLIN, 1);
}

fn epoll_epoll(run: &mut Run) {
    let (outer, inner) = (run.epoll(), run.epoll());
    run.add(outer, inner, libc::EPOLLIN, 1);
}

fn fast_open(run: &mut Run) {
    let fd = run.tcp();
    run.set(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 5);
}

fn kept_address(run: &mut Run) {
    let (a, b) = (run.udp(), run.udp());
    run.bind(b, 0);
    let port = run.port(b);
    run.connect(a, port);
    run.disconnect(a);
    run.names(a);
}

fn congestion(run: &mut Run) {
    let fd = run.tcp();
    run.get(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, 16);
}

fn buffers(run: &mut Run) {
    let fd = run.tcp();
    run.get(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, 4);
    run.get(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 4);
}
