//! Waiting for children: who is told how one has ended, and who reaps those that nobody asks for any more.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ostia_port::os::{ECHILD, EIO, OwnedFd};
use ostia_port::{Completion, Op, Payload, reap};

use crate::here;
use crate::process::failure::{no_runtime, not_waited_for};
use crate::process::system;
use crate::worker::Core;

/// How long the end of a killed child is waited for where no worker can.
const DYING: Duration = Duration::from_millis(100);

/// Children that nobody asks for and no worker watches.
static ORPHANS: Mutex<Vec<Arc<Process>>> = Mutex::new(Vec::new());

/// What is known of a child, shared by whoever holds the [`Child`](super::Child) and the worker that watches it.
#[derive(Debug)]
pub(super) struct Process {
    pid: i32,
    /// Names the child and nobody else, even after its number is used again: a pidfd, or a handle of Windows.
    pub(super) descriptor: OwnedFd,
    pub(super) program: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    waker: Option<Waker>,
    /// Nobody can ask for it any more.
    abandoned: bool,
    /// SIGKILL has been sent.
    killed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// No worker watches it, or the one that did has ended.
    Unwatched,
    /// A worker's port waits for it.
    Watched,
    /// Watching has failed with this error, which the next to wait is told. It may be tried again.
    Failed(i32),
    /// Somebody else in this process has reaped it. Its number may be another's.
    Lost,
    /// It has been reaped.
    Ended(ExitStatus),
}

/// A worker's promise to say what becomes of a child. Dropped with a worker that ends, it says that.
struct Watch(Arc<Process>);

impl Process {
    /// Takes charge of a child that was just started: nobody else may reap it from now on.
    pub(super) fn new(child: &Child, program: String) -> io::Result<Arc<Process>> {
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let descriptor = system::descriptor_of(child)?;
        let state = State { stage: Stage::Unwatched, waker: None, abandoned: false, killed: false };
        Ok(Arc::new(Process { pid, descriptor, program, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child's number, as long as that is known to be its own.
    pub(super) fn pid(&self) -> Option<u32> {
        let ended = matches!(self.state().stage, Stage::Ended(_) | Stage::Lost);
        if ended { None } else { u32::try_from(self.pid).ok() }
    }

    /// Has a worker watch the child, unless one does or it has ended.
    pub(super) fn watch(self: &Arc<Self>, core: &Core) {
        let mut state = self.state();
        if !matches!(state.stage, Stage::Unwatched | Stage::Failed(_)) {
            return;
        }
        // The port knows the child by its number, which is surely its own only as long as nobody has reaped it.
        state.stage = Stage::Unwatched;
        if !matches!(self.look(&mut state), Ok(None)) {
            let waker = state.waker.take();
            drop(state);
            return waker.into_iter().for_each(Waker::wake);
        }
        drop(state);
        self.post(core);
    }

    /// Has a worker watch a child that nobody watches and nobody can have reaped.
    pub(super) fn post(self: &Arc<Self>, core: &Core) {
        self.state().stage = Stage::Watched;
        let watch = Watch(Arc::clone(self));
        core.operate_then(Op::WaitPid { pid: self.pid }, Box::new(move |completion, wake| watch.done(completion, wake)));
    }

    /// Asks the system whether the child has ended, reaps it if so, and notes down what came of it.
    fn look(&self, state: &mut State) -> io::Result<Option<ExitStatus>> {
        match reap(&self.descriptor) {
            Ok(Some(status)) => {
                state.stage = Stage::Ended(status);
                Ok(Some(status))
            }
            // A worker on another thread has reaped it and is about to say so.
            Err(error) if system::is_lost(&error) && matches!(state.stage, Stage::Watched) => Ok(None),
            Err(error) => {
                if system::is_lost(&error) {
                    state.stage = Stage::Lost;
                }
                Err(not_waited_for(&self.program, error))
            }
            Ok(None) => Ok(None),
        }
    }

    /// Waits for the child's end, on any thread. If nobody watches it, this thread's worker does from now on.
    pub(super) fn poll_wait(self: &Arc<Self>, cx: &Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let mut state = self.state();
        match state.stage {
            Stage::Ended(status) => return Poll::Ready(Ok(status)),
            Stage::Failed(errno) => {
                state.stage = Stage::Unwatched;
                drop(state);
                return Poll::Ready(Err(not_waited_for(&self.program, io::Error::from_raw_os_error(errno))));
            }
            Stage::Lost => {
                let lost = io::Error::from_raw_os_error(ECHILD);
                return Poll::Ready(Err(not_waited_for(&self.program, lost)));
            }
            Stage::Watched | Stage::Unwatched => {}
        }
        let watched = matches!(state.stage, Stage::Watched);
        let old = match &state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.waker.replace(cx.waker().clone()),
        };
        drop(state);
        // A waker may do anything when it is dropped.
        drop(old);
        if !watched && here::with(|core| self.watch(core)).is_none() {
            return Poll::Ready(Err(no_runtime("wait for", &self.program)));
        }
        Poll::Pending
    }

    /// Asks the system whether the child has ended, and reaps it if so.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        // The lock is held meanwhile: whoever comes next finds the status, not a child that is gone.
        let mut state = self.state();
        if let Stage::Ended(status) = state.stage {
            return Ok(Some(status));
        }
        self.look(&mut state)
    }

    /// Kills the child. One that has ended already is as it should be.
    pub(super) fn kill(&self) -> io::Result<()> {
        if system::kill(self)? {
            self.state().killed = true;
        }
        Ok(())
    }

    /// The last who could ask for the child has gone: it is reaped as soon as it has ended, and nobody is told.
    pub(super) fn abandon(self: &Arc<Self>) {
        let mut state = self.state();
        state.abandoned = true;
        let waker = state.waker.take();
        let left = matches!(state.stage, Stage::Unwatched | Stage::Failed(_));
        drop(state);
        drop(waker);
        if left && here::with(|core| self.watch(core)).is_none() {
            self.leave_to_the_process();
        }
    }

    /// Reaps the child if that can be done now, else notes it down among those that are to be reaped some time.
    fn leave_to_the_process(self: &Arc<Self>) {
        if self.state().killed {
            // What was killed ends at once, unless the system itself is stuck with it.
            system::await_end(&self.descriptor, DYING);
        }
        let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.push(Arc::clone(self));
        // An error means that the child is somebody else's affair.
        orphans.retain(|orphan| matches!(orphan.try_wait(), Ok(None)));
    }
}

/// Has a worker watch the children that were left to the process.
pub(super) fn adopt_orphans(core: &Core) {
    let orphans = std::mem::take(&mut *ORPHANS.lock().unwrap_or_else(PoisonError::into_inner));
    for orphan in orphans {
        if matches!(orphan.try_wait(), Ok(None)) {
            orphan.watch(core);
        }
    }
}

impl Watch {
    /// The port has answered: keeps what it said and tells who waits.
    fn done(self, completion: Completion, wake: &mut Vec<Waker>) {
        let stage = match (completion.result, completion.payload) {
            (Ok(_), Payload::Exit(status)) => Stage::Ended(status),
            (Ok(_), _) => Stage::Failed(EIO),
            (Err(error), _) if system::is_lost(&error) => Stage::Lost,
            (Err(error), _) => Stage::Failed(error.raw_os_error().unwrap_or(EIO)),
        };
        let mut state = self.0.state();
        // `try_wait` may have reaped it before the port could.
        if matches!(state.stage, Stage::Watched) {
            state.stage = stage;
        }
        wake.extend(state.waker.take());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if let Stage::Watched = state.stage {
            state.stage = Stage::Unwatched;
        }
        let left = match state.stage {
            Stage::Failed(_) | Stage::Unwatched => state.abandoned,
            Stage::Watched | Stage::Lost | Stage::Ended(_) => false,
        };
        let waker = state.waker.take();
        drop(state);
        if left {
            self.0.leave_to_the_process();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
