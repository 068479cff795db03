//! Reaping a child process by its descriptor, which names it and no other even after its number is used again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};

/// A descriptor of the process, or the number of the error.
pub(crate) fn open(pid: i32) -> Result<OwnedFd, i32> {
    // Rustix panics at a negative number.
    let pid = Pid::from_raw(pid.max(0)).ok_or(libc::EINVAL)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.raw_os_error())
}

/// Reaps the child process of a pidfd if it has ended, and says how; none while it runs (waitid(2), pidfd_open(2)).
///
/// # Errors
/// ECHILD if it is no child of this process, or has been reaped.
pub fn reap(pidfd: impl AsFd) -> io::Result<Option<ExitStatus>> {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(ended) => return Ok(ended.as_ref().map(exit_status)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The wait status as std knows it.
fn exit_status(ended: &WaitIdStatus) -> ExitStatus {
    let raw = match (ended.exit_status(), ended.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) => signal | if ended.dumped() { 0x80 } else { 0 },
        (None, None) => 0,
    };
    ExitStatus::from_raw(raw)
}
