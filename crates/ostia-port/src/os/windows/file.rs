//! Files: what a handle was opened for, and reading and writing on threads that may wait.

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_SYNCHRONOUS_IO_ALERT, FILE_SYNCHRONOUS_IO_NONALERT, FileModeInformation, NtQueryInformationFile,
};
use windows_sys::Win32::Foundation::{ERROR_BROKEN_PIPE, ERROR_HANDLE_EOF};
use windows_sys::Win32::Storage::FileSystem::{FlushFileBuffers, GetFileSizeEx, ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{IO_STATUS_BLOCK, OVERLAPPED};

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
        code => -(code as i32),
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
    if written != 0 { done as i32 } else { -(error::last() as i32) }
}

/// Brings what was written to the device.
pub(crate) fn flush(fd: RawFd) -> i32 {
    // SAFETY: the handle is open.
    if unsafe { FlushFileBuffers(handle_of(fd)) } != 0 { 0 } else { -(error::last() as i32) }
}
