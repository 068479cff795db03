//! Unix sockets: packets and datagrams keep boundaries, descriptors and credentials travel, nothing leaks.
#![cfg(unix)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use common::{alone, on_each, on_each_with_faults, pattern, poll_once};
use ostia::net::{
    Endpoint, FailureKind, Incoming, Listener, NetError, Outgoing, UnixDatagram, UnixListener, UnixSeqpacket,
    UnixSeqpacketListener, UnixStream,
};
use ostia::time::{sleep, timeout};
use ostia::{Address, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

#[test]
fn packets_keep_their_boundaries_and_end() {
    on_each_with_faults(|| async {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("packets");
        let mut listener = UnixSeqpacketListener::bind(&path).expect("bind");
        assert_eq!(listener.local_addr().expect("address").path().as_deref(), Some(path.as_path()));
        let connecting = {
            let path = path.clone();
            spawn(async move { UnixSeqpacket::connect(path).await })
        };
        // Giving accepts up loses no connection.
        assert!(poll_once(listener.accept()).is_pending());
        let _ = timeout(Duration::ZERO, listener.accept()).await.map(|accepted| accepted.map(|_| panic!("dropped")));
        let mut server = timeout(PATIENCE, listener.accept()).await.expect("comes").expect("accepts");
        let mut client = connecting.await.expect("no panic").expect("connects");
        let me = (std::process::id() as i32, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let peer = server.peer_credentials().expect("credentials");
        assert_eq!((peer.pid, peer.uid, peer.gid), me);
        match server.peer_pidfd() {
            Ok(_) => {}
            Err(error) => assert_eq!(error.raw_os_error(), Some(92), "only where the kernel has none: {error}"),
        }
        for len in [1, 10, 4096, 100_000] {
            client.send(pattern(len, len)).await.0.expect("sent");
        }
        client.send(Vec::new()).await.0.expect("an empty packet");
        client.send("after").await.0.expect("sent");
        for len in [1, 10, 4096, 100_000] {
            let (received, data) = server.recv(Vec::with_capacity(100_001)).await;
            assert_eq!(received.expect("received"), Some(len));
            assert!(data == pattern(len, len));
        }
        assert_eq!(server.recv(Vec::with_capacity(10)).await.0.expect("received"), Some(0), "is not the end");
        let (received, data) = server.recv(Vec::with_capacity(2)).await;
        assert_eq!(NetError::of(&received.expect_err("cut")).expect("named").kind(), FailureKind::MessageTooLong);
        assert_eq!(data, b"af");
        // The end of one direction leaves the other.
        client.shutdown(Shutdown::Write).expect("shutdown");
        for _ in 0..2 {
            let ended = timeout(PATIENCE, server.recv(Vec::with_capacity(10))).await.expect("comes");
            assert_eq!(ended.0.expect("the end"), None);
        }
        server.send("still").await.0.expect("sent");
        assert_eq!(client.recv(Vec::with_capacity(10)).await.1, b"still");
        drop(server);
        let mut room = Incoming::with_capacity(10);
        assert!(!timeout(PATIENCE, client.recv_msg(&mut room)).await.expect("comes").expect("the end"));
        assert!(client.send("nobody").await.0.is_err());
        drop(listener);
        assert!(!path.exists(), "the path goes with the listener");
    });
}

#[test]
fn streams_are_not_taken_for_packets_nor_packets_for_streams() {
    on_each(|| async {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("x");
        let _packets = UnixSeqpacketListener::bind(&path).expect("bind");
        let wrong = UnixStream::connect(&path).await.expect_err("of another type");
        assert_eq!(NetError::of(&wrong).expect("named").address(), format!("unix:{}", path.display()));
        let taken = UnixListener::bind(&path).expect_err("in use");
        assert_eq!(NetError::of(&taken).expect("named").kind(), FailureKind::AddressInUse);
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::SEQPACKET, None).expect("socket");
        rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new_unnamed()).expect("bind");
        rustix::net::listen(&socket, 1).expect("listen");
        assert_eq!(Listener::from_fd(socket).expect_err("packets").kind(), ErrorKind::InvalidInput);
        let (stream, _other) = std::os::unix::net::UnixStream::pair().expect("pair");
        assert!(UnixSeqpacket::from_fd(stream.try_clone().expect("clone")).is_err());
        assert!(UnixDatagram::from_fd(stream).is_err());
    });
}

#[test]
fn dropping_receives_loses_no_packet() {
    on_each_with_faults(|| async {
        let (mut one, other) = UnixSeqpacket::pair().expect("pair");
        const COUNT: u32 = 500;
        let sender = spawn(async move {
            for n in 0..COUNT {
                // Given up sends have sent nothing, or they were ready.
                match poll_once(other.send(n.to_le_bytes().to_vec())) {
                    Poll::Ready((sent, _)) => sent.expect("sent"),
                    Poll::Pending => other.send(n.to_le_bytes().to_vec()).await.0.expect("sent"),
                }
                if n % 7 == 0 {
                    yield_now().await;
                }
            }
        });
        let mut next = 0u32;
        loop {
            drop(one.recv(Vec::with_capacity(8)));
            if let Poll::Ready((received, data)) = poll_once(one.recv(Vec::with_capacity(8))) {
                if received.expect("received").is_none() {
                    break;
                }
                assert_eq!(data, next.to_le_bytes());
                next += 1;
            }
            let Ok((received, data)) = timeout(MS, one.recv(Vec::with_capacity(8))).await else { continue };
            if received.expect("received").is_none() {
                break;
            }
            assert_eq!(data, next.to_le_bytes());
            next += 1;
        }
        assert_eq!(next, COUNT);
        sender.await.expect("no panic");
    });
}

#[test]
fn datagrams_have_senders_by_path_and_by_abstract_name() {
    on_each_with_faults(|| async {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("d");
        let mut one = UnixDatagram::bind(&path).expect("bind");
        let name = format!("ostia-test-{}-{:p}", std::process::id(), &path);
        let hidden = Address::unix_abstract(&name).expect("short");
        let other = UnixDatagram::bind_address(&hidden).expect("bind");
        let to = Address::unix(&path).expect("short");
        for len in [0, 1, 65_507, 150_000] {
            let (sent, _) = other.send_to(pattern(1, len), &to).await;
            sent.expect("sent");
            let (received, data) = one.recv_from(Vec::with_capacity(150_001)).await;
            let (count, from) = received.expect("received");
            assert_eq!((count, from.and_then(|from| from.abstract_name())), (len, Some(name.clone().into_bytes())));
            assert!(data == pattern(1, len));
        }
        let nameless = UnixDatagram::unbound().expect("socket");
        nameless.connect(&to).expect("connects");
        nameless.send("from nobody").await.0.expect("sent");
        assert_eq!(one.recv_from(Vec::with_capacity(20)).await.0.expect("received").1.map(|a| a.path()), None);
        let error = nameless.send(vec![0; 64 << 20]).await.0.expect_err("too long");
        assert_eq!(NetError::of(&error).expect("named").kind(), FailureKind::MessageTooLong);
        drop(one);
        assert!(!path.exists());
        sleep(20 * MS).await;
        let error = nameless.send("anybody?").await.0.expect_err("gone");
        assert_eq!(NetError::of(&error).expect("named").kind(), FailureKind::Refused);
        let error = other.send_to("anybody?", &to).await.0.expect_err("gone");
        assert_eq!(NetError::of(&error).expect("named").kind(), FailureKind::NoSuchPath);
        // What a process that has gone has left is replaced.
        drop(std::os::unix::net::UnixDatagram::bind(&path).expect("bind"));
        assert!(path.exists());
        drop(UnixDatagram::bind(&path).expect("replaces it"));
        std::fs::write(&path, b"a file").expect("write");
        assert!(UnixDatagram::bind(&path).is_err() && path.exists(), "a file is not");
    });
}

#[test]
fn a_full_receiver_is_waited_for_connected_or_not() {
    on_each_with_faults(|| async {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("slow");
        let to = Address::unix(&path).expect("short");
        for connected in [true, false] {
            let mut slow = UnixDatagram::bind(&path).expect("bind");
            let sender = UnixDatagram::unbound().expect("socket");
            if connected {
                sender.connect(&to).expect("connects");
            }
            // More than any queue holds by default; the first ones are sent before anybody reads.
            const COUNT: u32 = 600;
            let to = to.clone();
            let sending = spawn(async move {
                for n in 0..COUNT {
                    let data = n.to_le_bytes().to_vec();
                    let sent = if connected { sender.send(data).await } else { sender.send_to(data, &to).await };
                    sent.0.expect("sent");
                }
            });
            sleep(5 * MS).await;
            for n in 0..COUNT {
                let (received, data) = timeout(PATIENCE, slow.recv(Vec::with_capacity(8))).await.expect("comes");
                received.expect("received");
                assert_eq!(data, n.to_le_bytes());
            }
            sending.await.expect("no panic");
        }
    });
}

#[test]
fn abstract_endpoints_carry_streams() {
    on_each(|| async {
        let endpoint: Endpoint = format!("unix:@ostia-streams-{}", std::process::id()).parse().expect("an endpoint");
        let mut listener = Listener::bind(&endpoint).expect("bind");
        let there = endpoint.clone();
        let connecting = spawn(async move { ostia::net::Stream::connect(&there).await });
        let mut accepted = listener.accept().await.expect("accepts");
        let mut stream = connecting.await.expect("no panic").expect("connects");
        stream.send("hidden").await.expect("sent");
        assert_eq!(accepted.recv().await.expect("received").as_deref(), Some(&b"hidden"[..]));
        assert_eq!(stream.peer_addr().expect("peer").to_string(), endpoint.to_string());
    });
}

/// A pipe's reading end and its writing end.
fn pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("pipe");
    (reader, writer.into())
}

#[test]
fn descriptors_travel_and_none_leaks() {
    if !alone("descriptors_travel_and_none_leaks") {
        return;
    }
    on_each(|| async {
        let (one, mut other) = UnixSeqpacket::pair().expect("pair");
        let (left, mut right) = UnixDatagram::pair().expect("pair");
        let (mut near, mut far) = UnixStream::pair().expect("pair");
        let before = open_descriptors();
        for round in 0..300 {
            let (mut reader, writer) = pipe();
            let data = format!("round {round}").into_bytes();
            let message = Outgoing::new(data.clone()).descriptors([writer.as_fd(), writer.as_fd()]);
            let mut room = Incoming::with_descriptors(100, 2);
            match round % 3 {
                0 => {
                    one.send_msg(&message).await.expect("sent");
                    drop(writer);
                    assert!(other.recv_msg(&mut room).await.expect("received"));
                }
                1 => {
                    left.send_msg(&message).await.expect("sent");
                    drop(writer);
                    right.recv_msg(&mut room).await.expect("received");
                }
                _ => {
                    near.send_msg(&message).await.expect("sent");
                    drop(writer);
                    far.recv_msg(&mut room).await.expect("received");
                }
            }
            assert_eq!((room.data(), room.descriptors(), room.is_control_truncated()), (data.as_slice(), 2, false));
            if round % 2 == 0 {
                let mut taken = room.take_descriptors();
                assert!(rustix::io::fcntl_getfd(&taken[0]).expect("fcntl").contains(rustix::io::FdFlags::CLOEXEC));
                let mut writer = std::fs::File::from(taken.remove(0));
                writer.write_all(b"through").expect("written");
                drop((writer, taken));
                let mut all = String::new();
                reader.read_to_string(&mut all).expect("read");
                assert_eq!(all, "through");
            }
            // Those that nobody takes are closed with the room.
            drop(room);
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).expect("every writer is closed");
        }
        assert_eq!(open_descriptors(), before, "after three hundred rounds");

        // Without room they are dropped by the kernel, and that is said.
        let (mut reader, writer) = pipe();
        let three = [writer.as_fd(), writer.as_fd(), writer.as_fd()];
        one.send_msg(&Outgoing::new("x").descriptors(three)).await.expect("sent");
        one.send_msg(&Outgoing::new("y").descriptors(three)).await.expect("sent");
        drop(writer);
        let (received, data) = other.recv(Vec::with_capacity(10)).await;
        assert_eq!((received.expect("received"), data.as_slice()), (Some(1), &b"x"[..]));
        // Room for everything else may serve for a few descriptors too, but not for these.
        let many: Vec<_> = (0..200).map(|_| reader.as_fd()).collect();
        let mut room = Incoming::with_descriptors(10, 3);
        assert!(other.recv_msg(&mut room).await.expect("received"));
        assert_eq!((room.descriptors(), room.is_control_truncated()), (3, false));
        one.send_msg(&Outgoing::new("z").descriptors(many.iter().copied())).await.expect("sent");
        assert!(other.recv_msg(&mut room).await.expect("received"));
        assert!(room.is_control_truncated() && room.descriptors() < 200, "{}", room.descriptors());
        let many: Vec<_> = (0..254).map(|_| reader.as_fd()).collect();
        let error = one.send_msg(&Outgoing::new("!").descriptors(many)).await.expect_err("more than a message carries");
        assert_eq!(NetError::of(&error).and_then(NetError::raw_os_error), Some(22));
        room.clear();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).expect("every writer is closed");
        drop(reader);
        assert_eq!(open_descriptors(), before, "after truncation");

        // Sent and never received: they go with the sockets.
        let (mut reader, writer) = pipe();
        one.send_msg(&Outgoing::new("lost").descriptors([writer.as_fd()])).await.expect("sent");
        drop((writer, one, other));
        let mut ended = false;
        for _ in 0..100 {
            if open_descriptors() == before - 2 + 1 {
                ended = true;
                break;
            }
            sleep(5 * MS).await;
        }
        assert!(ended, "the sockets are closed");
        reader.read_to_end(&mut rest).expect("every writer is closed");
    });
}

#[test]
fn credentials_come_with_messages() {
    on_each(|| async {
        let (one, mut other) = UnixDatagram::pair().expect("pair");
        other.set_pass_credentials(true).expect("option");
        let mut room = Incoming::with_descriptors(10, 1);
        for message in [Outgoing::new("who?"), Outgoing::new("me").credentials()] {
            one.send_msg(&message).await.expect("sent");
            other.recv_msg(&mut room).await.expect("received");
            let sender = room.credentials().expect("credentials");
            assert_eq!((sender.pid, sender.uid), (std::process::id() as i32, rustix::process::geteuid().as_raw()));
        }
    });
}

#[test]
fn a_stream_carries_descriptors_with_its_bytes_in_order() {
    on_each_with_faults(|| async {
        let (mut near, mut far) = UnixStream::pair().expect("pair");
        assert_eq!(near.peer_credentials().expect("credentials").pid, std::process::id() as i32);
        let (_reader, writer) = pipe();
        near.send("first ").await.expect("sent");
        let large = pattern(0, 1 << 20);
        let receiving = spawn(async move {
            let (mut all, mut descriptors) = (Vec::new(), 0);
            let mut room = Incoming::with_descriptors(70_000, 4);
            // Giving up loses nothing here either.
            let _ = poll_once(far.recv_msg(&mut room)).map(|received| {
                received.expect("received");
                all.extend_from_slice(room.data());
                descriptors += room.descriptors();
            });
            loop {
                match timeout(MS, far.recv_msg(&mut room)).await {
                    Ok(received) => received.expect("received"),
                    Err(_) => continue,
                }
                if room.data().is_empty() {
                    return (all, descriptors);
                }
                all.extend_from_slice(room.data());
                descriptors += room.descriptors();
            }
        });
        near.send_msg(&Outgoing::new(large.clone()).descriptors([writer.as_fd()])).await.expect("sent");
        near.send(" last").await.expect("sent");
        assert_eq!(near.send_msg(&Outgoing::new("")).await.expect_err("no byte").kind(), ErrorKind::InvalidInput);
        near.shutdown(Shutdown::Write).await.expect("shutdown");
        let (all, descriptors) = receiving.await.expect("no panic");
        assert_eq!(descriptors, 1);
        assert!(all.starts_with(b"first ") && all.ends_with(b" last") && all.len() == large.len() + 11);
        assert!(all[6..all.len() - 5] == large);
    });
}

#[test]
fn a_stream_that_receives_ahead_refuses_to_look_for_descriptors() {
    on_each(|| async {
        let (mut near, mut far) = UnixStream::pair().expect("pair");
        near.send("x").await.expect("sent");
        assert!(far.recv().await.expect("received").is_some());
        assert!(poll_once(far.recv()).is_pending());
        let error = far.recv_msg(&mut Incoming::with_descriptors(10, 1)).await.expect_err("too late");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn closed_sockets_leave_their_names_at_once() {
    on_each_with_faults(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let name = Address::unix_abstract(format!("ostia-closed-{}", std::process::id())).expect("a name");
        for _ in 0..20 {
            for address in [Address::unix(&path).expect("short"), name.clone()] {
                let mut socket = UnixDatagram::bind_address(&address).expect("bind");
                assert!(poll_once(socket.recv(Vec::with_capacity(10))).is_pending());
                let sender = UnixDatagram::unbound().expect("a socket");
                assert_eq!(sender.try_send(b"x").expect_err("no peer").kind(), ErrorKind::NotConnected);
                sender.connect(&address).expect("connect");
                sender.try_send(b"once").expect("sent");
                socket.close().await.expect("close");
                assert!(!path.exists());

                let mut listener = UnixSeqpacketListener::bind_address(&address, Default::default()).expect("bind");
                assert!(poll_once(listener.accept()).is_pending());
                let mut client = UnixSeqpacket::connect_address(&address).await.expect("connect");
                listener.close().await.expect("close");
                assert!(!path.exists());
                let (end, _) = client.recv(Vec::with_capacity(10)).await;
                assert!(!matches!(end, Ok(Some(_))));
                client.close().await.expect("close");
            }
        }
    });
}
