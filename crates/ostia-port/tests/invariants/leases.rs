//! Invariant 6: chunks are never written to, whoever holds them, wherever and whenever they are given back.

use ostia_port::{Chunk, Config, Op, PoolConfig};

use crate::common::random::{assert_pattern, pattern};
use crate::common::{Random, on_every_network, repeat};

/// 6: chunks wander to other threads, are split and cloned there and dropped in any order, while the port receives on into
/// the buffers that have come back. Each chunk still holds what it held when it was received.
#[test]
fn i06_chunks_returned_from_other_threads_are_whole_until_then() {
    on_every_network("i06_chunks_returned_from_other_threads_are_whole_until_then", |engine| {
        let pool = PoolConfig { buffer_size: 4096, buffers: 16, ready_min: 2, ready_max: 8, ..PoolConfig::default() };
        let mut world = engine.world(Config { pool, ..engine.config() });
        let (socket, mut far) = world.pair(0);
        let total = repeat(1_000_000, 20_000_000) as u64;
        let writer = std::thread::spawn(move || {
            let mut sent = 0;
            while sent < total {
                let part = pattern(5, sent, 9000.min((total - sent) as usize));
                far.write_much(&part);
                sent += part.len() as u64;
            }
        });
        let (senders, holders): (Vec<_>, Vec<_>) = (0..3u64)
            .map(|n| {
                let (sender, receiver) = std::sync::mpsc::sync_channel::<(u64, Chunk)>(64);
                let holder = std::thread::spawn(move || {
                    let mut random = Random::new(n);
                    let mut held: Vec<(u64, Chunk)> = Vec::new();
                    for (at, mut chunk) in receiver {
                        if chunk.len() > 2 && random.one_in(2) {
                            let head = chunk.split_to(chunk.len() / 2);
                            held.push((at + head.len() as u64, chunk.clone()));
                            chunk = head;
                        }
                        held.push((at, chunk));
                        while held.len() > 6 {
                            let (at, chunk) = held.swap_remove(random.below(held.len()));
                            assert_pattern(5, at, &chunk);
                        }
                    }
                    held.iter().for_each(|(at, chunk)| assert_pattern(5, *at, chunk));
                });
                (sender, holder)
            })
            .unzip();
        let mut got = 0;
        let mut context = world.submit(Op::RecvMulti { socket }).1;
        world.until("the whole stream", |world| {
            while let Some(done) = world.taken(context) {
                let more = done.more;
                if done.result.as_ref().is_ok_and(|&len| len == 0) {
                    assert_eq!(got, total, "the end came early");
                    return true;
                }
                let chunk = done.payload.into_chunk().expect("bytes");
                let len = chunk.len() as u64;
                senders[(got % 3) as usize].send((got, chunk)).expect("the holder lives");
                got += len;
                if !more {
                    context = world.submit(Op::RecvMulti { socket }).1;
                }
            }
            got == total
        });
        drop(senders);
        writer.join().expect("no panic");
        holders.into_iter().for_each(|holder| holder.join().expect("a chunk was written to while it was held"));
        world.turns(2);
        assert_eq!(world.port.pool_use().1, 0, "all buffers are home");
    });
}

/// 6: chunks that outlive their port keep their bytes.
#[test]
fn i06_chunks_outlive_their_port() {
    on_every_network("i06_chunks_outlive_their_port", |engine| {
        let mut chunks = Vec::new();
        for n in 0..4u64 {
            let mut world = engine.world(engine.config());
            for m in 0..8 {
                let (socket, mut far) = world.pair(0);
                far.write_all(&pattern(n, m * 100, 100));
                let chunk = world.run(Op::Recv { socket }).payload.into_chunk().expect("a chunk");
                chunks.push((n, m * 100, chunk));
            }
        }
        for (stream, at, chunk) in &chunks {
            assert_pattern(*stream, *at, chunk);
        }
        std::thread::spawn(move || drop(chunks)).join().expect("no panic");
    });
}
