//! Rigs of files and pipes: read, write, at an offset and in sequence, fsync, open, statx.

use ostia_port::os::{self, OwnedFd, system_path};
use ostia_port::{Completion, Handle, Op, OpenHow, Payload};

use crate::common::World;
use crate::common::peers::{TempFile, pipe};
use crate::common::random::{assert_pattern, pattern};
use crate::common::system::{is_readable, narrow_pipe, open_folder, read as take, read_at as read_back, write as put};
use crate::common::world::is_cancelled;
use crate::matrix::Bench;
use crate::rig::{Rig, Row};

const WORDS: &[u8] = b"a few words through a pipe";
/// More than a pipe holds.
const MUCH: usize = 200_000;

/// A read of an empty pipe.
pub struct Reading {
    handle: Handle,
    peer: OwnedFd,
}

pub fn read(world: &mut World) -> Box<dyn Rig> {
    let (near, far) = pipe();
    Box::new(Reading { handle: world.port.adopt(near, 41).expect("adopts"), peer: far })
}

impl Rig for Reading {
    fn op(&mut self) -> Op {
        let mut buffer = Vec::with_capacity(200);
        buffer.push(b'#');
        Op::Read { file: self.handle, buffer }
    }

    fn happen(&mut self, _: &mut World) {
        assert_eq!(put(&self.peer, WORDS), Ok(WORDS.len()));
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 41, "the handle's key");
        let count = done.result.expect("reads");
        world.amount(count, WORDS.len(), "the words");
        let buffer = done.payload.into_vec();
        world.check(buffer[0] == b'#' && buffer[1..] == WORDS[..count], "appended to the buffer");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
        world.equal(done.payload.into_vec(), b"#".to_vec(), "the buffer comes back as it was");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.handle)
    }
}

pub fn read_short(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, far) = pipe();
    let file = world.port.adopt(near, 0).expect("adopts");
    let all = pattern(3, 0, 500);
    assert_eq!(put(&far, &all), Ok(500));
    let mut got = Vec::new();
    while got.len() < all.len() {
        let done = world.run(Op::Read { file, buffer: Vec::with_capacity(64) });
        let count = done.result.expect("reads");
        world.check((1..=64).contains(&count), "as much as there is room for");
        got.extend(done.payload.into_vec());
    }
    world.equal(got, all, "every byte once");
    bench.book(&world);
}

pub fn read_end(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, far) = pipe();
    let file = world.port.adopt(near, 0).expect("adopts");
    let (_, context) = world.submit(Op::Read { file, buffer: Vec::with_capacity(8) });
    world.turns(2);
    drop(far);
    let done = world.take(context);
    world.equal(done.result.ok(), Some(0), "the end");
    bench.book(&world);
}

/// A write to a full pipe.
pub struct Writing {
    handle: Handle,
    peer: OwnedFd,
    reads: bool,
    filler: usize,
    got: Vec<u8>,
}

fn writer(world: &mut World) -> Writing {
    let (far, near) = narrow_pipe();
    assert_eq!(put(&near, &pattern(4, 0, 4096)), Ok(4096));
    Writing { handle: world.port.adopt(near, 43).expect("adopts"), peer: far, reads: false, filler: 4096, got: Vec::new() }
}

pub fn write(world: &mut World) -> Box<dyn Rig> {
    Box::new(writer(world))
}

impl Writing {
    /// Takes what is in the pipe without waiting.
    fn drain(&mut self) {
        let mut scratch = [0u8; 8192];
        while is_readable(&self.peer) {
            match take(&self.peer, &mut scratch) {
                Ok(count @ 1..) => self.got.extend_from_slice(&scratch[..count]),
                _ => return,
            }
        }
    }
}

impl Rig for Writing {
    fn op(&mut self) -> Op {
        Op::Write { file: self.handle, data: pattern(4, self.filler as u64, 2000).into() }
    }

    fn happen(&mut self, _: &mut World) {
        self.reads = true;
        self.drain();
    }

    fn turn(&mut self) {
        if self.reads {
            self.drain();
        }
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 43, "the handle's key");
        let count = done.result.expect("writes");
        world.amount(count, 2000, "all fits");
        let data = done.payload.into_vec();
        world.equal(data.len(), 2000, "the buffer comes back");
        self.drain();
        world.equal(self.got.len(), self.filler + count, "and came out");
        assert_pattern(4, 0, &self.got);
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
        world.equal(done.payload.into_vec().len(), 2000, "the buffer comes back");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.handle)
    }
}

/// More than the pipe holds: as many writes as it takes.
pub fn write_short(bench: &mut Bench) {
    let mut world = bench.world();
    let mut rig = writer(&mut world);
    let mut written = rig.filler;
    while written < MUCH {
        let (_, context) = world.submit(Op::Write { file: rig.handle, data: pattern(4, written as u64, MUCH - written).into() });
        world.turns(2);
        let done = world.take_while(context, |_| rig.drain());
        let count = done.result.expect("writes");
        world.check(count > 0, "a write of something writes something");
        written += count;
    }
    rig.drain();
    world.equal(rig.got.len(), MUCH, "all came out");
    assert_pattern(4, 0, &rig.got);
    bench.book(&world);
}

/// Nobody reads any more.
pub fn write_broken(bench: &mut Bench) {
    let mut world = bench.world();
    let rig = writer(&mut world);
    let (_, context) = world.submit(Op::Write { file: rig.handle, data: b"unheard".into() });
    world.turns(2);
    drop(rig.peer);
    let done = world.take(context);
    world.failed(&done, os::EPIPE, "the pipe is broken");
    world.equal(done.payload.into_vec(), b"unheard".to_vec(), "the buffer comes back");
    bench.book(&world);
}

/// What is done to a file that always can be done at once.
#[derive(Clone, Copy, PartialEq)]
enum How {
    ReadAt,
    WriteAt,
    /// At the file's own position.
    Read,
    Write,
    Fsync,
    Open,
    Statx,
}

pub struct OnFile {
    how: How,
    file: TempFile,
    handle: Handle,
    directory: Handle,
    /// The file's own position.
    at: u64,
}

fn on_file(world: &mut World, how: How) -> Box<dyn Rig> {
    let file = TempFile::new(&pattern(5, 0, 10_000));
    let handle = world.port.adopt(file.open(), 47).expect("adopts");
    let folder = open_folder(file.path.parent().expect("a folder"));
    let directory = world.port.adopt(folder, 53).expect("adopts");
    Box::new(OnFile { how, file, handle, directory, at: 0 })
}

pub fn read_at(world: &mut World) -> Box<dyn Rig> {
    on_file(world, How::ReadAt)
}
pub fn write_at(world: &mut World) -> Box<dyn Rig> {
    on_file(world, How::WriteAt)
}
pub fn read_on(world: &mut World) -> Box<dyn Rig> {
    on_file(world, How::Read)
}
pub fn write_on(world: &mut World) -> Box<dyn Rig> {
    on_file(world, How::Write)
}
pub fn fsync(world: &mut World) -> Box<dyn Rig> {
    on_file(world, How::Fsync)
}
pub fn open(world: &mut World) -> Box<dyn Rig> {
    on_file(world, How::Open)
}
pub fn statx(world: &mut World) -> Box<dyn Rig> {
    on_file(world, How::Statx)
}

impl Rig for OnFile {
    fn op(&mut self) -> Op {
        let file = self.handle;
        match self.how {
            How::ReadAt => Op::ReadAt { file, buffer: Vec::with_capacity(1000), offset: 3000 },
            How::WriteAt => Op::WriteAt { file, data: pattern(6, 2000, 1000).into(), offset: 2000 },
            How::Read => Op::Read { file, buffer: Vec::with_capacity(1000) },
            How::Write => Op::Write { file, data: pattern(6, self.at, 1000).into() },
            How::Fsync => Op::Fsync { file, data_only: false },
            How::Open => {
                let name = self.file.path.file_name().expect("a name");
                // Valgrind does not know openat2(2), without which a path can't be contained.
                #[cfg(unix)]
                let resolve = if crate::common::under_valgrind() { 0 } else { libc::RESOLVE_BENEATH };
                #[cfg(unix)]
                let how = OpenHow { flags: libc::O_RDONLY, mode: 0, resolve };
                #[cfg(windows)]
                let how = OpenHow::default();
                Op::Open { directory: Some(self.directory), path: system_path(name).expect("no NUL"), how }
            }
            How::Statx => Op::Statx { file: Some(file), path: None },
        }
    }

    fn happen(&mut self, _: &mut World) {}

    fn verify(&mut self, world: &mut World, done: Completion) {
        let count = done.result.expect("succeeds");
        match self.how {
            How::ReadAt | How::Read => {
                let offset = if self.how == How::Read { self.at } else { 3000 };
                world.amount(count, 1000, "bytes read");
                let buffer = done.payload.into_vec();
                world.equal(buffer.len(), count, "the result is the number of bytes");
                assert_pattern(5, offset, &buffer);
                self.at += count as u64;
            }
            How::WriteAt | How::Write => {
                let offset = if self.how == How::Write { self.at } else { 2000 };
                world.amount(count, 1000, "bytes written");
                let mut back = vec![0; count];
                read_back(&self.file.file, &mut back, offset);
                assert_pattern(6, offset, &back);
                self.at += count as u64;
            }
            How::Fsync => world.equal(count, 0, "fsync answers 0"),
            How::Open => {
                let file = done.payload.into_handle().expect("a file");
                let read = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(10), offset: 0 });
                assert_pattern(5, 0, &read.payload.into_vec());
                world.close(file);
            }
            How::Statx => {
                let Payload::Metadata(metadata) = done.payload else { panic!("metadata") };
                let want = self.file.file.metadata().expect("metadata");
                let modified = want.modified().expect("a time").duration_since(std::time::UNIX_EPOCH).expect("later");
                world.equal(
                    (metadata.len(), metadata.modified()),
                    (want.len(), (modified.as_secs() as i64, modified.subsec_nanos())),
                    "size and time",
                );
                #[cfg(unix)]
                world.equal(metadata.inode(), std::os::unix::fs::MetadataExt::ino(&want), "inode");
                world.check(metadata.is_file() && !metadata.is_dir(), "a file");
            }
        }
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
        if matches!(self.how, How::ReadAt | How::WriteAt | How::Read | How::Write) {
            world.check(matches!(done.payload, Payload::Buffer(_)), "the buffer comes back");
        } else {
            world.check(matches!(done.payload, Payload::None), "nothing was made");
        }
    }

    fn handle(&self) -> Option<Handle> {
        Some(if self.how == How::Open { self.directory } else { self.handle })
    }
}

/// A read across the end is short; one at or behind it is the end.
pub fn read_at_end(bench: &mut Bench) {
    let mut world = bench.world();
    let file = TempFile::new(&pattern(5, 0, 1000));
    let file = world.port.adopt(file.open(), 0).expect("adopts");
    let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(100), offset: 950 });
    let count = done.result.expect("reads");
    world.amount(count, 50, "up to the end");
    assert_pattern(5, 950, &done.payload.into_vec());
    for offset in [1000, 5000, i64::MAX as u64 - 100] {
        let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(100), offset });
        world.equal(done.result.ok(), Some(0), "behind the end");
    }
    let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(100), offset: 1 << 63 });
    world.failed(&done, os::EINVAL, "no file is that long");
    bench.book(&world);
}

/// From the file's own position on, to its end.
pub fn read_on_end(bench: &mut Bench) {
    let mut world = bench.world();
    let all = pattern(5, 0, 500);
    let file = TempFile::new(&all);
    let file = world.port.adopt(file.open(), 0).expect("adopts");
    let mut got = Vec::new();
    while got.len() < all.len() {
        let done = world.run(Op::Read { file, buffer: Vec::with_capacity(64) });
        let want = (all.len() - got.len()).min(64);
        world.amount(done.result.expect("reads"), want, "as much as there is room for, or to the end");
        got.extend(done.payload.into_vec());
    }
    world.equal(got, all, "every byte once");
    for _ in 0..2 {
        let done = world.run(Op::Read { file, buffer: Vec::with_capacity(64) });
        world.equal(done.result.ok(), Some(0), "the end");
    }
    bench.book(&world);
}

/// How many files are written and read before it counts as a failure that no transfer was cut short.
const CUT_AT_LAST: usize = 100;

/// The test of short transfers that only the fault injector makes, for a row that writes.
pub fn cut_of(row: &Row) -> fn(&mut Bench) {
    if row.name == "Write" { cut_in_sequence } else { cut_short }
}

/// With short transfers injected a file is written and read whole by going on from each result.
fn cut_short(bench: &mut Bench) {
    cut(bench, |file, rest, at| Op::WriteAt { file, data: rest.into(), offset: at });
}

/// The same at the file's own position, which goes on where a write was cut.
fn cut_in_sequence(bench: &mut Bench) {
    cut(bench, |file, rest, _| Op::Write { file, data: rest.into() });
}

fn cut(bench: &mut Bench, write: fn(Handle, Vec<u8>, u64) -> Op) {
    assert!(bench.faulty(), "only the fault injector cuts a file's transfers");
    let mut world = bench.world();
    let all = pattern(7, 0, 20_000);
    let mut cuts = (0, 0);
    for _ in 0..CUT_AT_LAST {
        let temporary = TempFile::new(&[]);
        let file = world.port.adopt(temporary.open(), 0).expect("adopts");
        let mut at = 0;
        while at < all.len() {
            let rest = all[at..].to_vec();
            let len = rest.len();
            let count = world.run(write(file, rest, at as u64)).result.expect("writes");
            world.check(count > 0, "something is written");
            cuts.0 += usize::from(count < len);
            at += count;
        }
        let mut back = Vec::new();
        while back.len() < all.len() {
            let room = all.len() - back.len();
            let offset = back.len() as u64;
            let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(room), offset });
            let count = done.result.expect("reads");
            world.check(count > 0, "something is read");
            cuts.1 += usize::from(count < room);
            back.extend(done.payload.into_vec());
        }
        world.check(back == all, "what was written in parts reads back whole");
        world.close(file);
        if cuts.0 > 0 && cuts.1 > 0 {
            break;
        }
    }
    world.check(cuts.0 > 0 && cuts.1 > 0, "writes and reads were cut short");
    bench.book(&world);
}
