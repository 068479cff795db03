//! What files of Unix have of their own: permission bits, flags of open(2), symbolic links of one kind; and flock(2).

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ostia_port::OpenHow;
use ostia_port::os::OwnedFd;
use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;

use crate::fs::calls::blocking;
use crate::fs::lock::Lock;
use crate::fs::paths::{on_path, on_paths};
use crate::fs::{DirEntry, File, OpenOptions};

/// What only this system's opening has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct More {
    mode: u32,
    flags: i32,
    resolve: u64,
}

impl More {
    /// Nothing set.
    pub(super) const NONE: More = More { mode: 0o666, flags: 0, resolve: 0 };
}

/// Unix only.
impl OpenOptions {
    /// Permissions of a file that is made, less the umask. Default 0o666. Unix only.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> OpenOptions {
        self.more.mode = mode;
        self
    }

    /// Further flags of open(2), such as `O_DIRECT` or `O_NONBLOCK`; on Windows of CreateFileW.
    #[must_use]
    pub fn custom_flags(mut self, flags: i32) -> OpenOptions {
        self.more.flags = flags;
        self
    }

    /// Resolution flags of openat2(2), such as `RESOLVE_BENEATH` (Linux 5.6). Unix only.
    #[must_use]
    pub fn resolve(mut self, flags: u64) -> OpenOptions {
        self.more.resolve = flags;
        self
    }
}

/// What open(2) is told of options that don't contradict each other.
pub(super) fn how(options: &OpenOptions) -> OpenHow {
    let access = match (options.read, options.write || options.append) {
        (true, true) => libc::O_RDWR,
        (false, true) => libc::O_WRONLY,
        (_, false) => libc::O_RDONLY,
    };
    let mut flags = access | options.more.flags;
    flags |= if options.append { libc::O_APPEND } else { 0 };
    flags |= if options.truncate { libc::O_TRUNC } else { 0 };
    flags |= if options.create_new { libc::O_CREAT | libc::O_EXCL } else { 0 };
    flags |= if options.create { libc::O_CREAT } else { 0 };
    OpenHow { flags, mode: options.more.mode, resolve: options.more.resolve }
}

/// To ask about what is at a path, be it a symbolic link.
pub(super) fn to_ask() -> OpenHow {
    OpenHow { flags: libc::O_PATH | libc::O_NOFOLLOW, ..OpenHow::default() }
}

/// To sync a directory.
pub(super) fn to_sync() -> OpenHow {
    OpenHow { flags: libc::O_RDONLY | libc::O_DIRECTORY, ..OpenHow::default() }
}

/// Whether opening to sync a directory opens anything else too.
pub(super) const OPENS_FILES_TOO: bool = false;

/// A descriptor as the standard library's file.
pub(super) fn into_std(file: OwnedFd) -> io::Result<std::fs::File> {
    Ok(file.into())
}

/// Locks a file if nobody has it locked otherwise, turning a lock that there is into this kind; whether it did.
pub(super) fn try_lock(file: &std::fs::File, how: Lock) -> io::Result<bool> {
    let how = match how {
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Lock::Shared => FlockOperation::NonBlockingLockShared,
    };
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives a lock up, if there is one.
pub(super) fn unlock(file: &std::fs::File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}

/// Unix only.
impl DirEntry {
    /// Inode number. Unix only: Windows tells it by [`metadata`](Self::metadata).
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }
}

/// Permission bits. Unix only.
impl File {
    /// Sets the permission bits, such as 0o644, whatever the umask is. Unix only. Cancelled: it may happen.
    ///
    /// # Errors
    /// As fchmod(2); on another worker.
    pub async fn set_permissions(&self, mode: u32) -> io::Result<()> {
        let held = self.held(self.calls().begin())?;
        blocking(move || Ok(fchmod(held.file(), Mode::from_raw_mode(mode))?)).await
    }
}

/// Sets a path's permission bits, such as 0o644, whatever the umask is; symbolic links are followed. Unix only. Cancelled: it may
/// happen.
///
/// # Errors
/// As chmod(2), naming the path.
pub async fn set_permissions(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    let work = move |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(mode));
    on_path("set the permissions of", path.as_ref(), work).await
}

/// Makes a symbolic link at `link` that says `original`, which need not exist and is read from the link's directory on. Unix only: on
/// Windows there are links to files and links to directories. Cancelled: it may happen.
///
/// # Errors
/// As symlink(2), naming both paths: AlreadyExists.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let work = |original: &Path, link: &Path| std::os::unix::fs::symlink(original, link);
    on_paths("link symbolically", original.as_ref(), link.as_ref(), work).await
}
