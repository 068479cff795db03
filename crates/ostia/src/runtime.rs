//! Runtimes: their settings, their threads, their beginning and their end.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ostia_port::{Config, DriverChoice, DriverKind, Features, VirtualTime};

use crate::counters::WorkerStatistics;
use crate::inbox::{self, Message};
use crate::observe::watchdog;
use crate::os::pin_to;
use crate::worker::Core;
use crate::{blocking, here, task};

/// Names a worker, from any thread. Numbers are never used twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct WorkerId(pub(crate) u32);

impl WorkerId {
    /// The worker that the caller runs on; none outside of a runtime.
    #[must_use]
    pub fn current() -> Option<WorkerId> {
        here::with(|core| WorkerId(core.id))
    }
}

impl std::fmt::Display for WorkerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Settings of a [`Runtime`].
#[derive(Clone, Debug)]
pub struct Builder {
    workers: usize,
    pin: bool,
    blocking_threads: Option<usize>,
    stuck_after: Option<Duration>,
    histograms: bool,
    port: Config,
}

impl Builder {
    /// How many workers there are, 1 to 1,024; the thread that calls [`Runtime::block_on`] is one of them. Default: as
    /// many as the process may use processors.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// Whether each worker is bound to a processor of its own, as far as there are enough. Default no.
    #[must_use]
    pub fn pin(mut self, pin: bool) -> Builder {
        self.pin = pin;
        self
    }

    /// Which driver carries operations out. Default [`DriverChoice::Auto`].
    #[must_use]
    pub fn driver(mut self, driver: DriverChoice) -> Builder {
        self.port.driver = driver;
        self
    }

    /// The io_uring features that may be used. Default all that the kernel has.
    #[must_use]
    pub fn features(mut self, features: Features) -> Builder {
        self.port.features = features;
        self
    }

    /// The most threads for [`spawn_blocking`](crate::spawn_blocking), in the whole process, at least 1. Default 64.
    #[must_use]
    pub fn blocking_threads(mut self, threads: usize) -> Builder {
        self.blocking_threads = Some(threads);
        self
    }

    /// Has a task named in the log (`tracing`, WARN) that does not yield for so long: its worker, number and name, for how
    /// long, and whether it computes or is blocked in the system; again whenever that time has doubled, and once when it
    /// has yielded at last. Counted in [`TaskStatistics::stuck`](crate::TaskStatistics::stuck). The future of
    /// [`Runtime::block_on`] is watched as a task is; closures of [`spawn_blocking`](crate::spawn_blocking) may take what
    /// they want.
    ///
    /// One thread per process looks at all workers four times in this time, but at least every 5 s and at most every
    /// millisecond, so that the report may come half the time late. Zero: nobody looks, and there is no thread. Default
    /// zero.
    #[must_use]
    pub fn stuck_after(mut self, time: Duration) -> Builder {
        self.stuck_after = Some(time).filter(|time| !time.is_zero());
        self
    }

    /// Whether workers fill [`observe::histograms`](crate::observe::histograms), which costs two readings of the clock per
    /// poll and per turn. Default no.
    #[must_use]
    pub fn histograms(mut self, histograms: bool) -> Builder {
        self.histograms = histograms;
        self
    }

    /// All settings of the workers' ports: queue lengths, buffer pool, bounds, faults for tests. Replaces what
    /// [`driver`](Self::driver) and [`features`](Self::features) have set.
    #[must_use]
    pub fn port(mut self, config: Config) -> Builder {
        self.port = config;
        self
    }

    /// Makes the runtime: all workers but the caller's begin to run.
    ///
    /// # Errors
    /// InvalidInput names a setting out of its range; others say why a port or a thread can't be had.
    pub fn build(self) -> io::Result<Runtime> {
        if !(1..=1024).contains(&self.workers) {
            let what = format!("workers is {}: it must be 1 to 1024", self.workers);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        if let Some(threads) = self.blocking_threads {
            blocking::set_most(threads);
        }
        let (core, watched) = self.make_worker()?;
        let mut runtime = Runtime { core: Some(core), watched, others: Vec::new(), _one_thread: PhantomData };
        for number in 1..self.workers {
            runtime.others.push(start_worker(number, self.clone())?);
        }
        runtime.introduce();
        if self.pin {
            pin_to(0);
        }
        Ok(runtime)
    }

    /// Makes the worker of the calling thread.
    fn make_worker(&self) -> io::Result<(Core, Option<watchdog::Registration>)> {
        let core = Core::new(self.port.clone(), self.histograms)?;
        match self.stuck_after.map(|time| watchdog::watch(core.id, &core.pulse, time)).transpose() {
            Ok(watched) => Ok((core, watched)),
            Err(error) => {
                inbox::unregister(core.id);
                Err(error)
            }
        }
    }
}

/// A worker on a thread of its own.
struct Other {
    id: WorkerId,
    thread: Option<thread::JoinHandle<()>>,
    /// Tells how many tasks it dropped when it ends.
    ended: Receiver<u64>,
}

fn start_worker(number: usize, settings: Builder) -> io::Result<Other> {
    let (made, is_made) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let run = move || {
        if settings.pin {
            pin_to(number);
        }
        let (core, watched) = match settings.make_worker() {
            Ok(made) => made,
            Err(error) => return drop(made.send(Err(error))),
        };
        if made.send(Ok(WorkerId(core.id))).is_err() {
            inbox::unregister(core.id);
            return;
        }
        let dropped = here::enter(&core, || {
            if let Err(error) = core.serve() {
                tracing::error!(worker = core.id, %error, "a worker's port has failed");
            }
            core.finish()
        });
        drop(watched);
        drop(core);
        let _ = end.send(dropped);
    };
    let thread = thread::Builder::new().name(format!("ostia-{number}")).spawn(run)?;
    match is_made.recv() {
        Ok(Ok(id)) => Ok(Other { id, thread: Some(thread), ended }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("a worker's thread ended before its port was made")),
    }
}

/// A thread per worker, each with a port, timers and tasks of its own.
///
/// The thread that made the runtime is its first worker, and works while it is in [`block_on`](Self::block_on). The
/// runtime stays on that thread.
pub struct Runtime {
    core: Option<Core>,
    watched: Option<watchdog::Registration>,
    others: Vec<Other>,
    _one_thread: PhantomData<*const ()>,
}

/// How a runtime has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Shutdown {
    /// Tasks that did not complete in time and were dropped.
    pub aborted: u64,
    /// Workers that did not end in time, because a task of theirs blocks the thread.
    pub stuck: usize,
}

impl Runtime {
    /// Default settings, to be changed.
    #[must_use]
    pub fn builder() -> Builder {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Builder { workers, pin: false, blocking_threads: None, stuck_after: None, histograms: false, port: Config::default() }
    }

    /// Tells every worker of all.
    fn introduce(&self) {
        let ids = self.workers();
        let siblings: Arc<[WorkerId]> = ids.iter().copied().collect();
        for &id in &ids[1..] {
            let siblings = Arc::clone(&siblings);
            task::call(id.0, move |core| drop(core.siblings.replace(siblings)));
        }
        if let Some(core) = &self.core {
            core.siblings.replace(siblings);
        }
    }

    /// The workers; the first is the thread that made the runtime.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerId> {
        let first = self.core.iter().map(|core| WorkerId(core.id));
        first.chain(self.others.iter().map(|other| other.id)).collect()
    }

    /// The driver in use.
    #[must_use]
    pub fn driver(&self) -> DriverKind {
        let Some(core) = &self.core else { unreachable!("the first worker lives as long as the runtime") };
        core.port.borrow().driver()
    }

    /// Runs `future` on this thread, as this runtime's first worker, until it is ready. Tasks that it has spawned on this
    /// worker stay and go on in the next call.
    ///
    /// # Panics
    /// Inside another runtime's `block_on`; if the system makes waiting impossible; and as `future` does.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        here::assert_outside();
        let Some(core) = &self.core else { unreachable!("the first worker lives as long as the runtime") };
        match here::enter(core, || core.drive(future)) {
            Ok(output) => output,
            Err(error) => panic!("waiting for the port has become impossible: {error}"),
        }
    }

    /// As [`block_on`](Self::block_on), where the end of waiting is no panic: in a simulation, whose port can find that nothing
    /// will ever happen any more. The runtime can only be shut down then.
    ///
    /// # Errors
    /// Why waiting has become impossible.
    ///
    /// # Panics
    /// Inside another runtime's `block_on`; and as `future` does.
    pub fn try_block_on<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        here::assert_outside();
        let Some(core) = &self.core else { unreachable!("the first worker lives as long as the runtime") };
        here::enter(core, || core.drive(future))
    }

    /// The clock of a runtime on the [virtual driver](DriverChoice::Virtual); none on others.
    #[must_use]
    pub fn virtual_time(&self) -> Option<VirtualTime> {
        self.core.as_ref().and_then(|core| core.port.borrow().virtual_time().cloned())
    }

    /// Ends the runtime: tasks have until the deadline to complete, those that are left then are dropped. Every task is
    /// accounted for: what it returns says how many did not complete.
    pub fn shutdown(mut self, deadline: Duration) -> Shutdown {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Duration) -> Shutdown {
        let Some(core) = self.core.take() else { return Shutdown::default() };
        let now = core.fresh_now();
        let until = now.checked_add(deadline).unwrap_or_else(|| now + Duration::from_secs(1 << 30));
        for other in &self.others {
            // One that has gone already needs no word.
            let _ = inbox::send(other.id.0, Message::Stop(until));
        }
        let mut report = Shutdown::default();
        report.aborted += here::enter(&core, || {
            if let Err(error) = core.drain(until) {
                tracing::error!(worker = core.id, %error, "a worker's port has failed");
            }
            core.finish()
        });
        self.watched = None;
        drop(core);
        for mut other in self.others.drain(..) {
            // Past the deadline a worker drops its tasks and waits for the kernel, which is bounded in itself.
            let patience = until.saturating_duration_since(Instant::now()) + Duration::from_secs(15);
            match other.ended.recv_timeout(patience) {
                Ok(aborted) => report.aborted += aborted,
                Err(RecvTimeoutError::Timeout) => {
                    report.stuck += 1;
                    tracing::error!(worker = other.id.0, "a worker is blocked by a task and was left behind");
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => {}
            }
            if other.thread.take().is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(worker = other.id.0, "a worker's thread has panicked");
            }
        }
        report
    }
}

impl Drop for Runtime {
    /// Ends the runtime without waiting: tasks that have not completed are dropped.
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.workers()).field("driver", &self.driver()).finish()
    }
}

/// Runs a future to its end on this thread, with a worker of its own and default settings. Tasks that it leaves behind
/// are dropped.
///
/// # Panics
/// Inside a runtime; if no port can be had; and as `future` does.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    here::assert_outside();
    match Runtime::builder().workers(1).build() {
        Ok(mut runtime) => runtime.block_on(future),
        Err(error) => panic!("no completion port can be had: {error}"),
    }
}

/// The workers of the runtime that the caller runs in, in the same order everywhere; empty outside.
#[must_use]
pub fn workers() -> Vec<WorkerId> {
    here::with(|core| core.siblings.borrow().to_vec()).unwrap_or_default()
}

/// The counters of every worker of this runtime. Workers that have ended are left out.
pub async fn statistics() -> Vec<WorkerStatistics> {
    let mut all = Vec::new();
    for worker in workers() {
        if let Ok(Some(one)) = task::spawn_on(worker, || async { here::with(Core::statistics) }).await {
            all.push(one);
        }
    }
    all
}
