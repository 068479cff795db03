//! Paths as the system takes them.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What such a path is made of.
pub(crate) type PathChar = libc::c_char;

/// A path in the form that the system's calls take.
pub type SystemPath = CString;

/// A path in the form that the system's calls take.
///
/// # Errors
/// InvalidInput for a path with a NUL byte, which no file can have.
pub fn system_path(path: impl AsRef<Path>) -> io::Result<SystemPath> {
    let path = path.as_ref();
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{} has a NUL byte", path.display())))
}
