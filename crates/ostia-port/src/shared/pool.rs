//! A pool of threads over a shared port: it grows while packets wait and nobody can take them, and shrinks when idle.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::SharedPort;
use super::crew::Crew;
use super::sync::{Mutex, Patience, lock};
use crate::completion::Completion;
use crate::remote::Packet;

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
    crew: Crew,
    /// Those of its threads that may not have ended.
    joins: Mutex<Vec<JoinHandle<()>>>,
    panics: AtomicU64,
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
            crew: Crew::new(config.min, config.max),
            config,
            joins: Mutex::new(Vec::new()),
            panics: AtomicU64::new(0),
        });
        let mut pool = ThreadPool { shared: Arc::clone(&shared), supervisor: None };
        shared.crew.muster(|number| spawn(&shared, number))?;
        let name = format!("{}-grow", shared.config.name);
        let supervise = move || shared.crew.supervise(&shared.port.0.hub.packets, |number| spawn(&shared, number));
        pool.supervisor = Some(std::thread::Builder::new().name(name).spawn(supervise)?);
        Ok(pool)
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.shared.crew.threads()
    }

    /// The most threads that there have been at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.shared.crew.peak()
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
        let left = self.shared.crew.wait_until_empty(Patience::of(Some(deadline)));
        let joins = std::mem::take(&mut *lock(&self.shared.joins));
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
    /// From now on no thread comes, and each of those there are has an exit packet waiting for it.
    fn stop(&self) {
        for _ in 0..self.crew.stop() {
            let exit = Packet { key: ThreadPool::EXIT_KEY, context: EXIT_CONTEXT, result: 0 };
            // Past every bound, for the stop must not fail; refused only by a port that has ended, which stops them too.
            let _ = self.port.post_within(exit, usize::MAX);
        }
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
struct Counted<'a>(Option<&'a Crew>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.inspect(|crew| crew.leave());
    }
}

/// A thread of the pool.
fn work(shared: &Shared) {
    let mut counted = Counted(Some(&shared.crew));
    // The first look doesn't wait, so that the supervisor soon knows whether this thread was enough.
    let mut found = shared.port.wait(Some(Duration::ZERO));
    shared.crew.arrived();
    loop {
        match found {
            Ok(Some(packet)) if is_exit(&packet) => return,
            Ok(Some(packet)) => shared.handle(packet),
            Ok(None) => {}
            Err(_) => return,
        }
        found = shared.port.wait(Some(shared.config.idle));
        if matches!(found, Ok(None)) && shared.crew.dismiss() {
            counted.0 = None;
            return;
        }
    }
}

/// Makes a thread, which is the pool's `number`th.
fn spawn(shared: &Arc<Shared>, number: usize) -> io::Result<()> {
    let mut builder = std::thread::Builder::new().name(format!("{}-{number}", shared.config.name));
    if let Some(size) = shared.config.stack_size {
        builder = builder.stack_size(size);
    }
    let worker = Arc::clone(shared);
    let thread = builder.spawn(move || work(&worker))?;
    let mut joins = lock(&shared.joins);
    joins.retain(|thread| !thread.is_finished());
    joins.push(thread);
    Ok(())
}
