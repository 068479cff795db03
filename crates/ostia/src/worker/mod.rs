//! A worker: one thread's port, timers and tasks, and the loop that turns them.

mod tasks;
mod timers;
mod waiting;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_task::Runnable;
use ostia_port::{Config, Port, TimerKey, Wheel};

use crate::counters::{Counters, TaskStatistics, WorkerStatistics, count};
use crate::inbox::{self, Inbox, Message};
use crate::net::carrier::Branch;
use crate::net::splice::Pipes;
use crate::observe::Histograms;
#[cfg(feature = "metrics")]
use crate::observe::publish::Published;
use crate::observe::pulse::{Beat, Name, Pulse};
use crate::operation::OpState;
use crate::paged::Paged;
use crate::serve::gate::Gate;
use crate::task::{Meta, Origin, observed, origin, spawn_raw};

use crate::worker::timers::Target;
use crate::{WorkerId, here};

/// The number of no task.
pub(crate) const NO_TASK: u32 = u32::MAX;
/// How many I/O operations a task may complete in one turn before others have theirs.
const BUDGET: u32 = 128;
/// The most tasks polled before the port is looked after.
const TASKS_PER_TURN: usize = 512;
/// Timers later than this are counted as late.
const LATE: u64 = 5;

/// The tick of no timer.
const NO_TICK: u64 = u64::MAX;

/// Whom to wake: a task of this worker by its number, which costs nothing to note, or any waker.
#[derive(Debug)]
pub(crate) enum Wake {
    Task(u32),
    Other(Waker),
}

/// The context of a notification says what it is in its highest byte: the number of a task …
const FOR_TASK: u64 = 0;
/// … or a handle and its direction, for which somebody's waker is noted.
const FOR_RECEIVE: u64 = 1 << 56;
const FOR_SEND: u64 = 2 << 56;

/// Which direction of a handle is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Receive,
    Send,
}

pub(crate) struct Core {
    pub(crate) id: u32,
    pub(crate) port: RefCell<Port>,
    /// Time is virtual here, and only what this thread does can happen.
    pub(crate) simulated: bool,
    pub(crate) counters: Counters,
    /// What the watchdog sees of this worker.
    pub(crate) pulse: Arc<Pulse>,
    /// Filled if that was asked for.
    pub(crate) histograms: Option<Box<Histograms>>,
    /// What went to the recorder of `metrics`, once something did.
    #[cfg(feature = "metrics")]
    pub(crate) published: RefCell<Option<Box<Published>>>,
    /// The name of what has panicked, and in which poll.
    panicked: RefCell<Option<(Beat, Name)>>,
    /// Tasks that are to be polled.
    queue: RefCell<VecDeque<Runnable<Meta>>>,
    /// The wakers of all tasks that are alive, by their numbers.
    tasks: RefCell<Paged<Waker>>,
    /// The task that is being polled, its group, and whether its future has said that it is ready.
    current: Cell<u32>,
    /// Where the current task is in memory, which is what its wakers hold.
    current_task: Cell<*const ()>,
    group: Cell<u8>,
    pub(crate) completed: Cell<bool>,
    /// How many operations the current task may still complete in this turn.
    budget: Cell<u32>,
    timers: RefCell<Wheel<Target>>,
    fired: RefCell<Vec<Target>>,
    /// Wakers of timers that are not simply for a task.
    timer_wakers: RefCell<Paged<Waker>>,
    /// No timer is due before this tick.
    next_due: Cell<u64>,
    /// A timer that the current task has just given up: it may set another one.
    parked: Cell<Option<TimerKey>>,
    /// The first tick that is not before now: milliseconds since the port was made.
    next_tick: Cell<u64>,
    /// Operations that are awaited.
    pub(crate) operations: RefCell<Paged<OpState>>,
    /// How many reads were given up and may still be filled: their bytes come before what other reads would find.
    pub(crate) left_reads: Cell<u32>,
    /// Who else waits for handles: those that are not simply the current task.
    others: RefCell<HashMap<u64, Waker, BuildHasherDefault<DefaultHasher>>>,
    /// Wakers that are to be woken when nothing is borrowed.
    to_wake: RefCell<Vec<Waker>>,
    inbox: Arc<Inbox>,
    messages: RefCell<Vec<Message>>,
    /// The servers whose connections are tasks here, by their group numbers less one.
    groups: RefCell<Vec<Option<Arc<Gate>>>>,
    /// Tasks that are dropped instead of polled: of this group, or all.
    aborting: Cell<Option<Abort>>,
    stop_at: Cell<Option<Instant>>,
    root_ready: Cell<bool>,
    /// Where the next `select!` begins: see `first_branch`.
    pub(crate) select_turn: Cell<u32>,
    pub(crate) pipes: RefCell<Pipes>,
    /// Whether pipes are at rest, which are to go if they are not needed.
    pub(crate) pipes_rest: Cell<bool>,
    /// Branches of other workers' engines.
    pub(crate) branches: RefCell<Vec<Branch>>,
    /// All workers of this runtime.
    pub(crate) siblings: RefCell<Arc<[WorkerId]>>,
}

/// The loop is being left, by an error or a panic perhaps: nothing is polled until it is entered again.
struct Leaving<'a>(&'a Core);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.pulse.rest();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Abort {
    All,
    Group(u8),
}

impl Core {
    pub(crate) fn new(config: Config, histograms: bool) -> io::Result<Core> {
        let port = Port::with(config)?;
        let (id, inbox) = inbox::register(port.remote())?;
        tracing::debug!(worker = id, driver = %port.driver(), features = ?port.features(), "worker made");
        Ok(Core {
            id,
            simulated: port.virtual_time().is_some(),
            port: RefCell::new(port),
            counters: Counters::default(),
            pulse: Arc::default(),
            histograms: histograms.then(|| Box::new(Histograms::new())),
            #[cfg(feature = "metrics")]
            published: RefCell::default(),
            panicked: RefCell::default(),
            queue: RefCell::default(),
            tasks: RefCell::new(Paged::new()),
            current: Cell::new(NO_TASK),
            current_task: Cell::new(std::ptr::null()),
            group: Cell::new(0),
            completed: Cell::new(false),
            budget: Cell::new(BUDGET),
            timers: RefCell::new(Wheel::new()),
            fired: RefCell::default(),
            timer_wakers: RefCell::new(Paged::new()),
            next_due: Cell::new(NO_TICK),
            parked: Cell::new(None),
            next_tick: Cell::new(0),
            operations: RefCell::new(Paged::new()),
            left_reads: Cell::new(0),
            others: RefCell::default(),
            to_wake: RefCell::default(),
            inbox,
            messages: RefCell::default(),
            groups: RefCell::default(),
            aborting: Cell::new(None),
            stop_at: Cell::new(None),
            root_ready: Cell::new(false),
            select_turn: Cell::new(0),
            pipes: RefCell::default(),
            pipes_rest: Cell::new(false),
            branches: RefCell::default(),
            siblings: RefCell::new(Arc::from([WorkerId(id)])),
        })
    }

    /// The time of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.port.borrow().now()
    }

    /// The time at this moment.
    pub(crate) fn fresh_now(&self) -> Instant {
        self.port.borrow().fresh_now()
    }

    pub(crate) fn statistics(&self) -> WorkerStatistics {
        let (pipes_in_use, pipes_at_rest) = self.pipes.borrow().counts();
        WorkerStatistics {
            worker: WorkerId(self.id),
            tasks: TaskStatistics { stuck: self.pulse.stuck(), ..self.counters.read() },
            port: self.port.borrow().statistics(),
            tasks_alive: self.tasks_alive(),
            pipes_in_use,
            pipes_at_rest,
            blocking_threads: crate::blocking::threads(),
        }
    }

    /// The number of the task that is being polled.
    pub(crate) fn current_number(&self) -> Option<u32> {
        Some(self.current.get()).filter(|&number| number != NO_TASK)
    }

    /// Something with this name panics. What it is inside of leaves its name alone.
    pub(crate) fn note_panic(&self, name: &Name) {
        let beat = self.pulse.beat();
        let mut panicked = self.panicked.borrow_mut();
        if panicked.as_ref().is_none_or(|(when, _)| *when != beat) {
            *panicked = Some((beat, name.clone()));
        }
    }

    /// The name of what has just panicked.
    pub(crate) fn take_panicked(&self) -> Option<Name> {
        let beat = self.pulse.beat();
        self.panicked.take().and_then(|(when, name)| (when == beat).then_some(name))
    }

    pub(crate) fn tasks_alive(&self) -> usize {
        self.tasks.borrow().len()
    }
}

/// The loop.
impl Core {
    /// Waits for the port as long as nothing else is to be done, and wakes those whom its completions concern.
    fn wait(&self) -> io::Result<()> {
        count(&self.counters.turns);
        self.pulse.turn(self.counters.turns.get());
        let mut port = self.port.borrow_mut();
        if !self.queue.borrow().is_empty() || self.root_ready.get() || self.inbox.is_full() {
            port.wait(Some(Duration::ZERO))?;
        } else if let Some(stop) = self.stop_at.get() {
            let tick = Duration::from_millis(self.next_due.get());
            let timer = tick.saturating_sub(Duration::from_nanos(port.nanos()));
            let left = stop.saturating_duration_since(port.fresh_now());
            port.wait(Some(timer.min(left)))?;
        } else if self.next_due.get() != NO_TICK {
            port.wait_until_tick(self.next_due.get())?;
        } else {
            port.wait(None)?;
        }
        let nanos = port.nanos();
        self.next_tick.set(nanos.div_ceil(1_000_000));
        loop {
            let tasks = self.tasks.borrow();
            while let Some(context) = port.next_notification() {
                if context < FOR_RECEIVE {
                    tasks.get(context as u32).into_iter().for_each(Waker::wake_by_ref);
                } else {
                    self.to_wake.borrow_mut().extend(self.others.borrow_mut().remove(&context));
                }
            }
            drop(tasks);
            if !port.has_ready() {
                break;
            }
            let Some(completion) = port.next() else { break };
            if completion.id.is_some() {
                self.operation_done(&mut port, completion, &mut self.to_wake.borrow_mut());
            }
        }
        if self.pipes_rest.get() {
            self.pipes_rest.set(self.pipes.borrow_mut().cool(nanos, &mut port));
        }
        drop(port);
        if !self.to_wake.borrow().is_empty() {
            let mut to_wake = self.to_wake.take();
            to_wake.drain(..).for_each(Waker::wake);
            self.to_wake.replace(to_wake);
        }
        if nanos / 1_000_000 >= self.next_due.get() {
            if let Some(histograms) = &self.histograms {
                histograms.late(nanos - self.next_due.get() * 1_000_000);
            }
            self.fire_timers(nanos / 1_000_000);
        }
        Ok(())
    }

    #[inline]
    fn read_inbox(&self) {
        if !self.inbox.is_full() {
            return;
        }
        let mut messages = self.messages.take();
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Run(runnable) => {
                    count(&self.counters.wakes_remote);
                    self.enqueue(runnable);
                }
                Message::Call(what) => what(self),
                Message::Close(handle) => self.close(handle),
                Message::Stop(at) => self.stop_at.set(Some(at)),
            }
        }
        self.messages.replace(messages);
    }

    /// Closes a handle and forgets who waited for it.
    pub(crate) fn close(&self, handle: ostia_port::Handle) {
        self.forget_handle(handle);
        self.port.borrow_mut().close(handle);
    }

    /// Turns the loop until `done`.
    fn turn_until(&self, mut done: impl FnMut() -> bool) -> io::Result<()> {
        let _leaving = Leaving(self);
        if let Some(histograms) = &self.histograms {
            return self.turn_until_timed(done, histograms);
        }
        loop {
            self.read_inbox();
            self.run_tasks();
            if done() {
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// As [`turn_until`](Self::turn_until), where somebody wants to know how long turns take.
    #[cold]
    fn turn_until_timed(&self, mut done: impl FnMut() -> bool, histograms: &Histograms) -> io::Result<()> {
        let mut began = Instant::now();
        loop {
            self.read_inbox();
            self.run_tasks_timed(histograms);
            let done = done();
            histograms.turned(began);
            if done {
                return Ok(());
            }
            self.wait()?;
            // When the port had been waited for.
            began = self.now();
        }
    }

    /// Turns the loop until `future` is ready. To be called on the thread that has entered this worker.
    pub(crate) fn drive<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let _span = tracing::debug_span!("worker", id = self.id).entered();
        let (meta, future) = observed(Meta::new(self.id, 0), Some(self.id), future, origin!("block_on", None));
        let mut future = pin!(future);
        // The future is on this stack and can't be a task; a task stands in for it and gives it its waker.
        let (slot, proxy) = spawn_raw(
            self,
            meta,
            std::future::poll_fn(|_| {
                here::with(|core| core.root_ready.set(true));
                Poll::<()>::Pending
            }),
        );
        let Some(waker) = self.tasks.borrow().get(slot).cloned() else {
            return Err(io::Error::other("the worker has lost a task that it has just made"));
        };
        let mut output = None;
        let turned = self.turn_until(|| {
            if self.root_ready.take() {
                output = self.poll_root(slot, &waker, future.as_mut());
            }
            output.is_some()
        });
        drop(proxy);
        self.run_tasks();
        self.pulse.rest();
        turned?;
        output.ok_or_else(|| io::Error::other("the loop has ended before its future"))
    }

    /// Polls the future that `drive` was given, in the place of the task that stands in for it.
    // A function of its own, so that the look whether to call it is small and becomes part of the loop.
    #[inline(never)]
    fn poll_root<F: Future>(&self, slot: u32, waker: &Waker, future: Pin<&mut F>) -> Option<F::Output> {
        self.pulse.begin(slot);
        self.current.set(slot);
        self.current_task.set(waker.data());
        self.budget.set(BUDGET);
        let began = self.histograms.as_ref().map(|_| Instant::now());
        let polled = future.poll(&mut Context::from_waker(waker));
        if let Some((histograms, began)) = self.histograms.as_ref().zip(began) {
            histograms.polled(began);
        }
        self.turn_over();
        self.current.set(NO_TASK);
        self.current_task.set(std::ptr::null());
        match polled {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Turns the loop of a worker that has no future of its own, until it is stopped and its tasks have ended or the
    /// time for that is over.
    pub(crate) fn serve(&self) -> io::Result<()> {
        let _span = tracing::debug_span!("worker", id = self.id).entered();
        self.turn_until(|| match self.stop_at.get() {
            None => false,
            Some(at) => self.tasks_alive() == 0 || self.now() >= at || self.fresh_now() >= at,
        })
    }

    /// Turns the loop until all tasks have ended or a moment has come.
    pub(crate) fn drain(&self, until: Instant) -> io::Result<()> {
        self.stop_at.set(Some(until));
        self.serve()
    }

    /// Ends the worker: tasks that are left are dropped, nobody reaches it any more. How many were dropped.
    pub(crate) fn finish(&self) -> u64 {
        let before = self.counters.aborted.get();
        self.abort_all();
        inbox::unregister(self.id);
        self.read_inbox();
        while self.run_tasks() > 0 {}
        self.pulse.rest();
        #[cfg(feature = "metrics")]
        self.publish_last();
        let dropped = self.counters.aborted.get() - before;
        tracing::debug!(worker = self.id, ended = self.counters.ended.get(), dropped, "worker ended");
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_wake_fits_a_waker() {
        assert_eq!(size_of::<Wake>(), 16);
    }
}
