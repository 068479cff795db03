//! Child processes: started, talked to through pipes, waited for through the port.
//!
//! ```
//! use ostia::process::{Command, Stdio};
//!
//! # #[cfg(unix)]
//! ostia::block_on(async {
//!     let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//!     let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
//!     to.send("ahoy").await?;
//!     drop(to);
//!     assert_eq!(from.recv().await?.as_deref(), Some(&b"ahoy"[..]));
//!     assert!(child.wait().await?.success());
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! **How a child is waited for.** The worker that starts one posts [`Op::WaitPid`](ostia_port::Op::WaitPid) for it at once and
//! leaves it posted. No signal is handled, no thread made, and nobody else's children are touched. How the child has ended
//! is kept with it: dropping a [`wait`](Child::wait) loses nothing, waiting again gives the same answer, and it may be asked
//! for on any thread. The pipes belong to the worker that started the child.
//!
//! **Signals never hit a stranger.** They go through a descriptor of the child (pidfd_open(2)), not to its number, which is
//! another's as soon as the child has been reaped. So a child takes two descriptors of this process while it runs, and
//! one after that until the [`Child`] is dropped, besides its pipes.
//!
//! On Windows there are no signals, and a child is named by the handle that it was started with: it can be killed
//! (TerminateProcess), and its status asked for, for as long as there is a [`Child`].
//!
//! **A dropped [`Child`] goes on**, unless [`Command::kill_on_drop`] says otherwise, and leaves no zombie: what was posted
//! for it reaps it. It counts as no task, so neither `block_on` nor [`Runtime::shutdown`](crate::Runtime::shutdown) waits
//! for it. Where the worker that watches a child ends first, its status is not lost: whoever waits next has their own worker
//! watch it. A child that by then nobody can ask for is left to the process: it is reaped when a child is started the
//! next time, or another one is left so, or by the system when this process ends; one that was killed is waited for then and
//! there, for a tenth of a second at most.
//!
//! **Pipes are pipes**, closed in other children (O_CLOEXEC) and read and written as streams are: received bytes
//! are lent and belong to the pipe, not to the future that asked; sends go into a bounded queue. [`Io`](crate::adapt::Io)
//! gives them the traits of other libraries, [`FramedRead`](crate::codec::FramedRead) lines or other frames. Writing to a
//! child that has closed its input fails with EPIPE; as everywhere in Rust this needs SIGPIPE to be ignored, which the
//! standard library sees to before `main`. In the child it is not ignored. On Windows it fails with ERROR_BROKEN_PIPE.
//!
//! **Errors** name the program and a remedy: [`ProcessError::of`].
//!
//! Starting a program is done by the standard library on the worker's thread, and takes as long as fork(2) and execve(2), or
//! CreateProcessW, do.

mod child;
mod command;
mod failure;
mod output;
mod pipe;
#[cfg(unix)]
mod unix;
mod watch;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use child::Child;
pub use command::Command;
pub use failure::{FailureKind, ProcessError};
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{ExitStatus, Output, Stdio};
