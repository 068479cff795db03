//! How workers are reached from other threads: a registry of inboxes, and what can be put into one.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use async_task::Runnable;
use ostia_port::{Handle, Remote};

use crate::here;
use crate::task::Meta;
use crate::worker::Core;

/// What one thread can ask of another's worker.
pub(crate) enum Message {
    /// A task of that worker has been woken.
    Run(Runnable<Meta>),
    /// Something to do there.
    Call(Box<dyn FnOnce(&Core) + Send>),
    /// A handle whose owner was dropped elsewhere.
    Close(Handle),
    /// Finish the tasks until this moment, abort the others, and end.
    Stop(Instant),
}

/// The side of a worker that other threads see.
pub(crate) struct Inbox {
    messages: Mutex<Vec<Message>>,
    full: AtomicBool,
    remote: Remote,
}

impl Inbox {
    fn put(&self, message: Message) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.full.store(true, Ordering::Release);
        self.remote.wake();
    }

    /// Whether something has come.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Exchanges what has come for an empty vector.
    pub(crate) fn take(&self, into: &mut Vec<Message>) {
        self.full.store(false, Ordering::Relaxed);
        // The lock orders this with `put`: a message put after it sets the flag again.
        std::mem::swap(into, &mut self.messages.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The most workers that a process makes in its life: numbers are never used twice, for a late wake-up must not reach
/// a stranger.
const MOST: u32 = 1 << 24;

static NEXT: AtomicU32 = AtomicU32::new(0);
static WORKERS: RwLock<BTreeMap<u32, Arc<Inbox>>> = RwLock::new(BTreeMap::new());

/// Enters a new worker under a number of its own.
pub(crate) fn register(remote: Remote) -> io::Result<(u32, Arc<Inbox>)> {
    let id = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| (id < MOST).then_some(id + 1));
    let id = id.map_err(|_| io::Error::other("this process has made 16,777,216 workers: no numbers are left"))?;
    let inbox = Arc::new(Inbox { messages: Mutex::default(), full: AtomicBool::new(false), remote });
    WORKERS.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&inbox));
    Ok((id, inbox))
}

/// Nobody reaches this worker any more. What was put before is in the inbox; nothing comes after.
pub(crate) fn unregister(id: u32) {
    WORKERS.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
}

/// Puts a message into a worker's inbox; gives it back if the worker has gone.
pub(crate) fn send(id: u32, message: Message) -> Result<(), Message> {
    // The lock is held while putting, so that nothing slips in behind `unregister`.
    let workers = WORKERS.read().unwrap_or_else(PoisonError::into_inner);
    match workers.get(&id) {
        Some(inbox) => {
            inbox.put(message);
            Ok(())
        }
        None => {
            drop(workers);
            Err(message)
        }
    }
}

/// Brings a task that was woken to its worker.
pub(crate) fn send_task(id: u32, runnable: Runnable<Meta>) {
    here::with(|core| core.counters.wakes_remote_sent.set(core.counters.wakes_remote_sent.get() + 1));
    let Err(Message::Run(runnable)) = send(id, Message::Run(runnable)) else { return };
    if runnable.metadata().has_begun() {
        // Its worker is gone and dropped the future then; or a future that must not be dropped here stays alive.
        std::mem::forget(runnable);
    } else {
        // What was shipped and never began is `Send` and can go anywhere; whoever awaits it learns that it was cancelled.
        let drop_it = || drop(runnable);
        let mut drop_it = Some(drop_it);
        here::with(|core| core.as_no_task(|| drop_it.take().map(|f| f())));
        if let Some(drop_it) = drop_it {
            drop_it();
        }
    }
}
