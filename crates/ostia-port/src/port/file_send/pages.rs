//! By sendfile(2), non-blocking, for what is in the page cache; another thread brings in what is not.

use crate::handle::{Flags, Handle};
use crate::os::{raw, syscalls};
use crate::port::Port;
use crate::slot::{State, Work};
use crate::sys::Sys;

/// How much of a file is asked about, brought in, and sent before other connections have their turn.
const SHARE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// How far a send has come with the page cache.
#[derive(Default)]
pub(crate) struct Progress {
    /// Up to where the file is known to be in it.
    warm_until: u64,
    /// A read that brings in the next range is on its way, up to this offset.
    warming: Option<u64>,
}

/// What a step came to.
enum Step {
    /// The socket takes no more for now.
    Blocked,
    /// This range must be read from the disk first.
    Cold {
        offset: u64,
        len: usize,
    },
    /// The turn's share is used up.
    Share,
    /// All sent, or the file ended early.
    Done,
    Failed(i32),
}

impl Port {
    /// Sends as much as goes without waiting.
    pub(in crate::port) fn advance_file(&mut self, handle: Handle, index: u32) {
        if self.is_engines(handle) {
            return self.advance_file_by_reading(handle, index);
        }
        let step = self.step_file(handle, index);
        let tag = self.slot_id(index);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let fd = sock.fd;
        let Some(slot) = self.slots.at_mut(index) else { return };
        slot.state = State::InFlight;
        let Work::SendFile(send) = &mut slot.work else { return };
        let sys = match step {
            Step::Blocked => Sys::Poll { fd, events: raw::POLLOUT as u32 },
            Step::Cold { offset, len } => {
                send.progress.warming = Some(offset + len as u64);
                self.counters.file_bytes_cold.add(len as u64);
                let file = send.file;
                let Ok(file) = self.sock(file).map(|file| file.fd) else {
                    return self.end_file(handle, index, Err(raw::EBADF));
                };
                Sys::Warm { fd: file, offset, len }
            }
            Step::Share => return self.unfinished.push(tag),
            Step::Done => return self.end_file(handle, index, Ok(())),
            Step::Failed(errno) => return self.end_file(handle, index, Err(errno)),
        };
        if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
            sock.in_flight += 1;
        }
        self.push(tag, sys);
    }

    fn step_file(&mut self, handle: Handle, index: u32) -> Step {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return Step::Failed(raw::EBADF) };
        let fd = sock.fd;
        if !sock.flags.has(Flags::NONBLOCKING) {
            sock.flags.set(Flags::NONBLOCKING);
            if self.driver() == crate::config::DriverKind::IoUring {
                self.counters.syscalls.add(1);
                syscalls::set_nonblocking(fd, true);
            }
        }
        let Some(slot) = self.slots.at_mut(index) else { return Step::Failed(raw::EBADF) };
        let cancelling = slot.cancelling;
        let Work::SendFile(send) = &mut slot.work else { return Step::Failed(raw::EINVAL) };
        let Some(file) = self.socks.get(send.file.index, send.file.generation).map(|file| file.fd) else {
            return Step::Failed(raw::EBADF);
        };
        if cancelling {
            return Step::Failed(raw::ECANCELED);
        }
        while send.head_sent < send.head.len() {
            self.counters.syscalls.add(1);
            match syscalls::send(fd, &send.head[send.head_sent..], send.offset < send.end) {
                sent @ 0.. => {
                    send.head_sent += sent as usize;
                    self.counters.bytes_sent.add(sent as u64);
                }
                blocked if blocked == -raw::EAGAIN => return Step::Blocked,
                interrupted if interrupted == -raw::EINTR => {}
                failed => return Step::Failed(-failed),
            }
        }
        let mut share = SHARE;
        while send.offset < send.end {
            if share == 0 {
                return Step::Share;
            }
            let len = share.min(send.end - send.offset);
            if send.offset >= send.progress.warm_until {
                let now = self.clock.nanos();
                if self.files.known(send.file, send.offset, now) < len {
                    self.counters.syscalls.add(1);
                    if let Some(cold) = cold_range(file, send.offset, len) {
                        return cold;
                    }
                    self.files.found(send.file, send.offset, len, now);
                }
                send.progress.warm_until = send.offset + len;
            }
            let len = len.min(send.progress.warm_until - send.offset);
            self.counters.syscalls.add(1);
            match syscalls::sendfile(fd, file, send.offset, len as usize) {
                // The file is shorter than it was.
                0 => return Step::Done,
                sent @ 1.. => {
                    send.offset += sent as u64;
                    share -= (sent as u64).min(share);
                    slot.result += i64::from(sent);
                    self.counters.bytes_sent.add(sent as u64);
                    self.counters.file_bytes_cached.add(sent as u64);
                }
                blocked if blocked == -raw::EAGAIN => return Step::Blocked,
                interrupted if interrupted == -raw::EINTR => {}
                // Somebody else is just reading or writing a page of it: another thread waits for that.
                busy if cfg!(target_os = "freebsd") && busy == -raw::EBUSY => {
                    return Step::Cold { offset: send.offset, len: len as usize };
                }
                failed => return Step::Failed(-failed),
            }
        }
        Step::Done
    }

    /// The socket has room again, or a range has been read.
    pub(in crate::port) fn on_file_event(&mut self, handle: Handle, index: u32, result: i32) {
        if self.is_engines(handle) {
            return self.on_file_event_by_reading(handle, index, result);
        }
        let Some(slot) = self.slots.at_mut(index) else { return };
        let Work::SendFile(send) = &mut slot.work else { return };
        match (send.progress.warming.take(), result) {
            (Some(until), 0..) => send.progress.warm_until = until,
            (None, 0..) => {}
            (_, failed) => return self.end_file(handle, index, Err(-failed)),
        }
        self.advance_file(handle, index);
    }
}

/// Whether a range must be read from the disk before it can be sent without waiting.
fn cold_range(file: i32, offset: u64, len: u64) -> Option<Step> {
    let pages = (offset % PAGE + len).div_ceil(PAGE);
    let warm = match syscalls::resident_pages(file, offset, len as usize) {
        Some(resident) => resident >= pages,
        // Older kernels: ask for the first and last byte, which catches all but holes in the cache.
        None => syscalls::readable_now(file, offset) && syscalls::readable_now(file, offset + len - 1),
    };
    (!warm).then_some(Step::Cold { offset, len: len as usize })
}
