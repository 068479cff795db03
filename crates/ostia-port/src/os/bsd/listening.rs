//! Whether a socket listens, which macOS does not say by SO_ACCEPTCONN.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{self, Errno};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketType, getsockname, recv, sockopt};

use super::raw;

/// TCPS_LISTEN of netinet/tcp_fsm.h.
const LISTENING: u8 = 1;

/// TCP tells the state of its machine. A Unix socket listens if it has a name and receiving finds that it is not connected; one
/// that has a name and is yet to connect is mistaken for a listener: `adopt_as` is told instead.
pub(crate) fn listens(fd: &OwnedFd) -> io::Result<bool> {
    if sockopt::socket_type(fd)? != SocketType::STREAM {
        return Ok(false);
    }
    let name = getsockname(fd)?;
    if name.address_family() != AddressFamily::UNIX {
        return Ok(tcp_state(fd) == Some(LISTENING));
    }
    let named = SocketAddrUnix::try_from(name)?.path_bytes().is_some_and(|path| !path.is_empty());
    // A connection, even one that has ended, has another answer.
    Ok(named && recv(fd, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT).err() == Some(Errno::NOTCONN))
}

fn tcp_state(fd: &OwnedFd) -> Option<u8> {
    // SAFETY: plain data for which zeroes are valid.
    let mut info = unsafe { std::mem::zeroed::<raw::tcp_connection_info>() };
    let mut len = size_of_val(&info) as raw::socklen_t;
    // SAFETY: the option is written to a local of that length.
    let told =
        unsafe { raw::getsockopt(fd.as_raw_fd(), raw::IPPROTO_TCP, raw::TCP_CONNECTION_INFO, (&raw mut info).cast(), &mut len) };
    (told == 0).then_some(info.tcpi_state)
}
