//! The few threads that carry out what would block: file operations of the epoll driver, cold reads of `send_file`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::bell::Bell;
use crate::os::{raw, syscalls};
use crate::sys::{Event, Sys};
use crate::tag::Tag;

/// How long a thread waits for more work before it ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a thread waits before it tries a full backlog again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(5);

/// The port's side: jobs go in, events come out, and the bell rings when one is there.
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    in_flight: usize,
    /// What has a thread of its own, with the futex (or null) by which to wake it when it is cancelled.
    lasting: Vec<(Tag, *const u32)>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    finished_waits: AtomicBool,
    /// Weak: a thread that outlives its port for a moment does not keep the port's descriptors.
    bell: Weak<Bell>,
    threads_max: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Tag, Sys)>,
    finished: Vec<Event>,
    /// Cancelled while running; looked at by waits that come in slices.
    cancelled: Vec<Tag>,
    threads: usize,
    idle: usize,
    /// The port has gone: no more jobs come.
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, tag: Tag, result: i32) {
        self.state().finished.push(Event::last(tag, result));
        self.finished_waits.store(true, Ordering::Release);
        if let Some(bell) = self.bell.upgrade() {
            bell.ring();
        }
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            if let Some((tag, sys)) = state.queue.pop_front() {
                drop(state);
                // SAFETY: the operation's slot keeps what `sys` points to until the event below has been taken.
                let result = unsafe { syscalls::carry_out(&sys) };
                self.finish(tag, result);
                state = self.state();
                continue;
            }
            if state.ended {
                state.threads -= 1;
                return;
            }
            state.idle += 1;
            let (back, wait) = self.work.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if wait.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    /// What may last has a thread of its own, for those of the pool are for work that ends: waiting for a futex, or for
    /// room in the backlog of a Unix socket, which no poll tells of.
    fn wait_long(&self, tag: Tag, sys: Sys) {
        let full = |result: i32| result == -raw::EAGAIN && matches!(sys, Sys::Connect { .. });
        loop {
            // SAFETY: the operation's slot keeps the futex word or the address alive until the event has been taken.
            let result = unsafe { syscalls::carry_out(&sys) };
            let mut state = self.state();
            let cancelled = state.cancelled.iter().position(|&t| t == tag).map(|at| state.cancelled.swap_remove(at));
            drop(state);
            match (result, cancelled) {
                (_, Some(_)) => return self.finish(tag, -raw::ECANCELED),
                (timed_out, None) if timed_out == -raw::ETIMEDOUT => {}
                (result, None) if full(result) => std::thread::sleep(BACKLOG_PAUSE),
                (result, None) => return self.finish(tag, result),
            }
        }
    }
}

impl Jobs {
    pub(crate) fn new(threads_max: usize, bell: &Arc<Bell>) -> Jobs {
        let (state, work) = (Mutex::default(), Condvar::new());
        let bell = Arc::downgrade(bell);
        let shared = Shared { state, work, finished_waits: AtomicBool::new(false), bell, threads_max };
        Jobs { shared: Arc::new(shared), in_flight: 0, lasting: Vec::new() }
    }

    /// Queues a request, or answers at once when no thread can be had for it.
    pub(crate) fn push(&mut self, tag: Tag, sys: Sys) -> Option<Event> {
        let shared = Arc::clone(&self.shared);
        let lasting = match sys {
            Sys::FutexWait { word, .. } => Some(word),
            Sys::Connect { .. } => Some(std::ptr::null()),
            _ => None,
        };
        if let Some(word) = lasting {
            let spawned = std::thread::Builder::new().name("ostia-wait".into()).spawn(move || shared.wait_long(tag, sys));
            if spawned.is_err() {
                return Some(Event::last(tag, -raw::EAGAIN));
            }
            self.in_flight += 1;
            self.lasting.push((tag, word));
            return None;
        }
        let mut state = self.shared.state();
        state.queue.push_back((tag, sys));
        self.in_flight += 1;
        if state.idle < state.queue.len() && state.threads < self.shared.threads_max {
            state.threads += 1;
            drop(state);
            if std::thread::Builder::new().name("ostia-blocking".into()).spawn(move || shared.run()).is_err() {
                let mut state = self.shared.state();
                state.threads -= 1;
                if state.threads == 0 {
                    // Nobody will ever come for it: the port's own thread is the last resort.
                    state.queue.retain(|(t, _)| *t != tag);
                    drop(state);
                    self.in_flight -= 1;
                    // SAFETY: as in `run`.
                    return Some(Event::last(tag, unsafe { syscalls::carry_out(&sys) }));
                }
            }
        } else {
            drop(state);
            self.shared.work.notify_one();
        }
        None
    }

    /// Takes a queued job back; a running one is left to end by itself. True if the tag was known here.
    pub(crate) fn cancel(&mut self, tag: Tag, out: &mut Vec<Event>) -> bool {
        if self.in_flight == 0 {
            return false;
        }
        let mut state = self.shared.state();
        let before = state.queue.len();
        state.queue.retain(|(t, _)| *t != tag);
        if state.queue.len() < before {
            self.in_flight -= 1;
            out.push(Event::last(tag, -raw::ECANCELED));
            return true;
        }
        // What has a thread of its own is woken, finds itself cancelled and ends.
        let Some(&(_, word)) = self.lasting.iter().find(|(t, _)| *t == tag) else { return false };
        if !state.finished.iter().any(|event| event.tag == tag) {
            state.cancelled.push(tag);
            drop(state);
            if !word.is_null() {
                syscalls::futex_wake(word, u32::MAX);
            }
        }
        true
    }

    /// Fetches what has been done.
    #[inline]
    pub(crate) fn collect(&mut self, out: &mut Vec<Event>) {
        if self.in_flight > 0 {
            self.collect_finished(out);
        }
    }

    fn collect_finished(&mut self, out: &mut Vec<Event>) {
        if self.shared.finished_waits.swap(false, Ordering::Acquire) {
            let mut state = self.shared.state();
            self.in_flight -= state.finished.len();
            self.lasting.retain(|(tag, _)| !state.finished.iter().any(|event| event.tag == *tag));
            out.append(&mut state.finished);
        }
    }

    /// How many requests have not been answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.work.notify_all();
    }
}
