//! System calls that take raw memory, each answering bytes (or what it makes) or a negated errno.

use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::calls::{answer, answer32, poll, warm};
use super::open::RawOpenHow;
use super::{futex, raw};
use crate::address::IpName;
use crate::sys::{CURRENT, Sys};

pub(crate) use super::calls::{send_slices, send_to};

/// As much as a device or terminal that polls writable takes without waiting (PIPE_BUF).
const WRITE_NOW: usize = 512;

/// How long a wait for a futex lasts at once, so that a cancelled one ends soon.
const FUTEX_SLICE: Duration = Duration::from_millis(50);

/// Whether a call on `sys` may be tried without blocking, and how it went. `None`: only a thread that may block can.
///
/// # Safety
/// As [`Sys`] says: what its pointers reach is alive and the caller's to use.
pub(crate) unsafe fn attempt(sys: &Sys) -> Option<i32> {
    // SAFETY: every pointer is valid by the caller's promise; flags forbid blocking.
    unsafe {
        Some(match *sys {
            Sys::Accept { fd, .. } => accept(fd),
            Sys::Connect { fd, addr, len } => answer32(raw::connect(fd, addr, len)),
            Sys::Recv { fd, ptr, len } => answer(raw::recv(fd, ptr.cast(), len, raw::MSG_DONTWAIT)),
            Sys::Send { fd, ptr, len, flags } | Sys::SendZc { fd, ptr, len, flags } => {
                answer(raw::send(fd, ptr.cast(), len, sending(flags)))
            }
            Sys::SendNow { fd, ptr, len } => answer(raw::send(fd, ptr.cast(), len, sending(0))),
            Sys::SendToNow { fd, ptr, len, addr, addr_len } => {
                answer(raw::sendto(fd, ptr.cast(), len, sending(0), addr, addr_len))
            }
            Sys::RecvMsg { fd, msg, flags } => recv_msg(fd, msg, flags),
            Sys::SendMsg { fd, msg, flags } => answer(raw::sendmsg(fd, msg, sending(flags))),
            Sys::Read { fd, ptr, len, offset: CURRENT } => match nature(fd) {
                Nature::File => return None,
                Nature::Pipe => answer(raw::read(fd, ptr.cast(), len)),
                Nature::Device => match poll(fd, raw::POLLIN as u32) {
                    ready @ 0.. if ready & i32::from(raw::POLLNVAL) == 0 => answer(raw::read(fd, ptr.cast(), len)),
                    0.. => -raw::EBADF,
                    waits => waits,
                },
            },
            Sys::Write { fd, ptr, len, offset: CURRENT } => match nature(fd) {
                Nature::File => return None,
                Nature::Pipe => answer(raw::write(fd, ptr.cast(), len)),
                Nature::Device => match poll(fd, raw::POLLOUT as u32) {
                    ready @ 0.. if ready & i32::from(raw::POLLNVAL) == 0 => {
                        answer(raw::write(fd, ptr.cast(), len.min(WRITE_NOW)))
                    }
                    0.. => -raw::EBADF,
                    waits => waits,
                },
            },
            // There is no splice(2).
            Sys::Splice { .. } => -raw::EOPNOTSUPP,
            Sys::Shutdown { fd, how } => answer32(raw::shutdown(fd, how)),
            Sys::Close { fd } => match answer32(raw::close(fd)) {
                // FreeBSD says so of a connection that the peer has broken off. The descriptor is closed all the same.
                reset if reset == -raw::ECONNRESET => 0,
                closed => closed,
            },
            // A kqueue that watches the child: see `child`.
            Sys::WaitPid { fd } => poll(fd, raw::POLLIN as u32),
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

/// The flags of a send that neither waits nor raises SIGPIPE.
fn sending(flags: i32) -> i32 {
    flags & !raw::MSG_WAITALL | raw::MSG_DONTWAIT | raw::MSG_NOSIGNAL
}

/// How a descriptor is read and written without waiting.
enum Nature {
    /// It may wait for a disk, and no poll tells of that.
    File,
    /// It has been made non-blocking: it says by EAGAIN that it would wait.
    Pipe,
    /// Other processes use the same terminal, and would be surprised by EAGAIN: poll(2) first, then a call that doesn't wait
    /// unless somebody else is faster.
    Device,
}

fn nature(fd: RawFd) -> Nature {
    // SAFETY: plain data for which zeroes are valid.
    let mut stat = unsafe { std::mem::zeroed::<raw::stat>() };
    // SAFETY: a local is written.
    if unsafe { raw::fstat(fd, &mut stat) } < 0 {
        return Nature::Device;
    }
    match stat.st_mode & raw::S_IFMT {
        raw::S_IFREG | raw::S_IFDIR | raw::S_IFBLK => Nature::File,
        raw::S_IFIFO | raw::S_IFSOCK => {
            fionbio(fd, true);
            Nature::Pipe
        }
        _ => Nature::Device,
    }
}

/// A connection that is closed at exec(2) and doesn't wait.
#[cfg(not(target_os = "macos"))]
fn accept(fd: RawFd) -> i32 {
    let flags = raw::SOCK_CLOEXEC | raw::SOCK_NONBLOCK;
    // SAFETY: no address is asked for.
    answer32(unsafe { raw::accept4(fd, ptr::null_mut(), ptr::null_mut(), flags) })
}

/// As elsewhere, by several calls: a process that is started between them inherits the connection.
#[cfg(target_os = "macos")]
fn accept(fd: RawFd) -> i32 {
    // SAFETY: no address is asked for.
    let accepted = answer32(unsafe { raw::accept(fd, ptr::null_mut(), ptr::null_mut()) });
    if accepted >= 0 {
        close_on_exec(accepted);
        set_nonblocking(accepted, true);
    }
    accepted
}

#[cfg(target_os = "macos")]
fn close_on_exec(fd: RawFd) {
    // SAFETY: a flag of the descriptor is set.
    unsafe { raw::fcntl(fd, raw::F_SETFD, raw::FD_CLOEXEC) };
}

/// recvmsg(2) that does not wait. With MSG_TRUNC a message that was cut is reported as one byte longer than the room for it, for
/// how long it was is not told here.
///
/// # Safety
/// What the header reaches is valid for writing.
unsafe fn recv_msg(fd: RawFd, msg: *mut raw::msghdr, flags: i32) -> i32 {
    #[cfg(not(target_os = "macos"))]
    const CLOEXEC: i32 = raw::MSG_CMSG_CLOEXEC;
    #[cfg(target_os = "macos")]
    const CLOEXEC: i32 = 0;
    // SAFETY: by the caller's promise.
    unsafe {
        let got = answer(raw::recvmsg(fd, msg, flags & !raw::MSG_TRUNC | raw::MSG_DONTWAIT | CLOEXEC));
        if got < 0 {
            return got;
        }
        #[cfg(target_os = "macos")]
        close_received_on_exec(msg);
        let cut = (*msg).msg_flags & raw::MSG_TRUNC != 0;
        if cut && flags & raw::MSG_TRUNC != 0 { got.saturating_add(1) } else { got }
    }
}

/// Marks the descriptors that have come with a message.
///
/// # Safety
/// recvmsg(2) has written the header and what it reaches.
#[cfg(target_os = "macos")]
unsafe fn close_received_on_exec(msg: *const raw::msghdr) {
    // SAFETY: by the caller's promise; the macros go by the lengths that the system has written.
    unsafe {
        let mut head = raw::CMSG_FIRSTHDR(msg);
        while !head.is_null() {
            if (*head).cmsg_level == raw::SOL_SOCKET && (*head).cmsg_type == raw::SCM_RIGHTS {
                let bytes = ((*head).cmsg_len as usize).saturating_sub(raw::CMSG_LEN(0) as usize);
                let first = raw::CMSG_DATA(head).cast::<RawFd>();
                for at in 0..bytes / size_of::<RawFd>() {
                    close_on_exec(first.add(at).read_unaligned());
                }
            }
            head = raw::CMSG_NXTHDR(msg, head);
        }
    }
}

/// recvfrom(2) that does not wait. With MSG_TRUNC as [`Sys::RecvMsg`]: one byte more than there was room for, if it was cut.
///
/// # Safety
/// `ptr` is valid for writing `len` bytes.
#[inline]
pub(crate) unsafe fn recv_from(fd: RawFd, ptr: *mut u8, len: usize, flags: i32, name: &mut IpName) -> i32 {
    let mut piece = super::message::iovec(ptr, len);
    let (at, room) = name.as_mut();
    // SAFETY: plain data for which zeroes are valid.
    let mut head = unsafe { std::mem::zeroed::<raw::msghdr>() };
    (head.msg_name, head.msg_namelen) = (at.cast(), *room);
    (head.msg_iov, head.msg_iovlen) = (&raw mut piece, 1);
    // SAFETY: the buffer is valid by the caller's promise, and the name is as long as it says.
    let got = unsafe { recv_msg(fd, &raw mut head, flags) };
    *room = head.msg_namelen;
    got
}

/// Carries a request out on a thread that may block.
///
/// # Safety
/// As [`Sys`] says: what its pointers reach is alive and the caller's to use.
pub(crate) unsafe fn carry_out(sys: &Sys) -> i32 {
    // SAFETY: every pointer is valid by the caller's promise.
    unsafe {
        match *sys {
            Sys::Read { fd, ptr, len, offset: CURRENT } => answer(raw::read(fd, ptr.cast(), len)),
            Sys::Read { fd, ptr, len, offset } => answer(raw::pread(fd, ptr.cast(), len, offset as i64)),
            Sys::Write { fd, ptr, len, offset: CURRENT } => answer(raw::write(fd, ptr.cast(), len)),
            Sys::Write { fd, ptr, len, offset } => answer(raw::pwrite(fd, ptr.cast(), len, offset as i64)),
            Sys::Fsync { fd, data_only } => sync(fd, data_only),
            Sys::Open { dir, path, how } => open(dir, path, &*how),
            Sys::Statx { fd, path, out } => answer32(match (path.is_null(), fd) {
                (false, _) => raw::fstatat(fd, path, out, 0),
                // The working directory itself.
                (true, raw::AT_FDCWD) => raw::fstatat(fd, c".".as_ptr(), out, 0),
                (true, _) => raw::fstat(fd, out),
            }),
            Sys::Warm { fd, offset, len } => warm(fd, offset, len),
            Sys::FutexWait { word, expected } => futex::wait(AtomicU32::from_ptr(word.cast_mut()), expected, Some(FUTEX_SLICE)),
            _ => attempt(sys).unwrap_or(-raw::EINVAL),
        }
    }
}

/// # Safety
/// `path` is a C string.
unsafe fn open(dir: RawFd, path: *const raw::c_char, how: &RawOpenHow) -> i32 {
    if how.refused {
        return -raw::EOPNOTSUPP;
    }
    // SAFETY: by the caller's promise.
    answer32(unsafe { raw::openat(dir, path, how.flags, how.mode) })
}

#[cfg(not(target_os = "macos"))]
fn sync(fd: RawFd, data_only: bool) -> i32 {
    // SAFETY: neither takes a pointer.
    answer32(unsafe { if data_only { raw::fdatasync(fd) } else { raw::fsync(fd) } })
}

/// macOS' fsync(2) leaves the data in the drive's own cache; this does not, where the file system can (fcntl(2)).
#[cfg(target_os = "macos")]
fn sync(fd: RawFd, _: bool) -> i32 {
    // SAFETY: neither takes a pointer.
    unsafe {
        match answer32(raw::fcntl(fd, raw::F_FULLFSYNC)) {
            0.. => 0,
            _ => answer32(raw::fsync(fd)),
        }
    }
}

/// sendfile(2) to a non-blocking socket. EBUSY: a page is just being read or written by somebody else.
#[cfg(not(target_os = "macos"))]
pub(crate) fn sendfile(to: RawFd, from: RawFd, offset: u64, len: usize) -> i32 {
    let mut sent: raw::off_t = 0;
    // SAFETY: `sent` is a local; there are no headers.
    let result = unsafe { raw::sendfile(from, to, offset as i64, len, ptr::null_mut(), &mut sent, raw::SF_NODISKIO) };
    sent_of(result, sent)
}

/// sendfile(2) to a non-blocking socket.
#[cfg(target_os = "macos")]
pub(crate) fn sendfile(to: RawFd, from: RawFd, offset: u64, len: usize) -> i32 {
    let mut sent = len as raw::off_t;
    // SAFETY: `sent` is a local; there are no headers.
    let result = unsafe { raw::sendfile(from, to, offset as i64, &mut sent, ptr::null_mut(), 0) };
    sent_of(result, sent)
}

/// What has gone out counts, even if the call says that not all has (EAGAIN, EINTR, EBUSY).
fn sent_of(result: i32, sent: raw::off_t) -> i32 {
    let failed = answer32(result);
    if sent > 0 && (failed >= 0 || [-raw::EAGAIN, -raw::EINTR, -raw::EBUSY].contains(&failed)) {
        return answer(sent as isize);
    }
    failed
}

/// send(2) of a slice, never blocking, never raising SIGPIPE. Nothing here says that more will follow.
pub(crate) fn send(fd: RawFd, bytes: &[u8], _more: bool) -> i32 {
    // SAFETY: the slice is valid for the length of the call.
    answer(unsafe { raw::send(fd, bytes.as_ptr().cast(), bytes.len(), sending(0)) })
}

/// Whether calls on this socket wait. Every socket of a port comes by here when it is adopted, and is told to raise no SIGPIPE:
/// sendfile(2) has no flag for that.
pub(crate) fn set_nonblocking(fd: RawFd, on: bool) -> i32 {
    let quiet: raw::c_int = 1;
    let (at, len) = ((&raw const quiet).cast(), size_of_val(&quiet) as raw::socklen_t);
    // SAFETY: one int is read. What is no socket refuses the option, and has no need of it.
    unsafe { raw::setsockopt(fd, raw::SOL_SOCKET, raw::SO_NOSIGPIPE, at, len) };
    fionbio(fd, on)
}

/// FIONBIO: whether calls on this open file wait.
fn fionbio(fd: RawFd, on: bool) -> i32 {
    let on = raw::c_int::from(on);
    // SAFETY: FIONBIO reads one int.
    answer32(unsafe { raw::ioctl(fd, raw::FIONBIO, &raw const on) })
}

/// Nothing to do: a socket hears of a closed port only if it is connected to it.
#[inline]
pub(crate) fn ignore_unreachable(_: RawFd) {}

/// Wakes who waits for a futex; answers how many.
pub(crate) fn futex_wake(word: *const u32, count: u32) -> i32 {
    futex::wake(word, count)
}

/// How much of a file's range is in the page cache. Neither system says so without mapping the file, and FreeBSD's does not
/// know of what ZFS caches: so nothing is, and a thread reads each range first, which waits for the disk only if it must.
pub(crate) fn resident_pages(_: RawFd, _: u64, _: usize) -> Option<u64> {
    Some(0)
}

/// Reads what of a file's range is there without waiting for a disk: nobody says what that is.
///
/// # Safety
/// `ptr` points to `len` bytes of the caller's to fill, as elsewhere.
pub(crate) unsafe fn read_at_once(_: RawFd, _: *mut u8, _: usize, _: u64) -> i32 {
    -libc::EAGAIN
}

/// Whether the byte at `offset` can be read without waiting for a disk: nobody says so.
pub(crate) fn readable_now(_: RawFd, _: u64) -> bool {
    false
}
