//! Files: opened, read, written and asked about through the port, so that no worker waits for a disk.

use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ostia_port::{Buffer, Handle, Kind, Metadata, Op, OpenHow, Payload};

use crate::here;
use crate::net::raw::Raw;
use crate::operation::{self, Operation};

/// How a file is opened; see [`std::fs::OpenOptions`] for what the flags mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    flags: i32,
    resolve: u64,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

macro_rules! flag {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: bool) -> OpenOptions {
            self.$name = $name;
            self
        }
    };
}

impl OpenOptions {
    /// Nothing set: add [`read`](Self::read) or [`write`](Self::write).
    #[must_use]
    pub const fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            flags: 0,
            resolve: 0,
        }
    }

    flag! {
        /// For reading.
        read
    }
    flag! {
        /// For writing.
        write
    }
    flag! {
        /// Every write goes to the end (O_APPEND).
        append
    }
    flag! {
        /// An existing file is emptied.
        truncate
    }
    flag! {
        /// A missing file is made.
        create
    }
    flag! {
        /// The file must not exist and is made.
        create_new
    }

    /// Permissions of a file that is made, less the umask. Default 0o666.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> OpenOptions {
        self.mode = mode;
        self
    }

    /// Further flags of open(2), such as `O_DIRECT` or `O_NONBLOCK`.
    #[must_use]
    pub fn custom_flags(mut self, flags: i32) -> OpenOptions {
        self.flags = flags;
        self
    }

    /// Resolution flags of openat2(2), such as `RESOLVE_BENEATH` (Linux 5.6).
    #[must_use]
    pub fn resolve(mut self, flags: u64) -> OpenOptions {
        self.resolve = flags;
        self
    }

    fn how(&self) -> io::Result<OpenHow> {
        let access = match (self.read, self.write || self.append) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            (true, false) => libc::O_RDONLY,
            (false, false) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "open for reading or for writing")),
        };
        let makes = self.truncate || self.create || self.create_new;
        if makes && access == libc::O_RDONLY {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "creating or truncating needs write"));
        }
        let mut flags = access | self.flags;
        flags |= if self.append { libc::O_APPEND } else { 0 };
        flags |= if self.truncate { libc::O_TRUNC } else { 0 };
        flags |= if self.create_new { libc::O_CREAT | libc::O_EXCL } else { 0 };
        flags |= if self.create { libc::O_CREAT } else { 0 };
        Ok(OpenHow { flags, mode: self.mode, resolve: self.resolve })
    }

    /// Opens a file. Cancelled: nothing happened, but that a file may have been made.
    ///
    /// # Errors
    /// As openat2(2); InvalidInput for options that contradict each other or a path with a NUL.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        open(None, path.as_ref(), self.how()?).await
    }

    /// As [`open`](Self::open), a relative path starting from an open directory.
    ///
    /// # Errors
    /// As there; if the directory belongs to another worker.
    pub async fn open_at(&self, directory: &File, path: impl AsRef<Path>) -> io::Result<File> {
        open(Some(directory.here()?), path.as_ref(), self.how()?).await
    }
}

async fn open(directory: Option<Handle>, path: &Path, how: OpenHow) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let done = operation::post(Op::Open { directory, path, how })?.await?;
    done.result?;
    match done.payload {
        Payload::Handle(handle) => here::with(|core| File { raw: Raw { worker: core.id, handle } }).ok_or_else(here::elsewhere),
        _ => Err(io::Error::other("an open has completed without a file")),
    }
}

/// An open file of this worker's port. Dropping it closes it, when what is in flight on it has ended.
///
/// Reads and writes own their buffers while they are in flight and give them back. Used on another worker than its own,
/// every call fails and says so.
#[derive(Debug)]
pub struct File {
    raw: Raw,
}

impl File {
    /// Opens a file for reading. Cancelled: nothing happened.
    ///
    /// # Errors
    /// As openat2(2).
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing, made or emptied. Cancelled: it may have been made or emptied.
    ///
    /// # Errors
    /// As openat2(2).
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Takes over an open file, for this worker.
    ///
    /// # Errors
    /// Outside of a runtime.
    pub fn from_std(file: std::fs::File) -> io::Result<File> {
        here::with(|core| {
            let handle = core.port.borrow_mut().adopt_as(file.into(), Kind::File, 0);
            File { raw: Raw { worker: core.id, handle } }
        })
        .ok_or_else(here::elsewhere)
    }

    /// The handle, for an operation on this worker.
    fn here(&self) -> io::Result<Handle> {
        here::home(self.raw.worker, |_| Ok(self.raw.handle))
    }

    /// The handle, for an operation on `worker`.
    pub(crate) fn raw_on(&self, worker: u32) -> io::Result<Handle> {
        if worker == self.raw.worker { Ok(self.raw.handle) } else { Err(here::elsewhere()) }
    }

    fn post(&self, op: Op) -> io::Result<Operation> {
        self.raw.post(op)
    }

    /// Calls `f` with the descriptor, for what this type has no method for.
    ///
    /// # Errors
    /// On another worker; else as `f`.
    pub fn with_descriptor<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>) -> io::Result<R> {
        self.raw.descriptor(f)
    }

    /// Reads from byte `offset` into the spare capacity of `buffer`, appending; gives it back with the number of bytes,
    /// which is 0 at the end of the file and may be less than there was room for.
    ///
    /// Cancelled: nothing happened, the buffer is lost.
    ///
    /// # Errors
    /// EINVAL if the buffer has no spare capacity; else as pread(2).
    pub async fn read_at(&self, buffer: Vec<u8>, offset: u64) -> (io::Result<usize>, Vec<u8>) {
        transfer(self.post(Op::ReadAt { file: self.raw.handle, buffer, offset })).await
    }

    /// As [`read_at`](Self::read_at), from the file's own position, which moves on (read(2)).
    ///
    /// # Errors
    /// As there.
    pub async fn read(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        transfer(self.post(Op::Read { file: self.raw.handle, buffer })).await
    }

    /// Writes `buffer` at byte `offset` and gives it back with the number of bytes written, which may be less.
    ///
    /// Cancelled: a part may have been written.
    ///
    /// # Errors
    /// As pwrite(2).
    pub async fn write_at(&self, buffer: Vec<u8>, offset: u64) -> (io::Result<usize>, Vec<u8>) {
        transfer(self.post(Op::WriteAt { file: self.raw.handle, data: Buffer::Vec(buffer), offset })).await
    }

    /// As [`write_at`](Self::write_at), at the file's own position, which moves on (write(2)).
    ///
    /// # Errors
    /// As there.
    pub async fn write(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        transfer(self.post(Op::Write { file: self.raw.handle, data: Buffer::Vec(buffer) })).await
    }

    /// Writes all of `data` at byte `offset`. Cancelled: a part may have been written.
    ///
    /// # Errors
    /// As pwrite(2); WriteZero if the file takes no more.
    pub async fn write_all_at(&self, data: impl Into<Buffer>, mut offset: u64) -> io::Result<()> {
        let mut data = data.into();
        while !data.is_empty() {
            let done = self.post(Op::WriteAt { file: self.raw.handle, data, offset })?.await?;
            let written = done.result?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            data = match done.payload {
                Payload::Buffer(Buffer::Chunk(mut chunk)) => {
                    chunk.advance(written);
                    Buffer::Chunk(chunk)
                }
                Payload::Buffer(Buffer::Static(bytes)) => Buffer::Static(&bytes[written..]),
                Payload::Buffer(whole) if whole.len() == written => Buffer::default(),
                Payload::Buffer(rest) => Buffer::Vec(rest[written..].to_vec()),
                _ => Buffer::default(),
            };
        }
        Ok(())
    }

    /// Size, times, kind and permissions. Cancelled: nothing happened.
    ///
    /// # Errors
    /// As statx(2).
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let done = self.post(Op::Statx { file: Some(self.raw.handle), path: None })?.await?;
        done.result?;
        stated(done.payload)
    }

    /// Brings contents and metadata to the device. Cancelled: it may have happened.
    ///
    /// # Errors
    /// As fsync(2).
    pub async fn sync_all(&self) -> io::Result<()> {
        self.post(Op::Fsync { file: self.raw.handle, data_only: false })?.await?.result.map(drop)
    }

    /// Brings contents to the device, and the metadata needed to read them. Cancelled: it may have happened.
    ///
    /// # Errors
    /// As fdatasync(2).
    pub async fn sync_data(&self) -> io::Result<()> {
        self.post(Op::Fsync { file: self.raw.handle, data_only: true })?.await?.result.map(drop)
    }

    /// Reads the file piece by piece from byte `offset`, each next piece while the one before is being used.
    #[must_use]
    pub fn reader(&self, offset: u64) -> Reader<'_> {
        Reader { file: self, offset, piece: DEFAULT_PIECE, ahead: None, spare: Vec::new() }
    }

    /// Reads from byte `offset` to the end. Cancelled: nothing happened.
    ///
    /// # Errors
    /// As pread(2).
    pub async fn read_to_end(&self, offset: u64) -> io::Result<Vec<u8>> {
        let size = self.metadata().await?.len().saturating_sub(offset);
        let mut buffer = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 30) + 1);
        loop {
            let at = offset + buffer.len() as u64;
            let (read, back) = self.read_at(buffer, at).await;
            buffer = back;
            if read? == 0 {
                return Ok(buffer);
            }
            if buffer.capacity() == buffer.len() {
                buffer.reserve(DEFAULT_PIECE);
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.raw.close();
    }
}

/// Metadata of a path, links followed. Cancelled: nothing happened.
///
/// # Errors
/// As statx(2); InvalidInput for a path with a NUL.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = CString::new(path.as_ref().as_os_str().as_bytes())?;
    let done = operation::post(Op::Statx { file: None, path: Some(path) })?.await?;
    done.result?;
    stated(done.payload)
}

fn stated(payload: Payload) -> io::Result<Metadata> {
    match payload {
        Payload::Metadata(metadata) => Ok(*metadata),
        _ => Err(io::Error::other("a statx has completed without metadata")),
    }
}

async fn transfer(operation: io::Result<Operation>) -> (io::Result<usize>, Vec<u8>) {
    let operation = match operation {
        Ok(operation) => operation,
        Err(error) => return (Err(error), Vec::new()),
    };
    match operation.await {
        Ok(done) => (done.result, done.payload.into_vec()),
        Err(error) => (Err(error), Vec::new()),
    }
}

/// How much a [`Reader`] reads at once unless told otherwise.
const DEFAULT_PIECE: usize = 128 << 10;

/// A file's bytes in order, read ahead by one piece; see [`File::reader`].
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a File,
    /// Where the next read begins that has not been posted.
    offset: u64,
    piece: usize,
    ahead: Option<Operation>,
    spare: Vec<u8>,
}

impl Reader<'_> {
    /// Reads pieces of at most this many bytes, at least 1. Default 128 KiB.
    #[must_use]
    pub fn piece(mut self, bytes: usize) -> Self {
        self.piece = bytes.max(1);
        self
    }

    /// The next piece; none at the end of the file. Cancel safe: the piece being read is given out by the next call.
    ///
    /// # Errors
    /// As pread(2); the reader then stays where it is.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ahead.is_none() {
            self.post()?;
        }
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        let done = ahead.await;
        self.ahead = None;
        let done = done?;
        let read = done.result?;
        let piece = done.payload.into_vec();
        if read == 0 {
            self.spare = piece;
            return Ok(None);
        }
        self.offset += read as u64;
        self.post()?;
        Ok(Some(piece))
    }

    /// Takes a piece back that is not needed any more: its memory serves a later read.
    pub fn recycle(&mut self, mut piece: Vec<u8>) {
        piece.clear();
        self.spare = piece;
    }

    fn post(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.reserve_exact(self.piece);
        let op = Op::ReadAt { file: self.file.raw.handle, buffer, offset: self.offset };
        self.ahead = Some(self.file.post(op)?);
        Ok(())
    }
}
