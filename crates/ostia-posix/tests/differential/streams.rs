//! Streams from their opening to their end.

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("echo", echo),
    ("names of a connection", names),
    ("accept tells the peer's name", accept_name),
    ("read and write of rows", rows),
    ("messages of rows", messages),
    ("peek", peek),
    ("a longer read waits for all", wait_all),
    ("wait for all ends with the stream", wait_all_end),
    ("truncated bytes are thrown away", truncated),
    ("end of stream", end),
    ("half closed", half_closed),
    ("shut for reading, data can be read", shut_read),
    ("shut for reading, nothing to read", shut_read_empty),
    ("write after the own end", write_after_end),
    ("the peer closes with data unread", close_unread),
    ("reset by a linger of zero", linger_zero),
    ("data before a reset", data_before_reset),
    ("write to who has closed", write_to_closed),
    ("a linger waits", linger_waits),
    ("accept blocks", accept_blocks),
    ("receive blocks", receive_blocks),
    ("send blocks until there is room", send_blocks),
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
    ("receive timeout", receive_timeout),
    ("accept timeout", accept_timeout),
    ("send timeout", send_timeout),
    ("dont wait", dont_wait),
    ("more", more),
    ("splice", splice),
    ("disconnect a stream", disconnect),
    ("low-water mark", low_water),
    ("nothing is sent", nothing),
    ("urgent, inline", urgent),
    ("bulk", bulk),
];

fn echo(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"hello", 0);
    run.recv(server, 100, 0);
    run.send(server, b"hello yourself", 0);
    run.recv(client, 5, 0);
    run.recv(client, 100, 0);
    run.close(client);
    run.recv(server, 100, 0);
}

fn names(run: &mut Run) {
    let fd = run.tcp();
    run.names(fd);
    run.bind(fd, 0);
    run.names(fd);
    let (client, server) = run.pair();
    run.names(client);
    run.names(server);
    let free = run.tcp();
    run.listen(free, 1);
    run.names(free);
}

fn accept_name(run: &mut Run) {
    let (listener, port) = run.listener();
    let client = run.tcp();
    run.bind(client, 0);
    let from = run.port(client);
    run.connect(client, port);
    run.accept_from(listener, from);
}

fn rows(run: &mut Run) {
    let (client, server) = run.pair();
    run.writev(client, &[b"one", b"", b"two", b"three"]);
    run.wait(server, libc::POLLIN);
    run.readv(server, &[2, 0, 4, 20]);
    run.write(client, b"x");
    run.read(server, 10);
    run.read(server, 0);
}

fn messages(run: &mut Run) {
    let (client, server) = run.pair();
    run.sendmsg(client, &[b"ab", b"cd"], None);
    run.recvmsg(server, &[3, 3], 0);
    run.sendmsg(client, &[], None);
}

fn peek(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"peeked at", 0);
    run.wait(server, libc::POLLIN);
    run.recv(server, 4, libc::MSG_PEEK);
    run.recv(server, 100, libc::MSG_PEEK);
    run.recvmsg(server, &[3, 100], libc::MSG_PEEK);
    run.recv(server, 100, 0);
    run.recv(server, 100, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    run.close(client);
    run.wait(server, libc::POLLIN);
    run.recv(server, 100, libc::MSG_PEEK);
}

fn wait_all(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"first ", 0);
    run.beside(
        move |run| {
            run.recv(server, 12, libc::MSG_WAITALL);
        },
        |run| {
            run.send(client, b"second", 0);
        },
    );
    run.send(client, b"less", 0);
    run.wait(server, libc::POLLIN);
    run.recv(server, 12, libc::MSG_WAITALL | libc::MSG_DONTWAIT);
}

fn wait_all_end(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"short", 0);
    run.shutdown(client, libc::SHUT_WR);
    run.recv(server, 100, libc::MSG_WAITALL);
    run.recv(server, 100, libc::MSG_WAITALL);
}

fn truncated(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"thrown away, kept", 0);
    run.wait(server, libc::POLLIN);
    let none = std::ptr::null_mut();
    let answer = run.api.recvfrom(server, none, 13, libc::MSG_TRUNC, none.cast(), none.cast());
    run.say(answer);
    run.recv(server, 100, 0);
}

fn end(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"last", 0);
    run.close(client);
    run.recv(server, 100, 0);
    run.recv(server, 100, 0);
    run.recv(server, 100, 0);
    run.names(server);
}

fn half_closed(run: &mut Run) {
    let (client, server) = run.pair();
    run.shutdown(client, libc::SHUT_WR);
    run.recv(server, 10, 0);
    run.send(server, b"still here", 0);
    run.recv(client, 100, 0);
    run.shutdown(server, libc::SHUT_WR);
    run.recv(client, 100, 0);
    run.shutdown(client, libc::SHUT_RDWR);
}

fn shut_read(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"before", 0);
    run.wait(server, libc::POLLIN);
    run.shutdown(server, libc::SHUT_RD);
    run.recv(server, 100, 0);
    run.recv(server, 100, 0);
    run.send(server, b"the other way", 0);
    run.recv(client, 100, 0);
}

fn shut_read_empty(run: &mut Run) {
    let (_client, server) = run.pair();
    run.shutdown(server, libc::SHUT_RD);
    run.recv(server, 100, 0);
    run.recv(server, 100, libc::MSG_DONTWAIT);
    run.mask(server);
}

fn write_after_end(run: &mut Run) {
    let (client, _server) = run.pair();
    run.shutdown(client, libc::SHUT_WR);
    run.send(client, b"too late", 0);
    run.send(client, b"", 0);
    run.error(client);
    run.shutdown(client, libc::SHUT_WR);
}

fn close_unread(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"never read", 0);
    run.wait(server, libc::POLLIN);
    run.close(server);
    run.wait(client, libc::POLLERR | libc::POLLHUP);
    run.mask(client);
    run.recv(client, 10, 0);
    run.recv(client, 10, 0);
    run.send(client, b"x", 0);
}

fn linger_zero(run: &mut Run) {
    let (client, server) = run.pair();
    run.set_bytes(client, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
    run.close(client);
    run.wait(server, libc::POLLIN);
    run.mask(server);
    run.error(server);
    run.error(server);
    run.recv(server, 10, 0);
    run.send(server, b"x", 0);
    run.names(server);
}

fn data_before_reset(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"before the reset", 0);
    run.wait(server, libc::POLLIN);
    run.set_bytes(client, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
    run.close(client);
    run.wait(server, libc::POLLERR | libc::POLLHUP);
    run.recv(server, 6, 0);
    run.recv(server, 100, 0);
    run.recv(server, 100, 0);
    run.recv(server, 100, 0);
}

fn write_to_closed(run: &mut Run) {
    let (client, server) = run.pair();
    run.close(server);
    run.wait(client, libc::POLLIN);
    run.mask(client);
    run.send(client, b"first is taken", 0);
    run.wait(client, libc::POLLERR | libc::POLLHUP);
    run.mask(client);
    run.send(client, b"x", 0);
    run.send(client, b"x", 0);
    run.recv(client, 10, 0);
}

fn linger_waits(run: &mut Run) {
    let (client, server) = run.pair();
    run.set_bytes(client, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 5, 0, 0, 0]);
    run.get(client, libc::SOL_SOCKET, libc::SO_LINGER, 8);
    run.send(client, b"kept", 0);
    run.close(client);
    run.recv(server, 10, 0);
    run.recv(server, 10, 0);
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

fn receive_blocks(run: &mut Run) {
    let (client, server) = run.pair();
    run.beside(
        move |run| {
            run.recv(server, 10, 0);
            run.send(server, b"pong", 0);
            run.recv(server, 10, 0);
        },
        |run| {
            run.send(client, b"ping", 0);
            run.recv(client, 10, 0);
            run.shutdown(client, libc::SHUT_WR);
        },
    );
}

/// Reads to the end, and counts.
fn drain(run: &mut Run, fd: i32) {
    let mut total = 0;
    // Enough for what any sequence sends, in pieces as small as they come.
    for _ in 0..1_000_000 {
        match run.recv_quietly(fd, 65_536) {
            count @ 1.. => total += count,
            _ => break,
        }
    }
    run.say(format!("{total} bytes"));
}

fn send_blocks(run: &mut Run) {
    let (client, server) = run.pair();
    let bytes = vec![7; 8 << 20];
    run.beside(
        move |run| drain(run, server),
        |run| {
            run.send(client, &bytes, 0);
            run.shutdown(client, libc::SHUT_WR);
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

/// `struct timeval`, in microseconds.
fn timeval(micros: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(micros / 1_000_000).to_ne_bytes());
    bytes[8..].copy_from_slice(&(micros % 1_000_000).to_ne_bytes());
    bytes
}

fn receive_timeout(run: &mut Run) {
    let (client, server) = run.pair();
    run.set_bytes(server, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeval(20_000));
    run.recv(server, 10, 0);
    run.send(client, b"some", 0);
    run.recv(server, 10, libc::MSG_WAITALL);
    run.get(server, libc::SOL_SOCKET, libc::SO_SNDTIMEO, 16);
}

fn accept_timeout(run: &mut Run) {
    let (listener, _) = run.listener();
    run.set_bytes(listener, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeval(20_000));
    run.accept(listener, 0);
}

fn send_timeout(run: &mut Run) {
    let (client, _server) = run.pair();
    run.set_bytes(client, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &timeval(20_000));
    let bytes = vec![0; 1 << 20];
    // It ends once both buffers are full.
    let full = (0..100).any(|_| {
        let answer = run.api.sendto(client, bytes.as_ptr().cast(), bytes.len(), 0, std::ptr::null(), 0);
        answer < 0
    });
    run.say(std::io::Error::last_os_error());
    run.say(full);
}

fn dont_wait(run: &mut Run) {
    let (client, server) = run.pair();
    run.recv(server, 10, libc::MSG_DONTWAIT);
    run.send(client, b"now", libc::MSG_DONTWAIT);
    run.wait(server, libc::POLLIN);
    run.recv(server, 10, libc::MSG_DONTWAIT);
    run.recv(server, 10, libc::MSG_DONTWAIT);
    run.recv(server, 0, libc::MSG_DONTWAIT);
}

fn more(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"head ", libc::MSG_MORE);
    run.send(client, b"tail", 0);
    run.recv(server, 9, libc::MSG_WAITALL);
    run.set(client, libc::IPPROTO_TCP, libc::TCP_CORK, 1);
    run.send(client, b"corked", 0);
    run.set(client, libc::IPPROTO_TCP, libc::TCP_CORK, 0);
    run.recv(server, 6, libc::MSG_WAITALL);
}

fn splice(run: &mut Run) {
    let (client, server) = run.pair();
    let [read, write] = run.pipe();
    run.send(client, b"spliced", 0);
    run.wait(server, libc::POLLIN);
    run.splice(server, write, 100);
    run.splice(read, server, 100);
    run.recv(client, 100, 0);
    run.fcntl(server, libc::F_SETFL, libc::O_NONBLOCK as isize);
    run.splice(server, write, 100);
    run.splice(read, server, 100);
    run.splice(server, client, 100);
    run.close(client);
    run.wait(server, libc::POLLIN);
    run.splice(server, write, 100);
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

fn low_water(run: &mut Run) {
    let (client, server) = run.pair();
    run.set(server, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 8);
    run.get(server, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 4);
    run.send(client, b"four", 0);
    run.send(client, b"more", 0);
    run.wait(server, libc::POLLIN);
    run.recv(server, 4, 0);
    run.mask(server);
    run.recv(server, 8, libc::MSG_DONTWAIT);
    run.set(server, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 0);
    run.get(server, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 4);
}

fn nothing(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"", 0);
    run.recv(server, 10, libc::MSG_DONTWAIT);
    run.write(client, b"");
    run.send(client, b"x", 0);
    run.wait(server, libc::POLLIN);
    run.recv(server, 0, 0);
    run.recv(server, 1, 0);
}

fn urgent(run: &mut Run) {
    let (client, server) = run.pair();
    run.set(server, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1);
    run.send(client, b"abc", libc::MSG_OOB);
    run.wait(server, libc::POLLPRI);
    run.recv(server, 1, libc::MSG_OOB);
    run.recv(server, 2, 0);
    run.recv(server, 10, 0);
    run.mask(server);
}

fn bulk(run: &mut Run) {
    let (client, server) = run.pair();
    run.beside(
        move |run| drain(run, server),
        |run| {
            for size in [1usize, 1000, 65_536, 3_000_000, 17] {
                run.send(client, &vec![1; size], 0);
            }
            run.close(client);
        },
    );
}
