//! Threads of Windows.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::time::Duration;

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThread, GetCurrentThreadId, GetProcessAffinityMask, GetThreadTimes, OpenThread,
    SetThreadAffinityMask, THREAD_QUERY_LIMITED_INFORMATION,
};

/// Binds the calling thread to the `number`th of the processors that it may use, counted round; of more than 64, to one of those
/// that the process began on (its processor group).
pub(crate) fn pin_to(number: usize) {
    let (mut allowed, mut all) = (0usize, 0usize);
    // SAFETY: both masks are locals; the handle stands for the process itself.
    if unsafe { GetProcessAffinityMask(GetCurrentProcess(), &raw mut allowed, &raw mut all) } == 0 {
        return;
    }
    let cpus: Vec<usize> = (0..usize::BITS).map(|cpu| 1 << cpu).filter(|cpu| allowed & cpu != 0).collect();
    if cpus.len() < 2 {
        return;
    }
    // SAFETY: plain numbers; the handle stands for the thread itself.
    if unsafe { SetThreadAffinityMask(GetCurrentThread(), cpus[number % cpus.len()]) } == 0 {
        let error = io::Error::last_os_error();
        tracing::warn!(number, %error, "a worker could not be bound to a processor");
    }
}

/// A thread that is looked at from outside.
#[derive(Debug)]
pub(crate) struct Thread {
    /// None if the system gave none.
    handle: Option<OwnedHandle>,
    /// How long it had computed when it began what it is doing.
    before: Duration,
}

impl Thread {
    /// The calling one.
    pub(crate) fn current() -> Thread {
        // SAFETY: plain numbers.
        let handle = unsafe { OpenThread(THREAD_QUERY_LIMITED_INFORMATION, 0, GetCurrentThreadId()) };
        // SAFETY: opened just now, and nobody else knows it.
        let handle = (!handle.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(handle) });
        Thread { handle, before: Duration::ZERO }
    }

    /// It has begun something.
    pub(crate) fn begins(&mut self) {
        self.before = self.computed().unwrap_or_default();
    }

    /// What it has been doing since it began: Windows doesn't tell what a thread does, but how long it has computed.
    pub(crate) fn doing(&self, for_how_long: Duration) -> &'static str {
        match self.computed() {
            Some(computed) if computed.saturating_sub(self.before) * 2 >= for_how_long => "computing",
            Some(_) => "blocked in the system",
            None => "unknown",
        }
    }

    /// How long it has computed so far, kernel and user (GetThreadTimes).
    fn computed(&self) -> Option<Duration> {
        let handle = self.handle.as_ref()?.as_raw_handle();
        let mut times = [FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 }; 4];
        let [made, ended, kernel, user] = &mut times;
        // SAFETY: the handle is open as long as `self`; the times are locals.
        if unsafe { GetThreadTimes(handle, made, ended, kernel, user) } == 0 {
            return None;
        }
        // In units of 100 ns.
        let units = |time: &FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
        Some(Duration::from_nanos((units(kernel) + units(user)) * 100))
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn what_a_thread_has_done_is_known() {
        let mut thread = Thread::current();
        thread.begins();
        let before = thread.computed().expect("known");
        assert_eq!(thread.doing(Duration::from_secs(3600)), "blocked in the system");
        let mut sum = 0u64;
        for _ in 0..1_000_000 {
            if thread.computed() != Some(before) {
                break;
            }
            (0..100_000).for_each(|i| sum = black_box(sum.wrapping_add(i)));
        }
        assert_eq!(thread.doing(Duration::from_nanos(1)), "computing");
        assert_eq!(Thread { handle: None, before }.doing(Duration::ZERO), "unknown");
    }
}
