//! Threads: their numbers, and words that they sleep on.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use windows_sys::Win32::System::Threading::{GetCurrentThreadId, INFINITE, WaitOnAddress, WakeByAddressSingle};

/// The system's number of this thread.
pub(crate) fn current() -> i32 {
    // SAFETY: no conditions.
    unsafe { GetCurrentThreadId() as i32 }
}

/// A time as waits take it: whole milliseconds, rounded up so that none ends early; none is for ever.
pub(crate) fn millis(left: Option<Duration>) -> u32 {
    left.map_or(INFINITE, |left| {
        let millis = left.as_nanos().div_ceil(1_000_000);
        u32::try_from(millis).unwrap_or(INFINITE).min(INFINITE - 1)
    })
}

/// Sleeps while the word holds `value`, for `left` at most; may return early (WaitOnAddress).
pub(crate) fn sleep_on(word: &AtomicU32, value: u32, left: Option<Duration>) {
    // SAFETY: both addresses are of four bytes and live through the call.
    unsafe { WaitOnAddress(word.as_ptr().cast(), (&raw const value).cast(), 4, millis(left)) };
}

/// Wakes one that sleeps on the word.
pub(crate) fn wake_one(word: &AtomicU32) {
    // SAFETY: the address is only compared.
    unsafe { WakeByAddressSingle(word.as_ptr().cast()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_up_and_none_is_for_ever() {
        assert_eq!(millis(None), INFINITE);
        assert_eq!(millis(Some(Duration::ZERO)), 0);
        assert_eq!(millis(Some(Duration::from_nanos(1))), 1);
        assert_eq!(millis(Some(Duration::from_micros(1001))), 2);
        assert_eq!(millis(Some(Duration::MAX)), INFINITE - 1);
    }
}
