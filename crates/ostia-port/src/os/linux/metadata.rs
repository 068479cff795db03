//! A file's metadata as statx(2) gives it.

use crate::completion::Metadata;

/// What the system writes.
pub(crate) type Stat = libc::statx;

impl Metadata {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// Type and permission bits (`st_mode` of inode(7)).
    pub fn mode(&self) -> u32 {
        self.0.stx_mode.into()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode() & libc::S_IFMT == libc::S_IFREG
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode() & libc::S_IFMT == libc::S_IFDIR
    }

    /// Whether it is a symbolic link, which only metadata of the link itself says.
    pub fn is_symlink(&self) -> bool {
        self.mode() & libc::S_IFMT == libc::S_IFLNK
    }

    /// How many names it has.
    pub fn links(&self) -> u32 {
        self.0.stx_nlink
    }

    /// Its owner, as (user, group).
    pub fn owner(&self) -> (u32, u32) {
        (self.0.stx_uid, self.0.stx_gid)
    }

    /// Inode number.
    pub fn inode(&self) -> u64 {
        self.0.stx_ino
    }

    /// The device that holds the file, as (major, minor).
    pub fn device(&self) -> (u32, u32) {
        (self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// Last change of the contents: seconds and nanoseconds since the Unix epoch.
    pub fn modified(&self) -> (i64, u32) {
        (self.0.stx_mtime.tv_sec, self.0.stx_mtime.tv_nsec)
    }

    /// Last access: seconds and nanoseconds since the Unix epoch. Most file systems are mounted such that it is not kept to the
    /// letter (`relatime`).
    pub fn accessed(&self) -> (i64, u32) {
        (self.0.stx_atime.tv_sec, self.0.stx_atime.tv_nsec)
    }

    /// When it was made: seconds and nanoseconds since the Unix epoch; none where the file system doesn't tell.
    pub fn created(&self) -> Option<(i64, u32)> {
        let told = self.0.stx_mask & libc::STATX_BTIME != 0;
        told.then_some((self.0.stx_btime.tv_sec, self.0.stx_btime.tv_nsec))
    }

    /// Last change of the metadata: seconds and nanoseconds since the Unix epoch.
    pub fn changed(&self) -> (i64, u32) {
        (self.0.stx_ctime.tv_sec, self.0.stx_ctime.tv_nsec)
    }
}
