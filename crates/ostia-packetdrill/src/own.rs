//! Which descriptors are this library's, known without a lock: close(2) may be called while one is held.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ostia_posix::World;

/// Descriptors that are kept track of; larger ones are left to the kernel when libc is asked.
const MOST: usize = 65_536;

static BITS: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];

/// The world that was made last, and not freed yet.
static WORLD: Mutex<Option<Arc<World>>> = Mutex::new(None);

/// The word and the bit of a descriptor.
fn place(fd: c_int) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((BITS.get(fd / 64)?, 1 << (fd % 64)))
}

/// Notes a descriptor that a call has opened, and answers it.
pub(crate) fn opened(fd: c_int) -> c_int {
    if let Some((word, bit)) = place(fd) {
        word.fetch_or(bit, Ordering::AcqRel);
    }
    fd
}

/// Forgets a descriptor; whether it was this library's.
pub(crate) fn closed(fd: c_int) -> bool {
    place(fd).is_some_and(|(word, bit)| word.fetch_and(!bit, Ordering::AcqRel) & bit != 0)
}

/// Whether a descriptor is this library's, as far as is known: the kernel may have given its number to something else.
#[cfg_attr(test, allow(dead_code, reason = "only what stands before libc asks"))]
pub(crate) fn is(fd: c_int) -> bool {
    place(fd).is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
}

/// Sets the world that libc's calls are answered by.
pub(crate) fn set_world(world: Option<Arc<World>>) {
    let old = std::mem::replace(&mut *WORLD.lock().unwrap_or_else(PoisonError::into_inner), world);
    drop(old);
}

/// The world.
#[cfg_attr(test, allow(dead_code, reason = "only what stands before libc asks"))]
pub(crate) fn world() -> Option<Arc<World>> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_this_librarys_from_their_opening_to_their_end() {
        for fd in [60_000, 60_001, 65_535] {
            assert!(!is(fd));
            assert_eq!(opened(fd), fd);
            assert!(is(fd) && !is(fd - 100));
            assert!(closed(fd) && !closed(fd) && !is(fd));
        }
        for fd in [-1, 65_536, c_int::MAX] {
            assert_eq!(opened(fd), fd);
            assert!(!is(fd) && !closed(fd));
        }
    }
}
