//! By reading a piece of the file and sending that: for the sockets of engines, into which the kernel can't send. What is in the
//! page cache is read at once, the rest by the driver, which never waits for a disk.

use std::io;

use crate::buffer::Buffer;
use crate::handle::Handle;
use crate::os::{RawFd, raw, syscalls};
use crate::pool::Pool;
use crate::port::Port;
use crate::slot::{FileSend, State, Work};
use crate::sys::Sys;

/// How much is read at a time.
const PIECE: u64 = 64 << 10;

/// How much is read at once and sent before other connections have their turn.
const SHARE: u64 = 128 << 10;

/// The part of the pool's buffers that files may be read into: a quarter, beside what is received.
const PART_OF_POOL: usize = 4;

/// How far such a send has come.
#[derive(Default)]
pub(crate) struct Piece {
    /// What was read and is still to be sent.
    bytes: Buffer,
    /// The next is being read.
    reading: bool,
}

/// What a step came to.
enum Step {
    /// The socket takes no more for now.
    Blocked,
    /// This request reads the next piece.
    Read(Sys),
    /// The turn's share is used up.
    Share,
    /// All sent, or the file ended early.
    Done,
    Failed(i32),
}

impl Port {
    /// Sends as much as goes without waiting.
    pub(in crate::port) fn advance_file_by_reading(&mut self, handle: Handle, index: u32) {
        let step = self.step_file_by_reading(handle, index);
        let tag = self.slot_id(index);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let sys = match step {
            Step::Blocked => Some(Sys::Poll { fd: sock.fd, events: raw::POLLOUT as u32 }),
            Step::Read(sys) => Some(sys),
            Step::Share => None,
            Step::Done => return self.end_file(handle, index, Ok(())),
            Step::Failed(errno) => return self.end_file(handle, index, Err(errno)),
        };
        sock.in_flight += u32::from(sys.is_some());
        if let Some(slot) = self.slots.at_mut(index) {
            slot.state = State::InFlight;
        }
        match sys {
            Some(sys) => self.push(tag, sys),
            None => self.unfinished.push(tag),
        }
    }

    fn step_file_by_reading(&mut self, handle: Handle, index: u32) -> Step {
        let at_once = self.driver.reads_at_once();
        let Some(hosting) = self.driver.hosting_mut() else { return Step::Failed(raw::EBADF) };
        let socket = self.socks.get(handle.index, handle.generation).and_then(|sock| hosting.of(sock.fd));
        let Some((engine, id)) = socket else { return Step::Failed(raw::EBADF) };
        let Some(slot) = self.slots.at_mut(index) else { return Step::Failed(raw::EBADF) };
        if slot.cancelling {
            return Step::Failed(raw::ECANCELED);
        }
        let Work::SendFile(send) = &mut slot.work else { return Step::Failed(raw::EINVAL) };
        let FileSend { head, head_sent, file, offset, end, piece, .. } = &mut **send;
        let mut share = SHARE;
        loop {
            // The head goes out with the first piece, in the same packets.
            if piece.bytes.is_empty() && offset < end {
                if share == 0 {
                    return Step::Share;
                }
                let Some(fd) = self.socks.get(file.index, file.generation).map(|file| file.fd) else {
                    return Step::Failed(raw::EBADF);
                };
                let len = PIECE.min(*end - *offset) as usize;
                self.counters.syscalls.add(u64::from(at_once));
                let Some(bytes) = at_once.then(|| read_at_once(&self.pool, fd, *offset, len)).flatten() else {
                    let mut bytes = Vec::with_capacity(len);
                    let ptr = bytes.as_mut_ptr();
                    *piece = Piece { bytes: bytes.into(), reading: true };
                    return Step::Read(Sys::Read { fd, ptr, len, offset: *offset });
                };
                let read = bytes.len() as u64;
                if read == 0 {
                    // The file is shorter than it was.
                    *end = *offset;
                }
                *offset += read;
                share = share.saturating_sub(read);
                self.counters.file_bytes_read.add(read);
                piece.bytes = bytes;
            }
            while *head_sent < head.len() {
                match engine.send(id, &head[*head_sent..], !piece.bytes.is_empty()) {
                    Ok(taken) => {
                        *head_sent += taken;
                        self.counters.bytes_sent.add(taken as u64);
                    }
                    Err(error) => return stuck(&error),
                }
            }
            let len = piece.bytes.len();
            if len > 0 {
                // The piece itself, if there is room for it; the next one is read into other memory.
                match engine.send_buffer(id, std::mem::take(&mut piece.bytes)) {
                    Ok(()) => {
                        self.counters.bytes_sent.add(len as u64);
                        slot.result += len as i64;
                    }
                    Err((error, bytes)) => {
                        piece.bytes = bytes;
                        return stuck(&error);
                    }
                }
            }
            if offset >= end {
                return Step::Done;
            }
        }
    }

    /// The socket has room again, or a piece has been read.
    pub(in crate::port) fn on_file_event_by_reading(&mut self, handle: Handle, index: u32, result: i32) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        let Work::SendFile(send) = &mut slot.work else { return };
        match (std::mem::take(&mut send.piece.reading), result) {
            // The file is shorter than it was.
            (true, 0) => send.end = send.offset,
            (true, 1..) => {
                if let Buffer::Vec(bytes) = &mut send.piece.bytes {
                    // SAFETY: the system has written so many bytes to the room that was reserved for them.
                    unsafe { bytes.set_len(result as usize) };
                }
                send.offset += result as u64;
                self.counters.file_bytes_read.add(result as u64);
            }
            (true, again) if again == -raw::EINTR || again == -raw::EAGAIN => {}
            (false, 0..) => {}
            (_, failed) => return self.end_file(handle, index, Err(-failed)),
        }
        self.advance_file_by_reading(handle, index);
    }
}

/// Reads what is there without waiting for a disk, nothing at the file's end; none if something hinders it, of which a request will
/// tell. It is read into a buffer of the pool, as long as chunks hold few of them: memory that has been used before is in a
/// cache, and costs no page faults.
fn read_at_once(pool: &Pool, fd: RawFd, offset: u64, len: usize) -> Option<Buffer> {
    let few = pool.leased() < pool.config().buffers / PART_OF_POOL;
    if let Some(empty) = few.then(|| pool.take()).flatten() {
        let len = len.min(pool.config().buffer_size);
        // SAFETY: a buffer at rest is ours to fill, alone.
        let read = unsafe { syscalls::read_at_once(fd, empty.ptr.as_ptr(), len, offset) };
        if read <= 0 {
            pool.put_back(empty);
            return (read == 0).then(Buffer::default);
        }
        // SAFETY: so many bytes were written just now, and nobody writes to the buffer again before it is free.
        let part = unsafe { pool.lend_last(empty.index, 0, read as usize) };
        return Some(Buffer::Chunk(pool.chunk(part)));
    }
    let mut bytes = Vec::with_capacity(len);
    // SAFETY: the memory has just been reserved, for so much.
    let read = unsafe { syscalls::read_at_once(fd, bytes.as_mut_ptr(), len, offset) };
    if read < 0 {
        return None;
    }
    // SAFETY: the system has written so many bytes.
    unsafe { bytes.set_len(read as usize) };
    Some(Buffer::Vec(bytes))
}

/// What an engine's refusal means.
fn stuck(error: &io::Error) -> Step {
    match error.kind() {
        io::ErrorKind::WouldBlock => Step::Blocked,
        _ => Step::Failed(error.raw_os_error().unwrap_or(raw::EIO)),
    }
}
