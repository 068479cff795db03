//! Sockets from socket(2) to close(2).

use std::ffi::{c_int, c_void};

use libc::{sockaddr, socklen_t};

use super::{borrow, int, memory};
use crate::Errno;

/// socket(2).
///
/// # Safety
/// `world` is from [`into_raw`](super::into_raw), and not released yet.
pub unsafe extern "C" fn socket(world: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: the caller's.
    int(unsafe { borrow(world) }.and_then(|world| world.socket(domain, kind, protocol)))
}

/// bind(2).
///
/// # Safety
/// As [`socket()`]; `len` bytes are readable at `name` unless that is null.
pub unsafe extern "C" fn bind(world: *mut c_void, fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the caller's.
    let (world, name) = unsafe { (borrow(world), memory::name(name, len)) };
    int(world.and_then(|world| world.bind(fd, name?.ok_or(Errno::EFAULT)?)).map(|()| 0))
}

/// listen(2).
///
/// # Safety
/// As [`socket()`].
pub unsafe extern "C" fn listen(world: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: the caller's.
    int(unsafe { borrow(world) }.and_then(|world| world.listen(fd, backlog)).map(|()| 0))
}

/// accept(2).
///
/// # Safety
/// As [`accept4()`].
pub unsafe extern "C" fn accept(world: *mut c_void, fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { accept4(world, fd, name, len, 0) }
}

/// accept4(2).
///
/// # Safety
/// As [`socket()`]; unless `name` is null, `len` is null or says how many bytes may be written there.
pub unsafe extern "C" fn accept4(world: *mut c_void, fd: c_int, name: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int {
    // SAFETY: the caller's.
    let outcome = unsafe { borrow(world) }.and_then(|world| {
        let (accepted, peer) = world.accept4(fd, flags)?;
        // SAFETY: the caller's.
        let told = unsafe { memory::put_name(name, len, Some(peer)) };
        if told.is_err() {
            // Without its number the caller could never close it.
            let _ = world.close_fd(accepted);
        }
        told.map(|()| accepted)
    });
    int(outcome)
}

/// connect(2).
///
/// # Safety
/// As [`bind()`].
pub unsafe extern "C" fn connect(world: *mut c_void, fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the caller's.
    let (world, name) = unsafe { (borrow(world), memory::name(name, len)) };
    int(world.and_then(|world| world.connect(fd, name?.ok_or(Errno::EFAULT)?)).map(|()| 0))
}

/// shutdown(2).
///
/// # Safety
/// As [`socket()`].
pub unsafe extern "C" fn shutdown(world: *mut c_void, fd: c_int, how: c_int) -> c_int {
    // SAFETY: the caller's.
    int(unsafe { borrow(world) }.and_then(|world| world.shutdown(fd, how)).map(|()| 0))
}

/// close(2), also of descriptors that aren't this world's.
///
/// # Safety
/// As [`socket()`]; a descriptor that isn't this world's is the caller's to close.
pub unsafe extern "C" fn close(world: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    match world {
        // SAFETY: the caller's to close.
        Ok(world) if !world.has(fd) => unsafe { libc::close(fd) },
        world => int(world.and_then(|world| world.close_fd(fd)).map(|()| 0)),
    }
}

/// getsockname(2).
///
/// # Safety
/// As [`accept4()`].
pub unsafe extern "C" fn getsockname(world: *mut c_void, fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's.
    let outcome = unsafe { borrow(world) }.and_then(|world| {
        let found = world.getsockname(fd)?;
        if name.is_null() {
            return Err(Errno::EFAULT);
        }
        // SAFETY: the caller's.
        unsafe { memory::put_name(name, len, Some(found)) }
    });
    int(outcome.map(|()| 0))
}

/// getpeername(2).
///
/// # Safety
/// As [`accept4()`].
pub unsafe extern "C" fn getpeername(world: *mut c_void, fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's.
    let outcome = unsafe { borrow(world) }.and_then(|world| {
        let found = world.getpeername(fd)?;
        if name.is_null() {
            return Err(Errno::EFAULT);
        }
        // SAFETY: the caller's.
        unsafe { memory::put_name(name, len, Some(found)) }
    });
    int(outcome.map(|()| 0))
}
