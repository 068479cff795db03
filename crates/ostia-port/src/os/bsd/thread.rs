//! Threads: their numbers, and words that they sleep on.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use super::futex;

static NEXT: AtomicI32 = AtomicI32::new(1);

thread_local!(static NUMBER: i32 = NEXT.fetch_add(1, Ordering::Relaxed));

/// A number of this thread that no other of this process has.
pub(crate) fn current() -> i32 {
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// Sleeps while the word holds `value`, for `left` at most; may return early.
pub(crate) fn sleep_on(word: &AtomicU32, value: u32, left: Option<Duration>) {
    // Whatever the answer (woken, another value, timed out), the caller looks at the word.
    futex::wait(word, value, left);
}

/// Wakes one that sleeps on the word.
pub(crate) fn wake_one(word: &AtomicU32) {
    futex::wake(word.as_ptr(), 1);
}
