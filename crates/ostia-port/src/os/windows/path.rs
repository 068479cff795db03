//! Paths as the system takes them.

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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

const VERBATIM: &str = r"\\?\";
const VERBATIM_SHARE: &str = r"\\?\UNC\";

/// A path in the form that programs write: without the prefix that lifts the limit of length.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let Some(text) = path.to_str() else { return path.to_path_buf() };
    match (text.strip_prefix(VERBATIM_SHARE), text.strip_prefix(VERBATIM)) {
        (Some(share), _) => format!(r"\\{share}").into(),
        (_, Some(plain)) => plain.into(),
        _ => path.to_path_buf(),
    }
}

/// An absolute path with that prefix.
pub(crate) fn verbatim(path: &Path) -> PathBuf {
    match path.to_str() {
        Some(text) if text.starts_with(VERBATIM) || text.starts_with(r"\\.\") => path.to_path_buf(),
        Some(text) => match text.strip_prefix(r"\\") {
            Some(share) => format!("{VERBATIM_SHARE}{share}").into(),
            None => format!("{VERBATIM}{text}").into(),
        },
        None => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_and_go() {
        for (long, short) in [(r"\\?\C:\a\b", r"C:\a\b"), (r"\\?\UNC\host\share\x", r"\\host\share\x")] {
            assert_eq!(plain(Path::new(long)), Path::new(short));
            assert_eq!(verbatim(Path::new(short)), Path::new(long));
            assert_eq!(verbatim(Path::new(long)), Path::new(long));
            assert_eq!(plain(Path::new(short)), Path::new(short));
        }
    }
}
