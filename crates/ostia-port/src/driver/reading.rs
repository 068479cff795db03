//! Reading once what can be polled, without ever waiting: how the drivers fill the open buffer where the system can't.

use crate::driver::open_buffer::OpenBuffer;
use crate::os::{RawFd, raw, syscalls};
use crate::pool::Pool;
use crate::sys::{CURRENT, Event, Sys};
use crate::tag::Tag;

/// How a descriptor is read.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// recv(2), never waiting.
    Socket,
    /// read(2): only after poll said that it won't wait, unless `RWF_NOWAIT` can be trusted to say so.
    Pipe { polled: bool },
}

/// Receives once from `fd` into the open buffer. `Err(EAGAIN)`: nothing there; `Err(ENOBUFS)`: the pool is dry.
pub(crate) fn receive(open: &mut OpenBuffer, tag: Tag, fd: RawFd, how: How, pool: &Pool) -> Result<Event, i32> {
    // SAFETY: the system writes to no other memory than it is given, and says how much.
    unsafe { open.receive(tag, pool, |ptr, len| read_once(fd, how, ptr, len)) }
}

/// # Safety
/// `len` bytes from `ptr` are the caller's to fill.
unsafe fn read_once(fd: RawFd, how: How, ptr: *mut u8, len: usize) -> i32 {
    let sys = match how {
        How::Socket => Sys::Recv { fd, ptr, len },
        How::Pipe { .. } => Sys::Read { fd, ptr, len, offset: CURRENT },
    };
    // SAFETY: by the caller's promise.
    let got = unsafe { syscalls::attempt(&sys) }.unwrap_or(-raw::EINVAL);
    match how {
        // A terminal or an old device knows no RWF_NOWAIT: wait for poll, then read.
        How::Pipe { polled: true } if got == -raw::EOPNOTSUPP => {
            // SAFETY: as above.
            unsafe { syscalls::carry_out(&sys) }
        }
        How::Pipe { polled: false } if got == -raw::EOPNOTSUPP => -raw::EAGAIN,
        _ => got,
    }
}
