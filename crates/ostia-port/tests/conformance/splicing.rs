//! Rigs of splice, which Linux has.

use ostia_port::os::{self, OwnedFd};
use ostia_port::{Completion, Handle, Op};

use crate::common::World;
use crate::common::peers::pipe;
use crate::common::system::{narrow_pipe, read as take, write as put};
use crate::common::world::is_cancelled;
use crate::matrix::Bench;
use crate::rig::Rig;

const WORDS: &[u8] = b"a few words through a pipe";

/// A splice from an empty pipe into another one.
pub struct Splicing {
    from: Handle,
    to: Handle,
    source: OwnedFd,
    sink: OwnedFd,
}

pub fn splice(world: &mut World) -> Box<dyn Rig> {
    let ((near, source), (sink, far)) = (pipe(), pipe());
    let (from, to) = (world.port.adopt(near, 59), world.port.adopt(far, 61));
    Box::new(Splicing { from: from.expect("adopts"), to: to.expect("adopts"), source, sink })
}

impl Rig for Splicing {
    fn op(&mut self) -> Op {
        Op::Splice { from: self.from, to: self.to, len: 1000 }
    }

    fn happen(&mut self, _: &mut World) {
        assert_eq!(put(&self.source, WORDS), Ok(WORDS.len()));
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 59, "the key of where it comes from");
        world.equal(done.result.ok(), Some(WORDS.len()), "moved");
        let mut got = [0u8; 100];
        let count = take(&self.sink, &mut got).expect("reads");
        world.equal(&got[..count], WORDS, "came out at the other end");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.from)
    }
}

/// Less than asked for; the sink full, so that it waits for the other side; and cancelled while it does.
pub fn splice_short(bench: &mut Bench) {
    let mut world = bench.world();
    let ((near, source), (sink, far)) = (pipe(), narrow_pipe());
    assert_eq!(put(&far, &[1; 4096]), Ok(4096));
    assert_eq!(put(&source, WORDS), Ok(WORDS.len()));
    let (from, to) = (world.port.adopt(near, 0).expect("adopts"), world.port.adopt(far, 0).expect("adopts"));
    let (id, context) = world.submit(Op::Splice { from, to, len: 1000 });
    world.turns(3);
    world.port.cancel(id);
    let done = world.take(context);
    world.failed(&done, os::ECANCELED, "waiting for room it can be cancelled");
    let (_, context) = world.submit(Op::Splice { from, to, len: 1000 });
    world.turns(3);
    let mut room = vec![0u8; 4096];
    assert_eq!(take(&sink, &mut room), Ok(4096));
    let done = world.take(context);
    world.equal(done.result.ok(), Some(WORDS.len()), "as much as there was");
    bench.book(&world);
}

pub fn splice_end(bench: &mut Bench) {
    let mut world = bench.world();
    let ((near, source), (_sink, far)) = (pipe(), pipe());
    let (from, to) = (world.port.adopt(near, 0).expect("adopts"), world.port.adopt(far, 0).expect("adopts"));
    let (_, context) = world.submit(Op::Splice { from, to, len: 1000 });
    world.turns(2);
    drop(source);
    let done = world.take(context);
    world.equal(done.result.ok(), Some(0), "the end");
    bench.book(&world);
}

pub fn splice_broken(bench: &mut Bench) {
    let mut world = bench.world();
    let ((near, source), (sink, far)) = (pipe(), pipe());
    let (from, to) = (world.port.adopt(near, 0).expect("adopts"), world.port.adopt(far, 0).expect("adopts"));
    assert_eq!(put(&source, WORDS), Ok(WORDS.len()));
    drop(sink);
    let done = world.run(Op::Splice { from, to, len: 1000 });
    world.failed(&done, os::EPIPE, "nobody reads");
    bench.book(&world);
}
