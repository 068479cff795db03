//! Socket options and control data of Unix.

use std::io;

use ostia_port::os::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::net::message::Credentials;

/// Sets an option, named by level and number, whose value is an int (setsockopt(2)).
pub(crate) fn set_int(fd: BorrowedFd<'_>, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads one int from a local.
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<i32>() as libc::socklen_t) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for an option whose value is an int (getsockopt(2)).
pub(crate) fn int(fd: BorrowedFd<'_>, (level, name): (i32, i32)) -> io::Result<i32> {
    let mut value = 0i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is one int, to a local.
    let done = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len) };
    if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Sets TCP_USER_TIMEOUT.
pub(crate) fn set_user_timeout(fd: BorrowedFd<'_>, millis: u32) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_user_timeout(fd, millis)?)
}

/// Sets TCP_QUICKACK.
pub(crate) fn set_quickack(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_quickack(fd, on)?)
}

/// Asks for an option whose value is a new descriptor.
pub(crate) fn descriptor(fd: BorrowedFd<'_>, option: (i32, i32)) -> io::Result<OwnedFd> {
    let made = int(fd, option)?;
    if made < 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: the kernel has just made this descriptor for this call, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Takes over the descriptors that a control message holds.
///
/// # Safety
/// `value` is that of an SCM_RIGHTS or SCM_PIDFD message that recvmsg(2) has just written, looked at for the first time.
pub(crate) unsafe fn take_descriptors(value: &[u8], into: &mut Vec<OwnedFd>) {
    for raw in value.chunks_exact(size_of::<RawFd>()) {
        let Ok(raw) = raw.try_into().map(RawFd::from_ne_bytes) else { continue };
        if raw >= 0 {
            // SAFETY: recvmsg(2) has made the descriptor for this process, and by the caller's promise nobody has it yet.
            into.push(unsafe { OwnedFd::from_raw_fd(raw) });
        }
    }
}

/// Descriptors as the value of an SCM_RIGHTS message.
pub(crate) fn rights(descriptors: &[impl AsFd]) -> Vec<u8> {
    descriptors.iter().flat_map(|fd| fd.as_fd().as_raw_fd().to_ne_bytes()).collect()
}

/// Who is at the other end of a Unix socket (SO_PEERCRED). The process is 0 if this PID namespace doesn't know it.
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut ucred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is one ucred, to a local.
    let done =
        unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut ucred).cast(), &raw mut len) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Credentials { pid: ucred.pid, uid: ucred.uid, gid: ucred.gid })
}
