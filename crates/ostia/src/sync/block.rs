//! Waiting for a future with a whole thread: what the blocking variants are made of.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::here;

/// Wakes a thread.
struct Parked {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    /// Lent to whoever blocks on this thread; one that blocks inside another's poll makes its own.
    static PARKED: Cell<Option<(Arc<Parked>, Waker)>> = const { Cell::new(None) };
}

/// Runs `future` on this thread, which sleeps in between.
///
/// # Panics
/// On a worker of a runtime: `what` would stop all of its tasks, maybe among them the one that is waited for.
#[track_caller]
pub(crate) fn block<F: Future>(what: &str, future: F) -> F::Output {
    assert!(
        here::with(|_| ()).is_none(),
        "{what} inside a runtime would stop its worker: await the future instead, or use spawn_blocking"
    );
    let (parked, waker) = PARKED.take().unwrap_or_else(|| {
        let parked = Arc::new(Parked { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&parked));
        (parked, waker)
    });
    let mut future = pin!(future);
    let output = loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => break output,
            Poll::Pending => {
                while !parked.woken.swap(false, Ordering::AcqRel) {
                    thread::park();
                }
            }
        }
    };
    PARKED.set(Some((parked, waker)));
    output
}
