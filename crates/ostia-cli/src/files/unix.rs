//! Metadata and bytes of an open file, as Linux gives them.

use super::Meta;
use super::root::{OpenError, Wait};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::{IoSliceMut, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;

impl From<&rustix::fs::Stat> for Meta {
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    fn from(stat: &rustix::fs::Stat) -> Self {
        Meta {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: stat.st_mtime as i64,
            mtime_nsec: stat.st_mtime_nsec as u32,
            ctime: stat.st_ctime as i64,
            ctime_nsec: stat.st_ctime_nsec as u32,
        }
    }
}

impl Meta {
    /// The present state of an open file or directory.
    ///
    /// # Errors
    /// As fstat(2) says.
    pub fn of(file: &impl AsFd) -> Result<Meta, Errno> {
        Ok(Meta::from(&rustix::fs::fstat(file)?))
    }
}

/// Reads up to `size` bytes; `None` where the file system can't say whether that would block.
pub(super) fn read_all(file: &File, size: usize, wait: Wait) -> Result<Option<Vec<u8>>, OpenError> {
    if wait == Wait::Allowed {
        let mut bytes = Vec::with_capacity(size);
        file.take(size as u64).read_to_end(&mut bytes).map_err(OpenError::Other)?;
        return Ok(Some(bytes));
    }
    let mut bytes = vec![0; size];
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT) {
        Ok(n) if n == size => Ok(Some(bytes)),
        // Part of it isn't cached, or the file has shrunk: the pool finds out which.
        Ok(_) => Err(OpenError::WouldBlock),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if in_memory(file) => {
            let n = file.read_at(&mut bytes, 0).map_err(OpenError::Other)?;
            bytes.truncate(n);
            Ok(Some(bytes))
        }
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the file lies in a file system without a disk beneath it.
fn in_memory(file: &File) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between architectures")]
    rustix::fs::fstatfs(file).is_ok_and(|fs| matches!(fs.f_type as u64, TMPFS | RAMFS))
}

/// Reads from a position, up to the length of the buffer; gives how many bytes came.
#[cfg(test)]
pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<usize> {
    file.read_at(bytes, at)
}
