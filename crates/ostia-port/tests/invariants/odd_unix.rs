//! Invariant 7 at its edges on Unix: descriptors of unusual kinds, and operations that can't be: one completion each, the buffer
//! back.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use ostia_port::{Buffer, DriverKind, Kind, Op, OpenHow, Payload, os};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::common::peers::{TempFile, pipe, tcp_pair};
use crate::common::random::{assert_pattern, pattern};
use crate::common::system::write;
use crate::common::world::is_cancelled;
use crate::common::{World, on_every_engine, under_valgrind};
use crate::odd::each_fails;

/// Two ends of a terminal: what is written to one is read from the other.
fn terminal() -> Option<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: two descriptors are written to locals; the other pointers may be null.
    let made = unsafe { libc::openpty(&mut master, &mut slave, null, std::ptr::null(), std::ptr::null()) };
    use std::os::fd::FromRawFd;
    // SAFETY: openpty(3) has just made them, and nobody else knows them.
    (made == 0).then(|| unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) })
}

/// 7: an eventfd, an inotify descriptor and a terminal are read as they come, again and again and one at a time.
#[test]
fn i07_devices_are_read_as_they_come() {
    on_every_engine("i07_devices_are_read_as_they_come", |engine| {
        let mut world = World::new(engine.config());
        for flags in [EventfdFlags::CLOEXEC, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK] {
            let fd = eventfd(0, flags).expect("eventfd");
            let ringer = rustix::io::dup(&fd).expect("a descriptor");
            let file = world.port.adopt(fd, 0).expect("adopts");
            assert_eq!(world.port.kind(file).ok(), Some(Kind::Pipe));
            let (id, context) = world.submit(Op::ReadMulti { file });
            for n in 1..5u64 {
                world.turns(2);
                assert_eq!(write(&ringer, &n.to_ne_bytes()), Ok(8));
                let done = world.take(context);
                assert!(done.more, "{:?}", done.result);
                assert_eq!(&*done.payload.into_chunk().expect("a chunk"), &n.to_ne_bytes());
            }
            world.port.cancel(id);
            assert!(is_cancelled(&world.take(context)));
        }

        let watcher = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).expect("inotify");
        let file = TempFile::new(b"");
        rustix::fs::inotify::add_watch(&watcher, &file.path, rustix::fs::inotify::WatchFlags::MODIFY).expect("watches");
        let watcher = world.port.adopt(watcher, 0).expect("adopts");
        let (_, context) = world.submit(Op::ReadMulti { file: watcher });
        for _ in 0..3 {
            world.turns(2);
            std::os::unix::fs::FileExt::write_at(&file.file, b"!", 0).expect("written");
            assert!(world.take(context).result.is_ok_and(|len| len >= 16), "an event");
        }

        let watcher = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).expect("inotify");
        rustix::fs::inotify::add_watch(&watcher, &file.path, rustix::fs::inotify::WatchFlags::MODIFY).expect("watches");
        let watcher = world.port.adopt(watcher, 0).expect("adopts");
        for _ in 0..3 {
            let (_, context) = world.submit(Op::Read { file: watcher, buffer: Vec::with_capacity(4096) });
            world.turns(2);
            std::os::unix::fs::FileExt::write_at(&file.file, b"!", 0).expect("written");
            let done = world.take(context);
            // With short reads injected there may be no room for an event, which is the kernel's EINVAL.
            assert!(done.result.is_ok() || world.faulty, "{:?}", done.result);
        }

        let Some((master, slave)) = terminal() else { return };
        let file = world.port.adopt(slave, 0).expect("adopts");
        for words in [&b"one\n"[..], b"two\n"] {
            let (_, context) = world.submit(Op::Read { file, buffer: Vec::with_capacity(100) });
            world.turns(2);
            assert_eq!(write(&master, words), Ok(4));
            let mut got = world.take(context).payload.into_vec();
            while got.len() < 4 {
                got.extend(world.run(Op::Read { file, buffer: Vec::with_capacity(100) }).payload.into_vec());
            }
            assert_eq!(got, words);
        }
        let written = world.run(Op::Write { file, data: b"out".into() });
        assert!(written.result.is_ok_and(|len| len >= 1));
    });
}

/// 7: packets of a Unix socket keep their boundaries.
#[test]
fn i07_sockets_of_packets_keep_boundaries() {
    on_every_engine("i07_sockets_of_packets_keep_boundaries", |engine| {
        for kind in [SocketType::SEQPACKET, SocketType::DGRAM] {
            let mut world = World::new(engine.config());
            let (left, right) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a pair");
            let (left, right) = (world.port.adopt(left, 0).expect("adopts"), world.port.adopt(right, 0).expect("adopts"));
            for n in 0..20usize {
                let len = 1 + n * 37;
                let data = pattern(n as u64, 0, len);
                let sent = match n % 3 {
                    0 => world.run(Op::Send { socket: left, data: data.into() }),
                    1 => world
                        .run(Op::SendMsg { socket: left, message: Box::new(ostia_port::Message { data, ..Default::default() }) }),
                    _ => {
                        let (head, tail) = data.split_at(len / 2);
                        world.run(Op::SendVectored { socket: left, data: vec![head.to_vec().into(), tail.to_vec().into()] })
                    }
                };
                assert_eq!(sent.result.ok(), Some(len));
                let done = world.run(Op::RecvInto { socket: right, buffer: Vec::with_capacity(2000) });
                assert_eq!(done.result.ok(), Some(len), "{kind:?}");
                assert_pattern(n as u64, 0, &done.payload.into_vec());
            }
            let done = world.run(Op::Recv { socket: right });
            world.failed(&done, os::EINVAL, "a chunk might cut a packet");
        }
    });
}

/// 7: files at their own position, directories and relative paths, files that can't be opened.
#[test]
fn i07_files_and_folders() {
    on_every_engine("i07_files_and_folders", |engine| {
        let mut world = World::new(engine.config());
        let temporary = TempFile::new(&pattern(1, 0, 5000));
        let name = CString::new(temporary.path.file_name().expect("a name").as_encoded_bytes()).expect("no NUL");
        let folder = temporary.path.parent().expect("a folder").as_os_str().as_encoded_bytes();
        let open = |directory, path: &[u8], flags, resolve| Op::Open {
            directory,
            path: CString::new(path).expect("no NUL"),
            how: OpenHow { flags, mode: 0o600, resolve },
        };
        let done = world.run(open(None, folder, libc::O_DIRECTORY, 0));
        let directory = done.payload.into_handle().expect("a folder");
        let done = world.run(open(Some(directory), name.as_bytes(), libc::O_RDWR, 0));
        let file = done.payload.into_handle().expect("a file");
        // In sequence, at its own position.
        let mut got = Vec::new();
        while got.len() < 5000 {
            let done = world.run(Op::Read { file, buffer: Vec::with_capacity(1700) });
            assert!(done.result.is_ok_and(|len| len > 0));
            got.extend(done.payload.into_vec());
        }
        assert_pattern(1, 0, &got);
        assert_eq!(world.run(Op::Read { file, buffer: Vec::with_capacity(10) }).result.ok(), Some(0), "the end");
        assert!(world.run(Op::Write { file, data: b"more".into() }).result.is_ok_and(|len| len > 0));
        assert_eq!(world.run(Op::Fsync { file, data_only: true }).result.ok(), Some(0));
        let done = world.run(Op::Statx { file: Some(directory), path: Some(name) });
        let Payload::Metadata(metadata) = done.payload else { panic!("{:?}", done.result) };
        assert!(metadata.is_file() && metadata.len() > 5000);
        let done = world.run(Op::Statx { file: None, path: None });
        let Payload::Metadata(metadata) = done.payload else { panic!("{:?}", done.result) };
        assert!(metadata.is_dir(), "nothing named: the working directory");
        let done = world.run(Op::Poll { handle: file, events: os::POLLIN });
        assert_eq!(done.result.ok(), Some(os::POLLIN as usize), "a file is always ready");

        // Valgrind does not know openat2(2); io_uring opens without it.
        let uncontained = if under_valgrind() && world.port.driver() == DriverKind::Epoll { libc::ENOSYS } else { libc::EXDEV };
        for (op, errno) in [
            (open(Some(directory), b"no-such-file", libc::O_RDONLY, 0), os::ENOENT),
            (open(Some(directory), b"../etc/passwd", libc::O_RDONLY, libc::RESOLVE_BENEATH), uncontained),
            (open(Some(file), b"x", libc::O_RDONLY, 0), libc::ENOTDIR),
            (open(None, b"", libc::O_RDONLY, 0), os::ENOENT),
            (Op::Statx { file: None, path: Some(c"/no/such/path".into()) }, os::ENOENT),
            (Op::ReadAt { file: directory, buffer: Vec::with_capacity(10), offset: 0 }, libc::EISDIR),
        ] {
            let what = format!("{op:?}");
            let done = world.run(op);
            world.failed(&done, errno, &what);
        }
    });
}

/// 7: what is wrong with an operation comes as its completion, with the buffer, and harms nobody.
#[test]
fn i07_wrong_operations_complete_with_their_error() {
    on_every_engine("i07_wrong_operations_complete_with_their_error", |engine| {
        let mut world = World::new(engine.config());
        let (near, _far) = tcp_pair();
        let socket = world.port.adopt(near, 0).expect("adopts");
        let (near, _writer) = pipe();
        let reader = world.port.adopt(near, 0).expect("adopts");
        let (_reader, far) = pipe();
        let writer = world.port.adopt(far, 0).expect("adopts");
        let temporary = TempFile::new(b"contents");
        let file = world.port.adopt(std::fs::File::open(&temporary.path).expect("opens"), 0).expect("adopts");
        let gone = world.port.adopt(pipe().0, 0).expect("adopts");
        world.close(gone);
        let full = || Vec::with_capacity(0);
        let room = || Vec::with_capacity(10);
        let bytes = || Buffer::from(b"bytes");
        let table: Vec<(Op, &[i32])> = vec![
            (Op::Accept { listener: socket }, &[os::EINVAL]),
            (Op::Recv { socket: file }, &[os::EINVAL]),
            (Op::RecvInto { socket: file, buffer: room() }, &[os::ENOTSOCK]),
            (Op::RecvInto { socket: writer, buffer: room() }, &[os::EBADF]),
            (Op::RecvInto { socket, buffer: full() }, &[os::EINVAL]),
            (Op::Read { file: reader, buffer: full() }, &[os::EINVAL]),
            (Op::ReadAt { file: reader, buffer: room(), offset: 0 }, &[os::ESPIPE]),
            (Op::Read { file: writer, buffer: room() }, &[os::EBADF]),
            (Op::Write { file: reader, data: bytes() }, &[os::EBADF]),
            (Op::Write { file, data: bytes() }, &[os::EBADF]),
            (Op::WriteAt { file, data: bytes(), offset: u64::MAX - 1 }, &[os::EINVAL, os::EBADF]),
            (Op::Send { socket: file, data: bytes() }, &[os::ENOTSOCK]),
            (Op::Send { socket: reader, data: bytes() }, &[os::EBADF]),
            (Op::SendFile { socket, head: bytes(), file: gone, offset: 0, len: 1 }, &[os::EBADF]),
            (Op::Splice { from: reader, to: gone, len: 1 }, &[os::EBADF]),
            (Op::Splice { from: socket, to: socket, len: 1 }, &[os::EINVAL]),
            (Op::Shutdown { socket: reader, how: std::net::Shutdown::Write }, &[os::ENOTSOCK]),
            (Op::Fsync { file: reader, data_only: false }, &[os::EINVAL]),
            (Op::Close { handle: gone }, &[os::EBADF]),
            (Op::Poll { handle: gone, events: 1 }, &[os::EBADF]),
            (Op::Connect { socket: reader, address: std::net::SocketAddr::from(([127, 0, 0, 1], 1)).into() }, &[os::ENOTSOCK]),
            (Op::recv_from(reader, room()), &[os::ENOTSOCK]),
            (Op::recv_from(socket, full()), &[os::EINVAL]),
        ];
        each_fails(&mut world, table);
        // Nothing of it has left a trace: the handles work.
        for handle in [socket, reader, writer, file] {
            world.close(handle);
        }
        assert_eq!(world.port.handles().count(), 0);
    });
}

/// 7: the end of a FIFO is told, and the next writer is heard.
#[test]
fn i07_a_fifo_finds_another_writer() {
    on_every_engine("i07_a_fifo_finds_another_writer", |engine| {
        let mut world = World::new(engine.config());
        let place = TempFile::new(b"");
        std::fs::remove_file(&place.path).expect("removed");
        rustix::fs::mkfifoat(rustix::fs::CWD, &place.path, rustix::fs::Mode::from_raw_mode(0o600)).expect("a FIFO");
        let open = |write: bool| {
            use std::os::unix::fs::OpenOptionsExt;
            let flags = libc::O_NONBLOCK;
            std::fs::File::options().read(!write).write(write).custom_flags(flags).open(&place.path).expect("opens")
        };
        let socket = world.port.adopt(open(false), 0).expect("adopts");
        for words in [&b"first"[..], b"second", b"third"] {
            let mut writer = open(true);
            std::io::Write::write_all(&mut writer, words).expect("written");
            let mut got = Vec::new();
            while got.len() < words.len() {
                let done = world.run(Op::Recv { socket });
                assert!(done.result.is_ok_and(|len| len > 0), "the writer is there");
                got.extend_from_slice(&done.payload.into_chunk().expect("bytes"));
            }
            assert_eq!(got, words);
            drop(writer);
            let done = world.run(Op::Recv { socket });
            assert_eq!(done.result.ok(), Some(0), "the end");
        }
    });
}
