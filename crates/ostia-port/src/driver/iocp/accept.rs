//! Accepting: AcceptEx, several of which a listener may have, each with the socket for its connection made before.

use std::net::SocketAddr;
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_CONNECTION_ABORTED, ERROR_NETNAME_DELETED, ERROR_NOT_SUPPORTED, ERROR_OPERATION_ABORTED, ERROR_UNEXP_NET_ERR,
};
use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::Win32::System::IO::CancelIoEx;

use super::Iocp;
use super::finish::{Outcome, result_of};
use super::handles::Known;
use super::request::{Extra, NAME, NOBODY, State};
use super::start::{Answer, of_call};
use crate::address::Address;
use crate::chunk::Chunk;
use crate::os::descriptor::{handle_of, socket_of};
use crate::os::extension::extensions;
use crate::os::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd, error, raw, syscalls};
use crate::sys::{Event, Sys};
use crate::tag::Tag;

impl Iocp {
    /// Posts one accept.
    pub(super) fn accept(&mut self, index: u32, listener: RawFd, known: Known) -> Answer {
        let flags = sock::WSA_FLAG_OVERLAPPED | sock::WSA_FLAG_NO_HANDLE_INHERIT;
        // SAFETY: plain numbers.
        let socket = unsafe { sock::WSASocketW(known.family, sock::SOCK_STREAM, 0, ptr::null(), 0, flags) };
        if socket == sock::INVALID_SOCKET {
            return Answer::Failed(error::last_of_socket() as u32);
        }
        // SAFETY: made just now.
        let socket = unsafe { OwnedFd::from_raw_fd(socket as RawFd) };
        let Some(accept_ex) = extensions().accept_ex else { return Answer::Failed(ERROR_NOT_SUPPORTED) };
        let mut room = self.rooms.pop().unwrap_or_else(|| vec![0; self.accept_data + 2 * NAME].into_boxed_slice());
        let (ptr, fd) = (room.as_mut_ptr(), socket.as_raw_fd());
        let request = self.requests.get(index);
        request.extra = Extra::Accept { socket, room };
        let (overlapped, mut bytes) = (request.overlapped_at(0), 0);
        // SAFETY: socket, room and OVERLAPPED are the request's, whose place is not used again before its packet.
        let begun = unsafe {
            let (data, name) = (self.accept_data as u32, NAME as u32);
            accept_ex(socket_of(listener), socket_of(fd), ptr.cast(), data, name, name, &mut bytes, overlapped)
        };
        of_call(begun != 0, bytes, error::last_of_socket() as u32)
    }

    /// An accept has ended, by a connection or otherwise.
    pub(super) fn accepted(&mut self, index: u32, listener: RawFd, outcome: Outcome) {
        let request = self.requests.get(index);
        let (tag, cancelled) = (request.tag, request.cancelled);
        let Extra::Accept { socket, room } = std::mem::replace(&mut request.extra, Extra::Nothing) else {
            return self.end(index, result_of(outcome));
        };
        let result = match outcome {
            Ok(_) => {
                let listener = socket_of(listener);
                // Before this the socket doesn't know its addresses.
                // SAFETY: the value is the listener's handle.
                let updated = unsafe {
                    let (value, len) = ((&raw const listener).cast(), size_of::<sock::SOCKET>() as i32);
                    let level = sock::SOL_SOCKET;
                    sock::setsockopt(socket_of(socket.as_raw_fd()), level, sock::SO_UPDATE_ACCEPT_CONTEXT, value, len)
                };
                syscalls::set_nonblocking(socket.as_raw_fd(), true);
                if updated == 0 { Ok(socket.into_raw_fd()) } else { Err(raw::ECONNABORTED) }
            }
            Err((ERROR_OPERATION_ABORTED, _)) if cancelled => Err(raw::ECANCELED),
            // The client was silent for too long.
            Err((ERROR_OPERATION_ABORTED, _)) => Err(raw::ECONNABORTED),
            // The client has gone: that is no error of the listener. (Wine 8 says the last of a reset.)
            Err((ERROR_NETNAME_DELETED | ERROR_CONNECTION_ABORTED | ERROR_UNEXP_NET_ERR, _)) => Err(raw::ECONNABORTED),
            Err((code, _)) => Err(error::of_socket(code)),
        };
        self.requests.remove(index);
        let first = outcome.unwrap_or(0) as usize;
        let chunk = (first > 0 && result.is_ok()).then(|| Chunk::from(room[..first].to_vec()));
        let addresses = if result.is_ok() { self.addresses(&room) } else { None };
        self.rooms.push(room);
        self.done.push(Event {
            chunk,
            addresses: addresses.map(Box::new),
            ..Event::last(tag, result.unwrap_or_else(|code| -code))
        });
    }

    /// The two addresses that an accept has written behind the first bytes (GetAcceptExSockaddrs); none but those of IP.
    fn addresses(&self, room: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
        let parse = extensions().get_accept_ex_sockaddrs?;
        let (mut local, mut local_len, mut peer, mut peer_len) = (ptr::null_mut(), 0, ptr::null_mut(), 0);
        // SAFETY: the room is as an accept has left it, with the lengths that the accept was told; both answers point into it.
        unsafe {
            let (data, name) = (self.accept_data as u32, NAME as u32);
            parse(room.as_ptr().cast(), data, name, name, &mut local, &mut local_len, &mut peer, &mut peer_len);
            if local.is_null() || peer.is_null() {
                return None;
            }
            Some((Address::read(local, local_len)?.ip()?, Address::read(peer, peer_len)?.ip()?))
        }
    }

    /// Whether clients are waited for that have connected and may never say anything.
    pub(super) fn awaits_first_bytes(&self) -> bool {
        self.accept_data > 0 && self.requests.out > 0
    }

    /// Whether clients that have connected and say nothing hold every accept of this name.
    pub(crate) fn accepts_are_held(&mut self, tag: Tag) -> bool {
        if !self.awaits_first_bytes() {
            return false;
        }
        let posted = self.requests.which(|request| request.state == State::Out && request.tag == tag);
        !posted.is_empty() && posted.into_iter().all(|index| self.requests.get(index).silent_for() != NOBODY)
    }

    /// Breaks off those who have connected and stay silent: all whose time is over; and if no posted accept is left for others,
    /// everybody who has been silent for a second.
    pub(super) fn hurry_the_silent(&mut self) {
        if !self.awaits_first_bytes() {
            return;
        }
        let accepts = self.requests.which(|request| request.state == State::Out && matches!(request.sys, Sys::Accept { .. }));
        let silent: Vec<(u32, i32)> = accepts.iter().map(|&index| (index, self.requests.get(index).silent_for())).collect();
        let none_free = silent.iter().all(|(_, seconds)| *seconds != NOBODY);
        let patience = if none_free { 1 } else { self.accept_patience.as_secs().clamp(1, i32::MAX as u64) as i32 };
        for (index, seconds) in silent {
            if seconds != NOBODY && seconds >= patience {
                let request = self.requests.get(index);
                let listener = super::start::target(&request.sys);
                // SAFETY: the listener is open while a request names it, and the OVERLAPPED is that of one which Windows has.
                unsafe { CancelIoEx(handle_of(listener), request.overlapped()) };
            }
        }
    }
}
