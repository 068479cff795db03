//! Sleeping on words within this process, which is all that the port promises: a table of who sleeps on which address.
//!
//! Each system has a call of its own for that (_umtx_op, __ulock_wait), but none says how many it has woken.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many rows the table has; a power of two.
const ROWS: usize = 64;

static TABLE: [Mutex<Vec<Sleeper>>; ROWS] = [const { Mutex::new(Vec::new()) }; ROWS];

/// Somebody who sleeps. Whoever wakes it takes it out of its row.
struct Sleeper {
    word: usize,
    woken: Arc<Condvar>,
}

fn row(word: usize) -> &'static Mutex<Vec<Sleeper>> {
    // The lowest bits of a word's address are zero.
    &TABLE[(word >> 2) % ROWS]
}

fn lock(row: &Mutex<Vec<Sleeper>>) -> MutexGuard<'_, Vec<Sleeper>> {
    row.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps while the word holds `expected`, for `limit` at most (none: as long as it takes). 0: woken; a negated EAGAIN: it holds
/// something else; ETIMEDOUT.
pub(crate) fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) -> i32 {
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let at = ptr_of(word);
    let row = row(at);
    let mut sleepers = lock(row);
    // Under the row's lock: who changes the word and wakes then finds the sleeper in the row.
    if word.load(Ordering::SeqCst) != expected {
        return -libc::EAGAIN;
    }
    let woken = Arc::new(Condvar::new());
    sleepers.push(Sleeper { word: at, woken: Arc::clone(&woken) });
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        sleepers = match left {
            None => woken.wait(sleepers).unwrap_or_else(PoisonError::into_inner),
            Some(left) => woken.wait_timeout(sleepers, left).unwrap_or_else(PoisonError::into_inner).0,
        };
        let Some(place) = sleepers.iter().position(|sleeper| Arc::ptr_eq(&sleeper.woken, &woken)) else { return 0 };
        if end.is_some_and(|end| end <= Instant::now()) {
            sleepers.remove(place);
            return -libc::ETIMEDOUT;
        }
    }
}

/// Wakes at most `count` that sleep on the word, in the order in which they came; answers how many.
pub(crate) fn wake(word: *const u32, count: u32) -> i32 {
    let at = word as usize;
    let mut left = count.min(i32::MAX as u32);
    let mut sleepers = lock(row(at));
    sleepers.retain(|sleeper| {
        if left == 0 || sleeper.word != at {
            return true;
        }
        left -= 1;
        sleeper.woken.notify_one();
        false
    });
    (count.min(i32::MAX as u32) - left) as i32
}

fn ptr_of(word: &AtomicU32) -> usize {
    word.as_ptr() as usize
}
