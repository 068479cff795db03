//! The threads that may block: bounded in number, made when there is work, ending when there is none.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_task::Runnable;

use crate::task::Meta;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);
/// The bound that holds until a runtime sets another.
const DEFAULT_MOST: usize = 64;

struct Pool {
    queue: VecDeque<Runnable<Meta>>,
    threads: usize,
    idle: usize,
    most: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { queue: VecDeque::new(), threads: 0, idle: 0, most: DEFAULT_MOST });
static WORK: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the most threads, for the whole process.
pub(crate) fn set_most(threads: usize) {
    pool().most = threads.max(1);
}

/// How many threads there are at this moment.
pub(crate) fn threads() -> usize {
    pool().threads
}

/// Queues a closure, and makes a thread for it if all are busy and one more is allowed.
pub(crate) fn schedule(runnable: Runnable<Meta>) {
    let mut pool = pool();
    pool.queue.push_back(runnable);
    if pool.idle >= pool.queue.len() {
        WORK.notify_one();
    } else if pool.threads < pool.most {
        pool.threads += 1;
        drop(pool);
        if std::thread::Builder::new().name("ostia-blocking".into()).spawn(work).is_err() {
            no_thread();
        }
    }
}

/// The system gives no thread: those there are will come to it; if there are none, the caller does the work.
#[cold]
fn no_thread() {
    let mut pool = pool();
    pool.threads -= 1;
    tracing::warn!(threads = pool.threads, "no thread for blocking work can be had");
    if pool.threads == 0 {
        let queued: Vec<_> = pool.queue.drain(..).collect();
        drop(pool);
        queued.into_iter().for_each(|runnable| {
            runnable.run();
        });
    }
}

fn work() {
    let mut pool = pool();
    loop {
        if let Some(runnable) = pool.queue.pop_front() {
            drop(pool);
            runnable.run();
            pool = self::pool();
            continue;
        }
        pool.idle += 1;
        let (woken, timeout) = WORK.wait_timeout(pool, IDLE).unwrap_or_else(PoisonError::into_inner);
        pool = woken;
        pool.idle -= 1;
        if timeout.timed_out() && pool.queue.is_empty() {
            pool.threads -= 1;
            return;
        }
    }
}
