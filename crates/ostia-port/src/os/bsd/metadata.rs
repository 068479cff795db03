//! A file's metadata as fstatat(2) gives it.

use super::raw;
use crate::completion::Metadata;

/// What the system writes.
pub(crate) type Stat = raw::stat;

impl Metadata {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.0.st_size as u64
    }

    /// Type and permission bits (`st_mode` of stat(2)).
    pub fn mode(&self) -> u32 {
        self.0.st_mode.into()
    }

    fn is(&self, kind: raw::mode_t) -> bool {
        self.0.st_mode & raw::S_IFMT == kind
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.is(raw::S_IFREG)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.is(raw::S_IFDIR)
    }

    /// Whether it is a symbolic link, which only metadata of the link itself says.
    pub fn is_symlink(&self) -> bool {
        self.is(raw::S_IFLNK)
    }

    /// How many names it has.
    pub fn links(&self) -> u32 {
        u32::try_from(self.0.st_nlink).unwrap_or(u32::MAX)
    }

    /// Its owner, as (user, group).
    pub fn owner(&self) -> (u32, u32) {
        (self.0.st_uid, self.0.st_gid)
    }

    /// Inode number.
    pub fn inode(&self) -> u64 {
        self.0.st_ino
    }

    /// The device that holds the file, as (major, minor).
    pub fn device(&self) -> (u32, u32) {
        (raw::major(self.0.st_dev) as u32, raw::minor(self.0.st_dev) as u32)
    }

    /// Last change of the contents: seconds and nanoseconds since the Unix epoch.
    pub fn modified(&self) -> (i64, u32) {
        (self.0.st_mtime, self.0.st_mtime_nsec as u32)
    }

    /// Last access: seconds and nanoseconds since the Unix epoch. Most file systems are mounted such that it is not kept to the
    /// letter (`noatime`).
    pub fn accessed(&self) -> (i64, u32) {
        (self.0.st_atime, self.0.st_atime_nsec as u32)
    }

    /// When it was made: seconds and nanoseconds since the Unix epoch; none where the file system doesn't tell.
    pub fn created(&self) -> Option<(i64, u32)> {
        let told = self.0.st_birthtime != -1;
        told.then_some((self.0.st_birthtime, self.0.st_birthtime_nsec as u32))
    }

    /// Last change of the metadata: seconds and nanoseconds since the Unix epoch.
    pub fn changed(&self) -> (i64, u32) {
        (self.0.st_ctime, self.0.st_ctime_nsec as u32)
    }
}
