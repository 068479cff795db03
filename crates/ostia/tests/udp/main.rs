//! UDP: every datagram comes out whole or says that it was cut, whatever is dropped; what goes beside it goes too.

#[path = "../common/mod.rs"]
mod common;

mod closing;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::{drivers, on_each, on_each_with_faults, pattern, poll_once, runtime};
use ostia::net::{Ecn, FailureKind, Incoming, NetError, Outgoing, UdpOptions, UdpSocket};
use ostia::time::{sleep, timeout};
use ostia::{spawn, spawn_on, yield_now};

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("address")
}

fn pair() -> (UdpSocket, UdpSocket, SocketAddr, SocketAddr) {
    let (one, other) = (UdpSocket::bind(any()).expect("bind"), UdpSocket::bind(any()).expect("bind"));
    let (at, there) = (one.local_addr().expect("address"), other.local_addr().expect("address"));
    (one, other, at, there)
}

/// Whether this is how long a datagram was that had too little room: Windows tells only that it was longer.
fn is_whole(told: usize, room: usize, whole: usize) -> bool {
    if cfg!(windows) { told > room && told <= whole } else { told == whole }
}

#[test]
fn datagrams_of_every_size_go_there_and_back() {
    on_each_with_faults(|| async {
        let (mut one, mut other, at, there) = pair();
        for len in [0, 1, 64, 1472, 9000, 65_507] {
            let data = pattern(len, len);
            let (sent, back) = one.send_to(data.clone(), there).await;
            sent.expect("sent");
            assert!(back.into_vec() == data, "the buffer comes back");
            let (received, buffer) = other.recv_from(Vec::with_capacity(65_536)).await;
            assert_eq!(received.expect("received"), (len, at));
            assert!(buffer == data);
        }
        let (sent, back) = one.send_to(vec![0; 65_508], there).await;
        let error = sent.expect_err("too long");
        let known = NetError::of(&error).expect("named");
        assert_eq!((known.kind(), known.address()), (FailureKind::MessageTooLong, there.to_string().as_str()));
        assert_eq!(back.len(), 65_508, "the buffer comes back from a failure too");
        // Receiving appends.
        other.send_to("tail", at).await.0.expect("sent");
        let (received, buffer) = one.recv(b"head ".iter().copied().chain([]).collect::<Vec<u8>>()).await;
        if let Err(error) = received {
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "no room at all is refused");
            let mut buffer = buffer;
            buffer.reserve(100);
            let (received, buffer) = one.recv(buffer).await;
            assert_eq!((received.expect("received"), buffer.as_slice()), (4, &b"head tail"[..]));
        }
    });
}

#[test]
fn a_datagram_without_room_says_so_and_the_next_is_whole() {
    on_each(|| async {
        let (mut one, other, at, there) = pair();
        for words in ["a long one", "another", "last"] {
            other.send_to(words, at).await.0.expect("sent");
        }
        let (received, buffer) = one.recv_from(Vec::with_capacity(4)).await;
        let error = received.expect_err("cut");
        let known = NetError::of(&error).expect("named");
        assert_eq!((known.kind(), known.address()), (FailureKind::MessageTooLong, there.to_string().as_str()));
        assert_eq!(buffer, b"a lo");
        let mut room = Incoming::with_capacity(3);
        one.recv_msg(&mut room).await.expect("no error");
        assert_eq!((room.data(), room.is_truncated()), (&b"ano"[..], true));
        assert!(is_whole(room.whole_len(), 3, 7));
        one.recv_msg(&mut room).await.expect("no error");
        assert!(room.is_truncated() && room.data() == b"las");
    });
}

#[test]
fn dropping_receives_loses_no_datagram() {
    on_each_with_faults(|| async {
        let (mut one, other, at, _) = pair();
        const COUNT: u32 = 600;
        let received = Rc::new(Cell::new(0));
        let seen = Rc::clone(&received);
        let sender = spawn(async move {
            for n in 0..COUNT {
                other.send_to(n.to_le_bytes().to_vec(), at).await.0.expect("sent");
                // No more are under way than the kernel surely keeps.
                while n % 16 == 0 && n > seen.get() + 64 {
                    sleep(MS).await;
                }
                if n % 16 == 0 {
                    sleep(MS).await;
                }
            }
        });
        let mut next = 0;
        let mut room = Incoming::with_capacity(100);
        for step in 0.. {
            if next == COUNT {
                break;
            }
            // Never polled; polled once; given up after a while; given up in favour of another.
            drop(one.recv_from(Vec::with_capacity(100)));
            let got = match step % 4 {
                0 => match poll_once(one.recv_from(Vec::with_capacity(100))) {
                    Poll::Ready((received, data)) => received.map(|_| Some(data)),
                    Poll::Pending => Ok(None),
                },
                1 => match timeout(Duration::ZERO, one.recv(Vec::with_capacity(100))).await {
                    Ok((received, data)) => received.map(|_| Some(data)),
                    Err(_) => Ok(None),
                },
                2 => match timeout(MS, one.recv_msg(&mut room)).await {
                    Ok(received) => received.map(|()| Some(room.data().to_vec())),
                    Err(_) => {
                        assert!(room.data().is_empty());
                        Ok(None)
                    }
                },
                _ => {
                    let (received, data) = timeout(PATIENCE, one.recv(Vec::with_capacity(100))).await.expect("one comes");
                    received.map(|_| Some(data))
                }
            };
            if let Some(data) = got.expect("no error") {
                assert_eq!(data, next.to_le_bytes(), "in order on loopback, none missing");
                next += 1;
                received.set(next);
            }
            yield_now().await;
        }
        sender.await.expect("no panic");
    });
}

#[test]
fn a_closed_port_comes_back_on_a_connected_socket() {
    on_each_with_faults(|| async {
        let (mut one, other, _, there) = pair();
        one.connect(there).expect("connects");
        assert_eq!(one.peer_addr().expect("peer"), there);
        drop(other);
        sleep(20 * MS).await;
        one.send("anybody?").await.0.expect("the first goes out");
        let what = "it loses what comes while nobody waits";
        if common::wine_lacks("a_closed_port_comes_back_on_a_connected_socket/told later", what) {
            let told = timeout(100 * MS, one.recv(Vec::with_capacity(10))).await;
            assert!(told.is_err(), "Wine now tells later: take the mark off");
        } else {
            let (received, _) = timeout(PATIENCE, one.recv(Vec::with_capacity(10))).await.expect("an answer");
            let error = received.expect_err("refused");
            let known = NetError::of(&error).expect("named");
            assert_eq!((known.kind(), known.address()), (FailureKind::Refused, there.to_string().as_str()));
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        // The socket is whole: it can be connected elsewhere and go on.
        one.disconnect().expect("disconnects");
        let mut third = UdpSocket::bind(any()).expect("bind");
        one.connect(third.local_addr().expect("address")).expect("connects");
        one.send("hello").await.0.expect("sent");
        assert_eq!(third.recv(Vec::with_capacity(10)).await.1, b"hello");
    });
}

#[test]
fn a_waiting_receive_hears_of_the_closed_port() {
    if common::wine_lacks("a_waiting_receive_hears_of_the_closed_port", "the answer of a closed port, told to who only polls") {
        return;
    }
    on_each(|| async {
        let (mut one, other, _, there) = pair();
        one.connect(there).expect("connects");
        drop(other);
        sleep(20 * MS).await;
        let probe = one.try_clone().expect("clone");
        let sending = spawn(async move {
            sleep(5 * MS).await;
            probe.send("anybody?").await.0.expect("sent");
        });
        let (received, _) = timeout(PATIENCE, one.recv(Vec::with_capacity(10))).await.expect("an answer");
        assert_eq!(NetError::of(&received.expect_err("refused")).expect("named").kind(), FailureKind::Refused);
        sending.await.expect("no panic");
    });
}

#[test]
fn a_full_send_buffer_waits_and_nothing_is_lost() {
    on_each_with_faults(|| async {
        let (mut one, other, _, there) = pair();
        one.set_send_buffer_size(4608).expect("SO_SNDBUF");
        other.set_recv_buffer_size(8 << 20).expect("SO_RCVBUF");
        one.connect(there).expect("connects");
        let mut other = other;
        let receiving = spawn(async move {
            for n in 0..200usize {
                let (received, data) = timeout(PATIENCE, other.recv(Vec::with_capacity(4096))).await.expect("comes");
                assert_eq!(received.expect("received"), 2000);
                assert!(data == pattern(n, 2000));
            }
        });
        for n in 0..200usize {
            // Some sends are given up at once: then nothing of them was sent.
            let data = pattern(n, 2000);
            let sent = match n % 3 {
                0 => std::future::poll_fn(|cx| one.poll_send(cx, &data)).await,
                _ => one.send(data).await.0,
            };
            sent.expect("sent");
            if n % 8 == 0 {
                yield_now().await;
            }
        }
        receiving.await.expect("no panic");
    });
}

#[test]
fn clones_share_the_queue_and_drops_close_only_themselves() {
    on_each(|| async {
        let (mut one, other, at, _) = pair();
        let clone = one.try_clone().expect("clone");
        assert_eq!(clone.local_addr().expect("address"), at);
        let (stop, count) = (spawn(async {}), 20);
        stop.await.expect("no panic");
        let mut clone_receives = clone.try_clone().expect("clone");
        let receiving = spawn(async move {
            let mut got = 0;
            while let Ok((received, _)) = timeout(100 * MS, clone_receives.recv(Vec::with_capacity(10))).await {
                received.expect("received");
                got += 1;
            }
            got
        });
        for _ in 0..count {
            other.send_to("x", at).await.0.expect("sent");
        }
        let mut mine = 0;
        while let Ok((received, _)) = timeout(100 * MS, one.recv(Vec::with_capacity(10))).await {
            received.expect("received");
            mine += 1;
        }
        assert_eq!(mine + receiving.await.expect("no panic"), count);
        drop(clone);
        other.send_to("after", at).await.0.expect("sent");
        assert_eq!(one.recv(Vec::with_capacity(10)).await.1, b"after");
    });
}

#[test]
fn packet_information_comes_and_goes() {
    on_each(|| async {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(mut one) = UdpSocket::bind(local.parse().expect("address")) else {
                eprintln!("skipped: no {local} here");
                continue;
            };
            let other = UdpSocket::bind(local.parse().expect("address")).expect("bind");
            one.set_packet_info(true).expect("options");
            let (at, there) = (one.local_addr().expect("address"), other.local_addr().expect("address"));
            let message = Outgoing::new("marked").to(at).ecn(Ecn::CongestionExperienced).ttl(7).from(there.ip());
            other.send_msg(&message).await.expect("sent");
            let mut room = Incoming::with_capacity(100);
            timeout(PATIENCE, one.recv_msg(&mut room)).await.expect("comes").expect("received");
            assert_eq!(room.data(), b"marked");
            assert_eq!(room.from().and_then(|from| from.ip()), Some(there));
            assert_eq!((room.local_address(), room.interface()), (Some(at.ip()), Some(1)), "loopback is interface 1");
            if common::wine_lacks("packet_information_comes_and_goes/sent", "control data of WSASendMsg") {
                assert_ne!(room.ttl(), Some(7), "Wine now sends it: take the mark off");
            } else {
                assert_eq!((room.ecn(), room.ttl()), (Some(Ecn::CongestionExperienced), Some(7)));
            }
            assert!(!room.is_control_truncated() && room.segment_size().is_none());
            match other.set_traffic_class(0x28) {
                // Windows has no such option of IPv6.
                Err(error) if cfg!(windows) && there.is_ipv6() => assert_eq!(error.raw_os_error(), Some(10_042), "{error}"),
                set => set.expect("class"),
            }
            other.set_ttl(9).expect("ttl");
            assert_eq!(other.ttl().expect("ttl"), 9);
            other.send_to("plain", at).await.0.expect("sent");
            one.recv_msg(&mut room).await.expect("received");
            assert_eq!(room.ttl(), Some(9));
            // Windows leaves the class to its policies.
            assert!(cfg!(windows) || room.traffic_class() == Some(0x28));
            // Without packet information nothing of it comes.
            one.set_packet_info(false).expect("options");
            other.send_to("bare", at).await.0.expect("sent");
            one.recv_msg(&mut room).await.expect("received");
            assert_eq!((room.local_address(), room.ecn(), room.ttl()), (None, None, None));
        }
    });
}

#[test]
fn segments_are_cut_and_joined() {
    on_each(|| async {
        let (mut one, other, at, there) = pair();
        one.set_recv_buffer_size(4 << 20).expect("SO_RCVBUF");
        let data = pattern(5, 70_001);
        // Plain receives see single datagrams.
        other.send_msg(&Outgoing::new(data.clone()).to(at).segments_of(1000)).await.expect("sent");
        for piece in data.chunks(1000) {
            let (received, buffer) = timeout(PATIENCE, one.recv_from(Vec::with_capacity(2000))).await.expect("comes");
            assert_eq!(received.expect("received"), (piece.len(), there));
            assert!(buffer == piece);
        }
        if !one.set_receive_offload(true).expect("option") {
            eprintln!("skipped: the kernel has no UDP_GRO");
            return;
        }
        let (refused, _) = one.recv(Vec::with_capacity(10)).await;
        assert!(refused.expect_err("recv can't tell them apart").to_string().contains("recv_msg"));
        other.send_msg(&Outgoing::new(data.clone()).to(at).segments_of(1400)).await.expect("sent");
        let (mut all, mut segments, mut messages) = (Vec::new(), 0, 0);
        let mut room = Incoming::with_capacity(65_535);
        while all.len() < data.len() {
            timeout(PATIENCE, one.recv_msg(&mut room)).await.expect("comes").expect("received");
            assert!(!room.is_truncated());
            for segment in room.segments() {
                assert!(segment.len() == 1400 || all.len() + segment.len() == data.len());
                all.extend_from_slice(segment);
                segments += 1;
            }
            messages += 1;
        }
        assert!(all == data);
        assert_eq!(segments, data.len().div_ceil(1400));
        eprintln!("{segments} segments came in {messages} messages");
        for size in [0, 70_000] {
            let error = other.send_msg(&Outgoing::new(vec![0; 10]).to(at).segments_of(size)).await.expect_err("refused");
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn groups_are_joined_and_left() {
    on_each(|| async {
        let group = Ipv4Addr::new(239, 255, 77, 1);
        let options = UdpOptions { reuse_address: true, ..UdpOptions::default() };
        let mut one = UdpSocket::bind_with("0.0.0.0:0".parse().expect("address"), options).expect("bind");
        let port = one.local_addr().expect("address").port();
        let mut two = UdpSocket::bind_with(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), options).expect("shared");
        let sender = UdpSocket::bind(any()).expect("bind");
        sender.set_multicast_interface_v4(Ipv4Addr::LOCALHOST).expect("interface");
        sender.set_multicast_loop(true).expect("loop");
        sender.set_multicast_ttl(1).expect("ttl");
        for member in [&one, &two] {
            member.join_multicast_v4(group, Ipv4Addr::LOCALHOST).expect("joins");
        }
        let twice = one.join_multicast_v4(group, Ipv4Addr::LOCALHOST).expect_err("a member already");
        assert_eq!(NetError::of(&twice).expect("named").kind(), FailureKind::AddressInUse);
        sender.send_to("all of you", SocketAddr::new(group.into(), port)).await.0.expect("sent");
        for member in [&mut one, &mut two] {
            assert_eq!(timeout(PATIENCE, member.recv(Vec::with_capacity(20))).await.expect("comes").1, b"all of you");
        }
        two.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).expect("leaves");
        let gone = two.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).expect_err("no member");
        let kind = NetError::of(&gone).expect("named").kind();
        assert!(kind == FailureKind::NotLocal || common::is_wine() && kind == FailureKind::Other, "{gone}");

        let Ok(mut six) = UdpSocket::bind("[::]:0".parse().expect("address")) else { return };
        let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77);
        six.join_multicast_v6(group, 1).expect("joins on loopback");
        let sender = UdpSocket::bind("[::1]:0".parse().expect("address")).expect("bind");
        sender.set_multicast_interface_v6(1).expect("interface");
        let to = SocketAddr::new(IpAddr::V6(group), six.local_addr().expect("address").port());
        match sender.send_to("six", to).await.0 {
            Ok(()) => assert_eq!(timeout(PATIENCE, six.recv(Vec::with_capacity(20))).await.expect("comes").1, b"six"),
            // Not every system has a route for groups on its loopback.
            Err(error) => assert_eq!(NetError::of(&error).expect("named").kind(), FailureKind::Unreachable),
        }
        six.leave_multicast_v6(group, 1).expect("leaves");
    });
}

#[test]
fn broadcasts_need_leave() {
    on_each(|| async {
        let socket = UdpSocket::bind("0.0.0.0:0".parse().expect("address")).expect("bind");
        let to = "127.255.255.255:9".parse().expect("address");
        let error = socket.send_to("hello", to).await.0.expect_err("not allowed");
        assert_eq!(NetError::of(&error).expect("named").kind(), FailureKind::NoPermission);
        socket.set_broadcast(true).expect("option");
        assert!(socket.broadcast().expect("option"));
        socket.send_to("hello", to).await.0.expect("allowed now");
    });
}

#[cfg(unix)]
#[test]
fn segments_that_the_kernel_refuses_go_one_by_one() {
    use std::os::fd::AsRawFd;
    on_each(|| async {
        let plain = std::net::UdpSocket::bind(any()).expect("bind");
        let on: libc::c_int = 1;
        // SAFETY: the kernel reads one int from a local.
        let set = unsafe {
            let size = size_of::<libc::c_int>() as libc::socklen_t;
            libc::setsockopt(plain.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const on).cast(), size)
        };
        assert_eq!(set, 0);
        // Without checksums the kernel cuts no segments.
        let sender = UdpSocket::from_std(plain).expect("adopts");
        let mut receiver = UdpSocket::bind(any()).expect("bind");
        let at = receiver.local_addr().expect("address");
        let data = pattern(1, 10_500);
        sender.send_msg(&Outgoing::new(data.clone()).to(at).segments_of(1000)).await.expect("sent");
        for piece in data.chunks(1000) {
            let (received, buffer) = timeout(PATIENCE, receiver.recv(Vec::with_capacity(2000))).await.expect("comes");
            assert_eq!(received.expect("received"), piece.len());
            assert!(buffer == piece);
        }
    });
}

#[test]
fn a_connected_socket_can_try_to_send() {
    on_each(|| async {
        let (one, mut other, at, there) = pair();
        let error = one.try_send(b"x").expect_err("no peer");
        // EDESTADDRREQ; WSAENOTCONN; what Wine makes of it.
        let codes: &[i32] = if cfg!(windows) { &[10_057, 10_022] } else { &[89] };
        let code = NetError::of(&error).and_then(NetError::raw_os_error);
        assert!(code.is_some_and(|code| codes.contains(&code)), "{error}");
        one.connect(there).expect("connect");
        one.try_send(b"at once").expect("sent");
        let (received, buffer) = other.recv_from(Vec::with_capacity(100)).await;
        assert_eq!((received.expect("received"), buffer.as_slice()), ((7, at), &b"at once"[..]));
        let error = one.try_send(&vec![0; 65_508]).expect_err("too long");
        let known = NetError::of(&error).expect("named");
        assert_eq!((known.kind(), known.address()), (FailureKind::MessageTooLong, there.to_string().as_str()));
    });
}

/// Posted datagrams arrive, more of them than one turn takes, whole and from the right socket; what can't be sent is lost
/// without harm to the others.
#[test]
fn posted_datagrams_go_out_with_the_turn() {
    on_each_with_faults(|| async {
        let (sender, mut receiver, from, to) = pair();
        let long = pattern(0, 1_000);
        // Too long for any path, and to where nothing goes: neither is an error here.
        sender.post_to(&vec![0; 65_508], to).expect("posted");
        sender.post_to(b"nowhere", "[::1]:9".parse().expect("address")).expect("posted");
        for round in 0..3u8 {
            // So many fit into a receive buffer of the usual size.
            for number in 0..60u8 {
                sender.post_to(&[&[round, number], &long[..]].concat(), to).expect("posted");
            }
            let mut seen = [false; 60];
            for _ in 0..60 {
                let (received, buffer) = timeout(PATIENCE, receiver.recv_from(Vec::with_capacity(2_000))).await.expect("in time");
                assert_eq!(received.expect("received"), (1_002, from));
                assert!(buffer[0] == round && buffer[2..] == long[..]);
                assert!(!std::mem::replace(&mut seen[usize::from(buffer[1])], true), "once each");
            }
        }
        // More than a turn takes at once.
        for number in 0..600u32 {
            sender.post_to(&number.to_ne_bytes(), to).expect("posted");
            if number % 150 == 149 {
                for _ in 0..150 {
                    let (received, _) = timeout(PATIENCE, receiver.recv_from(Vec::with_capacity(64))).await.expect("in time");
                    assert_eq!(received.expect("received").0, 4);
                }
            }
        }
        sender.connect(to).expect("connects");
        for number in 0..200u16 {
            sender.post(&number.to_ne_bytes()).expect("posted");
        }
        for _ in 0..200 {
            let (received, _) = timeout(PATIENCE, receiver.recv_from(Vec::with_capacity(64))).await.expect("in time");
            assert_eq!(received.expect("received"), (2, from));
        }
        // Posted and closed at once.
        sender.post(b"last words").expect("posted");
        drop(sender);
        let (received, buffer) = timeout(PATIENCE, receiver.recv(Vec::with_capacity(64))).await.expect("in time");
        assert_eq!((received.expect("received"), &buffer[..]), (10, &b"last words"[..]));
    });
}

/// What was received ahead is there for every face of the socket, and nothing is received ahead of those who share it.
#[test]
fn receiving_ahead_loses_nothing_whoever_receives_next() {
    on_each_with_faults(|| async {
        let (sender, mut receiver, from, to) = pair();
        // Has been waited for once: from here on the driver receives by itself.
        assert!(poll_once(receiver.recv_from(Vec::with_capacity(10))).is_pending());
        for number in 0..40u8 {
            sender.send_to(vec![number; 100], to).await.0.expect("sent");
        }
        sleep(10 * MS).await;
        let mut incoming = Incoming::with_capacity(50);
        for number in 0..40u8 {
            if number % 2 == 0 {
                let (received, buffer) = timeout(PATIENCE, receiver.recv_from(Vec::with_capacity(200))).await.expect("in time");
                assert_eq!(received.expect("received"), (100, from));
                assert_eq!(buffer, [number; 100]);
            } else {
                timeout(PATIENCE, receiver.recv_msg(&mut incoming)).await.expect("in time").expect("received");
                assert!(incoming.is_truncated() && is_whole(incoming.whole_len(), 50, 100));
                assert_eq!(incoming.data(), [number; 50]);
                assert_eq!(incoming.from().and_then(|from| from.ip()), Some(from));
            }
        }
        // Control data comes with what is received from now on.
        receiver.set_packet_info(true).expect("set");
        assert!(poll_once(receiver.recv_msg(&mut incoming)).is_pending());
        sleep(10 * MS).await;
        sender.send_to("with", to).await.0.expect("sent");
        timeout(PATIENCE, receiver.recv_msg(&mut incoming)).await.expect("in time").expect("received");
        assert_eq!((incoming.data(), incoming.local_address()), (&b"with"[..], Some(to.ip())));
        // A clone finds what nobody has taken.
        assert!(poll_once(receiver.recv_from(Vec::with_capacity(10))).is_pending());
        let mut clone = receiver.try_clone().expect("a clone");
        assert!(poll_once(receiver.recv_from(Vec::with_capacity(10))).is_pending());
        sleep(10 * MS).await;
        for number in 0..10u8 {
            sender.send_to(vec![number], to).await.0.expect("sent");
        }
        for _ in 0..10 {
            timeout(PATIENCE, clone.recv_from(Vec::with_capacity(10))).await.expect("not taken away").0.expect("received");
        }
    });
}
