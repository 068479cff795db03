//! Rigs of what sends: send, zero-copy send, vectored send, send_file, shutdown; a reader that starts late makes them wait.

use std::net::Shutdown;

use ostia_port::{Buffer, Completion, Handle, Op, Payload, os};

use crate::common::World;
use crate::common::net::Peer;
use crate::common::peers::TempFile;
use crate::common::random::{assert_pattern, pattern};
use crate::common::system::{SENT_AFTER_END, SENT_AFTER_RESET, SHUT_AFTER_RESET};
use crate::common::world::is_cancelled;
use crate::matrix::Bench;
use crate::rig::Rig;

/// More than a narrow connection holds unread.
const LEN: usize = 100_000;
const HEAD: usize = 700;

#[derive(Clone, Copy, PartialEq)]
enum How {
    Plain,
    ZeroCopy,
    Vectored,
    Message,
    File,
}

pub struct Sending {
    socket: Handle,
    how: How,
    peer: Option<Peer>,
    reads: bool,
    got: Vec<u8>,
    /// How much of the stream earlier operations have sent.
    base: usize,
    file: Option<(TempFile, Handle)>,
}

fn sender(world: &mut World, how: How) -> Sending {
    let (socket, far) = world.narrow_pair(31);
    let file = (how == How::File).then(|| {
        let file = TempFile::new(&pattern(1, 0, 3 * LEN));
        let handle = world.port.adopt(file.open(), 0).expect("adopts");
        (file, handle)
    });
    Sending { socket, how, peer: Some(far), reads: false, got: Vec::new(), base: 0, file }
}

pub fn send(world: &mut World) -> Box<dyn Rig> {
    Box::new(sender(world, How::Plain))
}

pub fn send_zc(world: &mut World) -> Box<dyn Rig> {
    Box::new(sender(world, How::ZeroCopy))
}

pub fn send_vectored(world: &mut World) -> Box<dyn Rig> {
    Box::new(sender(world, How::Vectored))
}

pub fn send_msg(world: &mut World) -> Box<dyn Rig> {
    Box::new(sender(world, How::Message))
}

pub fn send_file(world: &mut World) -> Box<dyn Rig> {
    Box::new(sender(world, How::File))
}

impl Sending {
    /// Takes the payload apart and compares it with what was posted.
    fn returned(&self, world: &mut World, payload: Payload) {
        let base = self.base as u64;
        match payload {
            Payload::Buffer(head) if self.how == How::File => {
                world.equal(head.len(), HEAD, "the head comes back");
            }
            Payload::Buffer(data) => {
                world.equal(data.len(), LEN, "the buffer comes back");
                assert_pattern(1, base, &data);
            }
            Payload::Buffers(parts) => {
                world.equal(parts.len(), 5, "the buffers come back");
                assert_pattern(1, base, &parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>());
            }
            Payload::Message(message) => {
                world.equal(message.data.len(), LEN, "the message comes back");
                assert_pattern(1, base, &message.data);
            }
            other => panic!("the buffer did not come back: {other:?}"),
        }
    }

    /// Reads on until `total` bytes of the stream have come, and compares them.
    fn expect_stream(&mut self, world: &mut World, total: usize) {
        let peer = self.peer.as_ref().expect("the peer lives");
        world.read_up_to(peer, &mut self.got, total);
        world.equal(self.got.len(), total, "bytes that reached the peer");
        assert_pattern(1, 0, &self.got);
    }
}

impl Rig for Sending {
    fn op(&mut self) -> Op {
        let (socket, base) = (self.socket, self.base as u64);
        let data = pattern(1, base, LEN);
        match self.how {
            How::Plain => Op::Send { socket, data: data.into() },
            How::ZeroCopy => Op::SendZc { socket, data: data.into() },
            How::Vectored => {
                let (first, rest) = data.split_at(1000);
                let (second, third) = rest.split_at(1);
                let parts = [first.to_vec(), vec![], second.to_vec(), third.to_vec()];
                let mut parts: Vec<Buffer> = parts.into_iter().map(Buffer::from).collect();
                parts.push(Buffer::Static(b""));
                Op::SendVectored { socket, data: parts }
            }
            How::Message => {
                let message = ostia_port::Message { data, ..Default::default() };
                Op::SendMsg { socket, message: Box::new(message) }
            }
            How::File => {
                let file = self.file.as_ref().expect("the file").1;
                let head = pattern(1, base, HEAD).into();
                Op::SendFile { socket, head, file, offset: base + HEAD as u64, len: (LEN - HEAD) as u64 }
            }
        }
    }

    fn happen(&mut self, _: &mut World) {
        self.reads = true;
    }

    fn turn(&mut self) {
        if self.reads
            && let Some(peer) = &self.peer
        {
            peer.drain(&mut self.got);
        }
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 31, "the socket's key");
        let sent = done.result.expect("sends");
        // A cancel that came late may have left a part; the completion says how much.
        let want = if self.how == How::File { LEN - HEAD } else { LEN };
        world.check(sent <= want, "not more than all");
        self.returned(world, done.payload);
        self.base += if self.how == How::File { sent + HEAD } else { sent };
        self.expect_stream(world, self.base);
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        let sent = match done.result {
            Ok(part) => part,
            Err(ref error) => {
                assert_eq!(error.raw_os_error(), Some(os::ECANCELED));
                0
            }
        };
        self.returned(world, done.payload);
        if !world.is_open(self.socket) || self.how == How::File {
            // A head that went and a file that did not: how much of the head the completion can't say.
            return;
        }
        self.base += sent;
        self.reads = true;
        let base = self.base;
        self.expect_stream(world, base);
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.socket)
    }

    fn outlives_close(&self) -> bool {
        true
    }

    fn lends_memory(&self) -> bool {
        self.how == How::ZeroCopy
    }

    fn recovers(&self) -> bool {
        self.how != How::File
    }
}

/// A slow reader takes it in small parts, and several posted at once keep their order.
fn short(bench: &mut Bench, how: How) {
    let mut world = bench.world();
    let mut rig = sender(&mut world, how);
    let mut contexts = Vec::new();
    for _ in 0..3 {
        let op = rig.op();
        contexts.push(world.submit(op).1);
        rig.base += LEN;
    }
    rig.base = 0;
    for (position, context) in contexts.iter().enumerate() {
        // The reader takes one small part a turn.
        let (peer, got) = (rig.peer.as_ref().expect("peer"), &mut rig.got);
        let mut scratch = [0u8; 2000];
        let done = world.take_while(*context, |_| {
            for _ in 0..8 {
                if let Ok(count) = peer.try_recv(&mut scratch) {
                    got.extend_from_slice(&scratch[..count]);
                }
            }
        });
        world.equal(done.result.ok(), Some(LEN - if how == How::File { HEAD } else { 0 }), "all is sent");
        rig.base = position * LEN;
        rig.returned(&mut world, done.payload);
    }
    rig.expect_stream(&mut world, 3 * LEN);
    bench.book(&world);
}

/// The peer breaks off while the send waits: an error, the buffer back, and every later send fails too.
fn broken(bench: &mut Bench, how: How) {
    let mut world = bench.world();
    let mut rig = sender(&mut world, how);
    let op = rig.op();
    let (_, context) = world.submit(op);
    world.turns(3);
    rig.peer.take().expect("the peer").reset();
    let done = world.take(context);
    let errno = done.result.as_ref().err().and_then(std::io::Error::raw_os_error);
    let gone = errno == Some(os::ECONNRESET) || errno.is_some_and(|errno| SENT_AFTER_RESET.contains(&errno));
    world.check(gone, "the send fails with the connection");
    rig.returned(&mut world, done.payload);
    let op = rig.op();
    let late = world.run(op);
    world.failed_by(&late, SENT_AFTER_RESET, "and so does the next");
    rig.returned(&mut world, late.payload);
    bench.book(&world);
}

macro_rules! sending_cells {
    ($($name:ident: $test:ident($how:ident);)*) => {
        $(pub fn $name(bench: &mut Bench) {
            $test(bench, How::$how);
        })*
    };
}

sending_cells! {
    send_short: short(Plain);
    send_zc_short: short(ZeroCopy);
    send_vectored_short: short(Vectored);
    send_msg_short: short(Message);
    send_file_short: short(File);
    send_reset: broken(Plain);
    send_zc_reset: broken(ZeroCopy);
    send_vectored_reset: broken(Vectored);
    send_msg_reset: broken(Message);
    send_file_reset: broken(File);
}

/// The file ends before the range does: what there is goes out and the completion says how much.
pub fn send_file_end(bench: &mut Bench) {
    for (offset, len, want) in
        [(0u64, 10_000u64, 4000usize), (3999, 5, 1), (4000, 5, 0), (9000, 5, 0), (0, 0, 0), (0, u64::MAX, 4000)]
    {
        let mut world = bench.world();
        let mut rig = sender(&mut world, How::Plain);
        let file = TempFile::new(&pattern(2, 0, 4000));
        let file = world.port.adopt(file.open(), 0).expect("adopts");
        let head = Buffer::from(b"head");
        let done = world.run(Op::SendFile { socket: rig.socket, head, file, offset, len });
        world.equal(done.result.ok(), Some(want), "bytes of the file");
        // What comes behind it is not held back.
        let tail = world.run(Op::Send { socket: rig.socket, data: b"tail".into() });
        world.equal(tail.result.ok(), Some(4), "the next send");
        world.read_up_to(rig.peer.as_ref().expect("peer"), &mut rig.got, want + 8);
        world.equal(rig.got.len(), want + 8, "head, file, tail");
        world.check(rig.got.starts_with(b"head") && rig.got.ends_with(b"tail"), "head first, tail last");
        assert_pattern(2, offset.min(4000), &rig.got[4..4 + want]);
        bench.book(&world);
    }
}

/// A shutdown waits for the sends before it, so the reader decides when it happens.
pub struct ShuttingDown(Sending);

pub fn shutdown(world: &mut World) -> Box<dyn Rig> {
    let mut rig = sender(world, How::Plain);
    let op = rig.op();
    world.submit(op);
    Box::new(ShuttingDown(rig))
}

impl Rig for ShuttingDown {
    fn op(&mut self) -> Op {
        Op::Shutdown { socket: self.0.socket, how: Shutdown::Write }
    }

    fn happen(&mut self, _: &mut World) {
        self.0.reads = true;
    }

    fn turn(&mut self) {
        self.0.turn();
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 31, "the socket's key");
        world.equal(done.result.ok(), Some(0), "shuts down");
        let peer = self.0.peer.as_ref().expect("the peer");
        world.read_up_to(peer, &mut self.0.got, usize::MAX);
        world.equal(self.0.got.len(), LEN, "all sends before it, then the end");
        assert_pattern(1, 0, &self.0.got);
        let open = world.is_open(self.0.socket);
        let late = world.run(Op::Send { socket: self.0.socket, data: b"late".into() });
        let errno = late.result.as_ref().err().and_then(std::io::Error::raw_os_error);
        // A handle that closes meanwhile may be gone or about to be.
        let refused = errno == Some(os::EBADF) || (open && errno.is_some_and(|errno| SENT_AFTER_END.contains(&errno)));
        world.check(refused, "no send after it");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.0.socket)
    }

    fn outlives_close(&self) -> bool {
        true
    }
}

/// Shutting down a connection that the peer has reset is an error, not a wait.
pub fn shutdown_reset(bench: &mut Bench) {
    let mut world = bench.world();
    let (socket, far) = world.narrow_pair(0);
    far.reset();
    let broken = world.run(Op::Recv { socket });
    world.failed(&broken, os::ECONNRESET, "the reset has come");
    let done = world.run(Op::Shutdown { socket, how: Shutdown::Write });
    world.failed_by(&done, SHUT_AFTER_RESET, "not connected any more");
    let done = world.run(Op::Shutdown { socket, how: Shutdown::Read });
    world.failed_by(&done, SHUT_AFTER_RESET, "nor to read");
    bench.book(&world);
}
