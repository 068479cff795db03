//! Opens what lies beneath one directory, and nothing else.
//!
//! | module | how |
//! |---|---|
//! | `unix` | from the root's descriptor: openat2(2), which keeps the look-up beneath it |
//! | `windows` | name by name, each handle asked for its path after it was opened |
//!
//! Both give a `Root` of the same methods.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{IN_PLACE, Root};
#[cfg(windows)]
pub use windows::{IN_PLACE, Root};

use super::Meta;
use ostia_port::os::OwnedFd;
use std::fs::File;
use std::io;

/// Whether a look-up may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Only what the kernel's caches know (`RESOLVE_CACHED`, Linux 5.12; older kernels may wait):
    /// for a worker. Windows can't be asked that, and opens nothing so ([`IN_PLACE`]).
    Never,
    /// As long as it takes: for a thread of the blocking pool.
    Allowed,
}

/// Why a path could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// There is nothing that may be served: absent, a device, a FIFO, a socket, or out of the root.
    NotFound,
    /// A symbolic link on the way, where the caller asked for none.
    Symlink,
    /// The permissions of this process don't suffice.
    Forbidden,
    /// Not now: the answer is not in the kernel's caches ([`Wait::Never`]), or, on Windows, another
    /// program keeps the file to itself.
    WouldBlock,
    /// Out of descriptors or memory.
    Exhausted,
    /// Anything else, such as an input/output error of the disk.
    Other(io::Error),
}

/// What may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Something beneath the root.
#[derive(Debug)]
pub enum Opened {
    /// A regular file, open for reading.
    File(File, Meta),
    /// A directory, open as a place (`O_PATH`).
    Directory(OwnedFd, Meta),
}
