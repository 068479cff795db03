//! The clock that everything goes by: the one behind `std::time::Instant`.

/// CLOCK_MONOTONIC in nanoseconds.
#[cfg(not(target_os = "macos"))]
#[inline]
pub(crate) fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// CLOCK_UPTIME_RAW in nanoseconds, for macOS' CLOCK_MONOTONIC goes on while the machine sleeps and `Instant` does not.
#[cfg(target_os = "macos")]
#[inline]
pub(crate) fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a local is written.
    unsafe { libc::clock_gettime(libc::CLOCK_UPTIME_RAW, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
