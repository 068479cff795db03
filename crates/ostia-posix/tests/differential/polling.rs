//! poll(2): the masks of every state, and waiting for them.

use libc::pollfd;

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("masks of a connection", connection),
    ("masks of its end", ending),
    ("masks after both ends", both_ends),
    ("masks of the own end", own_end),
    ("masks of a listener", listener),
    ("masks of a datagram socket", datagrams),
    ("no room to send", no_room),
    ("little that isn't sent", little),
    ("a connection that is being opened", opening),
    ("poll waits", waits),
    ("poll of several", several),
    ("poll of nothing", nothing),
    ("poll of what isn't there", not_there),
];

fn connection(run: &mut Run) {
    let (client, server) = run.pair();
    run.mask(client);
    run.mask(server);
    run.send(client, b"x", 0);
    run.wait(server, libc::POLLIN);
    run.mask(server);
    run.recv(server, 1, 0);
    run.mask(server);
}

fn ending(run: &mut Run) {
    let (client, server) = run.pair();
    run.send(client, b"last", 0);
    run.shutdown(client, libc::SHUT_WR);
    run.wait(server, libc::POLLRDHUP);
    run.mask(server);
    run.recv(server, 10, 0);
    run.mask(server);
    run.mask(client);
}

fn both_ends(run: &mut Run) {
    let (client, server) = run.pair();
    run.shutdown(client, libc::SHUT_WR);
    run.wait(server, libc::POLLRDHUP);
    run.shutdown(server, libc::SHUT_WR);
    run.wait(client, libc::POLLHUP);
    run.mask(client);
    run.wait(server, libc::POLLHUP);
    run.mask(server);
    run.recv(client, 1, 0);
    run.error(client);
}

fn own_end(run: &mut Run) {
    let (client, _server) = run.pair();
    run.shutdown(client, libc::SHUT_RD);
    run.mask(client);
    run.shutdown(client, libc::SHUT_WR);
    run.mask(client);
}

fn listener(run: &mut Run) {
    let (listener, port) = run.listener();
    run.mask(listener);
    let client = run.tcp();
    run.connect(client, port);
    run.mask(listener);
    run.accept(listener, 0);
    run.mask(listener);
}

fn datagrams(run: &mut Run) {
    let (a, b) = (run.udp(), run.udp());
    run.bind(b, 0);
    let port = run.port(b);
    run.mask(b);
    run.send_to(a, b"x", 0, Some((run.here(), port)));
    run.mask(b);
    run.recv(b, 10, 0);
    run.mask(b);
}

fn no_room(run: &mut Run) {
    let (client, server) = run.pair();
    run.fill(client);
    run.mask(client);
    run.make_room(client, server);
    run.wait(client, libc::POLLOUT);
    run.mask(client);
}

fn little(run: &mut Run) {
    let (client, server) = run.pair();
    run.set(client, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 10_000);
    run.fill(client);
    run.mask(client);
    // One piece may go beyond it.
    let mut unsent = 0;
    run.api.ioctl(client, 0x894b, &mut unsent);
    run.say((10_000..200_000).contains(&unsent));
    run.make_room(client, server);
    run.wait(client, libc::POLLOUT);
    run.mask(client);
}

fn opening(run: &mut Run) {
    let client = run.tcp_nonblocking();
    run.mask(client);
    let (listener, port) = run.listener();
    run.connect(client, port);
    run.wait(client, libc::POLLOUT);
    run.mask(client);
    run.wait(listener, libc::POLLIN);
}

fn waits(run: &mut Run) {
    let (client, server) = run.pair();
    run.beside(
        move |run| {
            run.wait(server, libc::POLLIN);
            run.recv(server, 10, 0);
            run.wait(server, libc::POLLRDHUP);
        },
        |run| {
            run.send(client, b"x", 0);
            run.close(client);
        },
    );
}

fn several(run: &mut Run) {
    let (a, b) = run.pair();
    let (c, d) = run.pair();
    run.send(a, b"x", 0);
    run.wait(b, libc::POLLIN);
    let mut entries = [
        pollfd { fd: b, events: libc::POLLIN, revents: 0 },
        pollfd { fd: -1, events: libc::POLLIN, revents: 7 },
        pollfd { fd: d, events: libc::POLLIN, revents: 0 },
        pollfd { fd: c, events: libc::POLLOUT, revents: 0 },
        pollfd { fd: c, events: 0, revents: 0 },
    ];
    let answer = run.api.poll(entries.as_mut_ptr(), 5, -1);
    run.say(format!("{answer} {:x?}", entries.map(|entry| entry.revents)));
}

fn nothing(run: &mut Run) {
    let (client, _server) = run.pair();
    let mut entry = pollfd { fd: client, events: libc::POLLIN, revents: 0 };
    for timeout in [0, 10] {
        let answer = run.api.poll(&mut entry, 1, timeout);
        run.say(format!("{answer} {:x}", entry.revents));
    }
    let answer = run.api.poll(std::ptr::null_mut(), 0, 5);
    run.say(answer);
}

fn not_there(run: &mut Run) {
    run.mask(run.nowhere());
    let (client, _server) = run.pair();
    let mut entries =
        [pollfd { fd: run.nowhere(), events: libc::POLLIN, revents: 0 }, pollfd { fd: client, events: libc::POLLIN, revents: 0 }];
    let answer = run.api.poll(entries.as_mut_ptr(), 2, -1);
    run.say(format!("{answer} {:x?}", entries.map(|entry| entry.revents)));
}
