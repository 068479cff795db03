//! Invariants 7 to 9: completions come exactly once, cancels arrive, and nothing overflows into loss.

use std::collections::HashMap;
use std::time::Duration;

use ostia_port::{Config, Op, OpId, os};

use crate::common::peers::pipe;
use crate::common::system::write;
use crate::common::world::is_cancelled;
use crate::common::{Random, World, on_every_engine, on_every_network, repeat};

/// 7: hundreds of operations of all kinds, cancelled, closed and completed at random: one final completion each.
#[test]
fn i07_every_operation_completes_exactly_once() {
    on_every_network("i07_every_operation_completes_exactly_once", |engine| {
        let mut random = Random::new(7);
        for _ in 0..repeat(5, 200) {
            let mut world = engine.world(engine.config());
            let mut open: HashMap<u64, ()> = HashMap::new();
            let mut ids: Vec<OpId> = Vec::new();
            let mut peers = Vec::new();
            let handles: Vec<_> = (0..20)
                .map(|_| {
                    let (socket, far) = world.pair(0);
                    peers.push(far);
                    socket
                })
                .collect();
            for _ in 0..400 {
                let at = random.below(handles.len());
                let socket = handles[at];
                match random.below(9) {
                    0 => {
                        let _ = peers[at].try_send(&[1; 50]);
                    }
                    1 if !ids.is_empty() => world.port.cancel(ids[random.below(ids.len())]),
                    2 => world.turns(1),
                    3 if random.one_in(20) => world.port.close(socket),
                    kind => {
                        let op = match kind {
                            4 => Op::Recv { socket },
                            5 => Op::RecvInto { socket, buffer: Vec::with_capacity(30) },
                            6 => Op::Send { socket, data: vec![2; 3000].into() },
                            7 => Op::Timeout { after: Duration::from_millis(random.below(5) as u64) },
                            _ => Op::Poll { handle: socket, events: os::POLLIN | os::POLLOUT },
                        };
                        let (id, context) = world.submit(op);
                        ids.push(id);
                        open.insert(context, ());
                    }
                }
            }
            ids.iter().for_each(|id| world.port.cancel(*id));
            handles.iter().for_each(|handle| world.port.close(*handle));
            world.until("the last completion", |world| {
                while let Some(done) = world.pop() {
                    assert!(!done.more && open.remove(&done.context).is_some(), "a second completion of {}", done.context);
                }
                open.is_empty()
            });
            world.turns(5);
            assert!(world.pop().is_none(), "a completion of nothing");
            world.until("the handles to close", |world| world.port.outstanding() == (0, 0) || world.port.handles().count() == 0);
        }
    });
}

/// 8: with a submission queue of one to four entries, a thousand operations are cancelled in one turn.
#[test]
fn i08_a_cancel_is_never_lost_with_a_full_submission_queue() {
    on_every_engine("i08_a_cancel_is_never_lost_with_a_full_submission_queue", |engine| {
        for entries in [1, 2, 4] {
            let config = Config { submission_entries: entries, completion_entries: entries.max(2), ..engine.config() };
            let mut world = World::new(config);
            let mut peers = Vec::new();
            let mut waiting = Vec::new();
            for n in 0..300usize {
                let (near, far) = pipe();
                let handle = world.port.adopt(near, 0).expect("adopts");
                peers.push(far);
                waiting.push(world.submit(match n % 3 {
                    0 if cfg!(unix) => Op::Poll { handle, events: os::POLLIN },
                    0 | 1 => Op::Read { file: handle, buffer: Vec::with_capacity(10) },
                    _ => Op::ReadMulti { file: handle },
                }));
                if n == 150 {
                    world.turns(1);
                }
            }
            waiting.iter().for_each(|(id, _)| world.port.cancel(*id));
            for (_, context) in waiting {
                assert!(is_cancelled(&world.take(context)), "a cancelled operation is cancelled");
            }
        }
    });
}

/// 8: a socket that `send_file` has made non-blocking answers a receive early; a cancel at that moment is not lost.
#[test]
fn i08_a_cancel_is_not_lost_when_the_request_is_repeated() {
    on_every_network("i08_a_cancel_is_not_lost_when_the_request_is_repeated", |engine| {
        let mut world = engine.world(engine.config());
        let (socket, _far) = world.pair(0);
        let file = crate::common::peers::TempFile::new(b"some bytes");
        let file = world.port.adopt(file.open(), 0).expect("adopts");
        for _ in 0..5 {
            let sent = world.run(Op::SendFile { socket, head: b"".into(), file, offset: 0, len: 10 });
            assert_eq!(sent.result.ok(), Some(10));
            let (id, context) = world.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(10) });
            world.port.cancel(id);
            assert!(is_cancelled(&world.take(context)), "cancelled");
        }
    });
}

/// 9: a completion queue of two entries, four hundred requests that complete at the same moment.
#[test]
fn i09_an_overflown_completion_queue_loses_nothing() {
    on_every_engine("i09_an_overflown_completion_queue_loses_nothing", |engine| {
        let mut world = World::new(Config { submission_entries: 1, completion_entries: 2, ..engine.config() });
        let mut all = Vec::new();
        for _ in 0..400 {
            let (near, far) = pipe();
            let handle = world.port.adopt(near, 0).expect("adopts");
            all.push((far, world.submit(Op::Read { file: handle, buffer: Vec::with_capacity(10) }).1));
        }
        world.turns(2);
        for (far, _) in &all {
            assert_eq!(write(far, b"now"), Ok(3));
        }
        for (_, context) in &all {
            let done = world.take(*context);
            assert!(b"now".starts_with(&done.payload.into_vec()));
        }
        let statistics = world.port.statistics();
        println!("overflows {}, full {}", statistics.completion_overflow, statistics.submission_full);
    });
}

/// 9: a non-blocking pipe is waited for like any other: not asked again and again.
#[cfg(unix)]
#[test]
fn i09_a_non_blocking_descriptor_is_waited_for_without_spinning() {
    on_every_engine("i09_a_non_blocking_descriptor_is_waited_for_without_spinning", |engine| {
        let mut world = World::new(engine.config());
        let (near, far) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).expect("a pipe");
        let file = world.port.adopt(near, 0).expect("adopts");
        let (_, context) = world.submit(Op::Read { file, buffer: Vec::with_capacity(10) });
        let (_, clock) = world.submit(Op::Timeout { after: Duration::from_millis(50) });
        let before = world.port.statistics().turns;
        assert_eq!(world.take(clock).result.ok(), Some(0));
        let turns = world.port.statistics().turns - before;
        // Fifty milliseconds in waits of five, with faults a few that don't wait; spinning takes thousands.
        assert!(turns < 500, "{turns} turns for one timeout");
        assert_eq!(write(&far, b"!"), Ok(1));
        assert_eq!(world.take(context).result.ok(), Some(1));
    });
}

/// 7: a connect to a Unix socket whose backlog is full waits; it can be cancelled, and it succeeds when there is room.
#[cfg(unix)]
#[test]
fn i07_a_connect_to_a_full_backlog_waits() {
    on_every_engine("i07_a_connect_to_a_full_backlog_waits", |engine| {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen, socket_with};
        let mut world = World::new(engine.config());
        let unix = || socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        let listener = unix();
        let name = format!("ostia-port-backlog-{}-{}", std::process::id(), engine.name);
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("a name");
        bind(&listener, &address).expect("binds");
        listen(&listener, 0).expect("listens");
        let address = ostia_port::Address::from(rustix::net::getsockname(&listener).expect("an address"));
        let connect = |world: &mut World| {
            let socket = world.port.adopt(unix(), 0).expect("adopts");
            (socket, world.submit(Op::Connect { socket, address: address.clone() }))
        };
        let (_, (_, first)) = connect(&mut world);
        assert_eq!(world.take(first).result.ok(), Some(0), "one fits");
        let (_, (id, second)) = connect(&mut world);
        let (socket, (_, third)) = connect(&mut world);
        world.turn(Duration::from_millis(20));
        world.turn(Duration::from_millis(20));
        assert_eq!(world.stashed(second) + world.stashed(third), 0, "the others wait");
        world.port.cancel(id);
        assert!(is_cancelled(&world.take(second)));
        let _first = accept(&listener).expect("accepts");
        assert_eq!(world.take(third).result.ok(), Some(0));
        let peer = accept(&listener).expect("accepts");
        assert_eq!(write(&peer, b"!"), Ok(1));
        assert_eq!(world.run(Op::Recv { socket }).result.ok(), Some(1));
    });
}

/// 7: waking nobody wakes nobody; waking two of three wakes two.
#[test]
fn i07_a_futex_wakes_as_many_as_it_is_told() {
    on_every_engine("i07_a_futex_wakes_as_many_as_it_is_told", |engine| {
        use std::sync::{Arc, atomic::AtomicU32};
        let mut world = World::new(engine.config());
        let word = Arc::new(AtomicU32::new(0));
        let waiting: Vec<u64> = (0..3).map(|_| world.submit(Op::FutexWait { word: Arc::clone(&word), expected: 0 }).1).collect();
        let woken = world.run(Op::FutexWake { word: Arc::clone(&word), count: 0 });
        assert_eq!(woken.result.ok(), Some(0));
        assert_eq!(waiting.iter().filter(|&&context| world.stashed(context) > 0).count(), 0);
        let mut left = 3;
        world.until("all to be woken", |world| {
            let woken = world.run(Op::FutexWake { word: Arc::clone(&word), count: 2 }).result.expect("wakes");
            assert!(woken <= 2);
            left -= waiting.iter().filter(|&&context| world.taken(context).is_some()).count();
            left == 0
        });
        word.store(1, std::sync::atomic::Ordering::SeqCst);
        let done = world.run(Op::FutexWait { word, expected: 0 });
        world.failed(&done, os::EAGAIN, "it holds something else");
    });
}
