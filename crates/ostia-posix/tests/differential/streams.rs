//! Streams that are open: what goes over them, and how they end.

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("echo", echo),
    ("names of a connection", names),
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
    ("receive blocks", receive_blocks),
    ("send blocks until there is room", send_blocks),
    ("receive timeout", receive_timeout),
    ("accept timeout", accept_timeout),
    ("send timeout", send_timeout),
    ("dont wait", dont_wait),
    ("more", more),
    ("splice", splice),
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
