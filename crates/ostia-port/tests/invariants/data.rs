//! Invariant 10: bytes and connections that have arrived belong to their handle, however often the asker changes its mind.

use std::task::Poll;

use ostia_port::{Config, Handle, Op, Payload, PoolConfig};

use crate::common::net::Peer;
use crate::common::peers::pipe;
use crate::common::random::{assert_pattern, pattern};
use crate::common::system::write;
use crate::common::world::is_cancelled;
use crate::common::{Random, World, on_every_engine, on_every_network, repeat};

/// A peer that writes a numbered stream without waiting for anybody.
struct Source {
    peer: Peer,
    sent: u64,
    total: u64,
    ended: bool,
}

impl Source {
    fn new(peer: Peer, total: u64) -> Source {
        Source { peer, sent: 0, total, ended: false }
    }

    fn write_some(&mut self, random: &mut Random) {
        let most = (self.total - self.sent).min([1, 100, 5000, 70_000][random.below(4)]) as usize;
        if most > 0
            && let Ok(count) = self.peer.try_send(&pattern(3, self.sent, most))
        {
            self.sent += count as u64;
        }
        if self.sent == self.total && !std::mem::replace(&mut self.ended, true) {
            self.peer.end();
        }
    }
}

/// 10: a numbered stream, received by whatever operation chance chooses, cancelled at any moment: no byte lost or doubled.
#[test]
fn i10_cancels_lose_no_byte() {
    on_every_network("i10_cancels_lose_no_byte", |engine| {
        let mut random = Random::new(10);
        for round in 0..repeat(6, 300) {
            // Small bounds, so that pausing and copying out take part.
            let pool = PoolConfig { buffer_size: 4096, buffers: 8, ready_min: 1, ready_max: 4, ..PoolConfig::default() };
            let unread_max = [1024, 8192, 65_536][round % 3];
            let mut world = engine.world(Config { pool, unread_max, ..engine.config() });
            let (socket, far) = world.pair(0);
            let mut source = Source::new(far, 300_000);
            let mut got = 0u64;
            let mut pending = None;
            let mut ended = false;
            world.until("the stream's end", |world| {
                source.write_some(&mut random);
                let (id, context) = *pending.get_or_insert_with(|| match random.below(3) {
                    0 => world.submit(Op::Recv { socket }),
                    1 => world.submit(Op::RecvMulti { socket }),
                    _ => {
                        let room = 1 + random.below(9000);
                        world.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(room) })
                    }
                });
                if random.one_in(3) {
                    world.port.cancel(id);
                }
                world.turns(random.below(3));
                while let Some(done) = world.taken(context) {
                    if !done.more {
                        pending = None;
                    }
                    if is_cancelled(&done) {
                        continue;
                    }
                    let len = done.result.expect("the peer is sound");
                    ended |= len == 0;
                    let bytes: Vec<u8> = match done.payload {
                        Payload::Chunk(chunk) => chunk.to_vec(),
                        Payload::Buffer(buffer) => buffer.to_vec(),
                        _ => Vec::new(),
                    };
                    assert_eq!(bytes.len(), len);
                    assert_pattern(3, got, &bytes);
                    got += len as u64;
                }
                ended && pending.is_none()
            });
            assert_eq!(got, source.total, "every byte arrived");
        }
    });
}

/// 10: the same for the calls that runtimes use: interest forgotten, bytes put back, sizes around every bound.
#[test]
fn i10_the_polling_calls_keep_the_stream_in_order() {
    on_every_network("i10_the_polling_calls_keep_the_stream_in_order", |engine| {
        let mut random = Random::new(11);
        for round in 0..repeat(6, 300) {
            let size = [4096, 65_536][round % 2];
            let pool = PoolConfig { buffer_size: size, buffers: 16, ready_min: 2, ready_max: 8, ..PoolConfig::default() };
            let unread_max = [1024, 4096, 65_536][round % 3];
            let mut world = engine.world(Config { pool, unread_max, ..engine.config() });
            let (socket, far) = world.pair(0);
            let port = &mut world.port;
            let mut source = Source::new(far, 600_000);
            let (mut got, mut told) = (0u64, true);
            let mut idle = 0;
            loop {
                source.write_some(&mut random);
                if told || random.one_in(10) {
                    told = false;
                    for _ in 0..1 + random.below(20) {
                        match port.poll_recv(socket, 77) {
                            Poll::Ready(Ok(Some(mut chunk))) => {
                                if random.one_in(8) && chunk.len() > 1 {
                                    let head = chunk.split_to(1 + random.below(chunk.len() - 1));
                                    port.unread(socket, chunk).expect("open");
                                    chunk = head;
                                }
                                assert_pattern(3, got, &chunk);
                                got += chunk.len() as u64;
                                told = true;
                                idle = 0;
                            }
                            Poll::Ready(Ok(None)) => {
                                assert_eq!(got, source.total, "the end came early");
                                break;
                            }
                            Poll::Ready(Err(error)) => panic!("{error}"),
                            Poll::Pending => {
                                told = false;
                                break;
                            }
                        }
                    }
                    if random.one_in(4) {
                        port.forget_interest(socket);
                        told = true;
                    }
                }
                if got == source.total {
                    break;
                }
                port.wait(Some(std::time::Duration::from_millis(u64::from(!told)))).expect("the port works");
                while let Some(done) = port.next() {
                    assert!(done.id.is_none() && done.context == 77);
                    told = true;
                }
                idle += 1;
                assert!(idle < 50_000, "the stream stopped at {got} of {}, {} sent", source.total, source.sent);
            }
        }
    });
}

/// 10: connections that come while accepts are cancelled are accepted by the next, none lost, none doubled.
#[test]
fn i10_cancelled_accepts_lose_no_connection() {
    on_every_network("i10_cancelled_accepts_lose_no_connection", |engine| {
        let mut random = Random::new(12);
        for _ in 0..repeat(3, 100) {
            let mut world = engine.world(Config { accepted_max: 4, ..engine.config() });
            let (listener, address) = world.listener(0);
            let mut clients = Vec::new();
            let mut accepted: Vec<Handle> = Vec::new();
            let mut pending = None;
            world.until("all connections", |world| {
                if clients.len() < 60 {
                    clients.push(world.client(address));
                }
                let (id, context) = *pending.get_or_insert_with(|| {
                    world.submit(if random.one_in(2) { Op::Accept { listener } } else { Op::AcceptMulti { listener } })
                });
                if random.one_in(2) {
                    world.port.cancel(id);
                }
                world.turns(random.below(3));
                while let Some(done) = world.taken(context) {
                    if !done.more {
                        pending = None;
                    }
                    accepted.extend(done.payload.into_handle());
                }
                accepted.len() == 60
            });
            let peers: std::collections::HashSet<_> =
                accepted.iter().map(|&handle| world.port.peer_addr(handle).expect("connected").ip().expect("IP")).collect();
            let want: std::collections::HashSet<_> = clients.iter().map(Peer::local_addr).collect();
            assert_eq!(peers, want, "each connection once");
        }
    });
}

/// 10: what a pipe had delivered when its multishot read was cancelled comes out of the next.
#[test]
fn i10_cancelled_reads_of_a_pipe_lose_no_byte() {
    on_every_engine("i10_cancelled_reads_of_a_pipe_lose_no_byte", |engine| {
        let mut random = Random::new(13);
        let mut world = World::new(engine.config());
        let (near, far) = pipe();
        let file = world.port.adopt(near, 0).expect("adopts");
        let (mut sent, mut got) = (0u64, 0u64);
        let total = repeat(40_000, 400_000) as u64;
        let mut pending = None;
        world.until("the whole stream", |world| {
            let len = (1 + random.below(400)).min((total - sent) as usize);
            if sent - got < 30_000 && len > 0 {
                assert_eq!(write(&far, &pattern(4, sent, len)), Ok(len));
                sent += len as u64;
            }
            let (id, context) = *pending.get_or_insert_with(|| world.submit(Op::ReadMulti { file }));
            world.turns(random.below(3));
            if random.one_in(3) {
                world.port.cancel(id);
            }
            while let Some(done) = world.taken(context) {
                if !done.more {
                    pending = None;
                }
                if let Some(chunk) = done.payload.into_chunk() {
                    assert_pattern(4, got, &chunk);
                    got += chunk.len() as u64;
                }
            }
            got == total
        });
    });
}
