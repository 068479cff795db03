//! Invariant 7: operations that can't be complete once, with their error and their buffer; files at their edges.

use std::net::Shutdown;

use ostia_port::os::{self, system_path};
use ostia_port::{Buffer, Op, OpenHow, Payload};
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_INVALID_FUNCTION, ERROR_PATH_NOT_FOUND};
use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_BACKUP_SEMANTICS;

use crate::common::peers::{TempFile, pipe, tcp_pair};
use crate::common::random::{assert_pattern, pattern};
use crate::common::{World, on_every_engine};
use crate::odd::each_fails;

const DENIED: i32 = ERROR_ACCESS_DENIED as i32;

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
        // Windows says "access denied" of a wrong direction, and of calls that make no sense one of a few things.
        let table: Vec<(Op, &[i32])> = vec![
            (Op::Accept { listener: socket }, &[os::EINVAL]),
            (Op::Recv { socket: file }, &[os::EINVAL]),
            (Op::RecvInto { socket: file, buffer: room() }, &[os::ENOTSOCK]),
            (Op::RecvInto { socket: writer, buffer: room() }, &[DENIED]),
            (Op::RecvInto { socket, buffer: full() }, &[os::EINVAL]),
            (Op::Read { file: reader, buffer: full() }, &[os::EINVAL]),
            (Op::ReadAt { file: reader, buffer: room(), offset: 0 }, &[os::ESPIPE]),
            (Op::Read { file: writer, buffer: room() }, &[DENIED]),
            (Op::Write { file: reader, data: bytes() }, &[DENIED]),
            (Op::Write { file, data: bytes() }, &[DENIED]),
            (Op::WriteAt { file, data: bytes(), offset: u64::MAX - 1 }, &[os::EINVAL, DENIED]),
            (Op::Send { socket: file, data: bytes() }, &[os::ENOTSOCK]),
            (Op::Send { socket: reader, data: bytes() }, &[DENIED]),
            (Op::SendFile { socket, head: bytes(), file: gone, offset: 0, len: 1 }, &[os::EBADF]),
            (Op::Splice { from: reader, to: gone, len: 1 }, &[os::EBADF]),
            (Op::Splice { from: reader, to: socket, len: 1 }, &[os::EOPNOTSUPP]),
            // Wine 8 says the second.
            (Op::Shutdown { socket: reader, how: Shutdown::Write }, &[os::ENOTSOCK, os::EOPNOTSUPP]),
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

/// 7: files at their own position, directories, files that can't be opened.
#[test]
fn i07_files_and_folders() {
    on_every_engine("i07_files_and_folders", |engine| {
        let mut world = World::new(engine.config());
        let temporary = TempFile::new(&pattern(1, 0, 5000));
        let folder = temporary.path.parent().expect("a folder").to_path_buf();
        let open =
            |path: &std::path::Path, how: OpenHow| Op::Open { directory: None, path: system_path(path).expect("no NUL"), how };
        let both = OpenHow { access: GENERIC_READ | GENERIC_WRITE, ..OpenHow::default() };
        let done = world.run(open(&folder, OpenHow { flags: FILE_FLAG_BACKUP_SEMANTICS, ..OpenHow::default() }));
        let directory = done.payload.into_handle().unwrap_or_else(|| panic!("a folder: {:?}", done.result));
        let done = world.run(open(&temporary.path, both));
        let file = done.payload.into_handle().unwrap_or_else(|| panic!("a file: {:?}", done.result));
        // In sequence, at its own position, which the driver keeps.
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
        let path = Some(system_path(&temporary.path).expect("no NUL"));
        let done = world.run(Op::Statx { file: None, path });
        let Payload::Metadata(metadata) = done.payload else { panic!("{:?}", done.result) };
        assert!(metadata.is_file() && metadata.len() > 5000);
        let done = world.run(Op::Statx { file: Some(directory), path: None });
        let Payload::Metadata(metadata) = done.payload else { panic!("{:?}", done.result) };
        assert!(metadata.is_dir());
        let done = world.run(Op::Poll { handle: file, events: os::POLLIN });
        assert_eq!(done.result.ok(), Some(os::POLLIN as usize), "a file is always ready");

        let missing = temporary.path.with_extension("missing");
        // From a directory's handle, with what paths may have in them; an absolute path needs no directory.
        let name = temporary.path.file_name().expect("a name").to_str().expect("text");
        let there = folder.file_name().expect("a name").to_str().expect("text");
        for path in [name.to_owned(), format!("./{name}"), format!("../{there}/{name}"), temporary.path.display().to_string()] {
            let op = Op::Open { directory: Some(directory), path: system_path(&path).expect("no NUL"), how: both };
            let done = world.run(op);
            let opened = done.payload.into_handle().unwrap_or_else(|| panic!("{path}: {:?}", done.result));
            world.close(opened);
            let done = world.run(Op::Statx { file: Some(directory), path: Some(system_path(&path).expect("no NUL")) });
            assert!(matches!(done.payload, Payload::Metadata(metadata) if metadata.len() > 5000), "{path}");
        }
        let inside = system_path(name).expect("no NUL");
        for (op, errnos) in [
            (open(&missing, both), &[ERROR_FILE_NOT_FOUND as i32][..]),
            (open(&missing.join("deeper"), both), &[ERROR_PATH_NOT_FOUND as i32]),
            (open(std::path::Path::new(""), both), &[ERROR_PATH_NOT_FOUND as i32, ERROR_FILE_NOT_FOUND as i32]),
            (open(&folder, OpenHow::default()), &[DENIED]),
            (Op::Open { directory: Some(file), path: inside.clone(), how: both }, &[ERROR_PATH_NOT_FOUND as i32]),
            (Op::Statx { file: Some(file), path: Some(inside) }, &[ERROR_PATH_NOT_FOUND as i32]),
            (Op::Statx { file: None, path: Some(system_path(&missing).expect("no NUL")) }, &[ERROR_FILE_NOT_FOUND as i32]),
            (
                Op::ReadAt { file: directory, buffer: Vec::with_capacity(10), offset: 0 },
                &[os::EINVAL, DENIED, ERROR_INVALID_FUNCTION as i32],
            ),
        ] {
            let what = format!("{op:?}");
            let done = world.run(op);
            world.failed_by(&done, errnos, &what);
        }
    });
}

/// 7: files and pipes that were not opened for overlapped requests are read and written by threads; only again and again they
/// can't be read.
#[test]
fn i07_what_was_opened_to_wait_goes_by_threads() {
    on_every_engine("i07_what_was_opened_to_wait_goes_by_threads", |engine| {
        let mut world = World::new(engine.config());
        let temporary = TempFile::new(&pattern(1, 0, 5000));
        let file = std::fs::File::options().read(true).write(true).open(&temporary.path).expect("opens");
        let file = world.port.adopt(file, 0).expect("adopts");
        let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(100), offset: 1000 });
        assert!(done.result.is_ok_and(|len| len > 0));
        assert_pattern(1, 1000, &done.payload.into_vec());
        assert!(world.run(Op::WriteAt { file, data: b"!".into(), offset: 5000 }).result.is_ok_and(|len| len == 1));
        let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(100), offset: 6000 });
        assert_eq!(done.result.ok(), Some(0), "the end");
        assert!(world.port.statistics().blocking_jobs >= 3);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let reader = std::os::windows::io::OwnedHandle::from(reader);
        let file = world.port.adopt(reader, 0).expect("adopts");
        let done = world.run(Op::ReadMulti { file });
        world.failed(&done, os::EOPNOTSUPP, "only a pipe for overlapped requests is read again and again");
        std::io::Write::write_all(&mut &writer, b"words").expect("written");
        let done = world.run(Op::Read { file, buffer: Vec::with_capacity(100) });
        assert!(done.result.is_ok_and(|len| (1..=5).contains(&len)));
    });
}
