//! Posting: an operation gets a slot, and its first request goes to the driver.

use std::net::Shutdown;

use crate::handle::{Flags, Handle, Kind};
use crate::message::{Gather, MessageInFlight};
use crate::op::{Op, OpId};
use crate::os::metadata::Stat;
use crate::os::open::raw_open_how;
use crate::os::{child, raw, syscalls};
use crate::port::Port;
use crate::slab::NONE;
use crate::slot::{FileSend, Slot, State, Work, ZeroCopy};
use crate::sys::{CURRENT, Sys};
use crate::tag::Tag;

impl Port {
    /// Posts an operation. Its completion will carry `context`.
    ///
    /// Nothing is refused here: what is wrong with an operation (a closed handle, a buffer without room) comes as its
    /// completion, with the buffer returned. The system sees the request at the next [`wait`](Port::wait), which submits
    /// all that was posted in one call.
    pub fn submit(&mut self, op: Op, context: u64) -> OpId {
        self.counters.operations.add(1);
        let (handle, work) = self.parts(op);
        let index = self.new_slot(handle, work, context);
        let id = OpId(self.slot_id(index));
        match self.check(index) {
            Ok(()) => self.start(index),
            Err(errno) => self.complete(index, -i64::from(errno)),
        }
        id
    }

    #[inline]
    pub(super) fn new_slot(&mut self, handle: Option<Handle>, work: Work, context: u64) -> u32 {
        self.slots.insert_with(|_, generation| Slot {
            generation,
            next: NONE,
            handle,
            context,
            result: 0,
            state: State::Queued,
            cancelling: false,
            detached: false,
            work,
        })
    }

    /// Takes an operation apart: the handle it is queued on, and the work.
    fn parts(&mut self, op: Op) -> (Option<Handle>, Work) {
        match op {
            Op::Accept { listener } => (Some(listener), Work::Accept { multi: false }),
            Op::AcceptMulti { listener } => (Some(listener), Work::Accept { multi: true }),
            Op::Connect { socket, address } => (Some(socket), Work::Connect { address: Box::new(address) }),
            Op::Recv { socket } => (Some(socket), Work::Recv { multi: false }),
            Op::RecvMulti { socket } => (Some(socket), Work::Recv { multi: true }),
            Op::ReadMulti { file } => (Some(file), Work::Recv { multi: true }),
            Op::RecvInto { socket, buffer } => (Some(socket), Work::RecvInto { buffer }),
            Op::Send { socket, data } => (Some(socket), Work::Send { data, zc: ZeroCopy::No }),
            Op::SendZc { socket, data } => (Some(socket), Work::Send { data, zc: self.zero_copy() }),
            Op::SendVectored { socket, data } => (Some(socket), Work::SendVectored(Box::new(Gather::new(data)))),
            Op::RecvMsg { socket, message } => (Some(socket), Work::RecvMsg(Box::new(MessageInFlight::new(message)))),
            Op::SendMsg { socket, message } => (Some(socket), Work::SendMsg(Box::new(MessageInFlight::new(message)))),
            Op::Read { file, buffer } => (Some(file), Work::Read { buffer, offset: CURRENT }),
            Op::Write { file, data } => (Some(file), Work::Write { data, offset: CURRENT }),
            Op::ReadAt { file, buffer, offset } => (Some(file), Work::Read { buffer, offset }),
            Op::WriteAt { file, data, offset } => (Some(file), Work::Write { data, offset }),
            Op::Fsync { file, data_only } => (Some(file), Work::Fsync { data_only }),
            Op::Open { directory, path, how } => (None, Work::Open { directory, path, how: Box::new(raw_open_how(how)) }),
            Op::Statx { file, path } => (file, Work::Statx { path, out: zeroed_stat() }),
            Op::SendFile { socket, head, file, offset, len } => {
                let end = offset.saturating_add(len).min(i64::MAX as u64);
                let (progress, piece) = Default::default();
                let send = FileSend { head, head_sent: 0, file, offset, end, progress, piece };
                (Some(socket), Work::SendFile(Box::new(send)))
            }
            Op::Splice { from, to, len } => (Some(from), Work::Splice { from, to, len }),
            Op::Shutdown { socket, how } => (Some(socket), Work::Shutdown { how: shutdown_how(how) }),
            Op::Close { handle } => (Some(handle), Work::Close),
            Op::Poll { handle, events } => (Some(handle), Work::Poll { events }),
            Op::Timeout { after } => {
                // The slot's tag isn't known yet: `start` sets the real timer.
                let key = self.timers.insert(self.clock.tick_after(after), Tag::NOBODY);
                (None, Work::Timeout(key))
            }
            Op::WaitPid { pid } => (None, wait_pid(pid)),
            Op::FutexWait { word, expected } => (None, Work::FutexWait { word, expected }),
            Op::FutexWake { word, count } => (None, Work::Finished(syscalls::futex_wake(word.as_ptr(), count))),
        }
    }

    /// What can be known to be wrong without asking the system.
    fn check(&self, index: u32) -> Result<(), i32> {
        let slot = self.slots.at(index).ok_or(raw::EBADF)?;
        let open = |handle: Handle| match self.sock(handle) {
            Ok(sock) if !sock.flags.has(Flags::CLOSING) => Ok(sock),
            _ => Err(raw::EBADF),
        };
        let kind = slot.handle.map(open).transpose()?.map(|sock| sock.kind);
        let room = |buffer: &Vec<u8>| if buffer.capacity() > buffer.len() { Ok(()) } else { Err(raw::EINVAL) };
        match (&slot.work, kind) {
            (Work::Accept { .. }, kind) if kind != Some(Kind::Listener) => Err(raw::EINVAL),
            (Work::Recv { .. }, Some(Kind::Stream | Kind::Pipe)) => Ok(()),
            // A chunk of the pool may be shorter than a datagram: those are received into buffers of their own.
            (Work::Recv { .. }, _) => Err(raw::EINVAL),
            (Work::RecvInto { buffer }, Some(Kind::Stream | Kind::Datagram | Kind::Pipe)) => room(buffer),
            (Work::RecvInto { .. }, _) => Err(raw::ENOTSOCK),
            // What has no positions is not to be read as if it had: io_uring would ignore the offset (pread(2), ESPIPE).
            (Work::Read { offset, .. } | Work::Write { offset, .. }, Some(kind)) if *offset != CURRENT && kind != Kind::File => {
                Err(raw::ESPIPE)
            }
            (Work::Read { buffer, .. }, _) => room(buffer),
            (Work::RecvMsg(message), _) => room(&message.message.data),
            (Work::SendFile(send), _) => open(send.file).map(drop),
            (Work::Splice { to, .. }, _) => open(*to).map(drop),
            (Work::Open { directory: Some(directory), .. }, _) => open(*directory).map(drop),
            _ => Ok(()),
        }
    }

    fn start(&mut self, index: u32) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        let handle = slot.handle;
        match (&slot.work, handle) {
            (Work::Accept { .. } | Work::Recv { .. } | Work::RecvInto { .. }, Some(handle)) => self.queue_receiver(handle, index),
            (Work::Send { .. } | Work::SendVectored(_) | Work::SendMsg(_), Some(handle)) => self.queue_send(handle, index),
            (Work::Shutdown { how }, Some(handle)) if *how != raw::SHUT_RD => self.queue_send(handle, index),
            (Work::Shutdown { how }, Some(handle)) => {
                let how = *how;
                if self.is_engines(handle) {
                    let result = self.shut_down_receiving(handle);
                    return self.complete(index, result);
                }
                let result = self.sock(handle).map_or(Some(-raw::EBADF), |sock| {
                    // SAFETY: shutdown(2) takes no pointers.
                    unsafe { syscalls::attempt(&Sys::Shutdown { fd: sock.fd, how }) }
                });
                self.complete(index, result.unwrap_or(-raw::EINVAL).into());
            }
            (Work::SendFile(send), Some(handle)) => {
                let file = send.file;
                self.hold(file);
                self.queue_send(handle, index);
            }
            (Work::Close, Some(handle)) => self.begin_close(handle, Some(index)),
            (Work::Timeout(key), _) => {
                let key = *key;
                let tag = self.slot_id(index);
                if let Some(waiting) = self.timers.get_mut(key) {
                    *waiting = tag;
                }
            }
            (Work::Finished(result), _) => {
                let result = i64::from(*result);
                self.complete(index, result);
            }
            (work, _) => {
                let second = match work {
                    Work::Splice { to, .. } => Some(*to),
                    Work::Open { directory, .. } => *directory,
                    _ => None,
                };
                if let Some(second) = second {
                    self.hold(second);
                }
                match self.single_request(index) {
                    Some(sys) => self.start_single(index, sys),
                    None => self.complete(index, -i64::from(raw::EINVAL)),
                }
            }
        }
    }

    /// Keeps a handle open for an operation of another one.
    fn hold(&mut self, handle: Handle) {
        if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
            sock.in_flight += 1;
        }
    }

    fn zero_copy(&self) -> ZeroCopy {
        if self.features().contains(crate::Features::SEND_ZC) { ZeroCopy::Wanted } else { ZeroCopy::No }
    }
}

fn shutdown_how(how: Shutdown) -> i32 {
    match how {
        Shutdown::Read => raw::SHUT_RD,
        Shutdown::Write => raw::SHUT_WR,
        Shutdown::Both => raw::SHUT_RDWR,
    }
}

fn zeroed_stat() -> Box<Stat> {
    // SAFETY: plain data for which zeroes are valid.
    Box::new(unsafe { std::mem::zeroed() })
}

/// A descriptor for the child, or the error that there is none.
fn wait_pid(pid: i32) -> Work {
    match child::open(pid) {
        Ok(pidfd) => Work::WaitPid { pidfd, status: None },
        Err(errno) => Work::Finished(-errno),
    }
}
