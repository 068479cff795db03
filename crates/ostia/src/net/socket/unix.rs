//! Making sockets on Unix, those with a path too.

use std::io;

use ostia_port::Address;
use ostia_port::os::{BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::net::socket::{Listening, bound, listen};

/// Whether the system spreads connections over sockets that listen on one port.
pub(crate) const SPREADS: bool = cfg!(target_os = "linux");

/// Whether several workers can accept from one socket.
pub(crate) const MANY_ACCEPT: bool = true;

pub(super) fn made(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

/// A socket for ICMP echo requests (icmp(7)).
#[cfg(target_os = "linux")]
pub(crate) fn echo(v6: bool) -> io::Result<OwnedFd> {
    use rustix::net::{ipproto, socket_with};
    let (family, protocol) = match v6 {
        false => (AddressFamily::INET, ipproto::ICMP),
        true => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::DGRAM, flags, Some(protocol)).map_err(|error| match error {
        // Whoever the group range leaves out gets this, root too.
        Errno::ACCESS => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the kernel allows echo requests to no group of this user's: \
             `sysctl -w net.ipv4.ping_group_range='0 2147483647'` allows them to all",
        ),
        error => error.into(),
    })
}

/// Other systems have other ways to send echo requests, or none.
#[cfg(not(target_os = "linux"))]
pub(crate) fn echo(_v6: bool) -> io::Result<OwnedFd> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "echo requests need Linux, or a network of Ostia's own stack"))
}

/// Lets a listening socket have its address although connections of an earlier one linger there.
pub(super) fn own_address(socket: &OwnedFd) -> io::Result<()> {
    reuse_address(socket)
}

/// Lets a socket have an address where connections of an earlier one linger.
pub(super) fn reuse_address(socket: &OwnedFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseaddr(socket, true)?)
}

/// Lets several sockets have one port, if all of them say so.
pub(super) fn share_port(socket: &OwnedFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(socket, true)?)
}

/// A socket that listens on `address`.
pub(crate) fn listening(address: &Address, how: Listening) -> io::Result<OwnedFd> {
    listening_as(address, how, SocketType::STREAM)
}

/// As `listening`, with the type of socket.
pub(crate) fn listening_as(address: &Address, how: Listening, kind: SocketType) -> io::Result<OwnedFd> {
    replacing_stale(address, || listen(bound(address, how, kind)?, how))
}

/// A Unix socket of datagrams at `address`.
pub(crate) fn bound_datagram(address: &Address) -> io::Result<OwnedFd> {
    let how = Listening { backlog: 0, reuse_port: false };
    replacing_stale(address, || bound(address, how, SocketType::DGRAM))
}

fn replacing_stale(address: &Address, bind: impl Fn() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(address) => {
            if let Some(path) = address.path() {
                std::fs::remove_file(path)?;
            }
            bind()
        }
        result => result,
    }
}

/// Whether a Unix socket's path is left over from a process that has gone. Asked with a datagram socket: a living listener
/// answers that it is of another type, and sees no connection.
fn is_stale(address: &Address) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let Some(path) = address.path() else { return false };
    let is_socket = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_socket());
    let probe = || std::os::unix::net::UnixDatagram::unbound()?.connect(&path);
    is_socket && matches!(probe(), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether a socket is one of IPv6.
pub(crate) fn is_v6(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(sockopt::socket_domain(socket)? == AddressFamily::INET6)
}

/// Has calls on a socket fail where they would wait.
pub(crate) fn unblock(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfl(socket, fcntl_getfl(socket)? | OFlags::NONBLOCK)?)
}

/// Takes a connection.
pub(super) fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Undoes connecting a socket of datagrams.
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::connect_unspec(socket)?)
}

/// A UDP socket says by itself when a datagram of its has found nobody, if it is connected.
#[inline]
pub(crate) fn tell_refusals(_socket: BorrowedFd<'_>) {}

/// The error of receiving or sending datagrams.
#[inline]
pub(crate) fn of_datagrams(error: io::Error) -> io::Error {
    error
}
