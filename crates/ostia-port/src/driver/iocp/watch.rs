//! Waiting for a process: no packet tells of its end, so a thread of the system's waits and posts one.

use std::ffi::c_void;
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::IO::PostQueuedCompletionStatus;
use windows_sys::Win32::System::Threading::{INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEONLYONCE};

use super::Iocp;
use super::request::{Extra, Watch};
use crate::os::descriptor::handle_of;
use crate::os::{RawFd, error, raw};
use crate::sys::{Event, Sys};
use crate::tag::Tag;

impl Iocp {
    /// Has the end of a process told by a packet.
    pub(super) fn watch(&mut self, tag: Tag, process: RawFd) {
        let port = self.port();
        let index = self.requests.insert(tag, Sys::WaitPid { fd: process });
        let request = self.requests.get(index);
        let overlapped = request.overlapped_at(0);
        // A status that says nothing went wrong, for no call writes one.
        let watch = Box::into_raw(Box::new(Watch::new(port, overlapped)));
        let mut wait: HANDLE = ptr::null_mut();
        // SAFETY: the watch lives until the wait has been taken back, which waits for the call to be over.
        let registered = unsafe {
            RegisterWaitForSingleObject(&mut wait, handle_of(process), Some(ended), watch.cast(), INFINITE, WT_EXECUTEONLYONCE)
        };
        let code = error::last();
        // SAFETY: made above; the thread that may be in `ended` reads what is not written here.
        let watch = unsafe { Box::from_raw(watch) };
        if registered == 0 {
            self.requests.remove(index);
            return self.done.push(Event::last(tag, -(code as i32)));
        }
        self.requests.get(index).extra = Extra::Process { watch, wait };
        self.requests.out += 1;
    }

    /// Takes a wait back; if its packet is on its way already, that ends it.
    pub(super) fn stop_watching(&mut self, index: u32) {
        let Extra::Process { watch, wait } = &mut self.requests.get(index).extra else { return };
        unregister(wait);
        if !watch.has_told() {
            self.requests.out -= 1;
            self.end(index, -raw::ECANCELED);
        }
    }
}

/// Takes a wait back and waits until its call is over, if that is going on. Once.
pub(super) fn unregister(wait: &mut HANDLE) {
    let wait = std::mem::replace(wait, ptr::null_mut());
    if !wait.is_null() {
        // SAFETY: registered, and not taken back before.
        unsafe { UnregisterWaitEx(wait, INVALID_HANDLE_VALUE) };
    }
}

/// On a thread of the system's: the process has ended.
unsafe extern "system" fn ended(watch: *mut c_void, _timed_out: bool) {
    // SAFETY: the watch that was registered, which outlives this call.
    let watch = unsafe { &*watch.cast::<Watch>() };
    watch.tell();
    // SAFETY: the OVERLAPPED's place is not used again before this packet.
    unsafe { PostQueuedCompletionStatus(watch.port, 0, 0, watch.overlapped) };
}
