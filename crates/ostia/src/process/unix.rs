//! Children of Unix: named by their pidfds (pidfd_open(2)), told by signals.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Stdio};
use std::time::Duration;

use ostia_port::os::{AsRawFd, OwnedFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::process::failure::naming;
use crate::process::watch::Process;
use crate::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, FailureKind, ProcessError};

/// A descriptor that names a child and nobody else.
pub(super) fn descriptor_of(child: &process::Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whether an error says that there is no such child: nobody but us should reap it, and we have not.
pub(super) fn is_lost(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ECHILD | libc::ESRCH))
}

/// Waits until a child has ended, but no longer than that.
pub(super) fn await_end(child: &OwnedFd, most: Duration) {
    let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
    let _ = poll(&mut [PollFd::new(child, PollFlags::IN)], Some(&most));
}

/// Kills a child; false if it has ended already.
pub(super) fn kill(process: &Process) -> io::Result<bool> {
    match signal(process, libc::SIGKILL) {
        Ok(()) => Ok(true),
        Err(error) if ProcessError::of(&error).is_some_and(|known| known.kind() == FailureKind::Ended) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends a signal to a child and nobody else.
fn signal(process: &Process, signal: i32) -> io::Result<()> {
    let fd = process.descriptor.as_raw_fd();
    // SAFETY: pidfd_send_signal(2) with a null siginfo reads no memory; the descriptor is open as long as `process`.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0) };
    if sent == 0 {
        return Ok(());
    }
    Err(not_signalled(&process.program, io::Error::last_os_error()))
}

/// Says why a child can't be signalled.
#[cold]
fn not_signalled(program: &str, source: io::Error) -> io::Error {
    let kind = match source.raw_os_error() {
        Some(libc::EPERM) => FailureKind::NoPermission,
        Some(libc::ESRCH) => FailureKind::Ended,
        _ => FailureKind::Other,
    };
    naming(kind, "signal", program, source)
}

/// Why a child can't be waited for.
pub(super) fn not_waited_for(code: i32) -> FailureKind {
    match code {
        libc::EMFILE | libc::ENFILE => FailureKind::DescriptorLimit,
        libc::ECHILD | libc::ESRCH => FailureKind::ReapedByOthers,
        _ => FailureKind::Other,
    }
}

/// Whether the error of starting a program may be about the directory that it was to run in.
pub(super) fn may_be_the_directory(code: i32) -> bool {
    matches!(code, libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ELOOP | libc::ENAMETOOLONG)
}

/// Why a program was not started. `is_there` tells whether it is a path to a file that exists.
pub(super) fn not_started(code: i32, is_there: impl FnOnce() -> bool) -> FailureKind {
    match code {
        libc::ENOENT if is_there() => FailureKind::NoInterpreter,
        libc::ENOENT | libc::ENOTDIR => FailureKind::NotFound,
        libc::EACCES | libc::EPERM => FailureKind::NoPermission,
        libc::ENOEXEC => FailureKind::NotExecutable,
        libc::ETXTBSY => FailureKind::BeingWritten,
        libc::E2BIG => FailureKind::TooLong,
        libc::EMFILE | libc::ENFILE => FailureKind::DescriptorLimit,
        libc::EAGAIN | libc::ENOMEM => FailureKind::ProcessLimit,
        _ => FailureKind::Other,
    }
}

pub(super) fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NotFound => "install it, check the spelling, or give its path (names without one are looked for in PATH)",
        FailureKind::NoInterpreter => "install what its first line names after `#!` (or the loader that `file` names)",
        FailureKind::NoPermission => {
            "make it executable (`chmod +x`) on a file system that is not mounted noexec; changing user or group, and \
             signals to other users' processes, need privileges"
        }
        FailureKind::NotExecutable => "begin a script with `#!/bin/sh` or its like; a binary must be for this machine",
        FailureKind::BeingWritten => {
            "close the file first; a child started meanwhile may hold it open for a moment, so try again"
        }
        FailureKind::BadDirectory => "make the directory, or allow this user to enter it",
        FailureKind::TooLong => "pass the data through standard input or a file",
        FailureKind::NulByte => "take the NUL byte out",
        FailureKind::DescriptorLimit => "raise the limit (`ulimit -n`, LimitNOFILE=, `sysctl fs.file-max`), or close some",
        FailureKind::ProcessLimit => "raise the limit (`ulimit -u`, TasksMax=, pids.max), or run fewer at once",
        FailureKind::TooMuchOutput => "raise it with Command::output_limit, or read the pipes piece by piece",
        FailureKind::Ended => "wait for it: its status is there",
        FailureKind::ReapedByOthers => {
            "let nothing in this program wait for any child (waitpid(-1)) or ignore SIGCHLD: the status is lost by that"
        }
        FailureKind::NoRuntime => "call this inside of ostia::block_on, Runtime::block_on or a task",
        FailureKind::Other => "look the system's error up (errno(3))",
    }
}

/// Unix only.
impl Command {
    /// What the program sees as its own name, instead of what it was called by. Unix only.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg0(name);
        self
    }

    /// The process group that the child joins; 0: a new one, named by its own number (setpgid(2)). A child of another group
    /// is not interrupted by Ctrl-C in this one's terminal.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.std.process_group(group);
        self
    }

    /// The user to run as (setuid(2)), which needs privileges; supplementary groups are dropped with them.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// The group to run as (setgid(2)), which needs privileges.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }
}

/// Unix only.
impl Child {
    /// Sends a signal by its number, such as `libc::SIGTERM` (signal(7)); 0 only asks whether one could be sent. It reaches
    /// the child alone, not those that it has started.
    ///
    /// Works on any thread, also outside of a runtime.
    ///
    /// # Errors
    /// [`Ended`](FailureKind::Ended) if the child has been reaped; EINVAL for what is no signal;
    /// [`NoPermission`](FailureKind::NoPermission) if the child has become another user.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self::signal(&self.process, signal)
    }
}

macro_rules! hand_over {
    ($($name:ident: $doc:literal;)*) => {$(
        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            #[doc = $doc]
            fn try_from(pipe: $name) -> io::Result<Stdio> {
                pipe.into_owned_fd().map(Stdio::from)
            }
        }
    )*};
}

hand_over! {
    ChildStdin: "Gives the pipe to another child, as its output: see [`ChildStdin::into_owned_fd`].";
    ChildStdout: "Gives the pipe to another child, as its input: see [`ChildStdout::into_owned_fd`].";
    ChildStderr: "Gives the pipe to another child, as its input: see [`ChildStderr::into_owned_fd`].";
}
