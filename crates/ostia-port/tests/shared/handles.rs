//! Invariant 5: keys and contexts, association once.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use ostia_port::{Handle, Op, OpenHow, Payload, SharedPort};

use crate::common::peers::{TempFile, pipe, tcp_pair};
use crate::{on_every_shared, shared, take, until};

fn accept(port: &SharedPort, listener: Handle, peer: &TcpListener) -> (Handle, TcpStream, u64) {
    port.submit(Op::Accept { listener }, 77).expect("taken");
    let near = TcpStream::connect(peer.local_addr().expect("address")).expect("connects");
    let done = take(port);
    assert_eq!(done.context, 77);
    (done.payload.into_handle().expect("a connection"), near, done.key)
}

/// 5: each packet has its handle's key and its own context, on whatever handle and in whatever order.
#[test]
fn s05_packets_carry_key_and_context() {
    on_every_shared("s05_packets_carry_key_and_context", |engine| {
        let port = shared(engine, 1);
        let mut peers = Vec::new();
        for key in 100..110 {
            let (near, far) = tcp_pair();
            let socket = port.adopt(near, key).expect("adopts");
            port.submit(Op::Recv { socket }, key * 2).expect("taken");
            peers.push(far);
        }
        peers.iter().rev().for_each(|mut far| far.write_all(b"x").expect("sent"));
        let mut seen = Vec::new();
        for _ in 0..10 {
            let done = take(&port);
            assert!(done.id.is_some() && done.result.is_ok());
            assert_eq!(done.context, done.key * 2);
            seen.push(done.key);
        }
        seen.sort_unstable();
        assert_eq!(seen, (100..110).collect::<Vec<u64>>());
    });
}

/// 5: an accepted connection has its listener's key until it is given its own; that happens once.
#[test]
fn s05_a_handle_is_associated_once() {
    on_every_shared("s05_a_handle_is_associated_once", |engine| {
        let port = shared(engine, 1);
        let peer = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let listener = port.adopt(peer.try_clone().expect("dup"), 1).expect("adopts");
        let refused = |handle, key| port.associate(handle, key).expect_err("refused").kind();
        assert_eq!(refused(listener, 2), ErrorKind::AlreadyExists, "adopt has associated it");
        for round in 0..5 {
            let (socket, mut near, key) = accept(&port, listener, &peer);
            assert_eq!(key, 1);
            port.submit(Op::Recv { socket }, 0).expect("taken");
            near.write_all(b"a").expect("sent");
            assert_eq!(take(&port).key, 1, "its listener's");
            port.associate(socket, 50 + round).expect("the first time");
            assert_eq!(refused(socket, 60), ErrorKind::AlreadyExists);
            assert_eq!(refused(socket, 50 + round), ErrorKind::AlreadyExists);
            near.write_all(b"b").expect("sent");
            port.submit(Op::Recv { socket }, 0).expect("taken");
            assert_eq!(take(&port).key, 50 + round, "its own");
            port.submit(Op::Close { handle: socket }, 0).expect("taken");
            let closed = take(&port);
            assert_eq!((closed.key, closed.result.expect("closes")), (50 + round, 0));
            let stale = port.associate(socket, 1).expect_err("closed");
            assert_eq!(stale.raw_os_error(), Some(ostia_port::os::EBADF));
        }
    });
}

/// 5: an opened file has the key 0 until it is associated; a file's own operations carry its key.
#[test]
fn s05_an_opened_file_can_be_associated() {
    on_every_shared("s05_an_opened_file_can_be_associated", |engine| {
        let port = shared(engine, 1);
        let temp = TempFile::new(b"contents");
        let path = ostia_port::os::system_path(&temp.path).expect("no NUL");
        port.submit(Op::Open { directory: None, path, how: OpenHow::default() }, 1).expect("taken");
        let done = take(&port);
        assert_eq!((done.key, done.context), (0, 1));
        let file = done.payload.into_handle().expect("opened");
        port.associate(file, 3).expect("the first time");
        port.submit(Op::Statx { file: Some(file), path: None }, 2).expect("taken");
        let done = take(&port);
        assert_eq!(done.key, 3);
        assert!(matches!(done.payload, Payload::Metadata(metadata) if metadata.len() == 8));
        port.submit(Op::ReadAt { file, buffer: Vec::with_capacity(8), offset: 0 }, 3).expect("taken");
        assert_eq!(take(&port).key, 3);
    });
}

/// 5: what can't be adopted says so; a duplicate is the same open file.
#[test]
fn s05_descriptors_can_be_duplicated() {
    on_every_shared("s05_descriptors_can_be_duplicated", |engine| {
        let port = shared(engine, 1);
        let (near, far) = tcp_pair();
        let socket = port.adopt(near, 0).expect("adopts");
        let again = TcpStream::from(port.duplicate(socket).expect("dup"));
        again.set_nodelay(true).expect("TCP_NODELAY");
        assert_eq!(again.peer_addr().expect("connected"), far.local_addr().expect("address"));
        drop(again);
        port.close(socket);
        let gone = port.duplicate(socket).expect_err("closed");
        assert_eq!(gone.raw_os_error(), Some(ostia_port::os::EBADF));
        assert_eq!((&far).read(&mut [0]).expect("the end"), 0, "closed with its last descriptor");
    });
}

/// 5 and 8: closing a handle completes what waits on it, once each, with its key; sends that were posted go out.
#[test]
fn s05_closing_a_handle_ends_its_operations() {
    on_every_shared("s05_closing_a_handle_ends_its_operations", |engine| {
        for with_packet in [false, true] {
            let port = shared(engine, 1);
            let (near, far) = tcp_pair();
            let socket = port.adopt(near, 4).expect("adopts");
            for context in 0..3 {
                port.submit(Op::Recv { socket }, context).expect("taken");
            }
            port.submit(Op::Send { socket, data: b"last words".into() }, 3).expect("taken");
            if with_packet {
                port.submit(Op::Close { handle: socket }, 4).expect("taken");
            } else {
                port.close(socket);
                port.close(socket);
            }
            let mut contexts = Vec::new();
            for _ in 0..4 + usize::from(with_packet) {
                let done = take(&port);
                assert_eq!(done.key, 4);
                match done.context {
                    0..3 => assert_eq!(done.result.expect_err("closed").raw_os_error(), Some(ostia_port::os::ECANCELED)),
                    3 => assert_eq!(done.result.expect("sent"), 10),
                    _ => assert_eq!(done.result.expect("closed"), 0),
                }
                contexts.push(done.context);
            }
            contexts.sort_unstable();
            assert_eq!(contexts, (0..contexts.len() as u64).collect::<Vec<_>>());
            let mut got = Vec::new();
            (&far).read_to_end(&mut got).expect("the end");
            assert_eq!(got, b"last words");
            // Whatever comes too late is told so, with its buffer.
            port.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(99) }, 9).expect("taken");
            let late = take(&port);
            assert_eq!(late.result.expect_err("closed").raw_os_error(), Some(ostia_port::os::EBADF));
            assert!(late.payload.into_vec().capacity() >= 99);
            until(&port, "nothing is left", |load| load.operations == 0 && load.packets == 0);
        }
    });
}

/// 5: a reset reaches the peer when a handle is aborted.
#[test]
fn s05_abort_resets() {
    on_every_shared("s05_abort_resets", |engine| {
        let port = shared(engine, 1);
        let (near, far) = tcp_pair();
        let socket = port.adopt(near, 0).expect("adopts");
        port.abort(socket);
        let error = (&far).read(&mut [0]).expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// 5: a pipe's end is told like any other result.
#[test]
fn s05_the_end_of_a_pipe() {
    on_every_shared("s05_the_end_of_a_pipe", |engine| {
        let port = shared(engine, 1);
        let (read, write) = pipe();
        let file = port.adopt(read, 2).expect("adopts");
        port.submit(Op::Read { file, buffer: Vec::with_capacity(10) }, 1).expect("taken");
        drop(write);
        let done = take(&port);
        assert_eq!((done.key, done.result.expect("the end")), (2, 0));
    });
}
