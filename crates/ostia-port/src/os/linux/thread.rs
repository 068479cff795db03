//! Threads: their numbers, and words that they sleep on.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::thread::futex::{self, Flags, Timespec};

/// The kernel's number of this thread.
pub(crate) fn current() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Sleeps while the word holds `value`, for `left` at most; may return early (futex(2), private to the process).
pub(crate) fn sleep_on(word: &AtomicU32, value: u32, left: Option<Duration>) {
    let left = left.and_then(|left| {
        // A time that the kernel's clock can't hold is for ever.
        Some(Timespec { tv_sec: i64::try_from(left.as_secs()).ok()?, tv_nsec: left.subsec_nanos().into() })
    });
    // Whatever the answer (woken, another value, timed out, a signal), the caller looks at the word.
    let _ = futex::wait(word, Flags::PRIVATE, value, left.as_ref());
}

/// Wakes one that sleeps on the word.
pub(crate) fn wake_one(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::PRIVATE, 1);
}
