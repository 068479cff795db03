//! Rigs of what brings bytes and connections in: accept, connect, recv, read of a pipe again and again.

#[cfg(windows)]
use std::io::Write;
#[cfg(windows)]
use std::net::{TcpListener, TcpStream};

use ostia_port::os::{self, OwnedFd};
use ostia_port::{Completion, Handle, Op, Payload};

use crate::common::World;
#[cfg(unix)]
use crate::common::net::Network;
use crate::common::net::{FarListener, Peer};
use crate::common::peers::pipe;
#[cfg(windows)]
use crate::common::peers::reset;
use crate::common::random::pattern;
use crate::common::system::{remembers_resets, write};
use crate::common::world::is_cancelled;
use crate::matrix::Bench;
use crate::rig::Rig;

/// What the peer writes.
const WORDS: &[u8] = b"salve, portus! quid novi ex urbe?";

pub struct Accepting {
    listener: Handle,
    address: std::net::SocketAddr,
    multi: bool,
    clients: Vec<Peer>,
}

fn accepting(world: &mut World, multi: bool) -> Box<dyn Rig> {
    let (listener, address) = world.listener(17);
    Box::new(Accepting { listener, address, multi, clients: Vec::new() })
}

pub fn accept(world: &mut World) -> Box<dyn Rig> {
    accepting(world, false)
}

pub fn accept_multi(world: &mut World) -> Box<dyn Rig> {
    accepting(world, true)
}

impl Rig for Accepting {
    fn op(&mut self) -> Op {
        let listener = self.listener;
        if self.multi { Op::AcceptMulti { listener } } else { Op::Accept { listener } }
    }

    fn happen(&mut self, world: &mut World) {
        self.clients.push(world.client(self.address));
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.more, self.multi, "whether it goes on");
        world.equal(done.key, 17, "the listener's key");
        world.equal(done.result.ok(), Some(0), "accepts");
        let socket = done.payload.into_handle().expect("a connection");
        // It is the client's: what it says comes out of it.
        let client = self.clients.last_mut().expect("a client");
        client.write_all(WORDS);
        let heard = world.run(Op::Recv { socket });
        world.equal(heard.key, 17, "a connection inherits the listener's key");
        let chunk = heard.payload.into_chunk().expect("a chunk");
        world.check(WORDS.starts_with(&chunk), "the client's words");
        world.port.close(socket);
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done) && !done.more, "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.listener)
    }
}

/// A connection that was reset while it waited to be accepted is passed over, and the next one is accepted; or it is accepted,
/// and its first receive says so.
#[cfg(windows)]
pub fn accept_reset(bench: &mut Bench) {
    for multi in [false, true] {
        let mut world = bench.world();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("address");
        reset(TcpStream::connect(address).expect("connects"));
        let mut later = TcpStream::connect(address).expect("connects");
        later.write_all(WORDS).expect("sent");
        let listener = world.port.adopt(listener, 0).expect("adopts");
        let mut context = 0;
        for round in 0..2 {
            if round == 0 || !multi {
                context = world.submit(if multi { Op::AcceptMulti { listener } } else { Op::Accept { listener } }).1;
            }
            let done = world.take(context);
            let socket = done.payload.into_handle().unwrap_or_else(|| panic!("a connection, not {:?}", done.result));
            let heard = world.run(Op::Recv { socket });
            if let Payload::Chunk(chunk) = heard.payload {
                world.check(WORDS.starts_with(&chunk), "the sound one's words");
                break;
            }
            world.equal(round, 0, "only the first is broken");
            world.failed(&heard, os::ECONNRESET, "the reset is told by the connection");
        }
        bench.book(&world);
    }
}

/// A connection that was reset while it waited to be accepted is accepted, and its first receive says so; a stack of the
/// program's own has forgotten it, and accepts the next one. Of a branch it depends on which came first, the reset or the word
/// of the connection.
#[cfg(unix)]
pub fn accept_reset(bench: &mut Bench) {
    let broken = match bench.network() {
        Network::Kernel => 1..=1,
        #[cfg(target_os = "linux")]
        Network::Stack => 0..=0,
        #[cfg(target_os = "linux")]
        Network::Branch => 0..=1,
    };
    for multi in [false, true] {
        let mut world = bench.world();
        let (listener, address) = world.listener(0);
        world.connected_client(address).reset();
        let mut later = world.connected_client(address);
        later.write_all(b"sound");
        let (mut context, mut resets) = (0, 0);
        loop {
            if resets == 0 || !multi {
                context = world.submit(if multi { Op::AcceptMulti { listener } } else { Op::Accept { listener } }).1;
            }
            let socket = world.take(context).payload.into_handle().expect("a connection");
            let heard = world.run(Op::Recv { socket });
            if let Payload::Chunk(chunk) = heard.payload {
                world.equal(&*chunk, b"sound", "the other one is sound");
                break;
            }
            world.failed(&heard, os::ECONNRESET, "the reset is told by the connection");
            resets += 1;
        }
        world.check(broken.contains(&resets), "as many broken ones as there may be");
        bench.book(&world);
    }
}

pub struct Connecting {
    listener: FarListener,
    socket: Handle,
}

pub fn connect(world: &mut World) -> Box<dyn Rig> {
    Box::new(Connecting { listener: world.far_listener(), socket: world.unconnected(23) })
}

impl Rig for Connecting {
    fn op(&mut self) -> Op {
        Op::Connect { socket: self.socket, address: self.listener.address().into() }
    }

    fn happen(&mut self, _: &mut World) {}

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 23, "the socket's key");
        world.equal(done.result.ok(), Some(0), "connects");
        let mut peer = world.far_accept(&self.listener);
        peer.write_all(WORDS);
        let chunk = world.run(Op::Recv { socket: self.socket }).payload.into_chunk().expect("a chunk");
        world.check(WORDS.starts_with(&chunk), "the listener's words");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.socket)
    }

    fn recovers(&self) -> bool {
        false
    }
}

/// Nobody listens: refused.
pub fn connect_refused(bench: &mut Bench) {
    let mut world = bench.world();
    let address = world.far_listener().address().into();
    let socket = world.unconnected(0);
    let done = world.run(Op::Connect { socket, address });
    world.failed(&done, os::ECONNREFUSED, "nobody listens");
    bench.book(&world);
}

/// How a stream is received.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Once,
    Multi,
    Into,
    /// From a pipe.
    Pipe,
}

pub struct Receiving {
    handle: Handle,
    how: How,
    peer: Option<Source>,
}

/// Who writes what is received.
enum Source {
    Socket(Peer),
    Pipe(OwnedFd),
}

impl Source {
    fn write(&mut self, bytes: &[u8]) {
        match self {
            Source::Socket(peer) => peer.write_all(bytes),
            Source::Pipe(pipe) => {
                assert_eq!(write(pipe, bytes), Ok(bytes.len()));
            }
        }
    }
}

fn receiver(world: &mut World, how: How) -> Receiving {
    let (handle, peer) = if how == How::Pipe {
        let (near, far) = pipe();
        (world.port.adopt(near, 5).expect("adopts"), Source::Pipe(far))
    } else {
        let (near, far) = world.pair(5);
        (near, Source::Socket(far))
    };
    Receiving { handle, how, peer: Some(peer) }
}

pub fn recv(world: &mut World) -> Box<dyn Rig> {
    Box::new(receiver(world, How::Once))
}

pub fn recv_multi(world: &mut World) -> Box<dyn Rig> {
    Box::new(receiver(world, How::Multi))
}

pub fn recv_into(world: &mut World) -> Box<dyn Rig> {
    Box::new(receiver(world, How::Into))
}

pub fn read_multi(world: &mut World) -> Box<dyn Rig> {
    Box::new(receiver(world, How::Pipe))
}

impl Receiving {
    fn multi(&self) -> bool {
        matches!(self.how, How::Multi | How::Pipe)
    }

    /// The bytes of a completion.
    fn bytes(&self, world: &mut World, done: Completion) -> Vec<u8> {
        let len = done.result.expect("receives");
        let bytes = match done.payload {
            Payload::Chunk(chunk) => chunk.to_vec(),
            Payload::Buffer(buffer) => {
                let buffer = buffer.into_vec();
                world.check(buffer.starts_with(b"# "), "what the buffer held is kept");
                buffer[2..].to_vec()
            }
            other => panic!("no bytes: {other:?}"),
        };
        world.equal(bytes.len(), len, "the result is the number of bytes");
        bytes
    }
}

impl Rig for Receiving {
    fn op(&mut self) -> Op {
        match self.how {
            How::Once => Op::Recv { socket: self.handle },
            How::Multi => Op::RecvMulti { socket: self.handle },
            How::Pipe => Op::ReadMulti { file: self.handle },
            How::Into => {
                let mut buffer = Vec::with_capacity(100);
                buffer.extend_from_slice(b"# ");
                Op::RecvInto { socket: self.handle, buffer }
            }
        }
    }

    fn happen(&mut self, _: &mut World) {
        self.peer.as_mut().expect("the peer lives").write(WORDS);
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.more, self.multi(), "whether it goes on");
        world.equal(done.key, 5, "the handle's key");
        let bytes = self.bytes(world, done);
        world.check(WORDS.starts_with(&bytes), "the peer's words");
        world.amount(bytes.len(), WORDS.len(), "all of them");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done) && !done.more, "cancelled");
        match done.payload {
            Payload::Buffer(buffer) => world.equal(buffer.to_vec(), b"# ".to_vec(), "the buffer comes back as it was"),
            Payload::None => world.check(self.how != How::Into, "the buffer comes back"),
            other => panic!("a cancelled receive brings {other:?}"),
        }
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.handle)
    }
}

/// Fewer bytes than there is room for; and more than that, in as many receives as it takes.
fn short(bench: &mut Bench, how: How) {
    let mut world = bench.world();
    let mut rig = receiver(&mut world, how);
    let mut got = Vec::new();
    let mut sent = 0;
    while got.len() < 300 {
        if sent < 300 {
            rig.peer.as_mut().expect("the peer").write(&[(sent / 10) as u8; 10]);
            sent += 10;
        }
        let op = if rig.how == How::Into {
            let mut buffer = Vec::with_capacity(9);
            buffer.extend_from_slice(b"# ");
            Op::RecvInto { socket: rig.handle, buffer }
        } else {
            rig.op()
        };
        let (id, context) = world.submit(op);
        let done = world.take(context);
        if done.more {
            world.port.cancel(id);
        }
        got.extend(rig.bytes(&mut world, done));
        if rig.multi() {
            loop {
                let more = world.take(context);
                if is_cancelled(&more) {
                    break;
                }
                got.extend(rig.bytes(&mut world, more));
            }
        }
    }
    world.equal(got, (0..300).map(|i| (i / 10) as u8).collect::<Vec<u8>>(), "every byte once and in order");
    bench.book(&world);
}

/// The peer ends after its words: first the words, then the end, and the end again whenever one asks.
fn end(bench: &mut Bench, how: How) {
    let mut world = bench.world();
    let mut rig = receiver(&mut world, how);
    rig.happen(&mut world);
    match rig.peer.take().expect("the peer") {
        Source::Socket(peer) => peer.end(),
        Source::Pipe(pipe) => drop(pipe),
    }
    let mut got = Vec::new();
    let mut ends = 0;
    let mut context = None;
    while ends < 3 {
        let current = context.take().unwrap_or_else(|| {
            let op = rig.op();
            world.submit(op).1
        });
        let done = world.take(current);
        let goes_on = done.more;
        if done.result.as_ref().is_ok_and(|&n| n == 0) {
            ends += 1;
            world.check(
                !goes_on && done.payload.into_chunk().is_none_or(|c| c.is_empty()),
                "the end brings nothing and is the end",
            );
        } else {
            world.equal(ends, 0, "bytes after the end");
            got.extend(rig.bytes(&mut world, done));
        }
        context = goes_on.then_some(current);
    }
    world.equal(got, WORDS.to_vec(), "all that came before the end");
    bench.book(&world);
}

/// The peer breaks off: the receive says so, and is no end of file.
fn broken(bench: &mut Bench, how: How) {
    for turns in [0, 2] {
        let mut world = bench.world();
        let mut rig = receiver(&mut world, how);
        let op = rig.op();
        let (_, context) = world.submit(op);
        world.turns(turns);
        let Some(Source::Socket(peer)) = rig.peer.take() else { panic!("a socket") };
        peer.reset();
        let done = world.take(context);
        // An engine with faults may hold the receive back until the reset has come; then nothing has waited for that.
        let forgotten = bench.faulty() && !remembers_resets() && matches!(done.result, Ok(0));
        if !forgotten {
            world.failed(&done, os::ECONNRESET, "a reset");
        }
        world.check(!done.more, "it is the end of the operation");
        if how == How::Into {
            world.check(matches!(done.payload, Payload::Buffer(_)), "the buffer comes back");
        }
        bench.book(&world);
    }
}

/// Two buffers, and thirty connections whose chunks are all held: nobody sees an error, nothing is lost.
fn dry(bench: &mut Bench, how: How) {
    let mut world = bench.world();
    let mut rigs: Vec<Receiving> = (0..30).map(|_| receiver(&mut world, how)).collect();
    let mut held = Vec::new();
    let contexts: Vec<u64> = rigs
        .iter_mut()
        .map(|rig| {
            let op = rig.op();
            world.submit(op).1
        })
        .collect();
    world.turns(2);
    let words = pattern(9, 0, 1000);
    rigs.iter_mut().for_each(|rig| rig.peer.as_mut().expect("the peer").write(&words));
    for (rig, context) in rigs.iter().zip(contexts) {
        let mut got = 0;
        let mut current = context;
        while got < words.len() {
            let done = world.take(current);
            world.check(done.result.is_ok(), "a dry pool is nobody's error");
            let goes_on = done.more;
            let chunk = done.payload.into_chunk().expect("a chunk");
            world.check(words[got..].starts_with(&chunk) && !chunk.is_empty(), "the peer's words");
            got += chunk.len();
            held.push(chunk);
            if !goes_on && got < words.len() {
                current = world.submit(Op::Recv { socket: rig.handle }).1;
            }
        }
    }
    let (_, leased, _, copied) = world.port.pool_use();
    world.check(leased <= 2 && copied > 20_000, "what a pool of two can't hold was copied out");
    drop(held);
    world.equal(world.port.pool_use().3, 0, "copies are off the book once dropped");
    bench.book(&world);
}

macro_rules! receiving_cells {
    ($($name:ident: $test:ident($how:ident);)*) => {
        $(pub fn $name(bench: &mut Bench) {
            $test(bench, How::$how);
        })*
    };
}

receiving_cells! {
    recv_short: short(Once);
    recv_multi_short: short(Multi);
    recv_into_short: short(Into);
    read_multi_short: short(Pipe);
    recv_end: end(Once);
    recv_multi_end: end(Multi);
    recv_into_end: end(Into);
    read_multi_end: end(Pipe);
    recv_reset: broken(Once);
    recv_multi_reset: broken(Multi);
    recv_into_reset: broken(Into);
    recv_dry: dry(Once);
    recv_multi_dry: dry(Multi);
    read_multi_dry: dry(Pipe);
}
