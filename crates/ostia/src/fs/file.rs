//! An open file.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ostia_port::os::{BorrowedFd, OwnedFd};
use ostia_port::{Buffer, Handle, Kind, Metadata, Op, Payload};

use crate::fs::calls::{Call, Calls, Held, blocking};
use crate::fs::reader::DEFAULT_PIECE;
use crate::fs::{OpenOptions, Reader, system};
use crate::here;
use crate::net::raw::Raw;
use crate::operation::Operation;

/// An open file of this worker's port. Dropping it closes it, when what is in flight on it has ended.
///
/// Reads and writes own their buffers while they are in flight and give them back. Used on another worker than its own,
/// every call fails and says so.
///
/// A dropped file leaves nobody to tell when it is closed, nor whether that failed: see [`close`](Self::close).
#[derive(Debug)]
pub struct File {
    pub(super) raw: Raw,
    /// What threads do with this file; made when there is the first.
    calls: OnceLock<Arc<Calls>>,
}

impl File {
    pub(super) fn from_raw(raw: Raw) -> File {
        File { raw, calls: OnceLock::new() }
    }

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
        File::adopt(file.into())
    }

    fn adopt(file: OwnedFd) -> io::Result<File> {
        here::with(|core| {
            let handle = core.port.borrow_mut().adopt_as(file, Kind::File, 0);
            File::from_raw(Raw { worker: core.id, handle })
        })
        .ok_or_else(here::elsewhere)
    }

    /// The same open file once more, with a descriptor of its own: position, flags and [locks](Self::lock) are common to both.
    ///
    /// # Errors
    /// When there is no descriptor left; on another worker.
    pub fn try_clone(&self) -> io::Result<File> {
        File::adopt(self.raw.descriptor(|fd| fd.try_clone_to_owned())?)
    }

    /// Closes the file and waits until that is done: nothing of this handle is in flight any more, and the descriptor is closed,
    /// as those are that calls on threads have used. Futures of this file that were dropped have ended then, one way or the
    /// other.
    ///
    /// Nothing is synced: for that there is [`sync_all`](Self::sync_all).
    ///
    /// Cancelled: the closing goes on; before the first poll, as dropping the file.
    ///
    /// # Errors
    /// As close(2), by which some file systems (NFS, those with quotas) tell what became of earlier writes; the file is closed
    /// nevertheless. On another worker, where it is closed at home without being waited for.
    pub async fn close(self) -> io::Result<()> {
        let closed = self.raw.closed().await;
        if let Some(calls) = self.calls.get() {
            calls.ended().await;
        }
        closed
    }

    pub(super) fn calls(&self) -> &Arc<Calls> {
        self.calls.get_or_init(Arc::default)
    }

    /// A descriptor for a call on a thread.
    pub(super) fn held(&self, call: Call) -> io::Result<Held> {
        Ok(Held::new(system::into_std(self.raw.descriptor(|fd| fd.try_clone_to_owned())?)?, call))
    }

    /// Cuts the file off at `bytes`, or extends it with zeros. Cancelled: it may happen.
    ///
    /// # Errors
    /// As ftruncate(2): EINVAL if it is not open for writing, EFBIG; on another worker.
    pub async fn set_len(&self, bytes: u64) -> io::Result<()> {
        let held = self.held(self.calls().begin())?;
        blocking(move || held.file().set_len(bytes)).await
    }

    /// The handle, for an operation on this worker.
    pub(super) fn here(&self) -> io::Result<Handle> {
        here::home(self.raw.worker, |_| Ok(self.raw.handle))
    }

    /// The handle, for an operation on `worker`.
    pub(crate) fn raw_on(&self, worker: u32) -> io::Result<Handle> {
        if worker == self.raw.worker { Ok(self.raw.handle) } else { Err(here::elsewhere()) }
    }

    pub(super) fn post(&self, op: Op) -> io::Result<Operation> {
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
        Reader::new(self, offset)
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

pub(super) fn stated(payload: Payload) -> io::Result<Metadata> {
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
