//! By reading a piece of the file and sending that: for the sockets of engines, into which the kernel can't send.

use std::io;

use crate::handle::Handle;
use crate::os::raw;
use crate::port::Port;
use crate::slot::{FileSend, State, Work};
use crate::sys::Sys;

/// How much is read at a time.
const PIECE: u64 = 64 << 10;

/// How far such a send has come.
#[derive(Default)]
pub(crate) struct Piece {
    /// What was read, in one buffer from the beginning to the end of the send.
    bytes: Vec<u8>,
    /// How much of it has been sent.
    sent: usize,
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
        let mut put = |bytes: &[u8], sent: &mut usize, more: bool| -> Result<(), Step> {
            while *sent < bytes.len() {
                match engine.send(id, &bytes[*sent..], more) {
                    Ok(taken) => {
                        *sent += taken;
                        self.counters.bytes_sent.add(taken as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Step::Blocked),
                    Err(error) => return Err(Step::Failed(error.raw_os_error().unwrap_or(raw::EIO))),
                }
            }
            Ok(())
        };
        if let Err(step) = put(head, head_sent, offset < end) {
            return step;
        }
        let before = piece.sent;
        let all = put(&piece.bytes, &mut piece.sent, offset < end);
        slot.result += (piece.sent - before) as i64;
        if let Err(step) = all {
            return step;
        }
        if offset >= end {
            return Step::Done;
        }
        let Some(fd) = self.socks.get(file.index, file.generation).map(|file| file.fd) else { return Step::Failed(raw::EBADF) };
        let len = PIECE.min(*end - *offset) as usize;
        piece.bytes.clear();
        piece.bytes.reserve(len);
        (piece.sent, piece.reading) = (0, true);
        Step::Read(Sys::Read { fd, ptr: piece.bytes.as_mut_ptr(), len, offset: *offset })
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
