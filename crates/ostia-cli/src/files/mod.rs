//! The files that are served: names, look-ups beneath the root, and a cache that is never stale.
//!
//! | module | what it does |
//! |---|---|
//! | [`path`] | a request's path into names, escapes decoded once |
//! | [`root`] | opens what lies beneath the root, and nothing else |
//! | [`entry`] | a file as it is served: metadata, validators, content when small |
//! | [`watch`] | inotify: who wants to hear of which inode |
//! | [`tree`] | the directories on the way to cached files, each watched |
//! | [`cache`] | the files of one worker, least recently used first to go |

pub mod cache;
pub mod entry;
pub mod path;
pub mod root;
pub mod tree;
pub mod watch;

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

impl From<&rustix::fs::Stat> for Meta {
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    fn from(stat: &rustix::fs::Stat) -> Self {
        Meta {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: stat.st_mtime as i64,
            mtime_nsec: stat.st_mtime_nsec as u32,
            ctime: stat.st_ctime as i64,
            ctime_nsec: stat.st_ctime_nsec as u32,
        }
    }
}
