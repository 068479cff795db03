//! Threads of Linux.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Binds the calling thread to the `number`th of the processors that it may use, counted round.
pub(crate) fn pin_to(number: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    if cpus.len() < 2 {
        return;
    }
    let mut one = CpuSet::new();
    one.set(cpus[number % cpus.len()]);
    if let Err(error) = sched_setaffinity(None, &one) {
        tracing::warn!(number, %error, "a worker could not be bound to a processor");
    }
}

/// A thread that is looked at from outside, by the number that the kernel has given it.
#[derive(Debug)]
pub(crate) struct Thread(i32);

impl Thread {
    /// The calling one.
    pub(crate) fn current() -> Thread {
        Thread(rustix::thread::gettid().as_raw_nonzero().get())
    }

    /// It has begun something.
    pub(crate) fn begins(&mut self) {}

    /// What it is doing, by the third field of proc_pid_stat(5).
    pub(crate) fn doing(&self, _for_how_long: Duration) -> &'static str {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.0)).unwrap_or_default();
        match stat.rsplit(") ").next().and_then(|rest| rest.chars().next()) {
            Some('R') => "computing",
            Some('S' | 'D') => "blocked in the system",
            Some('T' | 't') => "stopped",
            _ => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_does_is_known() {
        assert_eq!(Thread::current().doing(Duration::ZERO), "computing");
        assert_eq!(Thread(-1).doing(Duration::ZERO), "unknown");
    }
}
