//! Metadata and bytes of an open file, as Windows gives them.

use super::Meta;
use super::root::{OpenError, Wait};
use ostia_port::os::{FileIdentity, file_identity};
use std::fs::File;
use std::io;
use std::os::windows::fs::{FileExt as _, MetadataExt as _};

/// Ticks of a FILETIME, which are 100 ns, in a second.
const TICKS: i64 = 10_000_000;

/// The Unix epoch as a FILETIME, which counts from 1601.
const EPOCH: i64 = 116_444_736_000_000_000;

impl Meta {
    /// The present state of an open file or directory.
    ///
    /// # Errors
    /// Of what is neither; as the system says.
    pub fn of(file: &File) -> io::Result<Meta> {
        let meta = file.metadata()?;
        let FileIdentity { volume, file, changed } = file_identity(file)?;
        let (mtime, mtime_nsec) = since_epoch(meta.last_write_time() as i64);
        let (ctime, ctime_nsec) = since_epoch(changed);
        // Numbers have 128 bits on ReFS, where the upper ones tell as much as the lower.
        let ino = file as u64 ^ (file >> 64) as u64;
        Ok(Meta { dev: volume, ino, size: meta.file_size(), mtime, mtime_nsec, ctime, ctime_nsec })
    }
}

/// A FILETIME as whole seconds since the Unix epoch.
pub(crate) fn seconds_since_epoch(filetime: u64) -> i64 {
    since_epoch(filetime as i64).0
}

/// A FILETIME as seconds and nanoseconds since the Unix epoch.
fn since_epoch(filetime: i64) -> (i64, u32) {
    let ticks = filetime.saturating_sub(EPOCH);
    (ticks.div_euclid(TICKS), ticks.rem_euclid(TICKS) as u32 * 100)
}

/// Reads up to `size` bytes from the beginning; `None` where it must not wait, for Windows can't be asked whether it would.
pub(super) fn read_all(file: &File, size: usize, wait: Wait) -> Result<Option<Vec<u8>>, OpenError> {
    if wait == Wait::Never {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    let mut length = 0;
    while length < size {
        match read_at(file, &mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// Reads from a position, up to the length of the buffer; gives how many bytes came. The file was opened for overlapped I/O,
/// so it has no position of its own.
pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(bytes, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_begin_with_the_unix_epoch() {
        assert_eq!(since_epoch(EPOCH), (0, 0));
        assert_eq!(since_epoch(EPOCH + 15_000_000), (1, 500_000_000));
        assert_eq!(since_epoch(EPOCH - 1), (-1, 999_999_900));
        assert!(since_epoch(0).0 < 0 && since_epoch(i64::MIN).1 < 1_000_000_000);
    }
}
