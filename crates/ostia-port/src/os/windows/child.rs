//! The end of a child process, by its handle, which names it and no other even after its number is used again.

use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::os::windows::process::ExitStatusExt;
use std::process::ExitStatus;

use windows_sys::Win32::Foundation::{WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

use super::codes::ECHILD;
use super::descriptor::{AsFd, AsRawFd, OwnedFd, handle_of};

/// A handle of the process, or the number of the error: ECHILD where there is none of that number.
pub(crate) fn open(pid: i32) -> Result<OwnedFd, i32> {
    // SAFETY: plain numbers.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE, 0, pid as u32) };
    if process.is_null() {
        return Err(ECHILD);
    }
    // SAFETY: opened just now.
    Ok(unsafe { OwnedHandle::from_raw_handle(process) }.into())
}

/// How the process of a handle has ended; none while it runs (WaitForSingleObject, GetExitCodeProcess). It may be asked again.
///
/// # Errors
/// What Windows says of a handle that is no process's, or may not be waited for.
pub fn reap(process: impl AsFd) -> io::Result<Option<ExitStatus>> {
    let process = handle_of(process.as_fd().as_raw_fd());
    // SAFETY: the handle is open while its owner is borrowed.
    match unsafe { WaitForSingleObject(process, 0) } {
        WAIT_OBJECT_0 => {
            let mut code = 0;
            // SAFETY: as above; the code is a local.
            if unsafe { GetExitCodeProcess(process, &mut code) } == 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Some(ExitStatus::from_raw(code)))
        }
        WAIT_TIMEOUT => Ok(None),
        _ => Err(io::Error::last_os_error()),
    }
}
