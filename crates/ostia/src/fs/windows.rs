//! What files of Windows have of their own: access, sharing and flags of CreateFileW, symbolic links of two kinds; and LockFileEx.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr;

use ostia_port::OpenHow;
use ostia_port::os::OwnedFd;
use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, ERROR_NOT_LOCKED, GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_ALWAYS, CREATE_NEW, FILE_APPEND_DATA, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_GENERIC_WRITE,
    FILE_READ_ATTRIBUTES, FILE_WRITE_DATA, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, OPEN_ALWAYS,
    OPEN_EXISTING, TRUNCATE_EXISTING, UnlockFile,
};
use windows_sys::Win32::System::IO::{GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::CreateEventW;

use crate::fs::OpenOptions;
use crate::fs::lock::Lock;
use crate::fs::paths::on_paths;

/// What only this system's opening has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct More {
    access: Option<u32>,
    share: Option<u32>,
    flags: u32,
}

impl More {
    /// Nothing set.
    pub(super) const NONE: More = More { access: None, share: None, flags: 0 };
}

/// Windows only.
impl OpenOptions {
    /// The access that is asked for, such as `FILE_READ_ATTRIBUTES`, instead of what reading, writing and appending come to. Windows
    /// only.
    #[must_use]
    pub fn access_mode(mut self, access: u32) -> OpenOptions {
        self.more.access = Some(access);
        self
    }

    /// What others may do with the file meanwhile: `FILE_SHARE_READ` and so on. Default everything, as on Unix. Windows only.
    #[must_use]
    pub fn share_mode(mut self, share: u32) -> OpenOptions {
        self.more.share = Some(share);
        self
    }

    /// Further flags and attributes of CreateFileW, such as `FILE_FLAG_BACKUP_SEMANTICS`, which directories need, or
    /// `FILE_ATTRIBUTE_HIDDEN`; on Unix flags of open(2).
    #[must_use]
    pub fn custom_flags(mut self, flags: u32) -> OpenOptions {
        self.more.flags = flags;
        self
    }
}

/// What CreateFileW is told of options that don't contradict each other.
pub(super) fn how(options: &OpenOptions) -> OpenHow {
    let reads = if options.read { GENERIC_READ } else { 0 };
    let writes = match (options.write, options.append) {
        (_, true) => FILE_GENERIC_WRITE & !FILE_WRITE_DATA | FILE_APPEND_DATA,
        (true, false) => GENERIC_WRITE,
        (false, false) => 0,
    };
    let disposition = match (options.create, options.truncate, options.create_new) {
        (_, _, true) => CREATE_NEW,
        (true, true, _) => CREATE_ALWAYS,
        (true, false, _) => OPEN_ALWAYS,
        (false, true, _) => TRUNCATE_EXISTING,
        (false, false, _) => OPEN_EXISTING,
    };
    let usual = OpenHow::default();
    OpenHow {
        access: options.more.access.unwrap_or(reads | writes),
        share: options.more.share.unwrap_or(usual.share),
        disposition,
        flags: usual.flags | options.more.flags,
    }
}

/// To ask about what is at a path, be it a symbolic link.
pub(super) fn to_ask() -> OpenHow {
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS;
    OpenHow { access: FILE_READ_ATTRIBUTES, flags, ..OpenHow::default() }
}

/// To sync a directory.
pub(super) fn to_sync() -> OpenHow {
    OpenHow { access: GENERIC_READ | GENERIC_WRITE, flags: FILE_FLAG_BACKUP_SEMANTICS, ..OpenHow::default() }
}

/// Whether opening to sync a directory opens anything else too.
pub(super) const OPENS_FILES_TOO: bool = true;

/// A descriptor as the standard library's file.
pub(super) fn into_std(file: OwnedFd) -> io::Result<std::fs::File> {
    match file.into_handle() {
        Ok(handle) => Ok(handle.into()),
        Err(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Locks a file if nobody has it locked otherwise, turning a lock that there is into this kind; whether it did.
pub(super) fn try_lock(file: &std::fs::File, how: Lock) -> io::Result<bool> {
    // One's own lock would be in the way.
    unlock(file)?;
    let exclusive = if how == Lock::Exclusive { LOCKFILE_EXCLUSIVE_LOCK } else { 0 };
    // SAFETY: no attributes and no name.
    let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: made just now, and nobody else knows it.
    let event = unsafe { OwnedHandle::from_raw_handle(event) };
    // SAFETY: plain data for which zeroes are valid: the file's beginning.
    let mut overlapped: OVERLAPPED = unsafe { std::mem::zeroed() };
    // With the lowest bit set, the port that the file may be associated with is told nothing (GetQueuedCompletionStatus).
    overlapped.hEvent = (event.as_raw_handle() as usize | 1) as _;
    // SAFETY: the file is open; the record lives until the system has done with it, which it has below.
    let locked = unsafe {
        LockFileEx(file.as_raw_handle(), exclusive | LOCKFILE_FAIL_IMMEDIATELY, 0, u32::MAX, u32::MAX, &raw mut overlapped)
    };
    if locked != 0 {
        return Ok(true);
    }
    let mut failed = io::Error::last_os_error();
    if failed.raw_os_error() == Some(ERROR_IO_PENDING as i32) {
        let mut none = 0;
        // SAFETY: the record is that of the call above; this waits until it is over.
        if unsafe { GetOverlappedResult(file.as_raw_handle(), &raw const overlapped, &raw mut none, 1) } != 0 {
            return Ok(true);
        }
        failed = io::Error::last_os_error();
    }
    if failed.raw_os_error() == Some(ERROR_LOCK_VIOLATION as i32) { Ok(false) } else { Err(failed) }
}

/// Gives a lock up, if there is one.
pub(super) fn unlock(file: &std::fs::File) -> io::Result<()> {
    // SAFETY: the file is open.
    if unsafe { UnlockFile(file.as_raw_handle(), 0, 0, u32::MAX, u32::MAX) } != 0 {
        return Ok(());
    }
    let failed = io::Error::last_os_error();
    match failed.raw_os_error().map(|code| code as u32) {
        // Wine says the second of the two.
        Some(ERROR_NOT_LOCKED | ERROR_LOCK_VIOLATION) => Ok(()),
        _ => Err(failed),
    }
}

/// Makes a symbolic link at `link` to a file, as `original` says, which need not exist and is read from the link's directory on.
/// Windows only. Cancelled: it may happen.
///
/// # Errors
/// As CreateSymbolicLinkW, naming both paths: AlreadyExists; ERROR_PRIVILEGE_NOT_HELD without the developer mode or the privilege.
pub async fn symlink_file(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let work = |original: &Path, link: &Path| std::os::windows::fs::symlink_file(original, link);
    on_paths("link symbolically", original.as_ref(), link.as_ref(), work).await
}

/// As [`symlink_file`], to a directory. Windows only. Cancelling as there.
///
/// # Errors
/// As there.
pub async fn symlink_dir(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let work = |original: &Path, link: &Path| std::os::windows::fs::symlink_dir(original, link);
    on_paths("link symbolically", original.as_ref(), link.as_ref(), work).await
}
