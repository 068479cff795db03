//! The built library as the tool uses it: loaded, its table filled, packets in and out, calls that block in a second thread, and
//! once more with the file loaded before libc.
#![cfg(target_os = "linux")]

#[path = "plugin/host.rs"]
mod host;
#[path = "plugin/packet.rs"]
mod packet;
#[path = "plugin/process.rs"]
mod process;
#[path = "plugin/tool.rs"]
mod tool;

use std::process::Command;
use std::thread;

use host::{Host, last_error, load};
use packet::{ACK, ECE_CWR, FIN, PSH, Peer, SYN};

/// A listening server on port 8080 of the host's address.
fn server(host: &Host, peer: &Peer) -> i32 {
    let fd = host.socket(peer.v4(), libc::SOCK_STREAM);
    host.set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    host.bind(fd, peer.local, 8080);
    assert_eq!(host.listen(fd, 1), 0);
    fd
}

/// The handshake, from the peer's SYN on; the options of the SYN-ACK.
fn handshake(host: &Host, peer: &mut Peer, flags: u8) -> Vec<u8> {
    // MSS 1000, SACK permitted, window scale 7.
    let syn = peer.segment(SYN | flags, &[2, 4, 3, 232, 1, 1, 4, 2, 1, 3, 3, 7], b"");
    host.send_packet(&syn);
    let answer = peer.read(&host.receive_packet().0);
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, peer.next), "no ECN, whatever the SYN says");
    let options = answer.options.clone();
    peer.took(&answer);
    host.send_packet(&peer.segment(ACK, &[], b""));
    options
}

fn families() -> [Peer; 2] {
    let v4 = Peer::new("192.168.37.11", "192.0.2.1");
    let v6 = Peer::new("fd3d:fa7b:d17d:1::5", "2001:db8::1");
    [v4, v6]
}

#[test]
fn a_server_is_driven_by_packets() {
    for mut peer in families() {
        let host = Host::new(&load(), "");
        let listener = server(&host, &peer);
        let options = handshake(&host, &mut peer, ECE_CWR);
        let has = |wanted: &[u8]| options.windows(wanted.len()).any(|part| part == wanted);
        assert!(has(&[3, 3, 8]), "window scale 8: {options:?}");
        assert!(has(&[4, 2]), "SACK: {options:?}");
        let mss = 1460;
        assert!(has(&[2, 4, (mss >> 8) as u8, mss as u8]), "the MSS of the link: {options:?}");
        assert!(!has(&[8, 10]), "no timestamps, for the peer has none: {options:?}");
        let fd = host.accept(listener);
        host.send_packet(&peer.segment(ACK | PSH, &[], b"request"));
        let acknowledged = peer.read(&host.receive_packet().0);
        assert_eq!(acknowledged.ack, peer.next);
        assert_eq!(host.read(fd), b"request");
        host.write(fd, b"the answer");
        let answer = peer.read(&host.receive_packet().0);
        assert_eq!((answer.flags, &answer.payload[..]), (ACK | PSH, &b"the answer"[..]));
        peer.took(&answer);
        host.send_packet(&peer.segment(ACK, &[], b""));
        assert_eq!(host.close(fd), 0);
        let end = peer.read(&host.receive_packet().0);
        assert_eq!(end.flags & FIN, FIN);
        assert_eq!(host.close(listener), 0);
    }
}

#[test]
fn timestamps_are_answered_if_the_peer_has_them_and_flags_can_forbid_it() {
    for (flags, expected) in [("", true), ("timestamps=0", false)] {
        let [mut peer, _] = families();
        let host = Host::new(&load(), flags);
        let _listener = server(&host, &peer);
        let syn = peer.segment(SYN, &[2, 4, 3, 232, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7], b"");
        host.send_packet(&syn);
        let answer = peer.read(&host.receive_packet().0);
        assert_eq!(answer.options.windows(2).any(|part| part == [8, 10]), expected, "{flags}");
    }
}

#[test]
fn calls_block_in_a_second_thread() {
    let [mut peer, _] = families();
    let host = Host::new(&load(), "local_ip=192.168.37.11");
    let listener = server(&host, &peer);
    let shared = &host;
    thread::scope(|scope| {
        let accepting = scope.spawn(move || shared.accept(listener));
        handshake(&host, &mut peer, 0);
        let fd = accepting.join().expect("accept returns");
        let reading = scope.spawn(move || shared.read(fd));
        host.send_packet(&peer.segment(ACK | PSH, &[], b"wakes it"));
        assert_eq!(reading.join().expect("read returns"), b"wakes it");
        let polling = scope.spawn(move || shared.poll(fd, libc::POLLRDHUP));
        host.send_packet(&peer.segment(ACK | FIN, &[], b""));
        assert_eq!(polling.join().expect("poll returns"), libc::POLLRDHUP);
        assert_eq!(host.read(fd), b"", "the end of the stream");
    });
}

#[test]
fn a_packet_is_waited_for_and_has_its_time() {
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let _listener = server(&host, &peer);
    thread::scope(|scope| {
        let receiving = scope.spawn(|| host.receive_packet());
        let before = host.now();
        host.send_packet(&peer.segment(SYN, &[], b""));
        let (first, sent) = receiving.join().expect("a packet comes");
        assert!(before <= sent && sent <= host.now(), "one clock for both");
        // Nobody calls, and yet the SYN-ACK comes again: its timer runs by itself.
        let (second, again) = host.receive_packet();
        let (first, second) = (peer.read(&first), peer.read(&second));
        assert_eq!((first.flags, first.seq), (second.flags, second.seq));
        assert!(again > sent);
    });
    let before = host.now();
    host.usleep(2000);
    assert!(host.now() >= before + 2000);
}

#[test]
fn a_client_connects_from_a_default_address_or_from_the_one_that_is_named() {
    for (flags, expected) in
        [("", ["192.168.0.2", "fd3d:fa7b:d17d::2"]), ("local_ip=10.1.1.1,local_ip=2001:db8:9::1", ["10.1.1.1", "2001:db8:9::1"])]
    {
        for (mut peer, expected) in families().into_iter().zip(expected) {
            let host = Host::new(&load(), flags);
            let fd = host.socket(peer.v4(), libc::SOCK_STREAM);
            assert_eq!(host.fcntl(fd, libc::F_GETFL), libc::O_RDWR);
            assert_eq!(host.fcntl_with(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK), 0);
            assert_eq!(host.fcntl(fd, libc::F_GETFL), libc::O_RDWR | libc::O_NONBLOCK);
            assert_eq!(host.connect(fd, peer.remote, 8080), Err(libc::EINPROGRESS));
            peer.local = expected.parse().expect("an address");
            let syn = peer.read_of(&host.receive_packet().0, 8080);
            assert_eq!(syn.flags, SYN);
            peer.took(&syn);
            host.send_packet(&peer.segment_from(8080, SYN | ACK, &[2, 4, 5, 180], b""));
            let opened = peer.read_of(&host.receive_packet().0, 8080);
            assert_eq!((opened.flags, opened.ack), (ACK, peer.next));
            assert_eq!(host.poll(fd, libc::POLLOUT), libc::POLLOUT);
            assert_eq!(host.socket_error(fd), 0);
            host.write(fd, b"12345");
            host.receive_packet();
            assert_eq!(host.ioctl(fd, libc::TIOCOUTQ), 5, "nothing is acknowledged");
        }
    }
}

#[test]
fn a_socket_of_ipv6_serves_and_connects_over_ipv4() {
    let mapped = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => std::net::IpAddr::from(v4.to_ipv6_mapped()),
        v6 => v6,
    };
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let listener = host.socket(false, libc::SOCK_STREAM);
    host.bind(listener, mapped(peer.local), 8080);
    assert_eq!(host.listen(listener, 1), 0);
    handshake(&host, &mut peer, 0);
    let fd = host.accept(listener);
    host.send_packet(&peer.segment(ACK | PSH, &[], b"over IPv4"));
    assert_eq!(host.read(fd), b"over IPv4");
    host.receive_packet();
    let client = host.socket(false, libc::SOCK_STREAM);
    assert_eq!(host.fcntl_with(client, libc::F_SETFL, libc::O_NONBLOCK), 0);
    assert_eq!(host.connect(client, mapped(peer.remote), 81), Err(libc::EINPROGRESS));
    assert_eq!(peer.read_of(&host.receive_packet().0, 81).flags, SYN);
}

#[test]
fn epoll_and_splice_are_in_the_table() {
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let listener = server(&host, &peer);
    let epfd = host.epoll();
    host.watch(epfd, listener, libc::EPOLLIN, 1);
    assert_eq!(host.events(epfd, 0), []);
    handshake(&host, &mut peer, 0);
    assert_eq!(host.events(epfd, -1), [(libc::EPOLLIN as u32, 1)]);
    let fd = host.accept(listener);
    assert_eq!(host.events(epfd, 0), []);
    let [read, write] = host.pipe();
    host.send_packet(&peer.segment(ACK | PSH, &[], b"through a pipe"));
    assert_eq!(host.splice(fd, write, 100), 14);
    assert_eq!(host.splice(read, fd, 100), 14);
    let echoed = (0..2).map(|_| peer.read(&host.receive_packet().0)).find(|segment| !segment.payload.is_empty());
    assert_eq!(echoed.expect("the bytes come back").payload, b"through a pipe");
    for fd in [read, write, epfd] {
        assert_eq!(host.close(fd), 0);
    }
}

#[test]
fn what_libc_has_closed_is_forgotten() {
    let host = Host::new(&load(), "");
    let fd = host.socket(true, libc::SOCK_STREAM);
    // SAFETY: a number of this test's own, which nothing else uses.
    assert_eq!(unsafe { libc::close(fd) }, 0);
    assert_eq!(host.listen(fd, 1), -1);
    // Another test may have been given the number meanwhile.
    assert!([libc::EBADF, libc::ENOTSOCK].contains(&last_error()), "{}", last_error());
    let again = host.socket(true, libc::SOCK_STREAM);
    assert_eq!(host.listen(again, 1), 0);
    assert_eq!(host.close(again), 0);
}

#[test]
fn garbage_is_dropped() {
    let host = Host::new(&load(), "");
    for len in 0..60 {
        for first in [0x00, 0x45, 0x4f, 0x60, 0xff] {
            let mut packet = vec![first; len];
            packet.iter_mut().skip(1).for_each(|byte| *byte = len as u8);
            host.try_packet(&packet);
        }
    }
}

/// In the child: libc's calls reach the library, for its own descriptors only.
#[test]
fn child_of_the_test_below() {
    if std::env::var_os("OSTIA_PACKETDRILL_CHILD").is_none() {
        return;
    }
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let listener = server(&host, &peer);
    handshake(&host, &mut peer, 0);
    let fd = host.accept(listener);
    let info = host::libc_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 400).expect("tcp_info");
    assert_eq!((info.len(), info[0]), (280, 1), "an open connection");
    assert_eq!(info[6], 7 | 8 << 4, "the window scales");
    assert_eq!(host::libc_option(fd, libc::IPPROTO_TCP, libc::TCP_CC_INFO, 100).expect("nothing to tell"), []);
    let memory = host::libc_option(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, 100).expect("memory figures");
    assert_eq!(memory.len(), 36);
    let listening = host::libc_option(listener, libc::IPPROTO_TCP, libc::TCP_INFO, 4).expect("tcp_info");
    assert_eq!(listening, [10, 0, 0, 0]);
    // The kernel's own go to the kernel.
    let kernel = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket of the kernel's");
    let number = std::os::fd::AsRawFd::as_raw_fd(&kernel);
    let state = host::libc_option(number, libc::IPPROTO_TCP, libc::TCP_INFO, 400).expect("the kernel's tcp_info");
    assert_eq!(state[0], 10);
    drop(kernel);
    assert_eq!(host::libc_option(number, libc::IPPROTO_TCP, libc::TCP_INFO, 400), Err(libc::EBADF));
    // SAFETY: numbers of this test's own.
    unsafe {
        assert_eq!(libc::close(fd), 0);
        let end = peer.read(&host.receive_packet().0);
        assert_eq!(end.flags & FIN, FIN, "closed by libc, and closed on the wire");
        assert_eq!((libc::close(fd), last_error()), (-1, libc::EBADF));
        assert_eq!(libc::close(listener), 0);
    }
    let again = host.socket(true, libc::SOCK_STREAM);
    assert_eq!(host.listen(again, 1), 0);
    println!("the child has seen it all");
}

#[test]
fn loaded_before_libc_it_answers_for_its_own_descriptors() {
    let this = std::env::current_exe().expect("this test");
    let mut child = Command::new(this);
    child.args(["--exact", "child_of_the_test_below", "--nocapture"]).env("OSTIA_PACKETDRILL_CHILD", "1");
    let output = child.env("LD_PRELOAD", load()).output().expect("this test once more");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let erred = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("the child has seen it all"), "{said}\n{erred}");
}
