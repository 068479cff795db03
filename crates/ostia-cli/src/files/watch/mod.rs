//! Says which cached files and directories have changed since it was last asked.
//!
//! | module | on |
//! |---|---|
//! | `inotify` | Linux |
//! | `none` | Windows: nobody is told of anything, and every turn looks for itself |

#[cfg(unix)]
mod inotify;
#[cfg(windows)]
mod none;

#[cfg(unix)]
pub use inotify::{Watch, Watcher};
#[cfg(windows)]
pub use none::{Watch, Watcher};

use super::tree::Dir;
use std::rc::{Rc, Weak};

/// Who hears of an inode's changes.
#[derive(Clone, Debug)]
pub enum Target {
    /// The cached file under this key.
    File(Rc<[u8]>),
    /// A directory on the way to cached files.
    Directory(Weak<Dir>),
}

/// A change.
#[derive(Debug)]
pub enum Change {
    /// Events were lost: anything may have changed.
    Everything,
    /// The content or the attributes of the file under this key.
    File(Rc<[u8]>),
    /// The directory itself was moved, removed, or given other permissions.
    Directory(Rc<Dir>),
    /// A name in the directory came, went, or means another file.
    Name(Rc<Dir>, Box<[u8]>),
}
