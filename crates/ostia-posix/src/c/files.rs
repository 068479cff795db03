//! sendfile(2) from a file of the kernel's to a socket of a world.

use std::ffi::{c_int, c_void};

use libc::off_t;

use super::{borrow, last_error, memory, size};
use crate::{Errno, World};

/// Bytes that are read at a time.
const PART: usize = 64 << 10;

/// What one call moves, at most (Linux's MAX_RW_COUNT).
const MOST: usize = 0x7fff_f000;

/// sendfile(2). The file must be one that can be read at any place.
///
/// # Safety
/// `world` is from [`into_raw`](super::into_raw), and not released yet; `at` is null, or may be read and written.
pub unsafe extern "C" fn sendfile(world: *mut c_void, to: c_int, from: c_int, at: *mut off_t, len: usize) -> isize {
    // SAFETY: the caller's.
    let world = match unsafe { borrow(world) } {
        Ok(world) => world,
        Err(error) => return size(Err(error)),
    };
    let (source, sink) = (world.has(from), world.has(to));
    if !source && !sink {
        // SAFETY: the caller's; both are the kernel's.
        return unsafe { libc::sendfile(to, from, at, len) };
    }
    if source {
        return size(Err(Errno::EINVAL));
    }
    let outcome = if at.is_null() {
        send_on(&world, to, from, len)
    } else {
        // SAFETY: not null, so it may be read.
        unsafe { memory::object(at.cast_const()) }.and_then(|begin| {
            let sent = send(&world, to, from, begin, len)?;
            // SAFETY: it was read there.
            unsafe { memory::put(at, begin + sent as off_t) }.map(|()| sent)
        })
    };
    size(outcome)
}

/// From where the file is being read.
fn send_on(world: &World, to: c_int, from: c_int, len: usize) -> Result<usize, Errno> {
    // SAFETY: no memory is handed over.
    let begin = match unsafe { libc::lseek(from, 0, libc::SEEK_CUR) } {
        // What has no place is no file to be sent.
        -1 if last_error() == Errno::ESPIPE => return Err(Errno::EINVAL),
        -1 => return Err(last_error()),
        begin => begin,
    };
    let sent = send(world, to, from, begin, len)?;
    // SAFETY: no memory is handed over. It has a place, so it can be given another.
    unsafe { libc::lseek(from, begin + sent as off_t, libc::SEEK_SET) };
    Ok(sent)
}

fn send(world: &World, to: c_int, from: c_int, begin: off_t, len: usize) -> Result<usize, Errno> {
    if begin < 0 {
        return Err(Errno::EINVAL);
    }
    let len = len.min(MOST);
    let (mut sent, mut next) = (0, read_at(from, begin, len)?);
    while !next.is_empty() {
        let bytes = next;
        let behind = sent + bytes.len();
        // What can't be read is the next call's to find.
        next = read_at(from, begin + behind as off_t, len - behind).unwrap_or_default();
        // No segment ends where a part does.
        let flags = if next.is_empty() { 0 } else { libc::MSG_MORE };
        match world.send(to, &bytes, flags) {
            Ok(count) => sent += count,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
        if sent < behind {
            break;
        }
    }
    Ok(sent)
}

/// The next part of a file, empty at its end.
fn read_at(from: c_int, at: off_t, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; len.min(PART)];
    // SAFETY: the buffer is that long.
    let count = unsafe { libc::pread(from, bytes.as_mut_ptr().cast(), bytes.len(), at) };
    bytes.truncate(usize::try_from(count).map_err(|_| last_error())?);
    Ok(bytes)
}
