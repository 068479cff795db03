//! What has become of requests: their events, and going on with those that repeat themselves.

use windows_sys::Win32::Foundation::ERROR_OPERATION_ABORTED;
use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::Win32::System::IO::CancelIoEx;

use super::Iocp;
use super::request::{Extra, State};
use super::start::Answer;
use super::watch::unregister;
use crate::driver::Env;
use crate::os::descriptor::{handle_of, socket_of};
use crate::os::syscalls::longer_than;
use crate::os::{RawFd, error, file, raw, syscalls};
use crate::sys::{CURRENT, Event, Sys};

/// Bytes, or why not and how many all the same.
pub(super) type Outcome = Result<u32, (u32, u32)>;

impl Iocp {
    /// Windows is done with a request.
    pub(super) fn finish(&mut self, index: u32, outcome: Outcome, env: &Env<'_>) {
        let request = self.requests.get(index);
        let cancelled = request.cancelled;
        match request.sys {
            Sys::Accept { fd, .. } => self.accepted(index, fd, outcome),
            Sys::Connect { fd, .. } => {
                if outcome.is_ok() {
                    // The socket learns that it is connected; before, half of its calls would deny it.
                    // SAFETY: the option takes no value.
                    unsafe {
                        sock::setsockopt(socket_of(fd), sock::SOL_SOCKET, sock::SO_UPDATE_CONNECT_CONTEXT, std::ptr::null(), 0)
                    };
                }
                self.end(index, result_of(outcome));
            }
            // What has arrived stays with the socket.
            Sys::Receive { .. } | Sys::ReadPool { .. } if cancelled && outcome.is_ok() => self.end(index, -raw::ECANCELED),
            Sys::ReadPool { .. } if outcome.is_err_and(|(code, _)| file::is_end(code)) => self.end(index, 0),
            Sys::Receive { fd, .. } | Sys::ReadPool { fd } => match outcome {
                Ok(_) => self.go_on_receiving(index, env),
                Err(_) => self.end_receiving(index, fd, result_of(outcome)),
            },
            Sys::Poll { .. } => {
                let result = if outcome.is_ok() { self.polled(index) } else { result_of(outcome) };
                self.end(index, result);
            }
            Sys::RecvMsg { msg, .. } => self.end_message(index, msg, outcome),
            // A datagram that is longer than the room for it has filled it, and is gone (recv(2)); the rest of a pipe's message comes
            // with the next read.
            Sys::Recv { len, .. } | Sys::Read { len, .. } if outcome.is_err_and(|(code, _)| is_cut(code)) => {
                self.end(index, file::length(len) as i32);
            }
            Sys::Read { fd, offset, .. } => {
                let result = match outcome {
                    Err((code, _)) if file::is_end(code) => 0,
                    outcome => result_of(outcome),
                };
                self.move_on(fd, offset, result);
                self.end(index, result);
            }
            Sys::Write { fd, offset, .. } => {
                let result = result_of(outcome);
                self.move_on(fd, offset, result);
                self.end(index, result);
            }
            Sys::WaitPid { .. } => {
                if let Extra::Process { wait, .. } = &mut request.extra {
                    unregister(wait);
                }
                self.end(index, result_of(outcome));
            }
            // Nobody but this driver cancels what was not cancelled: its connection was reset ([`Iocp::end_receiving`]).
            _ if !cancelled && matches!(outcome, Err((ERROR_OPERATION_ABORTED, 0))) => self.end(index, -raw::ECONNRESET),
            _ => self.end(index, result_of(outcome)),
        }
    }

    /// A receive fails. If that is by a reset, nothing else of the socket has a future: Wine tells a reset to one request only,
    /// and goes on trying a TransmitFile whose peer is gone.
    fn end_receiving(&mut self, index: u32, fd: RawFd, result: i32) {
        if result == -raw::ECONNRESET {
            // SAFETY: the handle is open while this request names it.
            unsafe { CancelIoEx(handle_of(fd), std::ptr::null()) };
        }
        self.end(index, result);
    }

    /// Receives once what is there, then waits for more.
    pub(super) fn go_on_receiving(&mut self, index: u32, env: &Env<'_>) {
        let request = self.requests.get(index);
        let (tag, fd) = (request.tag, super::start::target(&request.sys));
        request.state = State::Out;
        env.counters.syscalls.add(1);
        let pipe = matches!(request.sys, Sys::ReadPool { .. });
        // SAFETY: the calls write to the memory that they are given alone, and say how much.
        let received = unsafe {
            self.open.receive(
                tag,
                env.pool,
                |ptr, len| if pipe { self.pipes.read(fd, ptr, len) } else { syscalls::recv(fd, ptr, len) },
            )
        };
        match received {
            Ok(event) if event.result > 0 => {
                self.done.push(Event { more: true, ..event });
                self.wait_for_more(index, fd, pipe, env);
            }
            Err(raw::EAGAIN) => self.wait_for_more(index, fd, pipe, env),
            Ok(_) => self.end(index, 0),
            Err(code) => self.end_receiving(index, fd, -code),
        }
    }

    /// A receive of nothing again. One that finds something at once goes on in the next turn, for others have theirs.
    fn wait_for_more(&mut self, index: u32, fd: RawFd, pipe: bool, env: &Env<'_>) {
        env.counters.syscalls.add(1);
        let skips = self.handles.know(fd, self.port()).is_ok_and(|known| known.skips);
        match if pipe { self.read_nothing(index, fd) } else { self.receive_nothing(index, fd) } {
            Answer::Done(_) if skips => {
                self.requests.get(index).state = State::Again;
                self.again.push(index);
            }
            Answer::Failed(code) if !self.requests.get(index).has_warning() => {
                let ended = pipe && file::is_end(code);
                self.end_receiving(index, fd, if ended { 0 } else { -error::of_socket(code) });
            }
            _ => self.requests.out += 1,
        }
    }

    /// A message has been received, perhaps cut.
    fn end_message(&mut self, index: u32, msg: *mut raw::msghdr, outcome: Outcome) {
        let flags = self.requests.get(index).flags;
        // SAFETY: the operation keeps the header in place until its last event, and Windows is done with it.
        let head = unsafe { &mut *msg };
        let result = match outcome {
            Err((code, _)) if is_cut(code) => {
                head.msg_flags |= raw::MSG_TRUNC as u32;
                // SAFETY: the header has one piece, as the port makes them.
                longer_than(if head.msg_iovlen == 0 { 0 } else { unsafe { (*head.msg_iov).iov_len } })
            }
            outcome => {
                if head.msg_controllen == 0 {
                    head.msg_flags = flags;
                }
                result_of(outcome)
            }
        };
        self.end(index, result);
    }

    /// A file that is read and written at its own position moves on.
    fn move_on(&mut self, fd: RawFd, offset: u64, bytes: i32) {
        if offset == CURRENT && bytes > 0 {
            *self.positions.entry(fd).or_default() += bytes as u64;
        }
    }
}

/// Whether something was longer than the room for it.
fn is_cut(code: u32) -> bool {
    error::of_socket(code) == sock::WSAEMSGSIZE
}

/// Bytes, or a negated error. What was cancelled half done says how much of it was.
pub(super) fn result_of(outcome: Outcome) -> i32 {
    match outcome {
        Ok(bytes) | Err((ERROR_OPERATION_ABORTED, bytes @ 1..)) => bytes.min(i32::MAX as u32) as i32,
        Err((code, _)) => -error::of_socket(code),
    }
}
