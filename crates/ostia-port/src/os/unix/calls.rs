//! System calls that are the same on every Unix, each answering bytes or a negated errno.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::ptr;

use crate::address::Address;

/// The most pieces that one call takes (UIO_MAXIOV, IOV_MAX).
const PIECES_MAX: usize = 1024;

#[inline]
pub(crate) fn answer(result: isize) -> i32 {
    if result >= 0 { result.min(i32::MAX as isize) as i32 } else { -last_errno() }
}

/// errno of the call that has just failed.
pub(crate) fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// As `answer`, for calls that say `c_int`.
#[inline]
pub(crate) fn answer32(result: i32) -> i32 {
    answer(result as isize)
}

/// Which of these events hold now (poll(2)); EAGAIN if none does.
pub(crate) fn poll(fd: RawFd, events: u32) -> i32 {
    let mut poll = libc::pollfd { fd, events: events as i16, revents: 0 };
    // SAFETY: one entry.
    match unsafe { libc::poll(&mut poll, 1, 0) } {
        0 => -libc::EAGAIN,
        1 => i32::from(poll.revents as u16),
        _ => -last_errno(),
    }
}

/// sendto(2) that does not wait; without `peer`, to whom the socket is connected.
#[inline]
pub(crate) fn send_to(fd: RawFd, data: &[u8], peer: Option<&Address>) -> i32 {
    let (at, len) = peer.map_or((ptr::null(), 0), |peer| (peer.as_ptr(), peer.len()));
    // SAFETY: the slice is readable, and the address is as long as it says.
    unsafe { answer(libc::sendto(fd, data.as_ptr().cast(), data.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, at, len)) }
}

/// sendmsg(2) of slices, never blocking, never raising SIGPIPE. As many as one call takes.
pub(crate) fn send_slices(fd: RawFd, slices: &[IoSlice<'_>]) -> i32 {
    // SAFETY: plain data for which zeroes are valid.
    let mut head = unsafe { std::mem::zeroed::<libc::msghdr>() };
    // An IoSlice is an iovec by its promise, and sendmsg(2) only reads both.
    head.msg_iov = slices.as_ptr().cast_mut().cast();
    head.msg_iovlen = slices.len().min(PIECES_MAX) as _;
    // SAFETY: the header reaches the slices, which outlive the call.
    answer(unsafe { libc::sendmsg(fd, &raw const head, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) })
}

/// Brings a range of a file into the page cache by reading it.
pub(crate) fn warm(fd: RawFd, mut offset: u64, len: usize) -> i32 {
    thread_local!(static SCRATCH: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(128 << 10, 0);
        let end = offset.saturating_add(len as u64);
        while offset < end {
            let want = scratch.len().min((end - offset) as usize);
            // SAFETY: `scratch` has at least `want` bytes.
            match answer(unsafe { libc::pread(fd, scratch.as_mut_ptr().cast(), want, offset as i64) }) {
                0 => break,
                failed if failed < 0 => return failed,
                read => offset += read as u64,
            }
        }
        0
    })
}
