//! Files: what a handle was opened for, and reading and writing on threads that may wait.

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_SYNCHRONOUS_IO_ALERT, FILE_SYNCHRONOUS_IO_NONALERT, FileModeInformation, NtQueryInformationFile,
};
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_HANDLE_EOF, ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_OPERATION_ABORTED,
};
use windows_sys::Win32::Storage::FileSystem::{FlushFileBuffers, GetFileSizeEx, ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, IO_STATUS_BLOCK, OVERLAPPED};
use windows_sys::Win32::System::Pipes::PeekNamedPipe;
use windows_sys::Win32::System::Threading::CreateEventW;

use super::codes::EAGAIN;
use super::descriptor::{RawFd, handle_of};
use super::error;
use crate::sys::CURRENT;

/// Whether a file or pipe was opened for overlapped requests (FILE_FLAG_OVERLAPPED).
pub(crate) fn is_overlapped(fd: RawFd) -> bool {
    let mut mode = 0u32;
    // SAFETY: plain data for which zeroes are valid.
    let mut status = unsafe { std::mem::zeroed::<IO_STATUS_BLOCK>() };
    // SAFETY: the handle is open, the records are locals of the length said.
    let result = unsafe {
        NtQueryInformationFile(handle_of(fd), &mut status, (&raw mut mode).cast(), size_of::<u32>() as u32, FileModeInformation)
    };
    result >= 0 && mode & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT) == 0
}

/// How long the file is.
pub(crate) fn size(fd: RawFd) -> Result<u64, i32> {
    let mut size = 0i64;
    // SAFETY: the handle is open and the size a local.
    if unsafe { GetFileSizeEx(handle_of(fd), &mut size) } == 0 { Err(error::last() as i32) } else { Ok(size as u64) }
}

/// The place in a file that a request of it is for.
pub(crate) fn place(offset: u64) -> OVERLAPPED {
    // SAFETY: plain data for which zeroes are valid.
    let mut overlapped = unsafe { std::mem::zeroed::<OVERLAPPED>() };
    overlapped.Anonymous.Anonymous.Offset = offset as u32;
    overlapped.Anonymous.Anonymous.OffsetHigh = (offset >> 32) as u32;
    overlapped
}

/// The end of a file is not an error, nor that nobody writes to a pipe any more.
pub(crate) fn is_end(code: u32) -> bool {
    matches!(code, ERROR_HANDLE_EOF | ERROR_BROKEN_PIPE)
}

/// How much one call is asked to move.
pub(crate) fn length(len: usize) -> u32 {
    len.min(i32::MAX as usize) as u32
}

/// Reads, on a thread that may wait, a file that was not opened for overlapped requests.
///
/// # Safety
/// `len` bytes from `ptr` are the caller's to fill.
pub(crate) unsafe fn read(fd: RawFd, ptr: *mut u8, len: usize, offset: u64) -> i32 {
    let (mut done, mut place) = (0, place(offset));
    let place = if offset == CURRENT { std::ptr::null_mut() } else { &raw mut place };
    // SAFETY: the memory is the caller's, by promise; the other two are locals.
    if unsafe { ReadFile(handle_of(fd), ptr, length(len), &mut done, place) } != 0 {
        return done as i32;
    }
    match error::last() {
        end if is_end(end) => 0,
        code => -error::of_socket(code),
    }
}

/// Writes, on a thread that may wait, to a file that was not opened for overlapped requests.
///
/// # Safety
/// `len` bytes from `ptr` can be read.
pub(crate) unsafe fn write(fd: RawFd, ptr: *const u8, len: usize, offset: u64) -> i32 {
    let (mut done, mut place) = (0, place(offset));
    let place = if offset == CURRENT { std::ptr::null_mut() } else { &raw mut place };
    // SAFETY: the memory can be read, by the caller's promise; the other two are locals.
    let written = unsafe { WriteFile(handle_of(fd), ptr, length(len), &mut done, place) };
    if written != 0 { done as i32 } else { -error::of_socket(error::last()) }
}

/// Reads pipes that have something, without waiting and without a packet.
#[derive(Default)]
pub(crate) struct Pipes {
    /// An event that nobody waits for but these reads.
    event: Option<OwnedHandle>,
}

impl Pipes {
    /// Reads what is there: EAGAIN if nothing is, 0 at the end.
    ///
    /// # Safety
    /// `len` bytes from `ptr` are the caller's to fill.
    pub(crate) unsafe fn read(&mut self, fd: RawFd, ptr: *mut u8, len: usize) -> i32 {
        // SAFETY: by the caller's promise.
        match unsafe { self.try_read(fd, ptr, len) } {
            Ok(bytes) => bytes as i32,
            Err(end) if is_end(end) => 0,
            Err(code) => -error::of_socket(code),
        }
    }

    /// # Safety
    /// As for `read`.
    unsafe fn try_read(&mut self, fd: RawFd, ptr: *mut u8, len: usize) -> Result<u32, u32> {
        let (pipe, null) = (handle_of(fd), std::ptr::null_mut());
        let mut there = 0;
        // SAFETY: the handle is open and the number a local.
        if unsafe { PeekNamedPipe(pipe, null, 0, std::ptr::null_mut(), &mut there, std::ptr::null_mut()) } == 0 {
            return Err(error::last());
        }
        if there == 0 {
            return Err(EAGAIN as u32);
        }
        let event = match &self.event {
            Some(event) => event.as_raw_handle(),
            None => self.event.insert(event()?).as_raw_handle(),
        };
        let mut place = place(0);
        // The lowest bit says: no packet ("GetQueuedCompletionStatus", remarks).
        place.hEvent = event.map_addr(|event| event | 1);
        let mut done = 0;
        // SAFETY: the memory is the caller's, by promise; place and count are locals that stay until the read has ended.
        unsafe {
            if ReadFile(pipe, ptr, length(len).min(there), &mut done, &mut place) == 0 {
                match error::last() {
                    ERROR_IO_PENDING => {
                        // Somebody else has the same pipe and took it meanwhile.
                        CancelIoEx(pipe, &place);
                    }
                    ERROR_MORE_DATA => {}
                    code => return Err(code),
                }
            }
            let ended = GetOverlappedResult(pipe, &place, &mut done, 1) != 0;
            match error::last() {
                _ if ended => Ok(done),
                ERROR_MORE_DATA => Ok(done),
                ERROR_OPERATION_ABORTED => Err(EAGAIN as u32),
                code => Err(code),
            }
        }
    }
}

fn event() -> Result<OwnedHandle, u32> {
    // SAFETY: an event of this process, reset by hand, without a name.
    let event = unsafe { CreateEventW(std::ptr::null(), 1, 0, std::ptr::null()) };
    if event.is_null() {
        return Err(error::last());
    }
    // SAFETY: made just now.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}

/// Brings what was written to the device.
pub(crate) fn flush(fd: RawFd) -> i32 {
    // SAFETY: the handle is open.
    if unsafe { FlushFileBuffers(handle_of(fd)) } != 0 { 0 } else { -(error::last() as i32) }
}
