//! Invariants 1, 3, 4, 9 and 11 for sends that make no event when they go out: whatever happens to one in its turn (waited
//! for, queued behind, closed, aborted, too large, its peer gone), its bytes arrive once, in order, or somebody is told.

use std::task::Poll;
use std::time::Duration;

use ostia_port::{Buffer, Config, Handle, Op, os};

use crate::common::random::{assert_pattern, pattern};
use crate::common::{World, on_every_network};

const STREAM: u64 = 33;
const ROOM: u64 = 1 << 40;

/// Hands bytes of the stream to the send queue, which must have room.
#[track_caller]
fn send(world: &mut World, socket: Handle, at: u64, len: usize) {
    let mut data = Some(Buffer::from(pattern(STREAM, at, len)));
    let sent = world.port.poll_send(socket, &mut data, ROOM);
    assert!(matches!(sent, Poll::Ready(Ok(()))), "{sent:?}");
    assert!(data.is_none(), "what is accepted is taken");
}

/// 9, 11: a flush in the turn of the send is told of its end, though the send itself makes no event.
#[test]
fn i11_a_flush_in_the_same_turn_is_told() {
    on_every_network("i11_a_flush_in_the_same_turn_is_told", |engine| {
        let mut world = engine.world(engine.config());
        let (socket, far) = world.pair(0);
        let mut got = Vec::new();
        for round in 0..20u64 {
            send(&mut world, socket, round * 100, 100);
            let outstanding = world.port.outstanding();
            let pending = world.port.poll_flush(socket, 7).is_pending();
            if outstanding != (0, 0) {
                assert!(pending, "something is under way, and flush says that nothing is");
                world.take(7);
                assert!(matches!(world.port.poll_flush(socket, 7), Poll::Ready(Ok(()))));
            }
            assert_eq!(world.port.outstanding(), (0, 0), "a send that is over leaves nothing");
            world.read_up_to(&far, &mut got, (round as usize + 1) * 100);
            assert_pattern(STREAM, 0, &got);
        }
        assert_eq!(world.port.statistics().bytes_sent, 2000);
    });
}

/// 11: several sends of one turn, and an operation behind them, leave in order.
#[test]
fn i11_sends_of_one_turn_keep_their_order() {
    on_every_network("i11_sends_of_one_turn_keep_their_order", |engine| {
        let mut world = engine.world(engine.config());
        let (socket, far) = world.pair(0);
        let (mut at, mut got) = (0u64, Vec::new());
        for round in 0..30usize {
            for part in 0..round % 4 {
                let len = 1 + part * 500 + round;
                send(&mut world, socket, at, len);
                at += len as u64;
            }
            let data = Buffer::from(pattern(STREAM, at, 77));
            let (_, context) = world.submit(Op::Send { socket, data });
            at += 77;
            let done = world.take(context);
            assert!(done.result.is_ok(), "{done:?}");
            world.read_up_to(&far, &mut got, at as usize);
        }
        assert_pattern(STREAM, 0, &got);
        assert_eq!((got.len() as u64, world.port.statistics().bytes_sent), (at, at));
    });
}

/// 9, 11: a send for which the socket has no room goes on by itself, and counts its bytes once.
#[test]
fn i11_a_send_without_room_goes_on() {
    on_every_network("i11_a_send_without_room_goes_on", |engine| {
        let mut world = engine.world(engine.config());
        let (socket, far) = world.narrow_pair(0);
        let (mut at, mut got) = (0u64, Vec::new());
        for _ in 0..6 {
            // Far more than the two sockets hold: the first is cut, or takes nothing.
            send(&mut world, socket, at, 60_000);
            at += 60_000;
            world.turns(3);
            if world.port.poll_flush(socket, 8).is_pending() {
                world.take_while(8, |_| {
                    far.drain(&mut got);
                });
            }
            world.read_up_to(&far, &mut got, at as usize);
        }
        assert_pattern(STREAM, 0, &got);
        assert_eq!((got.len() as u64, world.port.statistics().bytes_sent), (at, at));
        assert_eq!(world.port.outstanding(), (0, 0));
    });
}

/// 3, 11: closing in the turn of the send delivers it first, with and without an operation that waits for the closing.
#[test]
fn i11_a_close_in_the_same_turn_delivers() {
    on_every_network("i11_a_close_in_the_same_turn_delivers", |engine| {
        let mut world = engine.world(engine.config());
        for round in 0..20 {
            let (socket, far) = world.pair(0);
            send(&mut world, socket, 0, 4000);
            if round % 2 == 0 {
                world.close(socket);
            } else {
                world.port.close(socket);
            }
            let mut got = Vec::new();
            world.until("the end", |_| !far.drain(&mut got));
            assert_eq!(got.len(), 4000, "round {round}");
            assert_pattern(STREAM, 0, &got);
        }
        world.until("all closed", |world| world.port.outstanding() == (0, 0));
    });
}

/// 1, 3: a handle aborted in the turn of its send goes, and its record's next user is not touched by it.
#[test]
fn i03_an_abort_in_the_same_turn_ends() {
    on_every_network("i03_an_abort_in_the_same_turn_ends", |engine| {
        let mut world = engine.world(engine.config());
        for _ in 0..20 {
            let (socket, far) = world.pair(0);
            send(&mut world, socket, 0, 4000);
            world.port.abort(socket);
            world.until("closed", |world| !world.is_open(socket));
            drop(far);
        }
        let (socket, far) = world.pair(0);
        send(&mut world, socket, 0, 10);
        let mut got = Vec::new();
        world.until("the bytes, and nothing under way", |world| {
            far.drain(&mut got);
            got.len() == 10 && world.port.outstanding() == (0, 0)
        });
    });
}

/// 11: a peer that has gone is told to a later send.
#[test]
fn i11_a_broken_connection_is_told() {
    on_every_network("i11_a_broken_connection_is_told", |engine| {
        let mut world = engine.world(engine.config());
        let (socket, far) = world.pair(0);
        far.reset();
        let mut told = None;
        world.until("an error", |world| {
            let mut data = Some(Buffer::from(vec![1; 100]));
            if let Poll::Ready(Err(error)) = world.port.poll_send(socket, &mut data, ROOM) {
                told = error.raw_os_error();
            }
            told.is_some()
        });
        assert!(matches!(told, Some(os::EPIPE | os::ECONNRESET | os::ECONNABORTED)), "{told:?}");
        world.close(socket);
    });
}

/// 4: a port dropped in the turn of its sends neither waits nor leaks.
#[test]
fn i04_a_port_dropped_in_the_same_turn_ends() {
    on_every_network("i04_a_port_dropped_in_the_same_turn_ends", |engine| {
        let before = ostia_port::leaked_requests();
        let mut world = engine.world(engine.config());
        let mut fars = Vec::new();
        for _ in 0..200 {
            let (socket, far) = world.pair(0);
            send(&mut world, socket, 0, 1000);
            fars.push(far);
        }
        drop(world);
        assert_eq!(ostia_port::leaked_requests(), before);
    });
}

/// 9: more sends in a turn than the submission queue has places, with both queues as small as they go.
#[test]
fn i09_more_silent_sends_than_places() {
    on_every_network("i09_more_silent_sends_than_places", |engine| {
        let mut world = engine.world(Config { submission_entries: 8, completion_entries: 16, ..engine.config() });
        let mut pairs = Vec::new();
        for index in 0..100u64 {
            let (socket, far) = if index % 3 == 0 { world.narrow_pair(index) } else { world.pair(index) };
            // Everybody receives too, so that completions crowd the queue.
            assert!(world.port.poll_recv(socket, ROOM + index).is_pending());
            pairs.push((socket, far, Vec::new()));
        }
        for round in 0..5u64 {
            for (socket, far, _) in &mut pairs {
                far.write_all(&[7; 10]);
                send(&mut world, *socket, round * 30_000, 30_000);
            }
            world.until("all bytes", |world| {
                world.turn(Duration::ZERO);
                pairs.iter_mut().for_each(|(_, far, got)| {
                    far.drain(got);
                });
                pairs.iter().all(|(.., got)| got.len() as u64 == (round + 1) * 30_000)
            });
        }
        pairs.iter().for_each(|(_, _, got)| assert_pattern(STREAM, 0, got));
    });
}
