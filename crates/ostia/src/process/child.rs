//! A child process: waiting, signals, its end.

use std::io;
use std::process::{ExitStatus, Output};
use std::sync::Arc;

use crate::process::failure::{FailureKind, naming};
use crate::process::output::gather;
use crate::process::watch::Process;
use crate::process::{ChildStderr, ChildStdin, ChildStdout};

/// A child process that was started by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it lets the child go on by itself, and has it reaped when it ends; after
/// [`kill_on_drop`](super::Command::kill_on_drop) it is killed first. The pipes that are still here are closed with it.
///
/// It may be sent to other threads and waited for on any; its pipes belong to the worker that has started it.
#[derive(Debug)]
pub struct Child {
    /// The child's input, if it was to be [`piped`](super::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// The child's output, if it was to be [`piped`](super::Stdio::piped).
    pub stdout: Option<ChildStdout>,
    /// The child's standard error, if it was to be [`piped`](super::Stdio::piped).
    pub stderr: Option<ChildStderr>,
    pub(super) process: Arc<Process>,
    pub(super) kill_on_drop: bool,
    pub(super) output_limit: usize,
}

impl Child {
    /// The child's process number, until it is known to have ended: from then on it may be another's. (On Windows not before
    /// the [`Child`] has gone.)
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Closes [`stdin`](Self::stdin) if it is still here, so that a child that reads to the end gets there, and waits for the
    /// child to end. Asked again, it gives the same status again.
    ///
    /// A child whose output is piped and not read may wait for that to be read: see
    /// [`wait_with_output`](Self::wait_with_output).
    ///
    /// Cancel safe: dropped at any await, nothing is lost but the input, which stays closed. It can be awaited on any thread;
    /// where the worker that watched the child has ended, only inside of a runtime.
    ///
    /// # Errors
    /// [`ReapedByOthers`](FailureKind::ReapedByOthers) if something else in this process has taken the status;
    /// [`DescriptorLimit`](FailureKind::DescriptorLimit) if the child could not be watched: it can be waited for again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        std::future::poll_fn(|cx| self.process.poll_wait(cx)).await
    }

    /// The child's status if it has ended, without waiting. It leaves `stdin` open, and works on any thread, also outside of a
    /// runtime.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Kills the child (SIGKILL; TerminateProcess with the exit code 1) without waiting for its end. Nothing happens to one that
    /// has ended.
    ///
    /// Works on any thread, also outside of a runtime.
    ///
    /// # Errors
    /// [`NoPermission`](FailureKind::NoPermission) if the child has become another user.
    pub fn start_kill(&self) -> io::Result<()> {
        self.process.kill()
    }

    /// Kills the child (SIGKILL, TerminateProcess) and waits for its end; the status says what it came to, for it may have ended before.
    ///
    /// Cancelled: it is killed once this was polled; else as for [`wait`](Self::wait).
    ///
    /// # Errors
    /// As for [`start_kill`](Self::start_kill) and [`wait`](Self::wait).
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.start_kill()?;
        self.wait().await
    }

    /// Closes [`stdin`](Self::stdin), gathers what the child writes to [`stdout`](Self::stdout) and [`stderr`](Self::stderr),
    /// from both at once, until both have ended, and waits for the child. What is no pipe, or was taken, gives nothing.
    ///
    /// At most [`output_limit`](super::Command::output_limit) bytes of each are kept (64 MiB unless told otherwise): a child
    /// that writes more is killed, for its output is wanted whole.
    ///
    /// The pipes end when nobody has them open any more: a program that the child has left running with them keeps this
    /// waiting.
    ///
    /// Cancelled: what was gathered is lost and the pipes are closed; the child goes on as a dropped one does.
    ///
    /// # Errors
    /// [`TooMuchOutput`](FailureKind::TooMuchOutput); as read(2), the child being killed too; as for [`wait`](Self::wait); on
    /// another worker than the pipes'.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        match gather(self.stdout.take(), self.stderr.take(), self.output_limit).await {
            Ok((stdout, stderr)) => Ok(Output { status: self.wait().await?, stdout, stderr }),
            Err(error) => {
                // Its output is closed already; one that can't be killed is told so by that.
                let _ = self.start_kill();
                let too_much = error.kind() == io::ErrorKind::FileTooLarge;
                let kind = if too_much { FailureKind::TooMuchOutput } else { FailureKind::Other };
                Err(naming(kind, "keep the output of", &self.process.program, error))
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // One that can't be killed goes on and is reaped when it ends.
            let _ = self.process.kill();
        }
        self.process.abandon();
    }
}
