//! The ends of operations that are one request: booking what was read, making what was opened, the completion itself.

use std::io;
use std::ptr;

use crate::completion::{Completion, Metadata, Payload};
use crate::config::DriverKind;
use crate::handle::{Flags, Handle, Kind};
use crate::op::OpId;
use crate::os::{AsRawFd, FromRawFd, OwnedFd, child, raw, syscalls};
use crate::port::Port;
use crate::remote::Packet;
use crate::slot::{State, Work};
use crate::sys::Sys;
use crate::tag::{Tag, TagKind};

impl Port {
    /// The event of an operation that is one request.
    pub(super) fn on_single_event(&mut self, index: u32, result: i32) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        if let (Work::Writable, Some(handle)) = (&slot.work, slot.handle) {
            return self.on_writable(handle, index);
        }
        let mut result = i64::from(result);
        let again = -result == i64::from(raw::EAGAIN) || -result == i64::from(raw::EINTR);
        match &mut slot.work {
            Work::Read { buffer, .. } if result > 0 => {
                self.counters.bytes_received.add(result as u64);
                // SAFETY: the kernel has written `result` bytes to the spare capacity.
                unsafe { buffer.set_len(buffer.len() + result as usize) };
            }
            Work::Write { .. } if result > 0 => self.counters.bytes_sent.add(result as u64),
            Work::RecvMsg(message) if result >= 0 => {
                self.counters.bytes_received.add(result as u64);
                // SAFETY: recvmsg on this message's header has returned `result`.
                unsafe { message.received(result as usize) };
            }
            Work::Read { .. } | Work::Write { .. } | Work::RecvMsg(_) | Work::Splice { .. } if again && !slot.cancelling => {
                self.make_waiting(index);
                return self.retry(index);
            }
            Work::Open { directory, .. } => {
                let directory = directory.take();
                // SAFETY: open has just made this descriptor and nobody else knows it.
                let opened = (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result as i32) });
                self.finish_open(index, opened, result);
                if let Some(directory) = directory {
                    self.release(directory);
                }
                return;
            }
            Work::Splice { from, to, .. } => {
                let other = if slot.handle == Some(*from) { *to } else { *from };
                self.release(other);
            }
            // Whoever gave up would never hear of the status: the child stays to be waited for.
            Work::WaitPid { .. } if result >= 0 && slot.cancelling => result = -i64::from(raw::ECANCELED),
            Work::WaitPid { pidfd, status } if result >= 0 => {
                match child::reap(&*pidfd) {
                    Ok(Some(ended)) => *status = Some(ended),
                    Ok(None) => return self.retry(index),
                    Err(error) => result = -i64::from(error.raw_os_error().unwrap_or(raw::ECHILD)),
                }
                result = result.min(0);
            }
            _ => {}
        }
        let Some(slot) = self.slots.at_mut(index) else { return };
        if again && slot.cancelling {
            // The kernel's threads answer so when they are interrupted.
            result = -i64::from(raw::ECANCELED);
        }
        if let Work::WaitPid { pidfd, .. } = &slot.work {
            self.driver.forget(pidfd.as_raw_fd());
        }
        self.complete(index, result);
    }

    /// io_uring answers EAGAIN for a descriptor that somebody has made non-blocking, instead of waiting.
    fn make_waiting(&mut self, index: u32) {
        if self.driver() != DriverKind::IoUring {
            return;
        }
        let Some(slot) = self.slots.at(index) else { return };
        let second = if let Work::Splice { to, .. } = slot.work { Some(to) } else { None };
        for handle in [slot.handle, second].into_iter().flatten() {
            if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
                sock.flags.clear(Flags::NONBLOCKING);
                self.counters.syscalls.add(1);
                syscalls::set_nonblocking(sock.fd, false);
            }
        }
    }

    /// The opened file becomes a handle at once; a cancelled open closes it again.
    fn finish_open(&mut self, index: u32, opened: Option<OwnedFd>, result: i64) {
        let cancelled = self.slots.at(index).is_none_or(|slot| slot.cancelling || slot.detached);
        match opened {
            Some(fd) if !cancelled => {
                let handle = self.insert(fd, Kind::File, 0);
                if let Some(slot) = self.slots.at_mut(index) {
                    slot.handle = Some(handle);
                }
                self.complete(index, 0);
            }
            Some(_) => self.complete(index, -i64::from(raw::ECANCELED)),
            None => self.complete(index, result),
        }
    }

    /// Hands an operation's request to the driver once more.
    pub(super) fn retry(&mut self, index: u32) {
        if let Some(sys) = self.single_request(index) {
            self.start_single(index, sys);
        }
    }

    /// Starts the request of an operation that is one.
    pub(super) fn start_single(&mut self, index: u32, sys: Sys) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        slot.state = State::InFlight;
        if let Some(handle) = slot.handle
            && let Some(sock) = self.socks.get_mut(handle.index, handle.generation)
        {
            sock.in_flight += 1;
        }
        self.push(self.slot_id(index), sys);
    }

    /// The request of an operation that is one; none for other operations.
    pub(super) fn single_request(&mut self, index: u32) -> Option<Sys> {
        let fd_of = |handle: Handle| self.socks.get(handle.index, handle.generation).map(|sock| sock.fd);
        let slot = self.slots.at_mut(index)?;
        let fd = slot.handle.and_then(fd_of).unwrap_or(raw::AT_FDCWD);
        Some(match &mut slot.work {
            Work::Connect { address } => Sys::Connect { fd, addr: address.as_ptr(), len: address.len() },
            Work::RecvMsg(message) => {
                let flags = message.message.flags;
                Sys::RecvMsg { fd, msg: message.for_receive(), flags }
            }
            Work::Read { buffer, offset } => {
                let spare = buffer.spare_capacity_mut();
                Sys::Read { fd, ptr: spare.as_mut_ptr().cast(), len: spare.len(), offset: *offset }
            }
            Work::Write { data, offset } => Sys::Write { fd, ptr: data.as_ptr(), len: data.len(), offset: *offset },
            Work::Fsync { data_only } => Sys::Fsync { fd, data_only: *data_only },
            Work::Open { directory, path, how } => {
                let dir = directory.and_then(fd_of).unwrap_or(raw::AT_FDCWD);
                Sys::Open { dir, path: path.as_ptr(), how: &raw const **how }
            }
            Work::Statx { path, out } => {
                let path = path.as_ref().map_or(ptr::null(), |path| path.as_ptr());
                Sys::Statx { fd, path, out: &raw mut **out }
            }
            Work::Splice { from, to, len } => {
                let (from, to, len) = (fd_of(*from)?, fd_of(*to)?, *len);
                Sys::Splice { from, from_offset: -1, to, to_offset: -1, len }
            }
            Work::Poll { events } => Sys::Poll { fd, events: (*events as u16).into() },
            Work::WaitPid { pidfd, .. } => Sys::WaitPid { fd: pidfd.as_raw_fd() },
            Work::FutexWait { word, expected } => Sys::FutexWait { word: word.as_ptr(), expected: *expected },
            _ => return None,
        })
    }

    /// Makes the completion of an operation that is done, and frees its slot.
    pub(super) fn take_slot(&mut self, tag: Tag, key: u64) -> Option<Completion> {
        self.slots.get(tag.index(), tag.generation())?;
        let slot = self.slots.remove(tag.index())?;
        if let Work::Packet(Packet { key, context, result }) = slot.work {
            return Some(Completion { id: None, key, context, result: Ok(result), payload: Payload::None, more: false });
        }
        let result = match slot.result {
            bytes @ 0.. => Ok(bytes as usize),
            errno => Err(io::Error::from_raw_os_error(-errno as i32)),
        };
        let payload = match slot.work {
            Work::RecvInto { buffer } | Work::Read { buffer, .. } => Payload::Buffer(buffer.into()),
            Work::Send { data, .. } | Work::Write { data, .. } => Payload::Buffer(data),
            Work::SendVectored(gather) => Payload::Buffers(gather.data),
            Work::RecvMsg(message) | Work::SendMsg(message) => Payload::Message(message.message),
            Work::SendFile(send) => Payload::Buffer(send.head),
            Work::Open { .. } if result.is_ok() => slot.handle.map_or(Payload::None, Payload::Handle),
            Work::Statx { out, .. } if result.is_ok() => Payload::Metadata(Box::new(Metadata(*out))),
            Work::WaitPid { status: Some(status), .. } => Payload::Exit(status),
            _ => Payload::None,
        };
        let id = OpId(Tag::new(TagKind::Op, tag.index(), tag.generation()));
        Some(Completion { id: Some(id), key, context: slot.context, result, payload, more: false })
    }
}
