//! Calls as the tool makes them: with its pointers, its lengths, and descriptors that aren't the library's.

use std::net::IpAddr;

use ostia_posix::Sockaddr;

use crate::host::{Host, last_error, load};
use crate::packet::{ACK, PORT, PSH, Peer, SYN};
use crate::{families, handshake, server};

/// A connection to a server of the host's: its descriptor.
fn connection(host: &Host, peer: &mut Peer) -> i32 {
    let listener = server(host, peer);
    handshake(host, peer, 0);
    host.accept(listener)
}

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        v6 => v6,
    }
}

#[test]
fn who_sends_a_datagram_has_an_address_to_send_it_from() {
    for (peer, expected) in families().into_iter().zip(["192.168.0.2", "fd3d:fa7b:d17d::2"]) {
        let own: IpAddr = expected.parse().expect("an address");
        for (to, v4) in [(peer.remote, peer.v4()), (mapped(peer.remote), false)] {
            for by_message in [false, true] {
                let host = Host::new(&load(), "");
                let fd = host.socket(v4, libc::SOCK_DGRAM);
                let sent = match by_message {
                    true => host.send_message_to(fd, b"a datagram", (to, 8080)),
                    false => host.send_to(fd, b"a datagram", 0, (to, 8080)),
                };
                assert_eq!(sent, Ok(10), "to {to}");
                assert_eq!(peer.datagram(&host.receive_packet().0), (own, b"a datagram".to_vec()));
            }
        }
    }
}

#[test]
fn offsets_of_zero_are_none() {
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let fd = connection(&host, &mut peer);
    let [read, write] = host.pipe();
    host.send_packet(&peer.segment(ACK | PSH, &[], b"through a pipe"));
    assert_eq!(host.splice_at((fd, 1), (write, 0)), Err(libc::ESPIPE));
    assert_eq!(host.splice_at((fd, 0), (write, 0)), Ok(14));
    assert_eq!(host.splice_at((read, 0), (fd, 0)), Ok(14));
    let echoed = (0..2).map(|_| peer.read(&host.receive_packet().0)).find(|segment| !segment.payload.is_empty());
    assert_eq!(echoed.expect("the bytes come back").payload, b"through a pipe");
}

#[test]
fn pipes_and_files_are_read_and_written() {
    let host = Host::new(&load(), "");
    let [read, write] = host.pipe();
    for vectored in [false, true] {
        assert_eq!(host.try_write(write, b"the kernel's", vectored), Ok(12));
        assert_eq!(host.try_read(read, vectored), Ok(b"the kernel's".to_vec()));
        assert_eq!(host.try_write(-1, b"nobody's", vectored), Err(libc::EBADF));
        assert_eq!(host.try_read(-1, vectored), Err(libc::EBADF));
    }
    let file = std::fs::File::open(load()).expect("the library");
    let head = host.try_read(std::os::fd::AsRawFd::as_raw_fd(&file), false).expect("its head");
    assert_eq!(&head[..4], b"\x7fELF");
    assert_eq!((host.close(read), host.close(write)), (0, 0));
}

#[test]
fn what_goes_past_the_table_is_refused() {
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let fd = connection(&host, &mut peer);
    // SAFETY: one byte, and a number of this test's own.
    assert_eq!(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }, -1, "no stream has taken it");
    assert_eq!(last_error(), libc::EPERM);
    host.write(fd, b"y");
    assert_eq!(peer.read(&host.receive_packet().0).payload, b"y");
}

#[test]
fn an_accepted_peer_has_its_whole_name() {
    for mut peer in families() {
        for v4 in [peer.v4(), false] {
            let host = Host::new(&load(), "");
            let listener = host.socket(v4, libc::SOCK_STREAM);
            let (local, remote) = if v4 { (peer.local, peer.remote) } else { (mapped(peer.local), mapped(peer.remote)) };
            host.bind(listener, local, 8080);
            assert_eq!(host.listen(listener, 1), 0);
            handshake(&host, &mut peer, 0);
            assert_eq!(host.accept_named(listener).1, Sockaddr::new(remote, PORT).as_bytes());
        }
    }
}

#[test]
fn no_family_disconnects() {
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let fd = host.socket(true, libc::SOCK_STREAM);
    assert_eq!(host.fcntl_with(fd, libc::F_SETFL, libc::O_NONBLOCK), 0);
    for port in [8080, 81] {
        assert_eq!(host.connect(fd, peer.remote, port), Err(libc::EINPROGRESS));
        peer.local = "192.168.0.2".parse().expect("an address");
        assert_eq!(peer.read_of(&host.receive_packet().0, port).flags, SYN);
        assert_eq!(host.connect_family(fd, libc::AF_UNSPEC), 0);
    }
}

#[test]
fn nothing_goes_with_a_syn() {
    for peer in families() {
        let host = Host::new(&load(), "");
        let fd = host.socket(peer.v4(), libc::SOCK_STREAM);
        assert_eq!(host.send_to(fd, b"early", libc::MSG_FASTOPEN, (peer.remote, 8080)), Err(libc::EOPNOTSUPP));
    }
}

#[test]
fn what_stood_in_a_structure_before_is_overwritten() {
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let fd = connection(&host, &mut peer);
    assert_eq!(host.look(fd, libc::POLLIN), (0, 0));
    host.send_packet(&peer.segment(ACK | PSH, &[], b"a message"));
    assert_eq!(host.look(fd, libc::POLLIN), (1, libc::POLLIN));
    assert_eq!(host.receive_message(fd), Ok((b"a message".to_vec(), false, 0)));
}

#[test]
fn a_host_may_have_the_first_address_of_its_prefix() {
    let mut peer = Peer::new("fd3d:fa7b:d17d::", "2001:db8::1");
    let host = Host::new(&load(), "");
    let fd = connection(&host, &mut peer);
    host.write(fd, b"from zero");
    assert_eq!(peer.read(&host.receive_packet().0).payload, b"from zero");
}

#[test]
fn a_routers_word_is_believed_as_the_tool_makes_it_up() {
    for mut peer in families() {
        let host = Host::new(&load(), "");
        let listener = server(&host, &peer);
        host.send_packet(&peer.segment(SYN, &[2, 4, 5, 180], b""));
        let answer = peer.read(&host.receive_packet().0);
        peer.took(&answer);
        host.send_packet(&peer.segment(ACK, &[], b""));
        let fd = host.accept(listener);
        host.write(fd, &[7; 1460]);
        let long = host.receive_packet().0;
        assert_eq!(peer.read(&long).payload.len(), 1460);
        host.send_packet(&peer.too_long(&long, 1300));
        let again = peer.read(&host.receive_packet().0);
        assert_eq!(again.seq, peer.read(&long).seq);
        assert_eq!(again.payload.len(), if peer.v4() { 1260 } else { 1240 });
    }
}

/// The tool can't be told that there is no host; but it ends, and says why, when it asks for the time.
#[test]
fn bad_flags_make_a_host_of_which_every_call_fails() {
    let host = Host::try_new(&load(), "no_such_flag=1").expect("a table");
    assert!(!host.is_there());
    assert_eq!(host.try_now(), Err(libc::EFAULT));
    assert_eq!((host.listen(0, 1), last_error()), (-1, libc::EFAULT));
    assert_eq!((host.try_packet(&[0x45; 20]), last_error()), (-1, libc::EFAULT));
}
