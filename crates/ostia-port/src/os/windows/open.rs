//! How a file is opened (CreateFileW).

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{BorrowedHandle, FromRawHandle, IntoRawHandle, OwnedHandle};
use std::path::PathBuf;

use windows_sys::Win32::Foundation::{ERROR_PATH_NOT_FOUND, GENERIC_READ, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};

use super::codes::EINVAL;
use super::descriptor::{RawFd, handle_of};
use super::error;
use super::identity::final_path;
use super::path::{PathChar, SystemPath, plain, system_path, verbatim};
use super::raw::AT_FDCWD;

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

/// A path that starts from a directory, in the form that has no limit of length. An absolute path stays what it is.
fn within(directory: RawFd, path: PathBuf) -> io::Result<SystemPath> {
    // SAFETY: the port keeps the directory open while an operation needs it.
    let directory = final_path(&unsafe { BorrowedHandle::borrow_raw(handle_of(directory)) })?;
    if !directory.is_dir() {
        return Err(io::Error::from_raw_os_error(ERROR_PATH_NOT_FOUND as i32));
    }
    // Such a form is taken as it stands: dots and slashes are to be resolved before.
    let joined = std::path::absolute(plain(&directory).join(path))?;
    system_path(verbatim(&joined))
}

/// The string at an address.
///
/// # Safety
/// It ends with a NUL.
unsafe fn read(path: *const PathChar) -> PathBuf {
    let mut len = 0;
    // SAFETY: by the caller's promise there is a NUL.
    while unsafe { *path.add(len) } != 0 {
        len += 1;
    }
    // SAFETY: so many characters were read above.
    OsString::from_wide(unsafe { std::slice::from_raw_parts(path, len) }).into()
}

/// What [`Sys::Open`](crate::sys::Sys::Open) points to.
pub(crate) type RawOpenHow = OpenHow;

pub(crate) fn raw_open_how(how: OpenHow) -> RawOpenHow {
    how
}

/// Opens a file; its number, or a negated error. A relative path starts from `directory`, unless that is AT_FDCWD.
///
/// # Safety
/// `path` ends with a NUL.
pub(crate) unsafe fn open(directory: RawFd, path: *const PathChar, how: &OpenHow, overlapped: bool) -> i32 {
    let joined;
    let path = if directory == AT_FDCWD {
        path
    } else {
        // SAFETY: by the caller's promise.
        match within(directory, unsafe { read(path) }) {
            Ok(path) => joined = path,
            Err(error) => return -error.raw_os_error().unwrap_or(EINVAL),
        }
        joined.as_ptr()
    };
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
