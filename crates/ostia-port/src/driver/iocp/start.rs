//! Giving requests to Windows: everything that a packet's receiver needs is in place before the call is made.

use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_NOT_SUPPORTED};
use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::Win32::Storage::FileSystem::{ReadFile, WriteFile};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::Iocp;
use super::handles::{Known, What};
use super::request::Extra;
use crate::driver::Env;
use crate::os::descriptor::{handle_of, socket_of};
use crate::os::extension::extensions;
use crate::os::{RawFd, error, file, raw};
use crate::sys::{CURRENT, Event, Sys};
use crate::tag::Tag;

/// The handle that a request is of; whoever waits on a futex has none, and does not come here.
pub(super) fn target(sys: &Sys) -> RawFd {
    sys.fd().unwrap_or(-1)
}

/// What Windows has answered to a request.
pub(super) enum Answer {
    /// A packet will come.
    Pending,
    /// It is done; a packet comes unless the handle skips those.
    Done(u32),
    /// It was no request at all, and is done.
    Over,
    Failed(u32),
}

impl Iocp {
    /// Gives a request to Windows.
    pub(super) fn begin(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        if let Sys::WaitPid { fd } = sys {
            return self.watch(tag, fd);
        }
        let known = match self.handles.know(target(&sys), self.port()) {
            Ok(known) => known,
            Err(code) => return self.done.push(Event::last(tag, -code)),
        };
        match (sys, known.what) {
            (
                Sys::Accept { .. }
                | Sys::Connect { .. }
                | Sys::Receive { .. }
                | Sys::Recv { .. }
                | Sys::RecvMsg { .. }
                | Sys::Send { .. }
                | Sys::SendZc { .. }
                | Sys::SendMsg { .. }
                | Sys::TransmitFile { .. },
                What::File | What::Pipe | What::Waiting,
            ) => return self.done.push(Event::last(tag, -raw::ENOTSOCK)),
            (Sys::Read { .. } | Sys::Write { .. }, What::Waiting) => return self.push_job(tag, sys, env),
            (Sys::Poll { events, .. }, What::File | What::Waiting) => {
                // A file is always ready.
                let ready = (raw::POLLIN | raw::POLLOUT) as u32 & events;
                return self.done.push(Event::last(tag, ready as i32));
            }
            (Sys::Poll { .. }, What::Pipe) | (Sys::ReadPool { .. }, What::Waiting) => {
                return self.done.push(Event::last(tag, -raw::EOPNOTSUPP));
            }
            _ => {}
        }
        let index = self.requests.insert(tag, sys);
        self.give(index, known, env);
    }

    /// Gives a request that has its place to Windows, for the first time or again.
    pub(super) fn give(&mut self, index: u32, known: Known, env: &Env<'_>) {
        env.counters.syscalls.add(1);
        let answer = match self.requests.get(index).sys {
            Sys::Accept { fd, .. } => self.accept(index, fd, known),
            Sys::Connect { fd, addr, len } => self.connect(index, fd, (addr, len), known),
            Sys::Receive { fd } => self.receive_nothing(index, fd),
            Sys::Poll { events, .. } => self.poll(index, events, known),
            Sys::Read { fd, ptr, len, .. } if matches!(known.what, What::Stream | What::Datagram) => {
                self.recv(index, fd, ptr, len)
            }
            Sys::Recv { fd, ptr, len } => self.recv(index, fd, ptr, len),
            Sys::Write { fd, ptr, len, .. } if matches!(known.what, What::Stream | What::Datagram) => {
                self.send(index, fd, ptr, len)
            }
            Sys::Send { fd, ptr, len, .. } | Sys::SendZc { fd, ptr, len, .. } => self.send(index, fd, ptr, len),
            Sys::RecvMsg { fd, msg, flags } => self.recv_msg(index, fd, msg, flags, known),
            Sys::SendMsg { fd, msg, flags } => self.send_msg(index, fd, msg, flags, known),
            Sys::Read { fd, ptr, len, offset } => self.read(index, fd, ptr, len, offset),
            Sys::Write { fd, ptr, len, offset } => self.write(index, fd, ptr, len, offset),
            Sys::ReadPool { fd } => self.read_nothing(index, fd),
            Sys::TransmitFile { fd, file, offset, len, head, head_len } => {
                self.transmit_file(index, fd, (file, offset, len), (head, head_len))
            }
            _ => Answer::Failed(ERROR_NOT_SUPPORTED),
        };
        let skips = if let Sys::Poll { .. } = self.requests.get(index).sys { self.polls_skip() } else { known.skips };
        match answer {
            Answer::Done(bytes) if skips => self.finish(index, Ok(bytes), env),
            Answer::Over => self.finish(index, Ok(0), env),
            Answer::Failed(code) if !self.requests.get(index).has_warning() => self.finish(index, Err((code, 0)), env),
            Answer::Pending | Answer::Done(_) | Answer::Failed(_) => self.requests.out += 1,
        }
    }

    /// A receive of nothing: it ends when there is something to receive.
    pub(super) fn receive_nothing(&mut self, index: u32, fd: RawFd) -> Answer {
        self.receive(index, fd, raw::iovec { iov_len: 0, iov_base: ptr::null_mut() })
    }

    /// The same of a pipe.
    pub(super) fn read_nothing(&mut self, index: u32, fd: RawFd) -> Answer {
        self.read(index, fd, ptr::NonNull::dangling().as_ptr(), 0, CURRENT)
    }

    fn recv(&mut self, index: u32, fd: RawFd, ptr: *mut u8, len: usize) -> Answer {
        self.receive(index, fd, raw::iovec { iov_len: file::length(len), iov_base: ptr.cast() })
    }

    /// WSARecv into one piece of memory.
    fn receive(&mut self, index: u32, fd: RawFd, piece: raw::iovec) -> Answer {
        let request = self.requests.get(index);
        request.flags = 0;
        let (flags, overlapped, mut bytes) = (&raw mut request.flags, request.overlapped_at(0), 0);
        // SAFETY: Windows copies the description of the memory; the memory is the operation's, which keeps it until the last
        // event; flags and OVERLAPPED are the request's, whose place is not used again before its packet.
        let result = unsafe { sock::WSARecv(socket_of(fd), (&raw const piece).cast(), 1, &mut bytes, flags, overlapped, None) };
        of_socket(result, bytes)
    }

    /// WSASend of one piece of memory.
    fn send(&mut self, index: u32, fd: RawFd, ptr: *const u8, len: usize) -> Answer {
        let piece = raw::iovec { iov_len: file::length(len), iov_base: ptr.cast_mut().cast() };
        let (overlapped, mut bytes) = (self.requests.get(index).overlapped_at(0), 0);
        // SAFETY: as for `receive`; the memory is only read.
        let result = unsafe { sock::WSASend(socket_of(fd), (&raw const piece).cast(), 1, &mut bytes, 0, overlapped, None) };
        of_socket(result, bytes)
    }

    /// WSARecvMsg where control data is wanted and a datagram can have it, else WSARecvFrom or WSARecv.
    fn recv_msg(&mut self, index: u32, fd: RawFd, msg: *mut raw::msghdr, flags: i32, known: Known) -> Answer {
        let request = self.requests.get(index);
        request.flags = (flags & !raw::MSG_TRUNC) as u32;
        let (flags, overlapped, mut bytes) = (&raw mut request.flags, request.overlapped_at(0), 0);
        // SAFETY: the operation keeps the header in place until its last event.
        let head = unsafe { &mut *msg };
        let (pieces, count) = (head.msg_iov.cast(), head.msg_iovlen);
        let result = match (known.what, extensions().recv_msg) {
            (What::Datagram, Some(recv_msg)) if head.msg_controllen > 0 => {
                head.msg_flags = request.flags;
                // SAFETY: the header has WSAMSG's layout and stays in place, as does all that it reaches.
                unsafe { recv_msg(socket_of(fd), msg.cast(), &mut bytes, overlapped, None) }
            }
            (What::Datagram, _) => {
                head.msg_controllen = 0;
                // SAFETY: name and length are the header's, which stays in place.
                unsafe {
                    let (name, len) = (head.msg_name.cast(), &mut head.msg_namelen);
                    sock::WSARecvFrom(socket_of(fd), pieces, count, &mut bytes, flags, name, len, overlapped, None)
                }
            }
            _ => {
                (head.msg_controllen, head.msg_namelen) = (0, 0);
                // SAFETY: as for `receive`.
                unsafe { sock::WSARecv(socket_of(fd), pieces, count, &mut bytes, flags, overlapped, None) }
            }
        };
        of_socket(result, bytes)
    }

    /// WSASendMsg where there is control data and a datagram can have it, else WSASendTo or WSASend.
    fn send_msg(&mut self, index: u32, fd: RawFd, msg: *const raw::msghdr, flags: i32, known: Known) -> Answer {
        let (overlapped, mut bytes) = (self.requests.get(index).overlapped_at(0), 0);
        // SAFETY: the operation keeps the header in place until its last event.
        let head = unsafe { &*msg };
        let (pieces, count, flags) = (head.msg_iov.cast(), head.msg_iovlen, flags as u32);
        let result = match (known.what, extensions().send_msg) {
            (What::Datagram, Some(send_msg)) if head.msg_controllen > 0 => {
                // SAFETY: the header has WSAMSG's layout and stays in place, as does all that it reaches.
                unsafe { send_msg(socket_of(fd), msg.cast(), flags, &mut bytes, overlapped, None) }
            }
            (What::Datagram, _) if head.msg_namelen > 0 => {
                let (name, len) = (head.msg_name.cast(), head.msg_namelen);
                // SAFETY: the name is as long as it says.
                unsafe { sock::WSASendTo(socket_of(fd), pieces, count, &mut bytes, flags, name, len, overlapped, None) }
            }
            // SAFETY: as for `send`.
            _ => unsafe { sock::WSASend(socket_of(fd), pieces, count, &mut bytes, flags, overlapped, None) },
        };
        of_socket(result, bytes)
    }

    /// ConnectEx, which wants a bound socket; other sockets than streams are connected at once.
    fn connect(&mut self, index: u32, fd: RawFd, (addr, len): (*const raw::sockaddr, raw::socklen_t), known: Known) -> Answer {
        let overlapped = self.requests.get(index).overlapped_at(0);
        let (Some(connect_ex), What::Stream) = (extensions().connect_ex, known.what) else {
            // SAFETY: the operation keeps the address until its last event.
            let result = unsafe { sock::connect(socket_of(fd), addr, len) };
            return if result == 0 { Answer::Over } else { Answer::Failed(error::last_of_socket() as u32) };
        };
        // SAFETY: plain data for which zeroes are valid; of any address family they are "any address, any port".
        let mut any = unsafe { std::mem::zeroed::<raw::sockaddr_storage>() };
        // SAFETY: every address begins with its family.
        any.ss_family = unsafe { (*addr).sa_family };
        // Fails if it is bound already.
        // SAFETY: the address is a local, and longer than said.
        unsafe { sock::bind(socket_of(fd), (&raw const any).cast(), len) };
        // SAFETY: the operation keeps the address until its last event.
        let begun = unsafe { connect_ex(socket_of(fd), addr, len, ptr::null(), 0, ptr::null_mut(), overlapped) };
        of_call(begun != 0, 0, error::last_of_socket() as u32)
    }

    /// Reads a file or pipe that was opened for overlapped requests.
    fn read(&mut self, index: u32, fd: RawFd, ptr: *mut u8, len: usize, offset: u64) -> Answer {
        let overlapped = self.at(index, fd, offset);
        let mut bytes = 0;
        // SAFETY: as for `receive`.
        let read = unsafe { ReadFile(handle_of(fd), ptr, file::length(len), &mut bytes, overlapped) };
        of_call(read != 0, bytes, error::last())
    }

    /// Writes to a file or pipe that was opened for overlapped requests.
    fn write(&mut self, index: u32, fd: RawFd, ptr: *const u8, len: usize, offset: u64) -> Answer {
        let overlapped = self.at(index, fd, offset);
        let mut bytes = 0;
        // SAFETY: as for `send`.
        let written = unsafe { WriteFile(handle_of(fd), ptr, file::length(len), &mut bytes, overlapped) };
        of_call(written != 0, bytes, error::last())
    }

    /// The OVERLAPPED for a place in a file; where "the file's own position" is asked for, that which the driver keeps.
    fn at(&mut self, index: u32, fd: RawFd, offset: u64) -> *mut OVERLAPPED {
        let offset = if offset == CURRENT { self.positions.get(&fd).copied().unwrap_or(0) } else { offset };
        self.requests.get(index).overlapped_at(offset)
    }

    /// TransmitFile: the head and then a range of a file, whose bytes never enter this process.
    fn transmit_file(
        &mut self,
        index: u32,
        fd: RawFd,
        (from, offset, len): (RawFd, u64, u32),
        (head, head_len): (*const u8, u32),
    ) -> Answer {
        let Some(transmit_file) = extensions().transmit_file else { return Answer::Failed(ERROR_NOT_SUPPORTED) };
        let buffers = sock::TRANSMIT_FILE_BUFFERS {
            Head: head.cast_mut().cast(),
            HeadLength: head_len,
            Tail: ptr::null_mut(),
            TailLength: 0,
        };
        let request = self.requests.get(index);
        let overlapped = request.overlapped_at(offset);
        request.extra = Extra::Heads(buffers);
        let heads = match &request.extra {
            Extra::Heads(buffers) if head_len > 0 => ptr::from_ref(buffers),
            _ => ptr::null(),
        };
        // SAFETY: the operation keeps head and file until its last event; the description of the head is the request's.
        let begun = unsafe {
            transmit_file(socket_of(fd), if len > 0 { handle_of(from) } else { ptr::null_mut() }, len, 0, overlapped, heads, 0)
        };
        of_call(begun != 0, head_len + len, error::last_of_socket() as u32)
    }
}

/// What a call of Winsock that answers 0 has begun.
pub(super) fn of_socket(result: i32, bytes: u32) -> Answer {
    of_call(result == 0, bytes, error::last_of_socket() as u32)
}

/// What a call has begun; `code` is why not, if it has not.
pub(super) fn of_call(done: bool, bytes: u32, code: u32) -> Answer {
    match code {
        _ if done => Answer::Done(bytes),
        ERROR_IO_PENDING => Answer::Pending,
        code => Answer::Failed(code),
    }
}
