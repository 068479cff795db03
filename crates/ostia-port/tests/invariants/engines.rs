//! The invariants where sockets are an engine's and have no descriptor: what the port keeps of them, and the order of their end.
//!
//! Tests that run on every network, such as those of data, sends, leases and bounds, are in their own files; these are about what is
//! made differently.

use std::collections::HashSet;
use std::time::Duration;

use ostia_port::{Config, Handle, Message, Op, PoolConfig, SocketOption, leaked_requests, os};

use crate::common::net::Peer;
use crate::common::peers::{TempFile, pipe, tcp_pair};
use crate::common::random::{assert_pattern, pattern};
use crate::common::world::is_cancelled;
use crate::common::{World, on_every_stack, open_descriptors};

/// Turns until the peer's stream has ended; what came before, and the error if it was one.
fn to_the_end(world: &mut World, peer: &Peer) -> (Vec<u8>, Option<i32>) {
    let (mut got, mut error) = (Vec::new(), None);
    let mut scratch = [0; 8192];
    world.until("the end of the peer's stream", |_| {
        loop {
            match peer.try_recv(&mut scratch) {
                Ok(0) => return true,
                Ok(count) => got.extend_from_slice(&scratch[..count]),
                Err(os::EAGAIN) => return false,
                Err(errno) => {
                    error = Some(errno);
                    return true;
                }
            }
        }
    });
    (got, error)
}

/// 4: a port ends with a thousand operations in flight on sockets of a stack, receives, sends that wait for room, accepts,
/// polls, datagrams; nothing is left, and no peer waits for one that is gone.
#[test]
fn i04_a_port_with_a_thousand_in_flight_on_a_stack_is_drained() {
    on_every_stack("i04_a_port_with_a_thousand_in_flight_on_a_stack_is_drained", |engine| {
        let leaked = leaked_requests();
        let before = open_descriptors();
        let mut world = engine.world(Config { linger: Duration::from_millis(100), ..engine.config() });
        let mut peers = Vec::new();
        for n in 0..220u64 {
            let (socket, peer) = if n % 2 == 0 { world.pair(n) } else { world.narrow_pair(n) };
            peers.push(peer);
            world.submit(match n % 3 {
                0 => Op::Recv { socket },
                1 => Op::RecvMulti { socket },
                _ => Op::RecvInto { socket, buffer: Vec::with_capacity(1000) },
            });
            world.submit(Op::Poll { handle: socket, events: os::POLLIN });
            world.submit(Op::recv_from(socket, Vec::with_capacity(100)));
            for part in 0..2 {
                // More than the narrow ones take.
                world.submit(Op::Send { socket, data: pattern(n, part * 40_000, 40_000).into() });
            }
            let (socket, _) = world.datagrams(0, None);
            world.submit(Op::recv_from(socket, Vec::with_capacity(100)));
            if n % 10 == 0 {
                let (listener, _) = world.listener(0);
                world.submit(Op::AcceptMulti { listener });
            }
            if n % 10 == 1 {
                let (listener, to) = world.listener(0);
                world.submit(Op::Accept { listener });
                peers.push(world.client(to));
            }
        }
        world.port.wait(Some(Duration::ZERO)).expect("the port works");
        assert!(world.port.outstanding().0 >= 1000, "{:?}", world.port.outstanding());
        let World { port, net, .. } = world;
        drop(port);
        assert_eq!(leaked_requests(), leaked, "requests were left behind");
        // The peers' host is still there: each has been told of the end, in one way or the other.
        let deadline = std::time::Instant::now() + crate::common::patience();
        let mut scratch = vec![0; 64 << 10];
        for peer in &peers {
            loop {
                match peer.try_recv(&mut scratch) {
                    Ok(0) => break,
                    Err(errno) if errno != os::EAGAIN => break,
                    _ => assert!(std::time::Instant::now() < deadline, "a peer waits for a port that has gone"),
                }
            }
        }
        drop(peers);
        drop(net);
        assert!(open_descriptors() <= before, "descriptors were left open");
    });
}

/// 12: connections accepted ahead are bounded; those behind wait in the stack, and none is lost.
#[test]
fn i12_connections_accepted_ahead_are_bounded() {
    on_every_stack("i12_connections_accepted_ahead_are_bounded", |engine| {
        let mut world = engine.world(Config { accepted_max: 4, ..engine.config() });
        let (listener, to) = world.listener(0);
        // Asked once, and then no more.
        assert!(world.port.poll_accept(listener, u64::MAX).is_pending());
        let clients: Vec<Peer> = (0..60).map(|_| world.connected_client(to)).collect();
        world.until("accepting to pause", |world| world.port.statistics().receives_paused > 0);
        world.turns(20);
        assert_eq!(world.port.accepts_posted(listener).ok(), Some(0), "no more is accepted than the bound allows");
        let mut accepted: Vec<Handle> = Vec::new();
        while accepted.len() < 60 {
            let done = world.run(Op::Accept { listener });
            accepted.extend(done.payload.into_handle());
        }
        let peer = |handle: &Handle| world.port.peer_addr(*handle).expect("connected").ip().expect("of IP");
        let got: HashSet<_> = accepted.iter().map(peer).collect();
        assert_eq!(got, clients.iter().map(Peer::local_addr).collect(), "each connection once");
    });
}

/// 3, 10: a listener's connections that nobody has taken go with it, those that the port has and those that the stack has;
/// those that were taken stay.
#[test]
fn i03_a_listener_takes_along_what_it_had_accepted() {
    on_every_stack("i03_a_listener_takes_along_what_it_had_accepted", |engine| {
        let mut world = engine.world(Config { accepted_max: 2, ..engine.config() });
        let (listener, to) = world.listener(0);
        let (_, context) = world.submit(Op::Accept { listener });
        let mut first = world.client(to);
        let taken = world.take(context).payload.into_handle().expect("a connection");
        assert!(world.port.poll_accept(listener, u64::MAX).is_pending());
        let clients: Vec<Peer> = (0..40).map(|_| world.connected_client(to)).collect();
        world.until("accepting to pause", |world| world.port.statistics().receives_paused > 0);
        world.close(listener);
        for client in &clients {
            let (got, _) = to_the_end(&mut world, client);
            assert!(got.is_empty());
        }
        first.write_all(b"still here");
        let done = world.run(Op::Recv { socket: taken });
        assert!(b"still here".starts_with(&done.payload.into_chunk().expect("bytes")));
        let refused = world.client(to);
        assert_eq!(to_the_end(&mut world, &refused).1, Some(os::ECONNREFUSED), "nobody listens any more");
    });
}

/// 13: sockets of the kernel and of a stack share a pool of few buffers, and every chunk is held: nobody waits for a buffer in
/// vain, on either side.
#[test]
fn i13_descriptors_and_engines_share_a_small_pool() {
    on_every_stack("i13_descriptors_and_engines_share_a_small_pool", |engine| {
        for buffers in [2, 3, 4] {
            let pool = PoolConfig { buffer_size: 4096, buffers, ready_min: 1, ready_max: 2, ..PoolConfig::default() };
            let mut world = engine.world(Config { pool, ..engine.config() });
            let mut all = Vec::new();
            let mut held = Vec::new();
            for round in 0..10 {
                // The kernel's first, so that they take their buffer while nobody else has one.
                let more = if round < 2 { 10 } else { 0 };
                for n in all.len() as u64..all.len() as u64 + more {
                    let (socket, peer) = if round == 0 {
                        let (near, far) = tcp_pair();
                        (world.port.adopt(near, n).expect("adopts"), Peer::Kernel(far))
                    } else {
                        world.pair(n)
                    };
                    all.push((socket, peer, 0, 0));
                }
                for (n, (_, peer, sent, _)) in all.iter_mut().enumerate() {
                    peer.write_all(&pattern(n as u64, *sent, 1500));
                    *sent += 1500;
                }
                if more > 0 {
                    let begin = all.len() - more as usize;
                    all[begin..].iter().for_each(|(socket, ..)| _ = world.submit(Op::RecvMulti { socket: *socket }));
                }
                world.until("all that was written", |world| {
                    while let Some(done) = world.pop() {
                        let n = done.key as usize;
                        let (socket, _, _, got) = &mut all[n];
                        if !done.more {
                            world.submit(Op::RecvMulti { socket: *socket });
                        }
                        let chunk = done.payload.into_chunk().unwrap_or_else(|| panic!("{:?}", done.result));
                        assert_pattern(n as u64, *got, &chunk);
                        *got += chunk.len() as u64;
                        held.push(chunk);
                    }
                    all.iter().all(|(_, _, sent, got)| sent == got)
                });
            }
        }
    });
}

/// 7: what sockets of a stack can't do says so, once, with its buffer; and does nothing to what they can.
#[test]
fn i07_what_an_engine_has_not_is_refused() {
    on_every_stack("i07_what_an_engine_has_not_is_refused", |engine| {
        let mut world = engine.world(engine.config());
        let (socket, mut peer) = world.pair(0);
        let (udp, _) = world.datagrams(0, None);
        let far = world.far_datagrams();
        let (near, _far) = pipe();
        let pipe = world.port.adopt(near, 0).expect("adopts");
        let disk = TempFile::new(b"a file");
        let file = world.port.adopt(disk.open(), 0).expect("adopts");
        let with_control = |peer: Option<std::net::SocketAddr>| {
            let mut message = Message { data: b"x".to_vec(), peer: peer.map(Into::into), ..Message::default() };
            message.push_control(1, 2, &[0; 4]);
            Box::new(message)
        };
        let buffer = || Vec::with_capacity(10);
        let data = || b"x".to_vec().into();
        for (name, errno, op) in [
            ("splice from a pipe", os::EOPNOTSUPP, Op::Splice { from: pipe, to: socket, len: 10 }),
            ("splice into a pipe", os::EOPNOTSUPP, Op::Splice { from: socket, to: pipe, len: 10 }),
            ("fsync", os::EOPNOTSUPP, Op::Fsync { file: socket, data_only: false }),
            ("statx", os::EOPNOTSUPP, Op::Statx { file: Some(socket), path: None }),
            ("control data on a stream", os::EOPNOTSUPP, Op::SendMsg { socket, message: with_control(None) }),
            ("control data", os::EOPNOTSUPP, Op::SendMsg { socket: udp, message: with_control(Some(far.address())) }),
            ("read at a position", os::ESPIPE, Op::ReadAt { file: socket, buffer: buffer(), offset: 5 }),
            ("write at a position", os::ESPIPE, Op::WriteAt { file: socket, data: data(), offset: 0 }),
            ("a socket as a file", os::ESPIPE, Op::SendFile { socket, head: data(), file: socket, offset: 0, len: 1 }),
        ] {
            let done = world.run(op);
            let got = done.result.as_ref().map_err(|error| error.raw_os_error());
            assert_eq!(got, Err(Some(errno)), "{name}");
        }
        assert!(world.port.set_option(pipe, SocketOption::NoDelay(true)).is_err(), "a pipe is no engine's");
        assert!(world.port.descriptor(socket).is_err(), "there is no descriptor to be had");
        // All is as it was.
        peer.write_all(b"heard");
        let heard = world.run(Op::Recv { socket }).payload.into_chunk().expect("bytes");
        assert!(b"heard".starts_with(&heard));
        let head = b"head, ".to_vec().into();
        assert_eq!(world.run(Op::SendFile { socket, head, file, offset: 0, len: 6 }).result.ok(), Some(6));
        let mut got = Vec::new();
        // The head of what was no file has stayed here.
        world.read_up_to(&peer, &mut got, 12);
        assert_eq!(got, b"head, a file");
        let (id, context) = world.submit(Op::recv_from(udp, buffer()));
        world.port.cancel(id);
        assert!(is_cancelled(&world.take(context)));
    });
}
