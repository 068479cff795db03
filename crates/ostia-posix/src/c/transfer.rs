//! Bytes in and out.

use std::ffi::{c_int, c_void};
use std::io::{IoSlice, IoSliceMut};

use libc::{iovec, msghdr, sockaddr, socklen_t};

use super::{borrow, memory, size};
use crate::{Errno, World};

/// The number of a vectored call's rows.
fn rows(count: c_int) -> Result<usize, Errno> {
    usize::try_from(count).map_err(|_| Errno::EINVAL)
}

/// What a call that any descriptor may have answers: `kernel` makes it on one that is the kernel's, which the world has no socket
/// for.
fn of_any(world: &World, fd: c_int, outcome: Result<usize, Errno>, kernel: impl FnOnce() -> isize) -> isize {
    match outcome {
        Err(Errno::ENOTSOCK) if !world.has(fd) => kernel(),
        outcome => size(outcome),
    }
}

/// read(2), also of the kernel's descriptors.
///
/// # Safety
/// `world` is from [`into_raw`](super::into_raw), and not released yet; `len` bytes are writable at `into` unless that is null.
pub unsafe extern "C" fn read(world: *mut c_void, fd: c_int, into: *mut c_void, len: usize) -> isize {
    // SAFETY: the caller's.
    match unsafe { borrow(world) } {
        Ok(world) => {
            // SAFETY: the caller's.
            let outcome = unsafe { memory::bytes_mut(into, len) }.and_then(|into| world.read(fd, into));
            // SAFETY: the arguments as they came.
            of_any(&world, fd, outcome, || unsafe { libc::read(fd, into, len) })
        }
        Err(error) => size(Err(error)),
    }
}

/// readv(2), as [`read()`].
///
/// # Safety
/// As [`read()`] of each row; `count` rows are readable at `row` unless that is null.
pub unsafe extern "C" fn readv(world: *mut c_void, fd: c_int, row: *const iovec, count: c_int) -> isize {
    // SAFETY: the caller's.
    match unsafe { borrow(world) } {
        Ok(world) => {
            // SAFETY: the caller's.
            let into = rows(count).and_then(|count| unsafe { memory::to_receive(row, count) });
            let outcome = into.and_then(|mut into| world.readv(fd, &mut into));
            // SAFETY: the arguments as they came.
            of_any(&world, fd, outcome, || unsafe { libc::readv(fd, row, count) })
        }
        Err(error) => size(Err(error)),
    }
}

/// recv(2).
///
/// # Safety
/// As [`read()`].
pub unsafe extern "C" fn recv(world: *mut c_void, fd: c_int, into: *mut c_void, len: usize, flags: c_int) -> isize {
    let mut spare = Vec::new();
    // SAFETY: the caller's.
    let (world, into) = unsafe { (borrow(world), memory::to_fill(into, len, flags, &mut spare)) };
    size(world.and_then(|world| world.recv(fd, into?, flags)))
}

/// recvfrom(2).
///
/// # Safety
/// As [`read()`]; unless `name` is null, `name_len` is null or says how many bytes may be written there.
pub unsafe extern "C" fn recvfrom(
    world: *mut c_void,
    fd: c_int,
    into: *mut c_void,
    len: usize,
    flags: c_int,
    name: *mut sockaddr,
    name_len: *mut socklen_t,
) -> isize {
    let mut spare = Vec::new();
    // SAFETY: the caller's.
    let (world, into) = unsafe { (borrow(world), memory::to_fill(into, len, flags, &mut spare)) };
    let outcome = world.and_then(|world| {
        let received = world.recvmsg(fd, &mut [IoSliceMut::new(into?)], flags)?;
        if received.from.is_some() {
            // SAFETY: the caller's. Of a stream nothing is written, as in Linux.
            unsafe { memory::put_name(name, name_len, received.from) }?;
        }
        Ok(received.count)
    });
    size(outcome)
}

/// recvmsg(2). There is no control data: its length becomes 0.
///
/// # Safety
/// As [`readv()`] of the message's rows; the message is null, or may be read and written, and so may its name.
pub unsafe extern "C" fn recvmsg(world: *mut c_void, fd: c_int, message: *mut msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    let outcome = world.and_then(|world| {
        // SAFETY: the caller's.
        let mut head = unsafe { memory::object(message.cast_const()) }?;
        if head.msg_iovlen > 1024 {
            return Err(Errno::EMSGSIZE);
        }
        // SAFETY: the caller's.
        let mut into = unsafe { memory::to_receive(head.msg_iov, head.msg_iovlen) }?;
        let received = world.recvmsg(fd, &mut into, flags)?;
        match received.from {
            // SAFETY: the caller's; the length is this function's own.
            Some(_) => unsafe { memory::put_name(head.msg_name.cast(), &raw mut head.msg_namelen, received.from) }?,
            None => head.msg_namelen = 0,
        }
        head.msg_controllen = 0;
        head.msg_flags = received.flags;
        // SAFETY: the caller's.
        unsafe { memory::put(message, head) }?;
        Ok(received.count)
    });
    size(outcome)
}

/// write(2), also to the kernel's descriptors.
///
/// # Safety
/// As [`read()`], of bytes that may be read.
pub unsafe extern "C" fn write(world: *mut c_void, fd: c_int, data: *const c_void, len: usize) -> isize {
    // SAFETY: the caller's.
    match unsafe { borrow(world) } {
        Ok(world) => {
            // SAFETY: the caller's.
            let outcome = unsafe { memory::bytes(data, len) }.and_then(|data| world.write(fd, data));
            // SAFETY: the arguments as they came.
            of_any(&world, fd, outcome, || unsafe { libc::write(fd, data, len) })
        }
        Err(error) => size(Err(error)),
    }
}

/// writev(2), as [`write()`].
///
/// # Safety
/// As [`readv()`], of bytes that may be read.
pub unsafe extern "C" fn writev(world: *mut c_void, fd: c_int, row: *const iovec, count: c_int) -> isize {
    // SAFETY: the caller's.
    match unsafe { borrow(world) } {
        Ok(world) => {
            // SAFETY: the caller's.
            let data = rows(count).and_then(|count| unsafe { memory::to_send(row, count) });
            let outcome = data.and_then(|data| world.writev(fd, &data));
            // SAFETY: the arguments as they came.
            of_any(&world, fd, outcome, || unsafe { libc::writev(fd, row, count) })
        }
        Err(error) => size(Err(error)),
    }
}

/// send(2).
///
/// # Safety
/// As [`write()`].
pub unsafe extern "C" fn send(world: *mut c_void, fd: c_int, data: *const c_void, len: usize, flags: c_int) -> isize {
    // SAFETY: the caller's.
    let (world, data) = unsafe { (borrow(world), memory::bytes(data, len)) };
    size(world.and_then(|world| world.send(fd, data?, flags)))
}

/// sendto(2).
///
/// # Safety
/// As [`write()`]; `name_len` bytes are readable at `name` unless that is null.
pub unsafe extern "C" fn sendto(
    world: *mut c_void,
    fd: c_int,
    data: *const c_void,
    len: usize,
    flags: c_int,
    name: *const sockaddr,
    name_len: socklen_t,
) -> isize {
    // SAFETY: the caller's.
    let (world, data, name) = unsafe { (borrow(world), memory::bytes(data, len), memory::name(name, name_len)) };
    size(world.and_then(|world| world.sendmsg(fd, &[IoSlice::new(data?)], flags, name?)))
}

/// sendmsg(2). Control data is passed over.
///
/// # Safety
/// As [`writev()`] of the message's rows; the message is null, or may be read, and so may its name.
pub unsafe extern "C" fn sendmsg(world: *mut c_void, fd: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    let outcome = world.and_then(|world| {
        // SAFETY: the caller's.
        let head = unsafe { memory::object(message) }?;
        if head.msg_iovlen > 1024 {
            return Err(Errno::EMSGSIZE);
        }
        // SAFETY: the caller's.
        let data = unsafe { memory::to_send(head.msg_iov, head.msg_iovlen) }?;
        let len = if head.msg_name.is_null() { 0 } else { head.msg_namelen };
        // SAFETY: the caller's.
        let name = unsafe { memory::name(head.msg_name.cast_const().cast(), len) }?;
        world.sendmsg(fd, &data, flags, name.filter(|name| !name.is_empty()))
    });
    size(outcome)
}
