//! The files that are served: names, look-ups beneath the root, and a cache that is never stale.
//!
//! | module | what it does |
//! |---|---|
//! | [`path`] | a request's path into names, escapes decoded once |
//! | [`windows_names`] | which of those names Windows takes for what they say |
//! | [`root`] | opens what lies beneath the root, and nothing else |
//! | [`entry`] | a file as it is served: metadata, validators, content when small |
//! | [`watch`] | who wants to hear of which inode: by inotify, where there is one |
//! | [`tree`] | the directories on the way to cached files, each watched |
//! | [`cache`] | the files of one worker, least recently used first to go |
//! | `unix`, `windows` | metadata and bytes of an open file, as each system gives them |

pub mod cache;
pub mod entry;
pub mod path;
pub mod root;
pub mod tree;
pub mod watch;
pub mod windows_names;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;
#[cfg(windows)]
pub(crate) use windows::seconds_since_epoch;

/// The metadata that tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content: seconds since the epoch,
    pub mtime: i64,
    /// and nanoseconds.
    pub mtime_nsec: u32,
    /// Last change of the inode: seconds since the epoch,
    pub ctime: i64,
    /// and nanoseconds.
    pub ctime_nsec: u32,
}
