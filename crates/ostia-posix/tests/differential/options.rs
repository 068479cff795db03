//! getsockopt(2) and setsockopt(2).

use crate::Sequence;
use crate::run::Run;

const SOCKET: i32 = libc::SOL_SOCKET;
const TCP: i32 = libc::IPPROTO_TCP;

pub const ALL: &[Sequence] = &[
    ("options that can only be read", read_only),
    ("options that are on or off", switches),
    ("sizes of buffers", buffers),
    ("linger", linger),
    ("timeouts", timeouts),
    ("options of TCP with bounds", bounds),
    ("deferred accept", defer),
    ("linger of the closed", linger2),
    ("segment size", max_segment),
    ("congestion control", congestion),
    ("options of IP", ip),
    ("options of IPv6", v6),
    ("values that are too short", short),
    ("options that there aren't", unknown),
    ("room that is too small", room),
    ("states in tcp_info", states),
    ("octets in tcp_info", octets),
    ("a listener's tcp_info", listener),
    ("memory figures", memory),
];

fn read_only(run: &mut Run) {
    let (listener, _) = run.listener();
    for fd in [run.tcp(), run.udp(), listener] {
        for name in [libc::SO_TYPE, libc::SO_DOMAIN, libc::SO_PROTOCOL, libc::SO_ERROR, libc::SO_ACCEPTCONN] {
            run.get(fd, SOCKET, name, 4);
            run.set(fd, SOCKET, name, 1);
        }
    }
}

fn switches(run: &mut Run) {
    let fd = run.tcp();
    let all = [
        (SOCKET, libc::SO_REUSEADDR),
        (SOCKET, libc::SO_REUSEPORT),
        (SOCKET, libc::SO_KEEPALIVE),
        (SOCKET, libc::SO_BROADCAST),
        (SOCKET, libc::SO_OOBINLINE),
        (TCP, libc::TCP_NODELAY),
        (TCP, libc::TCP_CORK),
    ];
    for (level, name) in all {
        run.get(fd, level, name, 4);
        run.set(fd, level, name, 5);
        run.get(fd, level, name, 4);
        run.set(fd, level, name, 0);
        run.get(fd, level, name, 4);
    }
    run.set(fd, SOCKET, libc::SO_PRIORITY, 4);
    run.get(fd, SOCKET, libc::SO_PRIORITY, 4);
}

fn buffers(run: &mut Run) {
    for fd in [run.tcp(), run.udp()] {
        for name in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
            // What is above is bounded by a setting of the machine.
            for value in [10_000, 0, 1, 100_000] {
                run.set(fd, SOCKET, name, value);
                run.get(fd, SOCKET, name, 4);
            }
        }
    }
}

fn linger(run: &mut Run) {
    let fd = run.tcp();
    run.get(fd, SOCKET, libc::SO_LINGER, 8);
    for value in [[1, 5], [1, 0], [0, 9], [7, 3]] {
        let bytes: Vec<u8> = value.iter().flat_map(|part: &i32| part.to_ne_bytes()).collect();
        run.set_bytes(fd, SOCKET, libc::SO_LINGER, &bytes);
        let found = run.look(fd, SOCKET, libc::SO_LINGER, 8);
        run.say(format!("on {}", found[0]));
    }
    run.set_bytes(fd, SOCKET, libc::SO_LINGER, &[1, 0, 0, 0]);
}

fn timeouts(run: &mut Run) {
    let fd = run.tcp();
    for name in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        run.get(fd, SOCKET, name, 16);
        for (seconds, micros) in [(3i64, 500_000i64), (0, 0), (0, 1_000_000), (0, -1)] {
            let value = [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
            run.set_bytes(fd, SOCKET, name, &value);
            run.get(fd, SOCKET, name, 16);
        }
        run.set_bytes(fd, SOCKET, name, &[0; 8]);
    }
}

fn bounds(run: &mut Run) {
    let fd = run.tcp();
    for name in [libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT, libc::TCP_SYNCNT, libc::TCP_USER_TIMEOUT] {
        run.get(fd, TCP, name, 4);
        for value in [0, 1, 100, 127, 128, 32_767, 32_768, -1] {
            run.set(fd, TCP, name, value);
            run.get(fd, TCP, name, 4);
        }
    }
}

fn defer(run: &mut Run) {
    let fd = run.tcp();
    for value in [0, 1, 2, 3, 5, 10, 100, -1] {
        run.set(fd, TCP, libc::TCP_DEFER_ACCEPT, value);
        run.get(fd, TCP, libc::TCP_DEFER_ACCEPT, 4);
    }
}

fn linger2(run: &mut Run) {
    let fd = run.tcp();
    for value in [10, 120, 0, -5] {
        run.set(fd, TCP, libc::TCP_LINGER2, value);
        run.get(fd, TCP, libc::TCP_LINGER2, 4);
    }
}

fn max_segment(run: &mut Run) {
    let fd = run.tcp();
    run.get(fd, TCP, libc::TCP_MAXSEG, 4);
    for value in [1000, 87, 88, 32_767, 32_768, 0, -1] {
        run.set(fd, TCP, libc::TCP_MAXSEG, value);
        run.get(fd, TCP, libc::TCP_MAXSEG, 4);
    }
}

fn congestion(run: &mut Run) {
    let fd = run.tcp();
    run.set_bytes(fd, TCP, libc::TCP_CONGESTION, b"reno");
    run.get(fd, TCP, libc::TCP_CONGESTION, 16);
    run.get(fd, TCP, libc::TCP_CONGESTION, 3);
    run.set_bytes(fd, TCP, libc::TCP_CONGESTION, b"no such one");
    run.set_bytes(fd, TCP, libc::TCP_CONGESTION, b"");
    run.get(fd, TCP, libc::TCP_CC_INFO, 64);
}

fn ip(run: &mut Run) {
    for fd in [run.socket(libc::AF_INET, libc::SOCK_STREAM, 0), run.socket(libc::AF_INET, libc::SOCK_DGRAM, 0)] {
        run.get(fd, libc::IPPROTO_IP, libc::IP_TTL, 4);
        for value in [1, 255, 0, 256, -1, 77] {
            run.set(fd, libc::IPPROTO_IP, libc::IP_TTL, value);
            run.get(fd, libc::IPPROTO_IP, libc::IP_TTL, 4);
        }
        run.set_bytes(fd, libc::IPPROTO_IP, libc::IP_TTL, &[9]);
        run.get(fd, libc::IPPROTO_IP, libc::IP_TTL, 4);
        for value in [0x10, 0x2f, 0] {
            run.set(fd, libc::IPPROTO_IP, libc::IP_TOS, value);
            run.look(fd, libc::IPPROTO_IP, libc::IP_TOS, 4);
        }
        run.get(fd, libc::IPPROTO_IP, libc::IP_TOS, 4);
        for value in [0, 2, 9, 1] {
            run.set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value);
            run.get(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, 4);
        }
        run.get(fd, libc::IPPROTO_IP, libc::IP_MTU, 4);
    }
}

fn v6(run: &mut Run) {
    let fd = run.socket(libc::AF_INET6, libc::SOCK_STREAM, 0);
    if fd < 0 {
        return;
    }
    run.get(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 4);
    for value in [5, 255, 256, -1, -2] {
        run.set(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, value);
        run.get(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 4);
    }
    run.set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1);
    run.get(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 4);
    run.set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0);
    for value in [0x20, 256, -1] {
        run.set(fd, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, value);
        run.get(fd, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 4);
    }
    run.bind_to(fd, std::net::Ipv6Addr::LOCALHOST.into(), 0);
    run.set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1);
    // Options of IPv4 it has too.
    run.get(fd, libc::IPPROTO_IP, libc::IP_TTL, 4);
}

fn short(run: &mut Run) {
    let fd = run.tcp();
    for (level, name) in [(SOCKET, libc::SO_KEEPALIVE), (TCP, libc::TCP_NODELAY), (SOCKET, libc::SO_RCVBUF)] {
        run.set_bytes(fd, level, name, &[]);
        run.set_bytes(fd, level, name, &[1, 0, 0]);
        run.set_bytes(fd, level, name, &[1, 0, 0, 0, 9, 9]);
    }
}

fn unknown(run: &mut Run) {
    for fd in [run.tcp(), run.udp()] {
        for (level, name) in [(SOCKET, 9999), (TCP, 9999), (libc::IPPROTO_IP, 9999), (9999, 1)] {
            run.set(fd, level, name, 1);
            run.get(fd, level, name, 4);
        }
    }
}

fn room(run: &mut Run) {
    let fd = run.tcp();
    for room in [0, 1, 2, 4, 100] {
        run.get(fd, SOCKET, libc::SO_TYPE, room);
        run.get(fd, TCP, libc::TCP_NODELAY, room);
    }
    run.get(fd, SOCKET, libc::SO_LINGER, 4);
    let info = run.look(fd, TCP, libc::TCP_INFO, 8);
    run.say(info.len());
}

/// The first byte of tcp_info.
fn state(run: &mut Run, fd: i32) {
    let info = run.look(fd, TCP, libc::TCP_INFO, 104);
    run.say(format!("state {:?} of {} bytes", info.first(), info.len()));
}

fn states(run: &mut Run) {
    let fresh = run.tcp();
    state(run, fresh);
    let (listener, port) = run.listener();
    state(run, listener);
    let client = run.tcp();
    run.connect(client, port);
    let server = run.accept(listener, 0);
    state(run, client);
    run.shutdown(client, libc::SHUT_WR);
    run.wait(server, libc::POLLRDHUP);
    // The FIN is acknowledged a moment after it has come.
    let acknowledged = (0..1_000_000).any(|_| {
        std::thread::yield_now();
        run.look(client, TCP, libc::TCP_INFO, 1) == [5]
    });
    run.say(acknowledged);
    state(run, client);
    state(run, server);
    run.shutdown(server, libc::SHUT_WR);
    run.wait(client, libc::POLLHUP);
    run.wait(server, libc::POLLHUP);
    state(run, client);
    state(run, server);
}

fn octets(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, &[0; 1000], 0);
    run.recv(server, 600, libc::MSG_WAITALL);
    run.send(server, b"x", 0);
    run.wait(client, libc::POLLIN);
    let field = |bytes: &[u8], at: usize, len: usize| format!("{:?}", bytes.get(at..at + len));
    let (ours, theirs) = (run.look(client, TCP, libc::TCP_INFO, 232), run.look(server, TCP, libc::TCP_INFO, 232));
    for info in [&ours, &theirs] {
        // Unacknowledged, lost, sent again; octets acknowledged and received; not sent; data segments in and out; segments
        // delivered; octets sent and sent again.
        let fields =
            [(24, 4), (32, 4), (36, 4), (100, 4), (120, 8), (128, 8), (144, 4), (152, 4), (156, 4), (192, 4), (200, 8), (208, 8)];
        for (at, len) in fields {
            run.say(format!("{at}: {}", field(info, at, len)));
        }
    }
    // Timestamps, SACK and scaling were agreed on.
    run.say(format!("options {}", ours[5] & 7));
}

fn listener(run: &mut Run) {
    let fd = run.tcp();
    run.bind(fd, 0);
    run.listen(fd, 9);
    let port = run.port(fd);
    for _ in 0..3 {
        let client = run.tcp();
        run.connect(client, port);
    }
    let info = run.look(fd, TCP, libc::TCP_INFO, 104);
    run.say(format!("{:?}", &info[24..32]));
    run.accept(fd, 0);
    run.listen(fd, 4);
    let info = run.look(fd, TCP, libc::TCP_INFO, 104);
    run.say(format!("{:?}", &info[24..32]));
}

fn memory(run: &mut Run) {
    let fd = run.tcp();
    run.set(fd, SOCKET, libc::SO_RCVBUF, 20_000);
    run.set(fd, SOCKET, libc::SO_SNDBUF, 30_000);
    let bytes = run.get(fd, SOCKET, libc::SO_MEMINFO, 36);
    run.say(bytes.len());
}
