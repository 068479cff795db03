//! Paths as the system takes them.

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;

/// What such a path is made of.
pub(crate) type PathChar = u16;

/// A path in the form that the system's calls take: UTF-16 with a NUL at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemPath(Vec<u16>);

impl SystemPath {
    pub(crate) fn as_ptr(&self) -> *const u16 {
        self.0.as_ptr()
    }
}

/// A path in the form that the system's calls take.
///
/// # Errors
/// InvalidInput for a path with a NUL character, which no file can have.
pub fn system_path(path: impl AsRef<Path>) -> io::Result<SystemPath> {
    let path = path.as_ref();
    let mut wide: Vec<u16> = path.as_os_str().encode_wide().collect();
    if wide.contains(&0) {
        let text = format!("{} has a NUL character", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    wide.push(0);
    Ok(SystemPath(wide))
}
