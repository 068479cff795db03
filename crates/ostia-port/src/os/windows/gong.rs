//! What wakes a port that sleeps: a packet to the completion port, which the bell holds from the first.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::IO::{CreateIoCompletionPort, PostQueuedCompletionStatus};

/// The completion key of the packet that only wakes.
pub(crate) const GONG: usize = usize::MAX;

/// One per port, behind its [`Bell`](crate::bell::Bell).
#[derive(Debug)]
pub(crate) struct Gong {
    port: OwnedHandle,
}

impl Gong {
    pub(crate) fn new() -> io::Result<Gong> {
        super::extension::start();
        // SAFETY: no handle is associated; the call makes a port for one thread, this port's own.
        let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, std::ptr::null_mut(), 0, 1) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: made just now.
        Ok(Gong { port: unsafe { OwnedHandle::from_raw_handle(port) } })
    }

    /// The completion port.
    pub(crate) fn port(&self) -> HANDLE {
        self.port.as_raw_handle()
    }

    /// Wakes the sleeping port.
    pub(crate) fn strike(&self) {
        // Fails for want of memory alone; the sleeper then wakes at its time.
        // SAFETY: the packet refers to nothing.
        unsafe { PostQueuedCompletionStatus(self.port(), 0, GONG, std::ptr::null()) };
    }
}
