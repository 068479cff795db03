//! Calls on threads that may block: given up with their futures if they have not begun, and counted for the files that they
//! concern.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::task::{JoinHandle, spawn_blocking};

/// A call that is aborted with its future: one that has not begun never does.
struct Abandoned<T: Send + 'static>(JoinHandle<T>);

impl<T: Send + 'static> Drop for Abandoned<T> {
    fn drop(&mut self) {
        // One that has been awaited to its end is left alone by this.
        self.0.abort();
    }
}

/// Runs a closure on a thread that may block. Cancelled: it does not run, or goes on to its end if it has begun.
pub(super) async fn blocking<T, F>(work: F) -> io::Result<T>
where
    F: FnOnce() -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    let mut call = Abandoned(spawn_blocking(work));
    match (&mut call.0).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The calls that are under way on one open file.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    count: usize,
    /// One of them is about the file's lock: those come one at a time.
    locking: bool,
    waiting: Vec<Waker>,
}

impl Running {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// One call under way; its end is when this is dropped.
#[derive(Debug)]
pub(super) struct Call {
    of: Arc<Calls>,
    locks: bool,
}

/// The file, by a descriptor for a call. Fields are dropped in order: it is closed before the call counts as ended.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    _call: Call,
}

impl Held {
    pub(super) fn new(file: File, call: Call) -> Held {
        Held { file, _call: call }
    }

    /// The file. A closure that calls this has all of `self` with it: the call is under way as long as the closure is there.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Calls {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Call {
        self.running().count += 1;
        Call { of: Arc::clone(self), locks: false }
    }

    /// Begins a call about the lock, when no other is under way.
    pub(super) async fn begin_locking(self: &Arc<Self>) -> Call {
        poll_fn(|cx| {
            let mut running = self.running();
            if running.locking {
                return running.wait(cx);
            }
            running.locking = true;
            running.count += 1;
            Poll::Ready(Call { of: Arc::clone(self), locks: true })
        })
        .await
    }

    /// Waits until no call is under way. Cancel safe.
    pub(super) async fn ended(&self) {
        poll_fn(|cx| {
            let mut running = self.running();
            if running.count == 0 { Poll::Ready(()) } else { running.wait(cx) }
        })
        .await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut running = self.of.running();
        running.count -= 1;
        if self.locks {
            running.locking = false;
        }
        let woken = match self.locks || running.count == 0 {
            true => std::mem::take(&mut running.waiting),
            false => Vec::new(),
        };
        drop(running);
        woken.into_iter().for_each(Waker::wake);
    }
}
