//! How many connections a server has, where, and who waits for that to change.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// Shared by a server's workers: connections are counted in and out, and whoever waits is woken.
#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    /// Connections, rejected ones not among them.
    live: AtomicUsize,
    /// Connections per worker, rejected ones among them, by the worker's place in `workers`.
    each: Vec<AtomicUsize>,
    workers: Vec<u32>,
    accepted: AtomicUsize,
    rejected: AtomicUsize,
    stopping: AtomicBool,
    has_waiters: AtomicBool,
    waiters: Mutex<Vec<Waker>>,
    /// Those who want to know of the stop, each once.
    stop_waiters: Mutex<Vec<Waker>>,
}

impl Gate {
    pub(crate) fn new(most: usize, workers: Vec<u32>) -> Gate {
        Gate {
            most,
            live: AtomicUsize::new(0),
            each: workers.iter().map(|_| AtomicUsize::new(0)).collect(),
            workers,
            accepted: AtomicUsize::new(0),
            rejected: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            has_waiters: AtomicBool::new(false),
            waiters: Mutex::default(),
            stop_waiters: Mutex::default(),
        }
    }

    fn place(&self, worker: u32) -> Option<&AtomicUsize> {
        self.workers.iter().position(|&w| w == worker).and_then(|i| self.each.get(i))
    }

    /// Counts a connection in; false if that would be one too many.
    pub(crate) fn enter(&self, worker: u32) -> bool {
        let entered = self.live.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |live| (live < self.most).then_some(live + 1));
        if entered.is_ok() {
            self.accepted.fetch_add(1, Ordering::Relaxed);
            if let Some(place) = self.place(worker) {
                place.fetch_add(1, Ordering::Relaxed);
            }
        }
        entered.is_ok()
    }

    /// Whether one more could enter.
    pub(crate) fn has_room(&self) -> bool {
        self.live.load(Ordering::Acquire) < self.most
    }

    /// Counts a connection out.
    pub(crate) fn leave(&self, worker: u32) {
        self.live.fetch_sub(1, Ordering::AcqRel);
        if let Some(place) = self.place(worker) {
            place.fetch_sub(1, Ordering::Relaxed);
        }
        self.tell();
    }

    pub(crate) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Wakes whoever waits for something to change.
    pub(crate) fn tell(&self) {
        if self.has_waiters.load(Ordering::SeqCst) {
            let waiters = {
                let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
                self.has_waiters.store(false, Ordering::SeqCst);
                std::mem::take(&mut *waiters)
            };
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// Has `waker` woken at the next change. Look again after this: a change may have been just before.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiters.iter().any(|w| w.will_wake(waker)) {
            waiters.push(waker.clone());
        }
        self.has_waiters.store(true, Ordering::SeqCst);
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.tell();
        let waiters = std::mem::take(&mut *self.stop_waiters.lock().unwrap_or_else(PoisonError::into_inner));
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Has `waker` woken when the server is stopped. True if it is being stopped already.
    pub(crate) fn watch_stop(&self, waker: &Waker) -> bool {
        let mut waiters = self.stop_waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_stopping() && !waiters.iter().any(|w| w.will_wake(waker)) {
            waiters.push(waker.clone());
        }
        self.is_stopping()
    }

    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn live_on(&self, worker: u32) -> usize {
        self.place(worker).map_or(0, |place| place.load(Ordering::Relaxed))
    }

    /// Connections of each worker.
    pub(crate) fn live_each(&self) -> Vec<usize> {
        self.each.iter().map(|place| place.load(Ordering::Relaxed)).collect()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn rejected(&self) -> usize {
        self.rejected.load(Ordering::Relaxed)
    }
}
