//! Address space that takes memory only when it is touched, and can give it back.

use std::io;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Reserves `bytes`, readable and writable.
pub(crate) fn reserve(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice; it aliases nothing.
    let base = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)? };
    Ok(NonNull::new(base.cast()).expect("mmap never returns null"))
}

/// Gives the memory behind a range back (MADV_FREE: when the system wants it); what it held may be lost, and it can be used
/// again.
///
/// # Safety
/// The range lies in a reservation, and nobody reads it before it is written again.
pub(crate) unsafe fn give_back(at: NonNull<u8>, bytes: usize) {
    // SAFETY: by the caller's promise.
    let _ = unsafe { libc::madvise(at.as_ptr().cast(), bytes, libc::MADV_FREE) };
}

/// Ends a reservation.
///
/// # Safety
/// `at` and `bytes` are those of [`reserve`], and nobody uses the range any more.
pub(crate) unsafe fn release(at: NonNull<u8>, bytes: usize) {
    // SAFETY: by the caller's promise.
    let _ = unsafe { munmap(at.as_ptr().cast(), bytes) };
}
