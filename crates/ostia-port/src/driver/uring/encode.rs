//! Requests as submission queue entries: one line each.

use io_uring::{opcode, squeue, types};

use crate::driver::uring::buffers::Group;
use crate::features::Features;
use crate::os::syscalls;
use crate::sys::Sys;

/// IORING_SEND_ZC_REPORT_USAGE: the notification says whether the kernel copied.
const REPORT_USAGE: u16 = 1 << 3;
/// FUTEX2_SIZE_U32 | FUTEX2_PRIVATE of futex2.
const FUTEX_FLAGS: u32 = 0x02 | 128;
const FUTEX_ANYBODY: u64 = u32::MAX as u64;

/// With MSG_DONTWAIT the send is over when the call that submitted it returns; with MSG_WAITALL less than everything is a
/// failure, and failures are heard of in spite of IOSQE_CQE_SKIP_SUCCESS.
const NOW: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// The entry for `sys`, not yet tagged.
#[inline]
pub(crate) fn entry(sys: &Sys, features: Features) -> squeue::Entry {
    match *sys {
        Sys::Accept { fd, multi } if multi && features.contains(Features::MULTISHOT_ACCEPT) => {
            opcode::AcceptMulti::new(types::Fd(fd)).flags(libc::SOCK_CLOEXEC).build()
        }
        Sys::Accept { fd, .. } => {
            opcode::Accept::new(types::Fd(fd), std::ptr::null_mut(), std::ptr::null_mut()).flags(libc::SOCK_CLOEXEC).build()
        }
        Sys::Connect { fd, addr, len } => opcode::Connect::new(types::Fd(fd), addr, len).build(),
        Sys::Receive { fd } if features.contains(Features::MULTISHOT_RECV) => {
            opcode::RecvMulti::new(types::Fd(fd), Group::Bytes.number()).build()
        }
        Sys::Receive { fd } => opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), 0)
            .buf_group(Group::Bytes.number())
            .build()
            .flags(squeue::Flags::BUFFER_SELECT),
        Sys::ReceiveMsg { .. } => unreachable!("needs the driver's header: see `datagrams`"),
        Sys::Recv { fd, ptr, len } => opcode::Recv::new(types::Fd(fd), ptr, length(len)).build(),
        Sys::Send { fd, ptr, len, flags } => {
            opcode::Send::new(types::Fd(fd), ptr, length(len)).flags(flags | libc::MSG_NOSIGNAL).build()
        }
        Sys::SendNow { fd, ptr, len } => {
            opcode::Send::new(types::Fd(fd), ptr, length(len)).flags(NOW).build().flags(squeue::Flags::SKIP_SUCCESS)
        }
        Sys::SendToNow { fd, ptr, len, addr, addr_len } => opcode::Send::new(types::Fd(fd), ptr, length(len))
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .dest_addr(addr)
            .dest_addr_len(addr_len)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS),
        Sys::SendZc { fd, ptr, len, flags } => {
            opcode::SendZc::new(types::Fd(fd), ptr, length(len)).flags(flags | libc::MSG_NOSIGNAL).zc_flags(REPORT_USAGE).build()
        }
        Sys::RecvMsg { fd, msg, flags } => {
            opcode::RecvMsg::new(types::Fd(fd), msg).flags((flags | libc::MSG_CMSG_CLOEXEC) as u32).build()
        }
        Sys::SendMsg { fd, msg, flags } => {
            opcode::SendMsg::new(types::Fd(fd), msg).flags((flags | libc::MSG_NOSIGNAL) as u32).build()
        }
        Sys::Read { fd, ptr, len, offset } => opcode::Read::new(types::Fd(fd), ptr, length(len)).offset(offset).build(),
        Sys::ReadPool { fd } => opcode::ReadMulti::new(types::Fd(fd), 0, Group::Bytes.number()).offset(u64::MAX).build(),
        Sys::Write { fd, ptr, len, offset } => opcode::Write::new(types::Fd(fd), ptr, length(len)).offset(offset).build(),
        Sys::Fsync { fd, data_only } => {
            let flags = if data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
            opcode::Fsync::new(types::Fd(fd)).flags(flags).build()
        }
        Sys::Open { dir, path, how } => opcode::OpenAt2::new(types::Fd(dir), path, how.cast()).build(),
        Sys::Statx { fd, path, out } => {
            let (path, flags) = syscalls::statx_of(path);
            opcode::Statx::new(types::Fd(fd), path, out.cast()).flags(flags).mask(syscalls::STATX_MASK).build()
        }
        Sys::Splice { from, from_offset, to, to_offset, len } => {
            opcode::Splice::new(types::Fd(from), from_offset, types::Fd(to), to_offset, length(len)).build()
        }
        Sys::Shutdown { fd, how } => opcode::Shutdown::new(types::Fd(fd), how).build(),
        Sys::Close { fd } => opcode::Close::new(types::Fd(fd)).build(),
        Sys::Poll { fd, events } => opcode::PollAdd::new(types::Fd(fd), events).build(),
        Sys::WaitPid { fd } => opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32).build(),
        Sys::FutexWait { word, expected } => opcode::FutexWait::new(word, expected.into(), FUTEX_ANYBODY, FUTEX_FLAGS).build(),
        Sys::Warm { .. } => unreachable!("a job for a thread that may block"),
    }
}

/// A length as an entry holds it; longer requests come back short, as system calls do.
fn length(len: usize) -> u32 {
    len.min(i32::MAX as usize) as u32
}
