//! Making sockets, for listening, connecting and datagrams; what each system does its own way stands in its file.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use std::io;
use std::net::SocketAddr;

use ostia_port::Address;
use ostia_port::os::{BorrowedFd, OwnedFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, sockopt};

use crate::net::UdpOptions;

pub(crate) use system::{MANY_ACCEPT, SPREADS, disconnect, echo, is_v6, listening, of_datagrams, tell_refusals, unblock};
#[cfg(unix)]
pub(crate) use system::{bound_datagram, listening_as};

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
    system::made(family(address), SocketType::STREAM)
}

/// A UDP socket at `address`.
pub(crate) fn datagrams(address: SocketAddr, options: UdpOptions) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = system::made(family, SocketType::DGRAM)?;
    if options.reuse_address {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if options.reuse_port {
        system::share_port(&socket)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !options.dual_stack)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// Binds a socket to a local address before it is connected.
pub(crate) fn bind_local(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    system::reuse_address(socket)?;
    Ok(rustix::net::bind(socket, &address)?)
}

fn bound(address: &Address, how: Listening, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = system::made(family(address), kind)?;
    if let Some(ip) = address.ip() {
        system::own_address(&socket)?;
        if how.reuse_port {
            system::share_port(&socket)?;
        }
        if ip.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
    }
    rustix::net::bind(&socket, &raw(address))?;
    Ok(socket)
}

fn listen(socket: OwnedFd, how: Listening) -> io::Result<OwnedFd> {
    rustix::net::listen(&socket, i32::try_from(how.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// The connections that a listening socket has and nobody has accepted, taken at once.
pub(crate) fn drain(listener: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    // Nobody else takes from this queue now, but a connection that is there when asked for may be gone: the descriptor must
    // not block.
    unblock(listener)?;
    let mut ready = [PollFd::new(&listener, PollFlags::IN)];
    while poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0 {
        match system::accept(listener) {
            Ok(connection) => all.push(connection),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(_) => break,
        }
    }
    Ok(all)
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
