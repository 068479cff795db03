//! A message to another thread's ring, sent by a thread that need not have a ring itself (Linux 6.13).

use std::io;
use std::os::fd::RawFd;

use io_uring::squeue;
use io_uring::{opcode, types};

use crate::tag::{Tag, TagKind};

/// IORING_REGISTER_SEND_MSG_RING of io_uring_register(2).
const SEND_MSG_RING: libc::c_uint = 31;

/// Posts a wake-up into the completion queue of the ring `fd`.
///
/// # Errors
/// EINVAL where the kernel can't; EBADF if the ring has gone; EOVERFLOW or ENOMEM if it can't take one more.
pub(crate) fn send(fd: RawFd) -> io::Result<()> {
    let tag = Tag::new(TagKind::Wake, 1, 0);
    let entry: squeue::Entry = opcode::MsgRingData::new(types::Fd(fd), 0, tag.word(), None).build();
    // SAFETY: the call reads one submission entry and keeps nothing.
    match unsafe { libc::syscall(libc::SYS_io_uring_register, -1, SEND_MSG_RING, &raw const entry, 1) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
