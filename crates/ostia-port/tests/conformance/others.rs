//! Rigs of the rest: close, poll, timeout, wait_pid, futex.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ostia_port::{Completion, Handle, Op, Payload, os};

use crate::common::World;
use crate::common::net::Peer;
use crate::common::peers::TempFile;
use crate::common::system::{BROKEN, URGENT, forget, patient_child};
use crate::common::world::is_cancelled;
use crate::matrix::Bench;
use crate::rig::Rig;

pub struct Closing {
    handle: Handle,
    peer: Peer,
}

pub fn close(world: &mut World) -> Box<dyn Rig> {
    let (handle, peer) = world.pair(73);
    world.submit(Op::RecvMulti { socket: handle });
    Box::new(Closing { handle, peer })
}

impl Rig for Closing {
    fn op(&mut self) -> Op {
        Op::Close { handle: self.handle }
    }

    fn happen(&mut self, _: &mut World) {}

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 73, "the handle's key");
        world.equal(done.result.ok(), Some(0), "closes");
        world.check(!world.is_open(self.handle), "the handle is gone");
        let mut got = Vec::new();
        world.read_up_to(&self.peer, &mut got, 1);
        world.check(got.is_empty(), "the peer sees the end");
        let again = world.run(Op::Close { handle: self.handle });
        world.failed(&again, os::EBADF, "nothing is closed twice");
    }

    fn cancelled(&mut self, _: &mut World, _: Completion) {
        panic!("a close can't be cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.handle)
    }
}

/// The peer has reset the connection: closing it succeeds.
pub fn close_reset(bench: &mut Bench) {
    let mut world = bench.world();
    let (handle, far) = world.pair(0);
    far.reset();
    world.close(handle);
    bench.book(&world);
}

/// Closed twice at once: one closes, the other is told.
pub fn close_closed(bench: &mut Bench) {
    let mut world = bench.world();
    let (handle, _far) = world.pair(0);
    let (_, first) = world.submit(Op::Close { handle });
    let (_, second) = world.submit(Op::Close { handle });
    let (first, second) = (world.take(first), world.take(second));
    world.equal(first.result.ok(), Some(0), "the first closes");
    world.failed(&second, os::EBADF, "the second finds it closed");
    bench.book(&world);
}

pub struct Polling {
    handle: Handle,
    peer: Peer,
}

pub fn poll(world: &mut World) -> Box<dyn Rig> {
    let (handle, peer) = world.pair(79);
    Box::new(Polling { handle, peer })
}

impl Rig for Polling {
    fn op(&mut self) -> Op {
        Op::Poll { handle: self.handle, events: os::POLLIN }
    }

    fn happen(&mut self, _: &mut World) {
        self.peer.write_all(b"!");
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 79, "the handle's key");
        let events = done.result.expect("polls") as i16;
        world.equal(events, os::POLLIN, "readable");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.handle)
    }
}

/// The end and hang-ups are events too, asked for or not; a full pipe polls writable once there is room, whatever else
/// is asked for; a file is always ready.
pub fn poll_end(bench: &mut Bench) {
    let mut world = bench.world();
    let (handle, far) = world.pair(0);
    #[cfg(unix)]
    const END: i16 = libc::POLLIN | libc::POLLRDHUP;
    #[cfg(windows)]
    const END: i16 = os::POLLIN;
    let (_, context) = world.submit(Op::Poll { handle, events: END });
    world.turns(2);
    far.end();
    let events = world.take(context).result.expect("polls") as i16;
    world.equal(events, END, "readable, and nothing comes any more");
    bench.book(&world);
    if bench.simulated() {
        return poll_file(bench);
    }
    poll_pipe(bench);
}

/// In virtual time a file is ready and a pipe isn't waited for.
fn poll_file(bench: &mut Bench) {
    let mut world = bench.world();
    let (file, (pipe, _far)) = (TempFile::new(&[]), crate::common::peers::pipe());
    let (file, pipe) = (world.port.adopt(file.open(), 0), world.port.adopt(pipe, 0));
    let done = world.run(Op::Poll { handle: file.expect("adopts"), events: os::POLLIN | os::POLLOUT });
    world.equal(done.result.ok(), Some((os::POLLIN | os::POLLOUT) as usize), "a file is always ready");
    let done = world.run(Op::Poll { handle: pipe.expect("adopts"), events: os::POLLIN });
    world.failed(&done, os::EOPNOTSUPP, "nobody knows when a pipe is");
    bench.book(&world);
}

/// A pipe can't be polled on Windows.
#[cfg(windows)]
fn poll_pipe(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, _far) = crate::common::peers::pipe();
    let handle = world.port.adopt(near, 0).expect("adopts");
    let done = world.run(Op::Poll { handle, events: os::POLLIN });
    world.failed(&done, os::EOPNOTSUPP, "no pipe is polled");
    bench.book(&world);
}

#[cfg(unix)]
fn poll_pipe(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, far) = crate::common::peers::pipe();
    let handle = world.port.adopt(near, 0).expect("adopts");
    let (_, context) = world.submit(Op::Poll { handle, events: 0 });
    world.turns(2);
    drop(far);
    let events = world.take(context).result.expect("polls") as i16;
    world.equal(events, os::POLLHUP, "hung up, though not asked for");
    bench.book(&world);
}

/// A connection that is reset polls as broken; and one that is full as writable when it has drained, though it was
/// asked for both directions.
pub fn poll_reset(bench: &mut Bench) {
    let mut world = bench.world();
    let (handle, far) = world.pair(0);
    let (_, context) = world.submit(Op::Poll { handle, events: URGENT });
    world.turns(2);
    far.reset();
    let events = world.take(context).result.expect("polls") as i16;
    world.check(events & BROKEN != 0, "broken");
    bench.book(&world);

    let mut world = bench.world();
    let (handle, far) = world.full_pair(0);
    let (_, context) = world.submit(Op::Poll { handle, events: os::POLLIN | os::POLLOUT });
    world.turns(3);
    let mut scratch = vec![0; 64 << 10];
    let done = world.take_while(context, |_| while far.try_recv(&mut scratch).is_ok() {});
    let events = done.result.expect("polls") as i16;
    world.equal(events, os::POLLOUT, "writable again");
    bench.book(&world);
}

/// A timeout; its time is its own.
pub struct Timing {
    after: Duration,
}

pub fn timeout(_: &mut World) -> Box<dyn Rig> {
    Box::new(Timing { after: Duration::from_millis(30) })
}

impl Rig for Timing {
    fn op(&mut self) -> Op {
        Op::Timeout { after: self.after }
    }

    fn happen(&mut self, _: &mut World) {}

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.result.ok(), Some(0), "the time is over");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        None
    }
}

/// A child that ends when its input does.
pub struct Waiting {
    child: Option<Child>,
    pid: i32,
}

pub fn wait_pid(_: &mut World) -> Box<dyn Rig> {
    let child = patient_child().spawn().expect("the child starts");
    Box::new(Waiting { pid: child.id() as i32, child: Some(child) })
}

impl Rig for Waiting {
    fn op(&mut self) -> Op {
        Op::WaitPid { pid: self.pid }
    }

    fn happen(&mut self, _: &mut World) {
        drop(self.child.as_mut().expect("a child").stdin.take());
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.result.ok(), Some(0), "it ended");
        let Payload::Exit(status) = done.payload else { panic!("a status") };
        world.equal(status.code(), Some(7), "its exit code");
        if let Some(child) = self.child.take() {
            forget(child);
        }
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        None
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Reaped by the port already if it ended unseen: then there is nobody to end or to wait for.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// No such child: an error at once.
pub fn wait_pid_wrong(bench: &mut Bench) {
    let mut world = bench.world();
    for pid in [0, -5, i32::MAX] {
        let done = world.run(Op::WaitPid { pid });
        world.check(done.result.is_err(), "no such child");
    }
    bench.book(&world);
}

pub struct Sleeping {
    word: Arc<AtomicU32>,
}

pub fn futex_wait(_: &mut World) -> Box<dyn Rig> {
    Box::new(Sleeping { word: Arc::new(AtomicU32::new(1)) })
}

impl Rig for Sleeping {
    fn op(&mut self) -> Op {
        Op::FutexWait { word: Arc::clone(&self.word), expected: 1 }
    }

    fn happen(&mut self, world: &mut World) {
        self.word.store(2, Ordering::SeqCst);
        world.run(Op::FutexWake { word: Arc::clone(&self.word), count: u32::MAX });
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        match done.result {
            Ok(_) => world.check(true, "woken"),
            // It came to wait only after the word had changed.
            Err(error) => world.equal(error.raw_os_error(), Some(os::EAGAIN), "not what it held"),
        }
        self.word.store(1, Ordering::SeqCst);
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
    }

    fn handle(&self) -> Option<Handle> {
        None
    }
}

pub struct Waking {
    word: Arc<AtomicU32>,
}

pub fn futex_wake(_: &mut World) -> Box<dyn Rig> {
    Box::new(Waking { word: Arc::new(AtomicU32::new(1)) })
}

impl Rig for Waking {
    fn op(&mut self) -> Op {
        Op::FutexWake { word: Arc::clone(&self.word), count: 1 }
    }

    fn happen(&mut self, _: &mut World) {}

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.result.ok(), Some(0), "nobody slept");
    }

    fn cancelled(&mut self, _: &mut World, _: Completion) {
        panic!("a wake is done at once");
    }

    fn handle(&self) -> Option<Handle> {
        None
    }
}
