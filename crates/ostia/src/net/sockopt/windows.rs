//! Socket options of Windows.

use std::io;
use std::ptr;

use ostia_port::os::{AsRawFd, BorrowedFd};
use windows_sys::Win32::Networking::WinSock as sock;

fn socket_of(fd: BorrowedFd<'_>) -> sock::SOCKET {
    fd.as_raw_fd() as isize as usize
}

fn answer(result: i32) -> io::Result<()> {
    // SAFETY: no conditions.
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(unsafe { sock::WSAGetLastError() })) }
}

/// Sets an option, named by level and number, whose value is an int (setsockopt).
pub(crate) fn set_int(fd: BorrowedFd<'_>, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    // SAFETY: the system reads one int from a local.
    answer(unsafe { sock::setsockopt(socket_of(fd), level, name, (&raw const value).cast(), size_of::<i32>() as i32) })
}

/// Asks for an option whose value is an int (getsockopt).
pub(crate) fn int(fd: BorrowedFd<'_>, (level, name): (i32, i32)) -> io::Result<i32> {
    let (mut value, mut len) = (0i32, size_of::<i32>() as i32);
    // SAFETY: the system writes at most `len` bytes, which is one int, to a local.
    answer(unsafe { sock::getsockopt(socket_of(fd), level, name, (&raw mut value).cast(), &raw mut len) })?;
    Ok(value)
}

/// There is no TCP_USER_TIMEOUT.
pub(crate) fn set_user_timeout(_fd: BorrowedFd<'_>, _millis: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Windows has no TCP_USER_TIMEOUT"))
}

/// There is no TCP_QUICKACK.
pub(crate) fn set_quickack(_fd: BorrowedFd<'_>, _on: bool) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Windows has no TCP_QUICKACK"))
}

/// Has a UDP socket say by WSAECONNRESET that a datagram of its has found nobody, or not (SIO_UDP_CONNRESET).
pub(crate) fn set_refusals(fd: BorrowedFd<'_>, told: bool) -> io::Result<()> {
    let (told, mut written) = (i32::from(told), 0);
    let (value, len) = ((&raw const told).cast(), size_of::<i32>() as u32);
    let (none, written) = (ptr::null_mut(), &raw mut written);
    // SAFETY: the system reads one BOOL from a local and writes nothing but how much it has written; nothing is overlapped.
    answer(unsafe { sock::WSAIoctl(socket_of(fd), sock::SIO_UDP_CONNRESET, value, len, none, 0, written, ptr::null_mut(), None) })
}
