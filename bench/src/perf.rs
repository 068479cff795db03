//! System calls of a process, counted by the kernel's `raw_syscalls:sys_enter` tracepoint (perf_event_open(2)).

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::machine;

/// Where the tracepoint's number stands, by where tracefs is mounted.
const NUMBERS: [&str; 2] =
    ["/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id"];

/// Running counters, one a thread.
pub struct SystemCalls(Vec<OwnedFd>);

/// `struct perf_event_attr` as far as its first version goes (`PERF_ATTR_SIZE_VER0`).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
}

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;
/// The `inherit` bit: threads and processes started later count too.
const INHERIT: u64 = 1 << 1;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOEXEC: libc::c_ulong = 8;

impl SystemCalls {
    /// Counts from now on for a process, its children and the threads of all of them.
    ///
    /// # Errors
    /// No tracefs, or the caller may not count (`perf_event_paranoid`); strace is the other way then.
    pub fn of(pid: u32) -> io::Result<SystemCalls> {
        let number = NUMBERS.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
        let config = number.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "tracefs is not readable"))?;
        let attributes = Attributes {
            kind: TRACEPOINT,
            size: size_of::<Attributes>() as u32,
            config,
            flags: INHERIT,
            ..Attributes::default()
        };
        let tasks = machine::family(pid).into_iter().flat_map(machine::tasks);
        tasks.map(|task| open(&attributes, task)).collect::<io::Result<Vec<OwnedFd>>>().map(SystemCalls)
    }

    /// The calls so far.
    pub fn read(&self) -> io::Result<u64> {
        self.0.iter().try_fold(0, |sum, counter| {
            let mut value = [0; 8];
            rustix::io::read(counter, &mut value)?;
            Ok(sum + u64::from_ne_bytes(value))
        })
    }
}

fn open(attributes: &Attributes, task: u32) -> io::Result<OwnedFd> {
    let (any_cpu, no_group): (libc::c_int, libc::c_int) = (-1, -1);
    // SAFETY: `attributes` says its own size and outlives the call; a descriptor that comes back is new.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attributes),
            task as libc::pid_t,
            any_cpu,
            no_group,
            CLOEXEC,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_this_process_are_counted() {
        let counter = match SystemCalls::of(std::process::id()) {
            Ok(counter) => counter,
            // Without the privilege the program falls back to strace; nothing to test here then.
            Err(error) => {
                eprintln!("skipped: {error}");
                return;
            }
        };
        let before = counter.read().unwrap();
        for _ in 0..100 {
            std::hint::black_box(rustix::process::getppid());
        }
        assert!(counter.read().unwrap() >= before + 100);
    }
}
