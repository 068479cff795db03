//! Options, and what fcntl(2) and ioctl(2) do.

use std::ffi::{c_int, c_ulong, c_void};

use libc::socklen_t;

use super::{borrow, int, memory};
use crate::Errno;

/// getsockopt(2).
///
/// # Safety
/// `world` is from [`into_raw`](super::into_raw), and not released yet; `len` is null, or says how many bytes may be written at
/// `value`.
pub unsafe extern "C" fn getsockopt(
    world: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    let outcome = world.and_then(|world| {
        if !world.has(fd) {
            return Err(crate::World::foreign(fd));
        }
        // SAFETY: the caller's.
        let room = unsafe { memory::object(len.cast_const()) }?;
        let room = i32::try_from(room).map_err(|_| Errno::EINVAL)?;
        let found = world.getsockopt(fd, level, name, room as usize)?;
        // SAFETY: the caller's.
        let place = unsafe { memory::bytes_mut(value, found.len()) }?;
        place.copy_from_slice(&found);
        // SAFETY: the length was read there.
        unsafe { memory::put(len, found.len() as socklen_t) }
    });
    int(outcome.map(|()| 0))
}

/// setsockopt(2).
///
/// # Safety
/// As [`getsockopt()`]; `len` bytes are readable at `value` unless that is null.
pub unsafe extern "C" fn setsockopt(
    world: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    let outcome = world.and_then(|world| {
        if !world.has(fd) {
            return Err(crate::World::foreign(fd));
        }
        let len = i32::try_from(len).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the caller's.
        let value = unsafe { memory::bytes(value, len as usize) }?;
        world.setsockopt(fd, level, name, value)
    });
    int(outcome.map(|()| 0))
}

/// fcntl(2). C's is variadic, which no function of Rust can be; its third argument is always one of a machine word here.
///
/// # Safety
/// As [`getsockopt()`]. It may be called as a variadic function, with three arguments or with two: in the calling conventions of
/// x86-64 (System V) and AArch64 an integer that takes a variadic place stands in the register in which a fixed third argument
/// would, and one that wasn't given is whatever the register holds, which no command looks at that takes none.
pub unsafe extern "C" fn fcntl(world: *mut c_void, fd: c_int, command: c_int, argument: isize) -> c_int {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    match world {
        // SAFETY: a descriptor of the kernel's, and the argument is passed on as it came.
        Ok(world) if !world.has(fd) => unsafe { libc::fcntl(fd, command, argument) },
        world => int(world.and_then(|world| world.fcntl(fd, command, argument as i64))),
    }
}

/// ioctl(2), as [`fcntl()`].
///
/// # Safety
/// As [`fcntl()`]; `argument` points to an `int` that may be read and written, or is null.
pub unsafe extern "C" fn ioctl(world: *mut c_void, fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // SAFETY: the caller's.
    let world = match unsafe { borrow(world) } {
        // SAFETY: a descriptor of the kernel's, and the argument is passed on as it came.
        Ok(world) if !world.has(fd) => return unsafe { libc::ioctl(fd, request as _, argument) },
        world => world,
    };
    let place = argument.cast::<c_int>();
    let outcome = world.and_then(|world| {
        if request == crate::control::FIONBIO {
            // SAFETY: the caller's.
            let on = unsafe { memory::object(place.cast_const()) }?;
            return world.ioctl(fd, request, on);
        }
        let answer = world.ioctl(fd, request, 0)?;
        // SAFETY: the caller's.
        unsafe { memory::put(place, answer) }.map(|()| 0)
    });
    int(outcome)
}
