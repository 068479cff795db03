//! Errors of files: what failed, and on which path.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::carried::{carried, carry};

/// An error with what failed and the path it failed on. It travels inside of an [`io::Error`] of the same kind: see
/// [`FsError::of`].
#[derive(Debug)]
pub struct FsError {
    doing: &'static str,
    path: PathBuf,
    to: Option<PathBuf>,
    source: io::Error,
}

impl FsError {
    /// The file error inside of an error that this module's calls gave, if it has one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&FsError> {
        carried(error)
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The second path, where there are two: of renaming, copying and linking.
    #[must_use]
    pub fn to(&self) -> Option<&Path> {
        self.to.as_deref()
    }

    /// The system's error code, which the [`io::Error`] around this no longer has. None for errors that are not the system's,
    /// such as a NUL in a path.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.doing, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " to {}", to.display())?;
        }
        write!(f, ": {}", self.source)
    }
}

impl std::error::Error for FsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Says what an error concerns. An error that says so already is left as it is.
#[cold]
pub(super) fn naming(doing: &'static str, path: &Path, source: io::Error) -> io::Error {
    named(doing, path, None, source)
}

/// As [`naming`], where two paths are concerned.
#[cold]
pub(super) fn naming_both(doing: &'static str, path: &Path, to: &Path, source: io::Error) -> io::Error {
    named(doing, path, Some(to), source)
}

fn named(doing: &'static str, path: &Path, to: Option<&Path>, source: io::Error) -> io::Error {
    carry(source, |source| FsError { doing, path: path.to_owned(), to: to.map(Path::to_owned), source })
}

#[cfg(test)]
mod tests {
    use ostia_port::os::ENOENT;

    use super::*;

    #[test]
    fn an_error_names_its_paths_once_and_keeps_its_kind_and_code() {
        let missing = || io::Error::from_raw_os_error(ENOENT);
        let error = missing();
        let error = naming_both("rename", Path::new("/a"), Path::new("b"), error);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = naming("open", Path::new("elsewhere"), error);
        assert_eq!(error.to_string(), format!("cannot rename /a to b: {}", missing()));
        let inner = FsError::of(&error).expect("a file error");
        assert_eq!((inner.path(), inner.to(), inner.raw_os_error()), (Path::new("/a"), Some(Path::new("b")), Some(ENOENT)));
        assert!(FsError::of(&io::Error::other("x")).is_none());
    }
}
