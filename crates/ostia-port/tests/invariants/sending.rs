//! Invariant 11: order and wholeness of what is sent, through mixed kinds, slow readers, closing and breaking off.

use std::net::Shutdown;
use std::task::Poll;
use std::time::Duration;

use ostia_port::{Buffer, Config, Handle, Op, os};

use crate::common::net::Peer;
use crate::common::peers::{TempFile, pipe};
use crate::common::random::{assert_pattern, pattern};
use crate::common::system::{FORGETS_RESETS, read_to_end, remembers_resets};
use crate::common::world::is_cancelled;
use crate::common::{Random, World, on_every_engine, on_every_network, repeat, skip};

const STREAM: u64 = 21;

/// Posts the next part of the stream as a sending operation of any kind; answers its context and length.
fn post_part(world: &mut World, random: &mut Random, socket: Handle, file: Handle, at: u64, len: usize) -> (u64, usize) {
    let data = pattern(STREAM, at, len);
    let op = match random.below(6) {
        0 => Op::Send { socket, data: data.into() },
        1 => Op::SendZc { socket, data: data.into() },
        2 => {
            let mut parts: Vec<Buffer> = Vec::new();
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let (part, more) = rest.split_at((1 + random.below(3000)).min(rest.len()));
                parts.push(part.to_vec().into());
                rest = more;
            }
            Op::SendVectored { socket, data: parts }
        }
        3 => Op::SendMsg { socket, message: Box::new(ostia_port::Message { data, ..Default::default() }) },
        4 => {
            let mut buffer = Some(Buffer::from(data));
            if world.port.poll_send(socket, &mut buffer, u64::MAX).is_ready() {
                return (0, len);
            }
            Op::Send { socket, data: buffer.take().expect("not taken") }
        }
        _ => {
            let head = random.below(len);
            let (offset, len) = (at + head as u64, (len - head) as u64);
            Op::SendFile { socket, head: data[..head].to_vec().into(), file, offset, len }
        }
    };
    (world.submit(op).1, len)
}

/// 11: sends of every kind, posted in one go behind each other, with a reader that takes little at a time; then the
/// shutdown. The peer sees one stream, byte by byte, and its end.
#[test]
fn i11_mixed_sends_keep_their_order() {
    on_every_network("i11_mixed_sends_keep_their_order", |engine| {
        let mut random = Random::new(21);
        let total = 400_000u64;
        let source = TempFile::new(&pattern(STREAM, 0, total as usize));
        for _ in 0..repeat(4, 300) {
            let mut world = engine.world(engine.config());
            let file = world.port.adopt(source.open(), 0).expect("adopts");
            let (socket, far) = world.narrow_pair(0);
            let mut contexts = Vec::new();
            let mut at = 0;
            while at < total {
                let most = [10, 5000, 60_000][random.below(3)];
                let len = (1 + random.below(most)).min((total - at) as usize);
                let (context, len) = post_part(&mut world, &mut random, socket, file, at, len);
                contexts.extend((context > 0).then_some(context));
                at += len as u64;
            }
            let (_, ending) = world.submit(Op::Shutdown { socket, how: Shutdown::Write });
            let mut got = Vec::new();
            world.until("the stream", |_| {
                let mut scratch = vec![0; 1 + random.below(20_000)];
                if let Ok(count) = far.try_recv(&mut scratch) {
                    got.extend_from_slice(&scratch[..count]);
                }
                got.len() as u64 == total
            });
            assert_pattern(STREAM, 0, &got);
            for context in contexts {
                assert!(world.take(context).result.is_ok());
            }
            assert_eq!(world.take(ending).result.ok(), Some(0));
            world.read_up_to(&far, &mut got, usize::MAX);
            assert_eq!(got.len() as u64, total, "nothing after the end");
        }
    });
}

/// 11: a cancelled send says how much of it has gone, and what follows it follows just there.
#[test]
fn i11_a_cancelled_send_tells_how_much_has_gone() {
    on_every_network("i11_a_cancelled_send_tells_how_much_has_gone", |engine| {
        let mut random = Random::new(22);
        for _ in 0..repeat(20, 1000) {
            let mut world = engine.world(engine.config());
            let (socket, far) = world.narrow_pair(0);
            let zero_copy = random.one_in(2);
            let data: Buffer = pattern(STREAM, 0, 100_000).into();
            let (id, context) = world.submit(if zero_copy { Op::SendZc { socket, data } } else { Op::Send { socket, data } });
            let mut got = Vec::new();
            for _ in 0..random.below(4) {
                world.turns(1);
                far.drain(&mut got);
            }
            world.port.cancel(id);
            let done = world.take_while(context, |_| {
                far.drain(&mut got);
            });
            let gone = if is_cancelled(&done) { 0 } else { done.result.expect("sent") };
            let data = pattern(STREAM, gone as u64, 50_000);
            let (_, context) = world.submit(Op::Send { socket, data: data.into() });
            let done = world.take_while(context, |_| {
                far.drain(&mut got);
            });
            assert_eq!(done.result.ok(), Some(50_000));
            world.read_up_to(&far, &mut got, gone + 50_000);
            assert_eq!(got.len(), gone + 50_000);
            assert_pattern(STREAM, 0, &got);
        }
    });
}

/// A narrow connection on which `LEN` bytes have been posted that the peer has not read.
fn posted(world: &mut World) -> (Handle, Peer, Vec<u64>) {
    let (socket, far) = world.narrow_pair(0);
    let mut contexts = Vec::new();
    for part in 0..4u64 {
        let data = pattern(STREAM, part * 25_000, 25_000);
        if part == 0 {
            assert!(matches!(world.port.poll_send(socket, &mut Some(data.into()), 0), Poll::Ready(Ok(()))));
        } else {
            contexts.push(world.submit(Op::Send { socket, data: data.into() }).1);
        }
    }
    world.turns(2);
    (socket, far, contexts)
}

/// 11: closing delivers what was posted before it, then ends the stream.
#[test]
fn i11_close_delivers_what_was_posted() {
    on_every_network("i11_close_delivers_what_was_posted", |engine| {
        let mut world = engine.world(engine.config());
        let (socket, far, contexts) = posted(&mut world);
        let (_, closing) = world.submit(Op::Close { handle: socket });
        assert!(matches!(world.port.poll_send(socket, &mut Some(Buffer::from(b"late")), 0), Poll::Ready(Err(_))));
        let mut got = Vec::new();
        for context in contexts {
            let done = world.take_while(context, |_| {
                far.drain(&mut got);
            });
            assert_eq!(done.result.ok(), Some(25_000));
        }
        assert_eq!(world.take(closing).result.ok(), Some(0));
        world.read_up_to(&far, &mut got, usize::MAX);
        assert_eq!(got.len(), 100_000);
        assert_pattern(STREAM, 0, &got);
    });
}

/// 11: a peer that never reads holds a closed handle no longer than the linger; then it sees a reset, not an end.
#[test]
fn i11_the_linger_ends_in_a_reset() {
    on_every_network("i11_the_linger_ends_in_a_reset", |engine| {
        for zero_copy in [false, true] {
            let mut world = engine.world(Config { linger: Duration::from_millis(50), ..engine.config() });
            let (socket, far, mut contexts) = posted(&mut world);
            if zero_copy {
                contexts.push(world.submit(Op::SendZc { socket, data: pattern(STREAM, 0, 50_000).into() }).1);
            }
            let (_, closing) = world.submit(Op::Close { handle: socket });
            assert_eq!(world.take(closing).result.ok(), Some(0));
            for context in contexts {
                let done = world.take(context);
                assert!(is_cancelled(&done) || done.result.is_ok(), "{:?}", done.result);
            }
            expect_reset(&mut world, "i11_the_linger_ends_in_a_reset/the reset", &far);
        }
    });
}

/// 11: aborting drops what has not gone out, at once, and the peer sees a reset; also during a linger.
#[test]
fn i11_abort_resets() {
    on_every_network("i11_abort_resets", |engine| {
        for (lingers, zero_copy) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut world = engine.world(engine.config());
            let (socket, far) = world.narrow_pair(0);
            let data: Buffer = pattern(STREAM, 0, 100_000).into();
            let (_, context) = world.submit(if zero_copy { Op::SendZc { socket, data } } else { Op::Send { socket, data } });
            let (_, waiting) = world.submit(Op::Recv { socket });
            world.turns(3);
            if lingers {
                world.port.close(socket);
                world.turns(1);
            }
            world.port.abort(socket);
            let done = world.take(context);
            assert!(is_cancelled(&done) || done.result.as_ref().is_ok_and(|&sent| sent < 100_000), "{:?}", done.result);
            assert!(is_cancelled(&world.take(waiting)));
            world.until("the handle to go", |world| !world.is_open(socket));
            expect_reset(&mut world, "i11_abort_resets/the reset", &far);
        }
    });
}

/// 11: the system tells of a broken connection once. Where a send was told, the receive behind it finds no end of the stream, as
/// if the peer had ended it.
#[test]
fn i11_a_reset_that_a_send_was_told_is_no_end() {
    const NAME: &str = "i11_a_reset_that_a_send_was_told_is_no_end";
    if !remembers_resets() {
        return skip(NAME, FORGETS_RESETS);
    }
    on_every_network(NAME, |engine| {
        for (polls, direct) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut world = engine.world(engine.config());
            let (socket, far) = world.pair(0);
            far.reset();
            world.until("a send to be told", |world| {
                let data = pattern(STREAM, 0, 100).into();
                if polls {
                    matches!(world.port.poll_send(socket, &mut Some(data), 7), Poll::Ready(Err(_)))
                } else {
                    world.run(Op::Send { socket, data }).result.is_err()
                }
            });
            let receive = |buffer| if direct { Op::RecvInto { socket, buffer } } else { Op::Recv { socket } };
            let code = world.run(receive(Vec::with_capacity(8))).result.expect_err("the reset").raw_os_error();
            assert!(matches!(code, Some(os::ECONNRESET | os::EPIPE | os::ECONNABORTED)), "{code:?}");
            // It is told once, as all errors of receiving are. Windows tells it again and again.
            #[cfg(unix)]
            assert_eq!(world.run(receive(Vec::with_capacity(8))).result.ok(), Some(0));
        }
    });
}

/// What there is may be read; then comes a reset.
fn expect_reset(world: &mut World, name: &str, far: &Peer) {
    let mut scratch = vec![0; 1 << 20];
    let mut told = Ok(1);
    world.until("the end of what the peer reads", |_| {
        while matches!(told, Ok(1..)) {
            told = far.try_recv(&mut scratch);
        }
        if told == Err(os::EAGAIN) {
            told = Ok(1);
            return false;
        }
        true
    });
    if told == Ok(0) && !remembers_resets() {
        return skip(name, FORGETS_RESETS);
    }
    assert_eq!(told, Err(os::ECONNRESET), "no end of file where bytes are missing");
}

/// 11: the send queue of the polling calls is bounded, tells when there is room, and flush tells when all is gone.
#[test]
fn i11_the_send_queue_is_bounded_and_tells_of_room() {
    on_every_network("i11_the_send_queue_is_bounded_and_tells_of_room", |engine| {
        let mut world = engine.world(Config { unread_max: 8192, ..engine.config() });
        let (socket, far) = world.narrow_pair(0);
        let (mut at, mut got) = (0u64, Vec::new());
        let mut next = None;
        let mut waits = 0;
        world.until("all accepted", |world| {
            while at < 300_000 {
                let mut data = next.take().or_else(|| Some(Buffer::from(pattern(STREAM, at, 3000))));
                match world.port.poll_send(socket, &mut data, 5) {
                    Poll::Ready(Ok(())) => at += 3000,
                    Poll::Ready(Err(error)) => panic!("{error}"),
                    Poll::Pending => {
                        assert!(data.is_some(), "not accepted is not taken");
                        next = data;
                        break;
                    }
                }
            }
            // Only somebody who was told goes on: if telling were forgotten, this would wait in vain.
            if at < 300_000 {
                waits += 1;
                world.until("room", |world| {
                    far.drain(&mut got);
                    world.taken(5).is_some()
                });
            }
            at == 300_000
        });
        assert!(waits > 5, "the queue was full {waits} times");
        while world.port.poll_flush(socket, 6).is_pending() {
            world.take_while(6, |_| {
                far.drain(&mut got);
            });
        }
        world.read_up_to(&far, &mut got, 300_000);
        assert_eq!(got.len(), 300_000);
        assert_pattern(STREAM, 0, &got);
    });
}

/// 11: sends of every kind that a pipe has go out whole and in order, whatever room there is; the rest after the close too.
/// A pipe that nobody reads any more says so.
#[test]
fn i11_sends_to_a_pipe_keep_their_order() {
    on_every_engine("i11_sends_to_a_pipe_keep_their_order", |engine| {
        let mut random = Random::new(22);
        let total = 600_000u64;
        for _ in 0..repeat(2, 50) {
            let mut world = World::new(engine.config());
            let (near, far) = pipe();
            let socket = world.port.adopt(far, 0).expect("adopts");
            let reading = std::thread::spawn(move || read_to_end(near));
            let (mut at, mut posted) = (0, Vec::new());
            while at < total {
                let len = (1 + random.below(90_000)).min((total - at) as usize);
                let data = pattern(STREAM, at, len);
                let mut buffer = Some(Buffer::from(data));
                match random.below(3) {
                    0 if world.port.poll_send(socket, &mut buffer, u64::MAX).is_ready() => {}
                    1 => posted.push((world.submit(Op::SendZc { socket, data: buffer.take().expect("not taken") }).1, len)),
                    _ => posted.push((world.submit(Op::Send { socket, data: buffer.take().expect("not taken") }).1, len)),
                }
                at += len as u64;
                if random.below(4) == 0 {
                    world.turns(1);
                }
            }
            world.close(socket);
            for (context, len) in posted {
                let done = world.take(context);
                assert_eq!(done.result.ok(), Some(len), "whole");
                assert!(done.payload.into_vec().len() == len, "the buffer comes back");
            }
            let all = reading.join().expect("no panic");
            assert_eq!(all.len() as u64, total);
            assert_pattern(STREAM, 0, &all);

            let (near, far) = pipe();
            let socket = world.port.adopt(far, 0).expect("adopts");
            let (_, stuck) = world.submit(Op::Send { socket, data: vec![1; 1 << 20].into() });
            world.turns(3);
            drop(near);
            world.take(stuck).result.expect_err("broken");
            world.until("the error", |world| {
                let sent = world.port.poll_send(socket, &mut Some(Buffer::from(b"!")), u64::MAX);
                matches!(sent, Poll::Ready(Err(error)) if error.raw_os_error() == Some(os::EPIPE))
            });
        }
    });
}
