//! System calls that take raw memory, each answering bytes (or what it makes) or a negated errno.

use std::os::fd::RawFd;
use std::ptr;

use super::calls::{answer, answer32, poll, warm};
use crate::address::IpName;
use crate::sys::{CURRENT, Sys};

pub(crate) use super::calls::{last_errno, send_slices, send_to};

/// Whether a call on `sys` may be tried without blocking, and how it went. `None`: only a thread that may block can.
///
/// # Safety
/// As [`Sys`] says: what its pointers reach is alive and the caller's to use.
pub(crate) unsafe fn attempt(sys: &Sys) -> Option<i32> {
    // SAFETY: every pointer is valid by the caller's promise; flags forbid blocking.
    unsafe {
        Some(match *sys {
            Sys::Accept { fd, .. } => {
                answer32(libc::accept4(fd, ptr::null_mut(), ptr::null_mut(), libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK))
            }
            Sys::Connect { fd, addr, len } => answer32(libc::connect(fd, addr, len)),
            Sys::Recv { fd, ptr, len } => answer(libc::recv(fd, ptr.cast(), len, libc::MSG_DONTWAIT)),
            Sys::Send { fd, ptr, len, flags } | Sys::SendZc { fd, ptr, len, flags } => {
                answer(libc::send(fd, ptr.cast(), len, flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL))
            }
            Sys::SendNow { fd, ptr, len } => answer(libc::send(fd, ptr.cast(), len, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)),
            Sys::SendToNow { fd, ptr, len, addr, addr_len } => {
                answer(libc::sendto(fd, ptr.cast(), len, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, addr, addr_len))
            }
            Sys::RecvMsg { fd, msg, flags } => {
                answer(libc::recvmsg(fd, msg, flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC))
            }
            Sys::SendMsg { fd, msg, flags } => {
                answer(libc::sendmsg(fd, msg, flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL))
            }
            Sys::Read { fd, ptr, len, offset: CURRENT } => {
                let iov = libc::iovec { iov_base: ptr.cast(), iov_len: len };
                answer(libc::preadv2(fd, &iov, 1, -1, libc::RWF_NOWAIT))
            }
            Sys::Write { fd, ptr, len, offset: CURRENT } => {
                let iov = libc::iovec { iov_base: ptr.cast_mut().cast(), iov_len: len };
                answer(libc::pwritev2(fd, &iov, 1, -1, libc::RWF_NOWAIT))
            }
            Sys::Splice { from, from_offset, to, to_offset, len } => {
                splice(from, from_offset, to, to_offset, len, libc::SPLICE_F_NONBLOCK)
            }
            Sys::Shutdown { fd, how } => answer32(libc::shutdown(fd, how)),
            Sys::Close { fd } => answer32(libc::close(fd)),
            Sys::WaitPid { fd } => return attempt(&Sys::Poll { fd, events: libc::POLLIN as u32 }),
            Sys::Poll { fd, events } => poll(fd, events),
            Sys::Receive { .. } | Sys::ReceiveMsg { .. } | Sys::ReadPool { .. } => {
                unreachable!("drivers receive into the pool themselves")
            }
            Sys::Read { .. }
            | Sys::Write { .. }
            | Sys::Fsync { .. }
            | Sys::Open { .. }
            | Sys::Statx { .. }
            | Sys::Warm { .. }
            | Sys::FutexWait { .. } => return None,
        })
    }
}

/// recvfrom(2) that does not wait.
///
/// # Safety
/// `ptr` is valid for writing `len` bytes.
#[inline]
pub(crate) unsafe fn recv_from(fd: RawFd, ptr: *mut u8, len: usize, flags: i32, name: &mut IpName) -> i32 {
    let (at, room) = name.as_mut();
    // SAFETY: the buffer is valid by the caller's promise, and the name is as long as it says.
    unsafe { answer(libc::recvfrom(fd, ptr.cast(), len, flags | libc::MSG_DONTWAIT, at, room)) }
}

/// Carries a request out on a thread that may block.
///
/// # Safety
/// As [`Sys`] says: what its pointers reach is alive and the caller's to use.
pub(crate) unsafe fn carry_out(sys: &Sys) -> i32 {
    // SAFETY: every pointer is valid by the caller's promise.
    unsafe {
        match *sys {
            Sys::Read { fd, ptr, len, offset: CURRENT } => answer(libc::read(fd, ptr.cast(), len)),
            Sys::Read { fd, ptr, len, offset } => answer(libc::pread(fd, ptr.cast(), len, offset as i64)),
            Sys::Write { fd, ptr, len, offset: CURRENT } => answer(libc::write(fd, ptr.cast(), len)),
            Sys::Write { fd, ptr, len, offset } => answer(libc::pwrite(fd, ptr.cast(), len, offset as i64)),
            Sys::Fsync { fd, data_only: true } => answer32(libc::fdatasync(fd)),
            Sys::Fsync { fd, data_only: false } => answer32(libc::fsync(fd)),
            Sys::Open { dir, path, how } => open(dir, path, how),
            Sys::Statx { fd, path, out } => {
                let (path, flags) = statx_of(path);
                answer32(libc::statx(fd, path, flags, STATX_MASK, out))
            }
            Sys::Splice { from, from_offset, to, to_offset, len } => splice(from, from_offset, to, to_offset, len, 0),
            Sys::Warm { fd, offset, len } => warm(fd, offset, len),
            Sys::FutexWait { word, expected } => {
                // The wait is cut into slices, so that a cancelled one ends soon.
                let slice = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };
                answer(libc::syscall(
                    libc::SYS_futex,
                    word,
                    libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                    expected,
                    &raw const slice,
                ) as isize)
            }
            _ => attempt(sys).unwrap_or(-libc::EINVAL),
        }
    }
}

/// What statx(2) is asked for.
pub(crate) const STATX_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// Path and flags for statx(2); without a path the descriptor itself is asked.
pub(crate) fn statx_of(path: *const libc::c_char) -> (*const libc::c_char, i32) {
    if path.is_null() { (c"".as_ptr(), libc::AT_EMPTY_PATH) } else { (path, 0) }
}

/// # Safety
/// `path` is a C string and `how` valid.
unsafe fn open(dir: RawFd, path: *const libc::c_char, how: *const libc::open_how) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe {
        let opened = libc::syscall(libc::SYS_openat2, dir, path, how, size_of::<libc::open_how>());
        match answer(opened as isize) {
            // Before 5.6, or where a seccomp filter knows no openat2: the old call does unless containment was asked.
            missing if missing == -libc::ENOSYS && (*how).resolve == 0 => {
                answer32(libc::openat(dir, path, (*how).flags as i32, (*how).mode as libc::mode_t))
            }
            other => other,
        }
    }
}

fn splice(from: RawFd, from_offset: i64, to: RawFd, to_offset: i64, len: usize, flags: u32) -> i32 {
    let (mut from_at, mut to_at) = (from_offset, to_offset);
    let pointer = |offset: &mut i64| if *offset < 0 { ptr::null_mut() } else { ptr::from_mut(offset) };
    // SAFETY: offsets are null or point to locals.
    answer(unsafe { libc::splice(from, pointer(&mut from_at), to, pointer(&mut to_at), len, flags | libc::SPLICE_F_MOVE) })
}

/// sendfile(2) to a non-blocking socket.
pub(crate) fn sendfile(to: RawFd, from: RawFd, offset: u64, len: usize) -> i32 {
    let mut at = offset as i64;
    // SAFETY: `at` is a local.
    answer(unsafe { libc::sendfile(to, from, &mut at, len) })
}

/// send(2) of a slice, never blocking, never raising SIGPIPE.
pub(crate) fn send(fd: RawFd, bytes: &[u8], more: bool) -> i32 {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the slice is valid for the length of the call.
    answer(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// FIONBIO: whether calls on this open file wait.
pub(crate) fn set_nonblocking(fd: RawFd, on: bool) -> i32 {
    let on = libc::c_int::from(on);
    // SAFETY: FIONBIO reads one int.
    answer32(unsafe { libc::ioctl(fd, libc::FIONBIO, &raw const on) })
}

/// Nothing to do: a socket hears of a closed port only if it is connected to it.
#[inline]
pub(crate) fn ignore_unreachable(_: RawFd) {}

/// FUTEX_WAKE on a private futex; answers how many woke.
pub(crate) fn futex_wake(word: *const u32, count: u32) -> i32 {
    if count == 0 {
        // The system call would wake one.
        return 0;
    }
    // SAFETY: FUTEX_WAKE only uses the address as a key.
    answer(unsafe {
        libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, count.min(i32::MAX as u32))
    } as isize)
}

/// How much of a file's range is in the page cache, by cachestat(2) (Linux 6.5); none where that is missing.
pub(crate) fn resident_pages(fd: RawFd, offset: u64, len: usize) -> Option<u64> {
    const SYS_CACHESTAT: libc::c_long = 451;
    let range = [offset, len as u64];
    let mut stat = [0u64; 5];
    // SAFETY: cachestat reads two words and writes five.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, fd, range.as_ptr(), stat.as_mut_ptr(), 0) };
    (result == 0).then_some(stat[0])
}

/// Reads what of a file's range is there without waiting for a disk (preadv2(2) with RWF_NOWAIT); EAGAIN if that is nothing.
///
/// # Safety
/// `ptr` points to `len` bytes of the caller's to fill.
pub(crate) unsafe fn read_at_once(fd: RawFd, ptr: *mut u8, len: usize, offset: u64) -> i32 {
    let iov = libc::iovec { iov_base: ptr.cast(), iov_len: len };
    // SAFETY: the memory is the caller's, by its promise.
    answer(unsafe { libc::preadv2(fd, &iov, 1, offset as i64, libc::RWF_NOWAIT) })
}

/// Whether the byte at `offset` can be read without waiting for a disk, by preadv2(2) with RWF_NOWAIT.
pub(crate) fn readable_now(fd: RawFd, offset: u64) -> bool {
    let mut byte = 0u8;
    let iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: one byte is written to a local.
    unsafe { libc::preadv2(fd, &iov, 1, offset as i64, libc::RWF_NOWAIT) >= 0 || last_errno() != libc::EAGAIN }
}
