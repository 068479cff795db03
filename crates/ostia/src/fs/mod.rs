//! Files and directories: what the port has an operation for goes by the port, the rest by threads that may block, so that
//! no worker waits for a disk.
//!
//! [`File`] is an open file of the worker that opened it. [`read`], [`read_to_string`] and [`write()`] take files whole,
//! [`read_dir`] lists a directory, and the other functions change paths: [`rename`], [`remove_file`], [`create_dir_all`] …
//!
//! Opening, metadata, reading, writing and syncing are operations of the port. Everything else is one closure a call on the
//! threads of [`spawn_blocking`](crate::spawn_blocking), which are bounded in number.
//!
//! # Cancelling
//! A system call that a thread is in can't be taken back. Where such a function says *Cancelled: it may happen*, dropping its
//! future keeps it from being begun if no thread had come to it yet; otherwise it goes on to its end, maybe after the drop. Who
//! has to know looks for its effect, or awaits the future in a task of its own.
//!
//! # Errors
//! Errors of what is given a path name it: see [`FsError`]. Their kind is the system's. Errors of an open file are the
//! system's own, for the file does not keep its path.
//!
//! # Durability
//! What was written is on the disk after [`File::sync_all`] or [`File::sync_data`]. That a file is *there*, under its name, is
//! written in its directory, which has to be synced too: [`sync_dir`]. To replace a file such that a crash leaves the old or
//! the new one whole:
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let (folder, at) = (folder.path(), folder.path().join("state"));
//! # ostia::block_on(async {
//! use ostia::fs::{self, File};
//!
//! let new = at.with_extension("new");
//! let file = File::create(&new).await?;
//! file.write_all_at("everything", 0).await?;
//! file.sync_all().await?;
//! file.close().await?;
//! fs::rename(&new, &at).await?;
//! fs::sync_dir(folder).await?;
//! assert_eq!(fs::read_to_string(&at).await?, "everything");
//! # std::io::Result::Ok(()) }).unwrap();
//! ```

mod calls;
mod directory;
mod failure;
mod file;
mod lock;
mod options;
mod paths;
mod reader;
#[cfg(unix)]
mod unix;
mod whole;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use directory::{DirEntry, ReadDir, read_dir};
pub use failure::FsError;
pub use file::File;
pub use options::OpenOptions;
pub use ostia_port::Metadata;
pub use paths::{
    canonicalize, copy, create_dir, create_dir_all, hard_link, metadata, read_link, remove_dir, remove_dir_all, remove_file,
    rename, symlink_metadata, sync_dir, try_exists,
};
pub use reader::Reader;
#[cfg(unix)]
pub use unix::{set_permissions, symlink};
pub use whole::{read, read_to_string, write};
#[cfg(windows)]
pub use windows::{symlink_dir, symlink_file};
