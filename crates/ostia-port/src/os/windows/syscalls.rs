//! Calls that take raw memory and don't wait, each answering bytes or a negated error; and those for threads that may wait.
//!
//! Sockets in a port are non-blocking. That is for these calls alone: overlapped requests wait in the system either way.

use std::io::IoSlice;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::Networking::WinSock as sock;

use super::codes::{EAGAIN, EINVAL, MSG_TRUNC};
use super::descriptor::{RawFd, handle_of, is_socket, socket_of};
use super::extension::extensions;
use super::{error, file, futex, metadata, open, raw};
use crate::address::{Address, IpName};
use crate::sys::Sys;

/// How long a wait on a thread of its own lasts before it looks whether it was cancelled.
const SLICE: Duration = Duration::from_millis(50);

/// What a call of Winsock has answered: bytes, or the error of a negative result.
#[inline]
fn answer(result: i32, bytes: u32) -> i32 {
    if result == 0 { bytes.min(i32::MAX as u32) as i32 } else { -error::last_of_socket() }
}

/// A request that may be tried without waiting, and how it went. `None`: only the driver or a thread that may wait can.
///
/// # Safety
/// As [`Sys`] says: what its pointers reach is alive and the caller's to use.
pub(crate) unsafe fn attempt(sys: &Sys) -> Option<i32> {
    // SAFETY: every pointer is valid by the caller's promise, and the sockets don't wait.
    unsafe {
        Some(match *sys {
            Sys::Recv { fd, ptr, len } => recv(fd, ptr, len),
            Sys::Send { fd, ptr, len, .. } | Sys::SendZc { fd, ptr, len, .. } => {
                send(fd, std::slice::from_raw_parts(ptr, len), false)
            }
            Sys::RecvMsg { fd, msg, flags } => recv_msg(fd, msg, flags),
            Sys::SendMsg { fd, msg, flags } => send_msg(fd, msg, flags),
            Sys::Shutdown { fd, how } => answer(sock::shutdown(socket_of(fd), how), 0),
            Sys::Close { fd } => close(fd),
            _ => return None,
        })
    }
}

/// recv that does not wait.
///
/// # Safety
/// `len` bytes from `ptr` are the caller's to fill.
pub(crate) unsafe fn recv(fd: RawFd, ptr: *mut u8, len: usize) -> i32 {
    // SAFETY: by the caller's promise.
    let got = unsafe { sock::recv(socket_of(fd), ptr, file::length(len) as i32, 0) };
    if got >= 0 { got } else { -error::last_of_socket() }
}

/// Receives a message: with control data by WSARecvMsg, which stream sockets don't know; else by WSARecvFrom.
///
/// # Safety
/// The header is valid and reaches memory that can be written.
unsafe fn recv_msg(fd: RawFd, msg: *mut raw::msghdr, flags: i32) -> i32 {
    let mut bytes = 0;
    // SAFETY: by the caller's promise.
    let head = unsafe { &mut *msg };
    // SAFETY: a header with a piece reaches its description.
    let room: u32 = if head.msg_iovlen == 0 { 0 } else { unsafe { (*head.msg_iov).iov_len } };
    let mut flags = (flags & !MSG_TRUNC) as u32;
    let result = match extensions().recv_msg {
        Some(recv_msg) if head.msg_controllen > 0 => {
            head.msg_flags = flags;
            // SAFETY: the header has WSAMSG's layout and is valid; nothing is overlapped.
            unsafe { recv_msg(socket_of(fd), msg.cast(), &mut bytes, ptr::null_mut(), None) }
        }
        _ => {
            // SAFETY: buffers, name and its length are the header's.
            let result = unsafe {
                sock::WSARecvFrom(
                    socket_of(fd),
                    head.msg_iov.cast(),
                    head.msg_iovlen,
                    &mut bytes,
                    &mut flags,
                    head.msg_name.cast(),
                    &mut head.msg_namelen,
                    ptr::null_mut(),
                    None,
                )
            };
            head.msg_controllen = 0;
            head.msg_flags = flags;
            result
        }
    };
    match answer(result, bytes) {
        cut if cut == -sock::WSAEMSGSIZE => {
            head.msg_flags |= MSG_TRUNC as u32;
            longer_than(room)
        }
        other => other,
    }
}

/// Windows doesn't say how long a datagram was that has been cut: more than there was room for.
pub(crate) fn longer_than(room: u32) -> i32 {
    room.saturating_add(1).min(i32::MAX as u32) as i32
}

/// Sends a message: with control data by WSASendMsg, which stream sockets don't know; else by WSASendTo or WSASend.
///
/// # Safety
/// The header is valid and reaches memory that can be read.
unsafe fn send_msg(fd: RawFd, msg: *const raw::msghdr, flags: i32) -> i32 {
    // SAFETY: by the caller's promise.
    let head = unsafe { &*msg };
    let (socket, mut bytes) = (socket_of(fd), 0);
    let result = match extensions().send_msg {
        Some(send_msg) if head.msg_controllen > 0 => {
            // SAFETY: the header has WSAMSG's layout and is valid; nothing is overlapped.
            unsafe { send_msg(socket, msg.cast(), flags as u32, &mut bytes, ptr::null_mut(), None) }
        }
        // SAFETY: buffers and name are the header's.
        _ => unsafe {
            let (name, len) = (head.msg_name.cast(), head.msg_namelen);
            let (pieces, count) = (head.msg_iov.cast(), head.msg_iovlen);
            sock::WSASendTo(socket, pieces, count, &mut bytes, flags as u32, name, len, ptr::null_mut(), None)
        },
    };
    answer(result, bytes)
}

/// recvfrom that does not wait.
///
/// # Safety
/// `ptr` is valid for writing `len` bytes.
#[inline]
pub(crate) unsafe fn recv_from(fd: RawFd, ptr: *mut u8, len: usize, _flags: i32, name: &mut IpName) -> i32 {
    let (at, room) = name.as_mut();
    // SAFETY: the buffer is valid by the caller's promise, and the name is as long as it says.
    let got = unsafe { sock::recvfrom(socket_of(fd), ptr, file::length(len) as i32, 0, at, room) };
    match got {
        0.. => got,
        _ => match error::last_of_socket() {
            sock::WSAEMSGSIZE => longer_than(file::length(len)),
            code => -code,
        },
    }
}

/// sendto that does not wait; without `peer`, to whom the socket is connected.
#[inline]
pub(crate) fn send_to(fd: RawFd, data: &[u8], peer: Option<&Address>) -> i32 {
    let (at, len) = peer.map_or((ptr::null(), 0), |peer| (peer.as_ptr(), peer.len()));
    // SAFETY: the slice is readable, and the address is as long as it says.
    let sent = unsafe { sock::sendto(socket_of(fd), data.as_ptr(), file::length(data.len()) as i32, 0, at, len) };
    if sent >= 0 { sent } else { -error::last_of_socket() }
}

/// send of a slice that does not wait. Windows can't be told that more follows.
pub(crate) fn send(fd: RawFd, bytes: &[u8], _more: bool) -> i32 {
    // SAFETY: the slice is valid for the length of the call.
    let sent = unsafe { sock::send(socket_of(fd), bytes.as_ptr(), file::length(bytes.len()) as i32, 0) };
    if sent >= 0 { sent } else { -error::last_of_socket() }
}

/// WSASend of slices that does not wait.
pub(crate) fn send_slices(fd: RawFd, slices: &[IoSlice<'_>]) -> i32 {
    let mut bytes = 0;
    let count = u32::try_from(slices.len()).unwrap_or(u32::MAX);
    // SAFETY: an IoSlice is a WSABUF by its promise, and the call only reads them.
    let result = unsafe { sock::WSASend(socket_of(fd), slices.as_ptr().cast(), count, &mut bytes, 0, ptr::null_mut(), None) };
    answer(result, bytes)
}

/// Carries a request out on a thread that may wait.
///
/// # Safety
/// As [`Sys`] says: what its pointers reach is alive and the caller's to use.
pub(crate) unsafe fn carry_out(sys: &Sys) -> i32 {
    // SAFETY: every pointer is valid by the caller's promise.
    unsafe {
        match *sys {
            Sys::Read { fd, ptr, len, offset } => file::read(fd, ptr, len, offset),
            Sys::Write { fd, ptr, len, offset } => file::write(fd, ptr, len, offset),
            Sys::Fsync { fd, .. } => file::flush(fd),
            Sys::Open { dir, path, how } => open::open(dir, path, &*how, true),
            Sys::Statx { fd, path, out } => metadata::stat(fd, path, out),
            Sys::FutexWait { word, expected } => futex::wait(AtomicU32::from_ptr(word.cast_mut()), expected, SLICE),
            _ => attempt(sys).unwrap_or(-EINVAL),
        }
    }
}

/// closesocket, or CloseHandle.
fn close(fd: RawFd) -> i32 {
    if is_socket(fd) {
        // SAFETY: the caller gives the socket up.
        return answer(unsafe { sock::closesocket(socket_of(fd)) }, 0);
    }
    // SAFETY: the caller gives the handle up.
    if unsafe { CloseHandle(handle_of(fd)) } != 0 { 0 } else { -(error::last() as i32) }
}

/// FIONBIO: whether calls on this socket wait.
pub(crate) fn set_nonblocking(fd: RawFd, on: bool) -> i32 {
    let mut on = u32::from(on);
    // SAFETY: FIONBIO reads one number.
    answer(unsafe { sock::ioctlsocket(socket_of(fd), sock::FIONBIO, &mut on) }, 0)
}

/// Reads what of a file's range is there without waiting for a disk: nobody says what that is.
///
/// # Safety
/// `ptr` points to `len` bytes of the caller's to fill, as elsewhere.
pub(crate) unsafe fn read_at_once(_: RawFd, _: *mut u8, _: usize, _: u64) -> i32 {
    -EAGAIN
}

/// A datagram socket shall not fail a receive because an earlier send met a closed port (SIO_UDP_CONNRESET): it may be
/// about any peer, and Windows says that of sockets which talk to many.
pub(crate) fn ignore_unreachable(fd: RawFd) {
    let (off, mut bytes) = (0u32, 0u32);
    // SAFETY: the switch and the count are locals.
    unsafe {
        let (input, len) = ((&raw const off).cast(), size_of::<u32>() as u32);
        sock::WSAIoctl(socket_of(fd), sock::SIO_UDP_CONNRESET, input, len, ptr::null_mut(), 0, &mut bytes, ptr::null_mut(), None);
    }
}

/// Wakes waiters of a futex; answers how many.
pub(crate) fn futex_wake(word: *const u32, count: u32) -> i32 {
    futex::wake(word, count)
}

/// The error that says "try again".
const _: () = assert!(EAGAIN == sock::WSAEWOULDBLOCK);
