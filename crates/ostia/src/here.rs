//! Which worker the current thread is, if any: the one pointer that every operation starts from.

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::task::Poll;

use async_task::Runnable;

use crate::inbox;
use crate::task::Meta;
use crate::worker::Core;

thread_local! {
    static HERE: Cell<Option<NonNull<Core>>> = const { Cell::new(None) };
}

/// Makes `core` this thread's worker while `run` runs; then whatever was it before.
pub(crate) fn enter<R>(core: &Core, run: impl FnOnce() -> R) -> R {
    struct Leave(Option<NonNull<Core>>);
    impl Drop for Leave {
        fn drop(&mut self) {
            HERE.set(self.0);
        }
    }
    let _leave = Leave(HERE.replace(Some(NonNull::from(core))));
    run()
}

/// Refuses to go on inside of a runtime.
///
/// # Panics
/// If this thread is a worker at work.
#[track_caller]
pub(crate) fn assert_outside() {
    assert!(HERE.get().is_none(), "block_on inside a task: await the future instead, or use spawn_blocking");
}

/// Calls `f` with this thread's worker; none outside of a runtime.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Core) -> R) -> Option<R> {
    // SAFETY: `enter` sets the pointer from a reference that lives until it clears the pointer again, and it does so
    // even when unwinding. The reference handed to `f` can't leave it.
    HERE.get().map(|core| f(unsafe { core.as_ref() }))
}

/// Calls `f` with this thread's worker.
///
/// # Panics
/// Outside of a runtime.
#[inline]
#[track_caller]
pub(crate) fn worker<R>(f: impl FnOnce(&Core) -> R) -> R {
    match with(f) {
        Some(result) => result,
        None => panic!("called outside of a runtime: run this inside ostia::block_on, Runtime::block_on or a task"),
    }
}

/// Calls `f` with the worker that an object belongs to.
///
/// # Errors
/// Where this thread is not that worker.
#[inline]
pub(crate) fn home<R>(id: u32, f: impl FnOnce(&Core) -> io::Result<R>) -> io::Result<R> {
    match with(|core| if core.id == id { f(core) } else { Err(elsewhere()) }) {
        Some(result) => result,
        None => Err(elsewhere()),
    }
}

/// As [`home`], for what is polled.
#[inline]
pub(crate) fn home_poll<R>(id: u32, f: impl FnOnce(&Core) -> Poll<io::Result<R>>) -> Poll<io::Result<R>> {
    // SAFETY: as in `with`.
    match HERE.get().map(|core| unsafe { core.as_ref() }) {
        Some(core) if core.id == id => f(core),
        _ => Poll::Ready(Err(elsewhere())),
    }
}

/// A task has been woken: into its worker's queue.
// One function for all tasks, beside the thread-local: elsewhere it would ask for that by a call.
#[inline(never)]
pub(crate) fn schedule(runnable: Runnable<Meta>) {
    #[cfg(feature = "console")]
    if runnable.metadata().has_begun() {
        crate::observe::console::waker_event("waker.wake", runnable.metadata().span.as_ref());
    }
    let id = runnable.metadata().worker();
    // SAFETY: as in `with`.
    match HERE.get().map(|core| unsafe { core.as_ref() }) {
        Some(core) if core.id == id => core.enqueue(runnable),
        _ => inbox::send_task(id, runnable),
    }
}

/// The error of using a worker's object on another thread.
#[cold]
pub(crate) fn elsewhere() -> io::Error {
    io::Error::other("this belongs to another worker: use it there (ostia::spawn_on), or move a stream with detach()")
}
