//! Descriptors: the standard library's.

use std::io;

use rustix::fs::{FileType, fstat};
use rustix::net::{SocketType, sockopt};

pub use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::handle::Kind;
#[cfg(target_os = "macos")]
use crate::os::listening::listens;
#[cfg(not(target_os = "macos"))]
use sockopt::socket_acceptconn as listens;

/// What a descriptor is.
pub(crate) fn kind_of(fd: &OwnedFd) -> io::Result<Kind> {
    Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Socket if listens(fd)? => Kind::Listener,
        FileType::Socket if sockopt::socket_type(fd)? == SocketType::STREAM => Kind::Stream,
        FileType::Socket => Kind::Datagram,
        FileType::RegularFile | FileType::BlockDevice | FileType::Directory => Kind::File,
        _ => Kind::Pipe,
    })
}
