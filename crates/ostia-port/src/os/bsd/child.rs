//! Reaping a child process by a descriptor: a kqueue of its own that watches the process and is readable once it has ended.
//!
//! The process is known by its number. The system doesn't use that again before somebody has reaped the child, so this is
//! as good as Linux' pidfd as long as nobody else does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::queue;

/// Stands for the number of a process that has been reaped.
const REAPED: isize = 0;

/// A descriptor of the process, or the number of the error.
pub(crate) fn open(pid: i32) -> Result<OwnedFd, i32> {
    // Rustix panics at a negative number.
    let pid = Pid::from_raw(pid.max(0)).ok_or(libc::EINVAL)?;
    watch(pid).map_err(|error| error.raw_os_error())
}

fn watch(pid: Pid) -> rustix::io::Result<OwnedFd> {
    let queue = queue::create()?;
    let exit = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
    match queue::change(queue.as_fd(), &[Event::new(exit, EventFlags::ADD, ptr::null_mut())]) {
        // It has ended already, as macOS says it; or it never was, which reaping tells.
        Err(Errno::SRCH) => note(queue.as_fd(), pid.as_raw_nonzero().get() as isize)?,
        watched => watched?,
    }
    Ok(queue)
}

/// Makes the queue readable from now on, and keeps a number in it.
fn note(queue: BorrowedFd<'_>, ident: isize) -> rustix::io::Result<()> {
    queue::change(queue, &[queue::user(ident, EventFlags::ADD, false), queue::user(ident, EventFlags::empty(), true)])
}

/// Reaps the child process of a descriptor that [`Op::WaitPid`](crate::Op::WaitPid) waits for, if it has ended, and says
/// how; none while it runs (kqueue(2), waitpid(2)).
///
/// # Errors
/// ECHILD if it is no child of this process, or has been reaped.
pub fn reap(watch: impl AsFd) -> io::Result<Option<ExitStatus>> {
    let queue = watch.as_fd();
    let ident = match queue::take(queue)?.map(|event| event.filter()) {
        None => return Ok(None),
        Some(EventFilter::Proc { pid, .. }) => {
            // The news of the end is told once. The child may not be there to be reaped yet, or never by us.
            let ident = pid.as_raw_nonzero().get() as isize;
            note(queue, ident)?;
            ident
        }
        Some(EventFilter::User { ident, .. }) => ident,
        Some(_) => return Err(Errno::INVAL.into()),
    };
    let pid = Pid::from_raw(ident as i32).ok_or(Errno::CHILD)?;
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(None) => return Ok(None),
            Ok(Some((_, status))) => {
                // Its number may be another's from now on.
                note(queue, REAPED)?;
                queue::change(queue, &[queue::user(ident, EventFlags::DELETE, false)])?;
                return Ok(Some(ExitStatus::from_raw(status.as_raw())));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
