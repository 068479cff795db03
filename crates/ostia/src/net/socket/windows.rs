//! Making sockets on Windows. They are not inherited by children, which would keep their addresses taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::windows::io::{AsSocket, FromRawSocket, OwnedSocket};
use std::ptr;

use ostia_port::Address;
use ostia_port::os::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketType};
use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};
use windows_sys::Win32::Networking::WinSock as sock;

use crate::net::socket::{Listening, bound, listen, local, peer};
use crate::net::sockopt;

/// Whether the system spreads connections over sockets that listen on one port.
pub(crate) const SPREADS: bool = false;

/// Whether several workers can accept from one socket: it is associated with one completion port for good.
pub(crate) const MANY_ACCEPT: bool = false;

pub(super) fn made(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    let flags = sock::WSA_FLAG_OVERLAPPED | sock::WSA_FLAG_NO_HANDLE_INHERIT;
    // SAFETY: plain numbers; no protocol is described.
    let socket = unsafe { sock::WSASocketW(family.as_raw().into(), kind.as_raw() as i32, 0, ptr::null(), 0, flags) };
    if socket == sock::INVALID_SOCKET {
        return Err(last_error());
    }
    // SAFETY: made just now, and nobody else knows it.
    Ok(unsafe { OwnedSocket::from_raw_socket(socket as u64) }.into())
}

/// Windows has calls of its own for echo requests, which are no sockets.
pub(crate) fn echo(_v6: bool) -> io::Result<OwnedFd> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "echo requests need Linux, or a network of Ostia's own stack"))
}

fn last_error() -> io::Error {
    // SAFETY: no conditions.
    io::Error::from_raw_os_error(unsafe { sock::WSAGetLastError() })
}

/// Keeps others from taking a listening socket's address over, which SO_REUSEADDR allows anybody here. Connections of an earlier
/// one that linger are not in the way.
pub(super) fn own_address(socket: &OwnedFd) -> io::Result<()> {
    sockopt::set_int(socket.as_fd(), (sock::SOL_SOCKET, sock::SO_EXCLUSIVEADDRUSE), 1)
}

/// Nothing needs to be said for that, and SO_REUSEADDR would take the address from others.
pub(super) fn reuse_address(_socket: &OwnedFd) -> io::Result<()> {
    Ok(())
}

/// Several sockets can't share one port here.
pub(super) fn share_port(_socket: &OwnedFd) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Windows has no SO_REUSEPORT: use one socket"))
}

/// A socket that listens on `address`.
pub(crate) fn listening(address: &Address, how: Listening) -> io::Result<OwnedFd> {
    listen(bound(address, how, SocketType::STREAM)?, how)
}

/// Whether a socket is one of IPv6. It has to be bound or connected.
pub(crate) fn is_v6(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(local(socket)?.ip().is_some_and(|ip| ip.is_ipv6()))
}

/// Has calls on a socket fail where they would wait.
pub(crate) fn unblock(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(ioctl_fionbio(socket, true)?)
}

/// Takes a connection.
pub(super) fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let accepted = rustix::net::accept(listener.as_socket())?;
    let handle = std::os::windows::io::AsRawSocket::as_raw_socket(&accepted) as usize as _;
    // SAFETY: a socket of ours that is open. A child that inherits it nevertheless has it a little longer.
    unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) };
    Ok(accepted.into())
}

/// Undoes connecting a socket of datagrams: the address that is nobody's takes the peer away (connect).
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nobody: IpAddr = if is_v6(socket)? { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    rustix::net::connect(socket, &SocketAddr::new(nobody, 0))?;
    tell_refusals(socket);
    Ok(())
}

/// Has a UDP socket say when a datagram of its has found nobody, if it is connected. Others would not know whom it is about, and
/// servers would stumble over each client that has gone.
pub(crate) fn tell_refusals(socket: BorrowedFd<'_>) {
    // A system that doesn't know this says it, or doesn't, as it likes.
    let _ = sockopt::set_refusals(socket, peer(socket).is_ok());
}

/// The error of receiving or sending datagrams, which have no connection that could be reset: somebody's port is closed.
pub(crate) fn of_datagrams(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(sock::WSAECONNRESET) => io::Error::from_raw_os_error(sock::WSAECONNREFUSED),
        _ => error,
    }
}
