//! Invariants 12 and 13: memory of received bytes is bounded, and want of it hurts only who causes it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use ostia_port::{Config, Handle, Op, PoolConfig, Port, os};

use crate::common::net::Peer;
use crate::common::peers::{narrow_pair, tcp_pair};
use crate::common::random::{assert_pattern, pattern};
use crate::common::{World, on_every_engine, on_every_network, raise_descriptor_limit, skip, under_valgrind};

/// Writes without waiting until nothing more is taken; answers how much went.
fn write_until_full(peer: &Peer, stream_number: u64, at: &mut u64, total: u64) -> bool {
    let mut wrote = false;
    while *at < total {
        let part = pattern(stream_number, *at, 8192.min((total - *at) as usize));
        match peer.try_send(&part) {
            Ok(count) => {
                *at += count as u64;
                wrote = true;
            }
            Err(_) => break,
        }
    }
    wrote
}

/// 12: somebody asks once and then no more. The port stops receiving, the peer's window closes, the peer stops; when the
/// reader comes back every byte is there.
#[test]
fn i12_unread_bytes_close_the_window_and_reading_opens_it() {
    on_every_network("i12_unread_bytes_close_the_window_and_reading_opens_it", |engine| {
        let unread_max = 16 << 10;
        let mut world = engine.world(Config { unread_max, ..engine.config() });
        let (socket, peer) = world.narrow_reader(0);
        let port = &mut world.port;
        assert!(port.poll_recv(socket, 1).is_pending());
        let (mut sent, mut quiet) = (0, 0);
        while quiet < 100 {
            quiet = if write_until_full(&peer, 1, &mut sent, 10 << 20) { 0 } else { quiet + 1 };
            port.wait(Some(Duration::from_millis(1))).expect("the port works");
            while port.next().is_some() {}
        }
        // The bound, one receive past it, and what the kernel holds on both sides.
        assert!(sent < 300_000, "{sent} bytes were taken from a peer whose reader had stopped");
        assert!(port.statistics().receives_paused > 0, "receiving was paused");
        let (total, mut got, mut idle) = (2 << 20, 0u64, 0);
        while got < total {
            write_until_full(&peer, 1, &mut sent, total);
            match port.poll_recv(socket, 1) {
                Poll::Ready(Ok(Some(chunk))) => {
                    assert_pattern(1, got, &chunk);
                    got += chunk.len() as u64;
                    idle = 0;
                    continue;
                }
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => idle += 1,
            }
            assert!(idle < 20_000, "stuck at {got} of {total}");
            port.wait(Some(Duration::from_millis(1))).expect("the port works");
            while port.next().is_some() {}
        }
    });
}

/// 12: a thousand connections whose readers have stalled take no more than their bounds and the pool together; then all
/// are read to the last byte, and nobody sees an error.
#[test]
fn i12_a_thousand_stalled_readers_stay_within_the_bound() {
    const NAME: &str = "i12_a_thousand_stalled_readers_stay_within_the_bound";
    let readers = if under_valgrind() { 50 } else { 1000 };
    if raise_descriptor_limit() < 2 * readers as u64 + 100 {
        return skip(NAME, "too few descriptors allowed");
    }
    on_every_engine(NAME, |engine| {
        let (total, unread_max, size) = (100_000u64, 4096, 4096);
        let pool = PoolConfig { buffer_size: size, buffers: 256, ready_min: 4, ready_max: 64, ..PoolConfig::default() };
        let mut port = Port::with(Config { pool, unread_max, ..engine.config() }).expect("a port");
        let mut all: Vec<(Handle, Peer, u64, u64)> = (0..readers)
            .map(|_| {
                let (near, far) = narrow_pair();
                (port.adopt(far, 0).expect("adopts"), Peer::Kernel(near), 0, 0)
            })
            .collect();
        for (socket, ..) in &all {
            assert!(port.poll_recv(*socket, 1).is_pending());
        }
        for _ in 0..20 {
            for (n, (_, near, sent, _)) in all.iter_mut().enumerate() {
                write_until_full(near, n as u64, sent, total);
            }
            port.wait(Some(Duration::from_millis(1))).expect("the port works");
            while port.next().is_some() {}
            let (resident, _, _, copies) = port.pool_use();
            assert!(resident <= 256 * size, "the pool has {resident} bytes");
            // Each may be past its bound by what its socket held when the bound was met: a narrow one holds 16 KiB and what
            // was on its way.
            let bound = readers * (unread_max + (32 << 10));
            assert!(copies <= bound, "{copies} bytes are copied out, the bound is {bound}");
        }
        let mut left = readers;
        let mut idle = 0;
        while left > 0 {
            for (n, (socket, near, sent, got)) in all.iter_mut().enumerate() {
                if *got == total {
                    continue;
                }
                write_until_full(near, n as u64, sent, total);
                while let Poll::Ready(taken) = port.poll_recv(*socket, 1) {
                    let chunk = taken.expect("no reader did anything wrong").expect("no end");
                    assert_pattern(n as u64, *got, &chunk);
                    *got += chunk.len() as u64;
                    idle = 0;
                    if *got == total {
                        left -= 1;
                        break;
                    }
                }
            }
            idle += 1;
            assert!(idle < 20_000, "{left} readers are stuck");
            port.wait(Some(Duration::from_millis(1))).expect("the port works");
            while port.next().is_some() {}
        }
        assert_eq!(port.pool_use().3, 0, "no copy is left on the book");
        assert_eq!(port.statistics().copies_refused, 0);
    });
}

/// 13: one connection that never pauses, and hundreds that say a word now and then: each of those is heard, every time.
#[test]
fn i13_one_hot_connection_starves_nobody() {
    const NAME: &str = "i13_one_hot_connection_starves_nobody";
    let quiet = if under_valgrind() { 50 } else { 999 };
    if raise_descriptor_limit() < 2 * quiet as u64 + 100 {
        return skip(NAME, "too few descriptors allowed");
    }
    on_every_engine(NAME, |engine| {
        // A pool that the hot one alone could use up many times over.
        let pool = PoolConfig { buffer_size: 16 << 10, buffers: 32, ready_min: 2, ready_max: 16, ..PoolConfig::default() };
        let mut world = World::new(Config { pool, ..engine.config() });
        let (near, mut hot) = tcp_pair();
        let hot_socket = world.port.adopt(near, 0).expect("adopts");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let blaster = std::thread::spawn(move || {
            let block = vec![7u8; 256 << 10];
            while !stopped.load(Ordering::Acquire) {
                if hot.write_all(&block).is_err() {
                    break;
                }
            }
        });
        let (_, mut hot_context) = world.submit(Op::RecvMulti { socket: hot_socket });
        let mut peers = Vec::new();
        for _ in 0..quiet {
            let (near, far) = tcp_pair();
            let socket = world.port.adopt(near, 0).expect("adopts");
            peers.push((socket, far));
        }
        let mut hot_bytes = 0;
        for round in 0..3u8 {
            let mut waiting = std::collections::HashSet::new();
            for (socket, far) in &mut peers {
                waiting.insert(world.submit(Op::Recv { socket: *socket }).1);
                far.write_all(&[round]).expect("sent");
            }
            world.until("every quiet connection to be heard", |world| {
                while let Some(done) = world.pop() {
                    let len = done.result.as_ref().copied().unwrap_or_else(|error| panic!("an innocent one gets {error}"));
                    if done.context == hot_context {
                        hot_bytes += len;
                        if !done.more {
                            hot_context = world.submit(Op::RecvMulti { socket: hot_socket }).1;
                        }
                    } else {
                        assert!(waiting.remove(&done.context) && len == 1);
                    }
                }
                waiting.is_empty()
            });
        }
        assert!(hot_bytes > 0, "and the hot one is served too");
        stop.store(true, Ordering::Release);
        world.port.abort(hot_socket);
        world.turns(5);
        blaster.join().expect("no panic");
    });
}

/// 13: who holds on to everything it receives meets the hard limit, by ENOBUFS on its own connection; the others go on,
/// and so does the hoarder's next connection once it has let go.
#[test]
fn i13_the_hoarder_meets_the_hard_limit_and_others_go_on() {
    on_every_network("i13_the_hoarder_meets_the_hard_limit_and_others_go_on", |engine| {
        let pool = PoolConfig { buffer_size: 4096, buffers: 8, ready_min: 1, ready_max: 4, copies_max: 64 << 10 };
        let mut world = engine.world(Config { pool, unread_max: 8192, ..engine.config() });
        let (hoarder, far) = world.pair(0);
        let (mut sent, mut got) = (0u64, 0u64);
        let mut hoard = Vec::new();
        let mut refused = None;
        while refused.is_none() {
            write_until_full(&far, 1, &mut sent, 4 << 20);
            let done = world.run(Op::Recv { socket: hoarder });
            match done.result {
                Ok(_) => {
                    let chunk = done.payload.into_chunk().expect("bytes");
                    assert_pattern(1, got, &chunk);
                    got += chunk.len() as u64;
                    hoard.push(chunk);
                }
                Err(error) => refused = error.raw_os_error(),
            }
            assert!(got < 1 << 20, "{got} bytes are held past a limit of 64 KiB");
        }
        assert_eq!(refused, Some(os::ENOBUFS));
        assert!(world.port.pool_use().3 <= (64 << 10) + 16_384, "{:?}", world.port.pool_use());
        // Meanwhile others, who hold nothing.
        for n in 0..30u64 {
            let (socket, mut far) = world.pair(0);
            far.write_all(&pattern(n, 0, 3000));
            let mut heard = 0;
            while heard < 3000 {
                let done = world.run(Op::Recv { socket });
                assert!(done.result.is_ok(), "an innocent one gets {:?}", done.result);
                let chunk = done.payload.into_chunk().expect("bytes");
                assert_pattern(n, heard, &chunk);
                heard += chunk.len() as u64;
            }
            world.port.close(socket);
        }
        let mut at = 0;
        for chunk in &hoard {
            assert_pattern(1, at, chunk);
            at += chunk.len() as u64;
        }
        drop(hoard);
        assert_eq!(world.port.pool_use().3, 0);
    });
}

/// 13: a pool of two buffers and forty busy connections: slow perhaps, but no error and no byte out of place.
#[test]
fn i13_a_pool_of_two_buffers_serves_forty_connections() {
    on_every_network("i13_a_pool_of_two_buffers_serves_forty_connections", |engine| {
        let pool = PoolConfig { buffer_size: 4096, buffers: 2, ready_min: 1, ready_max: 2, ..PoolConfig::default() };
        let mut world = engine.world(Config { pool, ..engine.config() });
        let mut all = Vec::new();
        let mut contexts = std::collections::HashMap::new();
        for n in 0..40usize {
            let (socket, mut far) = world.pair(0);
            far.write_all(&pattern(n as u64, 0, 30_000));
            contexts.insert(world.submit(Op::RecvMulti { socket }).1, n);
            all.push((socket, far, 0u64));
        }
        world.until("all streams", |world| {
            while let Some(done) = world.pop() {
                let n = contexts[&done.context];
                let (socket, _, got) = &mut all[n];
                assert!(done.result.is_ok(), "an innocent one gets {:?}", done.result);
                if !done.more {
                    contexts.insert(world.submit(Op::RecvMulti { socket: *socket }).1, n);
                }
                let chunk = done.payload.into_chunk().expect("bytes");
                assert_pattern(n as u64, *got, &chunk);
                *got += chunk.len() as u64;
            }
            all.iter().all(|(_, _, got)| *got == 30_000)
        });
    });
}

/// 13: no descriptor is left: the accept says EMFILE once, without a busy loop, and the connection waits until there are
/// some again.
#[cfg(unix)]
#[test]
fn i13_running_out_of_descriptors_is_reported_and_survived() {
    const NAME: &str = "i13_running_out_of_descriptors_is_reported_and_survived";
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if under_valgrind() {
        return skip(NAME, "valgrind keeps the limit of descriptors to itself");
    }
    on_every_engine(NAME, |engine| {
        for multi in [false, true] {
            let mut world = World::new(engine.config());
            let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
            let address = listener.local_addr().expect("address");
            let listener = world.port.adopt(listener, 0).expect("adopts");
            let mut client = TcpStream::connect(address).expect("connects");
            let limit = getrlimit(Resource::Nofile);
            // The lowest number that is free must not be given out.
            let free = rustix::io::dup(&client).expect("a descriptor");
            let none = Rlimit { current: Some(free.as_raw_fd() as u64), ..limit };
            drop(free);
            setrlimit(Resource::Nofile, none).expect("the soft limit can be lowered");
            let op = || if multi { Op::AcceptMulti { listener } } else { Op::Accept { listener } };
            let (_, context) = world.submit(op());
            world.port.wait(Some(crate::common::patience())).expect("the port works");
            let refused = world.take(context);
            setrlimit(Resource::Nofile, limit).expect("the soft limit can be raised");
            assert_eq!(refused.result.err().and_then(|error| error.raw_os_error()), Some(os::EMFILE));
            assert!(!refused.more);
            let (_, context) = world.submit(op());
            let socket = world.take(context).payload.into_handle().expect("the connection had waited");
            assert_eq!(world.run(Op::Send { socket, data: b"at last".into() }).result.ok(), Some(7));
            let mut heard = [0; 7];
            client.read_exact(&mut heard).expect("hears");
            assert_eq!(&heard, b"at last");
        }
    });
}
