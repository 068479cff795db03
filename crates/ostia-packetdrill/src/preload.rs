//! libc's functions that the tool calls for descriptors of this library, when the file is loaded before libc.
//!
//! They don't allocate and take no lock for descriptors that aren't this library's: any code of the process may call them, this
//! library's own too.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use libc::{off_t, socklen_t};
use ostia_posix::{World, c};

use crate::own;

/// The world, if a descriptor is one of its own.
fn owner(fd: c_int) -> Option<Arc<World>> {
    own::is(fd).then(own::world).flatten().filter(|world| world.has(fd))
}

/// What a function of [`c`] answers of a world.
fn with<T>(world: Arc<World>, call: impl FnOnce(*mut c_void) -> T) -> T {
    let world = c::into_raw(world);
    let answer = call(world);
    // SAFETY: the count that `into_raw` has given away, taken back once.
    drop(unsafe { Arc::from_raw(world.cast_const().cast::<World>()) });
    answer
}

/// getsockopt(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t) -> c_int {
    let Some(world) = owner(fd) else {
        // SAFETY: the caller's arguments as they came; the kernel checks what they point to.
        return unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) as c_int };
    };
    // SAFETY: the world is one, and the rest is the caller's.
    with(world, |world| unsafe { c::getsockopt(world, fd, level, name, value, len) })
}

/// sendfile(2): a file to a socket of this library.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(to: c_int, from: c_int, at: *mut off_t, len: usize) -> isize {
    let Some(world) = owner(to).or_else(|| owner(from)) else {
        // SAFETY: the caller's arguments as they came; the kernel checks what they point to.
        return unsafe { libc::syscall(libc::SYS_sendfile, to, from, at, len) as isize };
    };
    // SAFETY: the world is one, and the rest is the caller's.
    with(world, |world| unsafe { c::sendfile(world, to, from, at, len) })
}

/// sendfile(2) by its other name: offsets have 64 bits in both.
///
/// # Safety
/// As libc's.
#[cfg(target_pointer_width = "64")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(to: c_int, from: c_int, at: *mut off_t, len: usize) -> isize {
    // SAFETY: the caller's.
    unsafe { sendfile(to, from, at, len) }
}

/// close(2): a socket of this library ends with its descriptor.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    // The world closes its own number by this same function: by then it isn't this library's any more.
    if own::closed(fd)
        && let Some(world) = own::world()
        && world.close_fd(fd).is_ok()
    {
        return 0;
    }
    // SAFETY: whose number it is, is the caller's to know, as with libc's.
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}
