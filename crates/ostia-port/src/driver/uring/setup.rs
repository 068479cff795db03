//! Making a ring with what the kernel grants, entering it, and saying why there is none.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::{IoUring, cqueue, squeue};

use crate::clock::{Patience, monotonic};
use crate::config::Config;
use crate::driver::Env;
use crate::features::Features;

const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_ABS_TIMER: u32 = 1 << 5;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
const REGISTER_RING_FDS: libc::c_uint = 20;

/// The extended argument of io_uring_enter(2): struct io_uring_getevents_arg.
#[repr(C)]
#[derive(Default)]
struct WaitArgument {
    sigmask: u64,
    sigmask_size: u32,
    min_wait_usec: u32,
    timespec: u64,
}

/// struct io_uring_rsrc_update, as IORING_REGISTER_RING_FDS takes it.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// The ring and the cheapest way into it.
pub(crate) struct Ring {
    uring: IoUring,
    /// What io_uring_enter is told the ring is: a registered index or a descriptor.
    name: i32,
    flags: u32,
    /// Entries pushed since the last enter.
    pushed: u32,
}

impl Ring {
    /// Makes a ring with as many of `features`' set-up flags as the kernel grants; the rest are taken from the set.
    pub(crate) fn new(config: &Config, features: Features) -> io::Result<(Ring, Features)> {
        let mut features = features;
        let uring = loop {
            match build(config, features) {
                Ok(uring) => break uring,
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => match weaker(features) {
                    Some(fewer) => features = fewer,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        };
        if !uring.params().is_feature_ext_arg() || !uring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring here is older than Linux 5.11"));
        }
        let mut ring = Ring { name: uring.as_raw_fd(), flags: 0, pushed: 0, uring };
        if features.contains(Features::REGISTERED_RING) && ring.register().is_err() {
            features = features.without(Features::REGISTERED_RING);
        }
        if features.contains(Features::NO_IOWAIT) {
            if ring.uring.params().is_feature_no_iowait() {
                ring.flags |= ENTER_NO_IOWAIT;
            } else {
                features = features.without(Features::NO_IOWAIT);
            }
        }
        if features.contains(Features::ABS_TIMEOUT) && ring.try_absolute() {
            ring.flags |= ENTER_ABS_TIMER;
        } else {
            features = features.without(Features::ABS_TIMEOUT);
        }
        if !ring.uring.params().is_feature_skip_cqe_on_success() {
            features = features.without(Features::SKIP_SUCCESS);
        }
        Ok((ring, features))
    }

    /// Has the kernel remember the ring by an index.
    fn register(&mut self) -> io::Result<()> {
        let mut update = RingUpdate { offset: u32::MAX, reserved: 0, data: self.fd() as u64 };
        // SAFETY: one update is read and its offset written.
        let done = unsafe { libc::syscall(libc::SYS_io_uring_register, self.fd(), REGISTER_RING_FDS, &raw mut update, 1) };
        if done != 1 {
            return Err(io::Error::last_os_error());
        }
        self.name = update.offset as i32;
        self.flags |= ENTER_REGISTERED_RING;
        Ok(())
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    pub(crate) fn uring(&self) -> &IoUring {
        &self.uring
    }

    /// Appends an entry; false if the queue is full.
    ///
    /// # Safety
    /// What the entry points to must stay valid until its last completion.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: by the caller's promise.
        let pushed = unsafe { self.uring.submission().push(entry) }.is_ok();
        self.pushed += u32::from(pushed);
        pushed
    }

    /// Submits what was pushed and waits for `want` completions as long as `patience` allows. A call that would do nothing
    /// is not made.
    #[inline]
    pub(crate) fn enter(&mut self, want: u32, patience: Patience, env: &Env<'_>) -> io::Result<()> {
        let submission = self.uring.submission();
        let (overflow, taskrun) = (submission.cq_overflow(), submission.taskrun());
        drop(submission);
        if overflow {
            env.counters.completion_overflow.add(1);
        }
        if want == 0 && self.pushed == 0 && !overflow && !taskrun {
            return Ok(());
        }
        env.counters.syscalls.add(1);
        let mut timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut argument = WaitArgument::default();
        if let (1.., Patience::Until(moment)) = (want, patience) {
            let nanos = if self.flags & ENTER_ABS_TIMER != 0 { moment } else { moment.saturating_sub(monotonic()) };
            timespec = libc::timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 };
            argument.timespec = &raw const timespec as u64;
        }
        let flags = self.flags | ENTER_GETEVENTS | ENTER_EXT_ARG;
        // SAFETY: the entries are valid by `push`'s contract; the argument and its timespec live past the call.
        let submitted = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.name,
                self.pushed,
                want,
                flags,
                &raw const argument,
                size_of::<WaitArgument>(),
            )
        };
        // The compiler must not think the timespec unused: its address went to the kernel as a number.
        std::hint::black_box(&timespec);
        if submitted >= 0 {
            self.pushed -= (submitted as u32).min(self.pushed);
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // Whatever the call said, the queue's head tells what the kernel took.
        self.pushed = self.uring.submission().len() as u32;
        match error.raw_os_error() {
            // The time is up; a signal came; the kernel wants completions reaped, or is out of memory, first.
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(error),
        }
    }

    /// Whether every entry pushed was submitted and no completion is held back for want of room.
    #[inline]
    pub(crate) fn is_settled(&mut self) -> bool {
        self.pushed == 0 && !self.uring.submission().cq_overflow()
    }

    /// Whether waits can end at a moment rather than after a time.
    fn try_absolute(&mut self) -> bool {
        let argument = WaitArgument::default();
        let flags = self.flags | ENTER_GETEVENTS | ENTER_EXT_ARG | ENTER_ABS_TIMER;
        // SAFETY: nothing is submitted or waited for; the argument lives past the call.
        let done = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, self.name, 0, 0, flags, &raw const argument, size_of::<WaitArgument>())
        };
        done >= 0
    }

    /// Whether the kernel may have completed what this side has not seen: in the queue, or kept back as it overflowed.
    pub(crate) fn has_unseen(&mut self) -> bool {
        let overflow = self.uring.submission().cq_overflow();
        overflow || self.has_completions()
    }

    /// Whether completions can be taken without entering the kernel.
    pub(crate) fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    /// All that can be reaped now.
    #[inline]
    pub(crate) fn completions(&mut self) -> cqueue::CompletionQueue<'_> {
        self.uring.completion()
    }

    #[inline]
    pub(crate) fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.uring.completion().next()
    }
}

fn build(config: &Config, features: Features) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.dontfork().setup_clamp().setup_submit_all().setup_cqsize(config.completion_entries.next_power_of_two());
    if features.contains(Features::SINGLE_ISSUER) {
        builder.setup_single_issuer();
        if features.contains(Features::DEFER_TASKRUN) {
            builder.setup_defer_taskrun();
        }
    }
    if features.contains(Features::COOP_TASKRUN) && !features.contains(Features::DEFER_TASKRUN | Features::SINGLE_ISSUER) {
        builder.setup_coop_taskrun();
    }
    if features.contains(Features::DEFER_TASKRUN) || features.contains(Features::COOP_TASKRUN) {
        builder.setup_taskrun_flag();
    }
    if features.contains(Features::NO_SQARRAY) {
        builder.setup_no_sqarray();
    }
    match builder.build(config.submission_entries) {
        // SUBMIT_ALL is of 5.18; without it an entry that fails early only delays those behind it to the next call.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && features == Features::none() => IoUring::builder()
            .setup_clamp()
            .setup_cqsize(config.completion_entries.next_power_of_two())
            .build(config.submission_entries),
        built => built,
    }
}

/// The set without its newest set-up flag, in the order in which Linux learned them.
fn weaker(features: Features) -> Option<Features> {
    [Features::NO_SQARRAY, Features::DEFER_TASKRUN, Features::SINGLE_ISSUER, Features::COOP_TASKRUN]
        .into_iter()
        .find(|&newest| features.contains(newest))
        .map(|newest| features.without(newest))
        .or((features != Features::none()).then(Features::none))
}

/// Says why io_uring can't be had, in words that lead to a remedy.
pub(crate) fn explain(error: io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring, or a seccomp filter hides it; use the epoll driver".to_owned(),
        Some(libc::EPERM) => match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").as_deref().map(str::trim) {
            Ok("2") => "the sysctl kernel.io_uring_disabled is 2: io_uring is off for everybody; set it to 0 or use the epoll driver".to_owned(),
            Ok("1") => "the sysctl kernel.io_uring_disabled is 1: only a privileged process may use io_uring; join kernel.io_uring_group or use the epoll driver".to_owned(),
            _ => "a seccomp filter forbids io_uring, as Docker's default one does; allow io_uring_setup, io_uring_enter and io_uring_register, or use the epoll driver".to_owned(),
        },
        Some(libc::ENOMEM) => "the ring does not fit in RLIMIT_MEMLOCK (ulimit -l); raise it, ask for fewer entries, or use the epoll driver".to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => "no descriptor is left for the ring; raise RLIMIT_NOFILE (ulimit -n)".to_owned(),
        _ => return error,
    };
    io::Error::new(error.kind(), format!("io_uring is not available ({error}): {why}"))
}

/// Why io_uring can't be used here, tried now; none if it can.
///
/// The error names the cause (missing, a seccomp filter, a sysctl, the memlock limit) and the remedy.
#[must_use]
pub fn why_not() -> Option<io::Error> {
    match IoUring::new(8) {
        Ok(ring) if ring.params().is_feature_ext_arg() => None,
        Ok(_) => {
            Some(io::Error::new(io::ErrorKind::Unsupported, "io_uring here is older than Linux 5.11; the epoll driver is used"))
        }
        Err(error) => Some(explain(error)),
    }
}
