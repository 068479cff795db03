//! Invariant 14: posted accepts, ready buffers and the pool's memory grow with the load and shrink after it.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use ostia_port::{Config, DriverKind, Features, Op, PoolConfig};

use crate::common::peers::tcp_pair;
use crate::common::{World, on_every_engine, raise_descriptor_limit};

/// 14: where an accept can't repeat itself several are posted, more in a burst, fewer after it.
#[test]
fn i14_posted_accepts_follow_the_load() {
    raise_descriptor_limit();
    on_every_engine("i14_posted_accepts_follow_the_load", |engine| {
        let features = Features::all().without(Features::MULTISHOT_ACCEPT);
        let mut world = World::new(Config { features, accepts_posted: (2, 16), accepted_max: 10_000, ..engine.config() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("address");
        let listener = world.port.adopt(listener, 0).expect("adopts");
        let (_, context) = world.submit(Op::AcceptMulti { listener });
        world.turns(2);
        let posted = |world: &World| world.port.accepts_posted(listener).expect("open");
        let single = matches!(world.port.driver(), DriverKind::IoUring | DriverKind::Iocp);
        if single {
            assert_eq!(posted(&world), 2, "the least");
        }
        let mut clients = Vec::new();
        let mut accepted = 0;
        let mut most = 0;
        for _ in 0..10 {
            clients.extend((0..60).map(|_| TcpStream::connect(address).expect("connects")));
            world.until("the burst", |world| {
                most = most.max(posted(world));
                while let Some(done) = world.taken(context) {
                    accepted += 1;
                    let handle = done.payload.into_handle().expect("a connection");
                    world.port.close(handle);
                }
                accepted == clients.len()
            });
            clients.clear();
            accepted = 0;
        }
        if single {
            assert!(most > 2 && most <= 16, "{most} were posted at most");
            world.until("the surplus to be withdrawn", |world| posted(world) == 2);
            // And it still accepts.
            let _client = TcpStream::connect(address).expect("connects");
            assert!(world.take(context).payload.into_handle().is_some());
        }
        let (_, closing) = world.submit(Op::Close { handle: listener });
        assert_eq!(world.take(closing).result.ok(), Some(0), "all posted accepts were withdrawn");
    });
}

/// 14: a burst makes the pool grow to what is held; afterwards the memory goes back, down to the buffers kept ready, and
/// what is received then is right.
#[test]
fn i14_the_pool_follows_the_load_and_returns_its_memory() {
    on_every_engine("i14_the_pool_follows_the_load_and_returns_its_memory", |engine| {
        let size = 16 << 10;
        let pool = PoolConfig { buffer_size: size, buffers: 64, ready_min: 2, ready_max: 32, ..PoolConfig::default() };
        let mut world = World::new(Config { pool, ..engine.config() });
        let mut peers: Vec<_> = (0..40)
            .map(|_| {
                let (near, far) = tcp_pair();
                (world.port.adopt(near, 0).expect("adopts"), far)
            })
            .collect();
        let contexts: Vec<u64> = peers.iter().map(|(socket, _)| world.submit(Op::RecvMulti { socket: *socket }).1).collect();
        world.turns(2);
        let quiet = world.port.pool_use().0;
        let mut held = Vec::new();
        let mut most_ready = 0;
        for _ in 0..6 {
            for (_, far) in &mut peers {
                far.write_all(&[5; 10_000]).expect("sent");
            }
            world.turns(3);
            most_ready = most_ready.max(world.port.pool_use().2);
            for context in &contexts {
                while let Some(done) = world.taken(*context) {
                    held.push(done.payload.into_chunk().expect("bytes"));
                }
            }
        }
        let (busy, leased, ..) = world.port.pool_use();
        assert!(busy > quiet && leased > 2, "grew from {quiet} to {busy} bytes with {leased} buffers leased");
        if world.port.features().contains(Features::BUFFER_RING) {
            assert!(most_ready > 2, "more stand ready under load: {most_ready}");
        }
        held.clear();
        // The memory is looked at once a second, and given back when it was idle all that time.
        world.until("the memory to be returned", |world| {
            world.turn(Duration::from_millis(20));
            for context in &contexts {
                while world.taken(*context).is_some() {}
            }
            world.port.pool_use().0 <= quiet.max(4 * size)
        });
        for (n, (_, far)) in peers.iter_mut().enumerate() {
            far.write_all(&[n as u8; 3000]).expect("sent");
            let mut got = 0;
            while got < 3000 {
                let chunk = world.take(contexts[n]).payload.into_chunk().expect("bytes");
                assert!(chunk.iter().all(|&byte| byte == n as u8));
                got += chunk.len();
            }
        }
    });
}
