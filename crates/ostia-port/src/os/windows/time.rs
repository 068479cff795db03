//! The clock that everything goes by.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds of the system's monotonic clock (QueryPerformanceCounter), since the process first asked.
#[inline]
pub(crate) fn monotonic() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // 584 years fit.
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
