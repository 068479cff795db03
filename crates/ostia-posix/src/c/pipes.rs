//! pipe(2), which is the kernel's, and splice(2) between a pipe and a socket of a world.

use std::ffi::{c_int, c_uint, c_void};

use libc::loff_t;

use super::{borrow, int, last_error, size};
use crate::{Errno, PollFd, World};

/// Bytes that one call moves, at most: what a pipe holds.
const MOST: usize = 64 << 10;

/// pipe(2).
///
/// # Safety
/// Two descriptors may be written at `ends` unless that is null.
pub unsafe extern "C" fn pipe(_world: *mut c_void, ends: *mut c_int) -> c_int {
    if ends.is_null() {
        return int(Err(Errno::EFAULT));
    }
    // SAFETY: the caller's.
    unsafe { libc::pipe(ends) }
}

/// splice(2), through a buffer where one of the two is a socket of the world; it moves at most 64 KiB then.
///
/// # Safety
/// As [`poll`](super::poll); the offsets are null, or may be read and written.
pub unsafe extern "C" fn splice(
    world: *mut c_void,
    from: c_int,
    from_at: *mut loff_t,
    to: c_int,
    to_at: *mut loff_t,
    len: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: the caller's.
    let world = match unsafe { borrow(world) } {
        Ok(world) => world,
        Err(error) => return size(Err(error)),
    };
    let (takes, gives) = (world.has(from), world.has(to));
    if !takes && !gives {
        // SAFETY: the caller's; both are the kernel's.
        return unsafe { libc::splice(from, from_at, to, to_at, len, flags) };
    }
    // It is about the pipe: whether the socket waits is its own affair.
    let dont_wait = flags & libc::SPLICE_F_NONBLOCK != 0;
    let outcome = match (takes, gives) {
        // One of the two has to be a pipe.
        (true, true) => Err(Errno::EINVAL),
        _ if !from_at.is_null() || !to_at.is_null() => Err(Errno::ESPIPE),
        (true, false) => into_pipe(&world, from, to, len, dont_wait),
        _ => out_of_pipe(&world, from, to, len, dont_wait),
    };
    size(outcome)
}

fn into_pipe(world: &World, socket: c_int, pipe: c_int, len: usize, dont_wait: bool) -> Result<usize, Errno> {
    let mut bytes = vec![0; len.min(MOST)];
    // What the pipe has no room for stays in the socket.
    let count = world.recv(socket, &mut bytes, libc::MSG_PEEK)?;
    if count == 0 {
        return Ok(0);
    }
    is_ready(pipe, libc::POLLOUT, dont_wait)?;
    // SAFETY: the buffer is that long.
    let written = unsafe { libc::write(pipe, bytes.as_ptr().cast(), count) };
    let written = usize::try_from(written).map_err(|_| last_error())?;
    world.recv(socket, &mut bytes[..written], libc::MSG_DONTWAIT)
}

fn out_of_pipe(world: &World, pipe: c_int, socket: c_int, len: usize, dont_wait: bool) -> Result<usize, Errno> {
    let mut bytes = vec![0; len.min(MOST)];
    is_ready(pipe, libc::POLLIN, dont_wait)?;
    // SAFETY: the buffer is that long.
    let count = unsafe { libc::read(pipe, bytes.as_mut_ptr().cast(), bytes.len()) };
    let count = usize::try_from(count).map_err(|_| last_error())?;
    // What has left the pipe can't go back: should the socket have less room, it waits.
    let mut sent = 0;
    while sent < count {
        match world.send(socket, &bytes[sent..count], 0) {
            Ok(0) => break,
            Ok(more) => sent += more,
            Err(Errno::EAGAIN) => {
                world.poll(&mut [PollFd { fd: socket, events: libc::POLLOUT, revents: 0 }], -1)?;
            }
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent)
}

/// EAGAIN if a pipe that mustn't be waited for isn't ready.
fn is_ready(pipe: c_int, events: i16, dont_wait: bool) -> Result<(), Errno> {
    let mut entry = libc::pollfd { fd: pipe, events, revents: 0 };
    // SAFETY: one entry, and it is this function's own.
    let ready = if dont_wait { unsafe { libc::poll(&mut entry, 1, 0) } } else { 1 };
    if ready == 0 { Err(Errno::EAGAIN) } else { Ok(()) }
}
