//! A file's metadata as GetFileInformationByHandle and FileBasicInfo give it.

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_ATTRIBUTE_TAG_INFO, FILE_BASIC_INFO,
    FILE_FLAG_BACKUP_SEMANTICS, FILE_READ_ATTRIBUTES, FileAttributeTagInfo, FileBasicInfo, GetFileInformationByHandle,
};
use windows_sys::Win32::System::SystemServices::IO_REPARSE_TAG_SYMLINK;

use super::descriptor::{RawFd, handle_of};
use super::error;
use super::identity::information;
use super::open::{OpenHow, open};
use super::path::PathChar;
use crate::completion::Metadata;

/// What the system writes.
#[derive(Clone, Copy)]
pub(crate) struct Stat {
    info: BY_HANDLE_FILE_INFORMATION,
    /// In units of 100 ns since 1601; 0: the file system doesn't tell.
    changed: i64,
    reparse_tag: u32,
}

/// Between 1601, where Windows counts from, and 1970, in units of 100 ns.
const EPOCH: i64 = 116_444_736_000_000_000;

/// Asks for the metadata of an open file, or of what a path leads to from it.
///
/// # Safety
/// `path` is null or ends with a NUL, and `out` can be written.
pub(crate) unsafe fn stat(fd: RawFd, path: *const PathChar, out: *mut Stat) -> i32 {
    let opened;
    let handle = if path.is_null() {
        handle_of(fd)
    } else {
        let how = OpenHow { access: FILE_READ_ATTRIBUTES, flags: FILE_FLAG_BACKUP_SEMANTICS, ..OpenHow::default() };
        // SAFETY: by the caller's promise.
        match unsafe { open(fd, path, &how, false) } {
            // SAFETY: opened just now.
            fd @ 0.. => opened = unsafe { OwnedHandle::from_raw_handle(handle_of(fd)) },
            failed => return failed,
        }
        opened.as_raw_handle()
    };
    // SAFETY: plain data for which zeroes are valid.
    let mut stat = unsafe { std::mem::zeroed::<Stat>() };
    // SAFETY: the handle is open and the record a local.
    if unsafe { GetFileInformationByHandle(handle, &mut stat.info) } == 0 {
        return -(error::last() as i32);
    }
    // SAFETY: the handle is open; the records are of the classes asked for.
    if let Some(basic) = unsafe { information::<FILE_BASIC_INFO>(handle, FileBasicInfo) } {
        stat.changed = basic.ChangeTime;
    }
    if stat.info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0
        // SAFETY: as above.
        && let Some(tag) = unsafe { information::<FILE_ATTRIBUTE_TAG_INFO>(handle, FileAttributeTagInfo) }
    {
        stat.reparse_tag = tag.ReparseTag;
    }
    // SAFETY: by the caller's promise.
    unsafe { out.write(stat) };
    0
}

fn units(time: FILETIME) -> i64 {
    (i64::from(time.dwHighDateTime) << 32) | i64::from(time.dwLowDateTime)
}

/// Seconds and nanoseconds since 1970.
fn unix(units: i64) -> (i64, u32) {
    let since = units - EPOCH;
    (since.div_euclid(10_000_000), since.rem_euclid(10_000_000) as u32 * 100)
}

impl Metadata {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        (u64::from(self.0.info.nFileSizeHigh) << 32) | u64::from(self.0.info.nFileSizeLow)
    }

    /// The attributes (`FILE_ATTRIBUTE_READONLY` and so on).
    pub fn attributes(&self) -> u32 {
        self.0.info.dwFileAttributes
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        !self.is_dir() && !self.is_symlink()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.attributes() & FILE_ATTRIBUTE_DIRECTORY != 0 && !self.is_symlink()
    }

    /// Whether it is a symbolic link, which only metadata of the link itself says.
    pub fn is_symlink(&self) -> bool {
        self.attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 && self.0.reparse_tag == IO_REPARSE_TAG_SYMLINK
    }

    /// How many names it has.
    pub fn links(&self) -> u32 {
        self.0.info.nNumberOfLinks
    }

    /// The file's number on its volume (nFileIndex).
    pub fn inode(&self) -> u64 {
        (u64::from(self.0.info.nFileIndexHigh) << 32) | u64::from(self.0.info.nFileIndexLow)
    }

    /// The volume that holds the file, as (serial number, 0).
    pub fn device(&self) -> (u32, u32) {
        (self.0.info.dwVolumeSerialNumber, 0)
    }

    /// Last change of the contents: seconds and nanoseconds since the Unix epoch.
    pub fn modified(&self) -> (i64, u32) {
        unix(units(self.0.info.ftLastWriteTime))
    }

    /// Last access: seconds and nanoseconds since the Unix epoch. Windows may keep it an hour late, or not at all.
    pub fn accessed(&self) -> (i64, u32) {
        unix(units(self.0.info.ftLastAccessTime))
    }

    /// When it was made: seconds and nanoseconds since the Unix epoch; none where the file system doesn't tell.
    pub fn created(&self) -> Option<(i64, u32)> {
        Some(units(self.0.info.ftCreationTime)).filter(|&units| units != 0).map(unix)
    }

    /// Last change of the metadata, or of the contents where the file system doesn't tell: seconds and nanoseconds since the
    /// Unix epoch.
    pub fn changed(&self) -> (i64, u32) {
        if self.0.changed == 0 { self.modified() } else { unix(self.0.changed) }
    }
}
