//! Invariants 1 to 5: buffers, descriptors and places outlive the requests that name them.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ostia_port::os::{self, OwnedFd};
use ostia_port::{Config, Handle, Op, Payload, Port, leaked_requests, reap};

use crate::common::peers::{TempFile, pipe, tcp_pair};
use crate::common::random::{assert_pattern, pattern};
use crate::common::system::{ChildName, URGENT, forget, past_the_cache, patient_child};
use crate::common::world::is_cancelled;
use crate::common::{
    Random, World, on_every_engine, on_every_network, open_descriptors, patience, raise_descriptor_limit, skip, under_valgrind,
};

/// Fails unless descriptors go back to `before`: threads of a driver may take a moment to end.
fn require_descriptors(before: usize) {
    let deadline = Instant::now() + patience();
    while open_descriptors() > before && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(open_descriptors() <= before, "{} descriptors open, {before} before", open_descriptors());
}

/// 1 and 2: the peer writes into buffers whose operations were cancelled or whose ids were forgotten. Whatever the kernel
/// writes lands in memory that is still the operation's: nothing else changes, and the sanitizers see no stray write.
#[test]
fn i01_a_buffer_stays_the_operations_until_its_completion_is_taken() {
    on_every_engine("i01_a_buffer_stays_the_operations_until_its_completion_is_taken", |engine| {
        let mut world = World::new(engine.config());
        let mut random = Random::new(1);
        for _ in 0..60 {
            let (near, mut far) = tcp_pair();
            let socket = world.port.adopt(near, 0).expect("adopts");
            let (id, context) = world.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(4096) });
            world.turns(random.below(3));
            far.write_all(&pattern(1, 0, 4096)).expect("sent");
            if random.one_in(2) {
                world.port.cancel(id);
            }
            // Memory that a freed buffer would be reused for.
            let canaries: Vec<Vec<u8>> = (0..16).map(|_| vec![0xa5; 4096]).collect();
            world.turns(2);
            assert!(canaries.iter().all(|canary| canary.iter().all(|&byte| byte == 0xa5)), "a stray write");
            let done = world.take(context);
            let Payload::Buffer(buffer) = done.payload else { panic!("the buffer comes back") };
            let mut got = buffer.into_vec();
            assert_eq!(got.len(), done.result.unwrap_or(0), "the buffer holds what the result says");
            while got.len() < 4096 {
                let done = world.run(Op::RecvInto { socket, buffer: Vec::with_capacity(4096) });
                assert!(done.result.is_ok(), "{:?}", done.result);
                got.extend(done.payload.into_vec());
            }
            assert_pattern(1, 0, &got);
            world.port.close(socket);
        }
    });
}

/// 1: bytes put back by `unread` do not complete a receive whose own buffer the kernel has.
#[test]
fn i01_bytes_put_back_do_not_take_a_buffer_from_the_kernel() {
    on_every_engine("i01_bytes_put_back_do_not_take_a_buffer_from_the_kernel", |engine| {
        let mut world = World::new(engine.config());
        let (near, mut far) = tcp_pair();
        let socket = world.port.adopt(near, 0).expect("adopts");
        let (id, context) = world.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(100) });
        world.turns(2);
        world.port.unread(socket, b"first ".to_vec().into()).expect("open");
        world.turns(2);
        far.write_all(b"second").expect("sent");
        world.port.cancel(id);
        let done = world.take(context);
        let mut got = done.payload.into_vec();
        if done.result.is_err() {
            assert!(got.is_empty(), "a cancelled receive brings nothing");
        }
        while got.len() < 12 {
            got.extend_from_slice(&world.run(Op::Recv { socket }).payload.into_chunk().expect("a chunk"));
        }
        let mut sorted = got.clone();
        sorted.sort_unstable();
        let mut want = b"first second".to_vec();
        want.sort_unstable();
        assert_eq!(sorted, want, "every byte once, but got {}", got.escape_ascii());
    });
}

/// 3: closed with everything in flight at once; the descriptor's number is reused at once, and nothing that was in flight
/// on the old one touches the new one.
#[test]
fn i03_a_descriptor_is_closed_only_when_no_request_names_it() {
    on_every_network("i03_a_descriptor_is_closed_only_when_no_request_names_it", |engine| {
        let mut world = engine.world(engine.config());
        for round in 0..30u64 {
            let (old, _far) = world.pair(1);
            let contexts: Vec<u64> = [
                Op::RecvInto { socket: old, buffer: Vec::with_capacity(64) },
                Op::Recv { socket: old },
                Op::Poll { handle: old, events: os::POLLIN },
                Op::recv_from(old, Vec::with_capacity(64)),
                Op::RecvMulti { socket: old },
            ]
            .map(|op| world.submit(op).1)
            .to_vec();
            world.turns((round % 3) as usize);
            let (_, closing) = world.submit(Op::Close { handle: old });
            for context in contexts {
                assert!(is_cancelled(&world.take(context)), "what was in flight is cancelled");
            }
            assert_eq!(world.take(closing).result.ok(), Some(0));
            // The next socket has the same number.
            let (new, mut far) = world.pair(2);
            far.write_all(b"to the new one");
            let mut got = Vec::new();
            while got.len() < 14 {
                got.extend_from_slice(&world.run(Op::Recv { socket: new }).payload.into_chunk().expect("a chunk"));
            }
            assert_eq!(got, b"to the new one");
            world.close(new);
        }
    });
}

/// 3: a wait for a child that is given up before it is answered, by cancelling or with its port, leaves the child to be waited
/// for by others.
#[test]
fn i03_a_wait_that_is_given_up_leaves_the_child() {
    const NAME: &str = "i03_a_wait_that_is_given_up_leaves_the_child";
    if under_valgrind() {
        return skip(NAME, "valgrind does not know pidfd_open(2)");
    }
    on_every_engine(NAME, |engine| {
        for round in 0..8 {
            let mut world = World::new(engine.config());
            let mut child = patient_child().spawn().expect("the child starts");
            let pid = child.id() as i32;
            let pidfd = ChildName::of(&child);
            drop(child.stdin.take());
            if round % 2 == 0 {
                // It has ended before anybody asks.
                pidfd.await_end();
            }
            let (id, context) = world.submit(Op::WaitPid { pid });
            let mut heard = false;
            if round % 4 < 2 {
                world.port.cancel(id);
                let done = world.take(context);
                heard = !is_cancelled(&done);
                assert!(!heard || matches!(done.payload, Payload::Exit(status) if status.code() == Some(7)));
            }
            drop(world);
            pidfd.await_end();
            match reap(&pidfd.0) {
                // Windows' handles say it again and again.
                Ok(status) => assert_eq!((status.and_then(|status| status.code()), heard && cfg!(unix)), (Some(7), false)),
                Err(error) => assert!(heard, "reaped, and nobody was told: {error}"),
            }
            forget(child);
        }
    });
}

/// 3: a child's descriptor closes with its operation; the next descriptor of that number is watched for itself.
#[test]
fn i03_the_descriptor_of_a_child_leaves_no_watch_behind() {
    const NAME: &str = "i03_the_descriptor_of_a_child_leaves_no_watch_behind";
    if under_valgrind() {
        return skip(NAME, "valgrind does not know pidfd_open(2)");
    }
    on_every_engine(NAME, |engine| {
        let mut world = World::new(engine.config());
        for cancelled in [false, true] {
            let mut child = patient_child().spawn().expect("the child starts");
            let (id, context) = world.submit(Op::WaitPid { pid: child.id() as i32 });
            world.turns(3);
            if cancelled {
                world.port.cancel(id);
            } else {
                drop(child.stdin.take());
            }
            assert_eq!(is_cancelled(&world.take(context)), cancelled);
            // These have the number that was the child's among them.
            let pairs: Vec<(TcpStream, TcpStream)> = (0..4).map(|_| tcp_pair()).collect();
            let mut peers = Vec::new();
            for (near, far) in pairs {
                let socket = world.port.adopt(near, 0).expect("adopts");
                peers.push((world.submit(Op::Recv { socket }).1, far));
            }
            world.turns(3);
            for (context, far) in &mut peers {
                far.write_all(b"!").expect("sent");
                assert_eq!(world.take(*context).result.ok(), Some(1));
            }
            drop(child.stdin.take());
            // An error where the port has reaped it already.
            assert_eq!(child.wait().is_ok(), cancelled || cfg!(windows));
        }
    });
}

/// 4: a port with thousands of requests in flight is dropped: receives, accepts, polls, reads from pipes that stay
/// silent and reads past the page cache. Nothing is left with the kernel and no descriptor stays open.
#[test]
fn i04_a_port_with_thousands_in_flight_is_drained() {
    let limit = raise_descriptor_limit();
    if limit < 4000 {
        return skip("i04_a_port_with_thousands_in_flight_is_drained", &format!("{limit} descriptors allowed, 4000 needed"));
    }
    on_every_engine("i04_a_port_with_thousands_in_flight_is_drained", |engine| {
        let leaked = leaked_requests();
        let before = open_descriptors();
        let disk = TempFile::on_disk(&pattern(2, 0, 1 << 20));
        let mut world = World::new(engine.config());
        let mut kept: (Vec<OwnedFd>, Vec<TcpStream>) = Default::default();
        let direct = past_the_cache().open(&disk.path);
        let file = world.port.adopt(direct.unwrap_or_else(|_| disk.open()), 0).expect("adopts");
        for n in 0..400usize {
            let (near, far) = tcp_pair();
            let socket = world.port.adopt(near, 0).expect("adopts");
            kept.1.push(far);
            world.submit(if n % 2 == 0 {
                Op::RecvMulti { socket }
            } else {
                Op::RecvInto { socket, buffer: Vec::with_capacity(1000) }
            });
            world.submit(Op::Poll { handle: socket, events: URGENT });
            let (near, far) = pipe();
            let silent = world.port.adopt(near, 0).expect("adopts");
            kept.0.push(far);
            world.submit(Op::Read { file: silent, buffer: Vec::with_capacity(1000) });
            world.submit(Op::Poll { handle: if cfg!(unix) { silent } else { socket }, events: os::POLLIN });
            world.submit(aligned_read(file, n));
            if n % 10 == 0 {
                let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
                let listener = world.port.adopt(listener, 0).expect("adopts");
                world.submit(Op::AcceptMulti { listener });
            }
            world.submit(Op::Timeout { after: Duration::from_secs(3600) });
        }
        world.port.wait(Some(Duration::ZERO)).expect("the port works");
        assert!(world.port.outstanding().0 >= 2400, "{:?}", world.port.outstanding());
        drop(world);
        drop(kept);
        drop(disk);
        assert_eq!(leaked_requests(), leaked, "requests were left with the kernel");
        require_descriptors(before);
    });
}

/// A read of 4 KiB into memory as O_DIRECT wants it: aligned, for a large allocation begins at a page and a half.
fn aligned_read(file: Handle, n: usize) -> Op {
    let mut buffer: Vec<u8> = Vec::with_capacity(16 << 10);
    let to_page = buffer.as_ptr().align_offset(4096);
    buffer.resize(to_page, 0);
    buffer.shrink_to(to_page + 4096);
    Op::ReadAt { file, buffer, offset: (n % 256) as u64 * 4096 }
}

/// 4: what is past the teardown's deadline is leaked and counted, never freed: a teardown of no time at all.
#[test]
fn i04_past_the_deadline_it_leaks_and_counts() {
    on_every_engine("i04_past_the_deadline_it_leaks_and_counts", |engine| {
        let leaked = leaked_requests();
        let mut port = Port::with(Config { teardown: Duration::ZERO, ..engine.config() }).expect("a port");
        let mut peers = Vec::new();
        for _ in 0..50 {
            let (near, far) = tcp_pair();
            let socket = port.adopt(near, 0).expect("adopts");
            port.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(100) }, 0);
            peers.push(far);
        }
        port.wait(Some(Duration::ZERO)).expect("the port works");
        drop(port);
        // One turn is always made: most drivers need no more. What is left is counted, and the peers may write to it.
        assert!(leaked_requests() - leaked <= 50);
        for mut far in peers {
            let _ = far.write_all(&[1; 100]);
        }
    });
}

/// 5: handles, ids and completions of old operations find places that others have now, and reach nobody.
#[test]
fn i05_late_and_stale_names_reach_nobody() {
    on_every_network("i05_late_and_stale_names_reach_nobody", |engine| {
        let mut world = engine.world(engine.config());
        let mut random = Random::new(5);
        let mut stale: Vec<(ostia_port::OpId, Handle)> = Vec::new();
        for _ in 0..200 {
            let (socket, mut far) = world.pair(0);
            let (id, context) = world.submit(Op::Recv { socket });
            // Everybody who ever had a name tries it.
            for (old, handle) in stale.iter().rev().take(8) {
                world.port.cancel(*old);
                world.port.close(*handle);
                world.port.abort(*handle);
                assert!(!world.is_open(*handle), "a stale handle opens nothing");
                assert!(world.port.unread(*handle, b"x".to_vec().into()).is_err());
            }
            world.turns(random.below(2));
            far.write_all(b"mine");
            let done = world.take(context);
            let chunk = done.payload.into_chunk().expect("a stale name cancelled somebody else's operation");
            assert!(b"mine".starts_with(&chunk));
            world.close(socket);
            stale.push((id, socket));
        }
        assert!(Handle::from_bits(u64::MAX).index() > 1000);
        let done = world.run(Op::Recv { socket: Handle::from_bits(u64::MAX) });
        world.failed(&done, os::EBADF, "a handle that never was");
    });
}
