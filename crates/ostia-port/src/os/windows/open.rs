//! How a file is opened (CreateFileW).

use std::os::windows::io::{FromRawHandle, IntoRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{GENERIC_READ, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};

use super::error;
use super::path::PathChar;

/// How to open a file: what CreateFileW is told. FILE_FLAG_OVERLAPPED is always added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHow {
    /// `GENERIC_READ` and so on. Default: to read.
    pub access: u32,
    /// `FILE_SHARE_READ` and so on. Default: everything, as on Unix.
    pub share: u32,
    /// `OPEN_EXISTING` and so on. Default: that.
    pub disposition: u32,
    /// Flags and attributes: `FILE_FLAG_BACKUP_SEMANTICS`, which directories need, and so on. Default none.
    pub flags: u32,
}

impl Default for OpenHow {
    fn default() -> OpenHow {
        let share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
        OpenHow { access: GENERIC_READ, share, disposition: OPEN_EXISTING, flags: 0 }
    }
}

/// What [`Sys::Open`](crate::sys::Sys::Open) points to.
pub(crate) type RawOpenHow = OpenHow;

pub(crate) fn raw_open_how(how: OpenHow) -> RawOpenHow {
    how
}

/// Opens a file; its number, or a negated error.
///
/// # Safety
/// `path` ends with a NUL.
pub(crate) unsafe fn open(path: *const PathChar, how: &OpenHow, overlapped: bool) -> i32 {
    let flags = how.flags | if overlapped { FILE_FLAG_OVERLAPPED } else { 0 };
    // SAFETY: the path is a string by the caller's promise; the rest is plain numbers.
    let handle =
        unsafe { CreateFileW(path, how.access, how.share, std::ptr::null(), how.disposition, flags, std::ptr::null_mut()) };
    if handle == INVALID_HANDLE_VALUE {
        return -(error::last() as i32);
    }
    // SAFETY: made just now.
    let owned = unsafe { OwnedHandle::from_raw_handle(handle) };
    owned.into_raw_handle() as isize as i32
}
