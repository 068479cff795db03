//! A log file that is replaced when it has become too large or too old, and opened anew on demand.
//!
//! Written here because no kept crate does all of it: tracing-appender rotates by time only, and file-rotate neither opens
//! anew after somebody else's rotation nor says how much of a line a failed write has left behind.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// When a file is replaced, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// No more bytes than this in a file, but for a longer line; 0: no limit.
    pub size: u64,
    /// No line is added to a file that was begun this long ago; zero: no limit.
    pub age: Duration,
    /// Replaced files that are kept: `PATH.1`, the newest, to `PATH.N`.
    pub keep: u32,
}

/// A log file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    policy: Policy,
    file: File,
    length: u64,
    /// When the file was begun; a file without such a time is as old as this program.
    begun: SystemTime,
    /// Replacing makes sense: not for pipes, terminals, /dev/null.
    regular: bool,
    /// The last byte that was written ends a line.
    whole: bool,
}

impl LogFile {
    /// Opens a file to append to it, or makes it.
    ///
    /// # Errors
    /// As open(2) says.
    pub fn open(path: &Path, policy: Policy) -> io::Result<LogFile> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let meta = file.metadata();
        // Windows tells nothing of devices such as NUL.
        let meta = if cfg!(windows) { meta.ok() } else { Some(meta?) };
        let (length, regular) = meta.as_ref().map_or((0, false), |meta| (meta.len(), meta.is_file()));
        let begun = match meta {
            Some(meta) if length > 0 => meta.created().or_else(|_| meta.modified()).unwrap_or_else(|_| SystemTime::now()),
            _ => SystemTime::now(),
        };
        Ok(LogFile { path: path.to_owned(), policy, file, length, begun, regular, whole: true })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the path anew, after somebody has moved the file away (logrotate). Failing that, goes on with the old one.
    ///
    /// # Errors
    /// As open(2) says.
    pub fn reopen(&mut self) -> io::Result<()> {
        // A line that is half in the old file ends there.
        if self.whole {
            *self = LogFile::open(&self.path, self.policy)?;
        }
        Ok(())
    }

    /// Whether [`reopen`](Self::reopen) would do something now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Writes some of the bytes, which are lines; gives how many were taken. What is not taken is to be given again: a line
    /// is never torn over two files.
    ///
    /// # Errors
    /// As write(2) says; nothing was written then. A replacement that fails is an error too, once the next write would have
    /// followed it; lines then go on into the old file.
    pub fn write(&mut self, bytes: &[u8], now: SystemTime) -> io::Result<usize> {
        let first_line = line_end(bytes);
        if self.regular && self.whole && self.length > 0 && self.is_full(first_line, now) {
            self.replace(now)?;
        }
        let take = self.room(bytes, first_line);
        let taken = match self.file.write(&bytes[..take]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
        };
        self.length += taken as u64;
        self.whole = bytes[taken - 1] == b'\n';
        Ok(taken)
    }

    fn is_full(&self, next: usize, now: SystemTime) -> bool {
        let Policy { size, age, .. } = self.policy;
        size > 0 && self.length + next as u64 > size
            || !age.is_zero() && now.duration_since(self.begun).is_ok_and(|old| old >= age)
    }

    /// How many of the bytes go into this file: whole lines up to its size, at least the first.
    fn room(&self, bytes: &[u8], first_line: usize) -> usize {
        if !self.regular || self.policy.size == 0 {
            return bytes.len();
        }
        let left = usize::try_from(self.policy.size.saturating_sub(self.length)).unwrap_or(usize::MAX);
        if left >= bytes.len() {
            return bytes.len();
        }
        bytes[..left].iter().rposition(|&byte| byte == b'\n').map_or(first_line, |at| at + 1)
    }

    /// Moves the files on by one, and begins a new one.
    fn replace(&mut self, now: SystemTime) -> io::Result<()> {
        // What is true of `begun` and `length` now must not have it tried again at every line if it fails.
        self.begun = now;
        self.length = 0;
        // A file that somebody has moved away already is not moved again: the one at the path is not ours.
        if is_at(&self.file, &self.path) {
            if self.policy.keep == 0 {
                // Windows lets the name go only when the file is closed, so it is made another's first.
                let gone = if cfg!(windows) { self.numbered(0) } else { self.path.clone() };
                if cfg!(windows) {
                    rename(&self.path, &gone)?;
                }
                remove(&gone)?;
            } else {
                // A number that no file has is room enough: what is older stays where it is.
                let keep = self.policy.keep;
                let free = (1..keep).find(|&number| fs::symlink_metadata(self.numbered(number)).is_err()).unwrap_or(keep);
                for number in (1..free).rev() {
                    rename(&self.numbered(number), &self.numbered(number + 1))?;
                }
                rename(&self.path, &self.numbered(1))?;
            }
        }
        *self = LogFile::open(&self.path, self.policy)?;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(format!(".{number}"));
        name.into()
    }
}

fn line_end(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// Whether the path still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Whether the path still leads to this file.
#[cfg(windows)]
fn is_at(file: &File, path: &Path) -> bool {
    use ostia_port::os::file_identity;
    let there = File::open(path).and_then(|there| file_identity(&there));
    match (file_identity(file), there) {
        (Ok(ours), Ok(there)) => (ours.volume, ours.file) == (there.volume, there.file),
        _ => false,
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    absent_is_well(fs::rename(from, to))
}

fn remove(path: &Path) -> io::Result<()> {
    absent_is_well(fs::remove_file(path))
}

fn absent_is_well(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: Policy = Policy { size: 0, age: Duration::ZERO, keep: 3 };

    fn write_all(file: &mut LogFile, mut bytes: &[u8], now: SystemTime) {
        while !bytes.is_empty() {
            let taken = file.write(bytes, now).unwrap();
            bytes = &bytes[taken..];
        }
    }

    /// The lines of all files, oldest first.
    fn files(path: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for number in (1..20).rev() {
            found.extend(fs::read_to_string(format!("{}.{number}", path.display())).ok());
        }
        found.extend(fs::read_to_string(path).ok());
        found
    }

    #[test]
    fn a_full_file_is_replaced_between_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = LogFile::open(&path, Policy { size: 10, ..NO_LIMIT }).unwrap();
        write_all(&mut file, b"aaaa\nbbbb\ncccc\nthis one is longer\ndd\n", SystemTime::now());
        assert_eq!(files(&path), ["aaaa\nbbbb\n", "cccc\n", "this one is longer\n", "dd\n"]);
    }

    #[test]
    fn only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for (keep, kept) in [(0, vec!["f\n"]), (1, vec!["e\n", "f\n"]), (3, vec!["c\n", "d\n", "e\n", "f\n"])] {
            let path = folder.path().join(format!("log{keep}"));
            let mut file = LogFile::open(&path, Policy { size: 2, keep, ..NO_LIMIT }).unwrap();
            write_all(&mut file, b"a\nb\nc\nd\ne\nf\n", SystemTime::now());
            assert_eq!(files(&path), kept);
        }
    }

    #[test]
    fn an_old_file_is_replaced_at_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = LogFile::open(&path, Policy { age: Duration::from_secs(60), ..NO_LIMIT }).unwrap();
        let begun = SystemTime::now();
        write_all(&mut file, b"a\n", begun);
        write_all(&mut file, b"b\n", begun + Duration::from_secs(30));
        write_all(&mut file, b"c\n", begun + Duration::from_secs(61));
        assert_eq!(files(&path), ["a\nb\n", "c\n"]);
        // A clock that was set back does no harm.
        write_all(&mut file, b"d\n", SystemTime::UNIX_EPOCH);
        assert_eq!(files(&path), ["a\nb\n", "c\nd\n"]);
    }

    #[test]
    fn a_file_of_before_goes_on_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "12345678\n").unwrap();
        let mut file = LogFile::open(&path, Policy { size: 12, ..NO_LIMIT }).unwrap();
        write_all(&mut file, b"a\nlong\n", SystemTime::now());
        assert_eq!(files(&path), ["12345678\na\n", "long\n"]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_left_until_reopened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = LogFile::open(&path, NO_LIMIT).unwrap();
        write_all(&mut file, b"a\nhal", SystemTime::now());
        let moved = folder.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        file.reopen().unwrap();
        assert!(!file.is_whole());
        write_all(&mut file, b"f\n", SystemTime::now());
        file.reopen().unwrap();
        write_all(&mut file, b"b\n", SystemTime::now());
        assert_eq!((fs::read_to_string(&moved).unwrap().as_str(), files(&path)), ("a\nhalf\n", vec!["b\n".to_owned()]));
    }

    #[test]
    fn somebody_elses_file_is_not_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = LogFile::open(&path, Policy { size: 4, ..NO_LIMIT }).unwrap();
        write_all(&mut file, b"abc\n", SystemTime::now());
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, "x\n").unwrap();
        write_all(&mut file, b"d\n", SystemTime::now());
        assert_eq!(files(&path), ["x\nd\n"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_full_disk_is_an_error_and_devices_are_not_replaced() {
        let mut full = LogFile::open(Path::new("/dev/full"), Policy { size: 1, ..NO_LIMIT }).unwrap();
        for _ in 0..2 {
            assert_eq!(full.write(b"a\n", SystemTime::now()).unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        let mut null = LogFile::open(Path::new("/dev/null"), Policy { size: 1, ..NO_LIMIT }).unwrap();
        assert_eq!(null.write(b"aa\nbb\n", SystemTime::now()).unwrap(), 6);
    }

    #[cfg(windows)]
    #[test]
    fn devices_are_not_replaced() {
        let mut null = LogFile::open(Path::new("NUL"), Policy { size: 1, ..NO_LIMIT }).unwrap();
        assert_eq!(null.write(b"aa\nbb\n", SystemTime::now()).unwrap(), 6);
    }
}
