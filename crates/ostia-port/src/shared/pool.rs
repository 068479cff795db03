//! A pool of threads over a shared port: it grows while packets wait and nobody can take them, and shrinks when idle.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::SharedPort;
use super::parker::Parker;
use super::sync::Patience;
use crate::completion::Completion;
use crate::remote::Packet;

/// How long the pool waits before it asks the system again for a thread that it didn't get.
const SPAWN_PAUSE: Duration = Duration::from_millis(50);

/// The context of exit packets, beside the key: no accident makes both.
const EXIT_CONTEXT: u64 = 0x6f73_7469_615f_6578;

/// What is told of a handler's panic: its message.
pub type OnPanic = Arc<dyn Fn(&str) + Send + Sync>;

type Handler = Box<dyn Fn(&SharedPort, Completion) + Send + Sync>;

/// The settings of a [`ThreadPool`].
#[derive(Clone)]
pub struct ThreadPoolConfig {
    /// How many threads there are at least. Default 1.
    pub min: usize,
    /// How many there are at most, at least `min` and 1. More than the port's concurrency are of use when handlers block.
    /// Default 64.
    pub max: usize,
    /// How long a thread waits for a packet before it ends, while there are more than `min`; at least 1 ms. Default 10 s.
    pub idle: Duration,
    /// What the threads' names begin with; a number follows. Default "ostia-pool".
    pub name: String,
    /// The size of a thread's stack in bytes; none is the system's default.
    pub stack_size: Option<usize>,
    /// Called with the message of each panic of the handler, on the thread on which it happened, after the panic hook.
    /// Default none.
    pub on_panic: Option<OnPanic>,
}

impl Default for ThreadPoolConfig {
    fn default() -> ThreadPoolConfig {
        ThreadPoolConfig {
            min: 1,
            max: 64,
            idle: Duration::from_secs(10),
            name: "ostia-pool".into(),
            stack_size: None,
            on_panic: None,
        }
    }
}

impl std::fmt::Debug for ThreadPoolConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPoolConfig")
            .field("min", &self.min)
            .field("max", &self.max)
            .field("idle", &self.idle)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a pool has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PoolReport {
    /// Threads that were still in their handlers at the deadline. Each ends when its handler returns.
    pub left: usize,
    /// How many times a handler has panicked.
    pub panics: u64,
}

/// Threads that wait on a [`SharedPort`] and run a handler for each packet.
///
/// The pool grows by one thread after another, up to its maximum, while packets wait, no thread does, and the port's
/// concurrency would let one more run: because there are few threads yet, or because some have blocked (in
/// [`SharedPort::blocking`], or seen asleep). A thread that has waited for [`ThreadPoolConfig::idle`] ends; that the port
/// releases the last to wait first sees to it that those are not needed.
///
/// A handler that panics harms only its packet: the panic is counted, reported to [`ThreadPoolConfig::on_panic`], and the
/// thread goes on.
///
/// Dropping the pool asks its threads to end, as [`shutdown`](Self::shutdown) does, but waits for none of them.
pub struct ThreadPool {
    shared: Arc<Shared>,
    supervisor: Option<JoinHandle<()>>,
}

struct Shared {
    port: SharedPort,
    handler: Handler,
    config: ThreadPoolConfig,
    state: Mutex<State>,
    /// Told when the last thread goes.
    empty: Condvar,
    panics: AtomicU64,
    /// Where the supervisor sleeps until somebody needs a thread.
    supervisor: Arc<Parker>,
}

#[derive(Default)]
struct State {
    threads: usize,
    /// Those of them that have not looked for a packet yet: others are not needed before that.
    arriving: usize,
    /// The most that there ever were at once.
    peak: usize,
    stopping: bool,
    /// The queue knows the supervisor, and wakes it when it starves.
    called: bool,
    /// The number of the next thread.
    next: usize,
    joins: Vec<JoinHandle<()>>,
}

impl ThreadPool {
    /// The key of the packets by which a pool stops its threads. Threads of your own that wait on the same port may be handed
    /// one while the pool shuts down: post it again.
    pub const EXIT_KEY: u64 = u64::MAX;

    /// Starts a pool on `port` with `min` threads, which call `handler` with the port and each packet.
    ///
    /// # Errors
    /// InvalidInput names a setting out of its range; AlreadyExists when the port has a pool; otherwise no thread could be
    /// had.
    pub fn start(
        port: &SharedPort,
        config: ThreadPoolConfig,
        handler: impl Fn(&SharedPort, Completion) + Send + Sync + 'static,
    ) -> io::Result<ThreadPool> {
        if config.max == 0 || config.min > config.max {
            let wrong = format!("min is {} and max {}: they must satisfy min <= max and 1 <= max", config.min, config.max);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong));
        }
        if config.idle < Duration::from_millis(1) {
            let wrong = format!("idle is {:?}: it must be at least 1 ms", config.idle);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong));
        }
        if port.0.pooled.swap(true, Ordering::AcqRel) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the shared port has a pool already"));
        }
        let shared = Arc::new(Shared {
            port: port.clone(),
            handler: Box::new(handler),
            config,
            state: Mutex::default(),
            empty: Condvar::new(),
            panics: AtomicU64::new(0),
            supervisor: Arc::new(Parker::new()),
        });
        let mut pool = ThreadPool { shared: Arc::clone(&shared), supervisor: None };
        for _ in 0..shared.config.min {
            spawn(&shared)?;
        }
        let name = format!("{}-grow", shared.config.name);
        pool.supervisor = Some(std::thread::Builder::new().name(name).spawn(move || supervise(&shared))?);
        Ok(pool)
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.shared.state().threads
    }

    /// The most threads that there have been at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.shared.state().peak
    }

    /// How many times the handler has panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Stops the pool in order: posts an exit packet for each thread, behind the packets that wait, and waits until all have
    /// gone, for `deadline` at most. The port stays, with what is in flight on it. Called from a handler, this waits for
    /// itself, and returns at the deadline. Packets that wait when the pool has no thread (with a `min` of 0) stay.
    pub fn shutdown(mut self, deadline: Duration) -> PoolReport {
        self.shared.stop();
        let until = Patience::of(Some(deadline));
        let mut state = self.shared.state();
        while state.threads > 0 {
            state = match until.left() {
                Some(Duration::ZERO) => break,
                Some(left) => self.shared.empty.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.empty.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        let left = state.threads;
        let joins = std::mem::take(&mut state.joins);
        drop(state);
        if left == 0 {
            // They have done all but return.
            let me = std::thread::current().id();
            joins.into_iter().chain(self.supervisor.take()).filter(|thread| thread.thread().id() != me).for_each(|thread| {
                let _ = thread.join();
            });
        }
        PoolReport { left, panics: self.panics() }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.port.0.pooled.store(false, Ordering::Release);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no thread comes, and each of those there are has an exit packet waiting for it.
    fn stop(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.stopping, true) {
            return;
        }
        let threads = state.threads;
        drop(state);
        self.supervisor.unpark();
        for _ in 0..threads {
            let exit = Packet { key: ThreadPool::EXIT_KEY, context: EXIT_CONTEXT, result: 0 };
            // Past every bound, for the stop must not fail; refused only by a port that has ended, which stops them too.
            let _ = self.port.post_within(exit, usize::MAX);
        }
    }

    /// Whether a thread that has waited for nothing may end; it is no longer counted then.
    fn dismiss(&self) -> bool {
        let mut state = self.state();
        // Once the pool stops, each thread has an exit packet to take.
        let leaves = !state.stopping && state.threads > self.config.min;
        if leaves {
            state.threads -= 1;
            self.supervisor.unpark();
        }
        leaves
    }

    /// A thread has looked for its first packet.
    fn arrived(&self) {
        self.state().arriving -= 1;
        // Perhaps more are needed.
        self.supervisor.unpark();
    }

    /// Runs the handler, and survives its panic.
    fn handle(&self, packet: Completion) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.handler)(&self.port, packet))) {
            self.panics.fetch_add(1, Ordering::Relaxed);
            // What reports the panic, or is dropped with it, may panic in turn: that is all the same panic.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                if let Some(report) = &self.config.on_panic {
                    report(message_of(&*panic));
                }
                drop(panic);
            }));
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

fn is_exit(packet: &Completion) -> bool {
    packet.id.is_none() && packet.key == ThreadPool::EXIT_KEY && packet.context == EXIT_CONTEXT
}

/// Counts a thread out when it ends.
struct Counted<'a>(Option<&'a Shared>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let Some(shared) = self.0 else { return };
        let mut state = shared.state();
        state.threads -= 1;
        if state.threads == 0 {
            shared.empty.notify_all();
        }
        drop(state);
        shared.supervisor.unpark();
    }
}

/// A thread of the pool.
fn work(shared: &Shared) {
    let mut counted = Counted(Some(shared));
    // The first look doesn't wait, so that the supervisor soon knows whether this thread was enough.
    let mut found = shared.port.wait(Some(Duration::ZERO));
    shared.arrived();
    loop {
        match found {
            Ok(Some(packet)) if is_exit(&packet) => return,
            Ok(Some(packet)) => shared.handle(packet),
            Ok(None) => {}
            Err(_) => return,
        }
        found = shared.port.wait(Some(shared.config.idle));
        if matches!(found, Ok(None)) && shared.dismiss() {
            counted.0 = None;
            return;
        }
    }
}

/// Makes one more thread.
fn spawn(shared: &Arc<Shared>) -> io::Result<()> {
    let mut state = shared.state();
    state.threads += 1;
    state.arriving += 1;
    state.peak = state.peak.max(state.threads);
    state.next += 1;
    let mut builder = std::thread::Builder::new().name(format!("{}-{}", shared.config.name, state.next));
    drop(state);
    if let Some(size) = shared.config.stack_size {
        builder = builder.stack_size(size);
    }
    let worker = Arc::clone(shared);
    let spawned = builder.spawn(move || work(&worker));
    let mut state = shared.state();
    match spawned {
        Ok(thread) => {
            state.joins.retain(|thread| !thread.is_finished());
            state.joins.push(thread);
            Ok(())
        }
        Err(error) => {
            state.threads -= 1;
            state.arriving -= 1;
            if state.threads == 0 {
                shared.empty.notify_all();
            }
            Err(error)
        }
    }
}

/// Adds threads while they are needed, until the pool stops or the port ends.
fn supervise(shared: &Arc<Shared>) {
    let packets = &shared.port.0.hub.packets;
    let mut retry: Option<Instant> = None;
    while packets.ended().is_none() {
        let mut state = shared.state();
        if state.stopping {
            break;
        }
        let (some, full) = (state.threads >= shared.config.min, state.threads >= shared.config.max);
        // A full pool has no use for the queue's calls.
        if state.called == full {
            state.called = !full;
            match full {
                true => packets.remove_grower(&shared.supervisor),
                false => packets.add_grower(Arc::clone(&shared.supervisor)),
            }
        }
        let wanted = !some || (!full && state.arriving == 0 && packets.is_starving());
        drop(state);
        if wanted && retry.is_none_or(|moment| moment <= Instant::now()) {
            retry = spawn(shared).err().map(|_| Instant::now() + SPAWN_PAUSE);
            continue;
        }
        shared.supervisor.park(match retry.filter(|_| wanted) {
            Some(moment) => Patience::Until(moment),
            None => Patience::Forever,
        });
    }
    packets.remove_grower(&shared.supervisor);
}
