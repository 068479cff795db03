//! Address space that takes memory only when it is touched, and can give it back.

use std::io;
use std::ptr::NonNull;

use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, MEM_RESET, PAGE_READWRITE, VirtualAlloc, VirtualFree,
};

/// Reserves `bytes`, readable and writable. They count as promised memory (commit charge), but have none before they are touched.
pub(crate) fn reserve(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: new memory at an address of the system's choice; it aliases nothing.
    let base = unsafe { VirtualAlloc(std::ptr::null(), bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) };
    NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)
}

/// Tells the system that what a range holds is not needed: it may take the memory, and the range can be used again.
///
/// # Safety
/// The range lies in a reservation, and nobody reads it before it is written again.
pub(crate) unsafe fn give_back(at: NonNull<u8>, bytes: usize) {
    // SAFETY: by the caller's promise.
    unsafe { VirtualAlloc(at.as_ptr().cast(), bytes, MEM_RESET, PAGE_READWRITE) };
}

/// Ends a reservation.
///
/// # Safety
/// `at` is that of [`reserve`], and nobody uses the range any more.
pub(crate) unsafe fn release(at: NonNull<u8>, _bytes: usize) {
    // SAFETY: by the caller's promise.
    unsafe { VirtualFree(at.as_ptr().cast(), 0, MEM_RELEASE) };
}
