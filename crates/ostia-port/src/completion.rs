//! What a port hands out: one record per completed operation.

use std::io;
use std::process::ExitStatus;

use crate::buffer::Buffer;
use crate::chunk::Chunk;
use crate::handle::Handle;
use crate::message::Message;
use crate::op::OpId;

/// An operation that has completed, or a packet that was posted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// Which operation. For a posted packet none.
    pub id: Option<OpId>,
    /// The completion key of the operation's handle, given when it was adopted; 0 for operations without a handle.
    pub key: u64,
    /// What the operation was submitted with.
    pub context: u64,
    /// Bytes transferred, or what the operation says its result is; an error has the operating system's code
    /// (ECANCELED for a cancelled operation).
    pub result: io::Result<usize>,
    /// What comes with it: the operation's buffer returned, in success and in failure, or what was made.
    pub payload: Payload,
    /// The operation goes on and will complete again (the multishot ones).
    pub more: bool,
}

/// What a completion carries besides its result.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing.
    #[default]
    None,
    /// Received bytes, lent from the pool.
    Chunk(Chunk),
    /// A handle for an accepted connection or an opened file.
    Handle(Handle),
    /// The operation's buffer, returned.
    Buffer(Buffer),
    /// The operation's buffers, returned.
    Buffers(Vec<Buffer>),
    /// The operation's message, returned.
    Message(Box<Message>),
    /// A file's metadata.
    Metadata(Box<Metadata>),
    /// How a child process ended.
    Exit(ExitStatus),
}

impl Payload {
    /// The chunk, if it is one.
    pub fn into_chunk(self) -> Option<Chunk> {
        if let Payload::Chunk(chunk) = self { Some(chunk) } else { None }
    }

    /// The handle, if it is one.
    pub fn into_handle(self) -> Option<Handle> {
        if let Payload::Handle(handle) = self { Some(handle) } else { None }
    }

    /// The returned buffer as a vector; empty if there is none.
    pub fn into_vec(self) -> Vec<u8> {
        if let Payload::Buffer(buffer) = self { buffer.into_vec() } else { Vec::new() }
    }
}

/// A file's metadata as statx(2) gives it.
#[derive(Clone, Copy)]
pub struct Metadata(pub(crate) libc::statx);

impl Metadata {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// Whether the size is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("len", &self.len())
            .field("mode", &format_args!("{:o}", self.mode()))
            .finish_non_exhaustive()
    }
}
