//! A system without Unix sockets: their addresses are read and written, and can't be used.

use std::io;
use std::path::{Path, PathBuf};

use ostia_port::Address;

use crate::net::failure::naming;

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets on this system")
}

/// There is no address of a path.
///
/// # Errors
/// Unsupported, naming the path.
pub(crate) fn address(path: &Path) -> io::Result<Address> {
    Err(naming("use the path", path.display(), unsupported()))
}

/// There is no address of a name.
///
/// # Errors
/// Unsupported.
pub(crate) fn abstract_address(_name: &[u8]) -> io::Result<Address> {
    Err(unsupported())
}

/// No address has a path.
pub(crate) fn path_of(_address: &Address) -> Option<PathBuf> {
    None
}

/// No address has a name.
pub(crate) fn abstract_name_of(_address: &Address) -> Option<Vec<u8>> {
    None
}
