//! The calls of a [`World`] for C: pointers for slices, −1 and `errno` for errors. All unsafe code of this crate is here.
//!
//! Every function takes the world first, as [`into_raw`] has given it, and then what libc's function of that name takes. Pointers
//! that are null where something must be are EFAULT; nothing else can be known of them.

mod files;
mod memory;
mod options;
mod pipes;
mod sockets;
mod transfer;
mod waiting;

use std::ffi::{c_int, c_void};
use std::sync::Arc;

pub use files::sendfile;
pub use memory::{bytes, bytes_mut, object, put};
pub use options::{fcntl, getsockopt, ioctl, setsockopt};
pub use pipes::{pipe, splice};
pub use sockets::{accept, accept4, bind, close, connect, getpeername, getsockname, listen, shutdown, socket};
pub use transfer::{read, readv, recv, recvfrom, recvmsg, send, sendmsg, sendto, write, writev};
pub use waiting::{epoll_create, epoll_create1, epoll_ctl, epoll_wait, poll};

use crate::{Errno, World};

/// A world as C holds it. It lives until [`release`].
pub fn into_raw(world: Arc<World>) -> *mut c_void {
    Arc::into_raw(world).cast_mut().cast()
}

/// Gives a world back: it is [closed](World::close), which lets calls in other threads return, and no later call may name it.
///
/// # Safety
/// `world` is null, or [`into_raw`] has given it and nobody has released it.
pub unsafe extern "C" fn release(world: *mut c_void) {
    if world.is_null() {
        return;
    }
    // SAFETY: the caller says that this is a count which `into_raw` has given away, and gives it up.
    let world = unsafe { Arc::from_raw(world.cast_const().cast::<World>()) };
    world.close();
}

/// The world that C names, kept alive while the call lasts.
///
/// # Safety
/// `world` is null, or [`into_raw`] has given it and nobody releases it before this returns.
pub unsafe fn borrow(world: *mut c_void) -> Result<Arc<World>, Errno> {
    if world.is_null() {
        return Err(Errno::EFAULT);
    }
    let world = world.cast_const().cast::<World>();
    // SAFETY: the pointer is from `Arc::into_raw`, and its count is still held, so another may be added and taken.
    unsafe {
        Arc::increment_strong_count(world);
        Ok(Arc::from_raw(world))
    }
}

fn set_errno(error: Errno) {
    // SAFETY: the place is this thread's own, and always there.
    unsafe { *libc::__errno_location() = error.code() };
}

/// An answer of C: a number, or −1 and `errno`.
pub fn int(outcome: Result<c_int, Errno>) -> c_int {
    outcome.unwrap_or_else(|error| {
        set_errno(error);
        -1
    })
}

/// An answer of C: how many bytes, or −1 and `errno`.
pub fn size(outcome: Result<usize, Errno>) -> isize {
    let size = outcome.and_then(|count| isize::try_from(count).map_err(|_| Errno::EINVAL));
    size.unwrap_or_else(|error| {
        set_errno(error);
        -1
    })
}

/// The error of a call of libc's that has just failed.
pub(crate) fn last_error() -> Errno {
    Errno::of_number(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
