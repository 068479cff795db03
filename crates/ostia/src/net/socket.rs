//! Making sockets: for listening and for connecting.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use ostia_port::Address;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt};

/// What decides how a listening socket is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    pub(crate) backlog: u32,
    pub(crate) reuse_port: bool,
}

fn family(address: &Address) -> AddressFamily {
    match address.ip() {
        Some(ip) if ip.is_ipv4() => AddressFamily::INET,
        Some(_) => AddressFamily::INET6,
        None => AddressFamily::UNIX,
    }
}

fn raw(address: &Address) -> SocketAddrAny {
    address.clone().into()
}

/// A socket that will be connected to `address`.
pub(crate) fn for_connecting(address: &Address) -> io::Result<OwnedFd> {
    made(address, SocketType::STREAM)
}

fn made(address: &Address, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(family(address), kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

/// A socket that listens on `address`.
pub(crate) fn listening(address: &Address, how: Listening) -> io::Result<OwnedFd> {
    listening_as(address, how, SocketType::STREAM)
}

/// As `listening`, with the type of socket.
pub(crate) fn listening_as(address: &Address, how: Listening, kind: SocketType) -> io::Result<OwnedFd> {
    replacing_stale(address, || {
        let socket = bound(address, how, kind)?;
        rustix::net::listen(&socket, i32::try_from(how.backlog).unwrap_or(i32::MAX))?;
        Ok(socket)
    })
}

/// A Unix socket of datagrams at `address`.
pub(crate) fn bound_datagram(address: &Address) -> io::Result<OwnedFd> {
    let how = Listening { backlog: 0, reuse_port: false };
    replacing_stale(address, || bound(address, how, SocketType::DGRAM))
}

/// Binds a socket to a local address before it is connected.
pub(crate) fn bind_local(socket: &OwnedFd, address: std::net::SocketAddr) -> io::Result<()> {
    sockopt::set_socket_reuseaddr(socket, true)?;
    Ok(rustix::net::bind(socket, &address)?)
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

fn bound(address: &Address, how: Listening, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = made(address, kind)?;
    if let Some(ip) = address.ip() {
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if how.reuse_port {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        if ip.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
    }
    rustix::net::bind(&socket, &raw(address))?;
    Ok(socket)
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

/// The address that a socket is bound to.
pub(crate) fn local(socket: BorrowedFd<'_>) -> io::Result<Address> {
    Ok(Address::from(rustix::net::getsockname(socket)?))
}

/// The address at the other end.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<Address> {
    match rustix::net::getpeername(socket)? {
        Some(address) => Ok(Address::from(address)),
        None => Err(io::ErrorKind::NotConnected.into()),
    }
}
