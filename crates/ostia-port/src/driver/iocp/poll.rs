//! Waiting until a socket is ready: a request to Winsock's driver (AFD), whose packet comes to the port like any other.
//!
//! Windows has no documented call for this that ends in a packet and can wait for every event of any socket, so this is what
//! WSAPoll and select stand on themselves (IOCTL_AFD_POLL). Its layout has been the same since Windows 2000; libuv, mio and
//! wepoll rely on it too.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{FILE_OPEN, NtCreateFile};
use windows_sys::Wdk::System::IO::NtDeviceIoControlFile;
use windows_sys::Win32::Foundation::{HANDLE, STATUS_PENDING, UNICODE_STRING};
use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_READ, FILE_SHARE_WRITE, SYNCHRONIZE};
use windows_sys::Win32::System::IO::{CreateIoCompletionPort, IO_STATUS_BLOCK};

use super::Iocp;
use super::handles::{Known, skip_on_success};
use super::request::Extra;
use super::start::Answer;
use crate::os::descriptor::handle_of;
use crate::os::{error, raw};

const IOCTL_AFD_POLL: u32 = 0x0001_2024;

const RECEIVE: u32 = 0x001;
const RECEIVE_EXPEDITED: u32 = 0x002;
const SEND: u32 = 0x004;
const DISCONNECT: u32 = 0x008;
const ABORT: u32 = 0x010;
const ACCEPT: u32 = 0x080;
const CONNECT_FAIL: u32 = 0x100;

/// AFD_POLL_INFO with one AFD_POLL_HANDLE_INFO.
#[repr(C)]
pub(super) struct PollInfo {
    timeout: i64,
    count: u32,
    exclusive: u32,
    handle: HANDLE,
    events: u32,
    status: i32,
}

/// Winsock's driver, opened once for a port.
pub(super) struct Afd {
    handle: OwnedHandle,
    /// A poll that succeeds at once makes no packet.
    pub(super) skips: bool,
}

impl Afd {
    fn open(port: HANDLE) -> io::Result<Afd> {
        let name: Vec<u16> = r"\Device\Afd\Ostia".encode_utf16().collect();
        let len = (name.len() * 2) as u16;
        let name = UNICODE_STRING { Length: len, MaximumLength: len, Buffer: name.as_ptr().cast_mut() };
        // SAFETY: plain data for which zeroes are valid.
        let (mut place, mut status) = unsafe { std::mem::zeroed::<(OBJECT_ATTRIBUTES, IO_STATUS_BLOCK)>() };
        (place.Length, place.ObjectName) = (size_of::<OBJECT_ATTRIBUTES>() as u32, &raw const name);
        let mut handle: HANDLE = ptr::null_mut();
        // SAFETY: name, attributes and what is written are locals.
        let result = unsafe {
            let share = FILE_SHARE_READ | FILE_SHARE_WRITE;
            NtCreateFile(&mut handle, SYNCHRONIZE, &place, &mut status, ptr::null(), 0, share, FILE_OPEN, 0, ptr::null(), 0)
        };
        if result < 0 {
            return Err(io::Error::from_raw_os_error(error::of_status(result) as i32));
        }
        // SAFETY: opened just now.
        let owner = unsafe { OwnedHandle::from_raw_handle(handle) };
        // SAFETY: both handles are open.
        if unsafe { CreateIoCompletionPort(handle, port, 0, 0) }.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(Afd { handle: owner, skips: skip_on_success(handle) })
    }

    pub(super) fn handle(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }
}

impl Iocp {
    /// Asks to be told when one of `events` holds on a socket.
    pub(super) fn poll(&mut self, index: u32, events: u32, known: Known) -> Answer {
        if self.afd.is_none() {
            match Afd::open(self.port()) {
                Ok(afd) => self.afd = Some(afd),
                Err(error) => return Answer::Failed(error.raw_os_error().unwrap_or(raw::EINVAL) as u32),
            }
        }
        let Some(afd) = self.afd.as_ref().map(Afd::handle) else { return Answer::Failed(raw::EINVAL as u32) };
        let wanted = |bit: i16, these: u32| if events & bit as u16 as u32 != 0 { these } else { 0 };
        let events = ABORT
            | CONNECT_FAIL
            | wanted(sock::POLLRDNORM, RECEIVE | ACCEPT | DISCONNECT)
            | wanted(sock::POLLRDBAND, RECEIVE_EXPEDITED)
            | wanted(sock::POLLWRNORM, SEND);
        let (count, exclusive, handle) = (1, 0, handle_of(known.base));
        let info = PollInfo { timeout: i64::MAX, count, exclusive, handle, events, status: 0 };
        let request = self.requests.get(index);
        request.extra = Extra::Poll(info);
        let overlapped = request.overlapped_at(0);
        let Extra::Poll(info) = &mut request.extra else { return Answer::Failed(raw::EINVAL as u32) };
        let len = size_of::<PollInfo>() as u32;
        // SAFETY: an OVERLAPPED begins with an IO_STATUS_BLOCK; that and the record are the request's, whose place is not used
        // again before its packet.
        let status = unsafe {
            (*overlapped).Internal = STATUS_PENDING as usize;
            let (info, block) = (ptr::from_mut(info).cast(), overlapped.cast::<IO_STATUS_BLOCK>());
            NtDeviceIoControlFile(afd, ptr::null_mut(), None, overlapped.cast(), block, IOCTL_AFD_POLL, info, len, info, len)
        };
        match status {
            STATUS_PENDING => Answer::Pending,
            0.. => Answer::Done(0),
            _ => Answer::Failed(error::of_status(status)),
        }
    }

    /// Which events hold, as poll(2) names them.
    pub(super) fn polled(&mut self, index: u32) -> i32 {
        let Extra::Poll(info) = &self.requests.get(index).extra else { return 0 };
        let told = |these: u32, bits: i16| if info.events & these != 0 { i32::from(bits) } else { 0 };
        told(RECEIVE | ACCEPT | DISCONNECT, sock::POLLRDNORM)
            | told(RECEIVE_EXPEDITED, sock::POLLRDBAND)
            | told(SEND, sock::POLLWRNORM)
            | told(ABORT, sock::POLLERR | sock::POLLHUP)
            | told(CONNECT_FAIL, sock::POLLERR)
    }
}
