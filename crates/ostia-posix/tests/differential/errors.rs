//! Calls that fail, and with what.

use std::net::{IpAddr, Ipv4Addr};

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("sockets that there aren't", sockets),
    ("numbers that lead nowhere", nowhere),
    ("what is no socket", no_socket),
    ("bad names", bad_names),
    ("null pointers", null_pointers),
    ("bind twice", bind_twice),
    ("bind to who isn't here", bind_elsewhere),
    ("a port that is taken", taken),
    ("a port that is listened on", listened_on),
    ("a port that a connection has", connection_has),
    ("a port in TIME-WAIT", time_wait),
    ("reuse of a port", reuse),
    ("any and one address of a port", any_and_one),
    ("listening sockets can't", listening),
    ("fresh sockets can't", fresh),
    ("connected sockets can't", connected),
    ("streams only", streams_only),
    ("shutdown of what isn't connected", shutdown_fresh),
    ("shutdown of a listener", shutdown_listener),
    ("accept of what doesn't listen", accept_fresh),
    ("connect to a group", connect_group),
    ("one family only", one_family),
];

fn sockets(run: &mut Run) {
    for (domain, kind, protocol) in [
        (999, libc::SOCK_STREAM, 0),
        (-1, libc::SOCK_STREAM, 0),
        (libc::AF_INET, 99, 0),
        (libc::AF_INET, 9, 0),
        (libc::AF_INET, 0, 0),
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_UDP),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_TCP),
        (libc::AF_INET, libc::SOCK_STREAM, 300),
        (libc::AF_INET, libc::SOCK_STREAM, -1),
        (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_UDP),
        (libc::AF_INET, libc::SOCK_STREAM | 0x1000, 0),
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    ] {
        run.socket(domain, kind, protocol);
    }
}

fn nowhere(run: &mut Run) {
    for fd in [-1, run.nowhere()] {
        run.bind(fd, 0);
        run.listen(fd, 1);
        run.accept(fd, 0);
        run.connect(fd, 1);
        run.send(fd, b"x", 0);
        run.recv(fd, 1, 0);
        run.recvmsg(fd, &[1], 0);
        run.sendmsg(fd, &[b"x"], None);
        run.shutdown(fd, libc::SHUT_RDWR);
        run.names(fd);
        run.get(fd, libc::SOL_SOCKET, libc::SO_TYPE, 4);
        run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
        run.fcntl(fd, libc::F_GETFL, 0);
        run.ioctl(fd, libc::FIONREAD as _, 0);
        run.close(fd);
    }
}

fn no_socket(run: &mut Run) {
    let [fd, _] = run.pipe();
    run.bind(fd, 0);
    run.listen(fd, 1);
    run.accept(fd, 0);
    run.connect(fd, 1);
    run.send(fd, b"x", 0);
    run.recv(fd, 1, 0);
    run.shutdown(fd, libc::SHUT_RDWR);
    run.names(fd);
    run.get(fd, libc::SOL_SOCKET, libc::SO_TYPE, 4);
    run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    run.close(fd);
}

fn bad_names(run: &mut Run) {
    let good = ostia_posix::Sockaddr::new(run.here(), 0);
    let good = good.as_bytes().to_vec();
    let mut other = good.clone();
    other[..2].copy_from_slice(&99u16.to_ne_bytes());
    for fd in [run.tcp(), run.udp()] {
        run.bind_raw(fd, &[]);
        run.bind_raw(fd, &good[..1]);
        run.bind_raw(fd, &good[..15]);
        run.bind_raw(fd, &other);
        run.bind_raw(fd, &[0; 200]);
        run.connect_raw(fd, &[]);
        run.connect_raw(fd, &good[..1]);
        run.connect_raw(fd, &good[..15]);
        run.connect_raw(fd, &other);
        run.connect_raw(fd, &[1; 200]);
    }
}

fn null_pointers(run: &mut Run) {
    let (none, null) = (std::ptr::null::<libc::sockaddr>(), std::ptr::null_mut::<libc::c_void>());
    let fd = run.tcp();
    let (client, server) = run.pair();
    let api = run.api;
    let last = || std::io::Error::last_os_error();
    let answers = [
        (api.bind(fd, none, 16), last()),
        (api.connect(fd, none, 16), last()),
        (api.getsockname(client, null.cast(), null.cast()), last()),
        (api.getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, null, null.cast()), last()),
        (api.setsockopt(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, none.cast(), 4), last()),
        (api.write(client, none.cast(), 4) as i32, last()),
        (api.writev(client, none.cast(), 1) as i32, last()),
        (api.sendmsg(client, none.cast(), 0) as i32, last()),
        (api.recvmsg(client, null.cast(), 0) as i32, last()),
        (api.poll(null.cast(), 1, 0), last()),
    ];
    for (answer, error) in answers {
        run.say(format!("{answer} {error}"));
    }
    run.send(client, b"x", 0);
    run.wait(server, libc::POLLIN);
    let answer = api.read(server, null, 1) as i32;
    run.say(format!("{answer} {}", last()));
    let epfd = run.epoll();
    let answer = api.epoll_ctl(epfd, libc::EPOLL_CTL_ADD, client, null.cast());
    run.say(format!("{answer} {}", last()));
    let answer = api.writev(client, none.cast(), -1) as i32;
    run.say(format!("{answer} {}", last()));
}

fn bind_twice(run: &mut Run) {
    for fd in [run.tcp(), run.udp()] {
        run.bind(fd, 0);
        run.bind(fd, 0);
    }
}

fn bind_elsewhere(run: &mut Run) {
    for fd in [run.socket(libc::AF_INET, libc::SOCK_STREAM, 0), run.socket(libc::AF_INET, libc::SOCK_DGRAM, 0)] {
        run.bind_to(fd, Ipv4Addr::new(192, 0, 2, 77).into(), 0);
        run.bind_to(fd, Ipv4Addr::new(127, 1, 2, 3).into(), 0);
    }
}

fn taken(run: &mut Run) {
    for datagrams in [false, true] {
        let mut open = || if datagrams { run.udp() } else { run.tcp() };
        let (first, second) = (open(), open());
        run.bind(first, 0);
        let port = run.port(first);
        run.bind(second, port);
        run.bind_to(second, run.any(), port);
        run.close(first);
        run.bind(second, port);
    }
}

fn listened_on(run: &mut Run) {
    let (listener, port) = run.listener();
    let fd = run.tcp();
    run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    run.bind(fd, port);
    run.listen(listener, 5);
    run.bind(listener, port);
}

fn connection_has(run: &mut Run) {
    let (_client, server) = run.pair();
    let port = run.port(server);
    let fd = run.tcp();
    run.bind(fd, port);
    run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    // The connection's listener hadn't said that it would share.
    run.bind(fd, port);
}

fn time_wait(run: &mut Run) {
    let (client, server) = run.pair();
    let port = run.port(server);
    run.close(server);
    run.recv(client, 1, 0);
    run.close(client);
    let fd = run.tcp();
    run.bind(fd, port);
    let (listener, port) = {
        let fd = run.tcp();
        run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
        run.bind(fd, 0);
        run.listen(fd, 1);
        (fd, run.port(fd))
    };
    let client = run.tcp();
    run.connect(client, port);
    let server = run.accept(listener, 0);
    run.close(listener);
    run.close(server);
    run.recv(client, 1, 0);
    run.close(client);
    let fd = run.tcp();
    run.bind(fd, port);
    run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    run.bind(fd, port);
    run.listen(fd, 1);
}

fn reuse(run: &mut Run) {
    let (first, second, third) = (run.tcp(), run.tcp(), run.tcp());
    for fd in [first, second] {
        run.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    }
    run.bind(first, 0);
    let port = run.port(first);
    run.bind(second, port);
    run.bind(third, port);
    run.listen(first, 1);
    run.listen(second, 1);
}

fn any_and_one(run: &mut Run) {
    let (any, one) = (run.tcp(), run.tcp());
    run.bind_to(any, run.any(), 0);
    let port = run.port(any);
    run.bind(one, port);
    let (one, any) = (run.tcp(), run.tcp());
    run.bind(one, 0);
    let port = run.port(one);
    run.bind_to(any, run.any(), port);
}

fn listening(run: &mut Run) {
    let (listener, port) = run.listener();
    run.connect(listener, port);
    run.send(listener, b"x", 0);
    run.recv(listener, 1, 0);
    run.names(listener);
    run.ioctl(listener, libc::FIONREAD as _, 0);
    run.ioctl(listener, libc::TIOCOUTQ as _, 0);
    run.shutdown(listener, libc::SHUT_WR);
    run.mask(listener);
}

fn fresh(run: &mut Run) {
    let fd = run.tcp();
    run.send(fd, b"x", 0);
    run.recv(fd, 1, 0);
    run.recv(fd, 1, libc::MSG_PEEK);
    run.mask(fd);
    run.error(fd);
    run.names(fd);
    run.ioctl(fd, libc::FIONREAD as _, 0);
    run.ioctl(fd, libc::TIOCOUTQ as _, 0);
    run.disconnect(fd);
    run.shutdown(fd, 7);
}

fn connected(run: &mut Run) {
    let (client, server) = run.pair();
    let port = run.port(server);
    run.connect(client, port);
    run.connect(server, port);
    run.listen(client, 1);
    run.bind(client, 0);
    run.accept(client, 0);
    run.shutdown(client, 7);
}

fn streams_only(run: &mut Run) {
    let fd = run.udp();
    run.listen(fd, 1);
    run.accept(fd, 0);
    run.set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    run.get(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 4);
    run.send_to(fd, b"x", libc::MSG_OOB, Some((run.here(), 9)));
}

fn shutdown_fresh(run: &mut Run) {
    for fd in [run.tcp(), run.udp()] {
        run.shutdown(fd, libc::SHUT_RD);
        run.mask(fd);
        run.shutdown(fd, libc::SHUT_RDWR);
        run.mask(fd);
    }
    let fd = run.tcp();
    run.shutdown(fd, libc::SHUT_RD);
    run.recv(fd, 1, 0);
    // It can still be connected.
    let (listener, port) = run.listener();
    run.connect(fd, port);
    run.mask(fd);
    run.accept(listener, 0);
}

fn shutdown_listener(run: &mut Run) {
    let (listener, port) = run.listener();
    run.shutdown(listener, libc::SHUT_RDWR);
    run.mask(listener);
    run.accept(listener, 0);
    let client = run.tcp();
    run.connect(client, port);
    run.get(listener, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, 4);
    run.listen(listener, 1);
    run.mask(listener);
}

fn accept_fresh(run: &mut Run) {
    let fd = run.tcp();
    run.accept(fd, 0);
    run.bind(fd, 0);
    run.accept(fd, 0);
}

fn connect_group(run: &mut Run) {
    let fd = run.socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    let group: IpAddr = Ipv4Addr::new(224, 0, 0, 1).into();
    run.connect_to(fd, group, 80);
    run.bind_to(fd, group, 80);
}

fn one_family(run: &mut Run) {
    let fd = run.socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    run.connect_to(fd, std::net::Ipv6Addr::LOCALHOST.into(), 80);
    run.set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1);
    run.get(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 4);
    run.get(fd, libc::IPPROTO_IP, libc::IP_TTL, 4);
}
