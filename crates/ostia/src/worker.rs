//! A worker: one thread's port, timers and tasks, and the loop that turns them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_task::Runnable;
use ostia_port::{Config, Port, TimerKey, Wheel};

use crate::counters::{Counters, WorkerStatistics, count};
use crate::inbox::{self, Inbox, Message};
use crate::operation::OpState;
use crate::paged::Paged;
use crate::serve::gate::Gate;
use crate::task::{Meta, spawn_here};
use crate::{WorkerId, here};
use crate::net::splice::Pipes;

/// The number of no task.
pub(crate) const NO_TASK: u32 = u32::MAX;
/// How many I/O operations a task may complete in one turn before others have theirs.
const BUDGET: u32 = 128;
/// The most tasks polled before the port is looked after.
const TASKS_PER_TURN: usize = 512;
/// Timers later than this are counted as late.
const LATE: u64 = 5;

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
    pub(crate) counters: Counters,
    /// Tasks that are to be polled.
    queue: RefCell<VecDeque<Runnable<Meta>>>,
    /// The wakers of all tasks that are alive, by their numbers.
    tasks: RefCell<Paged<Waker>>,
    /// The task that is being polled, its group, and whether its future has said that it is ready.
    current: Cell<u32>,
    group: Cell<u8>,
    pub(crate) completed: Cell<bool>,
    /// How many operations the current task may still complete in this turn.
    budget: Cell<u32>,
    timers: RefCell<Wheel<Wake>>,
    fired: RefCell<Vec<Wake>>,
    started: Instant,
    /// The time of this turn, and the same in nanoseconds since `started`.
    now: Cell<Instant>,
    now_nanos: Cell<u64>,
    /// Operations that are awaited.
    pub(crate) operations: RefCell<Paged<OpState>>,
    /// Who else waits for handles: those that are not simply the current task.
    others: RefCell<HashMap<u64, Waker>>,
    inbox: Arc<Inbox>,
    messages: RefCell<Vec<Message>>,
    /// The servers whose connections are tasks here, by their group numbers less one.
    groups: RefCell<Vec<Option<Arc<Gate>>>>,
    /// Tasks that are dropped instead of polled: of this group, or all.
    aborting: Cell<Option<Abort>>,
    stop_at: Cell<Option<Instant>>,
    root_ready: Cell<bool>,
    pub(crate) pipes: RefCell<Pipes>,
    /// All workers of this runtime.
    pub(crate) siblings: RefCell<Arc<[WorkerId]>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Abort {
    All,
    Group(u8),
}

impl Core {
    pub(crate) fn new(config: Config) -> io::Result<Core> {
        let port = Port::with(config)?;
        let (id, inbox) = inbox::register(port.remote())?;
        let now = port.now();
        tracing::debug!(worker = id, driver = %port.driver(), features = ?port.features(), "worker made");
        Ok(Core {
            id,
            port: RefCell::new(port),
            counters: Counters::default(),
            queue: RefCell::default(),
            tasks: RefCell::new(Paged::new()),
            current: Cell::new(NO_TASK),
            group: Cell::new(0),
            completed: Cell::new(false),
            budget: Cell::new(BUDGET),
            timers: RefCell::new(Wheel::new()),
            fired: RefCell::default(),
            started: now,
            now: Cell::new(now),
            now_nanos: Cell::new(0),
            operations: RefCell::new(Paged::new()),
            others: RefCell::default(),
            inbox,
            messages: RefCell::default(),
            groups: RefCell::default(),
            aborting: Cell::new(None),
            stop_at: Cell::new(None),
            root_ready: Cell::new(false),
            pipes: RefCell::default(),
            siblings: RefCell::new(Arc::from([WorkerId(id)])),
        })
    }

    /// The time of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn statistics(&self) -> WorkerStatistics {
        WorkerStatistics {
            worker: WorkerId(self.id),
            tasks: self.counters.read(),
            port: self.port.borrow().statistics(),
            tasks_alive: self.tasks_alive(),
        }
    }

    pub(crate) fn tasks_alive(&self) -> usize {
        self.tasks.borrow().len()
    }
}

/// Tasks.
impl Core {
    #[inline]
    pub(crate) fn enqueue(&self, runnable: Runnable<Meta>) {
        self.queue.borrow_mut().push_back(runnable);
    }

    /// Gives a task that begins here its number.
    pub(crate) fn adopt_task(&self, runnable: &Runnable<Meta>) -> u32 {
        let slot = self.tasks.borrow_mut().insert(runnable.waker());
        runnable.metadata().set_slot(slot);
        count(&self.counters.spawned);
        slot
    }

    /// The current task's future is being dropped: it is forgotten.
    pub(crate) fn current_ended(&self) {
        let waker = self.tasks.borrow_mut().remove(self.current.get());
        if waker.is_none() {
            return;
        }
        count(&self.counters.ended);
        if !self.completed.get() {
            count(&self.counters.aborted);
        }
        if let Some(gate) = self.gate(self.group.get()) {
            gate.leave(self.id);
        }
    }

    /// Does something that drops futures which are not the current task's.
    pub(crate) fn as_no_task<R>(&self, f: impl FnOnce() -> R) -> R {
        let current = self.current.replace(NO_TASK);
        let result = f();
        self.current.set(current);
        result
    }

    #[inline]
    fn run_task(&self, runnable: Runnable<Meta>) {
        let meta = runnable.metadata();
        let mut slot = meta.slot();
        if slot == NO_TASK {
            slot = self.adopt_task(&runnable);
        }
        let group = meta.group();
        self.current.set(slot);
        self.group.set(group);
        self.budget.set(BUDGET);
        self.completed.set(false);
        match self.aborting.get() {
            Some(abort) if abort == Abort::All || abort == Abort::Group(group) => drop(runnable),
            _ => {
                count(&self.counters.polls);
                runnable.run();
            }
        }
        self.current.set(NO_TASK);
        self.group.set(0);
    }

    /// Polls the tasks that are to be polled now; those that they wake come next time.
    fn run_tasks(&self) -> usize {
        let ready = self.queue.borrow().len().min(TASKS_PER_TURN);
        for _ in 0..ready {
            let Some(runnable) = self.queue.borrow_mut().pop_front() else { break };
            self.run_task(runnable);
        }
        ready
    }

    /// Whether the current task may complete one more operation; else it is polled again after the others.
    #[inline]
    pub(crate) fn spend(&self, cx: &Context<'_>) -> bool {
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                true
            }
            None => {
                count(&self.counters.budget_spent);
                cx.waker().wake_by_ref();
                false
            }
        }
    }

    /// Drops all tasks.
    fn abort_all(&self) {
        self.aborting.set(Some(Abort::All));
        // Dropping one may spawn others, which may go on so; the bound ends that.
        for _ in 0..64 {
            if self.tasks_alive() == 0 && self.queue.borrow().is_empty() {
                break;
            }
            self.wake_all();
            while self.run_tasks() > 0 {}
        }
    }

    /// Drops the tasks of a group.
    pub(crate) fn abort_group(&self, group: u8) {
        self.aborting.set(Some(Abort::Group(group)));
        self.wake_all();
    }

    /// Has every task polled once.
    pub(crate) fn wake_all(&self) {
        self.tasks.borrow().iter().for_each(Waker::wake_by_ref);
    }

    /// A number for the connections of a server; 0 if 255 servers run here already.
    pub(crate) fn join_group(&self, gate: Arc<Gate>) -> u8 {
        let mut groups = self.groups.borrow_mut();
        let free = groups.iter().position(Option::is_none).unwrap_or(groups.len());
        if free >= 255 {
            return 0;
        }
        if free == groups.len() {
            groups.push(None);
        }
        groups[free] = Some(gate);
        free as u8 + 1
    }

    /// The server is done here; its number may be used again.
    pub(crate) fn leave_group(&self, group: u8) {
        if let Some(place) = self.groups.borrow_mut().get_mut(usize::from(group).wrapping_sub(1)) {
            *place = None;
        }
        if self.aborting.get() == Some(Abort::Group(group)) {
            self.aborting.set(None);
        }
    }

    /// As [`leave_group`](Self::leave_group), once the last connection here has ended.
    pub(crate) fn leave_group_when_empty(&self, group: u8) {
        if self.gate(group).is_none_or(|gate| gate.live_on(self.id) == 0) {
            self.leave_group(group);
        } else {
            let leaving = spawn_here(self, 0, async move {
                loop {
                    crate::time::sleep(Duration::from_millis(10)).await;
                    if here::with(|core| core.gate(group).is_none_or(|gate| gate.live_on(core.id) == 0)).unwrap_or(true) {
                        break;
                    }
                }
                here::with(|core| core.leave_group(group));
            });
            leaving.1.detach();
        }
    }

    fn gate(&self, group: u8) -> Option<Arc<Gate>> {
        if group == 0 {
            return None;
        }
        self.groups.borrow().get(usize::from(group) - 1)?.clone()
    }

    /// Whether the server that the current task's connection belongs to is being stopped.
    #[inline]
    pub(crate) fn current_stopping(&self) -> bool {
        let group = usize::from(self.group.get());
        group != 0 && self.groups.borrow().get(group - 1).is_some_and(|gate| gate.as_ref().is_some_and(|g| g.is_stopping()))
    }
}

/// Waiting for handles.
impl Core {
    /// Whether the waker is the current task's own.
    #[inline]
    fn is_current(&self, waker: &Waker) -> bool {
        self.tasks.borrow().get(self.current.get()).is_some_and(|task| task.will_wake(waker))
    }

    /// The context with which a notification finds its way to whoever polls with this waker.
    #[inline]
    fn context(&self, waker: &Waker, handle: ostia_port::Handle, side: Side) -> u64 {
        if self.is_current(waker) {
            FOR_TASK | u64::from(self.current.get())
        } else {
            handle.to_bits() | if side == Side::Receive { FOR_RECEIVE } else { FOR_SEND }
        }
    }

    /// Polls the port for something on a handle. If it is pending, the notification wakes the caller's waker.
    #[inline]
    pub(crate) fn poll_handle<T>(
        &self,
        cx: &Context<'_>,
        handle: ostia_port::Handle,
        side: Side,
        poll: impl FnOnce(&mut Port, u64) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.spend(cx) {
            return Poll::Pending;
        }
        let context = self.context(cx.waker(), handle, side);
        let result = poll(&mut self.port.borrow_mut(), context);
        if result.is_pending() && context >= FOR_RECEIVE {
            self.note_other(context, cx.waker());
        }
        result
    }

    #[cold]
    fn note_other(&self, context: u64, waker: &Waker) {
        let mut others = self.others.borrow_mut();
        if !others.get(&context).is_some_and(|noted| noted.will_wake(waker)) {
            let old = others.insert(context, waker.clone());
            // A waker may do anything when it is dropped: nothing may be borrowed then.
            drop(others);
            drop(old);
        }
    }

    /// Nobody waits for this handle any more.
    #[inline]
    pub(crate) fn forget_handle(&self, handle: ostia_port::Handle) {
        if self.others.borrow().is_empty() {
            return;
        }
        for side in [FOR_RECEIVE, FOR_SEND] {
            let old = self.others.borrow_mut().remove(&(handle.to_bits() | side));
            drop(old);
        }
    }

    /// How to wake whoever polls now.
    #[inline]
    pub(crate) fn wake_for(&self, waker: &Waker) -> Wake {
        if self.is_current(waker) { Wake::Task(self.current.get()) } else { Wake::Other(waker.clone()) }
    }

    /// Whether `wake` would wake whoever polls now.
    #[inline]
    pub(crate) fn would_wake(&self, wake: &Wake, waker: &Waker) -> bool {
        match wake {
            Wake::Task(slot) => *slot == self.current.get() && self.is_current(waker),
            Wake::Other(noted) => noted.will_wake(waker),
        }
    }

    #[inline]
    pub(crate) fn wake(&self, wake: Wake) {
        match wake {
            Wake::Task(slot) => self.wake_task(slot),
            Wake::Other(waker) => waker.wake(),
        }
    }

    /// Wakes a task by its number. That may be another's by now, which is then polled for nothing.
    #[inline]
    fn wake_task(&self, slot: u32) {
        if let Some(waker) = self.tasks.borrow().get(slot) {
            waker.wake_by_ref();
        }
    }
}

/// Timers.
impl Core {
    /// Sets a timer for whoever polls now.
    #[inline]
    pub(crate) fn set_timer(&self, after: Duration, waker: &Waker) -> TimerKey {
        let after = after.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(after.subsec_nanos()));
        let tick = self.now_nanos.get().saturating_add(after).div_ceil(1_000_000);
        let wake = self.wake_for(waker);
        self.timers.borrow_mut().insert(tick, wake)
    }

    /// Makes a timer wake whoever polls now; false if it has fired.
    #[inline]
    pub(crate) fn renew_timer(&self, key: TimerKey, waker: &Waker) -> bool {
        let mut timers = self.timers.borrow_mut();
        let Some(wake) = timers.get_mut(key) else { return false };
        if !self.would_wake(wake, waker) {
            let old = std::mem::replace(wake, self.wake_for(waker));
            drop(timers);
            drop(old);
        }
        true
    }

    #[inline]
    pub(crate) fn clear_timer(&self, key: TimerKey) {
        let old = self.timers.borrow_mut().remove(key);
        drop(old);
    }

    /// How long to wait for the port at most.
    fn patience(&self, polled: usize) -> Option<Duration> {
        if !self.queue.borrow().is_empty() || self.root_ready.get() || self.inbox.is_full() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.borrow().next_tick().map(|tick| {
            let due = tick.saturating_mul(1_000_000);
            let ahead = due.saturating_sub(self.now_nanos.get());
            // The turn may have taken long. Asking the clock pays where that would matter.
            let ahead = if ahead < 64_000_000 || polled > 32 {
                due.saturating_sub(self.started.elapsed().as_nanos() as u64)
            } else {
                ahead
            };
            Duration::from_nanos(ahead)
        });
        let stop = self.stop_at.get().map(|at| at.saturating_duration_since(Instant::now()));
        [timer, stop].into_iter().flatten().min()
    }

    fn fire_timers(&self) {
        let tick = self.now_nanos.get() / 1_000_000;
        let mut timers = self.timers.borrow_mut();
        match timers.next_tick() {
            Some(due) if due <= tick => {
                if tick - due > LATE && due > 0 {
                    count(&self.counters.late_turns);
                }
            }
            _ => return,
        }
        let mut fired = self.fired.take();
        timers.advance(tick, |wake| fired.push(wake));
        drop(timers);
        self.counters.timers_fired.set(self.counters.timers_fired.get() + fired.len() as u64);
        fired.drain(..).for_each(|wake| self.wake(wake));
        self.fired.replace(fired);
    }
}

/// The loop.
impl Core {
    /// Waits for the port, and wakes those whom its completions concern.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        count(&self.counters.turns);
        let mut port = self.port.borrow_mut();
        port.wait(timeout)?;
        let now = port.now();
        self.now.set(now);
        self.now_nanos.set(now.saturating_duration_since(self.started).as_nanos() as u64);
        let mut others = Vec::new();
        while let Some(completion) = port.next() {
            if completion.id.is_some() {
                self.operation_done(&mut port, completion, &mut others);
            } else if completion.context < FOR_RECEIVE {
                self.wake_task(completion.context as u32);
            } else if let Some(waker) = self.others.borrow_mut().remove(&completion.context) {
                others.push(waker);
            }
        }
        drop(port);
        others.into_iter().for_each(Waker::wake);
        self.fire_timers();
        self.pipes.borrow_mut().cool(now, &mut self.port.borrow_mut());
        Ok(())
    }

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
        loop {
            self.read_inbox();
            let polled = self.run_tasks();
            if done() {
                return Ok(());
            }
            self.wait(self.patience(polled))?;
        }
    }

    /// Turns the loop until `future` is ready. To be called on the thread that has entered this worker.
    pub(crate) fn drive<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        // The future is on this stack and can't be a task; a task stands in for it and gives it its waker.
        let (slot, proxy) = spawn_here(
            self,
            0,
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
                self.current.set(slot);
                self.budget.set(BUDGET);
                if let Poll::Ready(ready) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    output = Some(ready);
                }
                self.current.set(NO_TASK);
            }
            output.is_some()
        });
        drop(proxy);
        self.run_tasks();
        turned?;
        output.ok_or_else(|| io::Error::other("the loop has ended before its future"))
    }

    /// Turns the loop of a worker that has no future of its own, until it is stopped and its tasks have ended or the
    /// time for that is over.
    pub(crate) fn serve(&self) -> io::Result<()> {
        self.turn_until(|| match self.stop_at.get() {
            None => false,
            Some(at) => self.tasks_alive() == 0 || self.now() >= at || Instant::now() >= at,
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
