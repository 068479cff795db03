//! epoll(7): levels, edges, and what may be watched.

use std::ffi::c_int;

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLRDHUP};

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("epoll calls that fail", errors),
    ("level: told until it is read", level),
    ("edge: told once", edge),
    ("edge: told of each arrival", edge_again),
    ("edge: told of what is there when it is added", edge_added),
    ("edge: the end of the stream", edge_end),
    ("edge: room to send", edge_room),
    ("level: a listener with many waiting", level_listener),
    ("edge: a listener with many waiting", edge_listener),
    ("one shot", one_shot),
    ("a changed mask", changed),
    ("end and errors unasked", unasked),
    ("a connection that is being opened", opening),
    ("closed while it is watched", closed),
    ("fewer events than there are", few),
    ("epoll waits", waits),
    ("poll of an epoll instance", polled),
    ("the end of reading asked for", read_end),
    ("datagrams, by level and by edge", datagrams),
];

fn errors(run: &mut Run) {
    for size in [0, -1] {
        let answer = run.api.epoll_create(size);
        run.say(format!("{answer} {}", std::io::Error::last_os_error()));
    }
    let answer = run.api.epoll_create1(77);
    run.say(format!("{answer} {}", std::io::Error::last_os_error()));
    let epfd = run.epoll();
    let (client, _server) = run.pair();
    run.add(epfd, client, EPOLLIN, 1);
    run.add(epfd, client, EPOLLIN, 1);
    run.control(epfd, EPOLL_CTL_DEL, client, 0, 0);
    run.control(epfd, EPOLL_CTL_DEL, client, 0, 0);
    run.control(epfd, EPOLL_CTL_MOD, client, EPOLLIN, 0);
    run.control(epfd, 99, client, EPOLLIN, 0);
    run.add(epfd, epfd, EPOLLIN, 0);
    run.add(epfd, run.nowhere(), EPOLLIN, 0);
    run.add(run.nowhere(), client, EPOLLIN, 0);
    run.add(client, client, EPOLLIN, 0);
    run.events(epfd, 0, 0);
    run.events(epfd, -1, 0);
    run.events(client, 1, 0);
    run.events(run.nowhere(), 1, 0);
    run.events(epfd, 1, 0);
    run.close(epfd);
}

/// A connection whose server's end is watched: the client's end, the server's, and the instance that watches.
fn watched(run: &mut Run, events: c_int) -> (c_int, c_int, c_int) {
    let (client, server) = run.pair();
    let epfd = run.epoll();
    run.add(epfd, server, events, 1);
    (client, server, epfd)
}

/// A listener that doesn't block and is watched, its port, and the instance that watches.
fn watched_listener(run: &mut Run, events: c_int) -> (c_int, u16, c_int) {
    let (listener, port) = run.listener();
    run.fcntl(listener, libc::F_SETFL, libc::O_NONBLOCK as isize);
    let epfd = run.epoll();
    run.add(epfd, listener, events, 1);
    (listener, port, epfd)
}

fn level(run: &mut Run) {
    let (client, server, epfd) = watched(run, EPOLLIN);
    run.events(epfd, 10, 0);
    run.send(client, b"two", 0);
    run.await_events(epfd, 10);
    run.events(epfd, 10, 0);
    run.recv(server, 1, 0);
    run.events(epfd, 10, 0);
    run.recv(server, 2, 0);
    run.events(epfd, 10, 0);
}

fn edge(run: &mut Run) {
    let (client, server, epfd) = watched(run, EPOLLIN | EPOLLET);
    run.events(epfd, 10, 0);
    run.send(client, b"two", 0);
    run.await_events(epfd, 10);
    run.events(epfd, 10, 0);
    run.recv(server, 1, 0);
    run.events(epfd, 10, 0);
}

fn edge_again(run: &mut Run) {
    let (client, server, epfd) = watched(run, EPOLLIN | EPOLLOUT | EPOLLET);
    run.events(epfd, 10, 0);
    for _ in 0..3 {
        run.send(client, b"x", 0);
        run.await_events(epfd, 10);
        run.events(epfd, 10, 0);
    }
    run.recv(server, 10, 0);
    run.events(epfd, 10, 0);
}

fn edge_added(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"x", 0);
    run.wait(server, libc::POLLIN);
    let epfd = run.epoll();
    run.add(epfd, server, EPOLLIN | EPOLLET, 1);
    run.events(epfd, 10, 0);
    run.events(epfd, 10, 0);
    // A change asks again.
    run.control(epfd, EPOLL_CTL_MOD, server, EPOLLIN | EPOLLET, 2);
    run.events(epfd, 10, 0);
    run.events(epfd, 10, 0);
}

fn edge_end(run: &mut Run) {
    let (client, server, epfd) = watched(run, EPOLLIN | EPOLLRDHUP | EPOLLET);
    run.shutdown(client, libc::SHUT_WR);
    run.wait(server, libc::POLLRDHUP);
    run.await_events(epfd, 10);
    run.events(epfd, 10, 0);
    run.recv(server, 1, 0);
    run.events(epfd, 10, 0);
    run.shutdown(server, libc::SHUT_WR);
    run.wait(server, libc::POLLHUP);
    run.await_events(epfd, 10);
    run.events(epfd, 10, 0);
}

fn edge_room(run: &mut Run) {
    let (client, server) = run.pair();
    let epfd = run.epoll();
    run.add(epfd, client, EPOLLOUT | EPOLLET, 1);
    run.events(epfd, 10, 0);
    run.events(epfd, 10, 0);
    // Sending alone makes no edge.
    run.send(client, b"x", 0);
    run.wait(server, libc::POLLIN);
    run.events(epfd, 10, 0);
    run.fill(client);
    run.make_room(client, server);
    run.await_events(epfd, 10);
}

fn three_clients(run: &mut Run, port: u16) {
    for _ in 0..3 {
        let client = run.tcp();
        run.connect(client, port);
    }
}

fn level_listener(run: &mut Run) {
    let (listener, port, epfd) = watched_listener(run, EPOLLIN);
    run.events(epfd, 10, 0);
    three_clients(run, port);
    for _ in 0..3 {
        run.await_events(epfd, 10);
        run.accept(listener, 0);
    }
    run.events(epfd, 10, 0);
    run.accept(listener, 0);
}

fn edge_listener(run: &mut Run) {
    let (listener, port, epfd) = watched_listener(run, EPOLLIN | EPOLLET);
    three_clients(run, port);
    run.await_events(epfd, 10);
    run.events(epfd, 10, 0);
    run.accept(listener, 0);
    run.events(epfd, 10, 0);
    run.accept(listener, 0);
    run.accept(listener, 0);
    run.accept(listener, 0);
    run.events(epfd, 10, 0);
    three_clients(run, port);
    run.await_events(epfd, 10);
}

fn one_shot(run: &mut Run) {
    let (client, server, epfd) = watched(run, EPOLLIN | EPOLLONESHOT);
    run.send(client, b"x", 0);
    run.await_events(epfd, 10);
    run.events(epfd, 10, 0);
    run.send(client, b"y", 0);
    run.events(epfd, 10, 0);
    run.control(epfd, EPOLL_CTL_MOD, server, EPOLLIN | EPOLLONESHOT, 2);
    run.events(epfd, 10, 0);
    run.events(epfd, 10, 0);
    run.close(client);
    run.events(epfd, 10, 0);
}

fn changed(run: &mut Run) {
    let (client, server, epfd) = watched(run, EPOLLOUT);
    run.events(epfd, 10, 0);
    run.control(epfd, EPOLL_CTL_MOD, server, EPOLLIN, 2);
    run.events(epfd, 10, 0);
    run.send(client, b"x", 0);
    run.await_events(epfd, 10);
    run.control(epfd, EPOLL_CTL_MOD, server, 0, 3);
    run.events(epfd, 10, 0);
}

fn unasked(run: &mut Run) {
    let (client, server, epfd) = watched(run, 0);
    run.events(epfd, 10, 0);
    run.set_bytes(client, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
    run.close(client);
    run.await_events(epfd, 10);
    run.error(server);
    run.events(epfd, 10, 0);
}

fn opening(run: &mut Run) {
    let (_listener, port) = run.listener();
    let nobody = run.free_port();
    for port in [port, nobody] {
        let client = run.tcp_nonblocking();
        let epfd = run.epoll();
        run.add(epfd, client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1);
        run.events(epfd, 10, 0);
        run.connect(client, port);
        run.await_events(epfd, 10);
        run.events(epfd, 10, 0);
        run.error(client);
        run.events(epfd, 10, 0);
    }
}

fn closed(run: &mut Run) {
    let (client, server, epfd) = watched(run, EPOLLIN | EPOLLOUT);
    run.add(epfd, client, EPOLLIN, 2);
    run.close(server);
    run.await_events(epfd, 10);
    run.control(epfd, EPOLL_CTL_DEL, client, 0, 0);
    run.events(epfd, 10, 0);
}

fn few(run: &mut Run) {
    let epfd = run.epoll();
    for data in 0..4 {
        let (client, _server) = run.pair();
        run.add(epfd, client, EPOLLOUT, data);
    }
    // Who was told of goes last: two calls tell of all four.
    let mut api_events = Vec::new();
    for _ in 0..2 {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 2];
        let count = run.api.epoll_wait(epfd, events.as_mut_ptr(), 2, 0);
        run.say(count);
        api_events.extend(events.map(|event| event.u64));
    }
    api_events.sort_unstable();
    run.say(format!("{api_events:?}"));
    run.events(epfd, 10, 0);
}

fn waits(run: &mut Run) {
    let (client, server) = run.pair();
    let epfd = run.epoll();
    run.beside(
        move |run| {
            run.await_events(epfd, 10);
            run.recv(server, 10, 0);
        },
        |run| {
            run.add(epfd, server, EPOLLIN, 5);
            run.send(client, b"x", 0);
        },
    );
    run.events(epfd, 10, 5);
}

fn polled(run: &mut Run) {
    let (client, server) = run.pair();
    let epfd = run.epoll();
    run.add(epfd, server, EPOLLIN, 5);
    run.mask(epfd);
    run.send(client, b"x", 0);
    run.wait(epfd, libc::POLLIN);
    run.recv(server, 10, 0);
    run.mask(epfd);
}

fn read_end(run: &mut Run) {
    let (client, server) = run.pair();
    let epfd = run.epoll();
    run.add(epfd, server, EPOLLRDHUP, 5);
    run.send(client, b"x", 0);
    run.wait(server, libc::POLLIN);
    run.events(epfd, 10, 0);
    run.shutdown(client, libc::SHUT_WR);
    run.await_events(epfd, 10);
}

fn datagrams(run: &mut Run) {
    let (a, b) = (run.udp(), run.udp());
    run.bind(b, 0);
    let to = Some((run.here(), run.port(b)));
    let (level, edge) = (run.epoll(), run.epoll());
    run.control(level, EPOLL_CTL_ADD, b, EPOLLIN, 1);
    run.control(edge, EPOLL_CTL_ADD, b, EPOLLIN | EPOLLET, 2);
    for _ in 0..2 {
        run.send_to(a, b"x", 0, to);
        run.await_events(level, 10);
        run.events(level, 10, 0);
        run.await_events(edge, 10);
        run.events(edge, 10, 0);
    }
    run.recv(b, 10, 0);
    run.recv(b, 10, 0);
    run.events(level, 10, 0);
    run.events(edge, 10, 0);
}
