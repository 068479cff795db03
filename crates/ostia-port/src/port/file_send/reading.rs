//! By reading a piece of the file and sending that: for the sockets of engines, into which the kernel can't send.

use std::io;

use crate::handle::Handle;
use crate::os::{RawFd, raw};
use crate::port::Port;
use crate::slot::{FileSend, State, Work};
use crate::sys::Sys;

/// How much is read at a time.
const PIECE: u64 = 64 << 10;

/// How far such a send has come.
#[derive(Default)]
pub(crate) struct Piece {
    /// What was read and is still to be sent.
    bytes: Vec<u8>,
    /// The next is being read.
    reading: bool,
}

/// What a step came to.
enum Step {
    /// The socket takes no more for now.
    Blocked,
    /// This request reads the next piece.
    Read(Sys),
    /// All sent, or the file ended early.
    Done,
    Failed(i32),
}

impl Port {
    /// Sends as much as goes without waiting.
    pub(in crate::port) fn advance_file_by_reading(&mut self, handle: Handle, index: u32) {
        let step = self.step_file_by_reading(handle, index);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let sys = match step {
            Step::Blocked => Sys::Poll { fd: sock.fd, events: raw::POLLOUT as u32 },
            Step::Read(sys) => sys,
            Step::Done => return self.end_file(handle, index, Ok(())),
            Step::Failed(errno) => return self.end_file(handle, index, Err(errno)),
        };
        sock.in_flight += 1;
        if let Some(slot) = self.slots.at_mut(index) {
            slot.state = State::InFlight;
        }
        self.push(self.slot_id(index), sys);
    }

    fn step_file_by_reading(&mut self, handle: Handle, index: u32) -> Step {
        let Some(hosting) = self.driver.hosting_mut() else { return Step::Failed(raw::EBADF) };
        let socket = self.socks.get(handle.index, handle.generation).and_then(|sock| hosting.of(sock.fd));
        let Some((engine, id)) = socket else { return Step::Failed(raw::EBADF) };
        let Some(slot) = self.slots.at_mut(index) else { return Step::Failed(raw::EBADF) };
        if slot.cancelling {
            return Step::Failed(raw::ECANCELED);
        }
        let Work::SendFile(send) = &mut slot.work else { return Step::Failed(raw::EINVAL) };
        let FileSend { head, head_sent, file, offset, end, piece, .. } = &mut **send;
        let all_read = offset >= end;
        if *head_sent == 0 && piece.bytes.is_empty() && !all_read {
            // The head goes out with the first piece, in the same packets.
            let Some(fd) = self.socks.get(file.index, file.generation).map(|file| file.fd) else {
                return Step::Failed(raw::EBADF);
            };
            return piece.read(fd, *offset, *end);
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
            match engine.send_buffer(id, std::mem::take(&mut piece.bytes).into()) {
                Ok(()) => {
                    self.counters.bytes_sent.add(len as u64);
                    slot.result += len as i64;
                }
                Err((error, bytes)) => {
                    piece.bytes = bytes.into_vec();
                    return stuck(&error);
                }
            }
        }
        if offset >= end {
            return Step::Done;
        }
        let Some(fd) = self.socks.get(file.index, file.generation).map(|file| file.fd) else { return Step::Failed(raw::EBADF) };
        piece.read(fd, *offset, *end)
    }

    /// The socket has room again, or a piece has been read.
    pub(in crate::port) fn on_file_event_by_reading(&mut self, handle: Handle, index: u32, result: i32) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        let Work::SendFile(send) = &mut slot.work else { return };
        match (std::mem::take(&mut send.piece.reading), result) {
            // The file is shorter than it was.
            (true, 0) => send.end = send.offset,
            (true, 1..) => {
                // SAFETY: the system has written so many bytes to the room that was reserved for them.
                unsafe { send.piece.bytes.set_len(result as usize) };
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

impl Piece {
    /// Reads the next one.
    fn read(&mut self, fd: RawFd, offset: u64, end: u64) -> Step {
        let len = PIECE.min(end - offset) as usize;
        self.bytes = Vec::with_capacity(len);
        self.reading = true;
        Step::Read(Sys::Read { fd, ptr: self.bytes.as_mut_ptr(), len, offset })
    }
}

/// What an engine's refusal means.
fn stuck(error: &io::Error) -> Step {
    match error.kind() {
        io::ErrorKind::WouldBlock => Step::Blocked,
        _ => Step::Failed(error.raw_os_error().unwrap_or(raw::EIO)),
    }
}
