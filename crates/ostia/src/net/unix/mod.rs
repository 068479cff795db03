//! Unix sockets (unix(7)): streams and listeners by name, those that keep boundaries, descriptors and credentials over all
//! kinds of them.

mod datagram;
mod seqpacket;
mod stream;

use std::io;
use std::path::{Path, PathBuf};

use ostia_port::Address;
use ostia_port::os::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::net::failure::naming;

pub use datagram::UnixDatagram;
pub use seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
pub use stream::{UnixListener, UnixStream};

/// SO_PEERPIDFD (Linux 6.5).
const PEER_PIDFD: (i32, i32) = (libc::SOL_SOCKET, 77);

/// A path that a socket was bound to, removed with it.
#[derive(Debug)]
pub(super) struct Bound(pub(super) PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        // Somebody may have removed or replaced it: that is theirs to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The address of a path.
///
/// # Errors
/// With the path, if it is too long or has a NUL byte.
pub(crate) fn address(path: &Path) -> io::Result<Address> {
    Address::unix(path).map_err(|error| naming("use the path", path.display(), error))
}

/// The address of a name in the abstract namespace.
///
/// # Errors
/// If it is too long.
pub(crate) fn abstract_address(name: &[u8]) -> io::Result<Address> {
    Address::unix_abstract(name)
}

/// The path that an address has, if it has one.
pub(crate) fn path_of(address: &Address) -> Option<PathBuf> {
    address.path()
}

/// The name in the abstract namespace that an address has, if it has one.
pub(crate) fn abstract_name_of(address: &Address) -> Option<Vec<u8>> {
    address.abstract_name()
}

/// The socket, if it is a Unix socket of this kind.
fn checked(socket: OwnedFd, kind: SocketType) -> io::Result<OwnedFd> {
    let fd = socket.as_fd();
    if sockopt::socket_domain(fd)? != AddressFamily::UNIX || sockopt::socket_type(fd)? != kind {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix socket of this kind"));
    }
    Ok(socket)
}
