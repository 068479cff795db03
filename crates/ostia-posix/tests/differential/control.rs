//! fcntl(2) and ioctl(2).

use crate::Sequence;
use crate::run::Run;

pub const ALL: &[Sequence] = &[
    ("flags of a descriptor", flags),
    ("without waiting, by fcntl and by ioctl", nonblocking),
    ("octets in the queues", queues),
    ("octets that aren't acknowledged", unacknowledged),
    ("requests that there aren't", unknown),
];

fn flags(run: &mut Run) {
    let fd = run.tcp();
    run.fcntl(fd, libc::F_GETFL, 0);
    run.fcntl(fd, libc::F_GETFD, 0);
    run.fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC as isize);
    run.fcntl(fd, libc::F_GETFD, 0);
    run.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK as isize);
    run.fcntl(fd, libc::F_GETFL, 0);
    let other = run.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0);
    run.fcntl(other, libc::F_GETFL, 0);
    run.fcntl(other, libc::F_GETFD, 0);
}

fn nonblocking(run: &mut Run) {
    let (client, server) = run.pair();
    run.ioctl(server, libc::FIONBIO as _, 1);
    run.recv(server, 1, 0);
    run.fcntl(server, libc::F_GETFL, 0);
    run.ioctl(server, libc::FIONBIO as _, 0);
    run.fcntl(server, libc::F_GETFL, 0);
    run.fcntl(server, libc::F_SETFL, libc::O_NONBLOCK as isize);
    run.recv(server, 1, 0);
    run.fcntl(server, libc::F_SETFL, 0);
    run.send(client, b"x", 0);
    run.recv(server, 1, 0);
}

fn queues(run: &mut Run) {
    let (client, server) = run.pair();
    run.ioctl(server, libc::FIONREAD as _, 0);
    run.send(client, b"twelve bytes", 0);
    run.wait(server, libc::POLLIN);
    run.ioctl(server, libc::FIONREAD as _, 0);
    run.recv(server, 5, 0);
    run.ioctl(server, libc::FIONREAD as _, 0);
    run.recv(server, 100, 0);
    run.ioctl(server, libc::FIONREAD as _, 0);
    run.close(client);
    run.wait(server, libc::POLLRDHUP);
    run.ioctl(server, libc::FIONREAD as _, 0);
}

fn unacknowledged(run: &mut Run) {
    let (client, server) = run.pair();
    run.ioctl(client, libc::TIOCOUTQ as _, 0);
    run.ioctl(client, 0x894b, 0);
    run.send(client, b"ping", 0);
    run.recv(server, 10, 0);
    // The answer brings the acknowledgment.
    run.send(server, b"pong", 0);
    run.recv(client, 10, 0);
    run.ioctl(client, libc::TIOCOUTQ as _, 0);
    run.ioctl(client, 0x894b, 0);
    let udp = run.udp();
    run.ioctl(udp, libc::TIOCOUTQ as _, 0);
    run.ioctl(udp, 0x894b, 0);
}

fn unknown(run: &mut Run) {
    let fd = run.tcp();
    run.ioctl(fd, 0x1234_5678, 0);
}
