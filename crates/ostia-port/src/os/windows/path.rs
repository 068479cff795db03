//! Paths as the system takes them.

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::io::{AsHandle, AsRawHandle};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Storage::FileSystem::{FILE_NAME_NORMALIZED, GetFinalPathNameByHandleW, VOLUME_NAME_DOS};

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

/// Where an open file or directory is, with links resolved and each name as it is written on the volume
/// (GetFinalPathNameByHandleW), in the form that has no limit of length (`\\?\C:\...`).
///
/// # Errors
/// What Windows says of a handle that is no file's, or of a volume without a letter.
pub fn final_path(file: impl AsHandle) -> io::Result<PathBuf> {
    let file = file.as_handle().as_raw_handle();
    let mut path = vec![0u16; 512];
    loop {
        // SAFETY: the handle is open and the buffer as long as is said.
        let len = unsafe {
            let room = path.len() as u32;
            GetFinalPathNameByHandleW(file, path.as_mut_ptr(), room, FILE_NAME_NORMALIZED | VOLUME_NAME_DOS) as usize
        };
        if len == 0 {
            return Err(io::Error::last_os_error());
        }
        if let Some(path) = path.get(..len).filter(|_| len < path.len()) {
            return Ok(OsString::from_wide(path).into());
        }
        path.resize(len + 1, 0);
    }
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

    #[test]
    fn the_path_of_an_open_file_is_its_own() {
        let path = std::env::temp_dir().join(format!("ostia-port-Path-{}", std::process::id()));
        let file = std::fs::File::create(&path).expect("a file");
        let found = final_path(&file).expect("a path");
        assert_eq!(found.file_name(), path.file_name());
        assert_eq!(std::fs::canonicalize(&path).expect("there"), found);
        drop(file);
        std::fs::remove_file(path).expect("removed");
        assert!(final_path(&std::net::UdpSocket::bind("127.0.0.1:0").map(crate::os::OwnedFd::from).expect("a socket")).is_err());
    }
}
